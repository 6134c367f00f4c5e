// SPDX-License-Identifier: Apache-2.0
// What kind of file it is, and strings for reports.
#include <gtest/gtest.h>

#include <string>
#include <vector>

extern "C" {
#include "elf.h"
}

namespace
{

// ---- what kind of file --------------------------------------------------------------------------

struct KindRow {
	const char *name;
	uint8_t klass, data;
	uint16_t machine, type;
	elf_kind kind;
	const char *text; // of elf_foreign_name, for foreign files
};

class Kinds : public testing::TestWithParam<KindRow>
{
};

TEST_P(Kinds, AreToldApart)
{
	const KindRow &row = GetParam();
	bool big = row.data == ELFDATA2MSB;
	uint8_t head[20] = {0x7f, 'E', 'L', 'F', row.klass, row.data, 1};
	head[big ? 17 : 16] = static_cast<uint8_t>(row.type);
	head[big ? 19 : 18] = static_cast<uint8_t>(row.machine);
	head[big ? 18 : 19] = static_cast<uint8_t>(row.machine >> 8);
	EXPECT_EQ(elf_identify(head, sizeof(head)), row.kind);
	char buf[80];
	if (row.kind == ELF_KIND_FOREIGN) {
		EXPECT_STREQ(elf_foreign_name(head, sizeof(head), buf, sizeof(buf)), row.text);
	}
}

INSTANTIATE_TEST_SUITE_P(
	Elf, Kinds,
	testing::Values(
		KindRow{"Library", 2, 1, EM_X86_64, ET_DYN, ELF_KIND_X86_64, ""},
		KindRow{"Executable", 2, 1, EM_X86_64, ET_EXEC, ELF_KIND_X86_64, ""},
		KindRow{"Object", 2, 1, EM_X86_64, ET_REL, ELF_KIND_X86_64, ""},
		KindRow{"Core", 2, 1, EM_X86_64, ET_CORE, ELF_KIND_CORE, ""},
		KindRow{"I386", 1, 1, EM_386, ET_EXEC, ELF_KIND_FOREIGN, "ELF32 i386"},
		KindRow{"X32", 1, 1, EM_X86_64, ET_DYN, ELF_KIND_FOREIGN, "x32"},
		KindRow{"Aarch64", 2, 1, EM_AARCH64, ET_DYN, ELF_KIND_FOREIGN, "ELF64 aarch64"},
		KindRow{"Arm", 1, 1, EM_ARM, ET_DYN, ELF_KIND_FOREIGN, "ELF32 arm"},
		KindRow{"CoreOfAnother", 2, 1, EM_AARCH64, ET_CORE, ELF_KIND_FOREIGN,
			"ELF64 aarch64"},
		KindRow{"BigEndianMachine", 2, 2, EM_S390, ET_DYN, ELF_KIND_FOREIGN,
			"ELF64 s390 (big-endian)"},
		KindRow{"BigEndianX86", 2, 2, EM_X86_64, ET_DYN, ELF_KIND_FOREIGN,
			"ELF64 x86-64 (big-endian)"},
		KindRow{"UnknownMachine", 2, 2, 4711, ET_DYN, ELF_KIND_FOREIGN,
			"ELF64 machine 4711 (big-endian)"},
		KindRow{"NoClass", 0, 1, EM_X86_64, ET_DYN, ELF_KIND_FOREIGN, "ELF class 0 x86-64"},
		KindRow{"NoByteOrder", 2, 7, EM_X86_64, ET_DYN, ELF_KIND_FOREIGN,
			"ELF64 x86-64 (unknown byte order)"}),
	[](const testing::TestParamInfo<KindRow> &row) { return row.param.name; });

TEST(Elf, ShortBeginningsAreJudgedByWhatIsThere)
{
	const uint8_t head[20] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0,
				  0,    0,   0,   0,   0, 0, 3, 0, 62};
	EXPECT_EQ(elf_identify(head, 0), ELF_KIND_NONE);
	EXPECT_EQ(elf_identify(head, 3), ELF_KIND_NONE);
	EXPECT_EQ(elf_identify(head, 4), ELF_KIND_X86_64);
	EXPECT_EQ(elf_identify(head, 19), ELF_KIND_X86_64);
	const uint8_t narrow[5] = {0x7f, 'E', 'L', 'F', 1};
	EXPECT_EQ(elf_identify(narrow, 5), ELF_KIND_FOREIGN);
	char buf[40];
	EXPECT_STREQ(elf_foreign_name(narrow, 5, buf, sizeof(buf)), "ELF (truncated)");
	EXPECT_EQ(elf_identify(reinterpret_cast<const uint8_t *>("#!/bin/sh"), 9), ELF_KIND_NONE);
}

TEST(Elf, ForeignNamesFitAnyBuffer)
{
	uint8_t head[20] = {0x7f, 'E', 'L', 'F', 1, 2, 1};
	char buf[8];
	EXPECT_STREQ(elf_foreign_name(head, sizeof(head), buf, sizeof(buf)), "ELF32 m");
}

// ---- strings ------------------------------------------------------------------------------------

std::string Clean(const std::string &text, size_t size = 100)
{
	std::vector<char> buf(size + 1, '#');
	elf_clean_string(buf.data(), size, text.data(), text.size());
	EXPECT_EQ(buf[size], '#');
	return size > 0 ? buf.data() : "";
}

TEST(Elf, StringsAreCleanedForReports)
{
	EXPECT_EQ(Clean("memcpy@@GLIBC"), "memcpy@@GLIBC");
	EXPECT_EQ(Clean("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
	EXPECT_EQ(Clean("a\tb\nc\x7f"), "a?b?c?");
	EXPECT_EQ(Clean("\xff\xc0\x80\xed\xa0\x80"),
		  "??????"); // no byte of UTF-8, too long a form, a surrogate
	EXPECT_EQ(Clean("\xe2\x82"), "??");
	EXPECT_EQ(Clean("\xc2\x9b"
			"31m"),
		  "?31m"); // CSI as one character
	EXPECT_EQ(Clean("a\xe2\x80\xae"
			"b"),
		  "a?b");                             // right-to-left override
	EXPECT_EQ(Clean("\xf4\x90\x80\x80"), "????"); // beyond the last code point
	EXPECT_EQ(Clean(std::string("ab\0cd", 5)), "ab");
}

TEST(Elf, StringsAreCutBetweenCharacters)
{
	EXPECT_EQ(Clean("abcdef", 4), "abc");
	EXPECT_EQ(Clean("ab\xe2\x82\xac", 5), "ab");
	EXPECT_EQ(Clean("ab\xe2\x82\xac", 6), "ab\xe2\x82\xac");
	EXPECT_EQ(Clean("abc", 1), "");
	EXPECT_EQ(Clean("abc", 0), "");
}

} // namespace
