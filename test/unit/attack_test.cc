// SPDX-License-Identifier: Apache-2.0
// Files and processes made by somebody who knows the scanner: bytes hidden, verdicts forged.
#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <lychgate/note.h>
#include <lychgate/scan.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../support/elf_builder.h"

namespace
{

struct Sink {
	std::vector<lych_verdict> verdicts;
	std::vector<std::string> whys;
	std::vector<std::pair<int, std::string>> errors; // err, name
	std::vector<std::string> warnings;
};

int take_finding(void *ctx, const lych_finding *f)
{
	auto *sink = static_cast<Sink *>(ctx);
	sink->verdicts.push_back(f->verdict);
	sink->whys.push_back(f->why);
	return 0;
}

void take_diag(void *ctx, const lych_diag *d)
{
	auto *sink = static_cast<Sink *>(ctx);
	if (d->severity == LYCH_DIAG_ERROR) {
		sink->errors.emplace_back(d->err, d->path);
	} else if (d->severity == LYCH_DIAG_WARNING) {
		sink->warnings.push_back(d->message);
	}
}

lych_scan_opts opts_for(Sink *sink)
{
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	opts.finding = take_finding;
	opts.diag = take_diag;
	opts.ctx = sink;
	return opts;
}

int scan(const std::vector<uint8_t> &file, Sink *sink)
{
	char path[] = "/tmp/lych_attack_XXXXXX";
	int fd = mkstemp(path);
	lych_scan_opts opts = opts_for(sink);
	EXPECT_EQ(write(fd, file.data(), file.size()), static_cast<ssize_t>(file.size()));
	int rc = lych_scan_fd(fd, path, &opts, nullptr);
	close(fd);
	unlink(path);
	return rc;
}

// xrstor (%rdi); test $0x200,%eax; jz over; ud2; over: ret
const std::vector<uint8_t> kChecked = {0x0f, 0xae, 0x2f, 0xa9, 0x00, 0x02, 0x00, 0x00, 0x74, 0x02, 0x0f, 0x0b, 0xc3};

} // namespace

struct Ident {
	const char *name;
	uint8_t elf_class, data;
};

class KernelRunsIt : public testing::TestWithParam<Ident>
{
};

// fs/binfmt_elf.c asks e_machine alone: such a program runs.
TEST_P(KernelRunsIt, WhateverItsIdentificationSays)
{
	Sink sink;
	ElfBuilder b;
	b.segment(PF_R | PF_X, 0x1000, 0x1000, 0x10);
	b.bytes(0x1000, {0x0f, 0x01, 0xef});
	b.lie = [](Elf64_Ehdr &e) {
		e.e_ident[EI_CLASS] = GetParam().elf_class;
		e.e_ident[EI_DATA] = GetParam().data;
	};
	EXPECT_EQ(scan(b.build(), &sink), 0);
	EXPECT_EQ(sink.verdicts.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Attack, KernelRunsIt,
			 testing::Values(Ident{"Class32", ELFCLASS32, ELFDATA2LSB},
					 Ident{"BigEndian", ELFCLASS64, ELFDATA2MSB},
					 Ident{"ClassNone", ELFCLASSNONE, ELFDATANONE}),
			 [](const auto &row) { return row.param.name; });

struct Change {
	const char *name;
	lych_verdict verdict;
	std::function<void(ElfBuilder &)> change;
};

void PrintTo(const Ident &row, std::ostream *out)
{
	*out << row.name;
}

void PrintTo(const Change &row, std::ostream *out)
{
	*out << row.name;
}

class ChangedWhenLoaded : public testing::TestWithParam<Change>
{
};

// A check that stands in the file counts only when the loader leaves it alone.
TEST_P(ChangedWhenLoaded, CodeHasNoVerdictButStray)
{
	Sink sink;
	ElfBuilder b;
	b.segment(PF_R | PF_X, 0x1000, 0x1000, 0x1000 + kChecked.size() - 3);
	b.reserve(0x4000);
	b.bytes(0x1ffd, kChecked); // the XRSTOR ends where its page does
	GetParam().change(b);
	EXPECT_EQ(scan(b.build(), &sink), 0);
	ASSERT_EQ(sink.verdicts.size(), 1u);
	EXPECT_EQ(sink.verdicts[0], GetParam().verdict) << sink.whys[0];
}

void add_dynamic(ElfBuilder &b, uint64_t vaddr, uint64_t filesz, std::vector<Elf64_Dyn> entries)
{
	b.segment(PF_R | PF_W, 0x10000, 0x4000, 0x300000);
	b.program_header(PT_DYNAMIC, PF_R | PF_W, vaddr, vaddr - 0x10000 + 0x4000, filesz, 0x1000);
	b.put(vaddr - 0x10000 + 0x4000, entries.data(), entries.size() * sizeof(entries[0]));
}

Elf64_Dyn entry(int64_t tag, uint64_t value)
{
	Elf64_Dyn dyn = {};
	dyn.d_tag = tag;
	dyn.d_un.d_val = value;
	return dyn;
}

INSTANTIATE_TEST_SUITE_P(
	Attack, ChangedWhenLoaded,
	testing::Values(
		Change{"NothingChanges", LYCH_VERDICT_CHECKED, [](ElfBuilder &) {}},
		Change{"Writable", LYCH_VERDICT_STRAY, [](ElfBuilder &b) { b.phdrs[0].p_flags |= PF_W; }},
		Change{"TextRelocations", LYCH_VERDICT_STRAY,
		       [](ElfBuilder &b) { add_dynamic(b, 0x10000, 0x1000, {entry(DT_TEXTREL, 0)}); }},
		Change{"TextRelocationsByFlag", LYCH_VERDICT_STRAY,
		       [](ElfBuilder &b) { add_dynamic(b, 0x10000, 0x1000, {entry(DT_FLAGS, DF_TEXTREL)}); }},
		// ld.so passes over a PT_DYNAMIC that has nothing in the file.
		Change{"TextRelocationsBeforeADecoy", LYCH_VERDICT_STRAY,
		       [](ElfBuilder &b) {
			       add_dynamic(b, 0x10000, 0x1000, {entry(DT_TEXTREL, 0)});
			       b.program_header(PT_DYNAMIC, PF_R, 0x11000, 0x5000, 0, 0x1000);
		       }},
		Change{"TextRelocationsBehindManyEntries", LYCH_VERDICT_STRAY,
		       [](ElfBuilder &b) {
			       std::vector<Elf64_Dyn> many(70000, entry(DT_DEBUG, 0));
			       many.push_back(entry(DT_TEXTREL, 0));
			       add_dynamic(b, 0x10000, 0x200000, many);
		       }},
		// p_memsz is larger: the rest of the last page becomes zeros.
		Change{"ZeroedTail", LYCH_VERDICT_STRAY,
		       [](ElfBuilder &b) {
			       b.phdrs[0].p_filesz = 0x1000;
			       b.phdrs[0].p_vaddr -= 8;
			       b.phdrs[0].p_offset -= 8;
			       b.phdrs[0].p_filesz += 8 + 4;
			       b.phdrs[0].p_memsz = 0x2000;
		       }},
		// Pages without bytes in the file replace those with the check.
		Change{"ZerosOverIt", LYCH_VERDICT_STRAY,
		       [](ElfBuilder &b) { b.program_header(PT_LOAD, PF_R | PF_X, 0x2000, 0x3000, 0, 0x1000); }},
		Change{"CheckInAWritableSegment", LYCH_VERDICT_STRAY,
		       [](ElfBuilder &b) {
			       b.phdrs[0].p_filesz = b.phdrs[0].p_memsz = 0x1000;
			       b.segment(PF_R | PF_W | PF_X, 0x2000, 0x2000, 0x100);
		       }},
		// A prefix 67 written there later hides the check in 32-bit mode.
		Change{"WritableRightBeforeIt", LYCH_VERDICT_STRAY,
		       [](ElfBuilder &b) {
			       b.bytes(0x1ffd, {0x90, 0x90, 0x90});
			       b.bytes(0x2000, kChecked);
			       b.phdrs[0].p_flags |= PF_W;
			       b.phdrs[0].p_filesz = b.phdrs[0].p_memsz = 0x1000;
			       b.segment(PF_R | PF_X, 0x2000, 0x2000, 0x100);
		       }},
		Change{"CheckInAnotherSegment", LYCH_VERDICT_CHECKED,
		       [](ElfBuilder &b) {
			       b.phdrs[0].p_filesz = b.phdrs[0].p_memsz = 0x1000;
			       b.segment(PF_R | PF_X, 0x2000, 0x2000, 0x100);
		       }}),
	[](const auto &row) { return row.param.name; });

// Only the first two members of an archive can be tables, and no table is an object.
TEST(Attack, ObjectUnderTheNameOfASecondSymbolTableIsScanned)
{
	ElfBuilder b;
	b.segment(PF_R | PF_X, 0x1000, 0x1000, 0x10);
	b.bytes(0x1000, {0x0f, 0x01, 0xef});
	for (const char *name : {"/               ", "__.SYMDEF       ", "//              "}) {
		std::vector<uint8_t> object = b.build();
		object.resize((object.size() + 1) & ~size_t{1});
		std::string archive = "!<arch>\n";
		for (const std::string &contents :
		     {std::string("\0\0\0\0", 4), std::string(object.begin(), object.end())}) {
			char size[16];
			snprintf(size, sizeof(size), "%-10zu", contents.size());
			archive += (contents.size() == 4 ? "/               " : name) +
				   std::string("0           0     0     644     ") + size + "`\n" + contents;
		}
		Sink sink;
		EXPECT_EQ(scan({archive.begin(), archive.end()}, &sink), 0);
		EXPECT_EQ(sink.verdicts.size(), 1u) << name;
	}
}

TEST(Attack, LargerOptionsOfExplainAreNotReadBeyondTheirCopy)
{
	struct {
		lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
		uint8_t more[4096] = {};
	} newer;
	lych_scan_opts older = LYCH_SCAN_OPTS_INIT;
	newer.opts.size = sizeof(newer);
	older.size = offsetof(lych_scan_opts, raw_vaddr);
	EXPECT_EQ(lych_scan_explain("/proc/self/exe", 0, &newer.opts), -EINVAL); // 0: not executable
	newer.more[4095] = 1;
	EXPECT_EQ(lych_scan_explain("/nonexistent", 0, &newer.opts), -EINVAL);
	EXPECT_EQ(lych_scan_explain("/nonexistent", 0, &older), -ENOENT);
	older.size = sizeof(older.size);
	EXPECT_EQ(lych_scan_explain("/nonexistent", 0, &older), -EINVAL);
}

// The file can grow later, and then there is code that nobody looked at.
TEST(Attack, UnreadablePagesOfAProcessAreAnError)
{
	const size_t page = 4096;
	int fd = memfd_create("short", 0);
	std::vector<uint8_t> code(page, 0x90);
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);
	ASSERT_EQ(write(fd, code.data(), page), static_cast<ssize_t>(page));
	void *at = mmap(nullptr, 2 * page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	ASSERT_NE(at, MAP_FAILED);
	EXPECT_EQ(lych_scan_process(getpid(), &opts, nullptr), -EIO);
	ASSERT_EQ(sink.errors.size(), 1u);
	EXPECT_EQ(sink.errors[0].first, -EIO);
	EXPECT_EQ(sink.errors[0].second, "/memfd:short (deleted)");
	munmap(at, 2 * page);
	close(fd);
}

// Code that its process can rewrite at any time proves nothing.
TEST(Attack, WritableMemoryOfAProcessHasNoVerdictButStray)
{
	for (int writable : {0, PROT_WRITE}) {
		Sink sink;
		lych_scan_opts opts = opts_for(&sink);
		void *at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memcpy(at, kChecked.data(), kChecked.size());
		ASSERT_EQ(mprotect(at, 4096, PROT_READ | PROT_EXEC | writable), 0);
		opts.finding = [](void *ctx, const lych_finding *f) {
			return strcmp(f->path, "[anonymous]") == 0 ? take_finding(ctx, f) : 0;
		};
		EXPECT_EQ(lych_scan_process(getpid(), &opts, nullptr), 0);
		ASSERT_EQ(sink.verdicts.size(), 1u);
		EXPECT_EQ(sink.verdicts[0], writable ? LYCH_VERDICT_STRAY : LYCH_VERDICT_CHECKED);
		munmap(at, 4096);
	}
}

// A shared mapping that is not writable itself may have a writable alias, here or in another process.
TEST(Attack, SharedMemoryOfAProcessHasNoVerdictButStray)
{
	for (int kind : {MAP_PRIVATE, MAP_SHARED}) {
		Sink sink;
		lych_scan_opts opts = opts_for(&sink);
		int fd = memfd_create("alias", 0);
		ASSERT_EQ(ftruncate(fd, 4096), 0);
		ASSERT_EQ(pwrite(fd, kChecked.data(), kChecked.size(), 0), static_cast<ssize_t>(kChecked.size()));
		void *at = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, kind, fd, 0);
		ASSERT_NE(at, MAP_FAILED);
		opts.finding = [](void *ctx, const lych_finding *f) {
			return strcmp(f->path, "/memfd:alias (deleted)") == 0 ? take_finding(ctx, f) : 0;
		};
		EXPECT_EQ(lych_scan_process(getpid(), &opts, nullptr), 0);
		ASSERT_EQ(sink.verdicts.size(), 1u);
		EXPECT_EQ(sink.verdicts[0], kind == MAP_SHARED ? LYCH_VERDICT_STRAY : LYCH_VERDICT_CHECKED);
		EXPECT_EQ(sink.warnings.size(), kind == MAP_SHARED ? 1u : 0u);
		munmap(at, 4096);
		close(fd);
	}
}

// A window full of sequences takes a second: the clock is looked at meanwhile.
TEST(Attack, TimeLimitHoldsWithinAStormOfFindings)
{
	std::vector<uint8_t> storm;
	Sink sink;
	lych_scan_opts opts = opts_for(&sink);
	lych_scan_stats stats = {};
	for (int i = 0; i < 80000; i++) {
		storm.insert(storm.end(), {0x0f, 0x01, 0xef});
	}
	opts.timeout_ms = 10;
	EXPECT_EQ(lych_scan_buffer(storm.data(), storm.size(), &opts, &stats), -ETIMEDOUT);
	EXPECT_LT(stats.count[LYCH_VERDICT_STRAY][LYCH_WRPKRU], 79000u);
}

// Every mapping of a deleted file has a path of up to 4 KiB; all of them together must not be kept.
TEST(Attack, ManyMappingsOfOneDeletedFileWithALongPathTakeLittleMemory)
{
	const size_t page = 4096, mappings = 20000;
	char top[] = "/tmp/lych_attack_XXXXXX";
	const std::string part(250, 'x');
	std::vector<int> dirs;
	ASSERT_NE(mkdtemp(top), nullptr);
	dirs.push_back(open(top, O_RDONLY | O_DIRECTORY));
	for (int i = 0; i < 15; i++) {
		ASSERT_EQ(mkdirat(dirs.back(), part.c_str(), 0700), 0);
		dirs.push_back(openat(dirs.back(), part.c_str(), O_RDONLY | O_DIRECTORY));
	}
	int fd = openat(dirs.back(), "file", O_RDWR | O_CREAT, 0600);
	ASSERT_EQ(unlinkat(dirs.back(), "file", 0), 0);
	const uint8_t wrpkru[] = {0x0f, 0x01, 0xef};
	ASSERT_EQ(ftruncate(fd, page), 0);
	ASSERT_EQ(pwrite(fd, wrpkru, 3, 0), 3);
	auto *at = static_cast<uint8_t *>(
		mmap(nullptr, mappings * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	for (size_t i = 0; i < mappings; i++) {
		ASSERT_NE(mmap(at + i * page, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0), MAP_FAILED);
	}
	struct Seen {
		size_t most = 0, findings = 0;
		std::string path;
	} seen;
	const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	opts.flags = LYCH_SCAN_BYTES_ONLY;
	opts.ctx = &seen;
	opts.finding = [](void *ctx, const lych_finding *f) {
		auto *s = static_cast<Seen *>(ctx);
		if (strstr(f->path, "/xxx") != nullptr && s->findings++ % 1000 == 0) {
			s->most = std::max<size_t>(s->most, mallinfo2().uordblks + mallinfo2().hblkhd);
			s->path = f->path;
		}
		return 0;
	};
	EXPECT_EQ(lych_scan_process(getpid(), &opts, nullptr), 0);
	EXPECT_EQ(seen.findings, mappings);
	EXPECT_EQ(seen.path.substr(seen.path.size() - 15), "/file (deleted)");
	EXPECT_LT(seen.most, before + (16u << 20));
	munmap(at, mappings * page);
	close(fd);
	while (dirs.size() > 1) {
		close(dirs.back());
		dirs.pop_back();
		EXPECT_EQ(unlinkat(dirs.back(), part.c_str(), AT_REMOVEDIR), 0);
	}
	close(dirs.back());
	rmdir(top);
}
