// SPDX-License-Identifier: Apache-2.0
// The ranges against the loaders themselves: odd layouts are loaded by this machine's kernel and
// ld.so, and what is executable then must be what the ranges say, byte for byte.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "elf_builder.h"
extern "C" {
#include "elf.h"
#include "range.h"
}

namespace
{

using Bytes = std::vector<uint8_t>;
constexpr uint32_t RX = PF_R | PF_X;
constexpr uint32_t RW = PF_R | PF_W;
constexpr uint64_t kBase = 0x400000;
constexpr uint64_t kData = 0x20000; // address and offset of what both loaders need besides

struct Segment {
	uint32_t flags;
	uint64_t vaddr, off, filesz, memsz;
};

struct Row {
	const char *name;
	std::vector<Segment> segments; // vaddr relative to kBase
	bool kernels_differ = false;   // the ranges may hold more than this kernel maps
};

// A file of nonzero bytes: a page that reads as zero was not mapped from it.
Bytes Build(const Row &row, uint16_t type, uint64_t base)
{
	ElfBuilder b;
	std::mt19937 random(11);

	b.type = type;
	b.section_headers = false;
	b.phoff = kData + 0x800;
	b.reserve(kData + 0x800);
	for (uint64_t off = 0x40; off < kData; off++) {
		b.value(off, static_cast<uint8_t>(random() | 1));
	}
	// Dynamic section, a hash table with no symbols, and code that does nothing.
	const Elf64_Dyn dynamic[] = {{DT_STRTAB, {base + kData + 0x200}}, {DT_STRSZ, {1}},
				     {DT_SYMTAB, {base + kData + 0x200}}, {DT_SYMENT, {24}},
				     {DT_HASH, {base + kData + 0x300}},   {DT_NULL, {0}}};
	const uint32_t hash[] = {1, 1, 0, 0};
	b.put(kData, dynamic, sizeof(dynamic));
	b.put(kData + 0x300, hash, sizeof(hash));
	for (const Segment &s : row.segments) {
		b.segment(s.flags, base + s.vaddr, s.off, s.filesz).p_memsz = s.memsz;
	}
	b.segment(RW, base + kData, kData, 0x1000);
	b.program_header(PT_DYNAMIC, RW, base + kData, kData, sizeof(dynamic), sizeof(dynamic));
	b.program_header(PT_GNU_STACK, RW, 0, 0, 0, 0);
	b.lie = [base](Elf64_Ehdr &h) { h.e_entry = base + kData; };
	b.reserve(kData + 0x1000);
	return b.build();
}

// Executable pages of a process in [low, high) and what they hold; what lies beyond a file's end
// cannot be read.
std::map<uint64_t, Bytes> ExecutablePages(pid_t pid, uint64_t low, uint64_t high)
{
	std::string proc = "/proc/" + std::to_string(pid);
	std::ifstream maps(proc + "/maps");
	std::map<uint64_t, Bytes> pages;
	int mem = open((proc + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
	for (std::string line; std::getline(maps, line);) {
		uint64_t start, end;
		char perms[5];
		if (sscanf(line.c_str(), "%lx-%lx %4s", &start, &end, perms) != 3 ||
		    perms[2] != 'x') {
			continue;
		}
		for (uint64_t page = std::max(start, low); page < std::min(end, high);
		     page += 4096) {
			Bytes bytes(4096);
			if (pread(mem, bytes.data(), bytes.size(), static_cast<off_t>(page)) ==
			    4096) {
				pages[page - low] = bytes;
			}
		}
	}
	close(mem);
	return pages;
}

std::map<uint64_t, Bytes> ExpectedPages(const Bytes &file, uint64_t base)
{
	std::map<uint64_t, Bytes> pages;
	source src = source_from_memory(file.data(), file.size());
	elf e;
	const char *why;
	range_list list;
	unsigned flags;
	EXPECT_EQ(elf_open(&e, &src, &why), 0) << why;
	EXPECT_EQ(range_of_segments(&list, &flags, e.phdrs, e.nphdrs, file.size()), 0);
	for (size_t i = 0; i < list.count; i++) {
		const range &r = list.items[i];
		for (uint64_t at = 0; at < r.len; at += 4096) {
			Bytes bytes(4096);
			memcpy(bytes.data(), &file[r.off + at],
			       std::min<uint64_t>(4096, r.len - at));
			pages[r.vaddr + at - base] = bytes;
		}
	}
	range_free(&list);
	elf_close(&e);
	return pages;
}

// Nothing executable may be missing from the ranges. They may say more only where loaders differ
// (range.c): bytes and pages that one replaced by zeros, or (not exact) a page that one does not
// map.
void Compare(const std::map<uint64_t, Bytes> &loaded, const std::map<uint64_t, Bytes> &expected,
	     bool exact = true)
{
	for (const auto &[page, bytes] : loaded) {
		bool zero =
			std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
		auto it = expected.find(page);
		ASSERT_TRUE(zero || it != expected.end()) << "page missed: " << std::hex << page;
		for (size_t i = 0; i < 4096 && !zero; i++) {
			ASSERT_TRUE(bytes[i] == 0 || bytes[i] == it->second[i])
				<< "byte missed: " << std::hex << page + i;
		}
	}
	for (const auto &[page, bytes] : expected) {
		EXPECT_TRUE(!exact || loaded.count(page) == 1)
			<< "page not loaded: " << std::hex << page;
	}
}

std::string Save(const Bytes &file)
{
	char name[] = "/tmp/lych-range-XXXXXX";
	int fd = mkstemp(name);
	EXPECT_EQ(write(fd, file.data(), file.size()), static_cast<ssize_t>(file.size()));
	fchmod(fd, 0755);
	close(fd);
	return name;
}

class Loaders : public testing::TestWithParam<Row>
{
};

TEST_P(Loaders, TheKernelMapsExactlyTheRanges)
{
	Bytes file = Build(GetParam(), ET_EXEC, kBase);
	std::string path = Save(file);
	pid_t child = fork();
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
			_exit(99);
		}
		execl(path.c_str(), path.c_str(), nullptr);
		_exit(98);
	}
	int status = 0;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	unlink(path.c_str());
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99) {
		GTEST_SKIP() << "ptrace is not allowed here";
	}
	// Stopped right after execve, before its first instruction.
	ASSERT_TRUE(WIFSTOPPED(status)) << "not loaded, status " << status;
	auto loaded = ExecutablePages(child, kBase, kBase + kData);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	Compare(loaded, ExpectedPages(file, kBase), !GetParam().kernels_differ);
}

TEST_P(Loaders, LdSoMapsExactlyTheRanges)
{
	Bytes file = Build(GetParam(), ET_DYN, 0);
	std::string path = Save(file);
	void *handle = dlopen(path.c_str(), RTLD_NOW);
	unlink(path.c_str());
	ASSERT_NE(handle, nullptr) << dlerror();
	struct link_map *map = nullptr;
	ASSERT_EQ(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	Compare(ExecutablePages(getpid(), map->l_addr, map->l_addr + kData),
		ExpectedPages(file, 0));
	dlclose(handle);
}

INSTANTIATE_TEST_SUITE_P(
	Range, Loaders,
	testing::Values(Row{"Plain",
			    {{PF_R, 0, 0, 0x1000, 0x1000}, {RX, 0x1000, 0x1000, 0x2000, 0x2000}}},
			Row{"PagesOfASmallSegment",
			    {{PF_R, 0, 0, 0x40, 0x40}, {RX, 0x1234, 0x1234, 0x10, 0x10}}},
			Row{"NoFileBytesWithinAPage",
			    {{PF_R, 0, 0, 0x40, 0x40},
			     {RX, 0x1000, 0x1000, 0x10, 0x10},
			     {RX, 0x2800, 0x2800, 0, 0}},
			    true}, // kernels before 6.7 and ld.so map this page
			Row{"Neighbours",
			    {{RX, 0, 0, 0x1000, 0x1000}, {RX, 0x1000, 0x8000, 0x1001, 0x1001}}},
			Row{"CodeOverCode",
			    {{RX, 0, 0, 0x5000, 0x5000}, {RX, 0x2000, 0x8000, 0x1000, 0x1000}}},
			Row{"DataOverCode",
			    {{RX, 0, 0, 0x5000, 0x5000}, {RW, 0x2000, 0x8000, 0x1800, 0x1800}}},
			Row{"CodeOverData",
			    {{PF_R, 0, 0, 0x5000, 0x5000}, {RX, 0x2800, 0x8800, 0x1000, 0x1000}}},
			Row{"OneByteOfDataTakesThePage",
			    {{RX, 0, 0, 0x3000, 0x3000}, {PF_R, 0x1fff, 0x8fff, 1, 1}}},
			Row{"TwiceTheSamePage",
			    {{RX, 0, 0, 0x1000, 0x1000}, {RX, 0, 0x3000, 0x1000, 0x1000}}},
			Row{"ZerosBehindTheFilePart",
			    {{PF_R, 0, 0, 0x40, 0x40}, {RX | PF_W, 0x1000, 0x1000, 0x100, 0x2000}}},
			Row{"CodeBehindZeros",
			    {{PF_R, 0, 0, 0x40, 0x40},
			     {RW, 0x1000, 0x1000, 0x100, 0x3000},
			     {RX, 0x4000, 0x4000, 0x1000, 0x1000}}}),
	[](const testing::TestParamInfo<Row> &row) { return row.param.name; });

// What ld.so maps of a header table with 65535 entries: all of it, not what PN_XNUM means to
// others.
TEST(Range, LdSoTakesSixtyFiveThousandHeadersLiterally)
{
	Row row = {"", {{PF_R, 0, 0, 0x40, 0x40}}};
	Bytes file = Build(row, ET_DYN, 0);
	file.resize(0x30000 + PN_XNUM * sizeof(Elf64_Phdr));
	auto *ehdr = reinterpret_cast<Elf64_Ehdr *>(file.data());
	std::vector<Elf64_Phdr> phdrs(PN_XNUM, Elf64_Phdr{PT_NULL, 0, 0, 0, 0, 0, 0, 0});
	memcpy(phdrs.data(), &file[ehdr->e_phoff], ehdr->e_phnum * sizeof(Elf64_Phdr));
	std::swap(phdrs[1], phdrs.back()); // the data segment comes last
	phdrs[1] = {PT_LOAD, RX, 0x5000, 0x5000, 0x5000, 0x10, 0x10, 0x1000};
	ehdr->e_phoff = 0x30000;
	ehdr->e_phnum = PN_XNUM;
	memcpy(&file[0x30000], phdrs.data(), phdrs.size() * sizeof(Elf64_Phdr));
	std::string path = Save(file);
	// ld.so keeps the table on the stack, twice.
	pthread_attr_t attr;
	pthread_t thread;
	void *handle = nullptr;
	pthread_attr_init(&attr);
	ASSERT_EQ(pthread_attr_setstacksize(&attr, 64 << 20), 0);
	ASSERT_EQ(pthread_create(
			  &thread, &attr,
			  [](void *name) {
				  return dlopen(static_cast<const char *>(name), RTLD_NOW);
			  },
			  path.data()),
		  0);
	pthread_join(thread, &handle);
	pthread_attr_destroy(&attr);
	unlink(path.c_str());
	ASSERT_NE(handle, nullptr);
	struct link_map *map = nullptr;
	ASSERT_EQ(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	auto loaded = ExecutablePages(getpid(), map->l_addr, map->l_addr + kData);
	EXPECT_EQ(loaded.size(), 1u);
	Compare(loaded, ExpectedPages(file, 0));
	dlclose(handle);
}

} // namespace
