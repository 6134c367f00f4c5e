/* SPDX-License-Identifier: Apache-2.0 */
// The memory of a domain as a whole, made, reset and freed; its stacks.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "domain_memory_fixture.h"
#include "needs_pku.h"

namespace
{

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

// Does a write there fault as one to a page does that nobody may touch?
bool IsClosed(uint64_t at)
{
	Fault fault = FaultOf([&] { *reinterpret_cast<volatile char *>(at) = 1; });

	return fault.signal == SIGSEGV && fault.code == SEGV_ACCERR && fault.address == reinterpret_cast<void *>(at);
}

TEST_F(Memory, OfAHeapIsBetweenPagesThatNobodyCanTouch)
{
	Start(4096);
	char *block = static_cast<char *>(lych_alloc(domain, 4096));
	ASSERT_NE(block, nullptr);
	EXPECT_TRUE(IsClosed(Address(block) - 1));
	EXPECT_TRUE(IsClosed(Address(block) + 4096));
	EXPECT_FALSE(IsClosed(Address(block)));
	EXPECT_FALSE(IsClosed(Address(block) + 4095));
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
	EXPECT_TRUE(IsClosed(stack.low - 1));
	EXPECT_TRUE(IsClosed(stack.top));
	EXPECT_FALSE(IsClosed(stack.low));
	EXPECT_FALSE(IsClosed(stack.top - 1));
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

} // namespace
