// SPDX-License-Identifier: Apache-2.0
// Generated signatures, called through bindings: against the generator's model, and against the compiler, which
// compiled both sides. And registers, with every one chosen. LYCH_SEED=N repeats the random part.
#include <gtest/gtest.h>

#include "check.h"
#include "seed.h"

alignas(64) uint8_t abi_sent[ABI_ARGS][ABI_ARG], abi_got[ABI_ARGS][ABI_ARG];
alignas(64) uint8_t abi_result_sent[ABI_ARG], abi_result_got[ABI_ARG];

#define CHECK(member, offset) static_assert(offsetof(abi_regs, member) == (offset), #member)
CHECK(rbx, REGS_RBX);
CHECK(r15, REGS_R15);
CHECK(rax, REGS_RAX);
CHECK(r11, REGS_R11);
CHECK(args, REGS_ARGS);
CHECK(flags, REGS_FLAGS);
CHECK(mxcsr, REGS_MXCSR);
CHECK(fcw, REGS_FCW);
CHECK(rsp, REGS_RSP);
CHECK(st, REGS_ST);
CHECK(tags, REGS_TAGS);
CHECK(masks, REGS_MASKS);
CHECK(vectors, REGS_VECTORS);
CHECK(fxsave, REGS_FXSAVE);
static_assert(sizeof(abi_regs) == REGS_SIZE, "");
static_assert(offsetof(abi_raw, words) == RAW_WORDS && offsetof(abi_raw, in) == RAW_IN, "");
static_assert(offsetof(abi_raw, target) == RAW_TARGET, "");

namespace {

std::mt19937_64 rng_of_this_run()
{
	const uint64_t seed = lych_seed();

	printf("LYCH_SEED=%lu, signatures of seed %lu\n", seed, abi_seed);
	return std::mt19937_64(seed);
}

class Abi : public testing::Test {
protected:
	static void SetUpTestSuite()
	{
		abi_level = __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
	}
};

template <class F> void each_case(F f)
{
	for (const abi_table *const *table = abi_all; *table; table++) {
		for (unsigned i = 0; i < (*table)->count; i++) {
			f((*table)->cases[i], (*table)->level);
		}
	}
}

// A bool holds 0 or 1; a long double has its first bit set and is no NaN, so that whoever loads and stores it keeps it.
void random_value(uint8_t *at, unsigned size, std::mt19937_64 &rng)
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

bool same(const uint8_t *a, const uint8_t *b, unsigned size)
{
	return memcmp(a, b, size ? size : 1) == 0;
}

const char *const kLevels[] = {"Sse", "Avx", "Avx512"};

class AbiAtLevel : public Abi, public testing::WithParamInterface<unsigned> {};

uint64_t call_case(void *at)
{
	return static_cast<uint64_t>(static_cast<const abi_case *>(at)->call(abi_domain()));
}

} // namespace

TEST_F(Abi, BindingsAreWhatTheModelSays)
{
	unsigned count = 0, variadic = 0, wrong = 0;

	each_case([&](const abi_case &c, unsigned) {
		const lych_binding &b = *c.binding;
		const uint8_t skips[] = {0, 2, 4, 7, 10, 13, 16};
		const uint32_t extra = (c.words ? 1 : 0) | (c.nvec ? 2 : 0) | (c.narrow ? 4 : 0) | (c.result ? 8 : 0) |
				       (c.variadic ? BINDX_VARIADIC : 0);

		count++;
		variadic += c.variadic;
		if (b.ngpr != c.ngpr || b.nvec != c.nvec || b.words != c.words || b.narrow != c.narrow ||
		    b.widths != c.widths || b.result != c.result || b.skip != skips[c.ngpr] || b.extra != extra) {
			if (wrong++ < 10) {
				ADD_FAILURE()
					<< c.text << ": ngpr " << +b.ngpr << "/" << +c.ngpr << " nvec " << +b.nvec
					<< "/" << +c.nvec << " words " << b.words << "/" << c.words << " narrow "
					<< +b.narrow << "/" << +c.narrow << " widths " << std::hex << b.widths << "/"
					<< c.widths << std::dec << " result " << +b.result << "/" << +c.result;
			}
		}
	});
	EXPECT_EQ(wrong, 0u);
	EXPECT_GE(count, 500u);
	EXPECT_GE(variadic, count / 25);
}

TEST_P(AbiAtLevel, ArgumentsAndResultsArriveAsTheCompilerPassesThem)
{
	unsigned run = 0, wrong = 0, skipped = 0;

	if (GetParam() > abi_level) {
		each_case([&](const abi_case &, unsigned level) { skipped += level == GetParam(); });
		GTEST_SKIP() << "this CPU has no " << kLevels[GetParam()] << ": " << skipped
			     << " signatures are not called";
	}
	std::mt19937_64 rng = rng_of_this_run();

	each_case([&](const abi_case &c, unsigned level) {
		static abi_regs in, out;
		std::string what;

		if (level != GetParam()) {
			return;
		}
		run++;
		checker::fill(&in, rng);
		for (unsigned i = 0; i < c.nargs; i++) {
			random_value(abi_sent[i], c.sizes[i], rng);
		}
		random_value(abi_result_sent, c.result_size, rng);
		memset(abi_got, 0, sizeof(abi_got));
		memset(abi_result_got, 0, sizeof(abi_result_got));
		const int rc = static_cast<int>(abi_checked(call_case, const_cast<abi_case *>(&c), &in, &out));

		if (rc != 0) {
			what = "status " + std::to_string(rc) + "; ";
		}
		for (unsigned i = 0; i < c.nargs; i++) {
			if (!same(abi_got[i], abi_sent[i], c.sizes[i])) {
				what += "argument " + std::to_string(i) + "; ";
			}
		}
		if (c.result_size != 255 && !same(abi_result_got, abi_result_sent, c.result_size)) {
			what += "result; ";
		}
		what += checker::entry_faults(*c.binding) + checker::exit_faults(in, out);
		if (!what.empty() && wrong++ < 10) {
			ADD_FAILURE() << c.text << ": " << what;
		}
	});
	EXPECT_EQ(wrong, 0u) << "of " << run;
	EXPECT_GE(run, 100u);
	printf("%u signatures of level %s\n", run, kLevels[GetParam()]);
}

INSTANTIATE_TEST_SUITE_P(Each, AbiAtLevel, testing::Values(0, 1, 2),
			 [](const auto &level) { return std::string(kLevels[level.param]); });

TEST_F(Abi, RegistersHoldTheArgumentsAndNothingElse)
{
	std::mt19937_64 rng = rng_of_this_run();

	for (unsigned i = 0; i < 5000; i++) {
		const std::string what = checker::raw_faults(rng, false);

		ASSERT_EQ(what, "") << "call " << i;
	}
}

TEST_F(Abi, CallersRegistersSurviveACalleeThatLeavesDisorder)
{
	std::mt19937_64 rng = rng_of_this_run();

	for (unsigned i = 0; i < 5000; i++) {
		const std::string what = checker::raw_faults(rng, true);

		ASSERT_EQ(what, "") << "call " << i;
	}
}

TEST_F(Abi, CallbacksGetTheirArgumentsAndTheirDomainsKeepTheResultAndNothingElse)
{
	std::mt19937_64 rng = rng_of_this_run();

	for (unsigned i = 0; i < 5000; i++) {
		const std::string what = checker::callback_faults(rng, false);

		ASSERT_EQ(what, "") << "callback " << i;
	}
}

TEST_F(Abi, CallbacksOutOfDisorderFindTheHostInOrder)
{
	std::mt19937_64 rng = rng_of_this_run();

	for (unsigned i = 0; i < 5000; i++) {
		const std::string what = checker::callback_faults(rng, true);

		ASSERT_EQ(what, "") << "callback " << i;
	}
}
