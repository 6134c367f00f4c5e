// SPDX-License-Identifier: Apache-2.0
// LYCH_NONE: the generated signatures, and calls and callbacks with every register chosen. Nothing is cleared, so it is only
// looked at what the ABI promises.
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>

#include <cstdlib>

#include "check.h"

alignas(64) uint8_t abi_sent[ABI_ARGS][ABI_ARG], abi_got[ABI_ARGS][ABI_ARG];
alignas(64) uint8_t abi_result_sent[ABI_ARG], abi_result_got[ABI_ARG];

extern "C" struct lych_domain *abi_domain()
{
	static struct lych_domain *domain;

	if (!domain) {
		lych_init_opts init = {};

		init.size = sizeof(init);
		init.backend = LYCH_NONE;
		unsetenv("LYCH_REQUIRE_PKU");
		if (lych_init(&init) != 0 || lych_domain_new(&domain, nullptr) != 0) {
			fprintf(stderr, "lych_init: %s\n", lych_why());
			abort();
		}
	}
	return domain;
}

extern "C" void (*abi_callback(const struct lych_binding *binding))()
{
	void (*callback)() = nullptr;

	return lych_callback_new(&callback, abi_domain(), binding, nullptr) == 0 ? callback : nullptr;
}

extern "C" void abi_callback_end(void (*callback)())
{
	if (lych_callback_free(abi_domain(), callback) != 0) {
		abort();
	}
}

namespace {

uint64_t call_case(void *at)
{
	return static_cast<uint64_t>(static_cast<const abi_case *>(at)->call(abi_domain()));
}

class AbiNone : public testing::Test {
protected:
	std::mt19937_64 rng{std::random_device{}()};

	static void SetUpTestSuite()
	{
		abi_level = __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
	}

	// A bool holds 0 or 1; a long double is no NaN, and has its first bit set.
	void fill_value(uint8_t *at, unsigned size)
	{
		for (unsigned i = 0; i < ABI_ARG; i++) {
			at[i] = static_cast<uint8_t>(rng());
		}
		if (size == 0) {
			at[0] &= 1;
		} else if (size == 10) {
			at[7] |= 0x80;
			at[9] &= 0x3f;
			at[16 + 7] |= 0x80;
			at[16 + 9] &= 0x3f;
		}
	}

	lych_binding random_binding(void (*fn)(), const char *name)
	{
		lych_binding b = {};

		b.fn = fn;
		b.name = name;
		b.align = 4;
		b.ngpr = static_cast<uint8_t>(rng() % 7);
		b.nvec = static_cast<uint8_t>(rng() % 9);
		b.words = static_cast<uint16_t>(rng() % 3 ? rng() % (RAW_NWORDS + 1) : 0);
		b.widths = 0;
		for (unsigned i = 0; i < b.nvec; i++) {
			b.widths |= static_cast<uint32_t>(2 + rng() % (3 + abi_level)) << 4 * i;
		}
		return b;
	}

	static std::string arguments(const lych_binding &b, const abi_raw &raw)
	{
		const abi_regs &e = abi_entry, &in = *raw.in;
		std::string out;

		for (unsigned i = 0; i < b.ngpr; i++) {
			if (e.args[i] != in.args[i]) {
				checker::say(&out, "argument", i, e.args[i], in.args[i]);
			}
		}
		for (unsigned i = 0; i < b.nvec; i++) {
			if (memcmp(e.vectors[i], in.vectors[i], size_t{1} << (b.widths >> 4 * i & 15)) != 0) {
				checker::say(&out, "vector argument", i, 0, 1);
			}
		}
		for (unsigned i = 0; i < b.words; i++) {
			if (abi_entry_words[i] != raw.words[i]) {
				checker::say(&out, "stack word", i, abi_entry_words[i], raw.words[i]);
			}
		}
		if (e.rsp % 16 != 8) {
			checker::say(&out, "stack alignment", 0, e.rsp % 16, 8);
		}
		return out;
	}
};

using checker::lych_call_domain_abi_checked;
} // namespace

TEST_F(AbiNone, ArgumentsAndResultsArriveAsTheCompilerPassesThem)
{
	unsigned run = 0, wrong = 0, variadic = 0;

	for (const abi_table *const *table = abi_all; *table; table++) {
		for (unsigned n = 0; n < (*table)->count && (*table)->level <= abi_level; n++) {
			const abi_case &c = (*table)->cases[n];
			static abi_regs in, out;
			std::string what;

			run++;
			variadic += c.variadic;
			checker::fill(&in, rng);
			for (unsigned i = 0; i < c.nargs; i++) {
				fill_value(abi_sent[i], c.sizes[i]);
			}
			fill_value(abi_result_sent, c.result_size);
			memset(abi_got, 0, sizeof(abi_got));
			memset(abi_result_got, 0, sizeof(abi_result_got));
			const int rc = static_cast<int>(abi_checked(call_case, const_cast<abi_case *>(&c), &in, &out));
			if (rc != 0) {
				what = "status " + std::to_string(rc) + "; ";
			}
			for (unsigned i = 0; i < c.nargs; i++) {
				if (memcmp(abi_got[i], abi_sent[i], c.sizes[i] ? c.sizes[i] : 1) != 0) {
					what += "argument " + std::to_string(i) + "; ";
				}
			}
			if (c.result_size != 255 &&
			    memcmp(abi_result_got, abi_result_sent, c.result_size ? c.result_size : 1) != 0) {
				what += "result; ";
			}
			if (abi_entry.rsp % 16 != 8) {
				what += "stack alignment; ";
			}
			if (c.variadic && (abi_entry.rax & 0xff) != c.nvec) {
				what += "al; ";
			}
			what += checker::exit_faults(in, out);
			if (!what.empty() && wrong++ < 10) {
				ADD_FAILURE() << c.text << ": " << what;
			}
		}
	}
	EXPECT_EQ(wrong, 0u) << "of " << run;
	EXPECT_GE(run, 500u);
	EXPECT_GE(variadic, 20u);
	printf("%u signatures\n", run);
}

TEST_F(AbiNone, CallsKeepEveryRegisterThatCarriesSomething)
{
	for (unsigned n = 0; n < 5000; n++) {
		lych_binding b = random_binding(abi_callee, "abi_callee");
		abi_regs in, out;
		abi_raw raw = {};
		int status = 0;

		checker::fill(&in, rng);
		raw.domain = abi_domain();
		raw.binding = &b;
		raw.status = &status;
		raw.in = &in;
		for (uint64_t &word : raw.words) {
			word = rng();
		}
		abi_callee_rax = rng();
		abi_callee_rdx = rng();
		for (auto &v : abi_callee_xmm) {
			for (uint8_t &byte : v) {
				byte = static_cast<uint8_t>(rng());
			}
		}
		abi_hostile = 0;
		memset(&abi_entry, 0x5a, sizeof(abi_entry));
		abi_checked(abi_raw_call, &raw, &in, &out);
		ASSERT_EQ(status, 0);
		ASSERT_EQ(arguments(b, raw) + checker::exit_faults(in, out), "") << "call " << n;
		ASSERT_EQ(abi_entry.rax & 0xff, b.nvec);
		ASSERT_EQ(out.rax, abi_callee_rax);
		ASSERT_EQ(out.args[2], abi_callee_rdx);
		ASSERT_EQ(memcmp(out.vectors[0], abi_callee_xmm[0], 16), 0);
		ASSERT_EQ(memcmp(out.vectors[1], abi_callee_xmm[1], 16), 0);
	}
}

TEST_F(AbiNone, CallbacksKeepEveryRegisterThatCarriesSomething)
{
	lych_domain *const domain = abi_domain();

	for (unsigned n = 0; n < 5000; n++) {
		lych_binding b = random_binding(abi_host, "abi_host");
		abi_regs in, out;
		abi_raw raw = {};
		uint64_t result = 0;

		checker::fill(&in, rng);
		checker::fill(&abi_left, rng);
		raw.in = &in;
		raw.target = abi_callback(&b);
		ASSERT_NE(raw.target, nullptr);
		for (uint64_t &word : raw.words) {
			word = rng();
		}
		abi_hostile = 0;
		memset(&abi_entry, 0x5a, sizeof(abi_entry));
		ASSERT_EQ(LYCH_CALL(domain, &result, abi_checked, abi_raw_callback, &raw, &in, &out), 0);
		abi_callback_end(raw.target);
		ASSERT_EQ(arguments(b, raw), "") << "callback " << n;
		ASSERT_EQ(out.rax, abi_left.rax);
		ASSERT_EQ(out.args[2], abi_left.args[2]);
		ASSERT_EQ(memcmp(out.vectors[0], abi_left.vectors[0], checker::vector_bytes()), 0);
		ASSERT_EQ(memcmp(out.vectors[1], abi_left.vectors[1], checker::vector_bytes()), 0);
	}
}
