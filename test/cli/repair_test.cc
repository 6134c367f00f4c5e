// SPDX-License-Identifier: Apache-2.0
// `lychgate repair --plan` as a user runs it.
#include "cli.h"
#include "elf_builder.h"

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

namespace
{

std::vector<uint8_t> code(std::initializer_list<int> bytes)
{
	return {bytes.begin(), bytes.end()};
}

// rol r15d, 0xf; add edi, ebp; ret: as in libnettle
std::vector<uint8_t> spanning_code()
{
	return code({0x41, 0xc1, 0xc7, 0x0f, 0x01, 0xef, 0xc3});
}

} // namespace

TEST(Repair, EachEditIsShownBeforeAndAfter)
{
	Tree tree;
	std::string path = tree.file("a.so", elf_with(spanning_code()));
	Outcome run = lychgate({"repair", "--plan", path});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, StartsWith(path + ":0x1003: re-encoded wrpkru: spanning\n"
					       "  - 0x1004  01 ef                    add edi, ebp\n"
					       "  + 0x1004  03 fd                    add edi, ebp\n"));
	EXPECT_EQ(run.err, "lychgate: 1 file: 1 sequence can be repaired, 0 cannot\n");
}

TEST(Repair, TrampolineIsShown)
{
	Tree tree;
	std::string path = tree.file("a.so", elf_with(code({0xe8, 0x0f, 0xae, 0x28, 0x00, 0xc3})));
	Outcome run = lychgate({"repair", "--plan", path});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, ContainsRegex("  > 0x[0-9a-f]+  e9 .. .. .. ..           jmp 0x28be14\n"));
}

TEST(Repair, WhatCannotBeRepairedIsGivenAReasonAndExitCode1)
{
	Tree tree;
	std::string path = tree.file("a.so", elf_with(code({0x67, 0x0f, 0xae, 0x28, 0xc3})));
	Outcome run = lychgate({"repair", "--plan", path});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr(": refused xrstor: instruction: an XRSTOR with 32-bit addresses"));
	EXPECT_THAT(run.err, HasSubstr("0 sequences can be repaired, 1 cannot"));
}

TEST(Repair, CleanFileGivesNothingAndExitCode0)
{
	Tree tree;
	Outcome run = lychgate({"repair", "--plan", tree.file("a.so", elf_with(clean_code()))});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_EQ(run.out, "");
}

TEST(Repair, DirectoryIsWalkedAndOtherFilesPassedOver)
{
	Tree tree;
	tree.file("sub/a.so", elf_with(spanning_code()));
	tree.file("sub/b.so", elf_with(stray_code()));
	tree.text("readme", "no code");
	Outcome run = lychgate({"repair", "--plan", "--exclude", "b.so", tree.path()});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_EQ(count_of(run.out, "re-encoded"), 1u);
	EXPECT_EQ(count_of(run.out, "trapped"), 0u);
	EXPECT_EQ(count_of(lychgate({"repair", "--plan", tree.path()}).out, "trapped"), 1u);
}

TEST(Repair, UnreadableFileIsExitCode2UnlessSomethingIsRefused)
{
	Tree tree;
	std::string refused = tree.file("a.so", elf_with(code({0x67, 0x0f, 0xae, 0x28, 0xc3})));
	std::string text = tree.text("readme", "no code");
	EXPECT_EQ(lychgate({"repair", "--plan", tree.path("missing")}).exit_code, 2);
	EXPECT_EQ(lychgate({"repair", "--plan", text}).exit_code, 2);
	EXPECT_EQ(lychgate({"repair", "--plan", text, refused}).exit_code, 1);
	EXPECT_EQ(lychgate({"repair", "--plan", "/dev/null"}).exit_code, 2);
}

TEST(Repair, OutputThatCannotBeWrittenIsAnInternalError)
{
	Tree tree;
	std::string path = tree.file("a.so", elf_with(spanning_code()));
	EXPECT_EQ(lychgate({"repair", "--plan", path}, output_to("/dev/full")).exit_code, 4);
}

TEST(Repair, DependenciesArePlannedOnce)
{
	Outcome run = lychgate({"repair", "--plan", "-q", "--summary", "--deps", CLI_USER, "--deps", CLI_USER});
	EXPECT_THAT(run.out, ContainsRegex("^repair +wrpkru"));
	Outcome twice = lychgate({"repair", "--plan", "-q", "--summary", "--deps", CLI_USER});
	EXPECT_EQ(run.out, twice.out);
	EXPECT_EQ(run.exit_code, 0) << run;
}

TEST(Repair, TableSaysWhatIsGoneFromTheChangedCopyAndWhatIsNotApart)
{
	Tree tree;
	tree.file("a.so", elf_with(spanning_code()));
	tree.file("b.so", elf_with(code({0xe8, 0x0f, 0xae, 0x28, 0x00, 0xc3})));
	tree.file("c.so", elf_with(code({0x67, 0x0f, 0xae, 0x28, 0xc3}))); // refused
	Outcome run = lychgate({"repair", "--plan", "-q", "--summary", tree.path()});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr("                                   found      planned        clean\n"
				       "in code              wrpkru            1            1            1\n"
				       "in code              xrstor            2            1            1\n"
				       "in code                 all            3            2            2\n"
				       "in data                 all            0            0            0\n"
				       "undecided               all            0            0            0\n"));
	run = lychgate({"repair", "--plan", "--format", "jsonl", tree.path()});
	auto summary = records(run.out, "summary");
	ASSERT_EQ(summary.size(), 1u) << run;
	EXPECT_EQ(string_at(summary[0], "table/1/where"), "in code");
	EXPECT_EQ(string_at(summary[0], "table/1/class"), "xrstor");
	EXPECT_EQ(json_integer_value(at(summary[0], "table/1/found")), 2);
	EXPECT_EQ(json_integer_value(at(summary[0], "table/1/planned")), 1);
	EXPECT_EQ(json_integer_value(at(summary[0], "table/1/clean")), 1);
	EXPECT_EQ(json_array_size(at(summary[0], "table")), 2u);
}

TEST(Repair, TableCountsDataThatIsLeftAsNotPlanned)
{
	Tree tree;
	ElfBuilder library;
	library.segment(PF_R | PF_X, 0x1000, 0x1000, 0x10);
	library.section(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, 0x1000, 0x10);
	library.symbol("f", 0x1000, 1);
	library.symbol("table", 0x1008, 8, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT));
	library.bytes(0x1000, {0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x01, 0xef, 0, 0, 0, 0, 0});
	tree.file("a.so", library.build());
	Outcome told = lychgate({"repair", "--plan", "-q", "--summary", "--leave-data", tree.path()});
	EXPECT_THAT(told.out, HasSubstr("in data              wrpkru            1            0            0\n")) << told;
}

TEST(Repair, ObjectsInAnArchiveAreNotLoaded)
{
	Outcome run = lychgate({"repair", "--plan", CLI_ARCHIVE});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, ContainsRegex("\\.a\\(.*\\):0x[0-9a-f]+: not-loaded wrpkru"));
}

TEST(Repair, EveryPlantedSequenceIsRepaired)
{
	Outcome run = lychgate({"repair", "--plan", CLI_PLANTED});
	Outcome scan = lychgate({"scan", CLI_PLANTED});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_EQ(count_of(run.out, CLI_PLANTED), count_of(scan.out, ": stray ")) << run << scan;
	EXPECT_THAT(run.out, Not(HasSubstr("refused")));
}

TEST(Repair, InstructionThatTheUserNamesIsBelieved)
{
	Tree tree;
	// bytes that decode in no way from their start, then a call
	std::vector<uint8_t> raw(64, 0x06);
	for (int byte : {0xe8, 0x0f, 0xae, 0x28, 0x00, 0xc3}) {
		raw.push_back(static_cast<uint8_t>(byte));
	}
	std::string path = tree.file("flat", raw);
	Outcome run = lychgate({"repair", "--plan", "--raw", "--base", "400000", path});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr(": refused xrstor: undecided: "));
	run = lychgate({"repair", "--plan", "--raw", "--base", "400000", "--insn", "400040", path});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, HasSubstr(":0x400041: retargeted xrstor"));
}

TEST(Repair, JsonLinesHoldTheSamePlan)
{
	Tree tree;
	std::string path = tree.file("a.so", elf_with(code({0xe8, 0x0f, 0xae, 0x28, 0x00, 0xc3})));
	Outcome run = lychgate({"repair", "--plan", "--format", "jsonl", path});
	EXPECT_EQ(run.exit_code, 0) << run;
	auto header = records(run.out, "header");
	ASSERT_EQ(header.size(), 1u) << run;
	EXPECT_EQ(string_at(header[0], "schema"), "lychgate-repair/1");
	auto plans = records(run.out, "repair");
	ASSERT_EQ(plans.size(), 1u) << run;
	EXPECT_EQ(string_at(plans[0], "kind"), "retargeted");
	EXPECT_EQ(string_at(plans[0], "vaddr"), "0x1001");
	EXPECT_EQ(string_at(plans[0], "edits/0/old"), "e80fae2800");
	EXPECT_EQ(string_at(plans[0], "edits/0/before/0"), "call 0x28be14");
	EXPECT_EQ(string_at(plans[0], "trampoline/site"), "0x1000");
	EXPECT_EQ(string_at(plans[0], "trampoline/fixups/0/target"), "0x28be14");
	auto summary = records(run.out, "summary");
	ASSERT_EQ(summary.size(), 1u);
	EXPECT_EQ(json_integer_value(at(summary[0], "exit_code")), 0);
	EXPECT_EQ(string_at(summary[0], "counts/0/kind"), "retargeted");
}
