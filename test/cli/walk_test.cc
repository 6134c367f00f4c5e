// SPDX-License-Identifier: Apache-2.0
// Directories, lists of files, threads, and what happens to trees that nobody would make on
// purpose.
#include "cli.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

static std::vector<std::string> files_in(const std::string &out)
{
	std::vector<std::string> files;
	for (const std::string &line : lines_of(out)) {
		files.push_back(line.substr(0, line.find(':')));
	}
	return files;
}

TEST(Walk, DirectoryIsScannedRecursivelySortedByName)
{
	Tree tree;
	RunOptions in_tree;
	in_tree.cwd = tree.path();
	for (const char *name :
	     {"d/b.so", "d/a/z.so", "d/a/y/x.so", "d/a.so", "d/a-b.so", "d/c/1.so"}) {
		tree.file(name, elf_with(stray_code()));
	}
	tree.text("d/readme", "not code");
	Outcome run = lychgate({"scan", "d"}, in_tree);
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(files_in(run.out), ElementsAre("d/a/y/x.so", "d/a/z.so", "d/a-b.so", "d/a.so",
						   "d/b.so", "d/c/1.so"));
	EXPECT_THAT(run.err, HasSubstr("6 files scanned"));
	run = lychgate({"scan", "d/"}, in_tree);
	EXPECT_EQ(files_in(run.out)[0], "d/a/y/x.so") << "no double slash";
	run = lychgate({"scan", "./d/a", "d/c"}, in_tree);
	EXPECT_THAT(files_in(run.out), ElementsAre("./d/a/y/x.so", "./d/a/z.so", "d/c/1.so"));
}

TEST(Walk, OutputIsTheSameForAnyNumberOfThreads)
{
	Tree tree;
	for (int i = 0; i < 300; i++) {
		std::string name = std::to_string(i % 7) + "/" + std::to_string(i);
		// Sizes differ so that threads finish out of order.
		std::vector<uint8_t> code(static_cast<size_t>(i * 7919 % 100000) + 1, 0x90);
		if (i % 3 != 0) {
			code.insert(code.end(), {0x0f, 0x01, 0xef, 0xc3});
		}
		tree.file(name, i % 11 == 0 ? std::vector<uint8_t>{1, 2, 3} : elf_with(code));
	}
	tree.link("3/link", "/nonexistent");
	for (const char *format : {"text", "jsonl", "sarif"}) {
		Outcome one = lychgate(
			{"scan", "-v", "--format", format, "-j1", tree.path(), "/nonexistent"});
		EXPECT_EQ(one.exit_code, 1) << one;
		for (const char *threads : {"-j2", "-j7", "-j64"}) {
			Outcome many = lychgate({"scan", "-v", "--format", format, threads,
						 tree.path(), "/nonexistent"});
			EXPECT_EQ(one.out, many.out) << format << threads;
			EXPECT_EQ(one.err, many.err) << format << threads;
			EXPECT_EQ(one.exit_code, many.exit_code);
		}
	}
}

TEST(Walk, LinksInsideAreNotFollowedButALinkThatIsNamedIs)
{
	Tree tree;
	tree.file("real/bad.so", elf_with(stray_code()));
	tree.dir("d");
	tree.link("d/file-link", "../real/bad.so");
	tree.link("d/dir-link", "../real");
	tree.link("d/loop", ".");
	Outcome run = lychgate({"scan", "-v", tree.path("d")});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.err, HasSubstr("0 files scanned"));
	EXPECT_THAT(run.err, HasSubstr("3 links, devices and other special files"));
	EXPECT_EQ(lychgate({"scan", tree.path("d/file-link")}).exit_code, 1);
	EXPECT_EQ(lychgate({"scan", tree.path("d/dir-link")}).exit_code, 1);
	tree.link("a", "b");
	tree.link("b", "a");
	run = lychgate({"scan", tree.path("a")});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("too many symbolic links"));
}

TEST(Walk, FifosSocketsAndDevicesInsideArePassedOver)
{
	Tree tree;
	tree.dir("d");
	ASSERT_EQ(mkfifo(tree.path("d/fifo").c_str(), 0600), 0);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	sockaddr_un address = {};
	address.sun_family = AF_UNIX;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", tree.path("d/socket").c_str());
	ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
	Outcome run = lychgate({"scan", "-v", tree.path()});
	close(fd);
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.err, HasSubstr("2 links, devices and other special files"));
}

TEST(Walk, OtherMachinesAndCoreFilesInsideAreNotedWithVAndCounted)
{
	Tree tree;
	std::vector<uint8_t> core = elf_with(stray_code());
	core[16] = 4; // e_type = ET_CORE
	tree.file("d/core", core);
	std::vector<uint8_t> arm = elf_with(stray_code());
	arm[18] = 183; // e_machine = EM_AARCH64
	tree.file("d/arm.so", arm);
	Outcome run = lychgate({"scan", tree.path("d")});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.err, HasSubstr("2 for other machines or core files passed over"));
	EXPECT_THAT(run.err, Not(HasSubstr("arm.so")));
	run = lychgate({"scan", "-v", tree.path("d")});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.err, HasSubstr("arm.so: note: "));
	EXPECT_THAT(run.err, HasSubstr("core: note: "));
	EXPECT_THAT(run.err, HasSubstr("1 for other machines, 1 core files"));
}

TEST(Walk, BrokenElfInsideIsAnErrorAndTheRestIsScanned)
{
	Tree tree;
	std::vector<uint8_t> broken = elf_with(stray_code());
	broken.resize(40);
	tree.file("d/a-broken.so", broken);
	tree.file("d/good.so", elf_with(clean_code()));
	Outcome run = lychgate({"scan", tree.path("d")});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("a-broken.so: error: "));
	EXPECT_THAT(run.err, HasSubstr("1 file scanned"));
}

TEST(Walk, UnreadableDirectoryIsAnErrorAndTheRestIsScanned)
{
	Tree tree;
	tree.file("d/locked/bad.so", elf_with(stray_code()));
	tree.file("d/z/bad.so", elf_with(stray_code()));
	chmod(tree.path("d/locked").c_str(), 0);
	RunOptions mortal;
	mortal.no_dac_override = true;
	Outcome run = lychgate({"scan", tree.path("d")}, mortal);
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.err, HasSubstr("d/locked: error: permission denied"));
	EXPECT_EQ(lines_of(run.out).size(), 1u) << run;
	unlink(tree.path("d/z/bad.so").c_str());
	EXPECT_EQ(lychgate({"scan", tree.path("d")}, mortal).exit_code, 2);
	EXPECT_EQ(lychgate({"scan", "--skip-unreadable", tree.path("d")}, mortal).exit_code, 0);
}

TEST(Walk, ExcludesByNameAndByPath)
{
	Tree tree;
	RunOptions in_tree;
	in_tree.cwd = tree.path();
	for (const char *name : {"keep/a.so", "keep/a.so.debug", "build/b.so", "keep/test/c.so"}) {
		tree.file(name, elf_with(stray_code()));
	}
	Outcome run = lychgate({"scan", "-v", "--exclude", "*.debug", "--exclude", "build",
				"--exclude", "./keep/test", "."},
			       in_tree);
	EXPECT_EQ(count_of(run.out, ": stray"), 1u) << run;
	EXPECT_EQ(files_in(run.out)[0], "./keep/a.so");
	EXPECT_THAT(run.err, HasSubstr("3 excluded"));
	EXPECT_EQ(lychgate({"scan", "--exclude", "*.so", "keep/a.so"}, in_tree).exit_code, 0)
		<< "also what is named: a hook passes names";
}

TEST(Walk, DeeperThanPathMaxIsStillScanned)
{
	Tree tree;
	// 60 levels of 100 bytes: more than PATH_MAX, and more than the walker keeps open.
	std::string name(100, 'd');
	int dir = open(tree.path().c_str(), O_RDONLY | O_DIRECTORY);
	std::vector<uint8_t> elf = elf_with(stray_code());
	auto plant = [&](const char *file) {
		int fd = openat(dir, file, O_WRONLY | O_CREAT, 0600);
		ASSERT_EQ(write(fd, elf.data(), elf.size()), static_cast<ssize_t>(elf.size()));
		close(fd);
	};
	plant("z-top.so");
	for (int i = 0; i < 60; i++) {
		ASSERT_EQ(mkdirat(dir, name.c_str(), 0700), 0);
		int next = openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY);
		close(dir);
		dir = next;
		if (i == 5 || i == 59) {
			plant("z.so");
		}
	}
	close(dir);
	Outcome run = lychgate({"scan", tree.path()});
	EXPECT_EQ(run.exit_code, 1) << run;
	std::vector<std::string> found = files_in(run.out);
	ASSERT_EQ(found.size(), 3u) << run;
	EXPECT_GT(found[0].size(), 6000u);
	EXPECT_LT(found[1].size(), 1000u);
	EXPECT_EQ(found[2], tree.path("z-top.so"));
}

TEST(Walk, PseudoFileSystemsAreNotEnteredFromOutside)
{
	// /proc lies in /: nothing else of / is looked at.
	if (access("/proc/self/maps", R_OK) != 0) {
		GTEST_SKIP() << "no /proc";
	}
	Outcome run = lychgate({"scan", "-v", "--exclude", "/[!p]*", "/"});
	EXPECT_THAT(run.err, HasSubstr("/proc: note: a pseudo file system is not entered")) << run;
	EXPECT_THAT(run.err, HasSubstr("1 pseudo file systems"));
}

TEST(Walk, ManyFilesInOneDirectoryStayWithinMemory)
{
	Tree tree;
	std::string one = tree.file("one.so", elf_with(stray_code()));
	// Names long enough that they do not fit the walker's list at once: 60,000 times 200 bytes; a million
	// of them in the long run.
	const long files = getenv("LYCH_LONG") ? 1000000 : 60000;
	std::string tail(190, 'n');
	tree.dir("d");
	int dir = open(tree.path("d").c_str(), O_RDONLY | O_DIRECTORY);
	int links = 0;
	for (long i = 0; i < files; i++) {
		std::string name = std::to_string((i * 7919) % files + 1000000) + tail;
		if (linkat(AT_FDCWD, one.c_str(), dir, name.c_str(), 0) != 0) {
			// A file has only so many links on some file systems.
			int fd = openat(dir, name.c_str(), O_WRONLY | O_CREAT, 0600);
			close(fd);
		} else {
			links++;
		}
	}
	close(dir);
	Outcome run = lychgate({"scan", tree.path("d")}, output_to(tree.path("out")));
	EXPECT_EQ(run.exit_code, 1) << run;
	std::vector<std::string> found = files_in(read_text(tree.path("out")));
	EXPECT_EQ(found.size(), static_cast<size_t>(links));
	EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
	EXPECT_EQ(std::adjacent_find(found.begin(), found.end()), found.end()) << "each once";
	if (!sanitized) {
		EXPECT_LT(run.max_rss_kib, 64 * 1024);
	}
}

TEST(Walk, VeryManyFindingsStayWithinMemoryAndInOrder)
{
	// Four reports of 8 MB each, more than may wait for their turn together.
	constexpr size_t files = 4;
	constexpr size_t findings = 12000;
	Tree tree;
	std::vector<uint8_t> code;
	for (size_t i = 0; i < findings; i++) {
		code.insert(code.end(), {0x0f, 0x01, 0xef});
	}
	for (size_t i = 0; i < files; i++) {
		tree.file("d/" + std::to_string(i), code);
	}
	// What the test itself holds between fork and exec counts as well.
	long least = lychgate({"scan", "/nonexistent"}).max_rss_kib;
	Outcome run = lychgate({"scan", "--raw", "-j4", "--format", "jsonl", tree.path("d")},
			       output_to(tree.path("out")));
	EXPECT_EQ(run.exit_code, 1) << run;
	std::string out = read_text(tree.path("out"));
	EXPECT_GT(out.size(), size_t{24} << 20);
	std::vector<std::string> lines = lines_of(out);
	ASSERT_EQ(lines.size(), files * findings + 2);
	for (size_t i = 0; i < files * findings; i++) {
		char head[200];
		snprintf(head, sizeof(head),
			 "{\"type\":\"finding\",\"file\":\"%s/%zu\",\"vaddr\":\"0x%zx\",",
			 tree.path("d").c_str(), i / findings, 3 * (i % findings));
		ASSERT_EQ(lines[i + 1].compare(0, strlen(head), head), 0) << lines[i + 1];
	}
	if (!sanitized) {
		EXPECT_LT(run.max_rss_kib, std::max(64 * 1024L, least + 1024));
	}
}

TEST(Walk, SmallDescriptorLimitIsEnoughForDeepTreesAndManyThreads)
{
	Tree tree;
	std::string dir = "d";
	for (int i = 0; i < 200; i++) {
		dir += "/x";
		tree.file(dir + "/a.so", elf_with(stray_code()));
	}
	Outcome run = lychgate({"scan", "-j64", tree.path("d")});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_EQ(lines_of(run.out).size(), 200u);
}

// ---- lists -------------------------------------------------------------------------------------

TEST(FilesFrom, NamesComeFromAFileOrStandardInput)
{
	Tree tree;
	RunOptions options;
	options.cwd = tree.path();
	tree.file("b.so", elf_with(stray_code()));
	tree.file("a.so", elf_with(stray_code()));
	tree.text("notes.txt", "text");
	tree.text("list", "b.so\n\na.so\nnotes.txt");
	Outcome run = lychgate({"scan", "--files-from", "list"}, options);
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(files_in(run.out), ElementsAre("b.so", "a.so")) << "in the order of the list";
	EXPECT_THAT(run.err, Not(HasSubstr("notes.txt")))
		<< "what is not code in a list is passed over";
	options.input = "a.so\n";
	run = lychgate({"scan", "--files-from", "-"}, options);
	EXPECT_THAT(files_in(run.out), ElementsAre("a.so"));
}

TEST(FilesFrom, NulSeparatesWhereThereIsOne)
{
	Tree tree;
	RunOptions options;
	options.cwd = tree.path();
	tree.file("new\nline.so", elf_with(stray_code()));
	tree.file("b.so", elf_with(stray_code()));
	options.input = std::string("new\nline.so\0b.so\0", 17);
	Outcome run = lychgate({"scan", "--files-from", "-"}, options);
	EXPECT_THAT(files_in(run.out), ElementsAre("new\\x0aline.so", "b.so")) << run;
	options.input = "new\nline.so";
	EXPECT_EQ(lines_of(lychgate({"scan", "-0", "--files-from", "-"}, options).out).size(), 1u);
	EXPECT_EQ(lychgate({"scan", "--files-from", "-"}, options).exit_code, 2)
		<< "two names that do not exist";
}

TEST(FilesFrom, MissingNamesAndListsAreErrors)
{
	Tree tree;
	RunOptions options;
	options.input = "/nonexistent/x.so\n";
	Outcome run = lychgate({"scan", "--files-from", "-"}, options);
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("/nonexistent/x.so: error: "));
	run = lychgate({"scan", "--files-from", "/nonexistent/list"});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("/nonexistent/list: error: "));
	run = lychgate({"scan", "--files-from", "/"});
	EXPECT_EQ(run.exit_code, 2) << run;
}

TEST(FilesFrom, DirectoriesInAListAreScannedAsWell)
{
	Tree tree;
	tree.file("d/a.so", elf_with(stray_code()));
	RunOptions options;
	options.input = tree.path("d") + "\n";
	EXPECT_EQ(lychgate({"scan", "--files-from", "-"}, options).exit_code, 1);
}

TEST(FilesFrom, NameThatIsTooLongIsAnErrorAndTheRestIsScanned)
{
	Tree tree;
	RunOptions options;
	options.input =
		std::string(200000, 'x') + "\n" + tree.file("a.so", elf_with(stray_code())) + "\n";
	Outcome run = lychgate({"scan", "--files-from", "-"}, options);
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.err, HasSubstr("a name in the list is too long"));
	EXPECT_THAT(run.err, HasSubstr("1 could not be read"));
}

TEST(FilesFrom, LongListsKeepTheirNamesWhole)
{
	Tree tree;
	RunOptions options;
	options.cwd = tree.path();
	std::string expected;
	for (int i = 0; i < 3000; i++) {
		// Names across every border of the reader's buffer.
		options.input += "missing-" + std::to_string(i) +
				 std::string(static_cast<size_t>(i % 60), 'x') + "\n";
	}
	Outcome run = lychgate({"scan", "-q", "--files-from", "-"}, options);
	std::string names;
	for (const std::string &line : lines_of(run.err)) {
		size_t begin = strlen("lychgate: ");
		names += line.substr(begin, line.find(": error") - begin) + "\n";
	}
	EXPECT_EQ(names, options.input);
}
