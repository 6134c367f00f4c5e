// SPDX-License-Identifier: Apache-2.0
// `lychgate attack` in a machine with keys: all is stopped, every control works that can, and SECURITY.md says the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "needs_pku.h"
#include "said.h"

namespace {

using ::testing::HasSubstr;

Said Attack(const std::string &args)
{
	return LychgateSays("attack", args);
}

class AttackCommand : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure() || KernelWritesFramesWhole()) {
			return;
		}
		Said said = Attack("--as-root process_vm_readv");
		EXPECT_EQ(said.status, 3) << said.out;
		EXPECT_THAT(said.out, HasSubstr("there are no library domains here: "));
		EXPECT_THAT(said.out, HasSubstr("6.12"));
		GTEST_SKIP() << "refused on this kernel, as it should be: " << said.out;
	}
};

std::vector<std::string> Lines(const std::string &text)
{
	std::vector<std::string> lines;
	std::istringstream in(text);

	for (std::string line; std::getline(in, line);) {
		lines.push_back(line);
	}
	return lines;
}

TEST_F(AttackCommand, FindsAllStoppedAndSecuritySaysTheSame)
{
	std::ifstream file(LYCH_SECURITY);
	std::string text((std::istreambuf_iterator<char>(file)), {});
	const std::string from = "<!-- ./dev attacks: begin -->\n", to = "<!-- ./dev attacks: end -->\n";
	size_t begin = text.find(from), end = text.find(to);

	ASSERT_NE(begin, std::string::npos);
	ASSERT_NE(end, std::string::npos);
	const std::string table = text.substr(begin + from.size(), end - begin - from.size());
	Said said = Attack("--as-root --timeout 600 --format markdown");
	EXPECT_EQ(said.status, 0);
	std::vector<std::string> is = Lines(said.out), should = Lines(table);
	for (size_t i = 0; i < is.size() || i < should.size(); i++) {
		EXPECT_EQ(i < is.size() ? is[i] : "", i < should.size() ? should[i] : "") << "./dev attacks writes it anew";
	}
}

TEST_F(AttackCommand, MakesThoseThatAreNamed)
{
	Said said = Attack("--as-root process_vm_readv reads_the_hosts_tls speculation process_vm_readv");
	EXPECT_EQ(said.status, 0);
	std::vector<std::string> lines = Lines(said.out);
	ASSERT_EQ(lines.size(), 5u) << said.out;
	EXPECT_THAT(lines[0], ::testing::MatchesRegex("process_vm_readv  *stopped  *G5  *control: works  *has the kernel read .*"));
	EXPECT_THAT(lines[1], ::testing::MatchesRegex("reads_the_hosts_tls  *stopped  *G1  *control: works  *reads .*"));
	EXPECT_THAT(lines[2], ::testing::MatchesRegex("speculation  *not stopped .by design.  *none .*"));
	EXPECT_EQ(lines[4], "2 attacks: 2 stopped, 0 not stopped; 2 have a control that works here. 1 that nothing stops, by design");
	said = Attack("--as-root --json exit_group");
	EXPECT_EQ(said.status, 0);
	EXPECT_THAT(said.out, HasSubstr("\"name\":\"exit_group\""));
	EXPECT_THAT(said.out, HasSubstr("\"result\":\"stopped\",\"control\":\"works\"}"));
}

} // namespace
