// SPDX-License-Identifier: Apache-2.0
// A case: an assembly file, how it is built, and the text that is expected.
#ifndef LYCH_TEST_GOLDEN_H
#define LYCH_TEST_GOLDEN_H

#include <elf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;

inline std::string slurp(const fs::path &path)
{
	std::ifstream in(path, std::ios::binary);
	std::stringstream all;
	all << in.rdbuf();
	return all.str();
}

struct Case {
	std::string cc = "-shared";
	std::string find = "pkru";
	bool no_gates = false, strip = false, no_sections = false;
};

inline Case read_directives(const fs::path &source)
{
	Case c;
	std::istringstream lines(slurp(source));
	for (std::string line; std::getline(lines, line);) {
		if (line.rfind("# cc: ", 0) == 0) {
			c.cc = line.substr(6);
		} else if (line.rfind("# find: ", 0) == 0) {
			c.find = line.substr(8);
		}
		c.no_gates |= line == "# no-gates";
		c.strip |= line == "# strip";
		c.no_sections |= line == "# no-sections";
	}
	for (size_t at; (at = c.cc.find('@')) != std::string::npos;) {
		c.cc.replace(at, 1, GOLDEN_CASES);
	}
	return c;
}

inline void drop_section_headers(const fs::path &file)
{
	std::string image = slurp(file);
	auto *ehdr = reinterpret_cast<Elf64_Ehdr *>(image.data());
	std::memset(image.data() + ehdr->e_shoff, 0x90, static_cast<size_t>(ehdr->e_shnum) * ehdr->e_shentsize);
	ehdr->e_shoff = 0;
	ehdr->e_shnum = 0;
	ehdr->e_shstrndx = 0;
	std::ofstream(file, std::ios::binary) << image;
}

// Builds the case and returns the file, which is the caller's to remove.
inline fs::path build_case(const std::string &name, const Case &c)
{
	const fs::path source = fs::path(GOLDEN_CASES) / (name + ".s");
	const fs::path built = GOLDEN_OUT + name + ".so";
	std::string cmd = std::string(GOLDEN_CC) + " -nostdlib -Wl,--build-id=none,-z,noexecstack " + c.cc + " -o '" +
			  built.string() + "' '" + source.string() + "' 2>&1";

	EXPECT_EQ(std::system(cmd.c_str()), 0) << cmd;
	if (c.strip) {
		EXPECT_NE(c.cc.find("-c"), 0u);
		EXPECT_EQ(std::system((std::string(GOLDEN_STRIP) + " '" + built.string() + "'").c_str()), 0);
	}
	if (c.no_sections) {
		drop_section_headers(built);
	}
	return built;
}

inline bool rebase()
{
	const char *value = std::getenv("LYCH_GOLDEN_REBASE");
	return value && *value == '1';
}

// A case's name as gtest takes it.
inline std::string test_name(std::string name)
{
	std::replace_if(name.begin(), name.end(), [](char ch) { return !isalnum(ch); }, '_');
	return name;
}

// Those that have a file with that ending.
inline std::vector<std::string> cases_with(const std::string &extension)
{
	std::vector<std::string> names;
	for (const auto &entry : fs::directory_iterator(GOLDEN_CASES)) {
		fs::path expect = entry.path();
		expect.replace_extension(extension);
		if (entry.path().extension() == ".s" && fs::exists(expect)) {
			names.push_back(entry.path().stem());
		}
	}
	std::sort(names.begin(), names.end());
	return names;
}

#endif
