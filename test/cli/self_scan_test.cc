// SPDX-License-Identifier: Apache-2.0
// G3 for what we ship: outside the sites of its note the runtime starts no WRPKRU, XRSTOR or WRGSBASE.
#include "cli.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include <lychgate/note.h>

using testing::Each;
using testing::HasSubstr;

namespace
{

std::vector<uint8_t> bytes_of(const std::string &path)
{
	std::ifstream file(path, std::ios::binary);
	return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The sites that the note of a linked file lists, read here once more and not by the scanner: address to kind.
std::map<uint64_t, int> sites_of(const std::string &path)
{
	const std::vector<uint8_t> data = bytes_of(path);
	std::map<uint64_t, int> sites;
	Elf64_Ehdr ehdr{};

	if (data.size() < sizeof(ehdr)) {
		return sites;
	}
	std::memcpy(&ehdr, data.data(), sizeof(ehdr));
	for (int i = 0; i < ehdr.e_phnum; i++) {
		Elf64_Phdr phdr;
		std::memcpy(&phdr, data.data() + ehdr.e_phoff + i * sizeof(phdr), sizeof(phdr));
		if (phdr.p_type != PT_NOTE) {
			continue;
		}
		for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= phdr.p_filesz;) {
			Elf64_Nhdr note;
			std::memcpy(&note, data.data() + phdr.p_offset + at, sizeof(note));
			const size_t name = at + sizeof(note), align = phdr.p_align == 8 ? 7 : 3;
			const size_t desc = (name + note.n_namesz + align) & ~align;
			const std::string owner(reinterpret_cast<const char *>(data.data()) + phdr.p_offset + name,
						note.n_namesz == 0 ? 0 : note.n_namesz - 1);
			for (size_t d = desc; owner == LYCH_NOTE_OWNER && note.n_type == LYCH_NOTE_SITES &&
					      d + 8 <= desc + note.n_descsz;) {
				const uint8_t *entry = data.data() + phdr.p_offset + d;
				int32_t to_site;
				std::memcpy(&to_site, entry, sizeof(to_site));
				sites[phdr.p_vaddr + d + to_site] = entry[4];
				d += 8 + ((entry[5] + entry[6] + 3) & ~3);
			}
			at = (desc + note.n_descsz + align) & ~align;
		}
	}
	return sites;
}

void expect_its_sites_and_nothing_else(const std::string &path, const std::vector<std::string> &policy)
{
	const std::map<uint64_t, int> sites = sites_of(path);
	std::vector<std::string> args = {"scan", "--format=jsonl", path};
	std::vector<uint64_t> found, listed;

	args.insert(args.end(), policy.begin(), policy.end());
	Outcome run = lychgate(args);
	EXPECT_EQ(run.exit_code, 0) << run;
	for (const Json &finding : records(run.out, "finding")) {
		EXPECT_EQ(string_at(finding, "verdict"), "gate") << run;
		EXPECT_EQ(string_at(finding, "class"), "wrpkru") << run;
		EXPECT_EQ(string_at(finding, "placement"), "instruction") << run;
		found.push_back(std::stoull(string_at(finding, "vaddr"), nullptr, 0));
	}
	for (const auto &[site, kind] : sites) {
		EXPECT_TRUE(kind == LYCH_SITE_GS || kind == LYCH_SITE_IMM) << kind;
		listed.push_back(site - 3);
	}
	EXPECT_FALSE(listed.empty()) << path << " has no note";
	EXPECT_EQ(found, listed);
}

} // namespace

TEST(SelfScan, FindsTheSitesOfTheRuntimesNoteAsGatesAndNothingElse)
{
	expect_its_sites_and_nothing_else(LYCHGATE_SHARED, {});
}

TEST(SelfScan, FindsNothingElseEitherThatAProgramWithTheRuntimeMustNotHave)
{
	expect_its_sites_and_nothing_else(LYCHGATE_SHARED, {"--policy=host"});
}

// The control: the same file without its note has as many strays.
TEST(SelfScan, WithoutTheNoteEverySiteIsAStray)
{
	const size_t sites = sites_of(LYCHGATE_SHARED).size();
	std::vector<uint8_t> data = bytes_of(LYCHGATE_SHARED);
	const std::string owner = std::string(LYCH_NOTE_OWNER) + '\0';
	// with the type before it: the same bytes may stand in a string
	std::vector<uint8_t> name = {LYCH_NOTE_SITES, 0, 0, 0};
	name.insert(name.end(), owner.begin(), owner.end());
	for (auto at = data.begin();
	     (at = std::search(at, data.end(), name.begin(), name.end())) != data.end();) {
		*(at + 4) ^= 0x20;
	}
	ASSERT_GT(sites, 0u);
	Tree tree;
	Outcome run = lychgate({"scan", tree.file("no-note.so", data)});
	EXPECT_EQ(run.exit_code, 1) << run;
	EXPECT_THAT(lines_of(run.out), Each(HasSubstr(": stray wrpkru: instruction: 0f 01 ef")));
	EXPECT_EQ(lines_of(run.out).size(), sites) << run;
}

TEST(SelfScan, TheScannerAndItsCommandHaveNone)
{
	for (const char *path : {LYCHSCAN_SHARED, LYCHGATE_COMMAND}) {
		Outcome run = lychgate({"scan", "--policy=host", path});
		EXPECT_EQ(run.exit_code, 0) << run;
		EXPECT_EQ(run.out, "");
	}
}
