// SPDX-License-Identifier: Apache-2.0
// --pid against live children, --deps against a program whose only fault is a library.
#include "cli.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

namespace
{

// A child that waits until the test is done with it.
class Child
{
      public:
	explicit Child(const std::string &program, const std::string &mode)
	{
		int in[2];
		int out[2];
		if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
			return;
		}
		pid = fork();
		if (pid == 0) {
			dup2(in[0], 0);
			dup2(out[1], 1);
			execl(program.c_str(), program.c_str(), mode.c_str(), nullptr);
			_exit(127);
		}
		close(in[0]);
		close(out[1]);
		stdin_ = in[1];
		char chunk[256];
		ssize_t n;
		while (said.find("ready") == std::string::npos &&
		       (n = read(out[0], chunk, sizeof(chunk))) > 0) {
			said.append(chunk, static_cast<size_t>(n));
		}
		close(out[0]);
	}
	~Child()
	{
		close(stdin_);
		if (pid > 0) {
			waitpid(pid, nullptr, 0);
		}
	}
	std::string name() const
	{
		return std::to_string(pid);
	}

	pid_t pid = -1;
	std::string said;

      private:
	int stdin_ = -1;
};

} // namespace

TEST(Pid, CodeMadeAtRunTimeIsFound)
{
	Child child(CLI_CHILD, "jit");
	ASSERT_THAT(child.said, HasSubstr("ready"));
	Outcome run = lychgate({"scan", "--assume-runtime", "--pid", child.name()});
	EXPECT_EQ(run.exit_code, 1) << run;
	char expected[64];
	snprintf(expected, sizeof(expected),
		 ":0x%llx: stray wrpkru: ", std::stoull(child.said.substr(2), nullptr, 16) + 2);
	EXPECT_THAT(run.out, HasSubstr(expected));
	EXPECT_EQ(run.out.find("pid " + child.name() + " "), 0u) << run;
	EXPECT_THAT(run.err, HasSubstr("1 process scanned"));
}

TEST(Pid, ChildWithoutSuchCodeHasOnlyTheCLibrarysOwn)
{
	Child child(CLI_CHILD, "clean");
	Outcome run = lychgate({"scan", "--assume-runtime", "--pid", child.name()});
	EXPECT_EQ(run.exit_code, 0) << run;
	EXPECT_THAT(run.out, HasSubstr("[accepted]"));
}

TEST(Pid, DeletedFilesAreScannedFromMemory)
{
	Tree tree;
	std::string copy = tree.text("child", read_text(CLI_CHILD));
	ASSERT_EQ(chmod(copy.c_str(), 0700), 0);
	Child child(copy, "jit");
	ASSERT_THAT(child.said, HasSubstr("ready"));
	unlink(copy.c_str());
	Outcome run = lychgate({"scan", "--assume-runtime", "--pid", child.name()});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.err, Not(HasSubstr("error")));
}

TEST(Pid, JsonAndSarifNameTheProcess)
{
	Child child(CLI_CHILD, "jit");
	Outcome run =
		lychgate({"scan", "--assume-runtime", "--format", "jsonl", "--pid", child.name()});
	bool found = false;
	for (const Json &f : records(run.out, "finding")) {
		EXPECT_EQ(json_integer_value(at(f, "pid")), child.pid);
		if (string_at(f, "status") == "fails") {
			found = true;
			EXPECT_TRUE(json_is_null(at(f, "offset")));
			EXPECT_EQ(at(f, "id"), nullptr) << "memory of no file has no identity";
		}
	}
	EXPECT_TRUE(found) << run;
	run = lychgate({"scan", "--assume-runtime", "--format", "sarif", "--pid", child.name()});
	Json doc = parse_json(run.out);
	found = false;
	for (size_t i = 0; i < json_array_size(at(doc, "runs/0/results")); i++) {
		json_t *result = json_array_get(at(doc, "runs/0/results"), i);
		if (string_at(result, "level") == "error") {
			found = true;
			EXPECT_EQ(string_at(result,
					    "locations/0/physicalLocation/artifactLocation/uri"),
				  "file:///proc/" + child.name() + "/mem");
		}
	}
	EXPECT_TRUE(found);
}

TEST(Pid, MemoryOfNoFileCannotBeInABaseline)
{
	Tree tree;
	Child child(CLI_CHILD, "jit");
	Outcome run = lychgate({"scan", "--assume-runtime", "--baseline", tree.path("b"),
				"--update-baseline", "--pid", child.name()});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.err, HasSubstr("belongs to no file"));
}

TEST(Pid, ProcessThatDoesNotExistIsAnError)
{
	pid_t pid = fork();
	if (pid == 0) {
		_exit(0);
	}
	waitpid(pid, nullptr, 0);
	Outcome run = lychgate({"scan", "--pid", std::to_string(pid)});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("pid " + std::to_string(pid) + ": error: "));
	EXPECT_EQ(lychgate({"scan", "--skip-unreadable", "--pid", std::to_string(pid)}).exit_code,
		  0);
}

TEST(Pid, WithoutProcThePlatformCannotDoIt)
{
	if (sanitized) {
		GTEST_SKIP() << "the sanitizer's own start-up reads /proc";
	}
	RunOptions options;
	options.no_proc = true;
	Outcome run = lychgate({"scan", "--pid", std::to_string(getpid())}, options);
	if (run.exit_code == kCannot) {
		GTEST_SKIP() << "a mount namespace cannot be made here";
	}
	EXPECT_EQ(run.exit_code, 3) << run;
	EXPECT_EQ(run.out, "");
	EXPECT_THAT(run.err, HasSubstr("/proc"));
	// What needs no /proc goes on without it.
	Tree tree;
	std::string clean = tree.file("clean.so", elf_with(clean_code()));
	EXPECT_EQ(lychgate({"scan", clean}, options).exit_code, 0);
}

TEST(Pid, SeveralProcessesAndFilesInOneRun)
{
	Tree tree;
	Child a(CLI_CHILD, "clean");
	Child b(CLI_CHILD, "jit");
	std::string elf = tree.file("a.so", elf_with(stray_code()));
	Outcome run =
		lychgate({"scan", "--assume-runtime", "--pid", a.name(), "--pid", b.name(), elf});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_EQ(run.out.find(elf + ":0x1002"), 0u) << "files first\n" << run;
	EXPECT_THAT(run.err, HasSubstr("1 file and 2 processes scanned"));
	EXPECT_LT(run.out.find("pid " + a.name() + " "), run.out.find("pid " + b.name() + " "));
}

TEST(Deps, FindsWhatALibraryBringsIn)
{
	EXPECT_EQ(lychgate({"scan", CLI_USER}).exit_code, 0) << "the program itself is clean";
	Outcome run = lychgate({"scan", "--assume-runtime", "--deps", CLI_USER});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(run.out, ContainsRegex("libcli_planted\\.so:0x[0-9a-f]+: stray wrpkru"));
	EXPECT_THAT(run.out, HasSubstr("libc.so.6:"));
}

TEST(Deps, SharedLibrariesOfTwoProgramsAreScannedOnce)
{
	Outcome run = lychgate({"scan", "--deps", CLI_USER, "--deps", CLI_CHILD});
	std::vector<std::string> lines = lines_of(run.out);
	std::sort(lines.begin(), lines.end());
	EXPECT_EQ(std::adjacent_find(lines.begin(), lines.end()), lines.end()) << run;
}

TEST(Deps, LibraryPathIsSearchedAndTheEnvironmentIsNot)
{
	Tree tree;
	// $ORIGIN and RUNPATH lead to the build tree, so a copy of the program alone finds nothing
	// there.
	std::string other = tree.file("libcli_planted.so", elf_with(clean_code()));
	RunOptions options;
	options.environ = {{"LD_LIBRARY_PATH", tree.path()}};
	EXPECT_EQ(lychgate({"scan", "--assume-runtime", "--deps", CLI_USER}, options).exit_code, 1)
		<< "who sets the environment could hide a library";
	Outcome run = lychgate(
		{"scan", "--assume-runtime", "--library-path", tree.path(), "--deps", CLI_USER});
	EXPECT_EQ(run.exit_code, 0) << run;
}

TEST(Deps, MissingProgramIsAnError)
{
	Outcome run = lychgate({"scan", "--deps", "/nonexistent/program"});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("/nonexistent/program: error: "));
}
