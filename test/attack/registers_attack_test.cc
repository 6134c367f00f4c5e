/* SPDX-License-Identifier: Apache-2.0 */
// G1, G2: what goes across a gate in registers: secrets of the host into a domain; modes, flags and bases of a domain into the
// host.
#include "attack.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <signal.h>
#include <x86intrin.h>

extern "C" {
extern char attack_far_back[];
}
LYCH_BIND(domain, attack_dump, long, (void *, void *));
LYCH_BIND(domain, attack_flags, long, (unsigned long, long));
LYCH_BIND(domain, attack_fs, long, (uint64_t, long));
LYCH_BIND(domain, attack_gs, long, (long, long));
LYCH_BIND(domain, attack_x87, long, (long));
LYCH_BIND(domain, attack_far, long, (void *, void *));

namespace
{

class Registers : public OfEachKind
{
};

bool HostIsAsBefore(const inside &before)
{
	inside after;
	inside_look(&after);
	std::string text = inside_differences(&before, &after);
	EXPECT_EQ(text, "");
	return text.empty();
}

// ---- into the domain

struct dumped {
	uint64_t gpr[16];
	alignas(64) uint64_t image[1024];
};

long Found(const dumped *d)
{
	long n = 0;
	for (uint64_t one : d->gpr) {
		n += one == kSecret;
	}
	for (uint64_t one : d->image) {
		n += one == kSecret;
	}
	return n;
}

long ThroughTheGate(void *gpr, void *image)
{
	return LYCH_CALL(domain, nullptr, attack_dump, gpr, image);
}

TEST_P(Registers, HoldNoSecretsOfTheHostInADomain)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		auto *d = static_cast<dumped *>(lych_alloc_aligned(domain, 64, sizeof(dumped)));
		ASSERT_NE(d, nullptr);
		for (int i = 0; i < 2; i++) { // the first one makes the stack, by the slow way
			ASSERT_EQ(attack_fill(kSecret, ThroughTheGate, d->gpr, d->image), 0);
			EXPECT_NE(d->gpr[4], 0u) << "it has looked";
			EXPECT_EQ(Found(d), 0);
		}
		// the control: the same without a gate
		memset(d, 0, sizeof(*d));
		ASSERT_EQ(attack_fill(kSecret, attack_dump, d->gpr, d->image), 0);
		EXPECT_GE(Found(d), 6 + 16 * 4 + 8);
	});
}

// ---- modes

TEST_P(Registers, FlagsOfADomainAreNotTheHosts)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside before;
		inside_look(&before);
		// AC, DF, NT, all that a program can set but TF
		for (unsigned long flags : {0x40000ul, 0x400ul, 0x4000ul, 0x44400ul, 0x244cd5ul & ~0x100ul}) {
			long seen = 0;
			ASSERT_EQ(LYCH_CALL(domain, &seen, attack_flags, flags | 2, 1), 0);
			EXPECT_EQ(static_cast<unsigned long>(seen) & 0x44400, flags & 0x44400) << "the control: it had set them";
			EXPECT_EQ(__readeflags() & 0x44500, 0u);
			HostIsAsBefore(before);
		}
	});
}

TEST_P(Registers, TheTrapFlagEndsTheCallInTheDomain)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside before;
		inside_look(&before);
		EXPECT_EQ(LYCH_CALL(domain, nullptr, attack_flags, 0x102, 1), -EFAULT);
		ExpectFault(LYCH_FAULT_TRAP);
		EXPECT_EQ(lych_fault(domain)->signal, SIGTRAP);
		EXPECT_NE(lych_fault(domain)->rflags & 0x100, 0u);
		HostIsAsBefore(before);
		Anew();
	});
	// the control: the program itself is stepped
	int status = ChildStatus([] { (void)attack_flags(0x102, 1); });
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTRAP) << status;
}

TEST_P(Registers, FloatingPointModesOfADomainAreNotTheHosts)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside before;
		inside_look(&before);
		long result = 0;
		// an x87 exception that is pending and not masked: the next x87 instruction would raise it in the host
		ASSERT_EQ(LYCH_CALL(domain, &result, attack_x87, 0), 0);
		EXPECT_EQ(result, 7);
		__asm__ volatile("fwait\n fld1\n fstp %st(0)");
		HostIsAsBefore(before);
		// the control: raised inside it ends the call
		EXPECT_EQ(LYCH_CALL(domain, &result, attack_x87, 1), -EFAULT);
		ExpectFault(LYCH_FAULT_FPE);
		HostIsAsBefore(before);
		Anew();
		// SSE: all exceptions unmasked, rounding up
		Ended ended = Attack([](prey *) -> long {
			_mm_setcsr(0x4000);
			return _mm_getcsr();
		});
		EXPECT_EQ(ended.rc, 0);
		EXPECT_EQ(ended.result, 0x4000);
		EXPECT_EQ(_mm_getcsr(), 0x1f80u);
		HostIsAsBefore(before);
	});
	// the control: without a gate it is the host's
	int status = ChildStatus([] {
		(void)attack_x87(0);
		__asm__ volatile("fwait");
	});
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGFPE) << status;
}

// ---- bases and selectors

TEST_P(Registers, TheHostsThreadPointerIsBackHoweverADomainIsLeft)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		static thread_local int mine = 7;
		inside before;
		inside_look(&before);
		uint64_t bases[] = {0, 8, reinterpret_cast<uint64_t>(target->own), reinterpret_cast<uint64_t>(closed),
				    before.area, 0x00007ffffffff000};
		for (uint64_t base : bases) {
			long result = 0;
			for (long act : {0l, 2l}) { // returns; makes a system call first
				ASSERT_EQ(LYCH_CALL(domain, &result, attack_fs, base, act), 0);
				if (act == 0) {
					EXPECT_EQ(static_cast<uint64_t>(result), base) << "the control: it was in force";
				}
				EXPECT_EQ(mine, 7);
				HostIsAsBefore(before);
			}
			EXPECT_EQ(LYCH_CALL(domain, &result, attack_fs, base, 1), -EFAULT); // faults
			ExpectFault(LYCH_FAULT_ILL);
			EXPECT_EQ(mine, 7);
			HostIsAsBefore(before);
			Anew();
		}
		// no gate: it is the thread's
		EXPECT_EQ(static_cast<uint64_t>(attack_fs(bases[2], 3)), bases[2]);
	});
}

int bad_fs_handled;
pthread_t handled_by;

TEST_P(Registers, AHandlerOfTheHostHasItsThreadPointer)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		struct sigaction act = {};
		act.sa_handler = [](int) { // TLS and gates work in it
			bad_fs_handled++;
			handled_by = pthread_self();
			EXPECT_EQ(errno, 99);
		};
		ASSERT_EQ(sigaction(SIGUSR1, &act, nullptr), 0);
		errno = 99;
		pthread_t self = pthread_self();
		prey *aim = target;
		Ended ended = {};
		// another thread of the host sends it while this one spins with a thread pointer of its own
		pthread_t sender;
		static pthread_t whom;
		whom = self;
		ASSERT_EQ(pthread_create(
				  &sender, nullptr,
				  [](void *at) -> void * {
					  auto *p = static_cast<prey *>(at);
					  while (__atomic_load_n(&p->more[0], __ATOMIC_SEQ_CST) == 0) {
						  sched_yield();
					  }
					  pthread_kill(whom, SIGUSR1);
					  while (__atomic_load_n(&bad_fs_handled, __ATOMIC_SEQ_CST) == 0) {
						  sched_yield();
					  }
					  __atomic_store_n(&p->more[1], 1, __ATOMIC_SEQ_CST);
					  return nullptr;
				  },
				  aim),
			  0);
		ended = Attack([](prey *p) -> long {
			__asm__ volatile("wrfsbase %0\n movq $1, (%1)\n1: pause\n cmpq $0, 8(%1)\n je 1b" ::"r"(p->own), "r"(&p->more[0])
					 : "memory", "cc");
			return 5;
		});
		pthread_join(sender, nullptr);
		EXPECT_EQ(ended.rc, 0);
		EXPECT_EQ(ended.result, 5);
		EXPECT_EQ(bad_fs_handled, 1);
		EXPECT_TRUE(pthread_equal(handled_by, self));
	});
}

// Before 6.12 the outcome may be the end of the process: without gs there is no record to go by.
TEST_P(Registers, AFlatGsEndsTheCallOrTheProcessAndGivesNothing)
{
	auto *taken = static_cast<uint64_t *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	for (long selector : {0x2bl, 0x23l, 0x33l, 0l, 3l}) {
		for (long act : {0l, 1l, 2l}) {
			int status = ChildStatus([&] {
				ASSERT_TRUE(Start(GetParam()));
				inside before;
				inside_look(&before);
				long result = 0;
				int rc = LYCH_CALL(domain, &result, attack_gs, selector, act);
				// a system call may go by the monitor, which gives the base back
				EXPECT_TRUE(rc == -EFAULT || (rc == 0 && act == 2)) << "gs " << selector << ", act " << act << ": " << rc;
				HostIsAsBefore(before);
				*taken += RegionHolds() != kSecret;
			});
			bool ended = WIFSIGNALED(status) &&
				     (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGSYS);
			EXPECT_TRUE(status == 0 || (On61() && ended)) << "gs " << selector << ", act " << act << ": " << status;
			EXPECT_EQ(*taken, 0u);
		}
	}
	// the control: where no gate reads it the base is 0 after that
	IN_A_CHILD({
		ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, taken), 0);
		EXPECT_EQ(attack_gs(0x2b, 0), 0);
	});
}

// ---- row 20: other ways into the kernel

// 32-bit code below 4 GiB, as a program that is not position-independent has: getpid of the i386 table, and back.
unsigned char *LowCode(const char *entry)
{
	auto *at = static_cast<unsigned char *>(
		mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
	if (at == MAP_FAILED) {
		return nullptr;
	}
	// mov $20, %eax; int $0x80 (or sysenter); ljmp *stub; stub: 64-bit: movabs $back, %rcx; jmp *%rcx
	unsigned char code[] = {0xb8, 20, 0, 0, 0, static_cast<unsigned char>(entry[0]), static_cast<unsigned char>(entry[1]),
				0xea, 0, 0, 0, 0, 0x33, 0, 0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe1};
	uint32_t stub = static_cast<uint32_t>(reinterpret_cast<uint64_t>(at)) + 14;
	uint64_t back = reinterpret_cast<uint64_t>(attack_far_back);
	memcpy(code + 8, &stub, 4);
	memcpy(code + 16, &back, 8);
	memcpy(at, code, sizeof(code));
	return mprotect(at, 4096, PROT_READ | PROT_EXEC) == 0 ? at : nullptr;
}

TEST_P(Registers, CompatibilityModeMakesNoSystemCalls)
{
	IN_A_CHILD({
		unsigned char *code = LowCode("\xcd\x80");
		ASSERT_NE(code, nullptr);
		ASSERT_TRUE(Start(GetParam()));
		long result = 0;
		ASSERT_EQ(LYCH_CALL(domain, &result, attack_far, code, nullptr), 0);
		EXPECT_EQ(static_cast<int>(result), -EPERM);
		lych_refusal list[4];
		ASSERT_EQ(lych_refused(domain, list, 4), 1u);
		EXPECT_EQ(list[0].nr, 20);
		EXPECT_TRUE(list[0].foreign);
		EXPECT_EQ(list[0].rip, reinterpret_cast<uint64_t>(code) + 7);
	});
	IN_A_CHILD({ // the control
		unsigned char *code = LowCode("\xcd\x80");
		ASSERT_NE(code, nullptr);
		EXPECT_EQ(static_cast<int>(attack_far(code, nullptr)), getpid());
	});
}

// SYSENTER and the 32-bit SYSCALL return to a place in a vDSO that a 64-bit process does not have; but the call is made first.
// Here write(fd, "made", 4) of the i386 table. ebp is the second argument of the one, and the stack of the other.
unsigned char *LowEntry(const char *entry, int fd)
{
	auto *at = static_cast<unsigned char *>(
		mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
	if (at == MAP_FAILED) {
		return nullptr;
	}
	unsigned char code[] = {0xb8, 4, 0, 0, 0, 0xbb, 0, 0, 0, 0, 0xb9, 0, 0, 0, 0, 0xba, 4, 0, 0, 0, 0x89, 0xcd, 0x89, 0xec,
				static_cast<unsigned char>(entry[0]), static_cast<unsigned char>(entry[1]), 0x0f, 0x0b};
	auto text = static_cast<uint32_t>(reinterpret_cast<uint64_t>(at)) + 4096;
	memcpy(code + 6, &fd, 4);
	memcpy(code + 11, &text, 4);
	memcpy(at, code, sizeof(code));
	memcpy(at + 4096, "made", 5);
	return mprotect(at, 4096, PROT_READ | PROT_EXEC) == 0 ? at : nullptr;
}

bool Made(int fd)
{
	char text[8] = "";
	return read(fd, text, sizeof(text)) == 4 && strcmp(text, "made") == 0;
}

TEST_P(Registers, NorBySysenter)
{
	int controls = 0;
	for (const char *entry : {"\x0f\x34", "\x0f\x05"}) {
		int pipe[2];
		ASSERT_EQ(pipe2(pipe, O_NONBLOCK), 0);
		IN_A_CHILD({
			unsigned char *code = LowEntry(entry, pipe[1]);
			ASSERT_NE(code, nullptr);
			ASSERT_TRUE(Start(GetParam()));
			inside before;
			inside_look(&before);
			long result = 0;
			int rc = LYCH_CALL(domain, &result, attack_far, code, nullptr);
			EXPECT_EQ(rc, -EFAULT);
			HostIsAsBefore(before);
			lych_refusal list[4];
			size_t n = lych_refused(domain, list, 4);
			for (size_t i = 0; i < n; i++) {
				EXPECT_TRUE(list[i].foreign);
				EXPECT_EQ(list[i].nr, 4);
			}
			Anew();
		});
		EXPECT_FALSE(Made(pipe[0]));
		// the control: the kernel makes it, and then the process is lost
		int status = ChildStatus([&] {
			unsigned char *code = LowEntry(entry, pipe[1]);
			if (code != nullptr) {
				(void)attack_far(code, nullptr);
			}
		});
		EXPECT_TRUE(WIFSIGNALED(status)) << status;
		controls += Made(pipe[0]);
		close(pipe[0]);
		close(pipe[1]);
	}
	EXPECT_GT(controls, 0) << "a processor has one of the two in compatibility mode";
}

TEST_P(Registers, X32AndInt80AreOtherTables)
{
	attack_fn x32 = [](prey *) -> long { return raw(0x40000000 | SYS_getpid); };
	attack_fn int80 = [](prey *) -> long {
		long rc;
		__asm__ volatile("int $0x80" : "=a"(rc) : "a"(20l) : "memory", "r8", "r9", "r10", "r11");
		return static_cast<int>(rc);
	};
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		EXPECT_EQ(Attack(x32).result, -EPERM);
		EXPECT_EQ(Attack(int80).result, -EPERM);
		lych_refusal list[4];
		ASSERT_EQ(lych_refused(domain, list, 4), 2u);
		EXPECT_TRUE(list[0].foreign && list[1].foreign);
		EXPECT_EQ(list[1].nr, 20);
	});
	// the controls: without the runtime the kernel answers, if it has the table
	IN_A_CHILD({
		EXPECT_EQ(int80(nullptr), getpid());
		long rc = x32(nullptr);
		EXPECT_TRUE(rc == getpid() || rc == -ENOSYS) << rc;
	});
}

// The floor: what a domain would have got on a thread that is not dispatched ends the process.
TEST_F(NeedsPku, WithoutDispatchTheFloorStopsThem)
{
	int status = ChildStatus([] {
		ASSERT_TRUE(Start());
		long rc;
		__asm__ volatile("int $0x80" : "=a"(rc) : "a"(20l) : "memory", "r8", "r9", "r10", "r11");
		ADD_FAILURE() << "the host's int $0x80 gave " << rc;
	});
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
}

OF_EACH_KIND(Registers);

} // namespace
