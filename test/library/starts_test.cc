// SPDX-License-Identifier: Apache-2.0
// Libraries whose constructors start threads: what a reset brings back has them, too.
#include <gtest/gtest.h>
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include <lychgate/lychgate.h>

#include "inside.h"
#include "library_live.h"
#include "starts.h"

LYCH_SYM(in, starts_ask, int, (void));
LYCH_SYM(in, starts_sum, long, (int));
LYCH_SYM(in, starts_rounds, uint64_t, (uint64_t));
LYCH_SYM(in, starts_made, int, (int));
LYCH_SYM(in, starts_mapped, int, (void));
LYCH_SYM(in, starts_wrong, int, (void));
LYCH_SYM(in, starts_fault, void, (void));
LYCH_SYM(in, starts_loop, void, (void));
LYCH_SYM(in, starts_wait, void, (void));
LYCH_SYM(in, inside_add, int, (int, int));
LYCH_SYM(in, inside_thread_sum, long, (int, int));

namespace {

std::atomic<int> threads_left{-1}; /* how many may be made; negative: any number */

} // namespace

/* Stands before that of the C library. */
extern "C" int pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	static const auto real = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));

	if (threads_left >= 0 && threads_left-- == 0) {
		threads_left = 0;
		return EAGAIN;
	}
	return real(out, attr, fn, arg);
}

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

/* The functions on the way to where the call ended. */
std::string Way(lych_domain *in)
{
	std::string out;
	char text[256];

	for (int i = 0; lych_fault_where(lych_fault(in), i, text, sizeof(text)) == 0 || i < lych_fault(in)->nframes; i++) {
		out += std::string(text) + "\n";
	}
	return out;
}

void NoteWay(lych_domain *in, int, void *out)
{
	*static_cast<std::string *>(out) = in != nullptr ? Way(in) : "";
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

TEST_F(Starts, ResetFailsAsAWholeWhereThreadsCannotBeMade)
{
	lych_domain *in = Open(LYCH_STARTS);
	ASSERT_NE(in, nullptr);
	lych_usage usage;
	int n = 0;

	for (int left = 0; left < 6; left += 2) {
		threads_left = left;
		int rc = lych_domain_reset(in);
		threads_left = -1;
		ASSERT_EQ(rc, -ENOMEM);
		EXPECT_NE(std::string(lych_why()).find("threads"), std::string::npos) << lych_why();
		EXPECT_EQ(LYCH_CALL(in, &n, starts_ask), -EOWNERDEAD);
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
		ASSERT_EQ(lych_library_usage(in, &usage), 0);
		EXPECT_EQ(usage.threads, 6u);
		ExpectWorks(in);
	}
}

TEST_F(Starts, ResetThatHasLostTheStateLeavesADomainThatCanBeClosed)
{
	lych_domain *in = Open(LYCH_STARTS);
	ASSERT_NE(in, nullptr);
	int n = 0, closed = 0;

	for (int fd = 3; fd < 1 << 20 && closed == 0; fd++) {
		char name[64], target[64] = "";
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		if (readlink(name, target, sizeof(target) - 1) > 0 && strstr(target, "lychgate:snapshot") != nullptr) {
			closed += close(fd) == 0;
		}
	}
	ASSERT_EQ(closed, 1);
	EXPECT_EQ(lych_domain_reset(in), -ENOMEM);
	EXPECT_EQ(LYCH_CALL(in, &n, starts_ask), -EOWNERDEAD);
	EXPECT_EQ(lych_domain_reset(in), -ENOMEM);
	EXPECT_EQ(Close(in), 0) << lych_why();
}

TEST_F(Starts, ThreadsOfAVaultAreBroughtBackToo)
{
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.vault = true;
	lych_domain *in = Open(LYCH_STARTS, &opts);
	ASSERT_NE(in, nullptr);

	for (const char *name : {"starts_ask", "starts_sum", "starts_rounds", "starts_wrong", "starts_fault"}) {
		void *at = nullptr;
		ASSERT_EQ(lych_symbol(in, &at, name, nullptr), 0) << lych_why();
		ASSERT_EQ(lych_vault_allow(in, reinterpret_cast<void (*)()>(at)), 0);
	}
	for (int i = 0; i < 3; i++) {
		ExpectWorks(in);
		ASSERT_EQ(LYCH_CALL(in, nullptr, starts_fault), -EFAULT);
		EXPECT_EQ(lych_fault(in)->gpr[7], 0u) << "registers stay with it";
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
	ExpectWorks(in);
}

TEST_F(Starts, CancelEndsCallsAndNoThreadsOfItsOwn)
{
	lych_domain *in = Open(LYCH_STARTS);
	ASSERT_NE(in, nullptr);
	lych_usage usage;

	ASSERT_EQ(lych_domain_cancel(in), 0);
	ASSERT_EQ(lych_library_usage(in, &usage), 0);
	EXPECT_EQ(usage.threads, 6u);
	ExpectWorks(in);
	std::atomic<int> status{1};
	std::thread waiter([&] { status = LYCH_CALL(in, nullptr, starts_wait); });
	while (status == 1) {
		EXPECT_EQ(lych_domain_cancel(in), 0);
		sched_yield();
	}
	waiter.join();
	EXPECT_EQ(status, -ECANCELED);
	int n = 0;
	EXPECT_EQ(LYCH_CALL(in, &n, starts_ask), -EOWNERDEAD) << "what it held is held for good";
	EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_CANCELED);
	EXPECT_GE(lych_fault(in)->nframes, 1);
	ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	ExpectWorks(in);
}

TEST_F(Starts, LoadingEndsForOneThreadOnlyWhenItHasEnded)
{
	lych_domain *in = Open(LYCH_INSIDE);
	ASSERT_NE(in, nullptr);
	std::atomic<int> slow{1};
	std::thread first([&] { slow = lych_load(in, LYCH_STARTS_SLOW); });

	/* It waits for the lock of the loader inside, and looks for files when the other one's constructor has returned. */
	usleep(100000);
	int rc = lych_load(in, "libz.so.1");
	EXPECT_TRUE(rc == 0 || rc == -EBUSY) << rc << lych_why();
	first.join();
	EXPECT_TRUE(slow == 0 || slow == -EBUSY) << slow;
	EXPECT_EQ(lych_load(in, "libz.so.1"), 0) << lych_why();
	ASSERT_EQ(lych_domain_reset(in), 0);
	void *at = nullptr;
	EXPECT_EQ(lych_symbol(in, &at, "crc32", nullptr), 0);
	EXPECT_EQ(lych_symbol(in, &at, "starts_ask", nullptr), 0);
}

TEST_F(Starts, AConstructorThatNeverEndsIsEndedAndNamed)
{
	std::string way;
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.on_opened = NoteWay;
	opts.tell_ctx = &way;

	/* As long as a machine needs to come there. */
	for (opts.open_timeout_ms = 500; opts.open_timeout_ms < 100000; opts.open_timeout_ms *= 3) {
		lych_domain *in = nullptr;

		ASSERT_EQ(lych_open(&in, LYCH_STARTS_LOOPS, &opts), -ETIMEDOUT);
		ASSERT_EQ(in, nullptr);
		ASSERT_NE(std::string(lych_why()).find("open_timeout_ms"), std::string::npos) << lych_why();
		if (way.find("starts_loop+") != std::string::npos) {
			break;
		}
	}
	EXPECT_NE(way.find("starts_loop+"), std::string::npos) << way;
}

TEST_F(Starts, AConstructorThatNeverEndsPoisonsTheDomainItIsLoadedInto)
{
	lych_domain *in = nullptr;
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	int n = 0;

	for (opts.open_timeout_ms = 1000; in == nullptr && opts.open_timeout_ms < 100000; opts.open_timeout_ms *= 3) {
		(void)!lych_open(&in, LYCH_INSIDE, &opts);
	}
	ASSERT_NE(in, nullptr) << lych_why();
	EXPECT_EQ(lych_load(in, LYCH_STARTS_LOOPS), -ETIMEDOUT);
	EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_DEADLINE);
	EXPECT_EQ(LYCH_CALL(in, &n, inside_add, 1, 2), -EOWNERDEAD);
	ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 1, 2), 0);
	EXPECT_EQ(n, 3);
	EXPECT_EQ(lych_domain_free(in), 0);
}

TEST_F(Starts, AThreadOfAConstructorThatFaultsIsWhyItDoesNotOpen)
{
	lych_domain *in = nullptr;

	EXPECT_EQ(lych_open(&in, LYCH_STARTS_FAULTS, nullptr), -EFAULT);
	EXPECT_EQ(in, nullptr);
	EXPECT_NE(std::string(lych_why()).find("segmentation fault"), std::string::npos) << lych_why();
}

/* In a system call of a thread of a constructor's, until it is let go. */
struct Told {
	pthread_t opener = pthread_self();
	std::atomic<bool> let_go{false}, there{false};
};

void StayInFile(const char *, uint64_t, void *ctx)
{
	auto *told = static_cast<Told *>(ctx);

	while (!told->let_go && pthread_equal(pthread_self(), told->opener) == 0) {
		told->there = true;
		usleep(1000);
	}
}

void LetGoOfFailed(lych_domain *, int status, void *ctx)
{
	if (status != 0) {
		static_cast<Told *>(ctx)->let_go = true;
	}
}

TEST_F(Starts, OneThatDoesNotStopLeavesNothingToGoBackToUntilThereIs)
{
	Told told;
	lych_domain *in = nullptr;
	lych_library_opts opts = {};
	lych_usage usage;
	int n = 0;

	opts.size = sizeof(opts);
	opts.on_file = StayInFile;
	opts.on_opened = LetGoOfFailed;
	opts.tell_ctx = &told;
	/* As long as a machine needs to open it; so long is waited for the thread, too. Loading what is loaded is less. */
	for (opts.open_timeout_ms = 2000; in == nullptr && opts.open_timeout_ms < 100000; opts.open_timeout_ms *= 3) {
		told.let_go = told.there = false;
		(void)!lych_open(&in, LYCH_STARTS_MAPS, &opts);
	}
	ASSERT_NE(in, nullptr) << lych_why();
	ASSERT_TRUE(told.there);
	ASSERT_EQ(LYCH_CALL(in, &n, starts_ask), 0);
	EXPECT_EQ(n, 1);
	ASSERT_EQ(lych_library_usage(in, &usage), 0);
	for (int i = 2; i < 5; i++) {
		EXPECT_EQ(lych_domain_reset(in), -EOPNOTSUPP);
		EXPECT_NE(std::string(lych_why()).find("did not stop"), std::string::npos) << lych_why();
		ASSERT_EQ(LYCH_CALL(in, &n, starts_ask), 0);
		EXPECT_EQ(n, i) << "nothing has changed";
		const uint32_t threads = usage.threads;
		ASSERT_EQ(lych_library_usage(in, &usage), 0);
		EXPECT_EQ(usage.threads, threads);
	}
	/* Loading more has no state to keep either. */
	EXPECT_EQ(lych_load(in, "libc.so.6"), -EBUSY);
	EXPECT_EQ(lych_domain_reset(in), -EOPNOTSUPP);
	ASSERT_EQ(LYCH_CALL(in, &n, starts_mapped), 0);
	EXPECT_EQ(n, 0);

	told.let_go = true;
	while (n == 0) {
		ASSERT_EQ(LYCH_CALL(in, &n, starts_mapped), 0);
	}
	ASSERT_EQ(lych_load(in, "libc.so.6"), 0) << lych_why();
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(LYCH_CALL(in, &n, starts_ask), 0);
		EXPECT_EQ(n, 5) << "as it was when it could be kept";
		ASSERT_EQ(LYCH_CALL(in, &n, starts_wrong), 0);
		EXPECT_EQ(n, 0);
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
	EXPECT_EQ(lych_domain_free(in), 0) << lych_why();
}

TEST_F(Starts, AMissedDeadlineSaysWhereTheCallWas)
{
	lych_domain *in = Open(LYCH_STARTS);
	ASSERT_NE(in, nullptr);

	ASSERT_EQ(LYCH_CALL_TIMEOUT(in, 50, nullptr, starts_loop), -ETIMEDOUT);
	EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_DEADLINE);
	EXPECT_EQ(lych_fault(in)->signal, 0);
	EXPECT_EQ(Way(in).find("starts_loop+"), 0u) << Way(in);
	ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	ASSERT_EQ(LYCH_CALL_TIMEOUT(in, 50, nullptr, starts_wait), -ETIMEDOUT);
	EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_DEADLINE);
	EXPECT_NE(Way(in).find("starts_wait+"), std::string::npos) << Way(in);
	ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	ExpectWorks(in);
}

} // namespace
