/* SPDX-License-Identifier: Apache-2.0 */
// Threads that are waited for by whoever changes keys: one that is about to fork, one that does not answer (G8).
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "inside.h"
#include "live.h"

extern "C" {
int twice(int n)
{
	return 2 * n;
}
LYCH_BIND(domain, twice, int, (int));
using callback_fn = int (*)(int);
int call_back(callback_fn fn, int n)
{
	return fn(n) + 1;
}
LYCH_BIND(domain, call_back, int, (callback_fn, int));
int fork_here(int n);
LYCH_CALLBACK(fork_here, int, (int));
std::atomic<int> waits;
int wait_here(int n);
LYCH_CALLBACK(wait_here, int, (int));
int wait_here(int n)
{
	for (waits = 1; waits == 1;) {
		usleep(1000);
	}
	return n;
}
pid_t forked;
int fork_here(int n)
{
	forked = fork();
	return n;
}
}

namespace
{

template <typename Code> int StatusOf(Code code)
{
	pid_t child = fork();

	if (child == 0) {
		alarm(300);
		code();
		_exit(::testing::Test::HasFailure() ? 1 : 0);
	}
	int status = 0;
	waitpid(child, &status, 0);
	return status;
}

// Whoever forks waits for the lock that whoever changes keys holds while he waits for everybody's answer.
TEST(Follow, AThreadThatForksAnswersWhileItWaits)
{
	EXPECT_EQ(StatusOf([] {
			  ASSERT_EQ(live_start(), 0) << lych_why();
			  std::atomic<bool> end{false};
			  std::thread changer([&] {
				  for (int i = 0; !end || i == 0; i++) {
					  lych_domain *d = nullptr;
					  EXPECT_EQ(lych_domain_new(&d, nullptr), 0) << lych_why();
					  EXPECT_EQ(lych_domain_free(d), 0);
				  }
			  });
			  for (int i = 0; i < 200; i++) {
				  pid_t child = fork();
				  if (child == 0) {
					  _exit(0);
				  }
				  int status = -1;
				  EXPECT_EQ(waitpid(child, &status, 0), child);
				  EXPECT_EQ(status, 0);
			  }
			  end = true;
			  changer.join();
		  }),
		  0);
}

// A bare system call can block the kick. The thread keeps the rights it has: so a key it had goes to nobody, and it is not
// waited for without end.
TEST(Follow, AThreadThatDoesNotAnswerKeepsRightsOnlyToKeysThatNobodyGets)
{
	EXPECT_EQ(StatusOf([] {
			  lych_init_opts opts = {};
			  opts.max_keys = 6;
			  ASSERT_EQ(live_start(opts), 0) << lych_why();
			  lych_domain *before = live_domain("before"), *after = nullptr, *more = nullptr;
			  int key = inside_key_of(before);
			  std::atomic<int> step{0};
			  std::thread deaf([&] {
				  uint64_t all = ~0ull, mask = 0;
				  EXPECT_EQ(lych_attach(), 0);
				  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
				  step = 1;
				  while (step == 1) {
					  std::this_thread::yield();
				  }
				  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof(mask));
				  step = 3;
				  while (step == 3) {
					  std::this_thread::yield();
				  }
			  });
			  while (step == 0) {
				  std::this_thread::yield();
			  }
			  EXPECT_EQ(lych_domain_new(&after, nullptr), -EBUSY);
			  EXPECT_EQ(after, nullptr);
			  EXPECT_NE(std::string(lych_why()).find("does not answer"), std::string::npos);
			  EXPECT_EQ(lych_domain_free(before), 0);
			  step = 2;
			  while (step != 3) {
				  std::this_thread::yield();
			  }
			  // now it answers: the key that was given back is gone, all others are there
			  for (lych_domain **d : {&after, &more, &before}) {
				  ASSERT_EQ(lych_domain_new(d, nullptr), 0) << lych_why();
				  EXPECT_NE(inside_key_of(*d), key);
			  }
			  lych_domain *none = nullptr;
			  EXPECT_EQ(lych_domain_new(&none, nullptr), -ENOSPC);
			  EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
			  step = 4;
			  deaf.join();
		  }),
		  0);
}

// The thread that resets a domain is not there in a child, and neither are the calls that it waits for.
TEST(Follow, AChildOfWhoeverForksDuringAResetResetsAndFreesTheDomainItself)
{
	EXPECT_EQ(StatusOf([] {
			  ASSERT_EQ(live_start(), 0) << lych_why();
			  lych_domain *domain = live_domain("domain");
			  callback_fn callback = nullptr;
			  int result = 0, rc = 0;
			  ASSERT_EQ(lych_callback(&callback, domain, wait_here, nullptr), 0);
			  std::thread inside([&] { EXPECT_EQ(LYCH_CALL(domain, &result, call_back, callback, 41), -ECANCELED); });
			  while (waits != 1) {
				  usleep(1000);
			  }
			  std::thread resets([&] { EXPECT_EQ(lych_domain_reset(domain), 0); });
			  do {
				  rc = LYCH_CALL(domain, &result, twice, 21);
			  } while (rc == 0);
			  EXPECT_EQ(rc, -ECANCELED);
			  pid_t child = fork();
			  if (child == 0) {
				  bool poisoned = LYCH_CALL(domain, &result, twice, 21) == -EOWNERDEAD;
				  bool reset = lych_domain_reset(domain) == 0 && LYCH_CALL(domain, &result, twice, 21) == 0;
				  _exit(poisoned && reset && lych_domain_free(domain) == 0 ? 0 : 1);
			  }
			  int status = -1;
			  EXPECT_EQ(waitpid(child, &status, 0), child);
			  EXPECT_EQ(status, 0);
			  waits = 2;
			  resets.join();
			  inside.join();
			  EXPECT_EQ(LYCH_CALL(domain, &result, twice, 21), 0);
		  }),
		  0);
}

// Timers are not inherited, and count as signals that wait. Without one nobody could end a call: it is not made.
TEST(Follow, AChildThatGetsNoTimerIsRefusedUntilThereIsOne)
{
	EXPECT_EQ(StatusOf([] {
			  ASSERT_EQ(live_start(), 0) << lych_why();
			  lych_domain *domain = live_domain("domain");
			  callback_fn callback = nullptr;
			  ASSERT_EQ(lych_callback(&callback, domain, fork_here, nullptr), 0);
			  struct rlimit before, none;
			  int result = 0;
			  EXPECT_EQ(LYCH_CALL(domain, &result, twice, 21), 0);
			  getrlimit(RLIMIT_SIGPENDING, &before);
			  none = before;
			  none.rlim_cur = 0;
			  ASSERT_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
			  result = 0;
			  int rc = LYCH_CALL(domain, &result, call_back, callback, 41);
			  if (forked == 0) {
				  // the call that it was inside of ends, too
				  EXPECT_EQ(rc, -ENOMEM);
				  EXPECT_EQ(result, 0);
				  EXPECT_EQ(LYCH_CALL(domain, &result, twice, 21), -ENOMEM);
				  EXPECT_EQ(lych_attach(), -ENOMEM);
				  pid_t grandchild = fork();
				  if (grandchild == 0) {
					  signal(SIGUSR1, [](int) {});
					  raise(SIGUSR1);
					  _exit(LYCH_CALL(domain, &result, twice, 21) == -ENOMEM ? 0 : 1);
				  }
				  int status = -1;
				  EXPECT_EQ(waitpid(grandchild, &status, 0), grandchild);
				  EXPECT_EQ(status, 0);
				  EXPECT_EQ(setrlimit(RLIMIT_SIGPENDING, &before), 0);
				  EXPECT_EQ(lych_attach(), 0);
				  EXPECT_EQ(LYCH_CALL(domain, &result, twice, 21), 0);
				  EXPECT_EQ(result, 42);
				  EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, 60000, &result, twice, 4), 0);
				  return;
			  }
			  EXPECT_EQ(rc, 0);
			  EXPECT_EQ(result, 42);
			  int status = -1;
			  EXPECT_EQ(waitpid(forked, &status, 0), forked);
			  EXPECT_EQ(status, 0);
		  }),
		  0);
}

} // namespace
