/* SPDX-License-Identifier: Apache-2.0 */
// Heaps and stacks of domains and what the host does with them, next to a fake of the rest of the runtime.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fake_runtime.h"

namespace
{

struct lych_domain_opts Options()
{
	struct lych_domain_opts opts = {};

	opts.size = sizeof(opts);
	return opts;
}

uint64_t Address(const void *at)
{
	return reinterpret_cast<uintptr_t>(at);
}

class Memory : public ::testing::Test {
protected:
	void SetUp() override
	{
		fake_start(LYCH_PKU);
		ranges = fake_ledger_ranges();
		keys = fake_keys_held();
	}

	void TearDown() override
	{
		if (domain != nullptr) {
			fake_domain_free(domain);
		}
		fake_detach(); // its stacks go
		EXPECT_EQ(fake_ledger_ranges(), ranges);
		EXPECT_EQ(fake_keys_held(), keys);
	}

	void Start(const struct lych_domain_opts &opts)
	{
		int err;

		domain = fake_domain_new(&opts, &err);
		ASSERT_NE(domain, nullptr) << lych_strerror_(err);
	}

	void Start(size_t heap_bytes)
	{
		struct lych_domain_opts opts = Options();

		opts.heap_bytes = heap_bytes;
		Start(opts);
	}

	static std::string lych_strerror_(int err)
	{
		return strerror(-err);
	}

	struct lych_domain *domain = nullptr;
	size_t ranges = 0;
	int keys = 0;
};

class Heap : public Memory {
protected:
	void SetUp() override
	{
		Memory::SetUp();
		Start(1 << 20);
	}
};

bool AllZero(const void *at, size_t bytes)
{
	const char *text = static_cast<const char *>(at);

	return std::all_of(text, text + bytes, [](char c) { return c == 0; });
}

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

TEST_F(Memory, IsWipedWhenFreedIfAskedTo)
{
	for (bool zero : {false, true}) {
		struct lych_domain_opts opts = Options();
		opts.zero_on_free = zero;
		struct lych_domain *d = fake_domain_new(&opts, nullptr);
		char *block = static_cast<char *>(lych_alloc(d, 64));
		memset(block, 7, 64);
		ASSERT_EQ(lych_free(d, block), 0);
		EXPECT_EQ(AllZero(block, 64), zero);
		block = static_cast<char *>(lych_alloc(d, 64));
		memset(block, 7, 64);
		ASSERT_EQ(lych_realloc(d, block, 16), block);
		EXPECT_EQ(AllZero(block + 16, 48), zero);
		EXPECT_EQ(block[15], 7);
		fake_domain_free(d);
	}
}

TEST_F(Memory, SizesOutOfRangeAreRefused)
{
	struct lych_domain_opts opts = Options();
	int err = 0;

	opts.heap_bytes = (size_t{16} << 30) + 1;
	EXPECT_EQ(fake_domain_new(&opts, &err), nullptr);
	EXPECT_EQ(err, -EINVAL);
	opts.heap_bytes = SIZE_MAX;
	EXPECT_EQ(fake_domain_new(&opts, &err), nullptr);
	EXPECT_EQ(err, -EINVAL);
	opts.heap_bytes = 0;
	opts.stack_bytes = SIZE_MAX;
	EXPECT_EQ(fake_domain_new(&opts, &err), nullptr);
	EXPECT_EQ(err, -EINVAL);
}

TEST_F(Memory, NothingIsLeftWhereverMakingOneFails)
{
	int failed = 0;

	for (int calls = 0;; calls++) {
		int err = 0;
		fake_fail_after(calls);
		struct lych_domain *d = fake_domain_new(nullptr, &err);
		fake_fail_after(-1);
		if (d != nullptr) {
			fake_domain_free(d);
			break;
		}
		failed++;
		EXPECT_EQ(err, -ENOMEM);
		EXPECT_EQ(fake_ledger_ranges(), ranges);
		EXPECT_EQ(fake_keys_held(), keys);
	}
	EXPECT_EQ(failed, 3) << "tables, block table, heap";
}

// The attributes of the mapping that at lies in: VmFlags of /proc/self/smaps.
std::string FlagsOf(uint64_t at)
{
	std::ifstream smaps("/proc/self/smaps");
	std::string line;
	bool here = false;

	while (std::getline(smaps, line)) {
		unsigned long low, high;
		if (sscanf(line.c_str(), "%lx-%lx ", &low, &high) == 2) {
			here = low <= at && at < high;
		} else if (here && line.rfind("VmFlags:", 0) == 0) {
			return line;
		}
	}
	return "";
}

TEST_F(Memory, IsNotInCoreDumpsAndIsLockedWhenAskedTo)
{
	struct lych_domain_opts opts = Options();
	Start(opts);
	void *block = lych_alloc(domain, 16);
	EXPECT_NE(FlagsOf(Address(block)).find(" dd"), std::string::npos) << FlagsOf(Address(block));
	EXPECT_EQ(FlagsOf(Address(block)).find(" lo"), std::string::npos);

	opts.lock_memory = true;
	struct lych_domain *locked = fake_domain_new(&opts, nullptr);
	ASSERT_NE(locked, nullptr);
	block = lych_alloc(locked, 16);
	EXPECT_NE(FlagsOf(Address(block)).find(" lo"), std::string::npos) << FlagsOf(Address(block));
	memset(block, 7, 16);
	ASSERT_EQ(fake_domain_reset(locked), 0);
	EXPECT_TRUE(AllZero(block, 16));
	EXPECT_NE(FlagsOf(Address(block)).find(" lo"), std::string::npos) << "not locked after the reset";
	fake_domain_free(locked);
}

TEST_F(Memory, OfAHeapIsBetweenPagesThatNobodyCanTouch)
{
	Start(4096);
	char *block = static_cast<char *>(lych_alloc(domain, 4096));
	ASSERT_NE(block, nullptr);
	EXPECT_EXIT({ *static_cast<volatile char *>(block - 1) = 1; }, ::testing::KilledBySignal(SIGSEGV), "");
	EXPECT_EXIT({ *static_cast<volatile char *>(block + 4096) = 1; }, ::testing::KilledBySignal(SIGSEGV), "");
	EXPECT_EXIT({ *static_cast<volatile char *>(block + 4095) = 1; _exit(0); }, ::testing::ExitedWithCode(0), "");
}

TEST_F(Memory, ResetEmptiesTheHeapAndTakesTheStacks)
{
	struct fake_stack before, after;

	Start(4096);
	char *block = static_cast<char *>(lych_alloc(domain, 4096));
	memset(block, 7, 4096);
	ASSERT_EQ(fake_stack_new(domain, &before), 0);
	memset(reinterpret_cast<void *>(before.low), 7, before.top - before.low);
	ASSERT_EQ(fake_domain_reset(domain), 0);
	EXPECT_TRUE(AllZero(block, 4096));
	EXPECT_EQ(lych_free(domain, block), -EINVAL) << "a block from before the reset";
	EXPECT_NE(lych_alloc(domain, 4096), nullptr);
	EXPECT_EQ(lych_verify_range(domain, reinterpret_cast<void *>(before.low), 1), -EFAULT);
	ASSERT_EQ(fake_stack_new(domain, &after), 0);
	EXPECT_EQ(after.sp, after.top - 256);
	EXPECT_NE(after.id, before.id);
	EXPECT_TRUE(AllZero(reinterpret_cast<void *>(after.low), after.top - after.low));
}

TEST_F(Memory, ResetThatFailsLeavesATableThatIsWhole)
{
	Start(4096);
	void *block = lych_alloc(domain, 4096);
	fake_fail_after(0);
	EXPECT_EQ(fake_domain_reset(domain), -ENOMEM);
	fake_fail_after(-1);
	EXPECT_EQ(lych_free(domain, block), 0);
}

TEST_F(Memory, StacksAreGuardedOnBothEndsAndFillTheSlot)
{
	struct fake_stack stack;
	struct lych_domain_opts opts = Options();

	opts.stack_bytes = 20000;
	Start(opts);
	ASSERT_EQ(fake_stack_new(domain, &stack), 0);
	EXPECT_EQ(stack.top - stack.low, 20480u);
	EXPECT_EQ(stack.sp % 16, 0u);
	EXPECT_LE(stack.sp, stack.resume);
	EXPECT_EQ(stack.resume + 64, stack.top);
	EXPECT_EQ(stack.id, stack.domain_id);
	EXPECT_EQ(fake_ledger_key(reinterpret_cast<void *>(stack.low)), fake_ledger_key(lych_alloc(domain, 1)));
	EXPECT_TRUE(fake_is_stack_guard(domain, stack.low - 1));
	EXPECT_TRUE(fake_is_stack_guard(domain, stack.low - 4096));
	EXPECT_TRUE(fake_is_stack_guard(domain, stack.top));
	EXPECT_FALSE(fake_is_stack_guard(domain, stack.low));
	EXPECT_FALSE(fake_is_stack_guard(domain, stack.top - 1));
	EXPECT_FALSE(fake_is_stack_guard(domain, 0));
	EXPECT_FALSE(fake_is_stack_guard(domain, UINT64_MAX));
	auto touch = [](uint64_t at) { *reinterpret_cast<volatile char *>(at) = 1; };
	EXPECT_EXIT(touch(stack.low - 1), ::testing::KilledBySignal(SIGSEGV), "");
	EXPECT_EXIT(touch(stack.top), ::testing::KilledBySignal(SIGSEGV), "");
	touch(stack.low);
	touch(stack.top - 1);
}

TEST_F(Memory, AThreadKeepsItsStackAndOthersHaveTheirOwn)
{
	struct fake_stack first, again, other;

	Start(4096);
	ASSERT_EQ(fake_stack_new(domain, &first), 0);
	ASSERT_EQ(fake_stack_new(domain, &again), 0);
	EXPECT_EQ(first.low, again.low);
	size_t before = fake_ledger_ranges();
	std::thread([&] {
		ASSERT_EQ(fake_stack_new(domain, &other), 0);
		EXPECT_EQ(fake_ledger_ranges(), before + 1);
		// The stack of another thread is not this one's to pass pointers from.
		EXPECT_EQ(lych_verify_range(domain, reinterpret_cast<void *>(first.low), 16), -EFAULT);
		EXPECT_EQ(lych_verify_range(domain, reinterpret_cast<void *>(other.low), 16), 0);
	}).join();
	EXPECT_NE(other.low, first.low);
	EXPECT_EQ(fake_ledger_ranges(), before) << "its stack did not end with the thread";
	EXPECT_FALSE(fake_is_stack_guard(domain, other.low - 1));
}

TEST_F(Memory, APoisonedDomainGetsNoStackIntoTheSlot)
{
	struct fake_stack stack;

	Start(4096);
	fake_domain_poison(domain);
	EXPECT_EQ(fake_stack_new(domain, &stack), -EOWNERDEAD);
	EXPECT_EQ(stack.low, 0u);
}

TEST_F(Memory, AStackThatCannotBeMappedIsEnomem)
{
	struct fake_stack stack;

	Start(4096);
	fake_fail_after(0);
	EXPECT_EQ(fake_stack_new(domain, &stack), -ENOMEM);
	fake_fail_after(-1);
	EXPECT_EQ(stack.low, 0u);
	EXPECT_EQ(fake_stack_new(domain, &stack), 0);
}

class Transfer : public Memory {
protected:
	void SetUp() override
	{
		Memory::SetUp();
		Start(8192);
		heap = static_cast<char *>(lych_alloc(domain, 8192));
		ASSERT_NE(heap, nullptr);
	}

	char *heap = nullptr;
};

TEST_F(Transfer, RangesAreTheDomainsOnlyWhenTheyAreWhollyInIt)
{
	char *end = heap + 8192;
	int ordinary = 0;

	EXPECT_EQ(lych_verify_range(domain, heap, 8192), 0);
	EXPECT_EQ(lych_verify_range(domain, heap, 0), 0);
	EXPECT_EQ(lych_verify_range(domain, end - 1, 1), 0);
	EXPECT_EQ(lych_verify_range(domain, end, 0), -EFAULT) << "0 is checked like 1";
	EXPECT_EQ(lych_verify_range(domain, end - 1, 2), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, heap - 1, 2), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, heap, 8193), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, &ordinary, sizeof(ordinary)), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, nullptr, 1), -EFAULT);
}

TEST_F(Transfer, RangesThatWrapAreNot)
{
	EXPECT_EQ(lych_verify_range(domain, heap, SIZE_MAX), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, heap + 16, SIZE_MAX - 15), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, heap + 1, -Address(heap)), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, reinterpret_cast<void *>(UINTPTR_MAX), 2), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, reinterpret_cast<void *>(UINTPTR_MAX), SIZE_MAX), -EFAULT);
}

TEST_F(Transfer, TheStackOfTheCallingThreadIsTheDomains)
{
	struct fake_stack stack;
	char byte = 0;

	ASSERT_EQ(fake_stack_new(domain, &stack), 0);
	char *low = reinterpret_cast<char *>(stack.low);
	low[5] = 42;
	EXPECT_EQ(lych_copy_out(domain, &byte, low + 5, 1), 0);
	EXPECT_EQ(byte, 42);
	EXPECT_EQ(lych_verify_range(domain, low, stack.top - stack.low), 0);
	EXPECT_EQ(lych_verify_range(domain, low, stack.top - stack.low + 1), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, low - 1, 1), -EFAULT);
}

TEST_F(Transfer, CopyOutCopiesAnyLengthFromAnyPlace)
{
	for (int i = 0; i < 8192; i++) {
		heap[i] = static_cast<char>(i * 7);
	}
	for (size_t from = 0; from < 9; from++) {
		for (size_t bytes = 0; bytes < 40; bytes++) {
			char out[41];
			memset(out, 0x5a, sizeof(out));
			ASSERT_EQ(lych_copy_out(domain, out, heap + from, bytes), 0);
			ASSERT_EQ(memcmp(out, heap + from, bytes), 0) << from << " " << bytes;
			ASSERT_EQ(out[bytes], 0x5a);
		}
	}
}

TEST_F(Transfer, CopyOutOfOtherMemoryTouchesNothing)
{
	char out[16] = "untouched";
	char ordinary[16] = "host";

	EXPECT_EQ(lych_copy_out(domain, out, ordinary, 16), -EFAULT);
	EXPECT_EQ(lych_copy_out(domain, out, heap + 8190, 16), -EFAULT);
	EXPECT_STREQ(out, "untouched");
}

TEST_F(Transfer, StringsComeOutWithTheirNul)
{
	char *out = nullptr;

	strcpy(heap + 100, "lych");
	ASSERT_EQ(lych_strndup_out(domain, &out, heap + 100, 100), 0);
	EXPECT_STREQ(out, "lych");
	free(out);
	ASSERT_EQ(lych_strndup_out(domain, &out, heap + 100, 5), 0);
	EXPECT_STREQ(out, "lych");
	free(out);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 100, 4), -E2BIG);
	EXPECT_EQ(out, nullptr);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 100, 0), -E2BIG);
	EXPECT_EQ(lych_strndup_out(domain, &out, "host", 100), -EFAULT);
	EXPECT_EQ(out, nullptr);
}

TEST_F(Transfer, LongStringsComeOutWhole)
{
	for (size_t length : {254, 255, 256, 257, 511, 512, 513, 3000, 8191}) {
		char *out = nullptr;
		memset(heap, 'x', 8192);
		heap[length] = 0;
		ASSERT_EQ(lych_strndup_out(domain, &out, heap, SIZE_MAX), 0) << length;
		EXPECT_EQ(std::string(out), std::string(length, 'x'));
		free(out);
	}
}

TEST_F(Transfer, AStringThatRunsOutOfTheDomainIsEfault)
{
	char *out = nullptr;

	memset(heap, 'x', 8192);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 8000, 1000), -EFAULT);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 8000, 192), -E2BIG);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 8000, 193), -EFAULT);
	EXPECT_EQ(out, nullptr);
}

// A thread of the domain moves the NUL while the string is taken out. What comes out always ends where its own NUL is;
// a length measured in the domain first would be another's.
TEST_F(Transfer, AStringThatChangesMeanwhileIsStillWhole)
{
	std::atomic<bool> stop{false};
	std::atomic<size_t> bad{0};

	memset(heap, 'x', 4096);
	heap[2000] = 0;
	std::atomic<bool> running{false};
	std::thread racer([&] {
		volatile char *text = heap;
		while (!stop) {
			running = true;
			text[2000] = 'x';
			text[10] = 0;
			text[2000] = 0;
			text[10] = 'x';
		}
	});
	while (!running) {
		std::this_thread::yield();
	}
	for (int i = 0; i < 100000; i++) {
		char *out = nullptr;
		int err = lych_strndup_out(domain, &out, heap, 3000);
		if (err == 0) {
			size_t length = strlen(out);
			bad += length != 10 && length != 2000;
			free(out);
		} else {
			bad += err != -E2BIG; // both places were 'x' when they were read
		}
	}
	stop = true;
	racer.join();
	EXPECT_EQ(bad, 0u);
}

TEST_F(Transfer, OfAThreadThatCannotAttachSaysWhy)
{
	int err = 0, number = 0;
	void *block = heap;

	std::thread([&] {
		char byte;
		fake_refuse_attach(-EPERM);
		err = lych_copy_out(domain, &byte, heap, 1);
		errno = 0;
		block = lych_alloc(domain, 1);
		number = errno;
		fake_refuse_attach(0);
	}).join();
	EXPECT_EQ(err, -EPERM);
	EXPECT_EQ(block, nullptr);
	EXPECT_EQ(number, EPERM);
}

TEST_F(Memory, OfAVaultIsFilledButNotRead)
{
	struct lych_domain_opts opts = Options();
	char out[8] = "same";
	char *text = nullptr;

	opts.kind = LYCH_KIND_VAULT;
	Start(opts);
	uint32_t before = fake_pkru();
	char *block = static_cast<char *>(lych_copy_in(domain, "secret", 7));
	ASSERT_NE(block, nullptr);
	EXPECT_EQ(lych_verify_range(domain, block, 7), 0);
	EXPECT_EQ(lych_copy_out(domain, out, block, 7), -EACCES);
	EXPECT_EQ(lych_strndup_out(domain, &text, block, 7), -EACCES);
	EXPECT_EQ(text, nullptr);
	EXPECT_STREQ(out, "same");
	EXPECT_EQ(lych_free(domain, block), 0);
	EXPECT_EQ(fake_pkru(), before) << "the vault was left open";
}

TEST_F(Transfer, WithoutADomainIsRefused)
{
	char byte;
	char *out;

	EXPECT_EQ(lych_copy_out(nullptr, &byte, heap, 1), -EINVAL);
	EXPECT_EQ(lych_verify_range(nullptr, heap, 1), -EINVAL);
	EXPECT_EQ(lych_strndup_out(nullptr, &out, heap, 1), -EINVAL);
	EXPECT_EQ(lych_free(nullptr, heap), -EINVAL);
	errno = 0;
	EXPECT_EQ(lych_alloc(nullptr, 1), nullptr);
	EXPECT_EQ(errno, EINVAL);
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
