// SPDX-License-Identifier: Apache-2.0
// What becomes of the host's signals: its handlers run as POSIX has them.
#include <setjmp.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "signals.h"

namespace
{

sigjmp_buf away;
volatile int *volatile nowhere = reinterpret_cast<volatile int *>(8);

TEST_F(Signals, HandlerGetsWhoSentItAndWhatWasInterrupted)
{
	static siginfo_t got;
	static uint64_t rip;
	Install(SIGUSR1, [](int, siginfo_t *info, void *context) {
		got = *info;
		rip = static_cast<uint64_t>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
	});
	sigval value = {};
	value.sival_int = 77;
	ASSERT_EQ(sigqueue(getpid(), SIGUSR1, value), 0);
	EXPECT_EQ(got.si_signo, SIGUSR1);
	EXPECT_EQ(got.si_code, SI_QUEUE);
	EXPECT_EQ(got.si_value.sival_int, 77);
	EXPECT_EQ(got.si_pid, getpid());
	EXPECT_NE(rip, 0u);
}

TEST_F(Signals, ChangesToTheHostsContextCount)
{
	Install(SIGILL, [](int, siginfo_t *, void *context) {
		auto *uc = static_cast<ucontext_t *>(context);
		uc->uc_mcontext.gregs[REG_RIP] += 2;
		uc->uc_mcontext.gregs[REG_R12] = 0x1234;
		uc->uc_mcontext.fpregs->_xmm[5].element[0] = 0x5678;
	});
	uint64_t r12 = 0, xmm = 0;
	asm volatile("pxor %%xmm5, %%xmm5\n\tpcmpeqd %%xmm5, %%xmm5\n\tud2\n\tmov %%r12, %0\n\tmovq %%xmm5, %1"
		     : "=r"(r12), "=r"(xmm)
		     :
		     : "r12", "xmm5");
	EXPECT_EQ(r12, 0x1234u);
	EXPECT_EQ(xmm & 0xffffffff, 0x5678u);
}

TEST_F(Signals, RegistersSurviveAHandlerThatChangesNone)
{
	Install(SIGUSR1, Count);
	uint64_t rbx = 0x1111, r15 = 0x2222, xmm = 0x3333, out_b, out_15, out_x;
	long pid = getpid(), tid = syscall(SYS_gettid);
	asm volatile("mov %3, %%rbx\n\tmov %4, %%r15\n\tmovq %5, %%xmm9\n\tmov $234, %%eax\n\tmov $10, "
		     "%%edx\n\tsyscall\n\t"
		     "mov %%rbx, %0\n\tmov %%r15, %1\n\tmovq %%xmm9, %2"
		     : "=m"(out_b), "=m"(out_15), "=m"(out_x)
		     : "m"(rbx), "m"(r15), "m"(xmm), "D"(pid), "S"(tid)
		     : "rbx", "r15", "xmm9", "rax", "rcx", "rdx", "r11", "memory");
	EXPECT_EQ(ran, 1);
	EXPECT_EQ(out_b, rbx);
	EXPECT_EQ(out_15, r15);
	EXPECT_EQ(out_x, xmm);
}

TEST_F(Signals, SignalsOfTheMaskWaitForTheHandlersEnd)
{
	static bool early;
	auto handler = [](int, siginfo_t *, void *) {
		raise(SIGUSR2);
		early = ran != 0;
	};
	Install(SIGUSR2, Count);
	Install(SIGUSR1, handler, 0, {SIGUSR2});
	raise(SIGUSR1);
	EXPECT_FALSE(early);
	EXPECT_EQ(ran, 1);
	// and without the mask they do not
	Install(SIGUSR1, handler);
	ran = 0;
	raise(SIGUSR1);
	EXPECT_TRUE(early);
}

TEST_F(Signals, ASignalInItsOwnHandlerWaitsUnlessNodefer)
{
	Install(SIGUSR1, Nest);
	raise(SIGUSR1);
	EXPECT_EQ(most, 1);
	EXPECT_EQ(ran, 4);
	ran = depth = most = 0;
	Install(SIGUSR1, Nest, SA_NODEFER);
	raise(SIGUSR1);
	EXPECT_EQ(most, 4);
	EXPECT_EQ(ran, 4);
}

TEST_F(Signals, NestedDeeperThanThereAreLevelsWaitForOneAnother)
{
	static constexpr int kTimes = 100;
	Install(
		SIGUSR1,
		[](int sig, siginfo_t *, void *) {
			if (++ran < kTimes) {
				raise(sig);
			}
		},
		SA_NODEFER);
	raise(SIGUSR1);
	EXPECT_EQ(ran, kTimes);
}

TEST_F(Signals, ResethandRunsAHandlerOnce)
{
	Install(SIGUSR1, Count, static_cast<int>(SA_RESETHAND));
	raise(SIGUSR1);
	struct sigaction now;
	ASSERT_EQ(sigaction(SIGUSR1, nullptr, &now), 0);
	EXPECT_EQ(ran, 1);
	EXPECT_EQ(now.sa_handler, SIG_DFL);
	EXPECT_EXIT({ raise(SIGUSR1); _exit(0); }, ::testing::KilledBySignal(SIGUSR1), "");
}

TEST_F(Signals, OnstackRunsTheHandlerOnTheHostsAlternateStack)
{
	static char stack[65536];
	static bool on;
	static int flags, again;
	stack_t ours = {}, old = {};
	ours.ss_sp = stack;
	ours.ss_size = sizeof(stack);
	ASSERT_EQ(sigaltstack(&ours, nullptr), 0);
	auto handler = [](int, siginfo_t *, void *) {
		char here;
		stack_t now, other = {};
		on = &here >= stack && &here < stack + sizeof(stack);
		sigaltstack(nullptr, &now);
		flags = now.ss_flags;
		other.ss_flags = SS_DISABLE;
		again = sigaltstack(&other, nullptr) == 0 ? 0 : errno;
	};
	Install(SIGUSR1, handler, SA_ONSTACK);
	raise(SIGUSR1);
	EXPECT_TRUE(on);
	EXPECT_EQ(flags, SS_ONSTACK);
	EXPECT_EQ(again, EPERM);
	Install(SIGUSR1, handler);
	raise(SIGUSR1);
	EXPECT_FALSE(on);
	ours.ss_flags = SS_DISABLE;
	ASSERT_EQ(sigaltstack(&ours, &old), 0);
	EXPECT_EQ(old.ss_sp, stack);
	EXPECT_EQ(old.ss_flags, 0);
	ours.ss_flags = 0;
	ours.ss_size = 100;
	EXPECT_EQ(sigaltstack(&ours, nullptr), -1);
	EXPECT_EQ(errno, ENOMEM);
}

void LeaveAThousandTimes(int sig)
{
	static volatile int left, came_back;
	for (left = came_back = 0; left < 1000; left = left + 1) {
		if (sigsetjmp(away, 1) == 0) {
			if (sig == SIGSEGV) {
				*nowhere = 1;
			}
			raise(sig);
			came_back = came_back + 1;
		}
	}
	EXPECT_EQ(came_back, 0);
	EXPECT_LE(harness_level(), 1u);
	sigset_t now;
	sigprocmask(SIG_SETMASK, nullptr, &now);
	EXPECT_FALSE(sigismember(&now, sig));
}

TEST_F(Signals, AHandlerCanBeLeftAThousandTimes)
{
	for (int sig : {SIGUSR1, SIGSEGV}) {
		Install(sig, [](int, siginfo_t *, void *) { siglongjmp(away, 1); });
		LeaveAThousandTimes(sig);
	}
}

// each time further down the stack than where the last handler was left
__attribute__((noinline)) int FaultDeeper(int times)
{
	volatile char room[512];
	room[0] = static_cast<char>(times);
	if (sigsetjmp(away, 1) == 0) {
		*nowhere = 1;
	}
	return times == 0 ? room[0] : FaultDeeper(times - 1) + room[0] * 0;
}

TEST_F(Signals, AHandlerCanBeLeftToAnywhere)
{
	Install(SIGSEGV, [](int, siginfo_t *, void *) { siglongjmp(away, 1); });
	EXPECT_EQ(FaultDeeper(100), 0);
}

TEST_F(Signals, AHandlerOnTheAlternateStackCanBeLeftAThousandTimes)
{
	static char stack[65536];
	stack_t ours = {};
	ours.ss_sp = stack;
	ours.ss_size = sizeof(stack);
	ASSERT_EQ(sigaltstack(&ours, nullptr), 0);
	Install(SIGSEGV, [](int, siginfo_t *, void *) { siglongjmp(away, 1); }, SA_ONSTACK);
	for (volatile int left = 0; left < 1000; left = left + 1) {
		if (sigsetjmp(away, 1) == 0) {
			*nowhere = 1;
		}
	}
	sigset_t now;
	sigprocmask(SIG_SETMASK, nullptr, &now);
	ours.ss_flags = SS_DISABLE;
	EXPECT_EQ(sigaltstack(&ours, nullptr), 0);
}

TEST_F(Signals, SigactionShowsWhatTheHostInstalled)
{
	struct sigaction now = {}, action = {};
	Install(SIGUSR1, Count, SA_RESTART, {SIGHUP});
	ASSERT_EQ(sigaction(SIGUSR1, nullptr, &now), 0);
	EXPECT_EQ(now.sa_sigaction, Count);
	EXPECT_EQ(now.sa_flags, SA_SIGINFO | SA_RESTART);
	EXPECT_TRUE(sigismember(&now.sa_mask, SIGHUP));
	EXPECT_FALSE(sigismember(&now.sa_mask, SIGTERM));
	ASSERT_EQ(sigaction(SIGSEGV, nullptr, &now), 0);
	EXPECT_EQ(now.sa_handler, SIG_DFL);
	action.sa_handler = SIG_IGN;
	for (int sig : {SIGKILL, SIGSTOP, 32, 33, 0, -1, 65}) {
		errno = 0;
		EXPECT_EQ(sigaction(sig, &action, nullptr), -1) << sig;
		EXPECT_EQ(errno, EINVAL) << sig;
	}
	void (*handler)(int) = [](int) {};
	EXPECT_EQ(reinterpret_cast<void *>(signal(SIGUSR1, handler)), reinterpret_cast<void *>(Count));
	EXPECT_EQ(signal(SIGUSR1, SIG_IGN), handler);
	EXPECT_EQ(signal(SIGUSR1, SIG_DFL), SIG_IGN);
}

TEST_F(Signals, OfTheSixOnesBlockedByTheHostShowAsBlockedAndWait)
{
	Install(SIGTRAP, Count);
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
	raise(SIGTRAP);
	EXPECT_EQ(ran, 0);
	ASSERT_EQ(pthread_sigmask(SIG_UNBLOCK, &set, &old), 0);
	EXPECT_TRUE(sigismember(&old, SIGTRAP));
	EXPECT_EQ(ran, 1);
	EXPECT_EQ(pthread_sigmask(12345, &set, nullptr), EINVAL);
}

TEST_F(Signals, FaultsOfTheHostItselfEndItAsIfWeWereNotThere)
{
	EXPECT_EXIT({ *nowhere = 1; }, ::testing::KilledBySignal(SIGSEGV), "");
	EXPECT_EXIT({ asm volatile("ud2"); }, ::testing::KilledBySignal(SIGILL), "");
	EXPECT_EXIT({ asm volatile("int3"); _exit(0); }, ::testing::KilledBySignal(SIGTRAP), "");
	EXPECT_EXIT({ raise(SIGSEGV); _exit(0); }, ::testing::KilledBySignal(SIGSEGV), "");
	EXPECT_EXIT({ kill(getpid(), SIGTERM); pause(); }, ::testing::KilledBySignal(SIGTERM), "");
	EXPECT_EXIT({ abort(); }, ::testing::KilledBySignal(SIGABRT), "");
	signal(SIGSEGV, SIG_IGN);
	raise(SIGSEGV);
	EXPECT_EXIT({ *nowhere = 1; }, ::testing::KilledBySignal(SIGSEGV), "");
	EXPECT_EXIT(
		{
			sigset_t set;
			sigfillset(&set);
			sigprocmask(SIG_BLOCK, &set, nullptr);
			signal(SIGSEGV, [](int) { _exit(0); });
			*nowhere = 1;
		},
		::testing::KilledBySignal(SIGSEGV), "");
}

TEST_F(Signals, AHandlerOfAThreadThatNeverAttachedRuns)
{
	Install(SIGUSR1, Count, 0, {SIGUSR2});
	static bool attached, blocked;
	Install(SIGUSR2, [](int, siginfo_t *, void *) {
		sigset_t now;
		sigprocmask(SIG_SETMASK, nullptr, &now);
		blocked = sigismember(&now, SIGUSR2) == 1;
	});
	std::thread([] {
		raise(SIGUSR1);
		raise(SIGUSR2);
		attached = harness_attached();
	}).join();
	EXPECT_EQ(ran, 1);
	EXPECT_TRUE(blocked);
	EXPECT_FALSE(attached);
}

TEST_F(Signals, ForkInAHandlerLeavesBothWithTheirContext)
{
	static pid_t child;
	Install(SIGUSR1, [](int, siginfo_t *, void *) {
		child = fork();
		ran++;
	});
	raise(SIGUSR1);
	if (child == 0) {
		Install(SIGUSR1, Count);
		raise(SIGUSR1);
		_exit(ran == 2 && harness_level() == 0 ? 7 : 1);
	}
	int status = 0;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 7);
}

} // namespace
