// SPDX-License-Identifier: Apache-2.0
// The checker checked: a gate that does one thing wrong is seen, each time for that.
#include <gtest/gtest.h>

#include "check.h"

namespace {

struct Wrong {
	uint32_t what;
	const char *name;
	bool hostile;       // seen only when the callee leaves disorder
	uint32_t level;     // needs AVX, AVX-512
	const char *expect; // in what the checker says
	bool back = false;  // a callback
};

const Wrong kWrong[] = {
	{WRONG_RBX, "ClobberedRbx", false, 0, "rbx"},
	{WRONG_R15, "ClobberedR15", false, 0, "r15"},
	{WRONG_RBP, "ClobberedRbp", false, 0, "rbp"},
	{WRONG_DF, "DirectionFlagLeftSet", false, 0, "flags"},
	{WRONG_MXCSR, "MxcsrNotRestored", false, 0, "mxcsr"},
	{WRONG_X87_CONTROL, "X87ControlNotRestored", false, 0, "x87 control"},
	{WRONG_X87_STACK, "X87StackNotEmptied", true, 0, "x87 registers in use"},
	{WRONG_LOST_WORD, "LostStackWord", false, 0, "stack word"},
	{WRONG_LEAK_R10, "HostValueInR10", false, 0, "r10"},
	{WRONG_LEAK_R9, "HostValueInUnusedArgument", false, 0, "unused argument"},
	{WRONG_LEAK_XMM15, "HostValueInXmm15", false, 0, "vector register 15"},
	{WRONG_LEAK_UPPER, "HostValueAboveADouble", false, 0, "vector register"},
	{WRONG_LEAK_ZMM31, "HostValueInZmm31", false, 2, "vector register 31"},
	{WRONG_LEAK_MASK, "HostValueInMaskRegister", false, 2, "mask register 1"},
	{WRONG_LEAK_X87, "HostValueInX87Register", false, 0, "x87 register"},
	{WRONG_ALIGNMENT, "MisalignedStack", false, 0, "stack alignment"},
	{WRONG_RESULT_RDX, "LostSecondWordOfResult", false, 0, "rdx"},
	{WRONG_RESULT_XMM1, "LostSecondVectorOfResult", false, 0, "result in vector register 1"},
	{WRONG_CALLEE_DF, "CalleeStartsWithDirectionFlag", false, 0, "flags"},
	{WRONG_CALLEE_MXCSR, "CalleeStartsWithHostMxcsr", false, 0, "mxcsr"},
	{WRONG_BACK_LEAK_RDX, "CallbackLeavesRdx", false, 0, "rdx", true},
	{WRONG_BACK_LEAK_XMM5, "CallbackLeavesXmm5", false, 0, "vector register 5", true},
	{WRONG_BACK_LEAK_RSI, "CallbackLeavesRsi", false, 0, "rsi", true},
	{WRONG_BACK_RBX, "CallbackLosesRbx", false, 0, "rbx", true},
	{WRONG_BACK_MXCSR, "CallbackLeavesHostMxcsr", true, 0, "mxcsr", true},
	{WRONG_BACK_HOST_MXCSR, "CallbackRunsWithDomainsMxcsr", true, 0, "the host's mxcsr", true},
	{WRONG_BACK_LOST_WORD, "CallbackLostStackWord", false, 0, "stack word", true},
	{WRONG_BACK_X87_FLAGS, "CallbackLeavesHostX87Flags", false, 0, "x87 flags", true},
};

void PrintTo(const Wrong &wrong, std::ostream *out)
{
	*out << wrong.name;
}

class WrongGate : public testing::TestWithParam<Wrong> {
protected:
	void SetUp() override
	{
		abi_level = __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
	}
	void TearDown() override
	{
		abi_wrong = 0;
	}
};

} // namespace

TEST_P(WrongGate, IsSeen)
{
	const Wrong &wrong = GetParam();
	std::mt19937_64 rng(1);
	const auto faults = wrong.back ? checker::callback_faults : checker::raw_faults;

	if (wrong.level > abi_level) {
		GTEST_SKIP() << "this CPU has no such register";
	}
	for (unsigned i = 0; i < 500; i++) {
		abi_wrong = 0;
		ASSERT_EQ(faults(rng, wrong.hostile), "") << "the same gate without the mistake";
		abi_wrong = wrong.what;
		const std::string said = faults(rng, wrong.hostile);
		if (said.find(wrong.expect) != std::string::npos) {
			return;
		}
		ASSERT_EQ(said, "") << "something else";
	}
	FAIL() << "not seen in 500 calls";
}

INSTANTIATE_TEST_SUITE_P(All, WrongGate, testing::ValuesIn(kWrong),
			 [](const testing::TestParamInfo<Wrong> &row) { return std::string(row.param.name); });

TEST(WrongGates, AreAllTried)
{
	EXPECT_EQ(sizeof(kWrong) / sizeof(kWrong[0]), size_t{WRONG_COUNT - 1});
}
