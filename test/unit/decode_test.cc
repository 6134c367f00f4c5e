// SPDX-License-Identifier: Apache-2.0
// Text of instructions. Also built against Capstone 5 where it lies beside (LYCH_CAPSTONE5): the same table must
// hold with both.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "hex.h"

extern "C" {
#include "decode.h"
}

namespace {

struct Row {
	const char *name;
	const char *code;
	int len;
	const char *text;
};

std::ostream &operator<<(std::ostream &os, const Row &row)
{
	return os << row.code;
}

class Text : public testing::TestWithParam<Row> {
protected:
	void SetUp() override
	{
		ASSERT_EQ(decoder_new(&decoder_), 0);
	}
	void TearDown() override
	{
		decoder_free(decoder_);
	}
	struct decoder *decoder_ = nullptr;
};

TEST_P(Text, IsAsTheTableSays)
{
	std::vector<uint8_t> code = hex(GetParam().code);
	struct lych_insn insn;
	decoder_insn(decoder_, code.data(), code.size(), 0x1000, &insn);
	EXPECT_STREQ(insn.text, GetParam().text);
	EXPECT_EQ(insn.len, GetParam().len);
	EXPECT_EQ(insn.vaddr, 0x1000u);
	EXPECT_FALSE(insn.hit);
	EXPECT_EQ(memcmp(insn.bytes, code.data(), insn.len), 0);
}

const Row rows[] = {
	// what PKRU is written with, and what is easily taken for it
	{"Wrpkru", "0f 01 ef", 3, "wrpkru"},
	{"WrpkruRexW", "48 0f 01 ef", 4, "wrpkru"},
	{"WrpkruAddressSize", "67 0f 01 ef", 4, "wrpkru"},
	{"WrpkruSegment", "2e 0f 01 ef", 4, "wrpkru"},
	{"WrpkruWith66IsUndefined", "66 0f 01 ef", 4, "(bad)"},
	{"WrpkruWithF2IsUndefined", "f2 0f 01 ef", 4, "(bad)"},
	{"WrpkruWithF0IsUndefined", "f0 0f 01 ef", 4, "(bad)"},
	{"WrpkruWithF3IsStui", "f3 0f 01 ef", 4, "stui"},
	{"Clui", "f3 0f 01 ee", 4, "clui"},
	{"Testui", "f3 0f 01 ed", 4, "testui"},
	{"Uiret", "f3 0f 01 ec", 4, "uiret"},
	{"WrpkruRex2", "d5 80 01 ef", 4, "{rex2} wrpkru"},
	{"WrpkruRex2HighPayload", "d5 ff 01 ef", 4, "{rex2} wrpkru"},
	{"WrpkruRex2With66IsUndefined", "66 d5 80 01 ef", 5, "(bad)"},
	{"RexThenRex2IsUndefined", "48 d5 80 01 ef", 1, "(bad)"},
	{"Rdpkru", "0f 01 ee", 3, "rdpkru"},
	{"Enclu", "0f 01 d7", 3, "enclu"},
	{"EncluRex2", "d5 80 01 d7", 4, "{rex2} enclu"},
	{"Encls", "0f 01 cf", 3, "encls"},
	{"Xrstor", "0f ae 28", 3, "xrstor ptr [rax]"},
	{"Xrstor64", "48 0f ae 28", 4, "xrstor64 ptr [rax]"},
	{"XrstorOnTheStack", "0f ae 6c 24 40", 5, "xrstor ptr [rsp + 0x40]"},
	{"XrstorRipRelative", "0f ae 2d 01 02 03 04", 7, "xrstor ptr [rip + 0x4030201]"},
	{"XrstorWith66IsUndefined", "66 0f ae 28", 4, "(bad)"},
	{"XrstorWithF2IsUndefined", "f2 0f ae 28", 4, "(bad)"},
	{"XrstorWithF3IsUndefined", "f3 0f ae 28", 4, "(bad)"},
	{"Xrstor64With66IsUndefined", "66 48 0f ae 28", 5, "(bad)"},
	{"XrstorRex2IsUndefined", "d5 80 ae 28", 1, "(bad)"},
	{"Xsave", "0f ae 20", 3, "xsave ptr [rax]"},
	{"XsaveWith66IsUndefined", "66 0f ae 20", 4, "(bad)"},
	{"Lfence", "0f ae e8", 3, "lfence"},
	{"LfenceAlias", "0f ae e9", 3, "lfence"},
	{"LfenceWith66IsUndefined", "66 0f ae e8", 4, "(bad)"},
	{"Mfence", "0f ae f0", 3, "mfence"},
	{"Sfence", "0f ae f8", 3, "sfence"},
	{"Incsspd", "f3 0f ae e8", 4, "incsspd eax"},
	{"Incsspq", "f3 48 0f ae e8", 5, "incsspq rax"},
	{"Rdfsbase", "f3 0f ae c0", 4, "rdfsbase eax"},
	{"Rdgsbase", "f3 0f ae c8", 4, "rdgsbase eax"},
	{"Wrfsbase", "f3 48 0f ae d0", 5, "wrfsbase rax"},
	{"Wrgsbase", "f3 49 0f ae db", 5, "wrgsbase r11"},
	{"WrgsbaseBehind66", "66 f3 0f ae d8", 5, "wrgsbase eax"},
	{"WrfsbaseRex2", "f3 d5 88 ae d0", 5, "{rex2} wrfsbase rax"},
	{"WrgsbaseRex2R16", "f3 d5 98 ae d8", 5, "{rex2} wrgsbase r16"},
	{"WrfsbaseWithoutF3IsUndefined", "0f ae d0", 1, "(bad)"},
	{"Syscall", "0f 05", 2, "syscall"},
	{"SyscallRex2", "d5 80 05", 3, "{rex2} syscall"},
	{"Sysenter", "0f 34", 2, "sysenter"},
	{"Int80", "cd 80", 2, "int 0x80"},
	{"Umonitor", "f3 0f ae f0", 4, "umonitor rax"},
	// what stands around
	{"Endbr64", "f3 0f 1e fa", 4, "endbr64"},
	{"Ud2", "0f 0b", 2, "ud2"},
	{"CompareGs", "65 3b 04 25 00 01 00 00", 8, "cmp eax, dword ptr gs:[0x100]"},
	{"TestBit9", "a9 00 02 00 00", 5, "test eax, 0x200"},
	{"CallRel32", "e8 00 0f 01 ef", 5, "call 0xffffffffef011f05"},
	{"CallRel32With66", "66 e8 00 00 00 00", 6, "call 0x1006"},
	{"AddEbpEdi", "01 ef", 2, "add edi, ebp"},
	{"Rol", "41 c1 c7 0f", 4, "rol r15d, 0xf"},
	{"MovMinusOne", "48 c7 c0 ff ff ff ff", 7, "mov rax, -1"},
	{"MovMinusSixteen", "48 c7 44 24 08 f0 ff ff ff", 9, "mov qword ptr [rsp + 8], -0x10"},
	{"XchgEax", "91", 1, "xchg eax, ecx"},
	{"RepzRet", "f3 c3", 2, "repz ret"},
	{"InvalidIsOneByte", "06 0f 01 ef", 1, "(bad)"},
	{"CutOffIsOneByte", "e8 00 0f", 1, "(bad)"},
};

std::string row_name(const testing::TestParamInfo<Row> &info)
{
	return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Decode, Text, testing::ValuesIn(rows), row_name);

TEST(Decode, CapstoneVersionIsKnown)
{
#ifdef LYCH_TEST_CAPSTONE5
	EXPECT_EQ(std::string(lych_scan_capstone_version()).substr(0, 2), "5.");
#else
	EXPECT_STRNE(lych_scan_capstone_version(), "unknown");
#endif
}

TEST(Decode, FreeOfNothingIsAllowed)
{
	decoder_free(nullptr);
}

TEST(Decode, TextIsNeverEmptyAndNothingIsReadBeyondTheEnd)
{
	struct decoder *decoder;
	ASSERT_EQ(decoder_new(&decoder), 0);
	uint64_t state = 1;
	for (int i = 0; i < 200000; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		size_t len = 1 + (state >> 60);
		std::vector<uint8_t> code(len);
		for (uint8_t &b : code) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			b = static_cast<uint8_t>(state >> 56);
		}
		code.shrink_to_fit();
		struct lych_insn insn;
		decoder_insn(decoder, code.data(), code.size(), state, &insn);
		ASSERT_NE(insn.text[0], '\0');
		ASSERT_GE(insn.len, 1);
		ASSERT_LE(insn.len, len);
	}
	decoder_free(decoder);
}

} // namespace
