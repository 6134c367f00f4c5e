// SPDX-License-Identifier: Apache-2.0
// What a reset of a library domain goes back to.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>

#include "arena_model.h"
#include "snapshot.h"

namespace
{

using Snapshot = Arena;
using SnapshotModel = ArenaModel;

// Our file's descriptor: -1, there is none.
int SnapshotFd()
{
	for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
		std::error_code error;
		if (std::filesystem::read_symlink(entry, error).string().find("lychgate:snapshot") !=
		    std::string::npos) {
			return std::stoi(entry.path().filename());
		}
	}
	return -1;
}

size_t Descriptors()
{
	size_t n = 0;
	for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
		(void)entry;
		n++;
	}
	return n;
}

TEST_F(Snapshot, OfNoneCannotBeGoneBackTo)
{
	EXPECT_EQ(snapshot_restore(l), -EINVAL);
	EXPECT_EQ(snapshot_take(l), 0) << "of nothing";
	EXPECT_GT(Map(1), 0);
	EXPECT_EQ(snapshot_restore(l), 0);
	EXPECT_EQ(arena_world_space(l)->count, 0u);
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Snapshot, HasTheContentAndRightsOfEverything)
{
	int fd = File(4, 50);
	uint64_t heap = static_cast<uint64_t>(arena_brk(l, 0)), counted, limit;
	ASSERT_EQ(arena_brk(l, heap + 3 * kPage + 5), static_cast<long>(heap + 3 * kPage + 5));
	uint64_t data = static_cast<uint64_t>(Map(40)), closed = static_cast<uint64_t>(Map(4));
	uint64_t file = static_cast<uint64_t>(Map(4, 3, 0, 0, fd)),
		 text = static_cast<uint64_t>(Map(2, PROT_READ, 0, 0, fd, 2 * kPage));
	uint64_t placed = static_cast<uint64_t>(arena_place(l, 2 * kPage, 3, SPACE_STACK)),
		 none = static_cast<uint64_t>(Map(9, PROT_NONE));
	close(fd);
	auto put = [&](unsigned char add) {
		EXPECT_EQ(Put(heap + kPage, static_cast<unsigned char>(1 + add)), 0);
		EXPECT_EQ(Put(data + kPage, static_cast<unsigned char>(2 + add)), 0);
		EXPECT_EQ(Put(data + 39 * kPage, static_cast<unsigned char>(3 + add)), 0);
		EXPECT_EQ(Put(file + kPage, static_cast<unsigned char>(4 + add)), 0);
		EXPECT_EQ(Put(placed, static_cast<unsigned char>(5 + add)), 0);
	};
	auto expect = [&] {
		EXPECT_EQ(Byte(heap), 0);
		EXPECT_EQ(Byte(heap + kPage), 1);
		EXPECT_EQ(Byte(data), 0);
		EXPECT_EQ(Byte(data + kPage), 2);
		EXPECT_EQ(Byte(data + 20 * kPage), 0);
		EXPECT_EQ(Byte(data + 39 * kPage), 3);
		EXPECT_EQ(Byte(file), 50);
		EXPECT_EQ(Byte(file + kPage), 4);
		EXPECT_EQ(Byte(text), 52);
		EXPECT_EQ(Byte(text + kPage), 53);
		EXPECT_EQ(Byte(placed), 5);
		EXPECT_EQ(Byte(placed - 1), -1);
		EXPECT_EQ(Byte(closed), -1);
		EXPECT_EQ(Byte(none), -1);
		EXPECT_EQ(arena_brk(l, 0), static_cast<long>(heap + 3 * kPage + 5));
		arena_usage(l, &counted, &limit);
		EXPECT_EQ(counted, (4 + 40 + 4 + 4) * kPage);
		EXPECT_TRUE(IsWhole(l));
		EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
	};
	put(0);
	EXPECT_EQ(Put(closed + 3 * kPage, 9), 0);
	ASSERT_EQ(arena_mprotect(l, closed, 4 * kPage, PROT_NONE), 0);
	expect();
	ASSERT_EQ(snapshot_take(l), 0);
	expect();
	for (int round = 0; round < 3; round++) {
		put(100);
		EXPECT_EQ(Put(data, 77), 0) << "where there were zeros";
		switch (round) {
		case 0:
			EXPECT_EQ(arena_munmap(l, data, 10 * kPage), 0);
			EXPECT_EQ(arena_munmap(l, text, kPage), 0);
			EXPECT_EQ(arena_brk(l, heap), static_cast<long>(heap));
			EXPECT_GT(Map(100), 0);
			break;
		case 1:
			EXPECT_EQ(Map(40, PROT_READ, data, MAP_FIXED), static_cast<long>(data));
			EXPECT_EQ(arena_mprotect(l, closed, 4 * kPage, 3), 0);
			EXPECT_EQ(Byte(closed + 3 * kPage), 9) << "what was in it is still there";
			EXPECT_GT(arena_place(l, 4 * kPage, 3, SPACE_STACK), 0);
			break;
		default:
			EXPECT_EQ(arena_munmap(l, none, 9 * kPage), 0);
			EXPECT_EQ(arena_mprotect(l, file, 4 * kPage, PROT_NONE), 0);
		}
		ASSERT_EQ(snapshot_restore(l), 0);
		expect();
	}
}

TEST_F(Snapshot, DiscardedMemoryIsZeroAndNotWhatItWas)
{
	uint64_t at = static_cast<uint64_t>(Map(20));
	ASSERT_EQ(Put(at, 1), 0);
	ASSERT_EQ(Put(at + kPage, 2), 0);
	ASSERT_EQ(snapshot_take(l), 0);
	EXPECT_EQ(arena_madvise(l, at, kPage, MADV_DONTNEED), 0);
	EXPECT_EQ(Byte(at), 0);
	EXPECT_EQ(Byte(at + kPage), 2);
	EXPECT_EQ(arena_madvise(l, at, 20 * kPage, MADV_FREE), 0);
	EXPECT_TRUE(IsWhole(l));
	ASSERT_EQ(snapshot_restore(l), 0);
	EXPECT_EQ(Byte(at), 1);
}

TEST_F(Snapshot, CodeThatWasThereStaysAndCodeThatCameLaterGoes)
{
	std::string code(kPage, '\xc3');
	uint64_t at = static_cast<uint64_t>(Map(8, PROT_READ));
	ASSERT_EQ(arena_code(l, at + kPage, kPage, PROT_READ | PROT_EXEC), 0);
	ASSERT_EQ(arena_world_door(l, at + kPage, code.data(), kPage), 0);
	arena_code_done(l, at + kPage);
	ASSERT_EQ(snapshot_take(l), 0);
	EXPECT_EQ(arena_munmap(l, at, 8 * kPage), -EPERM);
	EXPECT_EQ(arena_munmap(l, at + kPage, kPage), -EPERM);
	EXPECT_EQ(arena_mprotect(l, at + kPage, kPage, 1), -EPERM);
	uint64_t later = static_cast<uint64_t>(Map(1));
	EXPECT_EQ(arena_munmap(l, at + 2 * kPage, 6 * kPage), 0) << "what is no code";
	ASSERT_EQ(arena_code(l, later, kPage, PROT_READ | PROT_EXEC), 0);
	ASSERT_EQ(arena_world_door(l, later, code.data(), kPage), 0);
	ASSERT_EQ(snapshot_restore(l), 0);
	EXPECT_EQ(Byte(at + kPage), 0xc3);
	EXPECT_EQ(Byte(later), -1);
	EXPECT_EQ(Byte(at + 7 * kPage), 0);
	EXPECT_TRUE(IsWhole(l));
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
}

TEST_F(Snapshot, TrampolinesThatWereThereStay)
{
	std::string code(kPage, '\xc3');
	long room = arena_place(l, 4 * kPage, PROT_NONE, SPACE_TRAMPOLINES);
	ASSERT_GT(room, 0);
	uint64_t at = static_cast<uint64_t>(room);
	ASSERT_EQ(arena_code(l, at, 4 * kPage, PROT_READ | PROT_EXEC), 0);
	ASSERT_EQ(arena_world_door(l, at, code.data(), kPage), 0);
	ASSERT_EQ(snapshot_take(l), 0);
	ASSERT_EQ(snapshot_restore(l), 0);
	EXPECT_EQ(Byte(at), 0xc3);
	auto mappings = Mappings(at, at + kPage);
	ASSERT_EQ(mappings.size(), 1u);
	EXPECT_EQ(mappings[0].prot, static_cast<uint32_t>(PROT_READ | PROT_EXEC));
	arena_code_done(l, at);
	EXPECT_EQ(arena_munmap(l, at, 4 * kPage), -EPERM);
	EXPECT_EQ(arena_unplace(l, at), 0) << "the runtime may";
	EXPECT_EQ(Byte(at), -1);
}

TEST_F(Snapshot, TheRuntimesPartIsLeftAlone)
{
	void *before = nullptr, *after = nullptr;
	ASSERT_EQ(arena_guarded(l, &before, kPage, 0), 0);
	ASSERT_EQ(Put(reinterpret_cast<uint64_t>(before), 1), 0);
	ASSERT_EQ(snapshot_take(l), 0);
	ASSERT_EQ(arena_guarded(l, &after, kPage, 0), 0);
	ASSERT_EQ(Put(reinterpret_cast<uint64_t>(before), 2), 0);
	ASSERT_EQ(Put(reinterpret_cast<uint64_t>(after), 3), 0);
	ASSERT_EQ(snapshot_restore(l), 0);
	EXPECT_EQ(Byte(reinterpret_cast<uint64_t>(before)), 2);
	EXPECT_EQ(Byte(reinterpret_cast<uint64_t>(after)), 3);
	arena_unguarded(l, before, kPage);
	arena_unguarded(l, after, kPage);
	EXPECT_TRUE(IsWhole(l));
}

TEST_F(Snapshot, KeepsNoZeros)
{
	Make(1 << 30, 64 << 20);
	uint64_t at = static_cast<uint64_t>(Map(8000)), heap = static_cast<uint64_t>(Map(8000));
	for (uint64_t page : {0, 1, 2, 4000, 7999}) {
		ASSERT_EQ(Put(at + page * kPage, 1), 0);
	}
	ASSERT_EQ(snapshot_take(l), 0);
	struct stat st;
	int fd = SnapshotFd();
	ASSERT_GE(fd, 0);
	ASSERT_EQ(fstat(fd, &st), 0);
	EXPECT_EQ(st.st_blocks * 512, 5 * 4096);
	for (uint64_t page = 0; page < 8000; page++) {
		ASSERT_EQ(Byte(heap + page * kPage), 0);
		ASSERT_EQ(Put(at + page * kPage, 2), 0);
	}
	ASSERT_EQ(fstat(fd, &st), 0);
	EXPECT_LT(st.st_blocks * 512, 100 * 4096) << "nor do they get into it when they are used";
	ASSERT_EQ(snapshot_restore(l), 0);
	EXPECT_EQ(Byte(at + 3 * kPage), 0);
	EXPECT_EQ(Byte(at + 4000 * kPage), 1);
}

TEST_F(Snapshot, IsInAFileThatNobodyChangesAndNoProgramInherits)
{
	size_t before = Descriptors();
	uint64_t at = static_cast<uint64_t>(Map(1));
	ASSERT_EQ(Put(at, 1), 0);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(snapshot_take(l), 0);
		EXPECT_EQ(Descriptors(), before + 1) << "one replaces the other";
	}
	int fd = SnapshotFd();
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	EXPECT_GE(static_cast<rlim_t>(fd), (limit.rlim_cur < 1 << 20 ? limit.rlim_cur : 1 << 20) / 2);
	EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EXPECT_EQ(pwrite(fd, "x", 1, 0), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(ftruncate(fd, 0), -1);
	EXPECT_EQ(Byte(at), 1);
	Drop();
	EXPECT_EQ(Descriptors(), before);
}

TEST_F(Snapshot, WhoseDescriptorSomebodyClosedIsNotGoneBackTo)
{
	uint64_t at = static_cast<uint64_t>(Map(1));
	ASSERT_EQ(Put(at, 1), 0);
	ASSERT_EQ(snapshot_take(l), 0);
	int fd = SnapshotFd();
	ASSERT_EQ(Put(at, 2), 0);
	close(fd);
	EXPECT_EQ(snapshot_restore(l), -ENOENT);
	int other = memfd_create("lychgate:snapshot of somebody else", 0);
	ASSERT_EQ(dup2(other, fd), fd);
	EXPECT_EQ(snapshot_restore(l), -ENOENT);
	EXPECT_EQ(Byte(at), 2) << "nothing has changed";
	Drop();
	EXPECT_GE(fcntl(fd, F_GETFD), 0) << "not ours to close";
	close(fd);
	close(other);
}

TEST_F(Snapshot, ThatCannotBeTakenChangesNothing)
{
	uint64_t at = static_cast<uint64_t>(Map(100));
	struct rlimit before, low;
	for (uint64_t i = 0; i < 100; i++) {
		ASSERT_EQ(Put(at + i * kPage, 1), 0);
	}
	size_t open = Descriptors();
	getrlimit(RLIMIT_FSIZE, &before);
	low = {50 * kPage, before.rlim_max};
	ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
	EXPECT_EQ(snapshot_take(l), -ENOMEM) << "and no SIGXFSZ ends the program";
	EXPECT_NE(strstr(lych_why(), "RLIMIT_FSIZE"), nullptr) << lych_why();
	setrlimit(RLIMIT_FSIZE, &before);
	getrlimit(RLIMIT_NOFILE, &before);
	low = {0, before.rlim_max};
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
	EXPECT_EQ(snapshot_take(l), -ENOMEM);
	EXPECT_NE(strstr(lych_why(), "descriptor"), nullptr) << lych_why();
	setrlimit(RLIMIT_NOFILE, &before);
	EXPECT_EQ(Descriptors(), open);
	EXPECT_EQ(Byte(at + 99 * kPage), 1);
	EXPECT_EQ(snapshot_restore(l), -EINVAL);
	EXPECT_TRUE(IsWhole(l));
	EXPECT_EQ(snapshot_take(l), 0) << "the control";
}

TEST_F(SnapshotModel, IsGoneBackToAfterRandomCalls)
{
	for (unsigned int seed = 0; seed < 6; seed++) {
		std::mt19937 random(seed);
		Make(64 << 20, 1 << 20);
		pages.clear();
		heap = static_cast<uint64_t>(arena_brk(l, 0));
		base = seed % 2 == 0 ? heap : Hi() - 64 * kPage;
		fd = File(32, 7);
		for (int round = 0; round < 4; round++) {
			for (int step = 0; step < 60; step++) {
				ASSERT_NO_FATAL_FAILURE(Step(random)) << "seed " << seed << ", step " << step;
			}
			ASSERT_EQ(snapshot_take(l), 0);
			// a file's pages are the snapshot's from now on
			for (auto &[at, page] : pages) {
				page.base = page.file ? page.now : 0;
			}
			ASSERT_NO_FATAL_FAILURE(Compare()) << "seed " << seed << ", taken " << round;
			auto then = pages;
			for (int again = 0; again < 2; again++) {
				for (int step = 0; step < 60; step++) {
					ASSERT_NO_FATAL_FAILURE(Step(random))
						<< "seed " << seed << ", later step " << step;
				}
				ASSERT_NO_FATAL_FAILURE(Compare()) << "seed " << seed << ", after " << round;
				ASSERT_EQ(snapshot_restore(l), 0);
				pages = then;
				ASSERT_NO_FATAL_FAILURE(Compare()) << "seed " << seed << ", gone back " << round;
			}
		}
		close(fd);
		EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
	}
}

} // namespace
