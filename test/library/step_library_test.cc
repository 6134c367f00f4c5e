// SPDX-License-Identifier: Apache-2.0
// The model check of the gate to a library domain: a signal arrives at every instruction on the way in, in and out of a callback,
// out (every third of these, unless LYCH_LONG is set), and back in after a handler. What is the domain's own there beside its
// rights is the fs base. And at every instruction of a system call that is made for a domain with its rights.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include <lychgate/lychgate.h>

#include "hostile.h"
#include "../support/inside.h"
#include "library_live.h"

using Callback = long (*)(long);
LYCH_SYM(in, hostile_step, long, (Callback, long));
LYCH_SYM(in, hostile_fs, uint64_t, (void));
LYCH_SYM(in, hostile_linger, void, (void));
LYCH_SYM(in, hostile_pipe, long, (int));

namespace {

struct Shared {
	uint64_t round, handled, wrong, linger;
	char text[512];
};
Shared *shared;
lych_domain *in;
uint64_t host_fs, domain_fs;
bool pipes;
uint64_t host_pkru;
uint32_t not_host;
thread_local uint64_t word_of_the_host;

void Wrong(const char *format, uint64_t a, uint64_t b)
{
	if (shared->wrong++ == 0) {
		snprintf(shared->text, sizeof(shared->text), format, a, b);
	}
}

uint64_t FsBase()
{
	uint64_t at;

	__asm__ volatile("rdfsbase %0" : "=r"(at));
	return at;
}

void LookAtHost(const char *where)
{
	if (FsBase() != host_fs || word_of_the_host != 0x600d) {
		Wrong(where, FsBase(), word_of_the_host);
	}
}

} // namespace

static long of_the_host(long a)
{
	uint64_t fs = 0;

	LookAtHost("in the callback: fs base %#lx, thread-local %#lx");
	int rc = LYCH_CALL(in, &fs, hostile_fs);
	if (rc != 0 || fs != domain_fs) {
		Wrong("a call in the callback: status %ld, fs base %#lx", static_cast<uint64_t>(rc), fs);
	}
	LookAtHost("after the call in the callback: fs base %#lx, thread-local %#lx");
	return 2 * a;
}
LYCH_CALLBACK(of_the_host, long, (long));

namespace {

void Handler(int, siginfo_t *, void *)
{
	uint64_t fs = 0;

	shared->handled++;
	LookAtHost("in the handler: fs base %#lx, thread-local %#lx");
	int rc = LYCH_CALL(in, &fs, hostile_fs);
	if (rc != 0 || fs != domain_fs) {
		Wrong("a call in the handler: status %ld, fs base %#lx", static_cast<uint64_t>(rc), fs);
	}
	if (pipes) {
		raise(SIGUSR2);
	}
	long sum = 0;
	if (pipes && ((rc = LYCH_CALL(in, &sum, hostile_pipe, 4)) != 0 || sum != 10)) {
		Wrong("a pipe in the handler: status %ld, sum %ld", static_cast<uint64_t>(rc), static_cast<uint64_t>(sum));
	}
	LookAtHost("after the call in the handler: fs base %#lx, thread-local %#lx");
}

// Comes when a handler that has interrupted the same place is done. A key of the host's own is open in both.
void SecondHandler(int)
{
	inside now;

	inside_look(&now);
	if (now.pkru != ~not_host) {
		Wrong("in the second handler: PKRU %#lx, and not %#lx", now.pkru, static_cast<uint32_t>(~not_host));
	}
}

void Round(Callback callback)
{
	long result = 0;
	int rc = LYCH_CALL(in, &result, hostile_step, callback, 21);

	if (rc != 0 || result != 43) {
		Wrong("the call: status %ld, result %ld", static_cast<uint64_t>(rc), static_cast<uint64_t>(result));
	}
	LookAtHost("after the call: fs base %#lx, thread-local %#lx");
}

enum Scenario { CALL, RESUME, PIPE };

void Pipe()
{
	long sum = 0;
	int rc = LYCH_CALL(in, &sum, hostile_pipe, 8);

	if (rc != 0 || sum != 36) {
		Wrong("a pipe: status %ld, sum %ld", static_cast<uint64_t>(rc), static_cast<uint64_t>(sum));
	}
	inside now;
	inside_look(&now);
	if (now.pkru != host_pkru) {
		Wrong("after a pipe: PKRU %#lx, and not %#lx", now.pkru, host_pkru);
	}
	LookAtHost("after a pipe: fs base %#lx, thread-local %#lx");
}

[[noreturn]] void Child(Scenario scenario)
{
	struct sigaction action = {};
	Callback callback = nullptr;
	void *linger = nullptr;

	lych_library_opts opts = {};

	opts.size = sizeof(opts);
	opts.policy = scenario == PIPE ? "net-client" : "pure";
	if (lych_init(nullptr) != 0 || lych_open(&in, LYCH_HOSTILE, &opts) != 0 ||
	    lych_callback(&callback, in, of_the_host, nullptr) != 0 || lych_symbol(in, &linger, "hostile_linger", nullptr) != 0 ||
	    LYCH_CALL(in, &domain_fs, hostile_fs) != 0 || LYCH_CALL(in, LYCH_NOTHING, hostile_linger) != 0) {
		fprintf(stderr, "lychgate: %s\n", lych_why());
		_exit(3);
	}
	shared->linger = reinterpret_cast<uint64_t>(linger);
	host_fs = FsBase();
	word_of_the_host = 0x600d;
	action.sa_sigaction = Handler;
	action.sa_flags = SA_SIGINFO;
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &action, nullptr);
	sigaction(SIGALRM, &action, nullptr);
	signal(SIGUSR2, SecondHandler);
	Round(callback);
	if (scenario == PIPE && pkey_alloc(0, 0) < 0) {
		_exit(4);
	}
	inside now;
	inside_look(&now);
	host_pkru = now.pkru;
	not_host = now.not_host;
	pipes = scenario == PIPE;
	ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
	for (shared->round = 1;; shared->round++) {
		kill(getpid(), SIGSTOP);
		if (scenario == CALL) {
			Round(callback);
			continue;
		}
		if (scenario == PIPE) {
			Pipe();
			continue;
		}
		int rc = LYCH_CALL(in, LYCH_NOTHING, hostile_linger);
		if (rc != 0) {
			Wrong("a lingering call: status %ld", static_cast<uint64_t>(rc), 0);
		}
		LookAtHost("after a lingering call: fs base %#lx, thread-local %#lx");
	}
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

class StepLibrary : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure()) {
			return;
		}
		if (!KernelWritesFramesWhole()) {
			GTEST_SKIP() << "library domains are refused on this kernel";
		}
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

	void Start(Scenario scenario)
	{
		child = fork();
		if (child == 0) {
			Child(scenario);
		}
	}

	pid_t child = -1;
	int last = 0;
};

TEST_F(StepLibrary, ASignalAtEveryInstructionOfACallAndACallbackLeavesEachItsFsBase)
{
	uint64_t stride = getenv("LYCH_LONG") != nullptr ? 1 : 3, injected = 0;

	Start(CALL);
	for (uint64_t at = 0;; at += stride) {
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
		ASSERT_TRUE(WIFSTOPPED(status)) << "a signal at gate text + " << std::hex << rip - inside_gate_text()
						<< " ended the child: " << status << " " << shared->text;
		ASSERT_EQ(shared->handled, handled + 1) << "gate text + " << std::hex << rip - inside_gate_text();
		ASSERT_EQ(shared->wrong, 0u) << "gate text + " << std::hex << rip - inside_gate_text() << ": " << shared->text;
		ptrace(PTRACE_CONT, child, nullptr, nullptr); /* the round that follows is not disturbed */
	}
	printf("%lu places\n", injected);
	EXPECT_GT(injected * stride, 300u);
	kill(child, SIGKILL);
}

TEST_F(StepLibrary, ASignalAtEveryInstructionOfTheWayBackIntoADomainLeavesEachItsFsBase)
{
	uint64_t places = 0;

	Start(RESUME);
	for (uint64_t at = 0;; at++) {
		int status = WaitFor(SIGSTOP);
		ASSERT_TRUE(WIFSTOPPED(status)) << "the child ended, status " << status << ": " << shared->text;
		uint64_t handled = shared->handled, stepped = 0;
		ASSERT_TRUE(RunTo(shared->linger)) << last;
		kill(child, SIGUSR1);
		ASSERT_TRUE(RunTo(inside_resume())) << last << " " << shared->text;
		while (stepped < at && StepOne()) {
			stepped++;
		}
		uint64_t rip = RipOf(child);
		bool there = stepped == at && rip >= inside_resume() && rip < inside_resume_end();
		places += there;
		ptrace(PTRACE_CONT, child, nullptr, there ? SIGALRM : 0);
		status = WaitFor(SIGSTOP);
		ASSERT_TRUE(WIFSTOPPED(status)) << "a signal at lych_resume + " << rip - inside_resume() << " ended the child: " << status
						<< " " << shared->text;
		ASSERT_EQ(shared->wrong, 0u) << "lych_resume + " << rip - inside_resume() << ": " << shared->text;
		EXPECT_GE(shared->handled, handled + (there ? 2 : 1)) << "lych_resume + " << rip - inside_resume();
		ptrace(PTRACE_CONT, child, nullptr, nullptr);
		if (!there) {
			break;
		}
	}
	printf("%lu places\n", places);
	EXPECT_GE(places, 15u);
	kill(child, SIGKILL);
}

// The handler makes such calls itself, and another round is made without a signal.
TEST_F(StepLibrary, ASignalAtEveryInstructionOfASystemCallWithADomainsRightsLeavesEachItsOwn)
{
	uint64_t places = 0;

	Start(PIPE);
	for (uint64_t at = 0;; at++) {
		int status = WaitFor(SIGSTOP);
		ASSERT_TRUE(WIFSTOPPED(status)) << "the child ended, status " << status << ": " << shared->text;
		uint64_t handled = shared->handled, stepped = 0;
		ASSERT_TRUE(RunTo(inside_view_call())) << last << " " << shared->text;
		while (stepped < at && StepOne()) {
			stepped++;
		}
		uint64_t rip = RipOf(child);
		bool there = stepped == at && rip >= inside_view_call() && rip < inside_view_call() + 256;
		places += there;
		ptrace(PTRACE_CONT, child, nullptr, there ? SIGALRM : 0);
		status = WaitFor(SIGSTOP);
		ASSERT_TRUE(WIFSTOPPED(status)) << "a signal at lych_view_call + " << rip - inside_view_call() << " ended the child: "
						<< status << " " << shared->text;
		ASSERT_EQ(shared->wrong, 0u) << "lych_view_call + " << rip - inside_view_call() << ": " << shared->text;
		EXPECT_EQ(shared->handled, handled + there) << "lych_view_call + " << rip - inside_view_call();
		ptrace(PTRACE_CONT, child, nullptr, nullptr);
		if (!there) {
			break;
		}
	}
	printf("%lu places\n", places);
	EXPECT_GE(places, 35u);
	kill(child, SIGKILL);
}

} // namespace
