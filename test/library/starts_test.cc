// SPDX-License-Identifier: Apache-2.0
// Libraries whose constructors start threads: what a reset brings back has them, too.
#include <gtest/gtest.h>
#include <dirent.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <lychgate/lychgate.h>

#include "inside.h"
#include "library_live.h"
#include "starts.h"

LYCH_SYM(in, starts_ask, int, (void));
LYCH_SYM(in, starts_sum, long, (int));
LYCH_SYM(in, starts_rounds, uint64_t, (uint64_t));
LYCH_SYM(in, starts_made, int, (int));
LYCH_SYM(in, starts_wrong, int, (void));
LYCH_SYM(in, starts_fault, void, (void));
LYCH_SYM(in, inside_add, int, (int, int));
LYCH_SYM(in, inside_thread_sum, long, (int, int));

namespace {

size_t Threads()
{
	size_t n = 0;
	DIR *dir = opendir("/proc/self/task");

	while (dir != nullptr && readdir(dir) != nullptr) {
		n++;
	}
	closedir(dir);
	return n;
}

class Starts : public LibraryDomain {
protected:
	/* All of the threads work, and have what they had. */
	static void ExpectWorks(lych_domain *in)
	{
		uint64_t rounds = 0;
		long sum = 0;
		int n = 0;

		ASSERT_EQ(LYCH_CALL(in, &n, starts_ask), 0) << lych_fault_kind_name(lych_fault(in)->kind);
		EXPECT_EQ(n, 1) << "it has the state of after lych_open";
		ASSERT_EQ(LYCH_CALL(in, &sum, starts_sum, 200), 0) << lych_fault_kind_name(lych_fault(in)->kind);
		EXPECT_EQ(sum, 20100);
		ASSERT_EQ(LYCH_CALL(in, &rounds, starts_rounds, 1000), 0) << lych_fault_kind_name(lych_fault(in)->kind);
		ASSERT_EQ(LYCH_CALL(in, &n, starts_wrong), 0);
		EXPECT_EQ(n, 0);
	}
};

TEST_F(Starts, ThreadsOfConstructorsWorkAgainAfterEachReset)
{
	lych_domain *in = Open(LYCH_STARTS);
	ASSERT_NE(in, nullptr);
	lych_usage usage;

	ExpectWorks(in);
	ASSERT_EQ(lych_library_usage(in, &usage), 0);
	const uint32_t threads = usage.threads;
	EXPECT_GE(threads, 6u);
	ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	const size_t of_process = Threads();
	for (int i = 0; i < 50; i++) {
		if (i % 3 == 0) {
			ASSERT_EQ(LYCH_CALL(in, nullptr, starts_fault), -EFAULT);
		} else if (i % 3 == 1) {
			ExpectWorks(in);
		}
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
		ASSERT_EQ(lych_library_usage(in, &usage), 0);
		ASSERT_EQ(usage.threads, threads);
	}
	ExpectWorks(in);
	/* Those that have ended may be on their way still. */
	for (int i = 0; i < 1000 && Threads() > of_process; i++) {
		usleep(10000);
	}
	EXPECT_LE(Threads(), of_process);
}

TEST_F(Starts, SixtyFourThreadsAreBroughtBack)
{
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.threads = 67; /* with those that do not wait for work */
	opts.heap_bytes = size_t{1} << 30; /* stacks */
	lych_domain *in = Open(LYCH_STARTS_MANY, &opts);
	ASSERT_NE(in, nullptr);
	long sum = 0;

	ExpectWorks(in);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(LYCH_CALL(in, nullptr, starts_fault), -EFAULT);
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
		ExpectWorks(in);
	}
	/* They count. */
	ASSERT_EQ(lych_load(in, LYCH_INSIDE), 0) << lych_why();
	ASSERT_EQ(LYCH_CALL(in, &sum, inside_thread_sum, 1, 3), 0);
	EXPECT_EQ(sum, -EAGAIN);
}

TEST_F(Starts, ThreadsThatMakeThreadsAllTheTimeStopToo)
{
	lych_domain *in = Open(LYCH_STARTS_MAKES);
	ASSERT_NE(in, nullptr);
	int n = 0;

	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(LYCH_CALL(in, &n, starts_made, 10), 0) << lych_fault_kind_name(lych_fault(in)->kind);
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
	ASSERT_EQ(LYCH_CALL(in, &n, starts_made, 10), 0) << lych_fault_kind_name(lych_fault(in)->kind);
	ExpectWorks(in);
}

TEST_F(Starts, StateAfterLoadingMoreHasTheThreadsAsTheyAreThen)
{
	lych_domain *in = Open(LYCH_STARTS);
	ASSERT_NE(in, nullptr);
	int n = 0;
	long sum = 0;

	ASSERT_EQ(LYCH_CALL(in, &n, starts_ask), 0);
	ASSERT_EQ(LYCH_CALL(in, &sum, starts_sum, 10), 0);
	ASSERT_EQ(lych_load(in, LYCH_INSIDE), 0) << lych_why();
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(LYCH_CALL(in, &n, starts_ask), 0);
		EXPECT_EQ(n, 2);
		ASSERT_EQ(LYCH_CALL(in, &sum, starts_sum, 100), 0);
		EXPECT_EQ(sum, 5050);
		ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
		EXPECT_EQ(n, 42);
		ASSERT_EQ(LYCH_CALL(in, &n, starts_wrong), 0);
		EXPECT_EQ(n, 0);
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
}

} // namespace
