// SPDX-License-Identifier: Apache-2.0
// Small assembly files, linked and scanned; the report is compared line by line with a file.
//
// Directives in comments of the .s file:
//   # cc: FLAGS        how it is linked (default: -shared); @ stands for the folder of the cases
//   # find: CLASSES    default pkru
//   # no-gates         as code for a domain is scanned
//   # strip            remove all symbols
//   # no-sections      remove the section headers
#include <elf.h>
#include <gtest/gtest.h>
#include <lychgate/scan.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;

namespace
{

std::string slurp(const fs::path &path)
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

Case read_directives(const fs::path &source)
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

void drop_section_headers(const fs::path &file)
{
	std::string image = slurp(file);
	auto *ehdr = reinterpret_cast<Elf64_Ehdr *>(image.data());
	std::memset(image.data() + ehdr->e_shoff, 0x90, static_cast<size_t>(ehdr->e_shnum) * ehdr->e_shentsize);
	ehdr->e_shoff = 0;
	ehdr->e_shnum = 0;
	ehdr->e_shstrndx = 0;
	std::ofstream(file, std::ios::binary) << image;
}

int say_finding(void *ctx, const lych_finding *f)
{
	auto &out = *static_cast<std::string *>(ctx);
	char text[512];
	std::snprintf(text, sizeof(text), "0x%llx %s %s %s", static_cast<unsigned long long>(f->vaddr),
		      lych_verdict_name(f->verdict), lych_class_name(f->cls), lych_placement_name(f->placement));
	out += text;
	if (f->placement == LYCH_PLACE_INSIDE) {
		out += std::string(" ") + lych_part_name(f->first_part) + ".." + lych_part_name(f->last_part);
	}
	std::snprintf(text, sizeof(text), " off=0x%llx %s %s+0x%llx\n", static_cast<unsigned long long>(f->off),
		      *f->section ? f->section : "-", *f->symbol ? f->symbol : "-",
		      static_cast<unsigned long long>(f->symbol_off));
	out += text;
	out += "  bytes";
	for (size_t i = 0; i < f->nbytes; i++) {
		std::snprintf(text, sizeof(text), " %02x", f->bytes[i]);
		out += text;
	}
	out += "\n";
	if (*f->why) {
		out += std::string("  why ") + f->why + "\n";
	}
	for (size_t i = 0; i < f->ninsns; i++) {
		std::snprintf(text, sizeof(text), "  %c 0x%llx %s\n", f->insns[i].hit ? '>' : ' ',
			      static_cast<unsigned long long>(f->insns[i].vaddr), f->insns[i].text);
		out += text;
	}
	return 0;
}

void say_diag(void *ctx, const lych_diag *d)
{
	static const char *const names[] = {"note", "warning", "error"};
	*static_cast<std::string *>(ctx) += std::string(names[d->severity]) + ": " + d->message + "\n";
}

std::string scan(const fs::path &file, const Case &c)
{
	std::string out;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	EXPECT_EQ(lych_classes_parse(&opts.classes, c.find.c_str()), 0);
	opts.flags = c.no_gates ? LYCH_SCAN_NO_GATES : 0;
	opts.finding = say_finding;
	opts.diag = say_diag;
	opts.ctx = &out;
	int rc = lych_scan_file(file.c_str(), &opts, nullptr);
	out += rc == 0 ? "ok\n" : std::string(lych_strerror(rc)) + "\n";
	return out;
}

std::vector<std::string> all_cases()
{
	std::vector<std::string> names;
	for (const auto &entry : fs::directory_iterator(GOLDEN_CASES)) {
		if (entry.path().extension() == ".s") {
			names.push_back(entry.path().stem());
		}
	}
	std::sort(names.begin(), names.end());
	return names;
}

} // namespace

class Golden : public testing::TestWithParam<std::string>
{
};

TEST_P(Golden, ReportIsAsWritten)
{
	const fs::path source = fs::path(GOLDEN_CASES) / (GetParam() + ".s");
	const fs::path expect = fs::path(GOLDEN_CASES) / (GetParam() + ".expect");
	const fs::path built = GOLDEN_OUT + GetParam() + ".so";
	const Case c = read_directives(source);
	const bool object = c.cc.find("-c") == 0;
	std::string cmd = std::string(GOLDEN_CC) + " -nostdlib -Wl,--build-id=none,-z,noexecstack " + c.cc + " -o '" +
			  built.string() + "' '" + source.string() + "' 2>&1";

	ASSERT_EQ(std::system(cmd.c_str()), 0) << cmd;
	if (c.strip) {
		ASSERT_FALSE(object);
		ASSERT_EQ(std::system((std::string(GOLDEN_STRIP) + " '" + built.string() + "'").c_str()), 0);
	}
	if (c.no_sections) {
		drop_section_headers(built);
	}
	const std::string got = scan(built, c);
	if (const char *rebase = std::getenv("LYCH_GOLDEN_REBASE"); rebase && *rebase == '1') {
		std::ofstream(expect) << got;
	}
	EXPECT_EQ(got, slurp(expect)) << "the report of " << source
				      << " changed; LYCH_GOLDEN_REBASE=1 writes it anew";
	fs::remove(built);
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(all_cases()), [](const auto &test) {
	std::string name = test.param;
	std::replace_if(name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
	return name;
});
