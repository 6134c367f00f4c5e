// SPDX-License-Identifier: Apache-2.0
// The inherited floor: what it kills, what it lets through, whom it reaches.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>

extern "C" {
int floor_start(void);
void why_set(const char *format, ...);
}

static std::string why;
void why_set(const char *format, ...)
{
	char buf[512];
	va_list ap;
	va_start(ap, format);
	vsnprintf(buf, sizeof(buf), format, ap);
	va_end(ap);
	why = buf;
}

namespace
{

// How a child ended that did this: its status as wait gives it.
int ended(const std::function<int()> &fn)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		_exit(fn());
	}
	EXPECT_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

bool killed_by_sigsys(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

// getpid of i386. Without a filter it works, or gives ENOSYS, or faults where the kernel has no such entry.
int int80()
{
	long rc;
	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	return 0;
}

int x32()
{
	syscall(0x40000000 | SYS_getpid);
	return 0;
}

} // namespace

TEST(Floor, KillsCallsOfTheX32Table)
{
	EXPECT_EQ(ended(x32), 0) << "the control";
	EXPECT_TRUE(killed_by_sigsys(ended([] { return floor_start() != 0 ? 1 : x32(); }))) << why;
}

TEST(Floor, KillsTheI386Entry)
{
	int control = ended(int80);
	EXPECT_FALSE(killed_by_sigsys(control)) << "the control";
	if (WIFSIGNALED(control)) {
		GTEST_SKIP() << "this kernel has no i386 entry at all";
	}
	EXPECT_TRUE(killed_by_sigsys(ended([] { return floor_start() != 0 ? 1 : int80(); })));
}

TEST(Floor, LetsEverythingElseThrough)
{
	EXPECT_EQ(ended([] {
			  if (floor_start() != 0) {
				  return 1;
			  }
			  for (long nr = 200; nr < 600; nr++) { // numbers the kernel has, and others
				  switch (nr) {
				  case SYS_exit_group:
				  case SYS_tkill:
				  case SYS_tgkill:
				  case 335: // uretprobe: SIGILL from anywhere but its trampoline
				  case 435: // clone3
					  continue;
				  default:
					  syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L);
				  }
			  }
			  return syscall(0x0c796368) == -1 && errno == ENOSYS ? 0 : 2; // lych_inside_alloc of a host
		  }),
		  0);
}

TEST(Floor, IsInheritedByChildren)
{
	EXPECT_EQ(ended([] {
			  if (floor_start() != 0) {
				  return 1;
			  }
			  return killed_by_sigsys(ended(x32)) ? 0 : 2;
		  }),
		  0);
}

TEST(Floor, ReachesThreadsThatWereThereBefore)
{
	EXPECT_TRUE(killed_by_sigsys(ended([] {
		std::atomic<bool> go{false};
		std::thread old([&go] {
			while (!go) {
				std::this_thread::yield();
			}
			x32();
		});
		if (floor_start() != 0) {
			return 1;
		}
		go = true;
		old.join();
		return 2;
	})));
}

TEST(Floor, IsLaidOnce)
{
	EXPECT_EQ(ended([] {
			  char line[256];
			  int filters = -1;
			  if (floor_start() != 0 || floor_start() != 0) {
				  return 1;
			  }
			  FILE *f = fopen("/proc/self/status", "re");
			  while (f != nullptr && fgets(line, sizeof(line), f) != nullptr) {
				  sscanf(line, "Seccomp_filters: %d", &filters);
			  }
			  static int before = 0; // of the test's own surroundings
			  FILE *parent = fopen(("/proc/" + std::to_string(getppid()) + "/status").c_str(), "re");
			  while (parent != nullptr && fgets(line, sizeof(line), parent) != nullptr) {
				  sscanf(line, "Seccomp_filters: %d", &before);
			  }
			  return filters == before + 1 ? 0 : 2;
		  }),
		  0);
}

TEST(Floor, SaysNoWhereAnotherThreadHasAFilterOfItsOwn)
{
	EXPECT_EQ(ended([] {
			  std::atomic<int> state{0};
			  std::thread other([&state] {
				  // allows everything, for this thread alone
				  struct {
					  unsigned short code;
					  unsigned char jt, jf;
					  unsigned int k;
				  } allow = {0x06, 0, 0, 0x7fff0000};
				  struct {
					  unsigned short len;
					  void *filter;
				  } prog = {1, &allow};
				  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
				  state = prctl(PR_SET_SECCOMP, 2, &prog) == 0 ? 1 : 2;
				  while (state < 3) {
					  std::this_thread::yield();
				  }
			  });
			  while (state == 0) {
				  std::this_thread::yield();
			  }
			  bool refused = state == 1 && floor_start() == -EOPNOTSUPP &&
					 why.find("seccomp") != std::string::npos;
			  state = 3;
			  other.join();
			  return refused ? 0 : 1;
		  }),
		  0);
}

TEST(Floor, SetsNoNewPrivs)
{
	EXPECT_EQ(ended([] { return floor_start() == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1; }), 0);
}
