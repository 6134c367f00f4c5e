// SPDX-License-Identifier: Apache-2.0
// G8 for real: what threads and children have of a runtime that was started before, or after, them.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <thread>

#include <lychgate/lychgate.h>

#include "inside.h"

extern "C" {
int add_one(int n)
{
	return n + 1;
}
int through(int (*back)(int), int n)
{
	return back(n) + 1;
}
long wait_for(volatile int *arrived, volatile int *go)
{
	*arrived = 1;
	while (*go == 0) {
		__asm__ volatile("pause");
	}
	return 7;
}
int forks(int n);
LYCH_BIND(domain, add_one, int, (int));
LYCH_BIND(domain, through, int, (int (*)(int), int));
LYCH_BIND(domain, wait_for, long, (volatile int *, volatile int *));
LYCH_CALLBACK(forks, int, (int));
}

namespace
{

struct lych_domain *domain;
std::atomic<int> stage{0};
std::atomic<int> old_result{1};

// A gate is used: 0 or the negative errno; the result is looked at.
int use_gate()
{
	int result = 0;
	int rc = LYCH_CALL(domain, &result, add_one, 41);
	return rc == 0 && result != 42 ? 1 : rc;
}

int status_of(pid_t pid)
{
	int status = -1;
	EXPECT_EQ(waitpid(pid, &status, __WALL), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// A child's exit status for a gate that did, or did not, let it through.
int verdict()
{
	int rc = use_gate();
	return rc == 0 ? 0 : rc == -EPERM ? 1 : 2;
}

int gate_in_clone(void *)
{
	return verdict();
}

pid_t forked = -1;
int in_callback = -1; // of a gate used there, after the fork
int reset_in_callback = -1;

class Tasks : public testing::Test
{
protected:
	static void SetUpTestSuite()
	{
		old = std::thread([] {
			while (stage == 0) {
				std::this_thread::yield();
			}
			old_result = stage == 1 ? use_gate() : 1;
		});
		struct lych_init_opts opts = {};
		opts.size = sizeof(opts);
		opts.backend = LYCH_PKU;
		int rc = lych_init(&opts);
		if (rc == -EOPNOTSUPP && getenv("LYCH_REQUIRE_PKU") == nullptr) {
			EXPECT_STRNE(lych_why(), "");
			opts.backend = LYCH_MPROTECT;
			rc = lych_init(&opts);
		}
		EXPECT_EQ(rc, 0) << lych_why();
		EXPECT_EQ(lych_init(&opts), -EALREADY);
		EXPECT_EQ(lych_domain_new(&domain, nullptr), 0) << lych_why();
		stage = rc == 0 && domain != nullptr ? 1 : 2;
		old.join();
	}
	static void TearDownTestSuite()
	{
		EXPECT_EQ(lych_domain_free(domain), 0);
	}
	static std::thread old;
};
std::thread Tasks::old;

} // namespace

extern "C" int forks(int n)
{
	forked = fork();
	in_callback = use_gate();
	reset_in_callback = lych_domain_reset(domain);
	return n;
}

TEST_F(Tasks, AThreadOlderThanTheKeysAttaches)
{
	EXPECT_EQ(old_result, 0);
}

TEST_F(Tasks, ANewThreadAttaches)
{
	int rc = 1;
	std::thread thread([&rc] { rc = use_gate(); });
	thread.join();
	EXPECT_EQ(rc, 0);
}

// glibc gives a new thread the stack, and so the thread pointer and the TLS, of one that has ended.
TEST_F(Tasks, AThreadThatHasThePlaceOfAnEndedOneStartsWithNothingOfIt)
{
	struct seen {
		pthread_t self;
		inside before, after;
		int rc;
	};
	auto look = [](void *at) -> void * {
		auto *seen = static_cast<struct seen *>(at);
		seen->self = pthread_self();
		inside_look(&seen->before);
		seen->rc = use_gate();
		inside_look(&seen->after);
		return nullptr;
	};
	unsigned int threads = inside_threads();
	pthread_t last = 0;
	int same = 0;
	for (int i = 0; i < 50; i++) {
		struct seen seen = {};
		pthread_t thread;
		ASSERT_EQ(pthread_create(&thread, nullptr, look, &seen), 0);
		ASSERT_EQ(pthread_join(thread, nullptr), 0);
		same += seen.self == last;
		last = seen.self;
		EXPECT_EQ(seen.before.area, 0u) << "attached before it used anything";
		EXPECT_EQ(seen.rc, 0);
		EXPECT_NE(seen.after.area, 0u);
		EXPECT_EQ(seen.after.gs, seen.after.area);
		EXPECT_NE(seen.after.gs, seen.before.gs) << "that of who made it: the kernel hands it on";
		EXPECT_TRUE(seen.after.page_sound);
		EXPECT_EQ(inside_threads(), threads);
	}
	EXPECT_GT(same, 0) << "no thread had the place of another one: nothing was tested";
}

TEST_F(Tasks, AChildOfForkUsesGatesAndSoDoesItsChild)
{
	ASSERT_EQ(use_gate(), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int rc = verdict();
		pid_t grandchild = fork();
		if (grandchild == 0) {
			_exit(verdict());
		}
		_exit(rc != 0 ? rc : status_of(grandchild));
	}
	EXPECT_EQ(status_of(pid), 0);
	EXPECT_EQ(use_gate(), 0);
}

TEST_F(Tasks, AChildForkedByAThreadThatNeverAttachedUsesGates)
{
	int status = -1;
	std::thread thread([&status] {
		pid_t pid = fork();
		if (pid == 0) {
			_exit(verdict());
		}
		status = status_of(pid);
	});
	thread.join();
	EXPECT_EQ(status, 0);
}

TEST_F(Tasks, AChildForkedInACallbackReturnsThroughBothGatesAndSoDoesItsParent)
{
	int (*back)(int) = nullptr;
	int result = 0;
	ASSERT_EQ(lych_callback(&back, domain, forks, nullptr), 0);
	int rc = LYCH_CALL(domain, &result, through, back, 41);
	if (forked == 0) {
		// the calls it was forked in are its own, and over now
		bool right = rc == 0 && result == 42 && in_callback == 0 && reset_in_callback == -EBUSY &&
			     use_gate() == 0 && lych_domain_reset(domain) == 0 && use_gate() == 0 &&
			     lych_verify(nullptr, nullptr) == 0;
		_exit(right ? 7 : 1);
	}
	EXPECT_EQ(status_of(forked), 7);
	EXPECT_EQ(rc, 0);
	EXPECT_EQ(result, 42);
	EXPECT_EQ(in_callback, 0);
	EXPECT_EQ(reset_in_callback, -EBUSY);
	EXPECT_EQ(use_gate(), 0);
	EXPECT_EQ(lych_callback_free(domain, reinterpret_cast<void (*)()>(back)), 0);
}

TEST_F(Tasks, AChildOwesNothingToAThreadThatWasInADomainAndIsNotThere)
{
	static volatile int arrived, go;
	long result = 0;
	int rc = 1;
	arrived = go = 0;
	std::thread inside_domain([&] { rc = LYCH_CALL(domain, &result, wait_for, &arrived, &go); });
	while (arrived == 0) {
		std::this_thread::yield();
	}
	pid_t pid = fork();
	if (pid == 0) {
		alarm(120); // it would wait for ever for the other thread
		struct lych_domain *next = nullptr;
		bool right = use_gate() == 0 && lych_domain_reset(domain) == 0 && use_gate() == 0 &&
			     lych_verify(nullptr, nullptr) == 0 && lych_domain_free(domain) == 0 &&
			     lych_domain_new(&next, nullptr) == 0 && lych_domain_free(next) == 0;
		_exit(right ? 7 : 1);
	}
	EXPECT_EQ(status_of(pid), 7);
	// the parent's thread is still inside
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
	go = 1;
	inside_domain.join();
	EXPECT_EQ(rc, 0);
	EXPECT_EQ(result, 7);
	EXPECT_EQ(use_gate(), 0);
}

TEST_F(Tasks, AChildOfVforkUsesGatesOnMemoryOfItsOwn)
{
	ASSERT_EQ(use_gate(), 0);
	pid_t pid = vfork();
	if (pid == 0) {
		_exit(verdict());
	}
	EXPECT_EQ(status_of(pid), 0);
	EXPECT_EQ(use_gate(), 0);
}

TEST_F(Tasks, AChildThatNoForkHandlerSawIsRefused)
{
	ASSERT_EQ(use_gate(), 0);
	pid_t pid = _Fork();
	if (pid == 0) {
		_exit(verdict());
	}
	EXPECT_EQ(status_of(pid), 1);
	pid = static_cast<pid_t>(syscall(SYS_fork));
	if (pid == 0) {
		_exit(verdict());
	}
	EXPECT_EQ(status_of(pid), 1);
	EXPECT_EQ(use_gate(), 0);
}

TEST_F(Tasks, ATaskThatSharesTheAreaIsRefused)
{
	size_t bytes = 256 * 1024;
	char *stack =
		static_cast<char *>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(stack, MAP_FAILED);
	ASSERT_EQ(use_gate(), 0);
	for (int flags : {CLONE_VM | CLONE_VFORK | SIGCHLD, CLONE_VM | SIGCHLD, SIGCHLD}) {
		pid_t pid = clone(gate_in_clone, stack + bytes, flags, nullptr);
		ASSERT_GT(pid, 0);
		EXPECT_EQ(status_of(pid), 1) << flags;
		EXPECT_EQ(use_gate(), 0) << "the parent's area is as it was";
	}
	munmap(stack, bytes);
}

TEST_F(Tasks, ProgramsAreStartedAsEver)
{
	EXPECT_EQ(system("exit 4"), 4 << 8);
	EXPECT_EQ(use_gate(), 0);
}

TEST_F(Tasks, TheFloorIsThereFromTheFirstDomainOn)
{
	pid_t pid = fork();
	if (pid == 0) {
		syscall(0x40000000 | SYS_getpid);
		_exit(0);
	}
	EXPECT_EQ(status_of(pid), 1000 + SIGSYS);
}
