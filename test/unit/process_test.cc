// SPDX-License-Identifier: Apache-2.0
#include "process_child.h"

namespace
{

TEST(Process, AnonymousExecutablePageIsListedAndReadAsItIs)
{
	Child child([] {
		auto *mem = static_cast<uint8_t *>(map_anonymous(1, PROT_READ | PROT_WRITE | PROT_EXEC));
		memcpy(mem + 100, wrpkru, sizeof(wrpkru));
		return mem;
	});
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	EXPECT_EQ(m->kind, PROCESS_ANON);
	EXPECT_TRUE(m->writable);
	EXPECT_FALSE(m->shared);
	EXPECT_STREQ(process_path(&process.p, m), "");
	EXPECT_EQ(process.bytes(child.at() + 100, 3), planted);
	EXPECT_LT(process_open_backing(&process.p, m), 0);
}

TEST(Process, ExecuteOnlyMemoryIsReadNevertheless)
{
	Child child([] {
		auto *mem = static_cast<uint8_t *>(map_anonymous(1, PROT_READ | PROT_WRITE));
		memcpy(mem, wrpkru, sizeof(wrpkru));
		mprotect(mem, page, PROT_EXEC);
		return mem;
	});
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	ASSERT_NE(process.find(child.at()), nullptr);
	EXPECT_FALSE(process.find(child.at())->readable);
	EXPECT_EQ(process.bytes(child.at(), 3), planted);
}

TEST(Process, MemoryThatIsNotExecutableIsNotListed)
{
	Child child([] { return map_anonymous(1, PROT_READ | PROT_WRITE); });
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	EXPECT_EQ(process.find(child.at()), nullptr);
}

TEST(Process, AdjacentMappingsOfDifferentKindsJoinAndReadAcrossTheBorder)
{
	Child child([] {
		auto *mem = static_cast<uint8_t *>(map_anonymous(4, PROT_NONE));
		int fd = memfd_create("second", 0);
		uint8_t code[page] = {0x01, 0xef};

		map_anonymous(1, PROT_READ | PROT_WRITE | PROT_EXEC, mem + page);
		mem[2 * page - 1] = 0x0f;
		if (write(fd, code, sizeof(code)) == sizeof(code)) {
			mmap(mem + 2 * page, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
		}
		return mem + page;
	});
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	const process_mapping *first = process.find(child.at());
	const process_mapping *second = process.find(child.at() + page);
	ASSERT_NE(first, nullptr);
	ASSERT_EQ(second, first + 1);
	EXPECT_FALSE(first->joins);
	EXPECT_TRUE(second->joins);
	EXPECT_EQ(first->kind, PROCESS_ANON);
	EXPECT_EQ(second->kind, PROCESS_DELETED);
	EXPECT_STREQ(process_path(&process.p, second), "/memfd:second");
	EXPECT_EQ(process.bytes(child.at() + page - 1, 3), planted);
}

TEST(Process, DeletedFileIsNamedReadAndOpenedThroughTheKernel)
{
	char path[] = "/tmp/lych process test XXXXXX";
	int fd = mkstemp(path);
	std::vector<uint8_t> code(2 * page);

	ASSERT_GE(fd, 0);
	memcpy(&code[page + 7], wrpkru, sizeof(wrpkru));
	ASSERT_EQ(write(fd, code.data(), code.size()), static_cast<ssize_t>(code.size()));
	Child child([&] {
		void *mem = mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, page);
		unlink(path);
		return mem;
	});
	close(fd);
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	EXPECT_EQ(m->kind, PROCESS_DELETED);
	EXPECT_EQ(m->off, page);
	EXPECT_STREQ(process_path(&process.p, m), path);
	EXPECT_EQ(process.bytes(child.at() + 7, 3), planted);

	int backing = process_open_backing(&process.p, m);
	if (backing == -ENOENT && geteuid() != 0) {
		GTEST_SKIP() << "map_files needs CAP_CHECKPOINT_RESTORE";
	}
	ASSERT_GE(backing, 0);
	uint8_t back[3];
	EXPECT_EQ(pread(backing, back, 3, page + 7), 3);
	EXPECT_EQ(memcmp(back, wrpkru, 3), 0);
	close(backing);
}

TEST(Process, AnotherFileUnderTheSameNameIsNotTakenForTheMappedOne)
{
	char path[] = "/tmp/lych-process-test-XXXXXX";
	int fd = mkstemp(path);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(ftruncate(fd, page), 0);
	Child child([&] { return mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0); });
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	process_mapping m = *process.find(child.at());
	EXPECT_EQ(m.kind, PROCESS_FILE);
	// Without map_files, as an unprivileged user: the range is not one of the process.
	m.end += page;
	int backing = process_open_backing(&process.p, &m);
	EXPECT_GE(backing, 0) << "the path still leads to the file";
	close(backing);

	std::string other = std::string(path) + ".other";
	close(open(other.c_str(), O_CREAT | O_WRONLY, 0600));
	ASSERT_EQ(rename(other.c_str(), path), 0);
	EXPECT_EQ(process_open_backing(&process.p, &m), -ENOENT);
	unlink(path);
	close(fd);
}

TEST(Process, VdsoIsFoundAndIsElf)
{
	Child child([] { return nullptr; });
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	const process_mapping *vdso = process.find(PROCESS_VDSO);
	ASSERT_NE(vdso, nullptr);
	EXPECT_EQ(process.bytes(vdso->start, 4), (std::vector<uint8_t>{0x7f, 'E', 'L', 'F'}));
}

TEST(Process, VsyscallIsToldApartWhereThereIsOne)
{
	Opened process(getpid());

	ASSERT_EQ(process.rc, 0);
	const process_mapping *last = &process.p.items[process.p.count - 1];
	if (strcmp(process_path(&process.p, last), "[vsyscall]") != 0) {
		GTEST_SKIP() << "this kernel shows no vsyscall page";
	}
	EXPECT_EQ(last->kind, PROCESS_VSYSCALL);
	EXPECT_FALSE(last->joins);
	source src = process_source(&process.p);
	uint8_t byte;
	size_t got;
	EXPECT_EQ(source_read_some(&src, last->start, &byte, 1, &got), last->readable ? 0 : -EIO);
}

TEST(Process, PagesBehindTheEndOfTheFileGiveAnErrorAndTheOthersTheirBytes)
{
	Child child([] {
		int fd = memfd_create("short", 0);
		uint8_t code[page];

		memset(code, 0x0f, sizeof(code));
		if (write(fd, code, sizeof(code)) != sizeof(code)) {
			_exit(1);
		}
		return mmap(nullptr, 2 * page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	});
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	ASSERT_NE(process.find(child.at()), nullptr);
	source src = process_source(&process.p);
	std::vector<uint8_t> buf(2 * page);
	size_t got = 0;

	EXPECT_EQ(source_read_some(&src, child.at(), buf.data(), buf.size(), &got), -EIO);
	EXPECT_EQ(got, page);
	EXPECT_EQ(buf[page - 1], 0x0f);
	EXPECT_EQ(process_gone(&process.p), 0);
}

TEST(Process, UntouchedAnonymousMemoryIsPassedOver)
{
	constexpr uint64_t size = UINT64_C(1) << 38; // 256 GiB: could not be read
	constexpr uint64_t touched = (UINT64_C(1) << 37) + 5 * page;
	Child child([] {
		auto *mem = static_cast<uint8_t *>(mmap(nullptr, size, PROT_READ | PROT_WRITE | PROT_EXEC,
							MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
		if (mem != MAP_FAILED) {
			madvise(mem, size, MADV_NOHUGEPAGE);
			memcpy(mem + touched + 9, wrpkru, sizeof(wrpkru));
			mem[touched + page] = 1;
			mem[size - 1] = 1;
		}
		return mem;
	});
	if (child.address == MAP_FAILED) {
		GTEST_SKIP() << "no address space for it";
	}
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	uint64_t start, end;

	ASSERT_TRUE(process_next_data(&process.p, m, m->start, &start, &end));
	EXPECT_EQ(start, child.at() + touched);
	EXPECT_EQ(end, child.at() + touched + 2 * page);
	EXPECT_EQ(process.bytes(start + 9, 3), planted);
	ASSERT_TRUE(process_next_data(&process.p, m, start + 9, &start, &end));
	EXPECT_EQ(start, child.at() + touched + 9);
	ASSERT_TRUE(process_next_data(&process.p, m, end, &start, &end));
	EXPECT_EQ(start, child.at() + size - page);
	EXPECT_EQ(end, child.at() + size);
	EXPECT_FALSE(process_next_data(&process.p, m, end, &start, &end));
}

TEST(Process, HolesOfAFileArePassedOverUnlessTheProcessWroteThere)
{
	constexpr uint64_t size = UINT64_C(1) << 38; // 256 GiB that must not come into being
	Child child([] {
		int fd = memfd_create("sparse", 0);
		if (ftruncate(fd, size) != 0 || pwrite(fd, wrpkru, 3, 1 << 30) != 3) {
			return MAP_FAILED;
		}
		void *mem = mmap(nullptr, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
		if (mem != MAP_FAILED) {
			memcpy(static_cast<uint8_t *>(mem) + (1 << 29), wrpkru, 3);
		}
		return mem;
	});
	if (child.address == MAP_FAILED) {
		GTEST_SKIP() << "no address space for it";
	}
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	int backing = process_open_backing(&process.p, m);
	if (backing < 0 && geteuid() != 0) {
		GTEST_SKIP() << "map_files needs CAP_CHECKPOINT_RESTORE";
	}
	ASSERT_GE(backing, 0);
	uint64_t start, end;

	ASSERT_TRUE(process_next_data(&process.p, m, 0, &start, &end));
	EXPECT_EQ(start, m->start + (1 << 29));
	EXPECT_EQ(end, start + page);
	EXPECT_EQ(process.bytes(start, 3), planted);
	ASSERT_TRUE(process_next_data(&process.p, m, end, &start, &end));
	EXPECT_EQ(start, m->start + (1 << 30));
	EXPECT_EQ(process.bytes(start, 3), planted);
	EXPECT_FALSE(process_next_data(&process.p, m, end, &start, &end));
	close(backing);
}

TEST(Process, MappingsOfFilesCountInFull)
{
	Opened process(getpid());
	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(reinterpret_cast<uint64_t>(&process_open));
	ASSERT_NE(m, nullptr);
	uint64_t start, end;

	ASSERT_TRUE(process_next_data(&process.p, m, 0, &start, &end));
	EXPECT_EQ(start, m->start);
	EXPECT_EQ(end, m->end);
}

TEST(Process, ManyMappingsAreListedInOrder)
{
	constexpr size_t pairs = 15000; // within vm.max_map_count
	Child child([] {
		auto *mem = static_cast<uint8_t *>(map_anonymous(2 * pairs, PROT_READ));
		for (size_t i = 0; i < pairs; i++) {
			if (mprotect(mem + 2 * i * page, page, PROT_READ | PROT_EXEC) != 0) {
				return MAP_FAILED;
			}
		}
		return static_cast<void *>(mem);
	});
	ASSERT_NE(child.address, MAP_FAILED);
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	size_t found = 0;

	EXPECT_FALSE(process.p.malformed);
	EXPECT_FALSE(process.p.too_many);
	for (size_t i = 0; i < process.p.count; i++) {
		const process_mapping &m = process.p.items[i];

		ASSERT_TRUE(i == 0 || m.start >= process.p.items[i - 1].end);
		if (m.start >= child.at() && m.start < child.at() + 2 * pairs * page) {
			EXPECT_EQ((m.start - child.at()) % (2 * page), 0u);
			EXPECT_EQ(m.end - m.start, page);
			EXPECT_FALSE(m.joins);
			found++;
		}
	}
	EXPECT_EQ(found, pairs);
}

TEST(Process, BiasOfThisProgramAgreesWithItsOwnHeaders)
{
	Opened process(getpid());
	ASSERT_EQ(process.rc, 0);
	uint64_t here = reinterpret_cast<uint64_t>(&process_open);
	const process_mapping *m = process.find(here);
	ASSERT_NE(m, nullptr);
	int fd = process_open_backing(&process.p, m);
	ASSERT_GE(fd, 0);
	elf e = {};
	std::vector<Elf64_Phdr> phdrs;
	ASSERT_EQ(pread(fd, &e.ehdr, sizeof(e.ehdr), 0), static_cast<ssize_t>(sizeof(e.ehdr)));
	phdrs.resize(e.ehdr.e_phnum);
	ASSERT_EQ(pread(fd, phdrs.data(), phdrs.size() * sizeof(Elf64_Phdr), static_cast<off_t>(e.ehdr.e_phoff)),
		  static_cast<ssize_t>(phdrs.size() * sizeof(Elf64_Phdr)));
	e.phdrs = phdrs.data();
	e.nphdrs = phdrs.size();
	uint64_t bias = 0;
	ASSERT_TRUE(elf_bias(&e, m->start, m->off, &bias));
	for (const Elf64_Phdr &ph : phdrs) {
		if (ph.p_type == PT_LOAD && ph.p_vaddr <= here - bias && here - bias < ph.p_vaddr + ph.p_memsz) {
			uint8_t in_file[16];
			ASSERT_EQ(pread(fd, in_file, 16, static_cast<off_t>(here - bias - ph.p_vaddr + ph.p_offset)),
				  16);
			EXPECT_EQ(memcmp(in_file, reinterpret_cast<void *>(here), 16), 0);
			EXPECT_TRUE(ph.p_flags & PF_X);
		}
	}
	close(fd);
}

} // namespace
