/* SPDX-License-Identifier: Apache-2.0 */
// G2, G6: modes of the machine that a domain sets and then enters the host by every other way than its return: system calls,
// faults, signals, callbacks; in compatibility mode, with any stack pointer, and two threads at once.
#include "attack.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <x86intrin.h>

#include <atomic>
#include <thread>

extern "C" {
extern char lych_call_returns_pku[] __attribute__((visibility("hidden")));
extern char attack_far_back[];
void host_looks(void);
}
LYCH_CALLBACK(host_looks, void, (void));
LYCH_BIND(domain, attack_flags_act, long, (unsigned long, long));
LYCH_BIND(domain, attack_segments, long, (long, long));
LYCH_BIND(domain, attack_far, long, (void *, void *));

namespace
{

class Machine : public OfEachKind
{
};

thread_local int mine = 7;
struct looked {
	uint64_t flags, mxcsr, fcw, fs;
	uint32_t pkru;
	int count, mine;
	double quotient;
} looked;
volatile double zero;

} // namespace

// Of the host, wherever it was called from.
extern "C" void host_looks(void)
{
	uint16_t fcw;
	looked.count++;
	looked.flags = __readeflags() & 0x44500;
	looked.mxcsr = _mm_getcsr();
	__asm__ volatile("fwait\n fnstcw %0" : "=m"(fcw));
	looked.fcw = fcw;
	looked.mine = mine;
	looked.fs = reinterpret_cast<uint64_t>(__builtin_thread_pointer());
	volatile long double divided = 1.0L / static_cast<long double>(zero); // traps where exceptions are not masked
	looked.quotient = 1.0 / zero + static_cast<double>(divided);
	inside state;
	inside_look(&state);
	looked.pkru = state.pkru;
}

namespace
{

void ExpectHosts(const inside &before, int count)
{
	EXPECT_EQ(looked.count, count);
	EXPECT_EQ(looked.flags, 0u) << "AC, NT, DF, TF";
	EXPECT_EQ(looked.mxcsr & ~0x3fu, 0x1f80u);
	EXPECT_EQ(looked.fcw, 0x37fu);
	EXPECT_EQ(looked.mine, 7);
	EXPECT_EQ(looked.fs, before.fs);
	EXPECT_FALSE(inside_rights(looked.pkru, lych_region_key(region)));
}

void ExpectAsBefore(const inside &before)
{
	inside after;
	inside_look(&after);
	EXPECT_STREQ(inside_differences(&before, &after), "");
	EXPECT_EQ(mine, 7);
}

// ---- flags

TEST_P(Machine, FlagsSurviveASystemCallAndReachNobodyElse)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside before;
		inside_look(&before);
		for (unsigned long flags : {0x40002ul, 0x402ul, 0x4002ul, 0x44402ul, 0x200002ul, 0x100002ul, 0x80002ul, 0x1ffful & ~0x100ul}) {
			long seen = 0;
			ASSERT_EQ(LYCH_CALL(domain, &seen, attack_flags_act, flags, 2), 0) << std::hex << flags;
			EXPECT_EQ(static_cast<unsigned long>(seen) & 0x44400, flags & 0x44400) << "the control: its own are back";
			ExpectAsBefore(before);
			EXPECT_EQ(LYCH_CALL(domain, &seen, attack_flags_act, flags, 1), -EFAULT);
			ExpectFault(LYCH_FAULT_ILL);
			EXPECT_EQ(lych_fault(domain)->rflags & 0x44400, flags & 0x44400);
			ExpectAsBefore(before);
			Anew();
		}
		// TF: the trap of the system call ends it, as any does
		for (long act : {0l, 1l, 2l}) {
			long seen = 0;
			EXPECT_EQ(LYCH_CALL(domain, &seen, attack_flags_act, 0x102, act), -EFAULT);
			ExpectFault(LYCH_FAULT_TRAP);
			ExpectAsBefore(before);
			Anew();
		}
	});
}

// Everything at once: flags, both control words with what is pending, fs; then the host is entered.
template <int way> long Disorder(prey *p)
{
	__asm__ volatile("wrfsbase %0\n"
			 "fninit\n pushq $0x340\n fldcw (%%rsp)\n pop %%rax\n fldz\n fldz\n fdivrp %%st, %%st(1)\n"
			 "pushq $0x6040\n ldmxcsr (%%rsp)\n pop %%rax\n"
			 "pushq $0x44402\n popfq"
			 :
			 : "r"(p->own)
			 : "rax", "memory", "cc");
	if (way == 0) {
		// a callback; no C between: DF is set
		__asm__ volatile("mov %%rsp, %%rbx\n and $-16, %%rsp\n call *%0\n mov %%rbx, %%rsp" ::"r"(p->more[1])
				 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	} else {
		__asm__ volatile("movq $1, (%0)\n1: pause\n cmpq $0, 8(%0)\n je 1b" ::"r"(&p->more[2]) : "memory", "cc");
	}
	uint64_t flags;
	uint32_t mxcsr = 0;
	__asm__ volatile("pushfq\n pop %0\n pushq $2\n popfq\n fnclex\n fninit" : "=r"(flags));
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	return static_cast<long>((flags & 0x44400) | (static_cast<uint64_t>(mxcsr) << 32));
}

TEST_P(Machine, ACallbackIsEnteredInTheHostsModes)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		void (*fn)(void) = nullptr;
		ASSERT_EQ(lych_callback(&fn, domain, host_looks, nullptr), 0);
		inside before;
		inside_look(&before);
		LYCH_WRITE(uint64_t, open, region)
		{
			EXPECT_EQ(*open, kSecret);
			target->more[1] = reinterpret_cast<uint64_t>(fn);
			long result = 0;
			ASSERT_EQ(LYCH_CALL(domain, &result, attack_do, Disorder<0>, target), 0);
			ExpectHosts(before, 1);
			EXPECT_EQ(static_cast<uint64_t>(result) >> 32, 0x6040u) << "the domain's own modes were back";
		}
		ExpectAsBefore(before);
	});
}

TEST_P(Machine, AHandlerOfTheHostIsEnteredInTheHostsModes)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		static prey *told;
		told = target;
		struct sigaction act = {};
		act.sa_handler = [](int) {
			if (inside_interrupted_domain() && __atomic_load_n(&told->more[2], __ATOMIC_SEQ_CST) == 1) {
				host_looks();
				__atomic_store_n(&told->more[3], 1, __ATOMIC_SEQ_CST);
			}
		};
		ASSERT_EQ(sigaction(SIGALRM, &act, nullptr), 0);
		struct itimerval soon = {{0, 5000}, {0, 5000}}, never = {};
		inside before;
		inside_look(&before);
		setitimer(ITIMER_REAL, &soon, nullptr);
		long result = 0;
		ASSERT_EQ(LYCH_CALL(domain, &result, attack_do, Disorder<1>, target), 0);
		setitimer(ITIMER_REAL, &never, nullptr);
		EXPECT_GE(looked.count, 1);
		ExpectHosts(before, looked.count);
		EXPECT_EQ(static_cast<uint64_t>(result) >> 32, 0x6040u) << "the domain's own modes were back";
		EXPECT_EQ(static_cast<uint64_t>(result) & 0x44400, 0x44400u);
		ExpectAsBefore(before);
	});
}

// The control of both: without a gate it is all in force where it goes.
TEST_F(NeedsPku, ModesReachWhoeverIsCalledWithoutAGate)
{
	int status = ChildStatus([] {
		prey *p = Bare();
		p->more[1] = reinterpret_cast<uint64_t>(reinterpret_cast<void *>(+[]() { __asm__ volatile("fwait"); }));
		(void)Disorder<0>(p);
	});
	EXPECT_TRUE(WIFSIGNALED(status)) << status;
}

// ---- segment registers

TEST_P(Machine, SegmentRegistersOfADomainHurtNobody)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside before;
		inside_look(&before);
		for (long selector : {0l, 3l, 0x2bl, 0x23l, 0x33l}) {
			for (long act : {0l, 2l, 1l}) {
				long result = 0;
				int rc = LYCH_CALL(domain, &result, attack_segments, selector, act);
				EXPECT_EQ(rc, act == 1 ? -EFAULT : 0) << selector << ", " << act;
				if (act == 0) {
					EXPECT_EQ(result, selector) << "the control: it was loaded";
				}
				ExpectAsBefore(before);
				// and it stays so when the thread is switched, forks and makes others
				sched_yield();
				std::thread([&] { EXPECT_EQ(mine, 7); }).join();
				pid_t child = fork();
				if (child == 0) {
					_exit(mine == 7 ? 0 : 1);
				}
				EXPECT_EQ(WaitStatus(child), 0);
				ExpectAsBefore(before);
				if (act == 1) {
					Anew();
				}
			}
		}
		// selectors that a program must not load end the call
		for (long selector : {0x10l, 0x18l, 0x40l, 0x7l, 0xffffl}) {
			EXPECT_EQ(LYCH_CALL(domain, nullptr, attack_segments, selector, 0), -EFAULT) << selector;
			ExpectFault(LYCH_FAULT_SEGV);
			ExpectAsBefore(before);
			Anew();
		}
	});
}

// ---- compatibility mode, interrupted

struct low {
	unsigned char code[64];
	volatile uint32_t ready, over;
};

// In 32 bits: ready := 1; until over is not 0; eax := 0x1234; back.
low *LowSpin(bool fault)
{
	auto *at = static_cast<low *>(
		mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
	if (at == MAP_FAILED) {
		return nullptr;
	}
	auto *flags = reinterpret_cast<uint32_t *>(reinterpret_cast<char *>(at) + 4096); // 0 ready, 1 over
	unsigned char code[] = {0x83, 0x3d, 0, 0, 0, 0, 0,       // cmpl $0, over
				0x74, 0xf7,                      // je back
				0xb8, 0x34, 0x12, 0, 0,          // mov $0x1234, %eax
				0xea, 0, 0, 0, 0, 0x33, 0,       // ljmp *stub
				0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe1};
	auto over = static_cast<uint32_t>(reinterpret_cast<uint64_t>(flags + 1));
	auto stub = static_cast<uint32_t>(reinterpret_cast<uint64_t>(at)) + 21;
	uint64_t back = reinterpret_cast<uint64_t>(attack_far_back);
	memcpy(code + 2, &over, 4);
	memcpy(code + 15, &stub, 4);
	memcpy(code + 23, &back, 8);
	if (fault) {
		code[9] = 0x0f;
		code[10] = 0x0b;
	}
	memcpy(at, code, sizeof(code));
	return mprotect(at, 4096, PROT_READ | PROT_EXEC) == 0 ? at : nullptr;
}

TEST_P(Machine, CompatibilityModeIsInterruptedAndGoesOn)
{
	for (bool fault : {false, true}) {
		IN_A_CHILD({
			low *code = LowSpin(fault);
			ASSERT_NE(code, nullptr);
			static volatile uint32_t *over;
			over = reinterpret_cast<uint32_t *>(reinterpret_cast<char *>(code) + 4096) + 1;
			ASSERT_TRUE(Start(GetParam()));
			struct sigaction act = {};
			static int interrupted;
			act.sa_handler = [](int) {
				if (inside_interrupted_domain()) {
					host_looks();
					if (++interrupted == 3) {
						*over = 1;
					}
				}
			};
			ASSERT_EQ(sigaction(SIGALRM, &act, nullptr), 0);
			struct itimerval soon = {{0, 5000}, {0, 5000}}, never = {};
			inside before;
			inside_look(&before);
			setitimer(ITIMER_REAL, &soon, nullptr);
			long result = 0;
			int rc = LYCH_CALL(domain, &result, attack_far, code, nullptr);
			setitimer(ITIMER_REAL, &never, nullptr);
			EXPECT_EQ(rc, fault ? -EFAULT : 0);
			EXPECT_EQ(result, fault ? 0 : 0x1234);
			if (fault) {
				ExpectFault(LYCH_FAULT_ILL);
				EXPECT_EQ(lych_fault(domain)->rip, reinterpret_cast<uint64_t>(code) + 9) << "it was there";
			}
			EXPECT_GE(interrupted, 3);
			ExpectHosts(before, looked.count);
			ExpectAsBefore(before);
		});
	}
}

// ---- the way back with any stack pointer but its own (the control is gate_attack_test's: with that it is a return)

TEST_P(Machine, AReturnIsTakenWithNoOtherStackPointer)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		static uint64_t program[64];
		inside state;
		inside_look(&state);
		uint64_t stacks[] = {0, 1, 7, 8, 4096, ~0ull, ~7ull, (1ull << 47) - 8, 1ull << 47, 1ull << 63, ~0ull << 47,
				     reinterpret_cast<uint64_t>(program), reinterpret_cast<uint64_t>(&state),
				     reinterpret_cast<uint64_t>(victims) + 64, reinterpret_cast<uint64_t>(closed) + 64, state.area + 64,
				     state.records + 512, state.sig_stack, state.altstack + 64,
				     state.altstack + state.altstack_bytes, state.sig_rsp};
		for (uint64_t rsp : stacks) {
			auto *frame = reinterpret_cast<jump *>(target->own + 4096);
			memset(frame, 0, sizeof(*frame));
			frame->rip = reinterpret_cast<uint64_t>(lych_call_returns_pku);
			frame->rflags = 0x202;
			frame->rsp = rsp;
			EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, model_jump, frame), -EFAULT) << std::hex << rsp;
			ExpectFault(LYCH_FAULT_GATE);
			ExpectAsBefore(state);
			Anew();
			EXPECT_EQ(RegionHolds(), kSecret);
			EXPECT_EQ(*victims, kSecret);
		}
	});
}

// ---- a flat gs in one thread, while another one gets a signal

// With a flat gs rsp names the thread, as the entry has it; so this one names another.
long TakesAFrame(prey *p)
{
	while (__atomic_load_n(&p->more[0], __ATOMIC_SEQ_CST) == 0) {
	}
	for (volatile uint64_t i = 0; i < p->more[4]; i = i + 1) {
	}
	__asm__ volatile("mov $0x2b, %%eax\n mov %%eax, %%gs\n mov %0, %%rsp\n jmp *%1" ::"r"(p->more[1]), "r"(p->more[2]) : "rax", "memory");
	return 0;
}

long AsksWhenTold(prey *p)
{
	__atomic_store_n(&p->more[0], 1, __ATOMIC_SEQ_CST);
	return raw(SYS_getpid);
}

// A thread whose frame is taken ends the process. More it is not. A thread of the program's that is in no domain can be met, too.
TEST_P(Machine, AFlatGsTakesNoFrameOfAnotherThreadAndGoesOn)
{
	int ends = 0, rounds = On61() ? 2 : 10;
	for (int round = 0; round < rounds; round++) {
		int status = ChildStatus([&] {
			ASSERT_TRUE(Start(GetParam()));
			std::atomic<int> phase{0};
			static prey *aim;
			aim = target;
			uint64_t at = 0;
			long result = 0;
			int rc = 1, thief = 1;
			std::thread other([&] {
				inside mine_now;
				ASSERT_EQ(lych_attach(), 0);
				inside_look(&mine_now);
				at = mine_now.sig_rsp != 0 ? mine_now.sig_rsp : mine_now.altstack + mine_now.altstack_bytes / 2;
				phase = 1;
				while (phase != 2) {
					sched_yield();
				}
				rc = LYCH_CALL(domain, &result, attack_do, AsksWhenTold, aim);
			});
			while (phase != 1) {
				sched_yield();
			}
			inside before, after;
			inside_look(&before);
			target->more[1] = at;
			target->more[2] = inside_entry();
			target->more[4] = static_cast<uint64_t>(700 + round * 280);
			phase = 2;
			thief = LYCH_CALL_TIMEOUT(domain, 20000, nullptr, attack_do, TakesAFrame, target);
			inside_look(&after);
			other.join();
			EXPECT_EQ(thief, -EFAULT);
			EXPECT_TRUE(rc == 0 || rc == -ECANCELED || rc == -EOWNERDEAD) << rc;
			EXPECT_STREQ(inside_differences(&before, &after), "");
			EXPECT_EQ(RegionHolds(), kSecret);
		});
		bool ended = WIFSIGNALED(status) &&
			     (WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGSYS);
		EXPECT_TRUE(status == 0 || ended) << status;
		ends += ended;
	}
	printf("%d of %d ended the process\n", ends, rounds);
}

OF_EACH_KIND(Machine);

} // namespace
