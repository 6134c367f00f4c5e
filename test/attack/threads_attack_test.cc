/* SPDX-License-Identifier: Apache-2.0 */
// G5, G6, G8: several threads of a domain against each other's calls, and tasks that would share what a thread has.
#include "attack.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <ucontext.h>

#include <string>
#include <thread>

extern "C" {
extern char lych_call_returns_pku[] __attribute__((visibility("hidden")));
extern const ptrdiff_t __rseq_offset __attribute__((weak));
void rseq_loop(volatile long *stop);
extern char rseq_start[], rseq_end[], rseq_abort[];
extern volatile long rseq_diverted;
}

namespace
{

class Threads : public OfEachKind
{
};

// ---- row 25: tasks that share memory with their parent

// What it is: which gs, and whether its calls reach the kernel.
long Child(void *at)
{
	auto *p = static_cast<prey *>(at);
	uint64_t gs;
	__asm__ volatile("rdgsbase %0" : "=r"(gs));
	p->more[1] = gs;
	p->more[2] = static_cast<uint64_t>(raw(SYS_gettid));
	__atomic_store_n(&p->more[0], 1, __ATOMIC_SEQ_CST);
	return 0;
}

long Clones(prey *p)
{
	return attack_clone(static_cast<long>(p->more[3]), p->own + kOwn - 64, Child, p);
}

constexpr unsigned long kShared[] = {
	CLONE_VM | SIGCHLD,
	CLONE_VM | CLONE_VFORK | SIGCHLD,
	CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
	CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
	CLONE_VM | CLONE_PARENT | SIGCHLD,
};

volatile char selector;
volatile sig_atomic_t dispatched;

TEST_P(Threads, ThatShareGsAreNotMadeByADomain)
{
	for (unsigned long flags : kShared) {
		IN_A_CHILD({
			ASSERT_TRUE(Start(GetParam()));
			target->more[3] = flags;
			Ended ended = Attack(Clones);
			EXPECT_EQ(ended.rc, 0);
			EXPECT_EQ(ended.result, -EPERM);
			EXPECT_EQ(target->more[0], 0u) << "nobody ran";
		});
		// the control: the child has its parent's gs, and, unlike its parent, is not dispatched
		IN_A_CHILD({
			prey *p = Bare();
			p->more[3] = flags;
			ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, p->own), 0);
			struct sigaction act = {};
			act.sa_sigaction = [](int, siginfo_t *info, void *context) {
				selector = 0;
				dispatched = dispatched + 1;
				auto *uc = static_cast<ucontext_t *>(context);
				auto &rax = uc->uc_mcontext.gregs[REG_RAX];
				if (info->si_syscall != SYS_clone) {
					rax = -EPERM;
					return;
				}
				rax = SYS_clone; // again, with the selector open
				uc->uc_mcontext.gregs[REG_RIP] -= 2;
			};
			act.sa_flags = SA_SIGINFO;
			ASSERT_EQ(sigaction(SIGSYS, &act, nullptr), 0);
			ASSERT_EQ(prctl(59, 1, 0, 0, &selector), 0);
			selector = 1;
			EXPECT_EQ(raw(SYS_gettid), -EPERM) << "the parent is dispatched";
			long child = Clones(p);
			EXPECT_GT(child, 0);
			EXPECT_EQ(dispatched, 1);
			selector = 1; // for the child, too, if it were
			while (__atomic_load_n(&p->more[0], __ATOMIC_SEQ_CST) == 0) {
			}
			selector = 0;
			prctl(59, 0, 0, 0, 0);
			EXPECT_EQ(static_cast<long>(p->more[2]), child) << "its system call reached the kernel";
			EXPECT_EQ(p->more[1], reinterpret_cast<uint64_t>(p->own)) << "and it has the same gs";
		});
	}
}

// A child whose page is zero grants nothing at the gate's sites, and no gate.
TEST_P(Threads, AGatePageOfZerosOpensNothing)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		pid_t child = static_cast<pid_t>(syscall(SYS_fork)); // no fork handler sees it
		if (child == 0) {
			long result = 0;
			attack_fn nothing = [](prey *) -> long { return 1; };
			int rc = LYCH_CALL(domain, &result, attack_do, nothing, target);
			raw(SYS_exit_group, rc == -EPERM ? 33 : 34);
		}
		int status = WaitStatus(child);
		EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 33) << status;
		// a zeroed copy: the sites compare with it, and let nothing through but "all denied"
		for (uint64_t wanted : {0ull, 0x55555550ull}) {
			child = fork();
			if (child == 0) {
				void *zeros = mmap(nullptr, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
				raw(SYS_arch_prctl, ARCH_SET_GS, lng(zeros));
				__asm__ volatile("mov %0, %%rax\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n jmp *%1" ::"r"(wanted),
						 "r"(lych_call_returns_pku)
						 : "rax", "rcx", "rdx", "memory");
			}
			status = WaitStatus(child);
			EXPECT_TRUE(WIFSIGNALED(status)) << status;
			EXPECT_TRUE(WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGILL) << status;
		}
		// the control: the same thread with its own page
		EXPECT_EQ(Attack([](prey *) -> long { return 1; }).rc, 0);
	});
}

// ---- row 7: rseq

long Plants(prey *p)
{
	// a descriptor in memory of its own, and its address where glibc's area says what runs now
	auto *words = reinterpret_cast<uint64_t *>(p->own);
	words[0] = 0;
	words[1] = p->more[1];
	words[2] = p->more[2];
	words[3] = p->more[3];
	*reinterpret_cast<volatile uint64_t *>(p->more[0] + 8) = reinterpret_cast<uint64_t>(words);
	return 0;
}

void Aim(prey *p)
{
	p->more[0] = reinterpret_cast<uint64_t>(__builtin_thread_pointer()) + static_cast<uint64_t>(__rseq_offset);
	p->more[1] = reinterpret_cast<uint64_t>(rseq_start);
	p->more[2] = static_cast<uint64_t>(rseq_end - rseq_start);
	p->more[3] = reinterpret_cast<uint64_t>(rseq_abort);
}

volatile long stop;

TEST_P(Threads, CannotPlantARestartableSequenceOverCodeOfTheHost)
{
	if (&__rseq_offset == nullptr) {
		GTEST_SKIP() << "this C library registers none";
	}
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		Aim(target);
		EXPECT_EQ(Attack(Plants).rc, Pure() ? -EFAULT : 0) << "in the program's memory, which one kind can write";
		if (Pure()) {
			ExpectFault(LYCH_FAULT_KEY, "host");
			Anew();
			Aim(target);
			Plants(target); // as if it could
		}
		struct sigaction act = {};
		act.sa_handler = [](int) { stop = stop + 1; };
		sigaction(SIGALRM, &act, nullptr);
		struct itimerval soon = {{0, 2000}, {0, 2000}};
		setitimer(ITIMER_REAL, &soon, nullptr);
		rseq_loop(&stop); // until ten signals have come
		EXPECT_GE(stop, 10);
		EXPECT_EQ(rseq_diverted, 0);
		alignas(32) static char area[32];
		EXPECT_EQ(raw(SYS_rseq, lng(area), 32, 0, 0x53053053), 0) << "an attached thread has none";
		EXPECT_EQ(raw(SYS_rseq, lng(area), 32, 1, 0x53053053), 0);
	});
	// the control: the kernel goes where the descriptor says
	IN_A_CHILD({
		prey *p = Bare();
		Aim(p);
		alignas(32) static char area[32];
		EXPECT_LT(raw(SYS_rseq, lng(area), 32, 0, 0x53053053), 0) << "registered by glibc";
		Plants(p);
		struct sigaction act = {};
		act.sa_handler = [](int) { stop = stop + 1; };
		sigaction(SIGALRM, &act, nullptr);
		struct itimerval soon = {{0, 2000}, {0, 2000}};
		setitimer(ITIMER_REAL, &soon, nullptr);
		rseq_loop(&stop);
		EXPECT_EQ(rseq_diverted, 1);
	});
}

// ---- row 5: a frame is changed by another thread of the domain while the monitor works on it

long MakesCalls(prey *p)
{
	long wrong = 0;
	for (int i = 0; i < 4000; i++) {
		wrong += raw(SYS_getpid) != p->pid;
	}
	__atomic_store_n(&p->more[7], 1, __ATOMIC_SEQ_CST);
	return wrong;
}

// Everywhere that a word looks like the context's rip, the place where it may read the secret.
long Tampers(prey *p)
{
	auto *words = reinterpret_cast<volatile uint64_t *>(p->more[0]);
	size_t n = p->more[1] / 8;
	for (long round = 0; __atomic_load_n(&p->more[7], __ATOMIC_SEQ_CST) == 0; round++) {
		for (size_t i = 0; i < n; i++) {
			uint64_t word = words[i];
			if (word == 0x33 || word == 0x002b000000000033ull) {
				words[i - 2] = reinterpret_cast<uint64_t>(&model_landed); // cs is behind rip and flags
			} else if (word >> 32 == 0x55555555 || (word & 0xffffffff) == 0x55555554) {
				words[i] = 0; // PKRU
			}
		}
	}
	return 0;
}

// Frames that no kernel wrote: of zeros, of ones, and with each word another.
long Destroys(prey *p)
{
	auto *words = reinterpret_cast<volatile uint64_t *>(p->more[0]);
	size_t n = p->more[1] / 8;
	uint64_t with = p->more[2];
	while (__atomic_load_n(&p->more[7], __ATOMIC_SEQ_CST) == 0) {
		for (size_t i = 0; i < n; i++) {
			words[i] = with;
			with = p->more[2] == 2 ? with * 6364136223846793005u + 1442695040888963407u : with;
		}
	}
	return 0;
}

TEST_P(Threads, ThatTamperWithFramesOfTheDomainGainNoRights)
{
	for (int round = 0; round < 8; round++) {
		IN_A_CHILD({
			ASSERT_TRUE(Start(GetParam()));
			inside state, before, after;
			inside_look(&state);
			model_loot = reinterpret_cast<loot *>(target->own);
			memset(target->own, 0, 4096);
			model_loot->read = closed;
			model_loot->write = target->own + 256;
			target->more[0] = state.altstack;
			target->more[1] = state.altstack_bytes;
			target->more[2] = round % 3 == 0 ? 0 : round % 3 == 1 ? ~0ull : 2;
			int tamper = 1;
			std::thread second([&] {
				tamper = LYCH_CALL(domain, nullptr, attack_do, round < 2 ? Tampers : Destroys, target);
			});
			inside_look(&before);
			long result = 0;
			int rc = LYCH_CALL(domain, &result, attack_do, MakesCalls, target);
			inside_look(&after);
			__atomic_store_n(&target->more[7], 1, __ATOMIC_SEQ_CST);
			second.join();
			if (state.frames_whole) {
				// 6.12: the frames are the monitor's, so the tamperer ends the domain's calls
				EXPECT_EQ(tamper, -EFAULT);
				EXPECT_STREQ(lych_fault(domain)->owner, "monitor");
				EXPECT_TRUE(rc == -ECANCELED || rc == -EOWNERDEAD || rc == 0) << rc;
			} else {
				// before: the domain's registers are the tamperer's, its rights are the domain's
				EXPECT_TRUE(rc == 0 || rc == -EFAULT || rc == -ECANCELED) << rc;
			}
			EXPECT_NE(model_loot->taken, kSecret);
			EXPECT_EQ(RegionHolds(), kSecret);
			EXPECT_STREQ(inside_differences(&before, &after), "");
		});
	}
}

// The control is the kernel's: without the runtime a frame that is changed while its handler runs gives its rights away.
TEST_F(NeedsPku, ThatTamperWithFramesOfTheBareKernelGainThem)
{
	IN_A_CHILD({
		static prey *p;
		p = Bare();
		static volatile int phase;
		static uint64_t *frame;
		struct sigaction act = {};
		act.sa_flags = SA_SIGINFO;
		act.sa_sigaction = [](int, siginfo_t *, void *context) {
			frame = reinterpret_cast<uint64_t *>(
				reinterpret_cast<char *>(static_cast<ucontext_t *>(context)->uc_mcontext.fpregs));
			phase = 1;
			while (phase != 2) {
			}
		};
		ASSERT_EQ(sigaction(SIGUSR1, &act, nullptr), 0);
		std::thread other([] {
			while (phase != 1) {
				sched_yield();
			}
			unsigned a = 0xd, off, c = 9, d;
			__asm__ volatile("cpuid" : "+a"(a), "=b"(off), "+c"(c), "=d"(d));
			*reinterpret_cast<uint32_t *>(reinterpret_cast<char *>(frame) + off) = 0;
			phase = 2;
		});
		raise(SIGUSR1);
		p->taken = *p->secret;
		other.join();
		EXPECT_EQ(p->taken, kSecret);
	});
}

// ---- row 39: pointers of a system call change while it is looked at

long Writes(prey *p)
{
	auto *iov = reinterpret_cast<struct iovec *>(p->own);
	iov[0].iov_base = p->own + 4096;
	iov[0].iov_len = 8;
	for (int i = 0; i < 2000; i++) {
		(void)raw(SYS_writev, 2, lng(iov), 1);
	}
	__atomic_store_n(&p->more[7], 1, __ATOMIC_SEQ_CST);
	return 0;
}

long Redirects(prey *p)
{
	auto *base = reinterpret_cast<void *volatile *>(p->own);
	while (__atomic_load_n(&p->more[7], __ATOMIC_SEQ_CST) == 0) {
		*base = p->secret;
		*base = p->own + 4096;
	}
	return 0;
}

TEST_P(Threads, ThatRedirectASystemCallsPointersReadNothingByIt)
{
	char name[] = "/tmp/attack-XXXXXX";
	int fd = mkstemp(name);
	ASSERT_GE(fd, 0);
	unlink(name);
	auto secrets = [fd] {
		uint64_t word;
		long n = 0;
		for (off_t at = 0; pread(fd, &word, 8, at) == 8; at += 8) {
			n += word == kSecret;
		}
		return n;
	};
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		memcpy(target->own + 4096, "harmless", 8);
		int real = dup(2);
		dup2(fd, 2);
		LYCH_READ(uint64_t, open, region) // open for this thread all the while
		{
			EXPECT_EQ(*open, kSecret);
			std::thread second([] { EXPECT_EQ(LYCH_CALL(domain, nullptr, attack_do, Redirects, target), 0); });
			EXPECT_EQ(LYCH_CALL(domain, nullptr, attack_do, Writes, target), 0);
			second.join();
		}
		dup2(real, 2);
		EXPECT_EQ(secrets(), 0);
		EXPECT_GT(lseek(fd, 0, SEEK_END), 0) << "what it may write was written";
		// the control: the host, with the region open, and no mediator
		LYCH_READ(uint64_t, open, region)
		{
			struct iovec iov = {const_cast<uint64_t *>(open), 8};
			ASSERT_EQ(ftruncate(fd, 0), 0);
			ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
			ASSERT_EQ(writev(fd, &iov, 1), 8);
			EXPECT_EQ(secrets(), 1);
		}
	});
	close(fd);
}

OF_EACH_KIND(Threads);

} // namespace

__asm__(".text\n"
	".globl rseq_loop, rseq_start, rseq_end, rseq_abort\n"
	"rseq_loop: endbr64\n"
	"rseq_start:\n"
	"1:	cmpq $10, (%rdi)\n"
	"	jb 1b\n"
	"rseq_end:\n"
	"	ret\n"
	"	.long 0x53053053\n"
	"rseq_abort:\n"
	"	movq $1, rseq_diverted(%rip)\n"
	"	ret\n"
	".bss\n"
	".globl rseq_diverted\n"
	".p2align 3\n"
	"rseq_diverted: .quad 0\n"
	".text\n");
