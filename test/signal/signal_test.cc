// SPDX-License-Identifier: Apache-2.0
// What becomes of signals: the host's handlers as POSIX has them, and calls into domains that signals come in the way of.
#include <gtest/gtest.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "harness.h"

namespace
{

class Signals : public ::testing::Test {
protected:
	void SetUp() override
	{
		harness_start();
		ran = depth = most = 0;
	}
	void TearDown() override
	{
		for (int sig : {SIGUSR1, SIGUSR2, SIGALRM, SIGSEGV, SIGILL, SIGTRAP}) {
			signal(sig, SIG_DFL);
		}
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, nullptr);
		EXPECT_EQ(harness_level(), 0u);
		EXPECT_EQ(harness_depth(), 0u);
	}
	static void Install(int sig, void (*handler)(int, siginfo_t *, void *), int flags = 0, std::vector<int> mask = {})
	{
		struct sigaction action = {};
		action.sa_sigaction = handler;
		action.sa_flags = SA_SIGINFO | flags;
		for (int blocked : mask) {
			sigaddset(&action.sa_mask, blocked);
		}
		ASSERT_EQ(sigaction(sig, &action, nullptr), 0);
	}
	static void Count(int, siginfo_t *, void *) { ran++; }
	// raises itself again up to three deep
	static void Nest(int sig, siginfo_t *, void *)
	{
		int now = ++depth;
		most = now > most ? now : most.load();
		if (ran++ < 3) {
			raise(sig);
		}
		depth--;
	}
	static std::atomic<int> ran, depth, most;
};
std::atomic<int> Signals::ran, Signals::depth, Signals::most;

sigjmp_buf away;
volatile int *volatile nowhere = reinterpret_cast<volatile int *>(8);

// ---- the host's handlers -----------------------------------------------------------------------

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
	asm volatile("mov %3, %%rbx\n\tmov %4, %%r15\n\tmovq %5, %%xmm9\n\tmov $234, %%eax\n\tmov $10, %%edx\n\tsyscall\n\t"
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

// ---- signals and calls ------------------------------------------------------------------------------

long Double(long n)
{
	return 2 * n;
}

std::atomic<bool> go, inside;

long Spin(long n)
{
	inside = true;
	while (!go) {
	}
	return n + 1;
}

// every register holds what no handler may see
constexpr uint64_t kSecret = 0x5ec2e75ec2e75ec2;
long SpinWithSecrets(long)
{
	inside = true;
	asm volatile("push %%rbx\n\tpush %%rbp\n\tmov %1, %%rbx\n\tmov %%rbx, %%rcx\n\tmov %%rbx, %%rdx\n\tmov %%rbx, %%rbp\n\t"
		     "mov %%rbx, %%r8\n\tmov %%rbx, %%r9\n\tmov %%rbx, %%r10\n\tmov %%rbx, %%r11\n\tmov %%rbx, %%r12\n\t"
		     "mov %%rbx, %%r13\n\tmov %%rbx, %%r14\n\tmov %%rbx, %%r15\n\tmovq %%rbx, %%xmm0\n\tmovq %%rbx, %%xmm15\n"
		     "1:\tcmpb $0, (%0)\n\tje 1b\n\tcmp %%rbx, %%r15\n\tjne 2f\n\tcmp %%rbx, %%rcx\n\tjne 2f\n\tcmp %%rbx, %%r11\n\t"
		     "je 3f\n2:\tud2\n3:\tpop %%rbp\n\tpop %%rbx"
		     :
		     : "a"(&go), "i"(kSecret)
		     : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm15", "memory", "cc");
	return 1;
}

int CountSecrets(const void *context)
{
	int found = 0;
	auto *uc = static_cast<const ucontext_t *>(context);
	for (greg_t reg : uc->uc_mcontext.gregs) {
		found += static_cast<uint64_t>(reg) == kSecret;
	}
	auto *image = reinterpret_cast<const char *>(uc->uc_mcontext.fpregs);
	for (size_t i = 0; i + 8 <= sizeof(*uc->uc_mcontext.fpregs); i += 4) {
		found += memcmp(image + i, &kSecret, 8) == 0;
	}
	return found;
}

// Runs code on this thread, and when it is inside, signals it from another one until the handler has run.
void SignalWhileInside(int sig, std::atomic<int> &ran)
{
	while (!inside) {
		std::this_thread::yield();
	}
	pid_t main = getpid();
	syscall(SYS_tgkill, main, main, sig);
	while (ran == 0) {
		std::this_thread::yield();
	}
	go = true;
}

class Calls : public Signals {
protected:
	void SetUp() override
	{
		Signals::SetUp();
		go = inside = false;
		if (domain == nullptr) {
			domain = harness_domain(LYCH_KIND_CONTAIN);
			other = harness_domain(LYCH_KIND_CONTAIN);
			vault = harness_domain(LYCH_KIND_VAULT);
		}
		for (auto *d : {domain, other, vault}) {
			harness_reset(d);
		}
	}
	int Call(long (*fn)(long), long arg = 0, uint64_t deadline = 0)
	{
		result = -1;
		return harness_call(domain, fn, arg, &result, deadline);
	}
	void ExpectFault(long (*fn)(long), lych_fault_kind kind, long arg = 0)
	{
		harness_reset(domain);
		uint64_t before = lych_fault(domain)->count;
		EXPECT_EQ(Call(fn, arg), -EFAULT);
		EXPECT_STREQ(lych_fault_kind_name(lych_fault(domain)->kind), lych_fault_kind_name(kind));
		EXPECT_EQ(lych_fault(domain)->count, before + 1);
		EXPECT_EQ(Call(Double, 1), -EOWNERDEAD);
	}
	static lych_domain *domain, *other, *vault;
	long result = -1;

public:
	static lych_domain *domain_for_threads() { return domain; }
};
lych_domain *Calls::domain, *Calls::other, *Calls::vault;

TEST_F(Calls, GiveTheirResult)
{
	EXPECT_EQ(Call(Double, 21), 0);
	EXPECT_EQ(result, 42);
}

TEST_F(Calls, GoOnAfterAHandlerWithEveryRegisterAsItWas)
{
	Install(SIGUSR1, Count);
	std::thread sender(SignalWhileInside, SIGUSR1, std::ref(ran));
	EXPECT_EQ(Call(SpinWithSecrets), 0);
	sender.join();
	EXPECT_EQ(result, 1);
	EXPECT_EQ(ran, 1);
}

TEST_F(Calls, DoNotShowTheDomainsRegistersToAHandler)
{
	static int seen;
	static uint64_t rip, shown_rsp;
	seen = 0;
	Install(SIGUSR1, [](int, siginfo_t *, void *context) {
		auto *uc = static_cast<ucontext_t *>(context);
		seen += CountSecrets(context);
		rip = static_cast<uint64_t>(uc->uc_mcontext.gregs[REG_RIP]);
		shown_rsp = static_cast<uint64_t>(uc->uc_mcontext.gregs[REG_RSP]);
		// changes are for nobody
		memset(uc->uc_mcontext.gregs, 0xee, sizeof(uc->uc_mcontext.gregs));
		ran++;
	});
	{
		std::thread sender(SignalWhileInside, SIGUSR1, std::ref(ran));
		EXPECT_EQ(Call(SpinWithSecrets), 0);
		sender.join();
	}
	EXPECT_EQ(seen, 0);
	EXPECT_NE(rip, 0u);
	uint64_t here = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
	EXPECT_LT(here - shown_rsp, 4096u); // the caller's stack, not the domain's
	// the control: in the host they are there
	Install(SIGUSR1, [](int, siginfo_t *, void *context) {
		seen += CountSecrets(context);
		ran++;
	});
	go = inside = false;
	ran = 0;
	std::thread sender(SignalWhileInside, SIGUSR1, std::ref(ran));
	SpinWithSecrets(0);
	sender.join();
	EXPECT_GT(seen, 10);
}

TEST_F(Calls, CanBeMadeByAHandlerAlsoIntoTheDomainItInterrupted)
{
	static long from_handler[2];
	static int status[2];
	Install(SIGUSR1, [](int, siginfo_t *, void *) {
		status[0] = harness_call(domain, Double, 4, &from_handler[0], 0);
		status[1] = harness_call(other, Double, 5, &from_handler[1], 0);
		ran++;
	});
	std::thread sender(SignalWhileInside, SIGUSR1, std::ref(ran));
	EXPECT_EQ(Call(SpinWithSecrets), 0);
	sender.join();
	EXPECT_EQ(status[0], 0);
	EXPECT_EQ(status[1], 0);
	EXPECT_EQ(from_handler[0], 8);
	EXPECT_EQ(from_handler[1], 10);
	EXPECT_EQ(result, 1);
}

long Sum(long n)
{
	volatile double f = 0.5;
	volatile long sum = 0;
	for (long i = 0; i < n; i++) {
		sum = sum + i;
		f = f * 1.0;
	}
	return f == 0.5 ? sum : -1;
}

TEST_F(Calls, AndATimerThatMakesCallsItselfDoNotDisturbOneAnother)
{
	static std::atomic<int> bad;
	bad = 0;
	Install(SIGALRM, [](int, siginfo_t *, void *) {
		long r;
		if (harness_call(domain, Double, 21, &r, 0) != 0 || r != 42) {
			bad++;
		}
		ran++;
	});
	itimerval fast = {{0, 200}, {0, 200}}, off = {};
	setitimer(ITIMER_REAL, &fast, nullptr);
	long wrong = 0;
	for (long i = 0; ran < 2000; i++) {
		long r;
		wrong += harness_call(i % 2 ? domain : other, Sum, i % 300, &r, 0) != 0 || r != (i % 300) * (i % 300 - 1) / 2;
	}
	setitimer(ITIMER_REAL, &off, nullptr);
	EXPECT_EQ(wrong, 0);
	EXPECT_EQ(bad, 0);
}

void RaiseAbove()
{
	raise(SIGUSR1);
}

TEST_F(Calls, AHandlerCanBeLeftOutOfACallAThousandTimes)
{
	Install(SIGUSR1, Count);
	Install(SIGALRM, [](int, siginfo_t *, void *) { siglongjmp(away, 1); });
	for (volatile int left = 0; left < 1000; left = left + 1) {
		if (sigsetjmp(away, 1) == 0) {
			itimerval once = {{0, 0}, {0, 50}};
			setitimer(ITIMER_REAL, &once, nullptr);
			Call(Spin);
			FAIL() << "the call came back";
		}
		// what was left behind is noticed by the next signal in the host, from further up
		if (left % 30 == 29) {
			RaiseAbove();
		}
	}
	RaiseAbove();
	EXPECT_EQ(harness_depth(), 0u);
	EXPECT_EQ(Call(Double, 3), 0);
	EXPECT_EQ(result, 6);
}

// ---- faults -------------------------------------------------------------------------------------------

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

// ---- glibc's own signals ----------------------------------------------------------------------------

TEST_F(Calls, AThreadInsideADomainTakesPartInSetuid)
{
	std::thread inside_thread([] {
		long r = -1;
		EXPECT_EQ(harness_call(domain, Spin, 0, &r, 0), 0);
		EXPECT_EQ(r, 1);
	});
	while (!inside) {
		std::this_thread::yield();
	}
	EXPECT_EQ(setuid(getuid()), 0); // waits for each thread's handler
	go = true;
	inside_thread.join();
}

void *Wait(void *)
{
	long r;
	EXPECT_EQ(harness_call(Calls::domain_for_threads(), Double, 2, &r, 0), 0);
	inside = true;
	for (;;) {
		pause();
	}
}

TEST_F(Calls, AnAttachedThreadCanBeCanceled)
{
	pthread_t thread;
	void *how = nullptr;
	ASSERT_EQ(pthread_create(&thread, nullptr, Wait, nullptr), 0);
	while (!inside) {
		std::this_thread::yield();
	}
	ASSERT_EQ(pthread_cancel(thread), 0);
	ASSERT_EQ(pthread_join(thread, &how), 0);
	EXPECT_EQ(how, PTHREAD_CANCELED);
}

} // namespace
