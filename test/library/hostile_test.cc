// SPDX-License-Identifier: Apache-2.0
// What code in a library domain tries against the threads of the host that serve it.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include <lychgate/lychgate.h>

#include "hostile.h"
#include "library_live.h"

using Plain = void (*)();
LYCH_SYM(in, hostile_jump_to_callback, int, (Plain, int));
LYCH_SYM(in, hostile_eight, long, (long, long, long, long, long, long, long, long));
LYCH_SYM(the_domain, hostile_eight, long, (long, long, long, long, long, long, long, long));
LYCH_SYM(the_domain, hostile_fill, int, (int));
LYCH_SYM(in, hostile_sleep_with_locals, int, (void));

namespace {

lych_domain *the_domain;
std::atomic<int> called;
int status_of_nested;

} // namespace

static void takes_words(long, long, long, long, long, long, long, long)
{
	called++;
}
LYCH_CALLBACK(takes_words, void, (long, long, long, long, long, long, long, long));

static void calls_in(void)
{
	long sum = 0;

	called++;
	status_of_nested = LYCH_CALL(the_domain, &sum, hostile_eight, 1, 2, 3, 4, 5, 6, 7, 8);
	if (status_of_nested == 0 && sum != 36) {
		status_of_nested = -EILSEQ;
	}
}
LYCH_CALLBACK(calls_in, void, (void));

static void calls_in_from_handler(int)
{
	int n = 0;

	(void)!LYCH_CALL(the_domain, &n, hostile_fill, 0x22);
}

namespace {

class Hostile : public LibraryDomain {
protected:
	lych_domain *OpenHostile()
	{
		called = 0;
		the_domain = Open(LYCH_HOSTILE);
		return the_domain;
	}

	/* The domain is as good as new after whatever happened in it. */
	static void ExpectResets(lych_domain *in)
	{
		long sum = 0;

		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
		ASSERT_EQ(LYCH_CALL(in, &sum, hostile_eight, 1, 2, 3, 4, 5, 6, 7, 8), 0);
		EXPECT_EQ(sum, 36);
	}
};

TEST_F(Hostile, ThreadsHaveCallbacksReadArgumentsFromTheirStacks)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	void (*fn)(long, long, long, long, long, long, long, long) = nullptr;
	int back = 0;

	ASSERT_EQ(lych_callback(&fn, in, takes_words, nullptr), 0);
	ASSERT_EQ(LYCH_CALL(in, &back, hostile_jump_to_callback, reinterpret_cast<Plain>(fn), PROT_READ | PROT_WRITE), 0);
	EXPECT_EQ(back, 1);
	EXPECT_EQ(called, 1);
}

// The gate reads these words with the host's rights.
TEST_F(Hostile, ThreadsCannotHaveTheGateReadArgumentsWhereNothingIs)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	void (*fn)(long, long, long, long, long, long, long, long) = nullptr;

	ASSERT_EQ(lych_callback(&fn, in, takes_words, nullptr), 0);
	for (int i = 0; i < 3; i++) {
		int rc = LYCH_CALL(in, nullptr, hostile_jump_to_callback, reinterpret_cast<Plain>(fn), PROT_NONE);
		EXPECT_TRUE(rc == -EFAULT || rc == -ECANCELED) << rc;
		EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_SEGV);
		EXPECT_EQ(called, 0);
		ExpectResets(in);
		ASSERT_EQ(lych_callback(&fn, in, takes_words, nullptr), 0);
	}
}

TEST_F(Hostile, ThreadsAreCalledFromTheirCallbacks)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	void (*fn)(void) = nullptr;
	int back = 0;

	ASSERT_EQ(lych_callback(&fn, in, calls_in, nullptr), 0);
	ASSERT_EQ(LYCH_CALL(in, &back, hostile_jump_to_callback, fn, PROT_READ | PROT_WRITE), 0);
	EXPECT_EQ(back, 1);
	EXPECT_EQ(called, 1);
	EXPECT_EQ(status_of_nested, 0);
}

// The gate writes arguments with the host's rights, below where the callback came from.
TEST_F(Hostile, ThreadsCannotHaveTheGateWriteArgumentsWhereNothingIs)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	void (*fn)(void) = nullptr;

	for (int prot : {PROT_NONE, PROT_READ}) {
		long sum = 0;
		ASSERT_EQ(LYCH_CALL(the_domain, &sum, hostile_eight, 1, 2, 3, 4, 5, 6, 7, 8), 0); /* its address is known from now on */
		called = 0;
		ASSERT_EQ(lych_callback(&fn, in, calls_in, nullptr), 0);
		int rc = LYCH_CALL(in, nullptr, hostile_jump_to_callback, fn, prot);
		EXPECT_TRUE(rc == -EFAULT || rc == -ECANCELED) << rc;
		EXPECT_EQ(called, 1);
		EXPECT_EQ(status_of_nested, -EXFULL);
		ExpectResets(in);
	}
}

TEST_F(Hostile, FramesOfACallOutliveAHandlerThatCallsTheSameDomain)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	struct sigaction action = {}, before = {};
	std::atomic<bool> done{false};
	pthread_t self = pthread_self();
	int wrong = -1;

	action.sa_handler = calls_in_from_handler;
	ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
	std::thread sender([&done, self] {
		while (!done) {
			usleep(3000);
			pthread_kill(self, SIGUSR1);
		}
	});
	int rc = LYCH_CALL(in, &wrong, hostile_sleep_with_locals);
	done = true;
	sender.join();
	sigaction(SIGUSR1, &before, nullptr);
	EXPECT_EQ(rc, 0) << lych_fault_kind_name(lych_fault(in)->kind);
	EXPECT_EQ(wrong, 0);
}

} // namespace
