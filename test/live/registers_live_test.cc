// SPDX-License-Identifier: Apache-2.0
// A system call of a domain that the runtime answers leaves every register as the kernel leaves it, those of AVX-512 too: without
// keys, as the machine that has them has no AVX-512, and the way back into a domain (lych_resume) is the same there, and the same
// for library domains (test/library/registers_test.cc).
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <functional>
#include <thread>
#include <vector>

#include <lychgate/lychgate.h>

#include "../library/registers_call.h"
#include "live.h"

extern "C" {
LYCH_BIND(domain, registers_make, void, (struct registers_call *));
LYCH_BIND(domain, registers_control, uint64_t, (int));
}

namespace
{

constexpr long kPatterns = 4; // all bits that there are, none, and any

std::atomic<int> handled;

// All registers are the handler's.
void Interrupt(int)
{
	registers_release();
	handled++;
}

class RegistersOfInImageCode : public testing::Test
{
      protected:
	void SetUp() override
	{
		ASSERT_EQ(live_start(), 0) << lych_why();
		domain = live_domain("registers");
		ASSERT_NE(domain, nullptr);
	}
	void TearDown() override { EXPECT_EQ(lych_domain_free(domain), 0); }

	lych_domain *domain = nullptr;
};

// The control: what changes there is seen. The fs base is set by a system call that is refused here.
TEST_F(RegistersOfInImageCode, ThatChangeAreSeen)
{
	const int level = registers_level();

	printf("registers of level %d\n", level);
	for (int n = 0; n < REGISTERS_CONTROLS; n++) {
		int behind = n - REGISTERS_KINDS;
		int bit = behind < 0 ? n : behind < 16 ? REGISTERS_HIGH : behind < 24 ? REGISTERS_MASKS : REGISTERS_FLAGS;
		int needs = bit == REGISTERS_HIGH || bit == REGISTERS_MASKS ? 2 : bit >= REGISTERS_UPPER ? 1 : 0;
		uint64_t wrong = 0;
		if (level >= needs && n != REGISTERS_FS) {
			ASSERT_EQ(LYCH_CALL(domain, &wrong, registers_control, n), 0);
			EXPECT_EQ(wrong, uint64_t{1} << bit) << "control " << n;
		}
	}
}

TEST_F(RegistersOfInImageCode, AreThoseOfBeforeAfterASystemCallThatIsAnswered)
{
	auto room = reinterpret_cast<long>(lych_calloc(domain, 1, 4096));
	const struct {
		const char *name;
		long nr;
		std::vector<long> arg;
		std::function<bool(long)> right;
	} rows[] = {
		{"getpid", SYS_getpid, {}, [](long rc) { return rc == getpid(); }},
		{"clock_gettime", SYS_clock_gettime, {CLOCK_MONOTONIC, room}, [](long rc) { return rc == 0; }},
		{"getrandom", SYS_getrandom, {room, 4096, 0}, [](long rc) { return rc > 0; }},
		{"sched_yield", SYS_sched_yield, {}, [](long rc) { return rc == 0; }},
		{"futex, another value", SYS_futex, {room, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 7, 0}, [](long rc) { return rc == -EAGAIN; }},
		{"a bad address", SYS_clock_gettime, {CLOCK_MONOTONIC, 8}, [](long rc) { return rc == -EFAULT; }},
		{"a refused one", SYS_ptrace, {0, 1, 0, 0}, [](long rc) { return rc == -EPERM; }},
		{"no call", 4000, {1, 2, 3}, [](long rc) { return rc == -ENOSYS; }},
	};
	for (const auto &row : rows) {
		for (long pattern = 0; pattern < kPatterns; pattern++) {
			*reinterpret_cast<int *>(room) = 0;
			registers_call *call = RegistersCall(domain, row.nr, row.arg, pattern);
			ASSERT_EQ(LYCH_CALL(domain, LYCH_NOTHING, registers_make, call), 0) << row.name;
			EXPECT_TRUE(row.right(call->result)) << row.name << ": " << call->result;
			EXPECT_EQ(call->wrong, 0u) << row.name << ": " << std::hex << call->wrong << ", pattern " << pattern;
			EXPECT_EQ(lych_free(domain, call), 0);
		}
	}
}

TEST_F(RegistersOfInImageCode, AreThoseOfBeforeBehindAHandlerOfTheHost)
{
	struct sigaction action = {}, before;
	action.sa_handler = Interrupt;
	ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
	for (long pattern = 0; pattern < kPatterns; pattern++) {
		registers_call *call = RegistersCall(domain, REGISTERS_SPIN, {}, pattern);
		std::atomic<int> tid{0}, rc{1};
		const int n = handled;
		*static_cast<volatile int *>(&registers_in) = 0;
		std::thread caller([&] {
			tid = gettid();
			rc = LYCH_CALL(domain, LYCH_NOTHING, registers_make, call);
		});
		while (*static_cast<volatile int *>(&registers_in) == 0) {
			sched_yield();
		}
		EXPECT_EQ(syscall(SYS_tgkill, getpid(), tid.load(), SIGUSR1), 0);
		caller.join();
		EXPECT_EQ(rc, 0);
		EXPECT_EQ(handled, n + 1);
		EXPECT_EQ(call->wrong, 0u) << std::hex << call->wrong << ", pattern " << pattern;
		EXPECT_EQ(lych_free(domain, call), 0);
	}
	ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

} // namespace
