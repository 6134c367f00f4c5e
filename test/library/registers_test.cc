// SPDX-License-Identifier: Apache-2.0
// A system call of a library domain leaves every register as the kernel leaves it, whoever answers it and whatever comes
// in between.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <lychgate/lychgate.h>

#include "library_live.h"
#include "registers_call.h"

LYCH_SYM(in, registers_make, void, (struct registers_call *));
LYCH_SYM(in, registers_begin, int, (struct registers_call *));
LYCH_SYM(in, registers_end, void, (void));
LYCH_SYM(in, registers_control, uint64_t, (int));
LYCH_SYM(in, registers_level, int, (void));
LYCH_SYM(in, registers_plain, long, (const long *));
LYCH_SYM(domain, registers_release, void, (void));

namespace {

// What a control changes, as a set of bits; 0: the processor does not have it.
uint64_t Changed(int n, int level)
{
	int behind = n - REGISTERS_KINDS;
	int bit = behind < 0 ? n : behind < 16 ? REGISTERS_HIGH : behind < 24 ? REGISTERS_MASKS : REGISTERS_FLAGS;
	int needs = bit == REGISTERS_HIGH || bit == REGISTERS_MASKS ? 2 : bit >= REGISTERS_UPPER ? 1 : 0;

	return level >= needs ? uint64_t{1} << bit : 0;
}

TEST(Registers, OfACallOfTheKernelAreAsTheLibrarySays)
{
	void *library = dlopen(LYCH_REGISTERS, RTLD_NOW);
	ASSERT_NE(library, nullptr) << dlerror();
	auto level = reinterpret_cast<decltype(&registers_level)>(dlsym(library, "registers_level"))();
	auto control = reinterpret_cast<decltype(&registers_control)>(dlsym(library, "registers_control"));
	auto make = reinterpret_cast<decltype(&registers_make)>(dlsym(library, "registers_make"));

	for (int n = 0; n < REGISTERS_CONTROLS; n++) {
		if (Changed(n, level) != 0) {
			EXPECT_EQ(control(n), Changed(n, level)) << "control " << n;
		}
	}
	for (long pattern = 0; pattern < 100; pattern++) {
		registers_call c = {};
		c.nr = SYS_getpid;
		c.pattern = pattern;
		make(&c);
		EXPECT_EQ(c.result, getpid());
		EXPECT_EQ(c.wrong, 0u) << std::hex << c.wrong << " with pattern " << pattern;
	}
}

lych_domain *domain; /* for the handler */
std::atomic<int> handled;
std::atomic<int> handler_status;

// Has all of the host's registers changed, and what the domain may change changed there.
void Interrupt(int)
{
	const uint32_t mxcsr = 0x9f80;
	const uint16_t fcw = 0x0e7f;
	const uint64_t ones = UINT64_MAX;

	__asm__ volatile(".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
			 "movq %0, %%xmm\\i\n\t"
			 ".endr\n\t"
			 "fninit\n\tfldpi\n\tfldpi"
			 :
			 : "r"(ones)
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
			   "xmm13", "xmm14", "xmm15");
	if (__builtin_cpu_supports("avx")) {
		__asm__ volatile(".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
				 "vinsertf128 $1, %%xmm0, %%ymm\\i, %%ymm\\i\n\t"
				 ".endr" ::
					 : "memory");
	}
	__asm__ volatile("fstp %%st(0)\n\tfstp %%st(0)" ::: "memory");
	handler_status = LYCH_CALL(domain, nullptr, registers_release);
	__asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(fcw));
	handled++;
}

std::set<int> Threads()
{
	std::set<int> tids;
	DIR *dir = opendir("/proc/self/task");

	for (dirent *entry = dir != nullptr ? readdir(dir) : nullptr; entry != nullptr; entry = readdir(dir)) {
		tids.insert(atoi(entry->d_name));
	}
	closedir(dir);
	tids.erase(0);
	return tids;
}

enum Place { CALLER, OWN_THREAD };

constexpr int PATTERNS = 4; /* all bits that there are, none, and any */

class RegistersOfADomain : public LibraryDomain {
protected:
	void SetUp() override
	{
		LibraryDomain::SetUp();
		if (IsSkipped() || HasFatalFailure()) {
			return;
		}
		lych_library_opts opts = {};
		opts.size = sizeof(opts);
		opts.policy = "net-client"; /* has pipes */
		in = domain = Open(LYCH_REGISTERS, &opts);
		ASSERT_NE(in, nullptr);
		ASSERT_EQ(LYCH_SYM_FIND(domain, registers_release), 0) << lych_why();
		void *at = nullptr;
		ASSERT_EQ(lych_symbol(in, &at, "registers_in", nullptr), 0) << lych_why();
		filled = static_cast<volatile int *>(at);
		ASSERT_EQ(lych_symbol(in, &at, "registers_word", nullptr), 0) << lych_why();
		word = reinterpret_cast<long>(at);
	}

	long Plain(long nr, long a = 0, long b = 0, long c = 0, long d = 0)
	{
		const long call[7] = {nr, a, b, c, d, 0, 0};
		auto *at = static_cast<long *>(lych_copy_in(in, call, sizeof(call)));
		long rc = 0;

		EXPECT_EQ(LYCH_CALL(in, &rc, registers_plain, at), 0);
		EXPECT_EQ(lych_free(in, at), 0);
		return rc;
	}

	uint64_t Made(long nr)
	{
		lych_usage usage;

		EXPECT_EQ(lych_library_usage(in, &usage), 0);
		return nr >= 0 ? usage.calls[nr] : 0;
	}

	// Calls, and while it is made does meanwhile, with its thread.
	void Make(registers_call *call, Place place, const std::function<void(int)> &meanwhile = [](int) {})
	{
		call->wrong = UINT64_MAX;
		*filled = 0;
		if (place == CALLER) {
			std::atomic<int> tid{0}, rc{1};
			std::thread caller([&] {
				tid = gettid();
				rc = LYCH_CALL(in, nullptr, registers_make, call);
			});
			while (tid == 0) {
				sched_yield();
			}
			meanwhile(tid);
			caller.join();
			ASSERT_EQ(rc, 0) << lych_fault_kind_name(lych_fault(in)->kind);
			return;
		}
		const std::set<int> before = Threads();
		int rc = -1, tid = 0;
		ASSERT_EQ(LYCH_CALL(in, &rc, registers_begin, call), 0);
		ASSERT_EQ(rc, 0);
		for (int now : Threads()) {
			tid = before.count(now) != 0 ? tid : now;
		}
		meanwhile(tid);
		ASSERT_EQ(LYCH_CALL(in, nullptr, registers_end), 0) << lych_fault_kind_name(lych_fault(in)->kind);
		ASSERT_EQ(static_cast<volatile registers_call *>(call)->done, 1);
	}

	lych_domain *in = nullptr;
	volatile int *filled = nullptr;
	long word = 0;
};

TEST_F(RegistersOfADomain, ThatChangeAreSeen)
{
	int level = -1;

	ASSERT_EQ(LYCH_CALL(in, &level, registers_level), 0);
	for (int n = 0; n < REGISTERS_CONTROLS; n++) {
		uint64_t wrong = 0;
		if (Changed(n, level) != 0) {
			ASSERT_EQ(LYCH_CALL(in, &wrong, registers_control, n), 0);
			EXPECT_EQ(wrong, Changed(n, level)) << "control " << n;
		}
	}
}

TEST_F(RegistersOfADomain, AreThoseOfBeforeAfterEachKindOfCall)
{
	auto room = reinterpret_cast<long>(lych_alloc(in, 4096));
	const timespec ms = {0, 1000000};
	auto time = reinterpret_cast<long>(lych_copy_in(in, &ms, sizeof(ms)));
	int ends[2];
	ASSERT_EQ(Plain(SYS_pipe2, room, O_NONBLOCK), 0);
	ASSERT_EQ(lych_copy_out(in, ends, reinterpret_cast<void *>(room), sizeof(ends)), 0);

	const struct {
		const char *name;
		long nr;
		std::vector<long> arg;
		std::function<bool(long)> right;
	} rows[] = {
		{"getpid", SYS_getpid, {}, [](long rc) { return rc == getpid(); }},
		{"clock_gettime", SYS_clock_gettime, {CLOCK_MONOTONIC, room}, [](long rc) { return rc == 0; }},
		{"sched_yield", SYS_sched_yield, {}, [](long rc) { return rc == 0; }},
		{"write", SYS_write, {ends[1], room, 100}, [](long rc) { return rc == 100; }},
		{"read", SYS_read, {ends[0], room, 100}, [](long rc) { return rc == 100; }},
		{"read, nothing there", SYS_read, {ends[0], room, 4096}, [](long rc) { return rc == -EAGAIN; }},
		{"futex, another value", SYS_futex, {word, FUTEX_WAIT, 7, 0}, [](long rc) { return rc == -EAGAIN; }},
		{"futex, for a time", SYS_futex, {word, FUTEX_WAIT, 0, time}, [](long rc) { return rc == -ETIMEDOUT; }},
		{"futex, wake", SYS_futex, {word, FUTEX_WAKE, 1}, [](long rc) { return rc == 0; }},
		{"nanosleep", SYS_nanosleep, {time, 0}, [](long rc) { return rc == 0; }},
		{"getrandom", SYS_getrandom, {room, 4096, 0}, [](long rc) { return rc > 0; }},
		{"mmap", SYS_mmap, {0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
		 [this](long rc) { return rc > 0 && rc % 4096 == 0 && Plain(SYS_munmap, rc, 8192) == 0; }},
		{"mmap, code", SYS_mmap, {0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
		 [this](long rc) { return rc > 0 && rc % 4096 == 0 && Plain(SYS_munmap, rc, 8192) == 0; }},
		{"a bad address", SYS_clock_gettime, {CLOCK_MONOTONIC, 8}, [](long rc) { return rc == -EFAULT; }},
		{"a refused one", SYS_ptrace, {0, 1, 0, 0}, [](long rc) { return rc == -EPERM; }},
		{"no call", 4000, {1, 2, 3}, [](long rc) { return rc == -ENOSYS; }},
	};
	for (const auto &row : rows) {
		for (int i = 0; i < 2 * PATTERNS; i++) {
			const Place place = i % 2 == 0 ? CALLER : OWN_THREAD;
			const long pattern = i / 2;
			registers_call *call = RegistersCall(in, row.nr, row.arg, pattern);
			ASSERT_NO_FATAL_FAILURE(Make(call, place));
			EXPECT_TRUE(row.right(call->result)) << row.name << ": " << call->result;
			EXPECT_EQ(call->wrong, 0u)
				<< row.name << ": " << std::hex << call->wrong << ", pattern " << pattern << ", at " << place;
			EXPECT_EQ(lych_free(in, call), 0);
		}
	}
}

TEST_F(RegistersOfADomain, AreThoseOfBeforeWhenAHandlerOfTheHostCallsTheDomainMeanwhile)
{
	struct sigaction action = {}, before;
	action.sa_handler = Interrupt;
	ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
	auto room = reinterpret_cast<long>(lych_alloc(in, 4096));
	int ends[2];
	ASSERT_EQ(Plain(SYS_pipe2, room), 0);
	ASSERT_EQ(lych_copy_out(in, ends, reinterpret_cast<void *>(room), sizeof(ends)), 0);

	const struct {
		const char *name;
		long nr;
		std::vector<long> arg;
		long result;
	} rows[] = {
		{"no call", REGISTERS_SPIN, {}, 0},
		{"futex", SYS_futex, {word, FUTEX_WAIT, 0, 0}, -EAGAIN},
		{"read", SYS_read, {ends[0], room, 4096}, 11},
	};
	for (const auto &row : rows) {
		for (int i = 0; i < 2 * PATTERNS; i++) {
			const Place place = i % 2 == 0 ? CALLER : OWN_THREAD;
			const long pattern = i / 2;
			registers_call *call = RegistersCall(in, row.nr, row.arg, pattern);
			const uint64_t made = Made(row.nr);
			int n = handled;
			ASSERT_NO_FATAL_FAILURE(Make(call, place, [&](int tid) {
				while (*filled == 0) {
					sched_yield();
				}
				while (row.nr >= 0 && Made(row.nr) == made) {
					sched_yield();
				}
				ASSERT_EQ(syscall(SYS_tgkill, getpid(), tid, SIGUSR1), 0);
				while (handled == n) {
					sched_yield();
				}
				if (row.nr == SYS_read) {
					EXPECT_EQ(Plain(SYS_write, ends[1], room, 11), 11);
				}
			}));
			EXPECT_EQ(handler_status, 0);
			EXPECT_EQ(call->result, row.result) << row.name;
			EXPECT_EQ(call->wrong, 0u)
				<< row.name << ": " << std::hex << call->wrong << ", pattern " << pattern << ", at " << place;
			EXPECT_EQ(lych_free(in, call), 0);
		}
	}
	ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

} // namespace
