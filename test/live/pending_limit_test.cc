/* SPDX-License-Identifier: Apache-2.0 */
// As many signals may wait as the user is allowed (RLIMIT_SIGPENDING), and none more: no right is kept, and nobody
// waits for ever, because a signal could not be sent (G8).
#include <lychgate/lychgate.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "inside.h"
#include "needs_pku.h"

namespace
{

uint32_t Pkru()
{
	uint32_t low, high;

	__asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(low), "=d"(high) : "c"(0)); // rdpkru
	return low;
}

void AllowNoSignalToWait()
{
	struct rlimit none = {0, 0};
	ASSERT_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
}

// The control: a queued signal to oneself cannot be sent any more.
int SendQueued()
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGRTMAX;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	return syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGRTMAX, &info) == 0 ? 0 : errno;
}

template <typename Code> int StatusOf(Code code)
{
	pid_t child = fork();

	if (child == 0) {
		alarm(60);
		code();
		_exit(::testing::Test::HasFailure() ? 1 : 0);
	}
	int status = 0;
	waitpid(child, &status, 0);
	return status;
}

TEST_F(NeedsPku, AThreadThatCannotAttachHasTheRightsItHadBefore)
{
	EXPECT_EQ(StatusOf([] {
			  std::atomic<int> step{0};
			  std::thread older([&] { // than the keys: it has no right to any
				  while (step == 0) {
					  std::this_thread::yield();
				  }
				  uint32_t before = Pkru();
				  EXPECT_EQ(lych_attach(), -ENOMEM);
				  EXPECT_EQ(Pkru(), before);
				  struct inside now;
				  inside_look(&now);
				  EXPECT_EQ(now.area, 0u);
			  });
			  ASSERT_EQ(lych_init(nullptr), 0) << lych_why();
			  AllowNoSignalToWait();
			  EXPECT_EQ(SendQueued(), EAGAIN);
			  step = 1;
			  older.join();
		  }),
		  0);
}

TEST_F(NeedsPku, AttachedThreadsFollowANewKeyAndLoseAnOldOne)
{
	EXPECT_EQ(StatusOf([] {
			  std::atomic<int> step{0};
			  uint32_t with = 0, without = 0;
			  ASSERT_EQ(lych_init(nullptr), 0) << lych_why();
			  std::thread other([&] {
				  EXPECT_EQ(lych_attach(), 0);
				  for (int seen = step = 1; seen < 4; seen = step) {
					  if (seen == 2) {
						  with = Pkru();
						  step = 3;
					  }
				  }
				  without = Pkru();
			  });
			  while (step == 0) {
				  std::this_thread::yield();
			  }
			  AllowNoSignalToWait();
			  EXPECT_EQ(SendQueued(), EAGAIN);
			  lych_domain *domain = nullptr;
			  ASSERT_EQ(lych_domain_new(&domain, nullptr), 0) << lych_why();
			  int key = lych_domain_key(domain);
			  step = 2;
			  while (step != 3) {
				  std::this_thread::yield();
			  }
			  EXPECT_EQ(lych_domain_free(domain), 0);
			  step = 4;
			  other.join();
			  EXPECT_TRUE(inside_rights(with, key));
			  EXPECT_FALSE(inside_rights(without, key));
		  }),
		  0);
}

} // namespace
