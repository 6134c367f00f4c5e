// SPDX-License-Identifier: Apache-2.0
// Text output and exit codes of `lychgate scan` on single files.
#include "cli.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

static const std::vector<uint8_t> syscall_code = {0x0f, 0x05, 0xc3};

TEST(Scan, FindingIsOneLineInTheDocumentedForm)
{
	Tree tree;
	std::string elf = tree.file("bad.so", elf_with(stray_code()));
	Outcome run = lychgate({"scan", elf});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_EQ(run.out, elf + ":0x1002: stray wrpkru: instruction: 0f 01 ef  ; wrpkru\n");
	EXPECT_THAT(run.err, HasSubstr("1 file scanned")) << run;
	EXPECT_THAT(run.err, HasSubstr("1 finding fails (1 stray)")) << run;
}

TEST(Scan, CleanFileSaysSoAndEndsWith0)
{
	Tree tree;
	Outcome run = lychgate({"scan", tree.file("good.so", elf_with(clean_code()))});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_EQ(run.out, "");
	EXPECT_THAT(run.err, HasSubstr("1 file scanned"));
	EXPECT_THAT(run.err, HasSubstr("nothing that fails"));
}

TEST(Scan, LibraryFromTheToolchainIsPlacedInItsFunctions)
{
	Outcome run = lychgate({"scan", CLI_PLANTED});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out,
		    ContainsRegex(
			    "stray wrpkru: instruction: 0f 01 ef  ; wrpkru  in planted_open\\+0x"));
	EXPECT_THAT(
		run.out,
		ContainsRegex("stray wrpkru: inside immediate: 0f 01 ef  ; mov eax, 0xef010f90  in "
			      "planted_constant\\+0x"));
	EXPECT_EQ(lines_of(run.out).size(), 2u) << run;
}

TEST(Scan, VerboseAddsSectionOffsetBuildIdAndReason)
{
	Outcome run = lychgate({"scan", "-v", CLI_PLANTED});
	EXPECT_THAT(
		run.out,
		ContainsRegex(
			"\n\tsection \\.text, file offset 0x[0-9a-f]+, build-id [0-9a-f]{40}: ."));
	Tree tree;
	run = lychgate({"scan", "-v", tree.file("a.so", elf_with(stray_code()))});
	EXPECT_THAT(run.out, HasSubstr("\tsection .text, file offset 0x1002, no build-id: "))
		<< run;
}

TEST(Scan, ArchiveMembersAreNamed)
{
	Outcome run = lychgate({"scan", CLI_ARCHIVE});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr(std::string(CLI_ARCHIVE) + "(planted.c.o):0x")) << run;
	EXPECT_THAT(run.out, Not(HasSubstr("clean.c.o")));
}

TEST(Scan, QuietPrintsNothingAtAllForFindings)
{
	Tree tree;
	Outcome run = lychgate({"scan", "-q", tree.file("bad.so", elf_with(stray_code()))});
	EXPECT_EQ(run.exit_code, 1);
	EXPECT_EQ(run.out + run.err, "") << run;
}

TEST(Scan, QuietStillReportsErrors)
{
	Outcome run = lychgate({"scan", "-q", "/nonexistent/file"});
	EXPECT_EQ(run.exit_code, 2);
	EXPECT_EQ(run.err, "lychgate: /nonexistent/file: error: no such file or process\n");
}

TEST(Scan, SummaryCountsByClassVerdictAndPlacement)
{
	Outcome run = lychgate({"scan", "--summary", CLI_PLANTED});
	EXPECT_EQ(run.exit_code, 1);
	EXPECT_THAT(
		run.out,
		ContainsRegex("\n\nclass +verdict +placement +fails +known +reported +accepted\n"));
	EXPECT_THAT(run.out, ContainsRegex("\nwrpkru +stray +instruction +1 +0 +0 +0\n"));
	EXPECT_THAT(run.out, ContainsRegex("\nwrpkru +stray +inside +1 +0 +0 +0\n"));
	EXPECT_THAT(run.out, ContainsRegex("\ntotal +2 +0 +0 +0\n"));
	EXPECT_THAT(run.out, HasSubstr("\nfiles 1, processes 0, images 1, "));
}

TEST(Scan, QuietSummaryIsOnlyTheTable)
{
	Outcome run = lychgate({"scan", "-q", "--summary", CLI_PLANTED});
	EXPECT_EQ(run.exit_code, 1);
	EXPECT_EQ(run.out.find("class "), 0u) << run;
	EXPECT_EQ(run.err, "");
}

// ---- what is looked for ------------------------------------------------------------------------

TEST(Scan, ClassesOutsideThePolicyAreNotLookedFor)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(syscall_code));
	EXPECT_EQ(lychgate({"scan", elf}).exit_code, 0);
	Outcome run = lychgate({"scan", "--find", "syscall", elf});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr(":0x1000: stray syscall: instruction: 0f 05  ; syscall"))
		<< run;
}

TEST(Scan, PoliciesAddClasses)
{
	Tree tree;
	// wrgsbase rax; wrfsbase rax; enclu
	std::string gs = tree.file("gs.so", elf_with({0xf3, 0x48, 0x0f, 0xae, 0xd8, 0xc3}));
	std::string fs = tree.file("fs.so", elf_with({0xf3, 0x48, 0x0f, 0xae, 0xd0, 0xc3}));
	std::string enclu = tree.file("enclu.so", elf_with({0x0f, 0x01, 0xd7, 0xc3}));
	EXPECT_EQ(lychgate({"scan", "--policy", "pkru", gs, fs, enclu}).exit_code, 0);
	EXPECT_EQ(lychgate({"scan", "--policy", "host", gs}).exit_code, 1);
	EXPECT_EQ(lychgate({"scan", "--policy", "host", fs, enclu}).exit_code, 0);
	EXPECT_EQ(lychgate({"scan", "--policy", "domain", fs}).exit_code, 1);
	EXPECT_EQ(lychgate({"scan", "--policy", "domain", enclu}).exit_code, 1);
}

TEST(Scan, FailOnNarrowsWhatFailsAndSearchesForItAsWell)
{
	Tree tree;
	std::string stray = tree.file("stray.so", elf_with(stray_code()));
	std::string sys = tree.file("sys.so", elf_with(syscall_code));

	Outcome run = lychgate({"scan", "--fail-on", "syscall", stray});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, HasSubstr("stray wrpkru")) << "still reported";
	EXPECT_THAT(run.out, HasSubstr("  [reported]\n"));
	EXPECT_EQ(lychgate({"scan", "--fail-on", "syscall", sys}).exit_code, 1);
	EXPECT_EQ(lychgate({"scan", "--fail-on", "wrpkru,syscall", stray}).exit_code, 1);
}

TEST(Scan, AssumeRuntimeAcceptsTheCLibrarysOwnAndNothingElse)
{
	Tree tree;
	std::string libc = "/lib/x86_64-linux-gnu/libc.so.6";
	if (access(libc.c_str(), R_OK) != 0) {
		GTEST_SKIP() << "no " << libc;
	}
	Outcome run = lychgate({"scan", libc});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr("runtime-handled wrpkru: instruction: 0f 01 ef")) << run;
	run = lychgate({"scan", "--assume-runtime", libc});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, HasSubstr("[accepted]"));
	EXPECT_EQ(lychgate({"scan", "--assume-runtime", tree.file("a.so", elf_with(stray_code()))})
			  .exit_code,
		  1);
}

TEST(Scan, RawCodeHasTheAddressesThatBaseGives)
{
	Tree tree;
	std::string raw = tree.file("code.bin", stray_code());
	Outcome run = lychgate({"scan", "--raw", raw});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, HasSubstr("code.bin:0x2: stray wrpkru"));
	run = lychgate({"scan", "--raw", "--base", "0xffffffffff600000", raw});
	EXPECT_THAT(run.out, HasSubstr("code.bin:0xffffffffff600002: stray wrpkru")) << run;
	EXPECT_EQ(lychgate({"scan", raw}).exit_code, 2) << "without --raw it is not code";
}

// ---- errors ------------------------------------------------------------------------------------

TEST(ScanErrors, FileGivenByNameThatIsNotCodeIsAnError)
{
	Tree tree;
	Outcome run = lychgate({"scan", tree.text("readme.txt", "hello")});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("readme.txt: error: "));
	EXPECT_THAT(run.err, HasSubstr("1 could not be read completely"));
}

TEST(ScanErrors, FindingsOutweighUnreadableFiles)
{
	Tree tree;
	std::string bad = tree.file("bad.so", elf_with(stray_code()));
	Outcome run = lychgate({"scan", "/nonexistent", bad});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.err, HasSubstr("/nonexistent: error"));
}

TEST(ScanErrors, UnreadableFileEndsWith2UnlessSkipped)
{
	Tree tree;
	std::string good = tree.file("good.so", elf_with(clean_code()));
	std::string locked = tree.file("locked.so", elf_with(clean_code()));
	chmod(locked.c_str(), 0);
	RunOptions mortal;
	mortal.no_dac_override = true;
	Outcome run = lychgate({"scan", good, locked}, mortal);
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("locked.so: error: permission denied"));
	EXPECT_EQ(lychgate({"scan", "--skip-unreadable", good, locked}, mortal).exit_code, 0);
}

TEST(ScanErrors, DevicesAndFifosAreRefusedWithoutOpeningThem)
{
	Tree tree;
	std::string fifo = tree.path("fifo");
	ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
	Outcome run = lychgate({"scan", fifo, "/dev/null"});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("fifo: error: not a regular file"));
	EXPECT_THAT(run.err, HasSubstr("/dev/null: error: not a regular file"));
}

TEST(ScanErrors, MaxSizeRefusesLargerFilesAloud)
{
	Tree tree;
	std::string elf = tree.file("bad.so", elf_with(stray_code()));
	Outcome run = lychgate({"scan", "--max-size", "1K", elf});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("more than the limit"));
	EXPECT_EQ(lychgate({"scan", "--max-size", "1M", elf}).exit_code, 1);
}

TEST(ScanErrors, TimeoutGivesUpOnAFileAloud)
{
	Tree tree;
	std::string large = tree.file("large.bin", std::vector<uint8_t>(size_t{64} << 20, 0x90));
	Outcome run = lychgate({"scan", "--raw", "--timeout", "0.001", large});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("time limit"));
}

TEST(ScanErrors, SparseTerabytesTakeNoTime)
{
	Tree tree;
	std::string sparse = tree.file("sparse.bin", stray_code());
	ASSERT_EQ(truncate(sparse.c_str(), off_t{1} << 40), 0);
	Outcome run = lychgate({"scan", "--raw", "--timeout", "20", sparse});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_EQ(count_of(run.out, "stray"), 1u);
}

TEST(ScanErrors, CoreFilesAndOtherMachinesAreRefusedByNameWhenNamed)
{
	Tree tree;
	std::vector<uint8_t> core = elf_with(stray_code());
	core[16] = 4; // e_type = ET_CORE
	std::vector<uint8_t> arm = elf_with(stray_code());
	arm[18] = 183; // e_machine = EM_AARCH64
	arm[19] = 0;
	Outcome run = lychgate({"scan", tree.file("core", core), tree.file("arm.so", arm)});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, ContainsRegex("/core: error: .*core file"));
	EXPECT_THAT(run.err, ContainsRegex("/arm\\.so: error: "));
	EXPECT_EQ(run.out, "");
}

TEST(ScanErrors, FullDiskIsNotSilent)
{
	for (const char *format : {"text", "jsonl", "sarif"}) {
		Outcome run =
			lychgate({"scan", "--format", format, CLI_PLANTED}, output_to("/dev/full"));
		EXPECT_EQ(run.exit_code, 4) << format << run;
		EXPECT_THAT(run.err,
			    HasSubstr("output could not be written: No space left on device"))
			<< format;
	}
}

TEST(ScanErrors, ClosedPipeEndsBySigpipeAsFiltersDo)
{
	RunOptions options;
	options.closed_pipe = true;
	Outcome run = lychgate({"scan", CLI_PLANTED}, options);
	EXPECT_EQ(run.signal, 13) << run;
	options.ignore_sigpipe = true;
	run = lychgate({"scan", CLI_PLANTED}, options);
	EXPECT_EQ(run.exit_code, 4) << run;
	EXPECT_THAT(run.err, HasSubstr("Broken pipe"));
}

// What is opened next would take the place of a closed descriptor, and get what is meant for it.
TEST(ScanErrors, MessagesAreNotWrittenIntoAFileThatTookTheirDescriptor)
{
	Tree tree;
	RunOptions options;
	options.closed = {2};
	std::vector<std::string> args = {"scan", "--format", "sarif", "/nonexistent/1",
					 tree.file("bad.so", elf_with(stray_code())),
					 "/nonexistent/2"};
	Outcome run = lychgate(args, options);
	EXPECT_EQ(run.exit_code, 1) << run;
	Json doc = parse_json(run.out);
	EXPECT_EQ(json_array_size(at(doc, "runs/0/invocations/0/toolExecutionNotifications")), 2u);
}

TEST(ScanErrors, ClosedStandardOutputIsNotSilentAndNoFileIsTakenForIt)
{
	Tree tree;
	RunOptions options;
	options.closed = {1};
	std::string bad = tree.file("bad.so", elf_with(stray_code()));
	std::string baseline = tree.path("baseline");
	Outcome run = lychgate({"scan", bad}, options);
	EXPECT_EQ(run.exit_code, 4) << run;
	EXPECT_THAT(run.err, HasSubstr("output could not be written"));
	EXPECT_EQ(lychgate({"scan", "-q", bad}, options).exit_code, 1) << "nothing to write";
	run = lychgate({"scan", "--summary", "-q", "--baseline", baseline, "--update-baseline", bad},
		       options);
	EXPECT_EQ(run.exit_code, 4) << run;
	EXPECT_EQ(count_of(read_text(baseline), "\n"), 3u) << read_text(baseline);
}

// An archive of members each of which is complained about: what is said must not pile up.
TEST(ScanErrors, MemoryStaysBoundedWhateverThereIsToComplainAbout)
{
	Tree tree;
	std::string head = std::string("m/").append(14, ' ') + "0           0     0     644     64        `\n";
	std::string member = head + std::string("\x7f" "ELF\2\1\1", 7) + std::string(57, '\0');
	member[60 + 16] = 3;   // e_type = ET_DYN
	member[60 + 18] = 62;  // e_machine = EM_X86_64
	member[60 + 20] = 1;   // e_version
	member[60 + 52] = 64;  // e_ehsize
	member[60 + 54] = 56;  // e_phentsize
	member[60 + 56] = 1;   // e_phnum, and no such header
	member[60 + 32] = 64;  // e_phoff
	std::string thousand;
	for (size_t i = 0; i < 1000; i++) {
		thousand += member;
	}
	std::ofstream archive(tree.path("many.a"), std::ios::binary);
	archive << "!<arch>\n";
	for (size_t i = 0; i < 200; i++) {
		archive << thousand;
	}
	archive.close();
	RunOptions options;
	options.cwd = tree.path();
	options.output = tree.path("out");
	for (const char *format : {"sarif", "jsonl", "text"}) {
		// What the test itself holds between fork and exec counts as well.
		long least = lychgate({"scan", "/nonexistent"}, options).max_rss_kib;
		Outcome run = lychgate({"scan", "--format", format, "many.a"}, options);
		EXPECT_EQ(run.exit_code, 2) << format << run;
		EXPECT_GE(count_of(run.err, "many.a(m): error: "), 200000u) << format;
		if (!sanitized) {
			EXPECT_LT(run.max_rss_kib, least + 24 * 1024) << format;
		}
	}
}

// ---- names and colour --------------------------------------------------------------------------

TEST(ScanNames, ControlCharactersCannotReachTheTerminal)
{
	Tree tree;
	std::string elf = tree.file("a\033[2J\n\xff\xe2\x80\xae"
				    "b\\.so",
				    elf_with(stray_code()));
	Outcome run = lychgate({"scan", elf});
	EXPECT_THAT(run.out, HasSubstr("/a\\x1b[2J\\x0a\\xff\\xe2\\x80\\xaeb\\\\.so:0x1002: stray"))
		<< run;
	EXPECT_EQ(lines_of(run.out).size(), 1u);
}

TEST(ScanNames, ControlCharactersInTheNameOfABaselineCannotEither)
{
	Tree tree;
	std::string name = tree.text("b\033[2J\nlychgate: 0\x9b", "hello\n");
	std::string elf = tree.file("a.so", elf_with(stray_code()));
	for (const std::string &baseline : {name, tree.path("none\033\n")}) {
		Outcome run = lychgate({"scan", "--baseline", baseline, elf});
		EXPECT_EQ(run.exit_code, 2) << run;
		EXPECT_THAT(run.err, Not(HasSubstr("\033")));
		EXPECT_EQ(lines_of(run.err).size(), 1u) << run;
	}
	Outcome run = lychgate({"verb\033\n"});
	EXPECT_THAT(run.err, HasSubstr("unknown verb `verb\\x1b\\x0a'")) << run;
}

TEST(ScanNames, OtherScriptsAreLeftAsTheyAre)
{
	Tree tree;
	Outcome run = lychgate({"scan", tree.file("bücher-図書.so", elf_with(stray_code()))});
	EXPECT_THAT(run.out, HasSubstr("/bücher-図書.so:0x1002: stray")) << run;
}

TEST(ScanNames, NamesThatBeginWithADashWorkBehindDoubleDash)
{
	Tree tree;
	tree.file("-x.so", elf_with(stray_code()));
	RunOptions options;
	options.cwd = tree.path();
	EXPECT_EQ(lychgate({"scan", "--", "-x.so"}, options).exit_code, 1);
}

TEST(ScanColor, OnlyOnATerminalAndNotAgainstNoColor)
{
	RunOptions plain;
	plain.environ = {{"TERM", "xterm"}};
	EXPECT_THAT(lychgate({"scan", CLI_PLANTED}, plain).out, Not(HasSubstr("\033[")));
	RunOptions pty = plain;
	pty.out_is_pty = true;
	EXPECT_THAT(lychgate({"scan", CLI_PLANTED}, pty).out, HasSubstr("\033[1;31mstray"));
	EXPECT_THAT(lychgate({"scan", "--color=never", CLI_PLANTED}, pty).out,
		    Not(HasSubstr("\033[")));
	RunOptions no_color = pty;
	no_color.environ.push_back({"NO_COLOR", "1"});
	EXPECT_THAT(lychgate({"scan", CLI_PLANTED}, no_color).out, Not(HasSubstr("\033[")));
	EXPECT_THAT(lychgate({"scan", "--color=always", CLI_PLANTED}, no_color).out,
		    HasSubstr("\033["));
	RunOptions dumb = pty;
	dumb.environ = {{"TERM", "dumb"}};
	EXPECT_THAT(lychgate({"scan", CLI_PLANTED}, dumb).out, Not(HasSubstr("\033[")));
	EXPECT_THAT(lychgate({"scan", "--color", CLI_PLANTED}, plain).out, HasSubstr("\033["));
}

TEST(ScanProgress, BarAppearsOnATerminalAfterASecondAndGoesAway)
{
	RunOptions options;
	options.err_is_pty = true;
	options.hold_input_s = 1.6;
	Outcome run = lychgate({"scan", "--files-from", "-"}, options);
	EXPECT_THAT(run.err, HasSubstr("MB/s")) << run;
	size_t bar = run.err.rfind("MB/s");
	size_t total = run.err.find("lychgate: 0 files scanned");
	ASSERT_NE(total, std::string::npos) << run;
	EXPECT_LT(bar, total);
	EXPECT_EQ(run.err.substr(total - 4, 4), "\r\033[K")
		<< "the bar is taken away before the totals";
}

TEST(ScanProgress, NoBarWithoutATerminalOrWhenTurnedOff)
{
	RunOptions options;
	options.hold_input_s = 1.4;
	EXPECT_THAT(lychgate({"scan", "--files-from", "-"}, options).err, Not(HasSubstr("MB/s")));
	options.err_is_pty = true;
	EXPECT_THAT(lychgate({"scan", "--no-progress", "--files-from", "-"}, options).err,
		    Not(HasSubstr("MB/s")));
}

TEST(Scan, ThinArchiveIsRefusedByName)
{
	Tree tree;
	std::string thin = tree.text("thin.a", "!<thin>\n");
	Outcome run = lychgate({"scan", thin});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("thin.a: error: a thin archive"));
}
