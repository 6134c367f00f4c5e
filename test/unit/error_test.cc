// SPDX-License-Identifier: Apache-2.0
// lych_strerror and the list in <lychgate/error.h>. Built for each of the libraries that offer it.
#include <gtest/gtest.h>
#include <lychgate/error.h>

#include <climits>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>

namespace
{

// The names in the header's list, as strerrorname_np gives them.
std::set<std::string> listed()
{
	std::ifstream header(LYCH_ERROR_HEADER);
	const std::string before = " *\t-";
	std::set<std::string> names;

	for (std::string line; std::getline(header, line);) {
		if (line.rfind(before + "E", 0) == 0) {
			const std::string name =
				line.substr(before.size(), line.find(' ', before.size()) - before.size());
			// one number, two names; glibc knows the one
			names.insert(name == "EOPNOTSUPP" ? "ENOTSUP" : name);
		}
	}
	return names;
}

std::string name_of(int e)
{
	const char *name = strerrorname_np(e);

	return name == nullptr ? "" : std::string(name) == "EOPNOTSUPP" ? "ENOTSUP" : name;
}

TEST(Errors, OfTheListHaveATextOfTheirOwnAndOthersHaveNone)
{
	const std::set<std::string> names = listed();
	std::map<std::string, std::string> by_text;
	size_t met = 0;

	ASSERT_GE(names.size(), 25u);
	for (int e = 1; e < 4096; e++) {
		const std::string text = lych_strerror(-e), name = name_of(e);

		if (names.count(name) == 0) {
			EXPECT_EQ(text, "unknown error") << e << " " << name << ", which is not in the list";
			continue;
		}
		met++;
		EXPECT_NE(text, "unknown error") << name;
		EXPECT_TRUE(by_text.emplace(text, name).second) << name << " and " << by_text[text] << ": " << text;
	}
	EXPECT_EQ(met, names.size());
}

TEST(Errors, MeanTheSameWithEitherSign)
{
	for (int e = -200; e <= 200; e++) {
		EXPECT_STREQ(lych_strerror(-e), lych_strerror(e));
	}
}

TEST(Errors, EveryIntegerHasAText)
{
	EXPECT_STREQ(lych_strerror(INT_MIN), "unknown error");
	EXPECT_STREQ(lych_strerror(INT_MAX), "unknown error");
	EXPECT_STREQ(lych_strerror(0), "no error");
}

} // namespace
