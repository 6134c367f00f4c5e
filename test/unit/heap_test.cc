/* SPDX-License-Identifier: Apache-2.0 */
// Heaps of domains: blocks taken and given back, by several threads, and in a child of fork.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "domain_memory_fixture.h"

namespace
{

TEST_F(Heap, BlocksAreAlignedAndZeroWhateverWasThereBefore)
{
	for (size_t bytes : {0, 1, 15, 16, 17, 100, 4096, 100000}) {
		void *dirty = lych_alloc(domain, bytes);
		ASSERT_NE(dirty, nullptr);
		memset(dirty, 0xa5, bytes);
		ASSERT_EQ(lych_free(domain, dirty), 0);
		void *block = lych_alloc(domain, bytes);
		ASSERT_EQ(block, dirty) << "the test wants the same memory again";
		EXPECT_EQ(Address(block) % 16, 0u);
		EXPECT_TRUE(AllZero(block, bytes)) << bytes;
		ASSERT_EQ(lych_free(domain, block), 0);
	}
}

TEST_F(Heap, WhatIsWrittenInTheHeapMisleadsNobody)
{
	std::vector<char *> blocks;
	while (char *block = static_cast<char *>(lych_alloc(domain, 48))) {
		blocks.push_back(block);
	}
	for (size_t i = 0; i < blocks.size(); i += 2) {
		ASSERT_EQ(lych_free(domain, blocks[i]), 0);
	}
	// All of it, live and free: a domain can. Whatever an allocator would keep there is gone.
	uint64_t low = Address(*std::min_element(blocks.begin(), blocks.end()));
	memset(reinterpret_cast<void *>(low), 0xff, 1 << 20);

	std::vector<char *> again;
	while (char *block = static_cast<char *>(lych_alloc(domain, 48))) {
		EXPECT_LE(low, Address(block));
		EXPECT_LE(Address(block) + 48, low + (1 << 20));
		EXPECT_TRUE(AllZero(block, 48));
		again.push_back(block);
	}
	EXPECT_EQ(again.size(), (blocks.size() + 1) / 2);
	for (size_t i = 1; i < blocks.size(); i += 2) {
		again.push_back(blocks[i]);
	}
	std::sort(again.begin(), again.end());
	EXPECT_EQ(std::unique(again.begin(), again.end()), again.end()) << "a block was given out twice";
	for (char *block : again) {
		ASSERT_EQ(lych_free(domain, block), 0);
	}
	EXPECT_NE(lych_alloc(domain, 1 << 20), nullptr) << "all is free, but it is not one piece";
}

TEST_F(Heap, FullIsNullWithEnomem)
{
	ASSERT_NE(lych_alloc(domain, 1 << 20), nullptr);
	errno = 0;
	EXPECT_EQ(lych_alloc(domain, 1), nullptr);
	EXPECT_EQ(errno, ENOMEM);
	for (size_t bytes : {size_t{(1 << 20) + 1}, SIZE_MAX, SIZE_MAX - 15}) {
		errno = 0;
		EXPECT_EQ(lych_alloc(domain, bytes), nullptr);
		EXPECT_EQ(errno, ENOMEM);
	}
}

TEST_F(Heap, FreeOfWhatIsNoLiveBlockChangesNothing)
{
	char *block = static_cast<char *>(lych_alloc(domain, 64));
	int ordinary = 0;

	memset(block, 7, 64);
	EXPECT_EQ(lych_free(domain, block + 16), -EINVAL);
	EXPECT_EQ(lych_free(domain, block + 1), -EINVAL);
	EXPECT_EQ(lych_free(domain, block - 16), -EINVAL);
	EXPECT_EQ(lych_free(domain, block + (1 << 20)), -EINVAL);
	EXPECT_EQ(lych_free(domain, block - (1 << 20)), -EINVAL);
	EXPECT_EQ(lych_free(domain, &ordinary), -EINVAL);
	EXPECT_EQ(lych_free(domain, reinterpret_cast<void *>(UINTPTR_MAX)), -EINVAL);
	EXPECT_EQ(heap_size_of(domain, block), 64u);
	EXPECT_EQ(block[63], 7);
	EXPECT_EQ(lych_free(domain, nullptr), 0);
	EXPECT_EQ(lych_free(domain, block), 0);
	EXPECT_EQ(lych_free(domain, block), -EINVAL) << "twice";
}

TEST_F(Heap, ABlockOfOneDomainIsNotOneOfAnother)
{
	struct lych_domain *other = fake_domain_new(nullptr, nullptr);
	void *block = lych_alloc(domain, 64);

	EXPECT_EQ(lych_free(other, block), -EINVAL);
	EXPECT_EQ(lych_verify_range(other, block, 64), -EFAULT);
	EXPECT_EQ(lych_free(domain, block), 0);
	fake_domain_free(other);
}

TEST_F(Heap, AlignmentsOfPowersOfTwoAndNoOthers)
{
	for (size_t align = 1; align <= 1 << 19; align *= 2) {
		void *block = lych_alloc_aligned(domain, align, 40);
		ASSERT_NE(block, nullptr) << align;
		EXPECT_EQ(Address(block) % std::max(align, size_t{16}), 0u) << align;
		EXPECT_EQ(lych_free(domain, block), 0);
	}
	for (size_t align : {size_t{0}, size_t{3}, size_t{24}, SIZE_MAX}) {
		errno = 0;
		EXPECT_EQ(lych_alloc_aligned(domain, align, 40), nullptr) << align;
		EXPECT_EQ(errno, EINVAL) << align;
	}
}

TEST_F(Heap, ReallocKeepsWhatWasThereAndZeroesTheRest)
{
	char *block = static_cast<char *>(lych_alloc(domain, 32));
	memset(block, 7, 32);
	void *hole = lych_alloc(domain, 16);
	memset(lych_alloc(domain, 4096), 9, 4096);
	char *longer = static_cast<char *>(lych_realloc(domain, block, 1000));
	ASSERT_NE(longer, nullptr);
	EXPECT_NE(longer, block);
	EXPECT_EQ(std::count(longer, longer + 32, 7), 32);
	EXPECT_TRUE(AllZero(longer + 32, 968));
	EXPECT_EQ(lych_free(domain, block), -EINVAL) << "the old one is still live";
	char *shorter = static_cast<char *>(lych_realloc(domain, longer, 20));
	EXPECT_EQ(shorter, longer);
	EXPECT_EQ(heap_size_of(domain, shorter), 32u);
	EXPECT_EQ(std::count(shorter, shorter + 20, 7), 20);
	EXPECT_EQ(lych_free(domain, hole), 0);
}

TEST_F(Heap, ReallocThatFailsLeavesTheBlock)
{
	char *block = static_cast<char *>(lych_alloc(domain, 32));
	memset(block, 7, 32);
	errno = 0;
	EXPECT_EQ(lych_realloc(domain, block, 2 << 20), nullptr);
	EXPECT_EQ(errno, ENOMEM);
	errno = 0;
	EXPECT_EQ(lych_realloc(domain, block + 16, 64), nullptr);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(heap_size_of(domain, block), 32u);
	EXPECT_EQ(block[31], 7);
	EXPECT_NE(lych_realloc(domain, nullptr, 64), nullptr);
}

TEST_F(Heap, CallocRefusesAProductThatOverflows)
{
	EXPECT_NE(lych_calloc(domain, 3, 5), nullptr);
	errno = 0;
	EXPECT_EQ(lych_calloc(domain, SIZE_MAX / 2, 3), nullptr);
	EXPECT_EQ(errno, ENOMEM);
}

TEST_F(Heap, StringsAndBytesAreCopiedIn)
{
	char *text = lych_strdup(domain, "where the sea is");
	ASSERT_NE(text, nullptr);
	EXPECT_STREQ(text, "where the sea is");
	EXPECT_EQ(lych_verify_range(domain, text, 17), 0);
	char *bytes = static_cast<char *>(lych_copy_in(domain, "a\0b", 3));
	ASSERT_NE(bytes, nullptr);
	EXPECT_EQ(memcmp(bytes, "a\0b", 3), 0);
}

TEST_F(Heap, TheMonitorsOwnFunctionsLeaveErrnoAlone)
{
	errno = 77;
	EXPECT_EQ(heap_alloc(domain, 16, 2 << 20), nullptr);
	EXPECT_EQ(heap_alloc(domain, 3, 1), nullptr);
	EXPECT_EQ(heap_free(domain, &errno), -EINVAL);
	void *block = heap_alloc(domain, 16, 1);
	EXPECT_NE(block, nullptr);
	EXPECT_EQ(heap_free(domain, block), 0);
	EXPECT_EQ(errno, 77);
}

TEST_F(Heap, ItsLockIsGivenUpWhenTheHolderNeverMoves)
{
	void *block = lych_alloc(domain, 16);

	fake_heap_lock(domain);
	EXPECT_EQ(heap_alloc(domain, 16, 1), nullptr);
	EXPECT_EQ(heap_free(domain, block), -EAGAIN);
	fake_heap_unlock(domain);
	EXPECT_EQ(heap_free(domain, block), 0);
}

TEST_F(Heap, TheHostWaitsForItsLock)
{
	std::atomic<bool> waiting{false};
	void *block = nullptr;

	fake_heap_lock(domain);
	std::thread host([&] {
		waiting = true;
		block = lych_alloc(domain, 16);
	});
	while (!waiting) {
		std::this_thread::yield();
	}
	usleep(1200000); // more than the monitor would wait
	fake_heap_unlock(domain);
	host.join();
	EXPECT_NE(block, nullptr);
}

TEST_F(Heap, ManyThreadsNeverGetTheSameBlock)
{
	std::atomic<int> overlaps{0};
	std::vector<std::thread> threads;

	for (int t = 1; t <= 4; t++) {
		threads.emplace_back([&, t] {
			std::mt19937 random(t);
			std::vector<std::pair<unsigned char *, size_t>> mine;
			for (int i = 0; i < 4000; i++) {
				size_t bytes = 16 + random() % 600;
				auto *block = static_cast<unsigned char *>(lych_alloc(domain, bytes));
				if (block != nullptr) {
					memset(block, t, bytes);
					mine.emplace_back(block, bytes);
				}
				if (block == nullptr || mine.size() > 100) {
					auto [at, size] = mine[random() % mine.size()];
					overlaps += std::count(at, at + size, t) != static_cast<long>(size);
					overlaps += lych_free(domain, at) != 0;
					mine.erase(std::find(mine.begin(), mine.end(), std::make_pair(at, size)));
				}
			}
			for (auto [at, size] : mine) {
				overlaps += std::count(at, at + size, t) != static_cast<long>(size);
				overlaps += lych_free(domain, at) != 0;
			}
		});
	}
	for (std::thread &thread : threads) {
		thread.join();
	}
	EXPECT_EQ(overlaps, 0);
	EXPECT_NE(lych_alloc(domain, 1 << 20), nullptr);
}

TEST_F(Heap, InAChildOfForkIsWholeAndUnlocked)
{
	std::atomic<bool> stop{false};
	std::thread busy([&] {
		while (!stop) {
			lych_free(domain, lych_alloc(domain, 100));
		}
	});
	for (int i = 0; i < 50; i++) {
		pid_t child = fork();
		if (child == 0) {
			alarm(30);
			void *block = lych_alloc(domain, 100);
			_exit(block != nullptr && lych_free(domain, block) == 0 ? 0 : 1);
		}
		int status = 0;
		waitpid(child, &status, 0);
		ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "round " << i;
	}
	stop = true;
	busy.join();
}

TEST_F(Heap, InAChildOfForkHasTheStackOfTheThreadThatForkedOnly)
{
	struct fake_stack mine, other;
	std::atomic<int> phase{0};

	ASSERT_EQ(fake_stack_new(domain, &mine), 0);
	std::thread second([&] {
		fake_stack_new(domain, &other);
		phase = 1;
		while (phase == 1) {
			usleep(1000);
		}
	});
	while (phase == 0) {
		usleep(1000);
	}
	pid_t child = fork();
	if (child == 0) {
		bool good = fake_ledger_key(reinterpret_cast<void *>(mine.low)) >= 0 &&
			    fake_ledger_key(reinterpret_cast<void *>(other.low)) < 0;
		_exit(good ? 0 : 1);
	}
	int status = 0;
	waitpid(child, &status, 0);
	phase = 2;
	second.join();
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

} // namespace
