// SPDX-License-Identifier: Apache-2.0
// What is counted of Debian's libraries (test/bench/bench_libraries.cc): that it works everywhere, and that its counts can be what
// they say. Nothing here depends on how many they are.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "command.h"
#include "needs_pku.h"
#include "table.h"

namespace
{

std::string bench(std::vector<std::string> words, int *status)
{
	words.insert(words.begin(), BENCH_LIBRARIES);
	return of_command(words, status);
}

std::vector<std::string> lines_of(const std::string &text)
{
	std::vector<std::string> out;
	std::istringstream in(text);
	for (std::string line; std::getline(in, line);) {
		out.push_back(line);
	}
	return out;
}

// The cells of a row of a table in Markdown.
std::vector<std::string> cells(const std::string &line)
{
	std::vector<std::string> out;
	std::istringstream in(line);
	std::string cell;
	std::getline(in, cell, '|');
	while (std::getline(in, cell, '|')) {
		size_t from = cell.find_first_not_of(" ~"), to = cell.find_last_not_of(' ');
		out.push_back(from == std::string::npos ? "" : cell.substr(from, to + 1 - from));
	}
	return out;
}

// Rows of tables in text whose first cell is name, or begins with it and a version.
std::vector<std::vector<std::string>> rows_of(const std::string &text, const std::string &name)
{
	std::vector<std::vector<std::string>> out;
	for (const std::string &line : lines_of(text)) {
		if (line.rfind("| " + name + " ", 0) == 0) {
			out.push_back(cells(line));
		}
	}
	return out;
}

class CountsOf : public testing::TestWithParam<RealLibrary>
{
};
class CountsInTheMachine : public NeedsPku
{
};

} // namespace

TEST_P(CountsOf, ItsWorkAreOfRoundsThatAreAllTheSame)
{
	const RealLibrary &library = GetParam();
	if (!fetched()) {
		GTEST_SKIP() << folder() << " is not there: ./dev setup fetches it";
	}
	if (getenv("LYCH_VM") != nullptr) {
		GTEST_SKIP() << "needs no machine";
	}
	int status = -1;
	std::vector<std::string> told = lines_of(bench({"--count", library.name, ""}, &status));
	ASSERT_EQ(status, 0);
	// bench_libraries.cc: an error or nothing; what it came to; open, round, least, most, calls, callbacks ...
	ASSERT_EQ(told.size(), 14u);
	EXPECT_EQ(told[0], "");
	EXPECT_NE(told[1], "");
	EXPECT_GE(strtoul(told[3].c_str(), nullptr, 10), strtoul(told[4].c_str(), nullptr, 10));
	EXPECT_GE(strtoul(told[6].c_str(), nullptr, 10), 1u) << "calls";
	EXPECT_EQ(told[12], "") << "directly nothing is answered";
}

INSTANTIATE_TEST_SUITE_P(Debian, CountsOf, testing::ValuesIn(kRealLibraries),
			 [](const auto &test) { return std::string(test.param.name); });

TEST_F(CountsInTheMachine, AreOfTheSameWorkDirectlyAndInside)
{
	if (!fetched()) {
		GTEST_SKIP() << folder() << " is not there: ./dev setup fetches it";
	}
	int status = -1;
	std::string text = bench({folder(), "zlib", "giflib"}, &status);
	ASSERT_EQ(status, 0) << text;
	for (const char *name : {"zlib", "giflib"}) {
		std::vector<std::vector<std::string>> rows = rows_of(text, name);
		ASSERT_EQ(rows.size(), 2u) << text;
		const std::vector<std::string> &work = rows[0], &opening = rows[1];
		ASSERT_EQ(work.size(), 7u) << text;
		ASSERT_EQ(opening.size(), 7u) << text;
		double direct = strtod(work[3].c_str(), nullptr), inside = strtod(work[4].c_str(), nullptr),
		       ratio = strtod(work[5].c_str(), nullptr);
		EXPECT_GT(direct, 1.0) << "a round is millions of instructions: " << text;
		EXPECT_NEAR(ratio, inside / direct, 0.02) << text;
		EXPECT_GT(strtod(opening[1].c_str(), nullptr), 0.05) << "dlopen: " << text;
		EXPECT_GT(strtod(opening[2].c_str(), nullptr), 1.0) << "lych_open: " << text;
		EXPECT_GT(strtod(opening[4].c_str(), nullptr), strtod(opening[5].c_str(), nullptr)) << "more is mapped than code: " << text;
	}
	EXPECT_EQ(rows_of(text, "zlib")[0][2], "2, 0") << text;
	EXPECT_EQ(rows_of(text, "giflib")[0][2].rfind("3, ", 0), 0u) << text;
	EXPECT_NE(rows_of(text, "giflib")[0][2], "3, 0") << "it reads by way of the host: " << text;
	EXPECT_NE(text.find("System calls of each opening: openat "), std::string::npos) << text;
}

TEST(TableOfLibraries, NamesEachOfThem)
{
	if (getenv("LYCH_VM") != nullptr) {
		GTEST_SKIP() << "needs no machine";
	}
	std::ifstream in(LYCH_SOURCE "/samples/library/README.md");
	std::string document((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
	size_t from = document.find("<!-- libraries: written by ./dev bench libraries -->"), to = document.find("<!-- libraries: end -->");
	ASSERT_NE(from, std::string::npos);
	ASSERT_NE(to, std::string::npos);
	std::string table = document.substr(from, to - from);
	for (const RealLibrary &library : kRealLibraries) {
		EXPECT_EQ(rows_of(table, library.name).size(), 2u) << library.name << ": ./dev bench libraries writes the table";
	}
	EXPECT_NE(table.find("QEMU "), std::string::npos);
	EXPECT_NE(table.find("Linux "), std::string::npos);
	EXPECT_EQ(rows_of(table, "not one of them").size(), 0u);
}
