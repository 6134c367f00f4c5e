// SPDX-License-Identifier: Apache-2.0
// Calls into domains that signals come in the way of: what handlers see, do and leave; glibc's own signals.
#include <pthread.h>
#include <setjmp.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <thread>

#include "signals.h"

namespace
{

sigjmp_buf away;

// every register holds what no handler may see
constexpr uint64_t kSecret = 0x5ec2e75ec2e75ec2;
long SpinWithSecrets(long)
{
	inside = true;
	asm volatile("push %%rbx\n\tpush %%rbp\n\tmov %1, %%rbx\n\tmov %%rbx, %%rcx\n\tmov %%rbx, %%rdx\n\t"
		     "mov %%rbx, %%rbp\n\tmov %%rbx, %%r8\n\tmov %%rbx, %%r9\n\tmov %%rbx, %%r10\n\t"
		     "mov %%rbx, %%r11\n\tmov %%rbx, %%r12\n\tmov %%rbx, %%r13\n\tmov %%rbx, %%r14\n\t"
		     "mov %%rbx, %%r15\n\tmovq %%rbx, %%xmm0\n\tmovq %%rbx, %%xmm15\n"
		     "1:\tcmpb $0, (%0)\n\tje 1b\n\tcmp %%rbx, %%r15\n\tjne 2f\n\tcmp %%rbx, %%rcx\n\tjne 2f\n\t"
		     "cmp %%rbx, %%r11\n\tje 3f\n2:\tud2\n3:\tpop %%rbp\n\tpop %%rbx"
		     :
		     : "a"(&go), "i"(kSecret)
		     : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm15", "memory",
		       "cc");
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
		wrong += harness_call(i % 2 ? domain : other, Sum, i % 300, &r, 0) != 0 ||
			 r != (i % 300) * (i % 300 - 1) / 2;
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
