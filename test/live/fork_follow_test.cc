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

} // namespace
