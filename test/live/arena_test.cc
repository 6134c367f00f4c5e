// SPDX-License-Identifier: Apache-2.0
// The memory of a library domain, carried out for its code: what the kernel has is what the runtime knows, every page
// has the domain's key after everything, and nothing outside changes.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <random>
#include <thread>

#include "arena.h"
#include "arena_model.h"

namespace
{

TEST_F(Arena, IsWholeFromTheBeginning)
{
	EXPECT_TRUE(IsWhole(l));
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
	EXPECT_GT(arena_world_start(l), 1ULL << 32);
	EXPECT_EQ(arena_world_end(l) - arena_world_start(l), 64ULL << 20);
}

TEST_F(Arena, ByDefaultIsOneInWhichAllCodeReachesAllTrampolines)
{
	Make(0, 64 << 20);
	EXPECT_LT(arena_world_end(l) - arena_world_start(l), 1ULL << 31);
	Make(0, 4ULL << 30);
	EXPECT_EQ(arena_world_end(l) - arena_world_start(l), (1ULL << 30) + (16ULL << 30));
	int fd = File(4, 1);
	uint64_t file = static_cast<uint64_t>(Map(4, PROT_READ, 0, 0, fd)), other = static_cast<uint64_t>(Map(4));
	long trampolines = arena_place(l, 1 << 16, PROT_READ, SPACE_TRAMPOLINES);
	close(fd);
	EXPECT_GE(file, Hi() - (1ULL << 30));
	EXPECT_LT(other, Hi() - (1ULL << 30));
	EXPECT_GE(static_cast<uint64_t>(trampolines), Hi() - (1ULL << 30));
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Arena, LiesSomewhereElseEachTime)
{
	uint64_t first = arena_world_start(l), inside = static_cast<uint64_t>(Map(1)) - first;
	int elsewhere = 0, shifted = 0;
	for (int i = 0; i < 4; i++) {
		Make(64 << 20, 8 << 20);
		elsewhere += arena_world_start(l) != first;
		shifted += static_cast<uint64_t>(Map(1)) - arena_world_start(l) != inside;
	}
	EXPECT_GE(elsewhere, 3);
	EXPECT_GE(shifted, 3);
}

TEST_F(Arena, OfSizesOutOfRangeIsRefused)
{
	int rc;
	EXPECT_EQ(arena_world_new(domain, 1 << 20, 0, &rc), nullptr);
	EXPECT_EQ(rc, -EINVAL);
	EXPECT_EQ(arena_world_new(domain, UINT64_MAX, 0, &rc), nullptr);
	EXPECT_EQ(rc, -EINVAL);
	EXPECT_EQ(arena_world_new(domain, 0, UINT64_MAX, &rc), nullptr);
	EXPECT_EQ(rc, -EINVAL);
}

TEST_F(ArenaModel, IsWhatItShouldBeAfterRandomCalls)
{
	for (unsigned int seed = 0; seed < 6; seed++) {
		std::mt19937 random(seed);
		Make(64 << 20, 1 << 20);
		pages.clear();
		heap = static_cast<uint64_t>(arena_brk(l, 0));
		base = seed % 2 == 0 ? heap : Hi() - 64 * kPage; // on the break, and on the edge
		fd = File(32, 7);
		for (int step = 0; step < 400; step++) {
			ASSERT_NO_FATAL_FAILURE(Step(random)) << "seed " << seed << ", step " << step;
			if (step % (live_keys() ? 20 : 2) == 0) {
				ASSERT_NO_FATAL_FAILURE(Compare()) << "seed " << seed << ", step " << step;
			}
		}
		close(fd);
		EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
	}
}

// ---- what code inside may ask for ----

TEST_F(Arena, NothingOutsideChangesWhateverIsAsked)
{
	const uint64_t start = arena_world_start(l), end = arena_world_end(l), lo = Lo(), hi = Hi();
	char *below = static_cast<char *>(mmap(reinterpret_cast<void *>(start - 2 * kPage), 2 * kPage,
					       PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	char *above = static_cast<char *>(mmap(reinterpret_cast<void *>(end), 2 * kPage, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	ASSERT_NE(below, MAP_FAILED);
	ASSERT_NE(above, MAP_FAILED);
	memset(below, 'b', 2 * kPage);
	memset(above, 'a', 2 * kPage);
	ASSERT_EQ(Map(8, 3, hi - 8 * kPage, MAP_FIXED), static_cast<long>(hi - 8 * kPage));
	ASSERT_EQ(Map(8, 3, lo, MAP_FIXED), static_cast<long>(lo));
	uint64_t host = reinterpret_cast<uint64_t>(&host) & ~(kPage - 1);
	const uint64_t places[] = {
		0,           kPage,  start - 2 * kPage, start - kPage, start,     lo - kPage,  lo - 1,
		lo,          lo + 1, hi - kPage,        hi - 1,        hi,        end - kPage, end,
		end + kPage, host,   1ULL << 47,        0 - kPage,     UINT64_MAX};
	const uint64_t sizes[] = {0,
				  1,
				  kPage,
				  2 * kPage,
				  3 * kPage,
				  end - start,
				  end - start + 4 * kPage,
				  1ULL << 47,
				  UINT64_MAX - kPage + 1,
				  UINT64_MAX,
				  0 - (hi - kPage),
				  0 - start};
	for (uint64_t at : places) {
		for (uint64_t bytes : sizes) {
			const uint64_t last = at + bytes;
			bool in = at >= lo && last > at && last <= hi;
			for (uint64_t flags : {MAP_FIXED, MAP_FIXED_NOREPLACE, 0}) {
				long got = arena_mmap(l, at, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | flags,
						      -1, 0);
				uint64_t up = (bytes + kPage - 1) & ~(kPage - 1);
				EXPECT_TRUE(got < 0 || (static_cast<uint64_t>(got) >= lo &&
							static_cast<uint64_t>(got) + up <= hi))
					<< std::hex << at << " " << bytes << " " << flags;
			}
			long rc = arena_munmap(l, at, bytes);
			EXPECT_TRUE(in || rc == -EINVAL) << std::hex << at << " " << bytes << " " << rc;
			rc = arena_mprotect(l, at, bytes, PROT_NONE);
			EXPECT_TRUE(in || bytes == 0 || rc < 0) << std::hex << at << " " << bytes;
			for (uint64_t advice : {4, 8, 0, 9, 14, 100}) {
				rc = arena_madvise(l, at, bytes, advice);
				EXPECT_TRUE(in || bytes == 0 || rc < 0)
					<< std::hex << at << " " << bytes << " " << advice;
			}
			for (uint64_t other : places) {
				for (uint64_t flags : {0, 1, 3, 5, 7}) {
					for (uint64_t old : {kPage, bytes}) {
						long got = arena_mremap(l, at, old, bytes, flags, other);
						EXPECT_TRUE(got < 0 || (static_cast<uint64_t>(got) >= lo &&
									static_cast<uint64_t>(got) < hi));
					}
				}
			}
			arena_brk(l, at);
			arena_brk(l, at + bytes);
			EXPECT_LT(arena_msync(l, at, bytes, 100), 0);
			EXPECT_LT(arena_mincore(l, at, bytes == 0 ? 1 : bytes, host), 0);
			EXPECT_LT(arena_mlock(l, at, bytes), 0);
			(void)arena_munlock(l, at, bytes);
			EXPECT_TRUE(arena_fix(l, at, bytes) == 0 ? in : true);
			EXPECT_TRUE(arena_code(l, at, bytes, PROT_READ) == 0 ? in : true);
			arena_code_drop(l, at, bytes);
		}
	}
	for (uint64_t i = 0; i < 2 * kPage; i++) {
		ASSERT_EQ(below[i], 'b');
		ASSERT_EQ(above[i], 'a');
	}
	for (char *at : {below, above}) {
		uint64_t from = reinterpret_cast<uint64_t>(at);
		for (const Mapping &m : Mappings(from, from + 2 * kPage)) {
			EXPECT_EQ(m.prot, 3u);
			EXPECT_FALSE(live_keys() && m.key != 0);
		}
		munmap(at, 2 * kPage);
	}
	EXPECT_TRUE(IsWhole(l));
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
}

TEST_F(Arena, ArgumentsAreRefusedAsTheKernelDoes)
{
	uint64_t at = static_cast<uint64_t>(Map(4));
	int fd = File(2, 1), folder = open("/", O_RDONLY), closed = dup(fd), null = open("/dev/zero", O_RDWR);
	close(closed);

	EXPECT_EQ(Map(0), -EINVAL);
	EXPECT_EQ(arena_mmap(l, 0, UINT64_MAX, 3, 0x22, -1, 0), -ENOMEM);
	EXPECT_EQ(arena_mmap(l, 0, 1ULL << 46, 3, 0x22, -1, 0), -ENOMEM);
	EXPECT_EQ(arena_mmap(l, 0, kPage, 3, 0x22, -1, 1), -EINVAL);
	EXPECT_EQ(arena_mmap(l, 0, kPage, 3, 0x20, -1, 0), -EINVAL) << "neither private nor shared";
	EXPECT_EQ(arena_mmap(l, at + 1, kPage, 3, 0x32, -1, 0), -EINVAL);
	EXPECT_EQ(arena_mmap(l, at, kPage, 3, 0x22 | MAP_FIXED_NOREPLACE, -1, 0), -EEXIST);
	EXPECT_EQ(arena_mmap(l, 0, kPage, 3, 0x2, -1, 0), -EBADF);
	EXPECT_EQ(arena_mmap(l, 0, kPage, 3, 0x2, closed, 0), -EBADF);
	EXPECT_EQ(arena_mmap(l, 0, kPage, 1, 0x2, folder, 0), -ENODEV);
	EXPECT_EQ(arena_mmap(l, 0, kPage, 1, 0x2, null, 0), -ENODEV);
	EXPECT_EQ(arena_mmap(l, 0, 2 * kPage, 1, 0x2, fd, 0 - kPage), -EOVERFLOW);
	EXPECT_EQ(Map(1, PROT_READ | PROT_EXEC), -EACCES);
	EXPECT_EQ(Map(1, 3, 0, MAP_GROWSDOWN), -EINVAL);
	EXPECT_EQ(Map(1, 3, 0, MAP_HUGETLB), -ENOMEM);
	EXPECT_EQ(Map(1, 3, 0, MAP_32BIT), -ENOMEM);
	EXPECT_EQ(Map(1, 3, 0, MAP_SHARED_VALIDATE | MAP_SYNC), -EOPNOTSUPP);
	EXPECT_GT(Map(1, 3, 0, MAP_LOCKED | MAP_POPULATE | MAP_NORESERVE | MAP_STACK | MAP_NONBLOCK), 0);
	EXPECT_GT(Map(1, 3, 0, MAP_SHARED), 0);

	EXPECT_EQ(arena_munmap(l, at + 1, kPage), -EINVAL);
	EXPECT_EQ(arena_munmap(l, at, 0), -EINVAL);
	EXPECT_EQ(arena_mprotect(l, at + 1, kPage, 0), -EINVAL);
	EXPECT_EQ(arena_mprotect(l, at, 0, 3), 0);
	EXPECT_EQ(arena_mprotect(l, at, kPage, 7), -EACCES);
	EXPECT_EQ(arena_mprotect(l, at, kPage, 5), -EACCES);
	EXPECT_EQ(arena_mprotect(l, at, kPage, PROT_READ | PROT_GROWSDOWN), -EINVAL);
	EXPECT_EQ(arena_pkey_mprotect(l, at, kPage, 3, 0), -EPERM);
	EXPECT_EQ(arena_pkey_mprotect(l, at, kPage, 3, 5), -EPERM);
	EXPECT_EQ(arena_pkey_mprotect(l, at, kPage, 3, UINT64_MAX), 0);
	EXPECT_EQ(arena_mremap(l, at, 0, kPage, 1, 0), -EINVAL);
	EXPECT_EQ(arena_mremap(l, at, kPage, 0, 1, 0), -EINVAL);
	EXPECT_EQ(arena_mremap(l, at, kPage, kPage, 2, at), -EINVAL);
	EXPECT_EQ(arena_mremap(l, at, 5 * kPage, kPage, 1, 0), -EFAULT);
	EXPECT_EQ(arena_mremap(l, at, kPage, kPage, 5, 0), -EINVAL);
	EXPECT_EQ(arena_madvise(l, at, kPage, 100), -EINVAL);
	EXPECT_EQ(arena_madvise(l, at, kPage, MADV_REMOVE), -EINVAL);
	EXPECT_EQ(arena_madvise(l, at, kPage, MADV_WIPEONFORK), -EINVAL);
	EXPECT_EQ(arena_madvise(l, at - 4 * kPage, 8 * kPage, MADV_DONTNEED), -ENOMEM) << "a part is not mapped";
	EXPECT_EQ(arena_msync(l, at, 4 * kPage, MS_SYNC), 0);
	EXPECT_EQ(arena_msync(l, at, 4 * kPage, MS_SYNC | MS_ASYNC), -EINVAL);
	EXPECT_EQ(arena_mlock(l, at, kPage), -EPERM);
	EXPECT_EQ(arena_munlock(l, at + 5, kPage), 0);
	EXPECT_TRUE(IsWhole(l));
	for (int one : {fd, folder, null}) {
		close(one);
	}
}

TEST_F(Arena, GivesNoMoreThanTheLimit)
{
	Make(64 << 20, 16 * kPage);
	uint64_t big = static_cast<uint64_t>(Map(1000, PROT_NONE)), counted, limit;
	EXPECT_EQ(arena_mprotect(l, big, 17 * kPage, 3), -ENOMEM);
	EXPECT_EQ(arena_mprotect(l, big, 10 * kPage, 3), 0);
	EXPECT_EQ(arena_mprotect(l, big, 10 * kPage, 0), 0);
	EXPECT_EQ(Map(7), -ENOMEM);
	long rest = Map(6);
	EXPECT_GT(rest, 0);
	long heap = arena_brk(l, 0);
	EXPECT_EQ(arena_brk(l, static_cast<uint64_t>(heap) + 1), heap);
	arena_usage(l, &counted, &limit);
	EXPECT_EQ(counted, 16 * kPage);
	EXPECT_EQ(limit, 16 * kPage);
	EXPECT_EQ(arena_mremap(l, static_cast<uint64_t>(rest), 6 * kPage, 7 * kPage, MREMAP_MAYMOVE, 0), -ENOMEM);
	EXPECT_EQ(arena_munmap(l, big, 1000 * kPage), 0);
	EXPECT_EQ(arena_brk(l, static_cast<uint64_t>(heap) + 10 * kPage), heap + static_cast<long>(10 * kPage));
	EXPECT_GT(arena_place(l, 32 * kPage, 3, SPACE_STACK), 0) << "the runtime's own does not count";
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Arena, HasNoMoreMappingsThanTheTableHasRoomFor)
{
	Make(256 << 20, 8 << 20);
	uint64_t at = static_cast<uint64_t>(Map(2 * ARENA_AREAS / 4, PROT_READ)), n = 0;
	EXPECT_GT(static_cast<long>(at), 0);
	int fd = File(1, 9);
	long rc = 0;
	while (n < ARENA_AREAS + 2 && (rc = Map(1, PROT_READ, 0, 0, fd)) > 0) {
		n++;
	}
	EXPECT_EQ(rc, -ENOMEM);
	EXPECT_EQ(n, ARENA_AREAS - 1u);
	EXPECT_EQ(arena_munmap(l, at + kPage, kPage), -ENOMEM);
	EXPECT_EQ(arena_munmap(l, at, kPage), 0);
	EXPECT_EQ(arena_munmap(l, Lo(), Hi() - Lo()), 0);
	EXPECT_GT(Map(1, PROT_READ, 0, 0, fd), 0);
	close(fd);
	EXPECT_TRUE(IsWhole(l));
}

// What was written to while it was apart stays apart for the kernel, whatever it looks like afterwards.
TEST_F(Arena, HasNoMoreMappingsForTheKernelEither)
{
	constexpr uint64_t kTurns = 15, kTurn = 4000;
	Make(1 << 30, kTurns * kTurn * kPage);
	uint64_t done = 0;
	for (long rc = 0; rc == 0 && done < kTurns; done++) {
		// nothing of it was written to yet, and it touches nothing that was
		long got = Map(kTurn + 1, PROT_NONE);
		uint64_t at = static_cast<uint64_t>(got);
		ASSERT_TRUE(got > 0 || got == -ENOMEM);
		rc = got > 0 ? arena_mprotect(l, at + kPage, kTurn * kPage, 3) : got;
		for (uint64_t i = 2; rc == 0 && i < kTurn; i += 2) {
			rc = arena_mprotect(l, at + i * kPage, kPage, PROT_NONE);
		}
		for (uint64_t i = 1; rc == 0 && i < kTurn; i += 2) {
			ASSERT_EQ(Put(at + i * kPage, 1), 0);
		}
		rc = rc != 0 ? rc : arena_mprotect(l, at + kPage, kTurn * kPage, 3);
		EXPECT_TRUE(rc == 0 || rc == -ENOMEM) << rc;
	}
	EXPECT_LT(done, kTurns);
	size_t mappings = Mappings(arena_world_start(l), arena_world_end(l)).size();
	EXPECT_GT(mappings, 8000u) << "the control: that is how they become many";
	EXPECT_LE(mappings, ARENA_MAPPINGS + 2u);
	EXPECT_EQ(arena_munmap(l, Lo(), Hi() - Lo()), 0);
	EXPECT_GT(Map(1), 0);
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Arena, FilesAreMappedPrivately)
{
	int fd = File(3, 40);
	uint64_t at = static_cast<uint64_t>(Map(3, PROT_READ | PROT_WRITE, 0, 0, fd, 0));
	uint64_t second = static_cast<uint64_t>(Map(1, PROT_READ, 0, MAP_SHARED, fd, 2 * kPage));
	EXPECT_EQ(Byte(at + kPage), 41);
	EXPECT_EQ(Byte(second), 42);
	EXPECT_EQ(Put(at + 2 * kPage, 99), 0);
	EXPECT_EQ(Byte(second), 42) << "not the file";
	EXPECT_EQ(Put(second, 1), -EFAULT);
	EXPECT_EQ(arena_mprotect(l, second, kPage, 3), -EACCES)
		<< "what would be written could not get into the file";
	EXPECT_EQ(Map(1, 3, 0, MAP_SHARED, fd), -EACCES);
	EXPECT_EQ(arena_mremap(l, at, 3 * kPage, 4 * kPage, MREMAP_MAYMOVE, 0), -ENOMEM);
	EXPECT_EQ(arena_mremap(l, at, 2 * kPage, 2 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, Lo()),
		  static_cast<long>(Lo()));
	EXPECT_EQ(Byte(Lo()), 40);
	EXPECT_EQ(Byte(at), -1);
	EXPECT_EQ(Byte(at + 2 * kPage), 99);
	// behind its end there are no pages, and that is code inside's own affair
	uint64_t beyond = static_cast<uint64_t>(Map(2, PROT_READ, 0, 0, fd, 2 * kPage));
	EXPECT_EQ(Byte(beyond), 42);
	EXPECT_EQ(Byte(beyond + kPage), -1);
	char own[2];
	EXPECT_EQ(pread(fd, own, 1, 2 * kPage), 1);
	EXPECT_EQ(own[0], 42);
	close(fd);
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Arena, AnUnreadableFileLeavesWhatWasThere)
{
	char name[] = "/tmp/arena_test_XXXXXX";
	int fd = mkstemp(name), write_only = open(name, O_WRONLY);
	uint64_t at = static_cast<uint64_t>(Map(2));
	ASSERT_EQ(Put(at, 5), 0);
	EXPECT_EQ(Map(2, PROT_READ, at, MAP_FIXED, write_only), -EACCES);
	EXPECT_EQ(Byte(at), 5);
	unlink(name);
	close(fd);
	close(write_only);
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Arena, CodeGoesAsAWholeAndIsNothingElseMeanwhile)
{
	std::string code(2 * kPage, '\xc3');
	int fd = File(8, 1);
	uint64_t at = static_cast<uint64_t>(Map(8, PROT_READ, 0, 0, fd)), text = at + 2 * kPage;
	EXPECT_EQ(arena_code(l, text, 20 * kPage, PROT_READ | PROT_EXEC), -EINVAL);
	ASSERT_EQ(arena_code(l, text, 2 * kPage, PROT_READ | PROT_EXEC), 0);
	EXPECT_EQ(arena_code(l, text, kPage, PROT_READ | PROT_EXEC), -EPERM);
	ASSERT_EQ(arena_world_door(l, text, code.data(), code.size()), 0);
	EXPECT_TRUE(IsWhole(l));
	EXPECT_EQ(Byte(text), 0xc3);
	// another thread must not put something else there before the door is through
	EXPECT_EQ(arena_munmap(l, at, 8 * kPage), -EPERM);
	EXPECT_EQ(arena_munmap(l, text, 2 * kPage), -EPERM);
	EXPECT_EQ(Map(2, 3, text, MAP_FIXED), -EPERM);
	arena_code_done(l, text);

	EXPECT_EQ(arena_munmap(l, at, 3 * kPage), -EPERM);
	EXPECT_EQ(arena_munmap(l, text + kPage, kPage), -EPERM);
	EXPECT_EQ(Map(1, 3, text, MAP_FIXED), -EPERM);
	EXPECT_EQ(arena_mprotect(l, text, 2 * kPage, 3), -EACCES);
	EXPECT_EQ(arena_mprotect(l, text, 2 * kPage, PROT_READ), -EACCES);
	EXPECT_EQ(arena_mprotect(l, at, 8 * kPage, PROT_READ | PROT_EXEC), -EACCES);
	EXPECT_EQ(arena_mprotect(l, text, 2 * kPage, PROT_READ | PROT_EXEC), 0) << "nothing changes";
	EXPECT_EQ(arena_mremap(l, text, 2 * kPage, 2 * kPage, 3, Lo()), -EPERM);
	EXPECT_EQ(arena_mremap(l, text, 2 * kPage, kPage, 0, 0), -EPERM);
	EXPECT_EQ(arena_mremap(l, at, kPage, kPage, 3, text), -EPERM);
	EXPECT_EQ(arena_madvise(l, text, kPage, MADV_DONTNEED), -EINVAL);
	EXPECT_EQ(arena_madvise(l, at, 8 * kPage, MADV_DONTNEED), -EINVAL);
	EXPECT_EQ(Put(text, 1), -EFAULT);
	EXPECT_TRUE(IsWhole(l));

	EXPECT_EQ(arena_munmap(l, at, 8 * kPage), 0) << "dlclose";
	EXPECT_EQ(Byte(text), -1);
	EXPECT_TRUE(IsWhole(l));
	at = static_cast<uint64_t>(Map(4));
	ASSERT_EQ(arena_code(l, at, 4 * kPage, PROT_READ | PROT_EXEC), 0);
	arena_code_drop(l, at, 4 * kPage);
	EXPECT_EQ(Byte(at), -1);
	EXPECT_TRUE(IsWhole(l));
	close(fd);
}

TEST_F(Arena, WhatTheRuntimePlacedStaysAsItIs)
{
	long stack = arena_place(l, 4 * kPage, 3, SPACE_STACK), table = arena_place(l, kPage, PROT_READ, 0);
	ASSERT_GT(stack, 0);
	ASSERT_GT(table, 0);
	uint64_t at = static_cast<uint64_t>(stack);
	EXPECT_EQ(Put(at, 77), 0);
	EXPECT_EQ(Byte(at - 1), -1) << "the guard";
	EXPECT_EQ(arena_munmap(l, at, kPage), -EPERM);
	EXPECT_EQ(arena_munmap(l, at - kPage, kPage), -EPERM);
	EXPECT_EQ(Map(1, 3, at - kPage, MAP_FIXED), -EPERM);
	EXPECT_EQ(arena_mprotect(l, at, kPage, PROT_READ), -EPERM);
	EXPECT_EQ(arena_mprotect(l, at - kPage, kPage, 3), -EPERM);
	EXPECT_EQ(arena_mremap(l, at, kPage, 2 * kPage, 1, 0), -EPERM);
	EXPECT_EQ(arena_madvise(l, at, kPage, MADV_DONTNEED), -EINVAL);
	EXPECT_EQ(arena_mprotect(l, static_cast<uint64_t>(table), kPage, 3), -EPERM);
	EXPECT_EQ(Byte(at), 77);
	uint64_t own = static_cast<uint64_t>(Map(4));
	EXPECT_EQ(arena_fix(l, own, 2 * kPage), 0);
	EXPECT_EQ(arena_munmap(l, own, 4 * kPage), -EPERM);
	EXPECT_EQ(arena_munmap(l, own + 2 * kPage, 2 * kPage), 0);
	EXPECT_EQ(arena_unplace(l, at + kPage), -EINVAL);
	EXPECT_EQ(arena_unplace(l, at), 0);
	EXPECT_EQ(arena_unplace(l, at), -EINVAL);
	EXPECT_EQ(Byte(at), -1);
	EXPECT_EQ(Map(1, 3, at - kPage, MAP_FIXED), stack - static_cast<long>(kPage)) << "the guard is gone, too";
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Arena, TheRuntimesPartIsNoneOfCodeInsides)
{
	void *heap = nullptr, *locked = nullptr;
	ASSERT_EQ(arena_guarded(l, &heap, 4 * kPage, 0), 0);
	ASSERT_EQ(arena_guarded(l, &locked, 2 * kPage, 1), 0);
	uint64_t at = reinterpret_cast<uint64_t>(heap);
	EXPECT_GE(at, arena_world_start(l));
	EXPECT_LT(at, Lo());
	EXPECT_EQ(Put(at, 3), 0);
	EXPECT_EQ(Put(reinterpret_cast<uint64_t>(locked), 3), 0);
	EXPECT_EQ(Byte(at - 1), -1);
	EXPECT_EQ(Byte(at + 4 * kPage), -1);
	EXPECT_EQ(arena_munmap(l, at, kPage), -EINVAL);
	EXPECT_EQ(Map(1, 3, at, MAP_FIXED), -ENOMEM);
	EXPECT_EQ(arena_mprotect(l, at, kPage, 1), -ENOMEM);
	EXPECT_EQ(arena_madvise(l, at, kPage, MADV_DONTNEED), -ENOMEM);
	EXPECT_EQ(arena_mremap(l, at, kPage, kPage, 3, Lo()), -EFAULT);
	EXPECT_EQ(arena_msync(l, at, kPage, MS_ASYNC), 0) << "it is there, as unwinders ask";
	EXPECT_EQ(Byte(at), 3);
	EXPECT_TRUE(IsWhole(l));
	arena_unguarded(l, heap, 4 * kPage);
	arena_unguarded(l, locked, 2 * kPage);
	EXPECT_EQ(Byte(at), -1);
	EXPECT_TRUE(IsWhole(l));
	EXPECT_EQ(arena_guarded(l, &heap, SIZE_MAX - kPage + 1, 0), -ENOMEM);
	EXPECT_EQ(arena_guarded(l, &heap, 1ULL << 40, 0), -ENOMEM);
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
}

TEST_F(Arena, CopiesAreMadeAsItsCodeCouldItself)
{
	uint64_t at = static_cast<uint64_t>(Map(3)), end = arena_world_end(l);
	char text[64], big[3 * 4096];
	ASSERT_EQ(inside_write(l, at + kPage - 3, "across", 7), 0);
	EXPECT_EQ(inside_text(l, text, at + kPage - 3, sizeof(text)), 6);
	EXPECT_STREQ(text, "across");
	EXPECT_EQ(inside_text(l, text, at + kPage - 3, 7), 6);
	EXPECT_EQ(inside_text(l, text, at + kPage - 3, 6), -ENAMETOOLONG);
	EXPECT_EQ(inside_text(l, text, at + kPage - 3, 0), -ENAMETOOLONG);
	ASSERT_EQ(inside_write(l, at + 2 * kPage - 3, "end", 3), 0);
	ASSERT_EQ(arena_mprotect(l, at + 2 * kPage, kPage, PROT_NONE), 0);
	EXPECT_EQ(inside_text(l, text, at + 2 * kPage - 3, sizeof(text)), -EFAULT);
	ASSERT_EQ(inside_write(l, at + 2 * kPage - 3, "en", 3), 0);
	EXPECT_EQ(inside_text(l, text, at + 2 * kPage - 3, sizeof(text)), 2) << "the next page is not needed";
	EXPECT_EQ(inside_read(l, big, at, 2 * kPage), 0);
	EXPECT_EQ(inside_read(l, big, at, 2 * kPage + 1), -EFAULT);
	ASSERT_EQ(arena_mprotect(l, at, kPage, PROT_READ), 0);
	EXPECT_EQ(inside_write(l, at, "x", 1), -EFAULT);
	EXPECT_EQ(inside_read(l, big, at, kPage), 0);
	for (uint64_t evil :
	     {uint64_t{0}, end, end - 1, reinterpret_cast<uint64_t>(big), UINT64_MAX, arena_world_start(l) - 1}) {
		EXPECT_EQ(inside_read(l, big, evil, 2), -EFAULT);
		EXPECT_EQ(inside_write(l, evil, "xy", 2), -EFAULT);
		EXPECT_EQ(inside_text(l, big, evil, 10), -EFAULT);
	}
	EXPECT_EQ(inside_read(l, big, at, UINT64_MAX), -EFAULT);
	EXPECT_EQ(inside_read(l, big, at, 0), 0);
	EXPECT_EQ(inside_read(l, big, 0, 0), -EFAULT);
}

TEST_F(Arena, SaysWhichPagesAreThere)
{
	uint64_t at = static_cast<uint64_t>(Map(600)), vec = static_cast<uint64_t>(Map(1));
	ASSERT_EQ(Put(at + 599 * kPage, 1), 0);
	EXPECT_EQ(arena_mincore(l, at, 600 * kPage, vec), 0);
	EXPECT_EQ(Byte(vec) & 1, 0);
	EXPECT_EQ(Byte(vec + 599) & 1, 1);
	EXPECT_EQ(arena_mincore(l, at, 700 * kPage, vec), -ENOMEM);
	EXPECT_EQ(arena_mincore(l, at + 1, kPage, vec), -EINVAL);
	EXPECT_EQ(arena_mincore(l, at, kPage, Lo()), -EFAULT);
}

// ---- the ledger, other threads ----

TEST_F(Arena, LychVerifyFindsAPageThatSomebodyTookOrRetagged)
{
	uint64_t at = static_cast<uint64_t>(Map(4));
	std::vector<std::string> lines;
	auto keep = [](const char *line, void *ctx) {
		static_cast<std::vector<std::string> *>(ctx)->push_back(line);
	};

	ASSERT_EQ(munmap(reinterpret_cast<void *>(at + kPage), kPage), 0);
	EXPECT_EQ(lych_verify(keep, &lines), 1);
	ASSERT_EQ(lines.size(), 1u);
	EXPECT_NE(lines[0].find("of arena: not mapped"), std::string::npos) << lines[0];
	if (live_keys()) {
		ASSERT_NE(mmap(reinterpret_cast<void *>(at + kPage), kPage, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			  MAP_FAILED);
		EXPECT_EQ(lych_verify(keep, &lines), 1);
		EXPECT_NE(lines.back().find("key 0 (host) instead of"), std::string::npos) << lines.back();
	}
	EXPECT_EQ(arena_munmap(l, at, 4 * kPage), 0);
	EXPECT_EQ(lych_verify(keep, &lines), 0) << lines.back();
}

TEST_F(Arena, ThreadsAndLychVerifyDoNotGetInEachOthersWay)
{
	arena_world_known(l, true);
	auto work = [this](unsigned int seed) {
		std::mt19937 random(seed);
		uint64_t mine[8] = {};
		for (int i = 0; i < 400; i++) {
			uint64_t &at = mine[random() % 8], n = 1 + random() % 9;
			long got;
			switch (random() % 3) {
			case 0:
				got = Map(n);
				if (got > 0) {
					if (at != 0) {
						EXPECT_EQ(arena_munmap(l, at, kPage), 0);
					}
					at = static_cast<uint64_t>(got);
					EXPECT_EQ(arena_munmap(l, at + kPage, (n - 1) * kPage), n > 1 ? 0 : -EINVAL);
					EXPECT_EQ(Put(at, static_cast<unsigned char>(seed)), 0);
				}
				break;
			case 1:
				if (at != 0) {
					got = arena_mremap(l, at, kPage, kPage, MREMAP_MAYMOVE, 0);
					EXPECT_EQ(got, static_cast<long>(at));
					EXPECT_EQ(Byte(at), static_cast<int>(seed));
				}
				break;
			default:
				if (at != 0) {
					EXPECT_EQ(arena_mprotect(l, at, kPage, PROT_READ), 0);
					EXPECT_EQ(Byte(at), static_cast<int>(seed));
				}
			}
		}
	};
	std::atomic<int> working{2};
	std::atomic<bool> known{true};
	auto run = [&](unsigned int seed) {
		EXPECT_EQ(lych_attach(), 0);
		work(seed);
		working--;
		while (known) { // where a thread ends, a domain of lych_open is asked for its part of it
			std::this_thread::yield();
		}
	};
	std::thread one(run, 1), two(run, 2);
	int wrong = 0, looked = 0;
	do {
		wrong += lych_verify(nullptr, nullptr) != 0;
	} while (looked++ < 5 || working > 0);
	arena_world_known(l, false);
	known = false;
	one.join();
	two.join();
	EXPECT_EQ(wrong, 0);
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Arena, IsWholeInAChildWhateverOtherThreadsWereDoing)
{
	std::atomic<bool> stop{false}, known{true};
	uint64_t kept = static_cast<uint64_t>(Map(1));
	ASSERT_EQ(Put(kept, 5), 0);
	arena_world_known(l, true);
	std::thread other([&] {
		EXPECT_EQ(lych_attach(), 0);
		while (!stop) {
			long at = Map(3);
			EXPECT_EQ(arena_munmap(l, static_cast<uint64_t>(at), 3 * kPage), 0);
		}
		while (known) {
			std::this_thread::yield();
		}
	});
	for (int i = 0; i < 30; i++) {
		pid_t child = fork();
		if (child == 0) {
			long at = Map(2); // at once: the lock is free
			int wrong = at < 0 || Byte(kept) != 5 || Put(kept, 6) != 0 || !IsWhole(l);
			_exit(wrong + (arena_munmap(l, static_cast<uint64_t>(at), 2 * kPage) != 0 ? 2 : 0));
		}
		int status = -1;
		ASSERT_EQ(waitpid(child, &status, 0), child);
		ASSERT_EQ(status, 0);
		ASSERT_EQ(Byte(kept), 5);
	}
	stop = true;
	arena_world_known(l, false);
	known = false;
	other.join();
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Arena, ALockThatIsNotGivenBackIsNotWaitedForForEver)
{
	arena_world_freeze(l);
	EXPECT_EQ(Map(1), -EAGAIN);
	arena_thaw(l);
	EXPECT_GT(Map(1), 0) << "the control";
}

} // namespace
