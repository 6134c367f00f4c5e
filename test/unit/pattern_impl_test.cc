// SPDX-License-Identifier: Apache-2.0
//
// Every implementation of the search finds exactly what the definition says, reads nothing outside
// the buffer, and stays linear.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "pattern_forms.h"

namespace {

class Impl : public testing::TestWithParam<pattern_impl> {
protected:
	void SetUp() override
	{
		if (!pattern_impl_usable(GetParam())) {
			GTEST_SKIP() << "this CPU or kernel has no " << pattern_impl_name(GetParam());
		}
	}
};

// A buffer between two pages that cannot be read.
class Guarded {
public:
	Guarded()
	{
		base_ = static_cast<uint8_t *>(
			mmap(nullptr, 3 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		if (base_ == MAP_FAILED || mprotect(base_ + kPage, kPage, PROT_READ | PROT_WRITE) != 0) {
			abort();
		}
	}
	~Guarded() { munmap(base_, 3 * kPage); }
	Guarded(const Guarded &) = delete;
	Guarded &operator=(const Guarded &) = delete;
	uint8_t *begin() { return base_ + kPage; }
	uint8_t *end() { return begin() + kPage; }
	void fill(uint8_t byte) { memset(begin(), byte, kPage); }
	static constexpr size_t kPage = 4096;

private:
	uint8_t *base_;
};

// Longer than the four widest vectors, one more and the reach of the loops.
constexpr size_t kLongEnough = 4 * 64 + 64 + 8;

const uint32_t kClassSets[] = {LYCH_POLICY_PKRU, LYCH_POLICY_HOST, LYCH_POLICY_DOMAIN, LYCH_ALL_CLASSES};

TEST_P(Impl, FindsFirstAndLastBytesAtEveryAlignmentAndLength)
{
	Guarded page;
	for (uint32_t classes : kClassSets) {
		for (size_t align = 0; align < 64; align++) {
			for (size_t len = 3; len < kLongEnough; len++) {
				uint8_t *buf = page.begin() + align;
				std::vector<Hit> expected = {{0, 0, 3, LYCH_WRPKRU}};

				page.fill(0x0f);
				memset(buf, 0x90, len);
				// Completed only outside the buffer: no hit.
				memcpy(buf + len - 2, "\x0f\x01\xef", 3);
				memcpy(buf, "\x0f\x01\xef", 3);
				ASSERT_EQ(scan(GetParam(), buf, len, classes), expected) << align << " " << len;
				if (len >= 6) {
					memcpy(buf + len - 3, "\x0f\xae\x28", 3);
					expected.push_back({len - 3, len - 3, 3, LYCH_XRSTOR});
				}
				ASSERT_EQ(scan(GetParam(), buf, len, classes), expected) << align << " " << len;
			}
		}
	}
}

TEST_P(Impl, ReadsNothingBeforeTheBufferAndNothingBehindIt)
{
	Guarded page;
	for (uint32_t classes : kClassSets) {
		for (size_t len = 0; len < kLongEnough; len++) {
			for (uint8_t byte : {0x90, 0x01, 0x0f, 0xae, 0xd0, 0xd5, 0xef, 0xf3, 0xcd}) {
				page.fill(byte);
				EXPECT_TRUE(scan(GetParam(), page.begin(), len, classes).empty()) << len;
				EXPECT_TRUE(scan(GetParam(), page.end() - len, len, classes).empty()) << len;
			}
		}
	}
}

TEST_P(Impl, LooksForF3OnlyInsideTheBuffer)
{
	const Bytes bytes = bytes_of("f3 48 0f ae d8");
	EXPECT_EQ(scan(GetParam(), bytes.data(), 5, LYCH_POLICY_HOST),
		  (std::vector<Hit>{{0, 2, 5, LYCH_WRGSBASE}}));
	EXPECT_TRUE(scan(GetParam(), bytes.data() + 1, 4, LYCH_POLICY_HOST).empty());
}

TEST_P(Impl, FindsASequenceAcrossEveryPositionOfEveryForm)
{
	// A form of every class at every offset of a buffer that holds nothing else.
	for (const Form &form : all_forms()) {
		Bytes sequence;
		for (const Set &set : form.bytes) {
			sequence.push_back(uint8_t(set._Find_first()));
		}
		for (size_t at = 0; at + sequence.size() <= kLongEnough; at++) {
			Bytes buf(kLongEnough, 0x90);
			std::copy(sequence.begin(), sequence.end(), buf.begin() + static_cast<std::ptrdiff_t>(at));
			std::vector<Hit> hits = scan(GetParam(), buf, LYCH_CLASS_BIT(form.cls));
			ASSERT_EQ(hits.size(), 1u) << hex(sequence) << at;
			EXPECT_EQ(hits[0].core, at + form.core);
			EXPECT_EQ(hits, scan(PATTERN_PLAIN, buf, LYCH_CLASS_BIT(form.cls)));
		}
	}
}

TEST_P(Impl, AgreesWithThePlainOneOnRandomBytes)
{
	std::mt19937_64 random(20240501);
	size_t found = 0;

	for (const Bytes &alphabet : alphabets()) {
		for (int round = 0; round < 400; round++) {
			const size_t room = random() % 64;
			Bytes bytes = random_bytes(random, alphabet, room + random() % 1200);
			// Every set of classes counts: the policies, single ones, any mix.
			uint32_t sets[] = {LYCH_POLICY_PKRU,
					   LYCH_POLICY_HOST,
					   LYCH_POLICY_DOMAIN,
					   LYCH_ALL_CLASSES,
					   LYCH_CLASS_BIT(round % LYCH_CLASS_COUNT),
					   uint32_t(random()) & LYCH_ALL_CLASSES};
			for (uint32_t classes : sets) {
				const uint8_t *buf = bytes.data() + room;
				size_t len = bytes.size() - room;
				std::vector<Hit> hits = scan(GetParam(), buf, len, classes);
				ASSERT_EQ(hits, scan(PATTERN_PLAIN, buf, len, classes))
					<< classes << ": " << hex(bytes);
				found += hits.size();
			}
		}
	}
	EXPECT_GT(found, 100000u) << "the alphabets make too few sequences for the test to mean anything";
}

TEST_P(Impl, GivesEachCoreOnceAndInAscendingOrder)
{
	std::mt19937_64 random(7);
	for (const Bytes &alphabet : alphabets()) {
		Bytes bytes = random_bytes(random, alphabet, 100000);
		std::vector<Hit> hits = scan(GetParam(), bytes, LYCH_ALL_CLASSES);
		for (size_t i = 1; i < hits.size(); i++) {
			ASSERT_LT(hits[i - 1].core, hits[i].core);
		}
	}
}

TEST_P(Impl, StaysLinearOnInputMadeToBeSlow)
{
	// 8 MiB each. A look-behind without a limit would take hours on the prefixes.
	const struct {
		const char *unit;
		uint32_t classes;
		double per_unit;
	} rows[] = {
		{"01 ef", LYCH_ALL_CLASSES, 0},
		{"0f ae", LYCH_ALL_CLASSES, 0},
		{"0f 01 ef", LYCH_POLICY_PKRU, 1},
		{"f3", LYCH_ALL_CLASSES, 0},
		{"48 66 f3 0f ae d8", LYCH_ALL_CLASSES, 1},
		{"48 48 48 48 48 48 48 48 48 48 48 48 0f ae d8", LYCH_ALL_CLASSES, 0},
		{"d5 80 ae", LYCH_ALL_CLASSES, 0},
		{"cd 80", LYCH_ALL_CLASSES, 1},
	};
	for (const auto &row : rows) {
		const Bytes unit = bytes_of(row.unit);
		Bytes bytes;
		size_t units = (8u << 20) / unit.size();
		size_t count = 0;

		bytes.reserve(units * unit.size());
		for (size_t i = 0; i < units; i++) {
			bytes.insert(bytes.end(), unit.begin(), unit.end());
		}
		auto count_hit = [](void *ctx, size_t, size_t, size_t, lych_class) {
			++*static_cast<size_t *>(ctx);
			return 0;
		};
		EXPECT_EQ(pattern_scan_with(GetParam(), bytes.data(), bytes.size(), row.classes, count_hit, &count), 0);
		EXPECT_EQ(count, size_t(double(units) * row.per_unit)) << row.unit;
	}
}

struct StopAt {
	size_t calls, at;
};

TEST_P(Impl, StopsWhenTheCallbackSaysSoAndReturnsItsValue)
{
	Bytes bytes;
	for (int i = 0; i < 500; i++) {
		bytes.insert(bytes.end(), {0x90, 0x0f, 0x01, 0xef});
	}
	for (size_t at = 1; at <= 500; at++) {
		StopAt state = {0, at};
		auto stop = [](void *ctx, size_t, size_t, size_t, lych_class) {
			StopAt *s = static_cast<StopAt *>(ctx);
			return ++s->calls == s->at ? -ECANCELED : 0;
		};
		ASSERT_EQ(pattern_scan_with(GetParam(), bytes.data(), bytes.size(), LYCH_POLICY_PKRU, stop, &state),
			  -ECANCELED);
		ASSERT_EQ(state.calls, at);
	}
}

TEST_P(Impl, FindsNothingInNothingAndForNoClass)
{
	const Bytes bytes = bytes_of("0f 01 ef cd 80 0f 05");
	EXPECT_TRUE(scan(GetParam(), nullptr, 0, LYCH_ALL_CLASSES).empty());
	EXPECT_TRUE(scan(GetParam(), bytes, 0).empty());
	EXPECT_TRUE(scan(GetParam(), bytes, ~LYCH_ALL_CLASSES).empty()) << "bits that are no class";
}

// ORs the upper halves of ymm0 to ymm15 together.
__attribute__((noinline)) bool upper_halves_are_zero()
{
	alignas(16) uint8_t halves[16][16];
#define STORE(n) asm volatile("vextractf128 $1, %%ymm" #n ", %0" : "=m"(halves[n]));
	STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7)
	STORE(8) STORE(9) STORE(10) STORE(11) STORE(12) STORE(13) STORE(14) STORE(15)
#undef STORE
	return std::all_of(&halves[0][0], &halves[0][0] + sizeof(halves), [](uint8_t b) { return b == 0; });
}

TEST_P(Impl, LeavesNoVectorStateBehindThatWouldSlowDownTheCaller)
{
	if (!__builtin_cpu_supports("avx")) {
		GTEST_SKIP() << "this CPU or kernel has no AVX registers";
	}
	Bytes bytes(4096, 0x90);
	memcpy(&bytes[100], "\x0f\x01\xef", 3);
	bool clean_in_callback = false;
	auto look = [](void *ctx, size_t, size_t, size_t, lych_class) {
		*static_cast<bool *>(ctx) = upper_halves_are_zero();
		return 0;
	};
	for (uint32_t classes : kClassSets) {
		asm volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\tvinsertf128 $1, %%xmm0, %%ymm0, %%ymm0" ::: "xmm0");
		EXPECT_FALSE(upper_halves_are_zero()) << "the test must see what it looks for";
		asm volatile("vzeroupper");
		EXPECT_EQ(
			pattern_scan_with(GetParam(), bytes.data(), bytes.size(), classes, look, &clean_in_callback),
			0);
		EXPECT_TRUE(upper_halves_are_zero()) << classes;
		EXPECT_TRUE(clean_in_callback) << classes;
	}
}

INSTANTIATE_TEST_SUITE_P(Each, Impl, testing::Values(PATTERN_PLAIN, PATTERN_SSE2, PATTERN_AVX2, PATTERN_AVX512),
			 [](const auto &row) { return std::string(pattern_impl_name(row.param)); });

TEST(Pattern, ChoosesAnImplementationThatThisCpuHas)
{
	const Bytes bytes = bytes_of("90 0f 01 ef");
	std::vector<Hit> hits;

	EXPECT_TRUE(pattern_impl_usable(pattern_impl_best()));
	EXPECT_NE(pattern_impl_best(), PATTERN_PLAIN) << "every x86-64 CPU has SSE2";
	EXPECT_EQ(pattern_scan(bytes.data(), bytes.size(), LYCH_POLICY_PKRU, keep, &hits), 0);
	EXPECT_EQ(hits, (std::vector<Hit>{{1, 1, 3, LYCH_WRPKRU}}));
}

TEST(Pattern, RefusesAnImplementationThatDoesNotExist)
{
	for (int impl : {int(PATTERN_IMPL_COUNT), 7}) { // 7: the last value that the enum can hold
		const auto bad = static_cast<pattern_impl>(impl);
		EXPECT_FALSE(pattern_impl_usable(bad));
		EXPECT_EQ(pattern_impl_name(bad), nullptr);
		EXPECT_EQ(pattern_scan_with(bad, nullptr, 0, LYCH_POLICY_PKRU, keep, nullptr), -ENOTSUP);
	}
}

} // namespace
