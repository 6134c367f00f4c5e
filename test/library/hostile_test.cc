// SPDX-License-Identifier: Apache-2.0
// What code in a library domain tries against the threads of the host that serve it.
#include <gtest/gtest.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <lychgate/lychgate.h>

#include "hostile.h"
#include "library_live.h"

using Plain = void (*)();
LYCH_SYM(in, hostile_jump_to_callback, int, (Plain, int));
LYCH_SYM(in, hostile_eight, long, (long, long, long, long, long, long, long, long));
LYCH_SYM(the_domain, hostile_eight, long, (long, long, long, long, long, long, long, long));
LYCH_SYM(the_domain, hostile_fill, int, (int));
LYCH_SYM(in, hostile_sleep_with_locals, int, (void));
LYCH_SYM(in, hostile_wait_at_exit, int, (void));
LYCH_SYM(in, hostile_exit_while_leaving, int, (void));
LYCH_SYM(in, hostile_spawn_hangs, int, (void));
LYCH_SYM(in, hostile_spawn_calls_back, int, (Plain));
LYCH_SYM(in, hostile_hit, int, (void));
LYCH_SYM(in, hostile_threads_stay, int, (int));
LYCH_SYM(in, hostile_make_thread, int, (void));
LYCH_SYM(in, hostile_code_room, void *, (void));
LYCH_SYM(in, hostile_map_code, int, (void *, int));
LYCH_SYM(in, hostile_unmap_meanwhile, int, (void *));
LYCH_SYM(in, hostile_unmap, int, (void *));
LYCH_SYM(in, hostile_stray, int, (void));
LYCH_SYM(in, hostile_wrong_call, int, (uint64_t));
LYCH_SYM(in, hostile_thread_with_word, int, (uint64_t));

namespace {

lych_domain *the_domain;
std::atomic<int> called;
int status_of_nested;
sigjmp_buf out_of_it;

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

static void leaves(void)
{
	called++;
	siglongjmp(out_of_it, 1);
}
LYCH_CALLBACK(leaves, void, (void));

static void leave_by_handler(int)
{
	siglongjmp(out_of_it, 1);
}

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

TEST_F(Hostile, ExitWhileTheDomainIsClosedIsNoResult)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	int n = 0;
	std::atomic<int> rc{1};

	ASSERT_EQ(LYCH_CALL(in, &n, hostile_wait_at_exit), 0);
	std::thread other([in, &rc] {
		int result = 0;
		rc = LYCH_CALL(in, &result, hostile_exit_while_leaving);
	});
	usleep(20000);
	EXPECT_EQ(Close(in), 0);
	other.join();
	EXPECT_TRUE(rc == -EFAULT || rc == -ECANCELED) << rc;
}

// Who is let in makes thread-local storage of the domain's, by its code, one at a time.
TEST_F(Hostile, CodeThatLetsNobodyInKeepsNobodyBeyondADeadline)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	int n = 0;
	std::atomic<int> first{1}, second{1};

	ASSERT_EQ(LYCH_CALL(in, &n, hostile_spawn_hangs), 0);
	ASSERT_EQ(n, 0);
	std::thread hanging([in, &first] { first = LYCH_CALL(in, nullptr, hostile_hit); });
	do {
		ASSERT_EQ(LYCH_CALL(in, &n, hostile_hit), 0);
	} while (n == 0);
	std::thread waiting([in, &second] { second = LYCH_CALL_TIMEOUT(in, 50, nullptr, hostile_hit); });
	waiting.join();
	EXPECT_EQ(second, -ETIMEDOUT);
	std::thread closing([this, in] { EXPECT_EQ(Close(in), 0); }); /* destructors want in, too */
	closing.join();
	hanging.join();
	EXPECT_TRUE(first == -ECANCELED || first == -EOWNERDEAD) << first;
}

// A callback that is left by longjmp would leave the thread half in.
TEST_F(Hostile, CodeThatLetsSomebodyInCannotCallBack)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	void (*fn)(void) = nullptr;
	int n = 0;

	ASSERT_EQ(lych_callback(&fn, in, leaves, nullptr), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, hostile_spawn_calls_back, fn), 0);
	ASSERT_EQ(n, 0);
	std::thread entering([in] {
		if (sigsetjmp(out_of_it, 1) == 0) {
			EXPECT_EQ(LYCH_CALL(in, nullptr, hostile_hit), -EFAULT);
			EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_GATE);
		}
	});
	entering.join();
	EXPECT_EQ(called, 0);
	ExpectResets(in);
	std::thread next([in, &n] { EXPECT_EQ(LYCH_CALL(in, &n, hostile_hit), 0); });
	next.join();
}

TEST_F(Hostile, ThreadsThatAChildOfForkHasNotAreNotWaitedForThere)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	int n = 0, status = 0;

	ASSERT_EQ(LYCH_CALL(in, &n, hostile_threads_stay, 3), 0);
	ASSERT_EQ(n, 3);
	pid_t child = fork();
	if (child == 0) {
		alarm(20);
		int ok = lych_domain_reset(in) == 0 && LYCH_CALL(in, &n, hostile_threads_stay, 2) == 0 && n == 2;
		if (ok) {
			std::thread([&ok, in] {
				int sum = 0;
				ok = LYCH_CALL(in, &sum, hostile_hit) == 0;
			}).join();
		}
		_exit(ok && lych_domain_free(in) == 0 ? 0 : 1);
	}
	ASSERT_GT(child, 0);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

bool IsExecutable(void *at)
{
	std::ifstream maps("/proc/self/maps");
	std::string line;

	while (std::getline(maps, line)) {
		uint64_t from = strtoull(line.c_str(), nullptr, 16);
		uint64_t to = strtoull(line.c_str() + line.find('-') + 1, nullptr, 16);
		auto want = reinterpret_cast<uint64_t>(at);

		if (want >= from && want < to) {
			return line[line.find(' ') + 3] == 'x';
		}
	}
	return false;
}

// What stays there could be moved next to other code, and nobody would look at the border.
TEST_F(Hostile, CodeThatIsUnmappedWhileItIsLookedAtIsNotThereAfterwards)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	void *at = nullptr;
	int mapped = 0, unmapped = 0, rc = -1;

	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(LYCH_CALL(in, &at, hostile_code_room), 0);
		std::thread other([in, at, &unmapped] { EXPECT_EQ(LYCH_CALL(in, &unmapped, hostile_unmap_meanwhile, at), 0); });
		ASSERT_EQ(LYCH_CALL(in, &mapped, hostile_map_code, at, 10), 0) << lych_fault_kind_name(lych_fault(in)->kind);
		other.join();
		ASSERT_EQ(LYCH_CALL(in, &rc, hostile_unmap, at), 0);
		EXPECT_EQ(rc, 0);
		ASSERT_FALSE(IsExecutable(at)) << "in round " << i << ", mapped " << mapped << " unmapped " << unmapped;
	}
	EXPECT_GT(mapped, 0);
	EXPECT_GT(unmapped, 0);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

TEST_F(Hostile, CodeThatWasRepairedRunsAfterTheStateIsKeptAndAfterAReset)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	int n = 0;

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(LYCH_CALL(in, &n, hostile_stray), 0) << lych_fault_kind_name(lych_fault(in)->kind);
		EXPECT_EQ(n, 0xef010f);
		ExpectResets(in);
	}
}

// Those who map code, and begin threads, hold locks of the runtime's, or wait for it, when the handler comes.
TEST_F(Hostile, SystemCallsThatAHandlerLeavesLeaveNothingBehind)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	struct sigaction action = {}, before = {};
	std::atomic<bool> armed{false}, done{false};
	pthread_t self = pthread_self();
	void *at = nullptr;

	action.sa_handler = leave_by_handler;
	ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
	std::thread sender([&armed, &done, self] {
		while (!done) {
			usleep(2000);
			if (armed.exchange(false)) {
				pthread_kill(self, SIGUSR1);
			}
		}
	});
	for (volatile int i = 0; i < 30; i++) {
		ASSERT_EQ(LYCH_CALL(in, &at, hostile_code_room), 0);
		if (sigsetjmp(out_of_it, 1) == 0) {
			armed = true;
			if (i % 2 == 0) {
				(void)!LYCH_CALL(in, nullptr, hostile_map_code, at, 1000000);
			} else {
				while (LYCH_CALL(in, nullptr, hostile_make_thread) == 0) {
				}
			}
			FAIL() << "it has to be left";
		}
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
	done = true;
	sender.join();
	sigaction(SIGUSR1, &before, nullptr);
	int mapped = 0;
	ASSERT_EQ(LYCH_CALL(in, &at, hostile_code_room), 0);
	ASSERT_EQ(LYCH_CALL(in, &mapped, hostile_map_code, at, 3), 0);
	EXPECT_EQ(mapped, 3);
	ExpectResets(in);
}

TEST_F(Hostile, CallsAboutThreadsTakeNoAddressOfTheHost)
{
	lych_domain *in = OpenHostile();
	ASSERT_NE(in, nullptr);
	static uint64_t words[64];
	int n = -1;
	long sum = 0;

	memset(words, 0x5a, sizeof(words));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(LYCH_CALL(in, &n, hostile_wrong_call, reinterpret_cast<uint64_t>(&words[32])), 0);
		EXPECT_EQ(n, 0);
		ASSERT_EQ(LYCH_CALL(in, &n, hostile_thread_with_word, reinterpret_cast<uint64_t>(&words[32])), 0);
		EXPECT_EQ(n, 0);
	}
	ASSERT_EQ(LYCH_CALL(in, &n, hostile_threads_stay, 1000), 0);
	EXPECT_LE(n, 16);
	EXPECT_GE(n, 13) << "the limit";
	ASSERT_EQ(LYCH_CALL(in, &sum, hostile_eight, 1, 2, 3, 4, 5, 6, 7, 8), 0);
	ExpectResets(in);
	ASSERT_EQ(LYCH_CALL(in, &n, hostile_threads_stay, 1000), 0);
	EXPECT_EQ(n, 16);
	ASSERT_EQ(Close(in), 0);
	for (uint64_t word : words) {
		EXPECT_EQ(word, 0x5a5a5a5a5a5a5a5a);
	}
}

size_t Entries(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	while (dir != nullptr && readdir(dir) != nullptr) {
		n++;
	}
	closedir(dir);
	return n;
}

/* Kilobytes of addresses. */
size_t Addresses()
{
	std::ifstream status("/proc/self/status");
	std::string line;

	while (std::getline(status, line)) {
		if (line.rfind("VmSize:", 0) == 0) {
			return strtoul(line.c_str() + 7, nullptr, 10);
		}
	}
	return 0;
}

TEST_F(Hostile, OpenLeavesNothingWhereThereIsNoKeyOrTheThreadCannotAttach)
{
	struct rlimit before = {}, none = {};
	std::vector<int> keys;
	lych_domain *d = nullptr;

	ASSERT_EQ(Close(OpenHostile()), 0);
	size_t fds = Entries("/proc/self/fd"), threads = Entries("/proc/self/task"), kilobytes = Addresses();
	for (int key; (key = pkey_alloc(0, 0)) >= 0;) {
		keys.push_back(key);
	}
	EXPECT_EQ(lych_open(&d, LYCH_HOSTILE, nullptr), -ENOSPC) << lych_why();
	EXPECT_EQ(d, nullptr);
	for (int key : keys) {
		EXPECT_EQ(pkey_free(key), 0);
	}
	EXPECT_EQ(Entries("/proc/self/fd"), fds);
	EXPECT_LT(Addresses(), kilobytes + 4096);

	ASSERT_EQ(getrlimit(RLIMIT_SIGPENDING, &before), 0);
	none = before;
	none.rlim_cur = 0;
	int rc = 0;
	ASSERT_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	std::thread([&] { rc = lych_open(&d, LYCH_HOSTILE, nullptr); }).join();
	ASSERT_EQ(setrlimit(RLIMIT_SIGPENDING, &before), 0);
	EXPECT_EQ(rc, -ENOMEM);
	EXPECT_EQ(d, nullptr);
	EXPECT_EQ(Entries("/proc/self/fd"), fds);
	while (Entries("/proc/self/task") > threads) { /* joined, and on its way */
		usleep(1000);
	}
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
	std::thread([&] { rc = lych_open(&d, LYCH_HOSTILE, nullptr); }).join();
	ASSERT_EQ(rc, 0) << lych_why();
	EXPECT_EQ(lych_domain_free(d), 0);
}

struct Shortage {
	const char *name;
	__rlimit_resource resource;
	rlim_t first, step;
	int steps;
};

class Short : public Hostile, public ::testing::WithParamInterface<Shortage> {};

TEST_P(Short, OpenLeavesNothingWhereItFails)
{
	const Shortage &p = GetParam();
	struct rlimit before = {};
	int failed = 0;

	ASSERT_EQ(Close(OpenHostile()), 0);
	ASSERT_EQ(Close(OpenHostile()), 0);
	size_t fds = Entries("/proc/self/fd"), threads = Entries("/proc/self/task"), kilobytes = Addresses();
	ASSERT_EQ(getrlimit(p.resource, &before), 0);
	for (int i = 0; i < p.steps; i++) {
		lych_domain *d = nullptr;
		struct rlimit now = before;

		now.rlim_cur = (p.resource == RLIMIT_AS ? kilobytes * 1024 : p.resource == RLIMIT_NOFILE ? fds - 2 : 0) + p.first +
			       static_cast<rlim_t>(i) * p.step;
		ASSERT_EQ(setrlimit(p.resource, &now), 0);
		int rc = lych_open(&d, LYCH_HOSTILE, nullptr);
		std::string why = lych_why();
		ASSERT_EQ(setrlimit(p.resource, &before), 0);
		if (rc != 0) {
			failed++;
			EXPECT_EQ(d, nullptr);
			EXPECT_NE(why, "") << rc;
		} else {
			EXPECT_EQ(lych_domain_free(d), 0);
		}
		EXPECT_EQ(Entries("/proc/self/fd"), fds) << rc << " " << why;
		EXPECT_EQ(Entries("/proc/self/task"), threads) << rc << " " << why;
		EXPECT_LT(Addresses(), kilobytes + 4096) << rc << " " << why;
	}
	EXPECT_GT(failed, 0);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
	/* As many as before. */
	std::vector<lych_domain *> all;
	for (lych_domain *d = nullptr; lych_open(&d, LYCH_HOSTILE, nullptr) == 0;) {
		all.push_back(d);
	}
	EXPECT_GE(all.size(), 12u) << lych_why();
	for (lych_domain *d : all) {
		EXPECT_EQ(lych_domain_free(d), 0);
	}
}

INSTANTIATE_TEST_SUITE_P(Hostile, Short,
			 ::testing::Values(Shortage{"OfDescriptors", RLIMIT_NOFILE, 0, 1, 7},
					   Shortage{"OfAddresses", RLIMIT_AS, 4096, 1900 << 20, 4},
					   Shortage{"OfAddressesAtTheEnd", RLIMIT_AS, 8447ULL << 20, 1 << 20, 16},
					   Shortage{"OfTheSizeOfFiles", RLIMIT_FSIZE, 0, 65536, 4}),
			 [](const auto &test) { return std::string(test.param.name); });

} // namespace
