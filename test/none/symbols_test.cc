// SPDX-License-Identifier: Apache-2.0
// What LYCH_SYM has found, by domain (gate/library/symbols.h).
#include "none.h"

#include <atomic>
#include <thread>
#include <vector>

extern "C" {
struct symbols;
const struct lych_binding *symbols_find(struct symbols **symbols, const struct lych_symbol_ref *ref);
const struct lych_binding *symbols_add(struct symbols **symbols, const struct lych_symbol_ref *ref, void *fn);
void symbols_free(struct symbols *symbols);
}

namespace
{

class Symbols : public NoneStarted {};

void *Address(size_t i)
{
	return reinterpret_cast<void *>(0x1000 + 16 * i);
}

} // namespace

TEST_F(Symbols, AreFoundAgainAndNeverMove)
{
	struct symbols *table = nullptr;
	std::vector<lych_symbol_ref> refs(3000);
	std::vector<const lych_binding *> bindings;

	EXPECT_EQ(symbols_find(&table, &refs[0]), nullptr);
	for (size_t i = 0; i < refs.size(); i++) {
		refs[i].binding.ngpr = static_cast<uint8_t>(i % 7);
		EXPECT_EQ(symbols_find(&table, &refs[i]), nullptr);
		bindings.push_back(symbols_add(&table, &refs[i], Address(i)));
		ASSERT_NE(bindings[i], nullptr);
	}
	for (size_t i = 0; i < refs.size(); i++) {
		ASSERT_EQ(symbols_find(&table, &refs[i]), bindings[i]);
		EXPECT_EQ(reinterpret_cast<void *>(bindings[i]->fn), Address(i));
		EXPECT_EQ(bindings[i]->ngpr, i % 7);
		EXPECT_EQ(symbols_add(&table, &refs[i], Address(0)), bindings[i]) << "the first one stays";
	}
	symbols_free(table);
	symbols_free(nullptr);
}

TEST_F(Symbols, AreFoundWhileOthersAreAdded)
{
	static struct symbols *table;
	std::vector<lych_symbol_ref> refs(2000);
	std::atomic<size_t> added{0};
	std::atomic<bool> wrong{false};
	std::vector<std::thread> readers;

	for (int t = 0; t < 3; t++) {
		readers.emplace_back([&] {
			for (size_t seen = 0; seen < refs.size();) {
				seen = added.load();
				for (size_t i = 0; i < seen; i += 37) {
					const lych_binding *b = symbols_find(&table, &refs[i]);
					wrong = wrong || b == nullptr || reinterpret_cast<void *>(b->fn) != Address(i);
				}
			}
		});
	}
	for (size_t i = 0; i < refs.size(); i++) {
		ASSERT_NE(symbols_add(&table, &refs[i], Address(i)), nullptr);
		added = i + 1;
	}
	for (std::thread &t : readers) {
		t.join();
	}
	EXPECT_FALSE(wrong);
	symbols_free(table);
}
