// SPDX-License-Identifier: Apache-2.0
// `lychgate try` as a user types it, where there are keys; elsewhere it says why not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "needs_pku.h"
#include "said.h"

namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Said Try(const std::string &args)
{
	return LychgateSays("try", args);
}

class TryCommand : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure()) {
			return;
		}
		if (!KernelWritesFramesWhole()) {
			Said said = Try("libz.so.1");
			EXPECT_EQ(said.status, 3) << said.out;
			EXPECT_THAT(said.out, StartsWith("libz.so.1: does not open: "));
			EXPECT_THAT(said.out, HasSubstr("6.12"));
			GTEST_SKIP() << "refused on this kernel, as it should be: " << said.out;
		}
	}
};

TEST_F(TryCommand, SaysWhatALibraryOfTheSystemNeeds)
{
	Said said = Try("libz.so.1");
	EXPECT_EQ(said.status, 0);
	EXPECT_THAT(said.out, StartsWith("libz.so.1: opens\n"));
	EXPECT_THAT(said.out, ContainsRegex("loads    /.*ld-linux-x86-64.so.2, [0-9]+ KiB of code\n"));
	EXPECT_THAT(said.out, ContainsRegex("libz.so.1[.0-9]*, [0-9]+ KiB of code\n"));
	EXPECT_THAT(said.out, ContainsRegex("libc.so.6:0x[0-9a-f]+: wrpkru in pkey_set[+]0x[0-9a-f]+: trapped\n"));
	EXPECT_THAT(said.out, ContainsRegex("calls    .*mmap \\([0-9]+\\)"));
	EXPECT_THAT(said.out, Not(HasSubstr("refused")));
	EXPECT_THAT(said.out, Not(HasSubstr("lacks")));
	EXPECT_THAT(said.out, ContainsRegex("memory   [0-9.]+ MiB mapped, of it [0-9.]+ MiB code; [0-9.]+ [KM]iB of the limit"));
	EXPECT_THAT(said.out, HasSubstr("threads  none of its own\n"));
	EXPECT_EQ(Try("libz.so.1").out, said.out) << "it is the same every time";
}

TEST_F(TryCommand, SaysWhatAConstructorDoes)
{
	Said said = Try(NEEDS_CALLS);
	EXPECT_EQ(said.status, 0) << said.out;
	EXPECT_THAT(said.out, HasSubstr("refused  socket (3)\n"));
	EXPECT_THAT(said.out, HasSubstr("lacks    ptrace\n"));
	EXPECT_THAT(said.out, HasSubstr("threads  1 of its own, of which 1 still run\n"));
	EXPECT_THAT(said.out, HasSubstr("says     \\x1b[2Jneedy\n"));
	said = Try("--format jsonl " NEEDS_CALLS);
	EXPECT_EQ(said.status, 0);
	EXPECT_THAT(said.out, StartsWith("{\"type\":\"header\",\"schema\":\"lychgate-try/1\""));
	EXPECT_THAT(said.out, HasSubstr("{\"type\":\"call\",\"name\":\"socket\",\"number\":41,\"made\":3,\"refused\":3,\"allowable\":true,"));
	EXPECT_THAT(said.out, HasSubstr("\"name\":\"ptrace\",\"number\":101,\"made\":1,\"refused\":1,\"allowable\":false,"));
	EXPECT_THAT(said.out, HasSubstr("\n{\"type\":\"result\",\"opens\":true,\"library\":"));
}

TEST_F(TryCommand, SaysWhyOneDoesNotOpen)
{
	Said said = Try("libnobodyhasit.so.7");
	EXPECT_EQ(said.status, 1);
	EXPECT_THAT(said.out, ContainsRegex("^libnobodyhasit.so.7: does not open: library: libnobodyhasit.so.7: cannot open shared object file"));
	said = Try(NEEDS_NULL);
	EXPECT_EQ(said.status, 1);
	EXPECT_THAT(said.out, HasSubstr(": does not open: library: a constructor ended by segmentation fault"));
	EXPECT_THAT(said.out, ContainsRegex("fault    lychgate: segmentation fault in domain"));
	EXPECT_THAT(said.out, ContainsRegex("#0  0x[0-9a-f]+  needy_write[+]0x[0-9a-f]+ in needs_null.so"));
	EXPECT_THAT(said.out, ContainsRegex("#1  0x[0-9a-f]+  needy_construct[+]0x[0-9a-f]+ in needs_null.so"));
	said = Try(NEEDS_STRAY);
	EXPECT_EQ(said.status, 1);
	EXPECT_THAT(said.out, ContainsRegex(": does not open: code: stray_wrgsbase.so[+]0x[0-9a-f]+ [(]stray[+]0x[0-9a-f]+[)]: wrgsbase"));
	EXPECT_THAT(said.out, ContainsRegex("  stray_wrgsbase.so:0x[0-9a-f]+: wrgsbase in stray[+]0x[0-9a-f]+: left: put there on purpose"));
	said = Try("--timeout 3 " NEEDS_TIME " libz.so.1");
	EXPECT_EQ(said.status, 1);
	EXPECT_THAT(said.out, HasSubstr("it takes longer than --timeout allows"));
	EXPECT_THAT(said.out, HasSubstr("\nlibz.so.1: opens\n")) << "the next one is tried";
}

TEST_F(TryCommand, TellsUsageFromWhatDoesNotOpen)
{
	EXPECT_EQ(Try("").status, 2);
	EXPECT_EQ(Try("--policy nonsense libz.so.1").status, 2);
	EXPECT_THAT(Try("--policy nonsense libz.so.1").out, HasSubstr("policy"));
	EXPECT_EQ(Try("/nowhere/libz.so.1").status, 2);
	EXPECT_EQ(Try("--policy-file /nowhere libz.so.1").status, 2);
	EXPECT_EQ(Try("--policy files-ro:/etc libz.so.1").status, 0);
}

TEST(TryCommandWithoutKeys, SaysWhyNot)
{
	int key = pkey_alloc(0, 0);

	if (key >= 0) {
		pkey_free(key);
		GTEST_SKIP() << "there are keys";
	}
	Said said = Try("libz.so.1");
	EXPECT_EQ(said.status, 3);
	EXPECT_THAT(said.out, StartsWith("libz.so.1: does not open: "));
}

} // namespace
