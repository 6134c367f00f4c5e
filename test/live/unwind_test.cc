// SPDX-License-Identifier: Apache-2.0
// A debugger walks through a gate from any of its instructions: a round trip is single-stepped, and before each
// instruction the stack is unwound from the outside, with nothing but the unwind tables and the registers. Of signals
// the entry and the way back are not stepped here: what they interrupt is on another stack, as SECURITY.md says.
#include <gtest/gtest.h>
#include <libunwind-ptrace.h>
#include <lychgate/lychgate.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unwind.h>
#include <xmmintrin.h>

#include <array>
#include <csignal>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "single_step.h"

namespace
{

struct lych_domain *domain;
void (*back)();
bool isolation = true;
int trips; // of what was called, so that nothing is left out by the compiler

bool keys_here()
{
	int key = pkey_alloc(0, 0);

	if (key >= 0) {
		pkey_free(key);
	}
	return key >= 0;
}

// Not as root: of files that a process can write all code is copied, and who unwinds from outside by /proc/PID/maps
// finds no tables for a copy (gate/code/unwind.h).
void become_nobody()
{
	const unsigned int nobody = 65534;

	if (geteuid() == 0 && (setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0)) {
		_exit(99);
	}
}

void start_or_exit()
{
	struct lych_init_opts init = {};
	struct lych_domain_opts opts = {};

	init.size = sizeof(init);
	init.backend = !isolation ? LYCH_NONE : keys_here() ? LYCH_PKU : LYCH_MPROTECT;
	opts.size = sizeof(opts);
	if (!isolation) {
		unsetenv("LYCH_REQUIRE_PKU");
	}
	become_nobody();
	if (lych_init(&init) != 0 || lych_domain_new(&domain, &opts) != 0) {
		fprintf(stderr, "%s\n", lych_why());
		_exit(98);
	}
}

} // namespace

extern "C" {
// In the domain.
__attribute__((noinline, noclone)) int walked_leaf(int a)
{
	__asm__ volatile("" : "+r"(a));
	return a + 1;
}
__attribute__((noinline, noclone)) int walked_caller(void (*fn)(), int a)
{
	fn();
	__asm__ volatile("" : "+r"(a));
	return a + 2;
}
// In the host, from the domain.
__attribute__((noinline, noclone)) void walked_callback()
{
	// nothing is left of what the gate had in registers that a callee may use
	__asm__ volatile("xor %%r11d, %%r11d\n xor %%r10d, %%r10d\n xor %%ecx, %%ecx\n nop" ::: "r11", "r10", "rcx", "cc", "memory");
}
void walked_interrupted();
void walked_with_handler();
struct walked_large {
	long words[8];
};
__attribute__((noinline, noclone)) double walked_many(long a, long b, long c, long d, long e, long f, long g,
							double h, long i)
{
	return static_cast<double>(a + b + c + d + e + f + g + i) + h;
}
__attribute__((noinline, noclone)) struct walked_large walked_makes_large(long n)
{
	return walked_large{{n, n, n, n, n, n, n, n}};
}
__attribute__((noinline, noclone)) long double walked_long_double(long double x)
{
	return x + 1;
}
LYCH_BIND(domain, walked_leaf, int, (int));
LYCH_BIND(domain, walked_many, double, (long, long, long, long, long, long, long, double, long));
LYCH_BIND(domain, walked_makes_large, struct walked_large, (long));
LYCH_BIND(domain, walked_long_double, long double, (long double));
LYCH_BIND_POINTER(domain, walked_many, double, (long, long, long, long, long, long, long, double, long), -1);
LYCH_BIND(domain, walked_caller, int, (void (*)(), int));
LYCH_CALLBACK(walked_callback, void, (void));

// The frames that must be found, each by its function. All registers that a callee saves are in use in them.
__attribute__((noinline, noclone)) void walked_call(void *)
{
	int got = 0;

	start_or_exit();
	for (int round = 0; round < 2; round++) {
		if (round == 1) {
			STEP_BEGIN();
		}
		if (LYCH_CALL(domain, &got, walked_leaf, 41) != 0 || got != 42) {
			_exit(97);
		}
	}
	STEP_END();
	trips++;
}
// The first one finds the thread without a stack in the domain.
__attribute__((noinline, noclone)) void walked_first_call(void *)
{
	int got = 0;

	start_or_exit();
	STEP_BEGIN();
	if (LYCH_CALL(domain, &got, walked_leaf, 41) != 0 || got != 42) {
		_exit(97);
	}
	STEP_END();
	trips++;
}
__attribute__((noinline, noclone)) void walked_calls_of_each_kind(void *)
{
	double (*pointer)(long, long, long, long, long, long, long, double, long) = nullptr;
	double sum = 0;
	long double next = 0;
	walked_large large = {};
	int got = 0;

	start_or_exit();
	if (LYCH_POINTER(&pointer, domain, walked_many) != 0) {
		_exit(96);
	}
	for (int round = 0; round < 2; round++) {
		if (round == 1) {
			STEP_BEGIN();
		}
		if (LYCH_CALL(domain, &sum, walked_many, 1, 2, 3, 4, 5, 6, 7, 8.0, 9) != 0 || sum != 45) {
			_exit(95);
		}
		if (pointer(1, 2, 3, 4, 5, 6, 7, 8.0, 9) != 45) {
			_exit(94);
		}
		if (LYCH_CALL(domain, &next, walked_long_double, 3.0L) != 0 || next != 4) {
			_exit(93);
		}
		if (LYCH_CALL_TIMEOUT(domain, 600000, &got, walked_leaf, 41) != 0 || got != 42) {
			_exit(92);
		}
		if (LYCH_CALL(domain, &large, walked_makes_large, 3) != 0 || large.words[7] != 3) {
			_exit(91);
		}
	}
	STEP_END();
	trips++;
}
__attribute__((noinline, noclone)) void walked_call_with_callback(void *)
{
	int got = 0;

	start_or_exit();
	if (lych_callback(&back, domain, walked_callback, nullptr) != 0) {
		_exit(96);
	}
	for (int round = 0; round < 2; round++) {
		if (round == 1) {
			_mm_setcsr(_mm_getcsr() | 0x20); // such a caller gets its modes back by another way
			STEP_BEGIN();
		}
		if (LYCH_CALL(domain, &got, walked_caller, back, 40) != 0 || got != 42) {
			_exit(97);
		}
	}
	STEP_END();
	trips++;
}
}

namespace
{

const std::array<unw_regnum_t, 8> kSaved = {UNW_X86_64_RIP, UNW_X86_64_RSP, UNW_X86_64_RBX, UNW_X86_64_RBP,
					    UNW_X86_64_R12, UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15};

struct Walk {
	uint64_t outer = 0;                   // the function whose caller must be reached
	std::array<unw_word_t, 8> expected{}; // of that caller, from the first step
	bool first = true;
	void *upt = nullptr;
	unw_addr_space_t space = nullptr;
	size_t in_gate = 0;                  // instructions outside of outer itself
	std::set<std::pair<uint64_t, uint64_t>> seen; // rip and rsp: loops are walked from once
	std::vector<std::string> failures;
};

std::string where(const std::vector<std::string> &frames)
{
	std::ostringstream text;

	for (const std::string &frame : frames) {
		text << (frame == frames.front() ? "" : " < ") << frame;
	}
	return text.str();
}

// Unwinds from the present registers to the caller of w.outer; what it has there in *saved.
bool walk(Walk &w, std::array<unw_word_t, 8> *saved, std::vector<std::string> *frames)
{
	unw_cursor_t cursor;
	bool outer = false;

	if (unw_init_remote(&cursor, w.space, w.upt) != 0) {
		return false;
	}
	for (int depth = 0; depth < 32; depth++) {
		unw_proc_info_t info{};
		char name[128] = "?";
		unw_word_t off = 0;

		(void)unw_get_proc_name(&cursor, name, sizeof(name), &off);
		frames->push_back(std::string(name) + "+" + std::to_string(off));
		if (outer) {
			for (size_t i = 0; i < kSaved.size(); i++) {
				if (unw_get_reg(&cursor, kSaved[i], &(*saved)[i]) != 0) {
					return false;
				}
			}
			return true;
		}
		outer = unw_get_proc_info(&cursor, &info) == 0 && info.start_ip == w.outer;
		if (unw_step(&cursor) <= 0) {
			return false;
		}
	}
	return false;
}

int before_each(const struct step *step, void *ctx)
{
	Walk &w = *static_cast<Walk *>(ctx);
	std::array<unw_word_t, 8> saved{};
	std::vector<std::string> frames;

	if (!w.seen.insert({step->regs.rip, step->regs.rsp}).second) {
		return 0;
	}
	if (w.upt == nullptr) {
		w.upt = _UPT_create(step->pid);
		w.space = unw_create_addr_space(&_UPT_accessors, 0);
		unw_set_caching_policy(w.space, UNW_CACHE_NONE);
	}
	if (!walk(w, &saved, &frames)) {
		w.failures.push_back("lost: " + where(frames));
	} else if (w.first) {
		w.expected = saved;
		w.first = false;
	} else if (saved != w.expected) {
		w.failures.push_back("other registers in the caller: " + where(frames));
	}
	w.in_gate += frames.size() > 2;
	return w.failures.size() >= 20;
}

void expect_a_walk_from_everywhere(void (*body)(void *), long instructions = 100)
{
	Walk w;

	w.outer = reinterpret_cast<uint64_t>(body);
	const long count = step_child(body, nullptr, before_each, &w);
	EXPECT_GT(count, instructions) << "a round trip is longer than that";
	EXPECT_GT(static_cast<long>(w.in_gate), instructions);
	for (const std::string &failure : w.failures) {
		ADD_FAILURE() << failure;
	}
	if (w.upt != nullptr) {
		_UPT_destroy(w.upt);
		unw_destroy_addr_space(w.space);
	}
}

// The control: what the test looks at changes when a register is not what it was.
TEST(Unwinding, NoticesOneRegisterThatIsNotTheCallers)
{
	Walk w;

	w.outer = reinterpret_cast<uint64_t>(walked_call);
	w.first = false; // expected stays all zero, which no walk gives
	EXPECT_EQ(step_child(walked_call, nullptr, before_each, &w), -ECANCELED);
	EXPECT_EQ(w.failures.size(), 20u);
	if (w.upt != nullptr) {
		_UPT_destroy(w.upt);
		unw_destroy_addr_space(w.space);
	}
}

TEST(Unwinding, ReachesTheCallerFromEachInstructionOfACall)
{
	expect_a_walk_from_everywhere(walked_call);
}

TEST(Unwinding, ReachesTheCallerFromEachInstructionOfAThreadsFirstCall)
{
	expect_a_walk_from_everywhere(walked_first_call);
}

// Many arguments, a typed pointer, a long double, a deadline, a result in memory.
TEST(Unwinding, ReachesTheCallerFromEachInstructionOfCallsOfEachKind)
{
	expect_a_walk_from_everywhere(walked_calls_of_each_kind);
}

TEST(Unwinding, WithoutIsolationReachesTheCallerFromEachInstruction)
{
	isolation = false;
	expect_a_walk_from_everywhere(walked_call, 30);
	expect_a_walk_from_everywhere(walked_call_with_callback, 60);
	if (!keys_here()) { // where there are keys the machine is slow, and nothing of this depends on them
		expect_a_walk_from_everywhere(walked_first_call);
		expect_a_walk_from_everywhere(walked_calls_of_each_kind);
	}
	isolation = true;
}

struct Found {
	int handler, interrupted, outer;
};
Found *found;

extern "C" {
__attribute__((noinline, noclone)) void walked_handler(int)
{
	trips += _Unwind_Backtrace(
		[](struct _Unwind_Context *context, void *) {
			const uint64_t at = _Unwind_GetIP(context) - 1, bytes = 24; // none of them is shorter
			found->handler += at - reinterpret_cast<uint64_t>(walked_handler) < bytes;
			found->interrupted += at - reinterpret_cast<uint64_t>(walked_interrupted) < bytes;
			found->outer += at - reinterpret_cast<uint64_t>(walked_with_handler) < bytes;
			return _URC_NO_REASON;
		},
		nullptr);
}
__attribute__((noinline, noclone)) void walked_interrupted()
{
	raise(SIGUSR1);
	trips++;
}
__attribute__((noinline, noclone)) void walked_with_handler()
{
	walked_interrupted();
	trips++;
}
}

// A handler's caller is what it has interrupted, for whoever asks in it: debuggers, profilers, pthread_cancel.
TEST(Unwinding, ReachesWhatAHandlerOfTheHostHasInterrupted)
{
	found = static_cast<Found *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(found, MAP_FAILED);
	for (bool runtime : {false, true}) { // the control: as without it
		*found = {};
		pid_t child = fork();
		if (child == 0) {
			struct sigaction action = {};
			if (runtime) {
				start_or_exit();
			}
			action.sa_handler = walked_handler;
			sigaction(SIGUSR1, &action, nullptr);
			walked_with_handler();
			_exit(0);
		}
		int status = -1;
		ASSERT_EQ(waitpid(child, &status, 0), child);
		EXPECT_EQ(status, 0);
		EXPECT_EQ(found->handler, 1) << runtime;
		EXPECT_EQ(found->interrupted, 1) << runtime;
		EXPECT_EQ(found->outer, 1) << runtime;
	}
}

TEST(Unwinding, ReachesTheCallerFromEachInstructionOfACallback)
{
	expect_a_walk_from_everywhere(walked_call_with_callback);
}

} // namespace
