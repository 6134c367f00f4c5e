// SPDX-License-Identifier: Apache-2.0
#include "cli.h"

using testing::HasSubstr;
using testing::StartsWith;

TEST(Usage, WithoutVerbShowsHelpOnStandardErrorAndFails)
{
	Outcome run = lychgate({});
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_EQ(run.out, "");
	EXPECT_THAT(run.err, HasSubstr("Usage: lychgate VERB"));
}

TEST(Usage, HelpGoesToStandardOutputAndNamesEveryVerb)
{
	Outcome run = lychgate({"--help"});
	EXPECT_EQ(run.exit_code, 0) << run;
	for (const char *verb : {"scan", "explain", "repair", "doctor"}) {
		EXPECT_THAT(run.out, HasSubstr(std::string("\n  ") + verb)) << run;
	}
	EXPECT_EQ(run.err, "");
}

TEST(Usage, VersionNamesLibraryAndDisassembler)
{
	for (const char *option : {"--version", "-V"}) {
		Outcome run = lychgate({option});
		EXPECT_EQ(run.exit_code, 0) << run;
		EXPECT_THAT(run.out, StartsWith("lychgate " LYCH_VERSION
						"\nliblychscan " LYCH_VERSION "\nCapstone "));
		EXPECT_NE(run.out.back(), ' ');
	}
	EXPECT_EQ(lychgate({"scan", "--version"}).out, lychgate({"--version"}).out);
}

TEST(Usage, EachVerbHasHelpThatStatesExitCodes)
{
	for (const char *verb : {"scan", "explain", "repair"}) {
		Outcome run = lychgate({verb, "--help"});
		EXPECT_EQ(run.exit_code, 0) << run;
		EXPECT_THAT(run.out, StartsWith(std::string("Usage: lychgate ") + verb)) << run;
		EXPECT_THAT(run.out, HasSubstr("Exit status"));
	}
	EXPECT_THAT(lychgate({"scan", "--help"}).out, HasSubstr("unsafe occurrence"));
}

TEST(Usage, HelpThatCannotBeWrittenIsAnInternalError)
{
	Outcome run = lychgate({"scan", "--help"}, output_to("/dev/full"));
	EXPECT_EQ(run.exit_code, 4) << run;
	EXPECT_THAT(run.err, HasSubstr("No space left on device"));
}

struct WrongUsage {
	const char *name;
	std::vector<std::string> args;
	const char *says;
};

class WrongUsageTest : public testing::TestWithParam<WrongUsage>
{
};

TEST_P(WrongUsageTest, IsExplainedOnStandardErrorWithExitCode2)
{
	Outcome run = lychgate(GetParam().args);
	EXPECT_EQ(run.exit_code, 2) << run;
	EXPECT_EQ(run.out, "") << run;
	EXPECT_THAT(run.err, HasSubstr(GetParam().says)) << run;
}

INSTANTIATE_TEST_SUITE_P(
	Command, WrongUsageTest,
	testing::ValuesIn(std::vector<WrongUsage>{
		{"UnknownVerb", {"frobnicate"}, "unknown verb `frobnicate'"},
		{"UnknownGlobalOption", {"--frobnicate"}, "unknown option"},
		{"UnknownOption", {"scan", "--frobnicate", "/"}, "frobnicate"},
		{"NothingToScan", {"scan"}, "nothing to scan"},
		{"EmptyPath", {"scan", ""}, "a PATH is empty"},
		{"NoThreads", {"scan", "-j", "0", "/"}, "-j"},
		{"TooManyThreads", {"scan", "-j", "99999999", "/"}, "-j"},
		{"NegativeThreads", {"scan", "-j", "-1", "/"}, "-j"},
		{"ThreadsWithUnit", {"scan", "-j", "2x", "/"}, "-j"},
		{"ThreadsBeyond64Bits", {"scan", "-j", "99999999999999999999", "/"}, "-j"},
		{"NegativeSize", {"scan", "--max-size", "-1", "/"}, "--max-size"},
		{"ZeroSize", {"scan", "--max-size", "0", "/"}, "--max-size"},
		{"SizeWithWrongUnit", {"scan", "--max-size", "1Q", "/"}, "--max-size"},
		{"SizeThatWraps", {"scan", "--max-size", "99999999999T", "/"}, "--max-size"},
		{"HugeTimeout", {"scan", "--timeout", "1e99", "/"}, "--timeout"},
		{"ZeroTimeout", {"scan", "--timeout", "0", "/"}, "--timeout"},
		{"NegativeTimeout", {"scan", "--timeout=-3", "/"}, "--timeout"},
		{"TimeoutNotANumber", {"scan", "--timeout", "nan", "/"}, "--timeout"},
		{"TimeoutBeyondADay", {"scan", "--timeout", "86401", "/"}, "--timeout"},
		{"PidZero", {"scan", "--pid", "0"}, "--pid"},
		{"PidNegative", {"scan", "--pid=-1"}, "--pid"},
		{"PidBeyondInt", {"scan", "--pid", "4294967297"}, "--pid"},
		{"PidSelf", {"scan", "--pid", "self"}, "--pid"},
		{"UnknownPolicy",
		 {"scan", "--policy", "foo", "/"},
		 "--policy is pkru, host or domain"},
		{"PolicyTwice", {"scan", "--policy", "pkru", "--policy", "host", "/"}, "twice"},
		{"PolicyAndFind",
		 {"scan", "--policy", "pkru", "--find", "syscall", "/"},
		 "--policy and --find"},
		{"UnknownClass", {"scan", "--find", "wrpkru,foo", "/"}, "no such class"},
		{"EmptyClass", {"scan", "--find", "", "/"}, "no such class"},
		{"UnknownFailClass", {"scan", "--fail-on", "foo", "/"}, "--fail-on"},
		{"UnknownFormat",
		 {"scan", "--format", "xml", "/"},
		 "--format is text, jsonl or sarif"},
		{"UnknownColor", {"scan", "--color=pink", "/"}, "--color"},
		{"BaseWithoutRaw", {"scan", "--base", "0x1000", "/"}, "--base needs --raw"},
		{"BaseNotHex", {"scan", "--raw", "--base", "zz", "/"}, "hexadecimal"},
		{"BaseWithSign", {"scan", "--raw", "--base", "-1", "/"}, "hexadecimal"},
		{"BaseBeyond64Bits",
		 {"scan", "--raw", "--base", "10000000000000000", "/"},
		 "hexadecimal"},
		{"RawWithPid", {"scan", "--raw", "--pid", "1"}, "--raw"},
		{"RawWithDeps", {"scan", "--raw", "--deps", "/bin/sh"}, "--raw"},
		{"LibraryPathWithoutDeps",
		 {"scan", "--library-path", "/lib", "/"},
		 "--library-path needs --deps"},
		{"NullWithoutList", {"scan", "-0", "/"}, "-0 needs --files-from"},
		{"UpdateWithoutBaseline", {"scan", "--update-baseline", "/"}, "needs --baseline"},
		{"BaselineTwice", {"scan", "--baseline", "a", "--baseline", "b", "/"}, "twice"},
		{"QuietAndVerbose", {"scan", "-q", "-v", "/"}, "contradict"},
		{"MissingArgument", {"scan", "--exclude"}, "requires an argument"},
		{"RepairWithoutPlan", {"repair", "/bin/sh"}, "--plan"},
		{"RepairNothing", {"repair", "--plan"}, "nothing to plan for"},
		{"RepairUnknownPolicy", {"repair", "--plan", "--policy", "all", "/bin/sh"}, "pkru, host or domain"},
		{"RepairUnknownFormat", {"repair", "--plan", "--format", "sarif", "/bin/sh"}, "text or jsonl"},
		{"RepairBadInsn", {"repair", "--plan", "--insn", "0x", "/bin/sh"}, "not a hexadecimal address"},
		{"RepairBaseWithoutRaw", {"repair", "--plan", "--base", "0", "/bin/sh"}, "--base needs --raw"},
		{"ExplainNothing", {"explain"}, "FILE:ADDRESS"},
		{"ExplainWithoutAddress", {"explain", "/bin/sh"}, "not of the form FILE:ADDRESS"},
		{"ExplainWithoutFile", {"explain", ":10"}, "not of the form FILE:ADDRESS"},
		{"ExplainBadAddress", {"explain", "/bin/sh:12z"}, "not a hexadecimal address"},
		{"ExplainSignedAddress", {"explain", "/bin/sh:-1"}, "not a hexadecimal address"},
		{"ExplainDoublePrefix", {"explain", "/bin/sh:0x0x1"}, "not a hexadecimal address"},
		{"ExplainTwoPlaces", {"explain", "/bin/sh:1", "/bin/sh:2"}, "one place at a time"},
		{"ExplainBaseWithoutRaw",
		 {"explain", "--base", "1", "/bin/sh:1"},
		 "--base needs --raw"},
	}),
	[](const auto &row) { return row.param.name; });
