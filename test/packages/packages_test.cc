// SPDX-License-Identifier: Apache-2.0
// Libraries of Debian's packages as they are, with strays that nobody put there: a program for each calls the function
// that holds the stray, has its process repaired, and calls it again. Here it is traced: the instruction that is to be
// repaired is really executed, before and after, and so is its trampoline.
#include <gtest/gtest.h>
#include <limits.h>
#include <lychgate/scan.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

#include "packages.h"
#include "seed.h"
#include "traced.h"

namespace
{

struct Site {
	uint64_t vaddr; // as linked
	lych_class cls;
	bool data;
	std::vector<uint64_t> insns; // that hold a byte of the sequence
	std::vector<size_t> lens;
	std::vector<std::string> text;
};

int see(void *ctx, const lych_finding *f)
{
	auto *sites = static_cast<std::vector<Site> *>(ctx);
	Site site = {f->vaddr, f->cls, f->placement == LYCH_PLACE_DATA, {}, {}, {}};
	if (f->verdict != LYCH_VERDICT_STRAY) {
		return 0;
	}
	for (size_t i = 0; i < f->ninsns && !site.data; i++) {
		if (f->insns[i].hit) {
			site.insns.push_back(f->insns[i].vaddr);
			site.lens.push_back(f->insns[i].len);
			site.text.emplace_back(f->insns[i].text);
		}
	}
	sites->push_back(site);
	return 0;
}

std::string root()
{
	const char *given = getenv("LYCH_PACKAGES");
	return given != nullptr ? given : LYCH_PACKAGES;
}

// "" where the package was not fetched.
std::string library_of(const Package &package)
{
	char path[PATH_MAX];
	for (const char *folder : {"/", "-long/"}) {
		std::string name = root() + folder + package.package + "/usr/lib/" + package.library;
		if (realpath(name.c_str(), path) != nullptr) {
			return path;
		}
	}
	return "";
}

std::vector<Package> all_packages()
{
	std::vector<Package> all(std::begin(kPackages), std::end(kPackages));
	all.push_back(kLargePackage);
	return all;
}

std::vector<Site> sites_of(const std::string &path)
{
	std::vector<Site> sites;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	opts.finding = see;
	opts.ctx = &sites;
	EXPECT_EQ(lych_scan_file(path.c_str(), &opts, nullptr), 0) << path;
	return sites;
}

struct Mapping {
	uint64_t start, end, off;
	bool executable;
	std::string path;
};

std::vector<Mapping> mappings_of(pid_t pid)
{
	std::vector<Mapping> out;
	std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
	for (std::string line; std::getline(maps, line);) {
		unsigned long start, end, off;
		char rights[5] = "";
		int path_at = 0;
		if (sscanf(line.c_str(), "%lx-%lx %4s %lx %*s %*s %n", &start, &end, rights, &off, &path_at) == 4) {
			out.push_back({start, end, off, rights[2] == 'x', path_at > 0 ? line.substr(static_cast<size_t>(path_at)) : ""});
		}
	}
	return out;
}

const Mapping *mapping_at(const std::vector<Mapping> &mappings, uint64_t address)
{
	for (const Mapping &m : mappings) {
		if (address >= m.start && address < m.end) {
			return &m;
		}
	}
	return nullptr;
}

// Where it stands in memory what is linked at 0: of a library that is linked so.
uint64_t bias_of(const std::vector<Mapping> &mappings, const std::string &path)
{
	for (const Mapping &m : mappings) {
		if (m.path == path && m.off == 0) {
			return m.start;
		}
	}
	return 0;
}

using Insn = std::array<uint8_t, 16>;

// Where a jump or call at address leads by a relative displacement; 0: it is none.
uint64_t target_of(const Insn &bytes, uint64_t address)
{
	size_t at = bytes[0] == 0x67 ? 1 : 0;
	int32_t rel;
	if (bytes[at] == 0xeb) {
		return address + at + 2 + static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(bytes[at + 1])));
	}
	if (bytes[at] != 0xe8 && bytes[at] != 0xe9) {
		return 0;
	}
	memcpy(&rel, &bytes[at + 1], sizeof(rel));
	return address + at + 5 + static_cast<uint64_t>(static_cast<int64_t>(rel));
}

int count_stray(void *ctx, const lych_finding *f)
{
	auto *left = static_cast<std::string *>(ctx);
	if (f->verdict == LYCH_VERDICT_STRAY || f->verdict == LYCH_VERDICT_RUNTIME) {
		std::ostringstream text;
		text << f->path << " 0x" << std::hex << f->vaddr << " " << lych_class_name(f->cls) << "\n";
		*left += text.str();
	}
	return 0;
}

// All of the process, as it stands.
std::string strays_left(pid_t pid)
{
	std::string left;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	opts.finding = count_stray;
	opts.ctx = &left;
	int rc = lych_scan_process(pid, &opts, nullptr);
	return rc == 0 ? left : "not scanned: " + std::to_string(rc);
}

std::string hex(uint64_t value)
{
	std::ostringstream out;
	out << "0x" << std::hex << value;
	return out.str();
}

} // namespace

class Packages : public testing::TestWithParam<Package>
{
};

TEST_P(Packages, AnswerTheSameThroughRepairedInstructions)
{
	const Package &package = GetParam();
	std::string path = library_of(package);
	if (path.empty()) {
		GTEST_SKIP() << package.package << " is not below " << root() << ": ./dev setup or ./dev test --long fetches it";
	}
	std::vector<Site> sites = sites_of(path);
	if (sites.empty()) {
		GTEST_SKIP() << package.package << " has no stray any more: another version";
	}
	Traced program;
	std::string depends = root() + "/depends/usr/lib/x86_64-linux-gnu";
	ASSERT_TRUE(program.start(
		{std::string(LYCH_PROGRAMS "/package_") + package.program, path, "--traced"},
		{"LD_LIBRARY_PATH=" + path.substr(0, path.rfind('/')) + ":" + depends + ":" + depends + "/blas:" + depends +
			 "/lapack",
		 "LYCH_SEED=" + std::to_string(lych_seed())}));
	ASSERT_TRUE(program.run()) << "ended with " << hex(static_cast<uint64_t>(program.status()));

	// Before: with the code as it was loaded.
	uint64_t bias = bias_of(mappings_of(program.pid()), path);
	ASSERT_NE(bias, 0u);
	std::map<uint64_t, Insn> before, after;
	for (const Site &site : sites) {
		for (uint64_t insn : site.insns) {
			ASSERT_TRUE(program.read(bias + insn, before[insn].data(), sizeof(Insn)));
		}
	}
	for (const auto &[insn, bytes] : before) {
		program.count(bias + insn);
	}
	ASSERT_TRUE(program.run()) << "ended with " << hex(static_cast<uint64_t>(program.status()));
	std::map<uint64_t, uint64_t> hits_before = program.counts();
	ASSERT_TRUE(program.run()) << "lych_init: ended with " << hex(static_cast<uint64_t>(program.status()));

	// After: the sequences are gone from the process.
	EXPECT_EQ(strays_left(program.pid()), "");
	std::vector<Mapping> mappings = mappings_of(program.pid());
	std::map<uint64_t, uint64_t> trampolines; // by instruction
	for (const auto &[insn, old_bytes] : before) {
		Insn &bytes = after[insn];
		ASSERT_TRUE(program.read(bias + insn, bytes.data(), sizeof(Insn)));
		uint64_t target = bytes != old_bytes ? target_of(bytes, bias + insn) : 0;
		const Mapping *mapping = target != 0 ? mapping_at(mappings, target) : nullptr;
		if (mapping != nullptr && mapping->path != path) {
			trampolines[insn] = target;
		}
	}
	for (const auto &[insn, bytes] : after) {
		program.count(bias + insn);
	}
	for (const auto &[insn, trampoline] : trampolines) {
		program.count(trampoline);
	}
	ASSERT_TRUE(program.run()) << "ended with " << hex(static_cast<uint64_t>(program.status()));
	std::map<uint64_t, uint64_t> hits_after = program.counts();

	size_t executed = 0;
	for (const Site &site : sites) {
		SCOPED_TRACE(std::string(lych_class_name(site.cls)) + " at " + hex(site.vaddr));
		if (site.data) {
			const Mapping *mapping = mapping_at(mappings, bias + site.vaddr);
			EXPECT_TRUE(mapping == nullptr || !mapping->executable);
			continue;
		}
		bool changed = false, ran = true;
		for (size_t i = 0; i < site.insns.size(); i++) {
			uint64_t insn = site.insns[i], times_before = hits_before[bias + insn], times = hits_after[bias + insn];
			bool here = memcmp(before[insn].data(), after[insn].data(), site.lens[i]) != 0;
			std::string line = site.text[i] + ": executed " + std::to_string(times_before) + " times, then " +
					   std::to_string(times) + (here ? ", repaired" : "");
			if (here && trampolines.count(insn) != 0) {
				uint64_t there = hits_after[trampolines[insn]];
				line += ", its trampoline " + std::to_string(there);
				ran = ran && there > 0;
			}
			printf("%s 0x%llx %s\n", lych_class_name(site.cls), static_cast<unsigned long long>(insn), line.c_str());
			changed = changed || here;
			ran = ran && (!here || (times_before > 0 && times > 0));
		}
		EXPECT_TRUE(changed);
		executed += changed && ran;
	}
	EXPECT_GE(executed, package.executed) << "so many repaired instructions were executed";

	// The answers.
	EXPECT_FALSE(program.run());
	EXPECT_TRUE(WIFEXITED(program.status()) && WEXITSTATUS(program.status()) == 0)
		<< hex(static_cast<uint64_t>(program.status()));
}

INSTANTIATE_TEST_SUITE_P(Debian, Packages, testing::ValuesIn(all_packages()),
			 [](const auto &test) { return std::string(test.param.name); });

// What the test above sees is the repair's doing.
TEST(PackagesOfDebian, KeepTheirStraysWithoutTheRepair)
{
	std::string path = library_of(kPackages[0]);
	if (path.empty()) {
		GTEST_SKIP() << kPackages[0].package << " is not below " << root() << ": ./dev setup fetches it";
	}
	Traced program;
	ASSERT_TRUE(program.start({std::string(LYCH_PROGRAMS "/package_") + kPackages[0].program, path, "--traced",
				   "--unrepaired"}, {}));
	for (int stop = 0; stop < 3; stop++) {
		ASSERT_TRUE(program.run()) << hex(static_cast<uint64_t>(program.status()));
	}
	std::string left = strays_left(program.pid());
	EXPECT_EQ(left.find(path) != std::string::npos, !sites_of(path).empty()) << left;
}

TEST(PackagesOfDebian, TwelveStillHaveStrays)
{
	if (access(root().c_str(), R_OK) != 0) {
		GTEST_SKIP() << root() << " is not there: ./dev setup fetches it";
	}
	std::set<std::string> with_strays, languages;
	bool data = false;
	for (const Package &package : kPackages) {
		std::string path = library_of(package);
		if (path.empty()) {
			continue;
		}
		for (const Site &site : sites_of(path)) {
			with_strays.insert(package.package);
			if (site.data) {
				data = true;
			} else {
				languages.insert(package.language);
			}
		}
	}
	EXPECT_GE(with_strays.size(), 12u) << "find others: test/packages/find.sh";
	EXPECT_TRUE(with_strays.count("libnettle8"));
	EXPECT_TRUE(languages.count("C++"));
	EXPECT_TRUE(languages.count("Ada"));
	EXPECT_TRUE(data);
}
