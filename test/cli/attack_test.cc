// SPDX-License-Identifier: Apache-2.0
// `lychgate attack`: what it lists, what it refuses, and that nothing but the right word of a process that ends well is "stopped".
// The attacks themselves need keys: test/attack/library/attack_command_test.cc.
#include "cli.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <set>

using testing::HasSubstr;
using testing::StartsWith;

namespace
{

std::string text_of(const std::string &command, int *status)
{
	std::string out;
	char chunk[4096];
	FILE *pipe = popen(command.c_str(), "r");
	for (size_t n; pipe != nullptr && (n = fread(chunk, 1, sizeof(chunk), pipe)) > 0;) {
		out.append(chunk, n);
	}
	int ended = pipe != nullptr ? pclose(pipe) : -1;
	*status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
	return out;
}

// A copy of the command, beside a program in the place of the one that attacks.
class Beside : public testing::Test
{
protected:
	void SetUp() override
	{
		mkdir((tree_.path() + "/bin").c_str(), 0700);
		mkdir((tree_.path() + "/libexec").c_str(), 0700);
		mkdir((tree_.path() + "/libexec/lychgate").c_str(), 0700);
		ASSERT_EQ(system(("cp " LYCHGATE_COMMAND " " + tree_.path() + "/bin/lychgate").c_str()), 0);
	}
	// What it does when it is to attack inside, and without protection.
	std::string run(const std::string &inside, const std::string &bare, const std::string &args, int *status)
	{
		tree_.text("libexec/lychgate/hostile.so", "");
		std::string program = tree_.text("libexec/lychgate/attack", "#!/bin/sh\ncase $1 in\nprobe) exit 0 ;;\ninside) " + inside +
										     " ;;\nbare) " + bare + " ;;\nesac\nexit 9\n");
		chmod(program.c_str(), 0700);
		return text_of(tree_.path() + "/bin/lychgate attack --as-root " + args + " 2>&1", status);
	}
	Tree tree_;
};

const char kStopped[] = "echo '= stopped'; exit 0";

} // namespace

TEST(Attack, ListsAllOfThemAnywhereAndNamesAreTheirOwn)
{
	Outcome run = lychgate({"attack", "--list"});
	EXPECT_EQ(run.exit_code, 0) << run;
	std::set<std::string> names;
	for (const std::string &line : lines_of(run.out)) {
		std::string name = line.substr(0, line.find(' '));
		EXPECT_TRUE(names.insert(name).second) << name;
		EXPECT_LE(name.size(), 36u) << name;
	}
	EXPECT_GE(names.size(), 150u);
	EXPECT_EQ(names.count("process_vm_readv"), 1u);
	EXPECT_EQ(names.count("speculation"), 1u);
	for (const char *group : {"memory", "calls", "code", "time", "design"}) {
		EXPECT_EQ(names.count(group), 0u) << group;
		EXPECT_EQ(lychgate({"attack", "--list", group}).exit_code, 0);
	}
	EXPECT_EQ(lines_of(lychgate({"attack", "--list", "sigreturn", "sigreturn"}).out).size(), 1u);
	EXPECT_THAT(lychgate({"attack", "--list", "--json", "sigreturn"}).out,
		    HasSubstr("{\"type\":\"attack\",\"group\":\"calls\",\"name\":\"sigreturn\","));
	EXPECT_THAT(lychgate({"attack", "--list", "--format=markdown", "speculation"}).out, HasSubstr("| design | `speculation` | "));
}

TEST(Attack, TellsWrongUsage)
{
	for (const std::vector<std::string> &args : std::vector<std::vector<std::string>>{{"attack", "nobody"},
											  {"attack", "--list", "nobody"},
											  {"attack", "--timeout=0", "calls"},
											  {"attack", "--timeout=x", "calls"},
											  {"attack", "-j0"},
											  {"attack", "-j", "65"},
											  {"attack", "--format=xml"},
											  {"attack", "--nonsense"},
											  {"attack", ""}}) {
		Outcome run = lychgate(args);
		EXPECT_EQ(run.exit_code, 2) << run;
		EXPECT_EQ(run.out, "");
		EXPECT_THAT(run.err, StartsWith("lychgate attack: ")) << run;
	}
	EXPECT_THAT(lychgate({"attack", "nobody"}).err, HasSubstr("there is no attack and no group `nobody'"));
}

TEST(Attack, IsNotMadeByRootUnlessItIsAskedFor)
{
	if (geteuid() != 0) {
		GTEST_SKIP() << "not root";
	}
	Outcome run = lychgate({"attack", "sigreturn"});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_THAT(run.err, HasSubstr("--as-root"));
	EXPECT_EQ(lychgate({"attack", "design"}).exit_code, 0) << "nothing is made";
}

TEST(Attack, SaysWhyItCannotBeMadeHere)
{
	if (system("exec " LYCHGATE_COMMAND " doctor -q >/dev/null 2>&1") == 0) {
		GTEST_SKIP() << "there are keys";
	}
	Outcome run = lychgate({"attack", "--as-root", "sigreturn"});
	if (run.exit_code == 4 && access(LYCHGATE_COMMAND, X_OK) == 0 && run.err.find("this installation lacks it") != std::string::npos) {
		GTEST_SKIP() << "built without what attacks: " << run;
	}
	EXPECT_EQ(run.exit_code, 3) << run;
	EXPECT_EQ(run.out, "");
	EXPECT_THAT(run.err, StartsWith("lychgate: there are no library domains here: "));
}

TEST_F(Beside, StoppedIsWhatSaysSoAndEndsWell)
{
	int status;
	std::string out = run(kStopped, "exit 0", "sigreturn", &status);
	EXPECT_EQ(status, 0) << out;
	EXPECT_THAT(out, testing::ContainsRegex("^sigreturn  *stopped  *G6  *control: works  "));
	EXPECT_THAT(out, HasSubstr("1 attacks: 1 stopped, 0 not stopped; 1 have a control that works here."));
}

TEST_F(Beside, NothingElseIs)
{
	const char *const rows[][2] = {
		{"exit 0", "ended with status 0 and without a word"},
		{"echo '= stopped'; exit 1", "ended with status 1"},
		{"echo '= stopped'; kill -SEGV $$", "ended by signal 11"},
		{"echo '= stopped'; echo more; exit 0", "ended with status 0"},
		{"echo '- it has the secret'; exit 1", "it has the secret"},
		{"echo '- it has the secret'; exit 0", "it has the secret"},
		{"echo '- no memory'; exit 3", "no memory"},
		{"echo '= stopped'; exec sleep 1000", "it takes longer than --timeout allows"},
		{"kill -KILL $$", "ended by signal 9"},
	};
	for (const auto &row : rows) {
		int status;
		std::string out = run(row[0], "exit 0", "--timeout 2 sigreturn process_vm_readv", &status);
		EXPECT_EQ(status, 1) << row[0] << "\n" << out;
		EXPECT_THAT(out, testing::ContainsRegex("^sigreturn  *not stopped  *G6 ")) << row[0];
		EXPECT_THAT(out, HasSubstr("    not stopped: ")) << row[0];
		EXPECT_THAT(out, HasSubstr(row[1])) << row[0];
	}
}

TEST_F(Beside, AControlWithoutEffectIsNone)
{
	int status;
	std::string out = run(kStopped, "echo '- Operation not permitted'; exit 3", "sigreturn bpf exit_group", &status);
	EXPECT_EQ(status, 0) << "it was stopped all the same\n" << out;
	EXPECT_THAT(out, testing::ContainsRegex("sigreturn  *stopped  *G6  *control: none "));
	EXPECT_THAT(out, HasSubstr("no control: it has no effect here without protection either: Operation not permitted"));
	EXPECT_THAT(out, HasSubstr("no control: needs root, or kernel.unprivileged_bpf_disabled=0"));
	EXPECT_THAT(out, HasSubstr("0 have a control that works here"));
	out = run(kStopped, "exit 33", "sigreturn exit_group", &status);
	EXPECT_THAT(out, testing::ContainsRegex("sigreturn  *stopped  *G6  *control: none "));
	EXPECT_THAT(out, testing::ContainsRegex("exit_group  *stopped  *G7  *control: works"));
	out = run(kStopped, "exec sleep 1000", "--timeout 1 sigreturn", &status);
	EXPECT_THAT(out, HasSubstr("no control: it takes longer than --timeout allows"));
}

TEST_F(Beside, AnInstallationWithoutWhatAttacksSaysSo)
{
	int status;
	std::string out = text_of(tree_.path() + "/bin/lychgate attack --as-root sigreturn 2>&1", &status);
	EXPECT_EQ(status, 4) << out;
	EXPECT_THAT(out, HasSubstr("libexec/lychgate/attack: no such file or process: this installation lacks it"));
}

TEST_F(Beside, LeavesNoFolderBehind)
{
	int status;
	std::string out = run("mkdir $4/deep; echo x >$4/deep/file; ln -s / $4/link; echo $4 >>" + tree_.path() + "/seen; " + kStopped, "exit 0",
			      "calls", &status);
	EXPECT_EQ(status, 0) << out;
	std::string seen = read_text(tree_.path() + "/seen");
	EXPECT_GE(lines_of(seen).size(), 50u);
	for (const std::string &base : lines_of(seen)) {
		EXPECT_NE(access(base.c_str(), F_OK), 0) << base;
	}
}
