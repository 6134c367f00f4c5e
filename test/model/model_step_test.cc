/* SPDX-License-Identifier: Apache-2.0 */
// The model check, second half: a signal arrives at every instruction of the gate. A parent steps a child through
// calls, callbacks, region scopes and the way back from a signal, and lets a signal in at one instruction of the
// gate, at the next one the next time, and so on. The handler looks at the world it runs in; the child looks at what
// came of its call.
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "inside.h"
#include "needs_pku.h"

extern "C" {
using callback_fn = long (*)(long, long, long, long, long, long, long, long);
long step_outer(callback_fn callback, long a, long b, long c, long d, long e, long f, long g);
long step_inner(long a);
long step_words(long a, long b, long c, long d, long e, long f, long g, long h);
void step_linger(void);
long step_host(long a, long b, long c, long d, long e, long f, long g, long h);
}

namespace
{

struct Shared {
	uint64_t round, handled, wrong;
	char text[512];
};
Shared *shared;
lych_region *region;
lych_domain *first, *second, *third;
int hosts_key;
uint64_t stack_low, stack_high;
volatile bool in_round;

void Wrong(const char *format, uint64_t a, uint64_t b)
{
	if (shared->wrong++ == 0) {
		snprintf(shared->text, sizeof(shared->text), format, a, b);
	}
}

} // namespace

// return callback(a, b, c, d, e, f, g, 8) + 1, both times with the flags AC, NT and DF set and another thread pointer: the
// gate sets them right where no stack and no TLS of the host's is there yet.
__asm__(".text\n"
	".globl step_outer\n"
	".type step_outer, @function\n"
	"step_outer:\n"
	"	push	%rbx\n"
	"	mov	%rdi, %rax\n"
	"	mov	%rsi, %rdi\n"
	"	mov	%rdx, %rsi\n"
	"	mov	%rcx, %rdx\n"
	"	mov	%r8, %rcx\n"
	"	mov	%r9, %r8\n"
	"	mov	16(%rsp), %r9\n"
	"	mov	24(%rsp), %r10\n"
	"	pushq	$8\n"
	"	push	%r10\n"
	"	wrfsbase %rsp\n"
	"	pushq	$0x44402\n"
	"	popfq\n"
	"	call	*%rax\n"
	"	add	$16, %rsp\n"
	"	inc	%rax\n"
	"	wrfsbase %rsp\n"
	"	pop	%rbx\n"
	"	pushq	$0x44402\n"
	"	popfq\n"
	"	ret\n"
	".size step_outer, . - step_outer\n");

extern "C" __attribute__((noinline)) long step_inner(long a)
{
	return a * 2;
}
extern "C" __attribute__((noinline)) long step_words(long a, long b, long c, long d, long e, long f, long g, long h)
{
	return a + b + c + d + e + f + g + h;
}
extern "C" __attribute__((noinline)) void step_linger(void)
{
	for (volatile int i = 0; i < 50; i++) {
	}
}

LYCH_BIND(first, step_outer, long, (callback_fn, long, long, long, long, long, long, long));
LYCH_BIND(first, step_linger, void, (void));
LYCH_BIND(first, step_words, long, (long, long, long, long, long, long, long, long));
LYCH_BIND(second, step_inner, long, (long));
LYCH_BIND(third, step_inner, long, (long));
LYCH_CALLBACK(step_host, long, (long, long, long, long, long, long, long, long));

extern "C" __attribute__((noinline)) long step_host(long a, long b, long c, long d, long e, long f, long g, long h)
{
	long twice = 0;
	LYCH_READ(uint64_t, word, region)
	{
		twice = static_cast<long>(*word);
	}
	// A key of the program's own, chosen here and after the call: its rights are odd and even by rounds.
	if (pkey_get(hosts_key) != PKEY_DISABLE_ACCESS) {
		Wrong("the program's key in the callback: rights %ld", static_cast<uint64_t>(pkey_get(hosts_key)), 0);
	}
	if (pkey_set(hosts_key, PKEY_DISABLE_WRITE) != 0) {
		Wrong("pkey_set in the callback: errno %ld", static_cast<uint64_t>(errno), 0);
	}
	// A caller with another MXCSR gets it back by another way.
	_mm_setcsr(_mm_getcsr() | 0x20);
	int rc = LYCH_CALL(second, &twice, step_inner, a + b + c + d + e + f + g + h);
	_mm_setcsr(_mm_getcsr() & ~0x20u);
	if (rc != 0) {
		Wrong("inner call: status %ld", static_cast<uint64_t>(rc), 0);
	}
	return twice;
}

namespace
{

// In the host's handler: host rights, regions closed, a stack of the host, and gates that work.
void Handler(int, siginfo_t *, void *)
{
	char here;
	uint64_t rsp = reinterpret_cast<uint64_t>(&here);
	inside now;
	long result = 0;
	int rc;

	inside_look(&now);
	shared->handled++;
	if (rsp < stack_low || rsp > stack_high) {
		Wrong("the handler's stack is at %#lx", rsp, 0);
	}
	if (inside_rights(now.pkru, lych_region_key(region))) {
		Wrong("the region is open in a handler: PKRU %#lx", now.pkru, 0);
	}
	if (now.selector != 0 || now.not_want != 0) {
		Wrong("gate page in a handler: selector %ld, NOT_WANT %#lx", now.selector, now.not_want);
	}
	// Whatever the handler makes of it ends with it.
	if (pkey_set(hosts_key, 0) != 0) {
		Wrong("pkey_set in a handler: errno %ld", static_cast<uint64_t>(errno), 0);
	}
	rc = LYCH_CALL(third, &result, step_inner, 21);
	if (pkey_get(hosts_key) != 0) {
		Wrong("the program's key in a handler: rights %ld", static_cast<uint64_t>(pkey_get(hosts_key)), 0);
	}
	if (rc != 0 || result != 42) {
		Wrong("a call in the handler: status %ld, result %ld", static_cast<uint64_t>(rc),
		      static_cast<uint64_t>(result));
	}
	// into the domain that is interrupted, with words on its stack, too: those of the call that waits are there already
	rc = LYCH_CALL(first, &result, step_words, 100, 200, 300, 400, 500, 600, 700, 800);
	if (rc != 0 || result != 3600) {
		Wrong("a call into the same domain in the handler: status %ld, result %ld", static_cast<uint64_t>(rc),
		      static_cast<uint64_t>(result));
	}
}

void Round(callback_fn callback)
{
	inside before, after;
	long result = 0;
	int rc = -1;

	inside_look(&before);
	if (pkey_set(hosts_key, PKEY_DISABLE_ACCESS) != 0) {
		Wrong("pkey_set: errno %ld", static_cast<uint64_t>(errno), 0);
	}
	LYCH_WRITE(uint64_t, word, region)
	{
		*word = shared->round;
		rc = LYCH_CALL(first, &result, step_outer, callback, 1, 2, 3, 4, 5, 6, 7);
		*word = shared->round + 1;
	}
	if (rc == -EFAULT) {
		const struct lych_fault *fault = lych_fault(first);
		Wrong("the call faulted: kind %ld at gate text + %#lx", fault->kind, fault->rip - inside_gate_text());
	}
	if (rc != 0 || result != 2 * 36 + 1) {
		Wrong("the call: status %ld, result %ld", static_cast<uint64_t>(rc), static_cast<uint64_t>(result));
	}
	if (pkey_get(hosts_key) != PKEY_DISABLE_WRITE) {
		Wrong("the program's key after the call: rights %ld", static_cast<uint64_t>(pkey_get(hosts_key)), 0);
	}
	inside_look(&after);
	before.hostile_flags = after.hostile_flags = 0; // the stepper's TF may show
	if (inside_differences(&before, &after)[0] != '\0' && shared->wrong++ == 0) {
		snprintf(shared->text, sizeof(shared->text), "after the call: %s", inside_differences(&before, &after));
	}
}

enum Scenario { CALL, RESUME };

[[noreturn]] void Child(Scenario scenario, uint64_t rounds)
{
	struct sigaction action = {};
	callback_fn callback = nullptr;
	pthread_attr_t attr;
	void *low = nullptr;
	size_t size = 0;

	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &low, &size);
	stack_low = reinterpret_cast<uint64_t>(low);
	stack_high = stack_low + size;
	if (lych_init(nullptr) != 0 || lych_domain_new(&first, nullptr) != 0 ||
	    lych_domain_new(&second, nullptr) != 0 || lych_domain_new(&third, nullptr) != 0 ||
	    lych_region_new(&region, 4096, nullptr) != 0 ||
	    lych_callback(&callback, first, step_host, nullptr) != 0) {
		fprintf(stderr, "lychgate: %s\n", lych_why());
		_exit(3);
	}
	hosts_key = pkey_alloc(0, PKEY_DISABLE_WRITE);
	if (hosts_key <= 0) {
		_exit(3);
	}
	action.sa_sigaction = Handler;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR1, &action, nullptr);
	sigaction(SIGALRM, &action, nullptr);
	Round(callback);
	ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
	for (shared->round = 1; shared->round <= rounds; shared->round++) {
		kill(getpid(), SIGSTOP);
		if (scenario == CALL) {
			Round(callback);
		} else {
			int rc = LYCH_CALL(first, LYCH_NOTHING, step_linger);
			if (rc != 0) {
				Wrong("a lingering call: status %ld", static_cast<uint64_t>(rc), 0);
			}
			inside now;
			inside_look(&now);
			if (now.level != 0 || now.top != 0 || now.selector != 0) {
				Wrong("after a lingering call: level %ld, top %ld", now.level, now.top);
			}
		}
	}
	_exit(shared->wrong == 0 ? 0 : 2);
}

bool InGate(uint64_t rip)
{
	return rip >= inside_gate_text() && rip < inside_gate_text_end();
}

uint64_t RipOf(pid_t pid)
{
	struct user_regs_struct regs = {};
	ptrace(PTRACE_GETREGS, pid, nullptr, &regs);
	return regs.rip;
}

class ModelStep : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(page, MAP_FAILED);
		shared = new (page) Shared{};
	}

	// Stops of the child but those that single-stepping makes; signals meant for it are passed on.
	int WaitFor(int signal)
	{
		for (;;) {
			int status = 0;
			if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
				return status;
			}
			if (WSTOPSIG(status) == signal) {
				return status;
			}
			ptrace(PTRACE_CONT, child, nullptr, WSTOPSIG(status));
		}
	}

	// Steps from here to the target'th instruction of the gate. Returns its address, 0 when the round ended before.
	uint64_t StepTo(uint64_t target)
	{
		uint64_t seen = 0;
		for (;;) {
			int status = 0;
			ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr);
			if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
				last = status;
				return 0;
			}
			uint64_t rip = RipOf(child);
			if (InGate(rip) && seen++ == target) {
				// After a popf the kernel takes its own TF for the child's.
				struct user_regs_struct regs = {};
				ptrace(PTRACE_GETREGS, child, nullptr, &regs);
				regs.eflags &= ~0x100ull;
				ptrace(PTRACE_SETREGS, child, nullptr, &regs);
				return rip;
			}
		}
	}

	// The child goes on to the instruction at address, once; false when it ended.
	bool RunTo(uint64_t address)
	{
		void *at = reinterpret_cast<void *>(address & ~7ull);
		unsigned int shift = 8 * (address & 7);
		errno = 0;
		long word = ptrace(PTRACE_PEEKTEXT, child, at, nullptr);
		long planted = (word & ~(0xffl << shift)) | 0xccl << shift;
		ptrace(PTRACE_POKETEXT, child, at, planted);
		for (int signal = 0;;) {
			int status = 0;
			ptrace(PTRACE_CONT, child, nullptr, signal);
			if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
				last = status;
				return false;
			}
			signal = WSTOPSIG(status);
			if (signal == SIGTRAP && RipOf(child) == address + 1) {
				break;
			}
		}
		ptrace(PTRACE_POKETEXT, child, at, word);
		struct user_regs_struct regs = {};
		ptrace(PTRACE_GETREGS, child, nullptr, &regs);
		regs.rip = address;
		ptrace(PTRACE_SETREGS, child, nullptr, &regs);
		return true;
	}

	// One instruction, without a trap flag that stays. false: the child ended, or a signal came.
	bool StepOne()
	{
		int status = 0;
		ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr);
		last = status;
		return waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
	}

	void Start(Scenario scenario, uint64_t rounds)
	{
		child = fork();
		if (child == 0) {
			Child(scenario, rounds);
		}
	}

	void Finish(const char *what)
	{
		int status = 0;
		ptrace(PTRACE_CONT, child, nullptr, nullptr);
		waitpid(child, &status, 0);
		while (WIFSTOPPED(status)) {
			ptrace(PTRACE_CONT, child, nullptr, nullptr);
			waitpid(child, &status, 0);
		}
		EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << what << " " << status;
	}

	pid_t child = -1;
	int last = 0;
};

TEST_F(ModelStep, ASignalAtEveryInstructionOfACallAndACallbackChangesNothing)
{
	uint64_t stride = getenv("LYCH_LONG") != nullptr ? 1 : 2, injected = 0;

	Start(CALL, 100000);
	const char *begin = getenv("LYCH_STEP_FIRST");
	for (uint64_t at = begin != nullptr ? strtoul(begin, nullptr, 0) : 0;; at += stride) {
		int status = WaitFor(SIGSTOP);
		ASSERT_TRUE(WIFSTOPPED(status)) << "the child ended, status " << status << ": " << shared->text;
		uint64_t handled = shared->handled, rip = StepTo(at);
		if (rip == 0) {
			ASSERT_TRUE(WIFSTOPPED(last)) << "status " << last << ": " << shared->text;
			break;
		}
		ptrace(PTRACE_CONT, child, nullptr, SIGUSR1);
		injected++;
		status = WaitFor(SIGSTOP);
		if (getenv("LYCH_STEP_TRACE") != nullptr) {
			printf("%lu: %#lx\n", at, rip - inside_gate_text());
		}
		ASSERT_TRUE(WIFSTOPPED(status)) << "a signal at gate text + " << std::hex
						<< rip - inside_gate_text() << " ended the child: "
						<< status << " " << shared->text;
		ASSERT_EQ(shared->handled, handled + 1) << "gate text + " << std::hex
							<< rip - inside_gate_text();
		ASSERT_EQ(shared->wrong, 0u) << "gate text + " << std::hex
					     << rip - inside_gate_text() << ": " << shared->text;
		// the round that follows is not disturbed
		ptrace(PTRACE_CONT, child, nullptr, nullptr);
	}
	printf("%lu places\n", injected);
	EXPECT_GT(injected * stride, 300u);
	kill(child, SIGKILL);
}

// The way back into a domain, after a handler that interrupted it. A second signal comes at each of its instructions.
TEST_F(ModelStep, ASignalAtEveryInstructionOfTheWayBackIntoADomainChangesNothing)
{
	uint64_t places = 0;

	Start(RESUME, 100000);
	for (uint64_t at = 0;; at++) {
		for (int again : {SIGUSR1, SIGALRM}) {
			int status = WaitFor(SIGSTOP);
			ASSERT_TRUE(WIFSTOPPED(status)) << "the child ended, status " << status << ": " << shared->text;
			uint64_t handled = shared->handled;
			ASSERT_TRUE(RunTo(reinterpret_cast<uint64_t>(step_linger))) << last;
			kill(child, SIGUSR1);
			ASSERT_TRUE(RunTo(inside_resume())) << last << " " << shared->text;
			uint64_t stepped = 0;
			while (stepped < at && StepOne()) {
				stepped++;
			}
			uint64_t rip = RipOf(child);
			bool there = stepped == at && rip >= inside_resume() && rip < inside_resume_end();
			if (there) {
				places++;
			}
			ptrace(PTRACE_CONT, child, nullptr, there ? again : 0);
			status = WaitFor(SIGSTOP);
			ASSERT_TRUE(WIFSTOPPED(status)) << "a signal at lych_resume + " << rip - inside_resume()
							<< " ended the child: " << status << " " << shared->text;
			ASSERT_EQ(shared->wrong, 0u)
				<< "lych_resume + " << rip - inside_resume() << ": " << shared->text;
			ASSERT_EQ(shared->handled, handled + (there ? 2 : 1))
				<< "lych_resume + " << rip - inside_resume();
			if (!there) {
				printf("%lu places\n", places);
				EXPECT_GE(places, 20u);
				kill(child, SIGKILL);
				return;
			}
			// the round that follows is not disturbed
			ptrace(PTRACE_CONT, child, nullptr, nullptr);
		}
	}
}

} // namespace
