// SPDX-License-Identifier: Apache-2.0
// Man pages, completion, hooks: they say what the command does, and nothing else.
#include "cli.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <regex>
#include <set>

using testing::HasSubstr;
using testing::StartsWith;

namespace
{

std::string shell(const std::string &command, int *status = nullptr)
{
	std::string out;
	char chunk[4096];
	size_t n;
	FILE *pipe = popen(command.c_str(), "r");
	if (pipe == nullptr) {
		ADD_FAILURE() << command;
		return out;
	}
	while ((n = fread(chunk, 1, sizeof(chunk), pipe)) > 0) {
		out.append(chunk, n);
	}
	int ended = pclose(pipe);
	if (status != nullptr) {
		*status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
	}
	return out;
}

std::set<std::string> long_options(const std::string &text)
{
	static const std::regex option("(^|[\n ,\\[|(])(--[a-z][a-z-]+)");
	std::set<std::string> found;
	for (auto i = std::sregex_iterator(text.begin(), text.end(), option);
	     i != std::sregex_iterator(); ++i) {
		found.insert((*i)[2]);
	}
	found.erase("--usage"); // argp's own
	found.erase("--help");
	found.erase("--version");
	return found;
}

std::string help_options(const std::string &verb)
{
	// Lines that begin with an option, not the prose.
	std::string options;
	for (const std::string &line : lines_of(lychgate({verb, "--help"}).out)) {
		size_t begin = line.find_first_not_of(' ');
		if (begin != std::string::npos && line[begin] == '-') {
			options += line.substr(begin, 28) + "\n";
		}
	}
	return options;
}

std::string man_page(const std::string &name)
{
	return LYCH_SOURCE "/scanner/cmd/man/" + name + ".1";
}

} // namespace

class Verb : public testing::TestWithParam<std::string>
{
};

INSTANTIATE_TEST_SUITE_P(Each, Verb, testing::Values("scan", "explain", "repair", "try", "attack", "doctor"),
			 [](const auto &row) { return row.param; });

TEST_P(Verb, ManPageDocumentsExactlyTheOptionsOfHelp)
{
	std::string source = read_text(man_page("lychgate-" + GetParam()));
	std::set<std::string> documented;
	static const std::regex item("\n\\.It Fl ([^\n]*)");
	for (auto i = std::sregex_iterator(source.begin(), source.end(), item);
	     i != std::sregex_iterator(); ++i) {
		static const std::regex word("(^|[ ,])-([a-z][a-z-]+)");
		std::string line = (*i)[1];
		for (auto k = std::sregex_iterator(line.begin(), line.end(), word);
		     k != std::sregex_iterator(); ++k) {
			documented.insert("--" + std::string((*k)[2]));
		}
	}
	EXPECT_EQ(documented, long_options(help_options(GetParam())));
}

TEST_P(Verb, CompletionOffersEveryOption)
{
	std::string words = shell(
		"bash -c 'source /usr/share/bash-completion/bash_completion; source " LYCH_SOURCE
		"/scanner/cmd/completion/lychgate; COMP_WORDS=(lychgate " +
		GetParam() + " --); COMP_CWORD=2; COMP_LINE=\"lychgate " + GetParam() +
		" --\"; COMP_POINT=${#COMP_LINE}; _lychgate; echo \"${COMPREPLY[@]}\"'");
	if (access("/usr/share/bash-completion/bash_completion", R_OK) != 0) {
		GTEST_SKIP() << "bash-completion is not installed";
	}
	EXPECT_EQ(long_options(" " + words), long_options(help_options(GetParam())));
}

TEST(ManPages, AreCleanForMandoc)
{
	if (system("command -v mandoc >/dev/null") != 0) {
		GTEST_SKIP() << "mandoc is not installed";
	}
	for (const char *page : {"lychgate.1", "lychgate-scan.1", "lychgate-explain.1", "lychgate-repair.1", "lychgate-try.1", "lychgate-attack.1",
				 "lychgate-doctor.1", "lychgate-policy.5"}) {
		int status;
		// What stderr says is about the machine's list of pages, as is what says that a
		// page was not found.
		std::string lint =
			shell("cd " LYCH_SOURCE "/scanner/cmd/man && mandoc -T lint " +
				      std::string(page) +
				      " 2>/dev/null | grep -v 'referenced manual not found'",
			      &status);
		EXPECT_EQ(lint, "") << page;
		EXPECT_EQ(status, 1) << "grep leaves nothing";
		EXPECT_GT(read_text(LYCH_SOURCE "/scanner/cmd/man/" + std::string(page)).size(), 1000u);
	}
}

TEST(ManPages, StateTheExitCodes)
{
	for (const char *page :
	     {"lychgate", "lychgate-scan", "lychgate-explain", "lychgate-repair", "lychgate-try", "lychgate-attack", "lychgate-doctor"}) {
		EXPECT_THAT(read_text(man_page(page)), HasSubstr("\n.Sh EXIT STATUS\n")) << page;
	}
}

TEST(Hooks, ChangedBinariesAreScannedAndOtherFilesPassedOver)
{
	Tree tree;
	std::string yaml = read_text(LYCH_SOURCE "/.pre-commit-hooks.yaml");
	std::smatch match;
	ASSERT_TRUE(std::regex_search(yaml, match,
				      std::regex("id: lychgate\n[^]*?entry: (bash .*)\n")));
	tree.file("good.so", elf_with(clean_code()));
	tree.file("bad one.so", elf_with(stray_code()));
	tree.text("picture.png", "\x89PNG\r\n");
	std::string command(LYCHGATE_COMMAND);
	std::string hook = "cd " + tree.path() +
			   " && PATH=" + command.substr(0, command.rfind('/')) + ":$PATH " +
			   match[1].str();
	int status;
	shell(hook + " good.so picture.png 2>/dev/null", &status);
	EXPECT_EQ(status, 0);
	EXPECT_THAT(shell(hook + " good.so 'bad one.so' picture.png 2>/dev/null", &status),
		    StartsWith("bad one.so:0x1002: stray wrpkru"));
	EXPECT_EQ(status, 1);
	shell(hook + " missing.so 2>/dev/null", &status);
	EXPECT_EQ(status, 2);
}

TEST(Hooks, WholeTreeIsScanned)
{
	Tree tree;
	std::string yaml = read_text(LYCH_SOURCE "/.pre-commit-hooks.yaml");
	std::smatch match;
	ASSERT_TRUE(std::regex_search(yaml, match,
				      std::regex("id: lychgate-all\n[^]*?entry: (lychgate .*)\n")));
	tree.file(".git/objects/bad.so", elf_with(stray_code()));
	tree.file("good.so", elf_with(clean_code()));
	std::string command(LYCHGATE_COMMAND);
	std::string hook = "cd " + tree.path() +
			   " && PATH=" + command.substr(0, command.rfind('/')) + ":$PATH " +
			   match[1].str() + " 2>/dev/null";
	int status;
	shell(hook, &status);
	EXPECT_EQ(status, 0);
	tree.file("sub/bad.so", elf_with(stray_code()));
	shell(hook, &status);
	EXPECT_EQ(status, 1);
}

TEST(Action, ScanStepHandlesPathsWithBlanksAndReportsTheExitCode)
{
	// The step's own script, run as the runner does.
	Tree tree;
	std::string yaml = read_text(LYCH_SOURCE "/samples/ci/lychgate/action.yml");
	size_t begin = yaml.rfind("run: |\n");
	ASSERT_NE(begin, std::string::npos);
	tree.text("step.sh", yaml.substr(begin + 7));
	tree.dir("temp/lychgate/build");
	ASSERT_EQ(system(("cp " LYCHGATE_COMMAND " " + tree.path("temp/lychgate/build/lychgate"))
				 .c_str()),
		  0);
	tree.file("a dir/bad.so", elf_with(stray_code()));
	tree.file("good.so", elf_with(clean_code()));
	auto step = [&](const std::string &paths) {
		return "cd " + tree.path() +
		       " && RUNNER_TEMP=$PWD/temp GITHUB_OUTPUT=$PWD/output SARIF=report.sarif "
		       "PATHS='" +
		       paths + "' OPTIONS='--find\nwrpkru' bash -eo pipefail step.sh 2>/dev/null";
	};
	int status;
	shell(step("a dir\ngood.so\n"), &status);
	EXPECT_EQ(status, 0) << "failing is left to a later step";
	EXPECT_EQ(read_text(tree.path("output")), "exit-code=1\n");
	EXPECT_EQ(json_array_size(
			  at(parse_json(read_text(tree.path("report.sarif"))), "runs/0/results")),
		  1u);
	shell(step("good.so"), &status);
	EXPECT_THAT(read_text(tree.path("output")), HasSubstr("exit-code=0\n"));
}
