// SPDX-License-Identifier: Apache-2.0
// A library domain is reset while threads of the host are inside: their calls end, and it is as it was after it was
// opened.
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include <lychgate/lychgate.h>

#include "inside.h"
#include "library_live.h"

using Step = int (*)(int);
LYCH_SYM(in, inside_add, int, (int, int));
LYCH_SYM(in, inside_count, int, (void));
LYCH_SYM(in, inside_next_value, int, (void));
LYCH_SYM(in, inside_apply, int, (Step, int));
LYCH_SYM(in, inside_loop_from, void, (int *));
LYCH_SYM(in, inside_syscall, long, (long, long, long, long, long, long, long));

namespace {

struct Callback {
	lych_domain *in;
	std::atomic<int> inside{0}, status{0};
};

} // namespace

// In the host, until the domain lets nobody in any more.
static int stays(int n)
{
	auto *c = static_cast<Callback *>(lych_callback_ctx());
	lych_domain *in = c->in;
	int sum = 0, status = 0;

	c->inside = 1;
	while ((status = LYCH_CALL(in, &sum, inside_add, n, 1)) == 0) {
		sched_yield();
	}
	c->status = status;
	return n;
}
LYCH_CALLBACK(stays, int, (int));

namespace {

enum Where { LOOP = 1, FUTEX = 2, READ = 4, CALLBACK = 8 };

class Reset : public LibraryDomain, public testing::WithParamInterface<int> {
protected:
	uint64_t Made(long nr)
	{
		lych_usage usage;

		EXPECT_EQ(lych_library_usage(in, &usage), 0);
		return usage.calls[nr];
	}

	long Raw(long nr, long a, long b, long c, long d)
	{
		long result = 0;

		EXPECT_EQ(LYCH_CALL(in, &result, inside_syscall, nr, a, b, c, d, 0, 0), 0);
		return result;
	}

	// A thread that makes this system call, which waits.
	void Wait(int *status, long nr, long a, long b, long c)
	{
		const uint64_t made = Made(nr);

		threads.emplace_back([=] { *status = LYCH_CALL(in, nullptr, inside_syscall, nr, a, b, c, 0, 0, 0); });
		while (Made(nr) == made) {
			sched_yield();
		}
	}

	lych_domain *in = nullptr;
	std::vector<std::thread> threads;
};

INSTANTIATE_TEST_SUITE_P(While, Reset, testing::Values(LOOP, FUTEX, READ, CALLBACK, LOOP | FUTEX | READ | CALLBACK),
			 [](const testing::TestParamInfo<int> &of) {
				 switch (of.param) {
				 case LOOP:
					 return "InALoop";
				 case FUTEX:
					 return "InAFutex";
				 case READ:
					 return "InARead";
				 case CALLBACK:
					 return "InACallback";
				 default:
					 return "InEach";
				 }
			 });

TEST_P(Reset, EndsTheCallsOfOtherThreads)
{
	Callback callback;
	Step fn = nullptr;

	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.policy = "net-client"; /* has pipes */
	in = callback.in = OpenInside(&opts);
	ASSERT_NE(in, nullptr);
	ASSERT_EQ(lych_callback(&fn, in, stays, &callback), 0);
	for (int round = 0; round < 20; round++) {
		int status[4] = {1, 1, 1, 1}, n = 0;
		auto *here = static_cast<int *>(lych_calloc(in, 1, sizeof(int)));
		auto *word = lych_calloc(in, 1, sizeof(int));
		auto *ends = static_cast<int *>(lych_calloc(in, 2, sizeof(int)));

		ASSERT_EQ(LYCH_CALL(in, &n, inside_next_value), 0);
		ASSERT_EQ(n, 42) << "the state of after lych_open";
		/* Those that are counted begin before one that makes system calls all the time. */
		if ((GetParam() & READ) != 0) {
			ASSERT_EQ(Raw(SYS_pipe2, reinterpret_cast<long>(ends), 0, 0, 0), 0);
			Wait(&status[0], SYS_read, ends[0], reinterpret_cast<long>(lych_alloc(in, 16)), 16);
		}
		if ((GetParam() & FUTEX) != 0) {
			Wait(&status[1], SYS_futex, reinterpret_cast<long>(word), FUTEX_WAIT, 0);
		}
		if ((GetParam() & LOOP) != 0) {
			threads.emplace_back([&] { status[2] = LYCH_CALL(in, nullptr, inside_loop_from, here); });
			while (*static_cast<volatile int *>(here) == 0) {
				sched_yield();
			}
		}
		if ((GetParam() & CALLBACK) != 0) {
			callback.inside = 0;
			callback.status = 0;
			threads.emplace_back([&] { status[3] = LYCH_CALL(in, nullptr, inside_apply, fn, 1000000); });
			while (callback.inside == 0) {
				sched_yield();
			}
		}
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
		for (std::thread &thread : threads) {
			thread.join();
		}
		threads.clear();
		for (int i = 0; i < 4; i++) {
			int where = i == 0 ? READ : i == 1 ? FUTEX : i == 2 ? LOOP : CALLBACK;
			EXPECT_EQ(status[i], (GetParam() & where) != 0 ? -ECANCELED : 1) << where << " in round " << round;
		}
		EXPECT_EQ(callback.status, (GetParam() & CALLBACK) != 0 ? -ECANCELED : 0);
		ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
		EXPECT_EQ(n, 42);
		ASSERT_EQ(LYCH_CALL(in, &n, inside_count), 0);
		EXPECT_EQ(n, 1) << "and thread-local storage is new";
	}
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

} // namespace
