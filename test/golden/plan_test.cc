// SPDX-License-Identifier: Apache-2.0
// The same files as in golden_test.cc: what `lychgate repair --plan` says about those that have a .plan file, the
// file's name left out, and its exit code.
#include "golden.h"

namespace
{

std::string plan(const fs::path &file)
{
	std::string out, cmd = std::string(GOLDEN_COMMAND) + " repair --plan '" + file.string() + "' 2>&1";
	char chunk[4096];
	size_t n;
	FILE *pipe = popen(cmd.c_str(), "r");

	while (pipe && (n = fread(chunk, 1, sizeof(chunk), pipe)) > 0) {
		out.append(chunk, n);
	}
	int status = pipe ? pclose(pipe) : -1;
	out += "exit " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1) + "\n";
	for (size_t at; (at = out.find(file.string())) != std::string::npos;) {
		out.replace(at, file.string().size(), "FILE");
	}
	return out;
}

} // namespace

class GoldenPlan : public testing::TestWithParam<std::string>
{
};

TEST_P(GoldenPlan, IsAsWritten)
{
	const fs::path expect = fs::path(GOLDEN_CASES) / (GetParam() + ".plan");
	const Case c = read_directives(fs::path(GOLDEN_CASES) / (GetParam() + ".s"));
	const fs::path built = build_case(GetParam(), c);
	ASSERT_FALSE(HasFailure());
	const std::string got = plan(built);
	if (rebase()) {
		std::ofstream(expect) << got;
	}
	EXPECT_EQ(got, slurp(expect)) << "the plan for " << GetParam()
				      << ".s changed; LYCH_GOLDEN_REBASE=1 writes it anew";
	fs::remove(built);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenPlan, testing::ValuesIn(cases_with(".plan")),
			 [](const auto &test) { return test_name(test.param); });
