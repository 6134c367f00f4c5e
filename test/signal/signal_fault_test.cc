// SPDX-License-Identifier: Apache-2.0
// Calls that are ended: by a fault of each kind, by another thread, at their deadline.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "signals.h"

namespace
{

long Touch(long at)
{
	return *reinterpret_cast<volatile long *>(at);
}
long Write(long at)
{
	*reinterpret_cast<volatile long *>(at) = 1;
	return 0;
}
long Jump(long at)
{
	return reinterpret_cast<long (*)()>(at)();
}
long Undefined(long)
{
	asm volatile("ud2");
	return 0;
}
long Trap(long)
{
	asm volatile("int3");
	return 0;
}
long Divide(long n)
{
	volatile long zero = 0;
	return n / zero;
}
long Bus(long)
{
	asm volatile("mov $1, %%rax\n\tror $4, %%rax\n\tmov (%%rax), %%rax" ::: "rax");
	return 0;
}
long Exit(long)
{
	syscall(SYS_exit_group, 3);
	return 0;
}
long Abort(long)
{
	syscall(SYS_tgkill, 1, 1, 6);
	return 0;
}
long Parent(long)
{
	return syscall(SYS_getppid);
}

TEST_F(Calls, EndWithAFaultOfEachKind)
{
	ExpectFault(Touch, LYCH_FAULT_SEGV, 0x1000);
	EXPECT_EQ(lych_fault(domain)->access, LYCH_ACCESS_READ);
	EXPECT_EQ(lych_fault(domain)->address, 0x1000u);
	ExpectFault(Write, LYCH_FAULT_SEGV, 0x1008);
	EXPECT_EQ(lych_fault(domain)->access, LYCH_ACCESS_WRITE);
	ExpectFault(Jump, LYCH_FAULT_SEGV, 0x1010);
	EXPECT_EQ(lych_fault(domain)->access, LYCH_ACCESS_EXEC);
	EXPECT_EQ(lych_fault(domain)->rip, 0x1010u);
	ExpectFault(Undefined, LYCH_FAULT_ILL);
	EXPECT_EQ(lych_fault(domain)->signal, SIGILL);
	ExpectFault(Trap, LYCH_FAULT_TRAP);
	ExpectFault(Divide, LYCH_FAULT_FPE);
	ExpectFault(Bus, LYCH_FAULT_SEGV); // not canonical: #GP
	EXPECT_EQ(lych_fault(domain)->access, LYCH_ACCESS_UNKNOWN);
	ExpectFault(Exit, LYCH_FAULT_EXIT);
	ExpectFault(Abort, LYCH_FAULT_ABORT);
	harness_reset(domain);
	EXPECT_EQ(Call(Double, 2), 0);
	ExpectFault(Touch, LYCH_FAULT_STACK, reinterpret_cast<long>(harness_guard(domain)) + 8);
	EXPECT_STREQ(lych_fault(domain)->function, "harness function");
	EXPECT_EQ(lych_fault(domain)->tid, getpid());
}

TEST_F(Calls, EndWithAFaultOfAFileThatHasEnded)
{
	FILE *file = tmpfile();
	void *at = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
	ExpectFault(Touch, LYCH_FAULT_BUS, reinterpret_cast<long>(at));
	EXPECT_EQ(lych_fault(domain)->address, reinterpret_cast<uint64_t>(at));
	munmap(at, 4096);
	fclose(file);
}

TEST_F(Calls, NameTheOwnerOfMemoryThatIsNotTheirs)
{
	void *at = mmap(reinterpret_cast<void *>(0x70000000), 4096, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ(at, reinterpret_cast<void *>(0x70000000));
	ExpectFault(Write, LYCH_FAULT_KEY, 0x70000010);
	EXPECT_EQ(lych_fault(domain)->key, 9);
	EXPECT_STREQ(lych_fault(domain)->owner, "other");
	EXPECT_EQ(std::string(lych_fault(domain)->mapping).substr(0, 4), "---p");
	munmap(at, 4096);
}

TEST_F(Calls, ThatFaultGiveTheCallerBackItsRegisters)
{
	volatile double kept = 1.25;
	for (int i = 0; i < 1000; i++) {
		harness_reset(domain);
		ASSERT_EQ(Call(Undefined), -EFAULT);
	}
	EXPECT_EQ(kept, 1.25);
	EXPECT_EQ(harness_level(), 0u);
}

TEST_F(Calls, HoldTheirRegistersInTheFaultButForAVault)
{
	ExpectFault(Touch, LYCH_FAULT_SEGV, 0x1230);
	EXPECT_EQ(lych_fault(domain)->gpr[5], 0x1230u); // rdi
	long r;
	ASSERT_EQ(harness_call(vault, Touch, 0x1230, &r, 0), -EFAULT);
	EXPECT_NE(lych_fault(vault)->rip, 0u);
	for (uint64_t reg : lych_fault(vault)->gpr) {
		EXPECT_EQ(reg, 0u);
	}
	EXPECT_EQ(lych_fault(vault)->nframes, 0);
}

__attribute__((noinline)) long Inner(long at)
{
	return *reinterpret_cast<volatile long *>(at) + 1;
}
__attribute__((noinline)) long Outer(long at)
{
	return Inner(at) + 1;
}

TEST_F(Calls, ThatFaultTellTheWayThere)
{
	ExpectFault(Outer, LYCH_FAULT_SEGV, 0x2000);
	const struct lych_fault *fault = lych_fault(domain);
	ASSERT_GE(fault->nframes, 2);
	EXPECT_GE(fault->frames[0], reinterpret_cast<uint64_t>(Inner));
	EXPECT_LT(fault->frames[0], reinterpret_cast<uint64_t>(Inner) + 64);
	EXPECT_GE(fault->frames[1], reinterpret_cast<uint64_t>(Outer));
	EXPECT_LT(fault->frames[1], reinterpret_cast<uint64_t>(Outer) + 64);
}

TEST_F(Calls, CanAskForWhatTheMediatorAllows)
{
	EXPECT_EQ(Call(Parent), 0);
	EXPECT_EQ(result, 4242);
	EXPECT_NE(syscall(SYS_getppid), 4242);
}

TEST_F(Calls, EndWhenTheirDomainIsCanceledOrPoisonedByAnotherThread)
{
	for (bool poison : {false, true}) {
		go = inside = false;
		harness_reset(domain);
		std::thread killer([poison] {
			while (!inside) {
				std::this_thread::yield();
			}
			long r;
			if (poison) {
				EXPECT_EQ(harness_call(domain, Undefined, 0, &r, 0), -EFAULT);
			} else {
				harness_cancel(domain, 0);
			}
		});
		EXPECT_EQ(Call(Spin), -ECANCELED);
		killer.join();
		EXPECT_EQ(lych_fault(domain)->kind, poison ? LYCH_FAULT_ILL : LYCH_FAULT_CANCELED);
	}
}

TEST_F(Calls, EndAtTheirDeadlineWhenTheKickComes)
{
	unsigned int before = harness_poisoned();
	std::thread kicker([before] {
		while (!inside) {
			std::this_thread::yield();
		}
		// a shoot-down elsewhere, or the timer
		for (int i = 0; i < 1000 && harness_poisoned() == before; i++) {
			std::this_thread::sleep_for(std::chrono::milliseconds(1));
			harness_kick(getpid());
		}
	});
	EXPECT_EQ(Call(Spin, 0, harness_now() + 1000000), -ETIMEDOUT);
	kicker.join();
	EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_DEADLINE);
	EXPECT_EQ(Call(Double, 1), -EOWNERDEAD);
}

TEST_F(Calls, EndAtADeadlineThatWasNoticedBeforeTheyGotInAndTheirDomainIsPoisoned)
{
	unsigned int before = harness_poisoned();
	std::thread killer([] {
		while (!inside) {
			std::this_thread::yield();
		}
		harness_time_out(domain, 0);
	});
	EXPECT_EQ(Call(Spin), -ETIMEDOUT);
	killer.join();
	EXPECT_EQ(harness_poisoned(), before + 1);
	EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_DEADLINE);
	EXPECT_EQ(Call(Double, 1), -EOWNERDEAD);
}

} // namespace
