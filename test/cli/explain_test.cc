// SPDX-License-Identifier: Apache-2.0
#include "cli.h"

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

// "FILE:0xADDRESS" of the planted library's finding in that placement.
static std::string planted(const std::string &placement)
{
	for (const std::string &line : lines_of(lychgate({"scan", CLI_PLANTED}).out)) {
		if (line.find(": " + placement) != std::string::npos) {
			return line.substr(0, line.find(": stray"));
		}
	}
	ADD_FAILURE() << "no finding placed as " << placement;
	return "";
}

TEST(Explain, InstructionOnPurposeIsShownWithItsNeighboursAndAdvice)
{
	Outcome run = lychgate({"explain", planted("instruction")});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, ContainsRegex(":0x[0-9a-f]+: stray WRPKRU\n"));
	EXPECT_THAT(run.out, HasSubstr("  bytes      0f 01 ef\n"));
	EXPECT_THAT(run.out, HasSubstr("  placement  instruction: an instruction of its own"));
	EXPECT_THAT(run.out, HasSubstr("unsafe occurrence"));
	EXPECT_THAT(run.out, ContainsRegex("  function   in planted_open\\+0x[0-9a-f]+\n"));
	EXPECT_THAT(run.out, ContainsRegex("\n    0x[0-9a-f]+ +31 d2 +xor edx, edx\n  > "
					   "0x[0-9a-f]+ +0f 01 ef +wrpkru\n"));
	EXPECT_THAT(run.out, ContainsRegex("\n +\\^\\^ \\^\\^ \\^\\^\n"));
	EXPECT_THAT(run.out, HasSubstr("\nWhy it is dangerous\n  WRPKRU sets the access rights"));
	EXPECT_THAT(run.out, HasSubstr("\nWhat to do\n  - It is there on purpose"));
	for (const std::string &line : lines_of(run.out)) {
		EXPECT_TRUE(line.size() <= 100 || line.find(CLI_PLANTED) != std::string::npos)
			<< line;
	}
	EXPECT_EQ(run.err, "");
}

TEST(Explain, ImmediateIsUnderlinedWithinItsInstruction)
{
	Outcome run = lychgate({"explain", planted("inside immediate")});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, ContainsRegex("  > 0x[0-9a-f]+ +b8 90 0f 01 ef +mov eax, 0xef010f90\n"
					   " +\\^\\^ \\^\\^ \\^\\^\n"));
	size_t bytes = run.out.find("b8 90 0f 01 ef");
	size_t carets = run.out.find("^^");
	size_t column = bytes - run.out.rfind('\n', bytes);
	EXPECT_EQ(carets - run.out.rfind('\n', carets), column + 6) << "below the third byte\n"
								    << run.out;
	EXPECT_THAT(run.out, HasSubstr("build it in two steps"));
	EXPECT_THAT(run.out, HasSubstr("never meant these bytes as an instruction"));
}

TEST(Explain, AddressIsHexadecimalWithOrWithoutPrefix)
{
	std::string place = planted("instruction");
	std::string bare = place;
	bare.erase(bare.rfind("0x"), 2);
	EXPECT_EQ(lychgate({"explain", place}).out, lychgate({"explain", bare}).out);
}

TEST(Explain, PlaceWithoutFindingShowsInstructionsAndEndsWith0)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(clean_code()));
	Outcome run = lychgate({"explain", elf + ":1000"});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, HasSubstr(":0x1000: nothing here that lychgate looks for\n"));
	EXPECT_THAT(run.out, ContainsRegex("\n  - 0x1000 +31 c0 +xor eax, eax\n"));
	EXPECT_THAT(run.out, Not(HasSubstr("Why it is dangerous")));
}

TEST(Explain, LooksForEveryClass)
{
	Tree tree;
	Outcome run =
		lychgate({"explain", tree.file("a.so", elf_with({0x0f, 0x05, 0xc3})) + ":1000"});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr("stray SYSCALL"));
	EXPECT_THAT(run.out, HasSubstr("Do not try to remove it"));
}

TEST(Explain, RawCodeAndPathsWithColons)
{
	Tree tree;
	std::string raw = tree.file("a:b.bin", stray_code());
	Outcome run =
		lychgate({"explain", "--raw", "--base", "7f0000000000", raw + ":7f0000000002"});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr("a:b.bin:0x7f0000000002: stray WRPKRU"));
}

TEST(Explain, AddressOutsideTheCodeAndMissingFilesAreErrors)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(clean_code()));
	Outcome run = lychgate({"explain", elf + ":deadbeef"});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("0xdeadbeef is not in executable memory of"));
	run = lychgate({"explain", "/nonexistent:10"});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("/nonexistent"));
	EXPECT_THAT(run.err, HasSubstr("no such file"));
	EXPECT_EQ(count_of(run.err, "\n"), 1u) << "said once";
}

TEST(Explain, OutputThatCannotBeWrittenIsAnInternalError)
{
	EXPECT_EQ(lychgate({"explain", planted("instruction")}, output_to("/dev/full")).exit_code,
		  4);
}

TEST(Explain, ControlCharactersInNamesCannotReachTheTerminal)
{
	Tree tree;
	std::string elf = tree.file("a\033[2J\n\x9b\\.so", elf_with(stray_code()));
	std::string broken = tree.text("b\033[2J\n\x9b\\.so", "\x7f" "ELF");
	for (const std::string &place :
	     {elf + ":1002", elf + ":deadbeef", elf + ":zz", broken + ":10", elf + ".none:10"}) {
		Outcome run = lychgate({"explain", place});
		EXPECT_THAT(run.out + run.err, Not(HasSubstr("\033"))) << place;
		EXPECT_THAT(run.out + run.err, Not(HasSubstr("\x9b"))) << place;
		EXPECT_THAT(run.out + run.err, Not(HasSubstr("\\\\\\"))) << "escaped once";
	}
}
