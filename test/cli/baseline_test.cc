// SPDX-License-Identifier: Apache-2.0
#include "cli.h"

#include <sys/stat.h>
#include <unistd.h>

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

static const std::vector<uint8_t> id1(20, 0x11);
static const std::vector<uint8_t> id2(20, 0x22);

TEST(Baseline, WhatItListsIsReportedAsKnownAndDoesNotFail)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code(), id1));
	std::string baseline = tree.path("baseline");
	Outcome run = lychgate({"scan", "--baseline", baseline, "--update-baseline", elf});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_EQ(read_text(baseline).find("# lychgate baseline 1\n"), 0u);
	EXPECT_THAT(
		read_text(baseline),
		HasSubstr("\nwrpkru 0x1002 build-id:1111111111111111111111111111111111111111\t" +
			  elf + "\n"));
	run = lychgate({"scan", "--baseline", baseline, elf});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, HasSubstr("stray wrpkru")) << "still reported";
	EXPECT_THAT(run.out, HasSubstr("  [known]\n"));
	EXPECT_THAT(run.err, HasSubstr("1 known"));
}

TEST(Baseline, NewFindingsStillFail)
{
	Tree tree;
	std::string baseline = tree.path("baseline");
	std::string elf = tree.file("a.so", elf_with(stray_code(), id1));
	ASSERT_EQ(lychgate({"scan", "--baseline", baseline, "--update-baseline", elf}).exit_code,
		  0);
	std::vector<uint8_t> moved = stray_code();
	moved.insert(moved.begin(), 0x90);
	tree.file("a.so", elf_with(moved, id1));
	EXPECT_EQ(lychgate({"scan", "--baseline", baseline, elf}).exit_code, 1) << "another offset";
	tree.file("a.so", elf_with(stray_code(), id2));
	EXPECT_EQ(lychgate({"scan", "--baseline", baseline, elf}).exit_code, 1) << "another build";
}

TEST(Baseline, BuildIdCountsUnderAnyNameAndPathCountsWithoutOne)
{
	Tree tree;
	RunOptions in_tree;
	in_tree.cwd = tree.path();
	tree.file("with.so", elf_with(stray_code(), id1));
	tree.file("without.so", elf_with(stray_code()));
	ASSERT_EQ(
		lychgate({"scan", "--baseline", "b", "--update-baseline", "with.so", "without.so"},
			 in_tree)
			.exit_code,
		0);
	rename(tree.path("with.so").c_str(), tree.path("renamed.so").c_str());
	EXPECT_EQ(lychgate({"scan", "--baseline", "b", "renamed.so", "without.so"}, in_tree)
			  .exit_code,
		  0);
	rename(tree.path("without.so").c_str(), tree.path("other.so").c_str());
	EXPECT_EQ(lychgate({"scan", "--baseline", "b", "other.so"}, in_tree).exit_code, 1);
}

TEST(Baseline, UpdateIsSortedWithoutRepetitionsAndForgetsWhatIsGone)
{
	Tree tree;
	std::string baseline = tree.path("baseline");
	std::string b = tree.file("b.so", elf_with(stray_code(), id2));
	std::string a = tree.file("a.so", elf_with(stray_code(), id1));
	std::string copy = tree.file("copy.so", elf_with(stray_code(), id1));
	ASSERT_EQ(lychgate({"scan", "--baseline", baseline, "--update-baseline", b, copy, a})
			  .exit_code,
		  0);
	std::vector<std::string> lines = lines_of(read_text(baseline));
	ASSERT_EQ(lines.size(), 4u) << read_text(baseline);
	EXPECT_THAT(lines[2], HasSubstr("build-id:1111"));
	EXPECT_THAT(lines[3], HasSubstr("build-id:2222"));
	ASSERT_EQ(lychgate({"scan", "--baseline", baseline, "--update-baseline", a}).exit_code, 0);
	EXPECT_THAT(read_text(baseline), Not(HasSubstr("2222")));
}

TEST(Baseline, GatesAndAcceptedFindingsAreNotListed)
{
	Tree tree;
	std::string libc = "/lib/x86_64-linux-gnu/libc.so.6";
	if (access(libc.c_str(), R_OK) != 0) {
		GTEST_SKIP() << "no " << libc;
	}
	std::string baseline = tree.path("baseline");
	Outcome run = lychgate(
		{"scan", "--assume-runtime", "--baseline", baseline, "--update-baseline", libc});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(read_text(baseline), Not(HasSubstr("wrpkru")));
}

TEST(Baseline, MissingFileIsAnErrorUnlessItIsToBeWritten)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(clean_code()));
	Outcome run = lychgate({"scan", "--baseline", tree.path("none"), elf});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("none: no such file"));
	EXPECT_EQ(lychgate({"scan", "--baseline", tree.path("none"), "--update-baseline", elf})
			  .exit_code,
		  0);
	EXPECT_EQ(lychgate({"scan", "--baseline", tree.path("none"), elf}).exit_code, 0);
}

TEST(Baseline, WhatIsNotABaselineIsRefusedAndNeverOverwritten)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code()));
	std::string before = read_text(elf);
	Outcome run = lychgate({"scan", "--baseline", elf, "--update-baseline", elf});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("not a baseline"));
	EXPECT_EQ(read_text(elf), before);
	std::string text = tree.text("text", "hello\n");
	EXPECT_EQ(lychgate({"scan", "--baseline", text, "--update-baseline", elf}).exit_code, 2);
	EXPECT_EQ(read_text(text), "hello\n");
}

TEST(Baseline, FileThatWasScannedIsNotOverwritten)
{
	Tree tree;
	std::string content = "# lychgate baseline 1\n";
	std::string baseline = tree.text("baseline", content);
	tree.link("link", "baseline");
	Outcome run = lychgate(
		{"scan", "--raw", "--baseline", baseline, "--update-baseline", tree.path("link")});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("was itself scanned"));
	EXPECT_EQ(read_text(baseline), content);
}

struct BadLine {
	const char *name;
	const char *line;
};

class BadBaseline : public testing::TestWithParam<BadLine>
{
};

TEST_P(BadBaseline, IsRefusedWithTheLineNumber)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(clean_code()));
	std::string baseline = tree.text("baseline", std::string("# lychgate baseline 1\n\n") +
							     GetParam().line + "\n");
	Outcome run = lychgate({"scan", "--baseline", baseline, elf});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("baseline:3: not a line of a baseline"));
}

INSTANTIATE_TEST_SUITE_P(Lines, BadBaseline,
			 testing::ValuesIn(std::vector<BadLine>{
				 {"UnknownClass", "foo 0x10 path:a"},
				 {"EmptyClass", " 0x10 path:a"},
				 {"NoOffset", "wrpkru path:a"},
				 {"OffsetNotHex", "wrpkru 0xzz path:a"},
				 {"OffsetBeyond64Bits", "wrpkru 0x10000000000000000 path:a"},
				 {"NoIdentity", "wrpkru 0x10"},
				 {"EmptyIdentity", "wrpkru 0x10 build-id:"},
				 {"UnknownIdentity", "wrpkru 0x10 sha1:aa"},
				 {"OnlyAWord", "wrpkru"},
			 }),
			 [](const auto &row) { return row.param.name; });

TEST(Baseline, CommentsBlankLinesAndDosLineEndsAreFine)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code(), id1));
	std::string baseline = tree.text(
		"baseline", "# lychgate baseline 1\r\n\r\n# because\r\n"
			    "wrpkru 0x1002 build-id:1111111111111111111111111111111111111111\r\n");
	EXPECT_EQ(lychgate({"scan", "--baseline", baseline, elf}).exit_code, 0);
}

TEST(Baseline, IsNotUpdatedWhenSomethingCouldNotBeRead)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code(), id1));
	std::string baseline = tree.path("baseline");
	Outcome run = lychgate(
		{"scan", "--baseline", baseline, "--update-baseline", elf, "/nonexistent"});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.err, HasSubstr("not updated"));
	EXPECT_NE(access(baseline.c_str(), F_OK), 0);
	run = lychgate({"scan", "--skip-unreadable", "--baseline", baseline, "--update-baseline",
			elf, "/nonexistent"});
	EXPECT_EQ(run.exit_code, 0) << run;
}

TEST(Baseline, UpdateKeepsLinkAndModeAndLeavesNothingBeside)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code(), id1));
	tree.dir("d");
	std::string target = tree.text("d/target", "");
	chmod(target.c_str(), 0640);
	tree.link("link", "d/target");
	Outcome run = lychgate({"scan", "--baseline", tree.path("link"), "--update-baseline", elf});
	EXPECT_EQ(run.exit_code, 0) << run;
	struct stat st;
	ASSERT_EQ(lstat(tree.path("link").c_str(), &st), 0);
	EXPECT_TRUE(S_ISLNK(st.st_mode));
	ASSERT_EQ(stat(target.c_str(), &st), 0);
	EXPECT_EQ(st.st_mode & 0777, 0640u);
	EXPECT_THAT(read_text(target), HasSubstr("wrpkru"));
	EXPECT_EQ(system(("test \"$(ls -A " + tree.path("d") + ")\" = target").c_str()), 0);
	EXPECT_EQ(lychgate({"scan", "--baseline", tree.path("none/b"), "--update-baseline", elf})
			  .exit_code,
		  2);
}

TEST(Baseline, WhatIsNoFileIsRefusedAtOnce)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code(), id1));
	ASSERT_EQ(mkfifo(tree.path("fifo").c_str(), 0600), 0);
	for (const std::string &baseline : {tree.path("fifo"), tree.dir("d"), std::string("/dev/null")}) {
		for (bool update : {false, true}) {
			std::vector<std::string> args = {"scan", "--baseline", baseline, elf};
			if (update) {
				args.push_back("--update-baseline");
			}
			Outcome run = lychgate(args);
			EXPECT_EQ(run.exit_code, 2) << run;
			EXPECT_EQ(run.out, "");
			EXPECT_THAT(run.err, HasSubstr(baseline));
		}
	}
	struct stat st;
	ASSERT_EQ(stat("/dev/null", &st), 0);
	EXPECT_TRUE(S_ISCHR(st.st_mode));
}
