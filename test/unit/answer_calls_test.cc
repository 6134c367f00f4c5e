// SPDX-License-Identifier: Apache-2.0
// What answers the system calls of code in a library domain: all but files and sockets.
#include "fake_library.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace
{

template <typename... Args> long Call(long nr, Args... args)
{
	uint64_t arg[6] = {(uint64_t)args...};
	return fake_call_end(nullptr, nr, arg);
}

template <typename... Args> bool Quick(long *result, long nr, Args... args)
{
	uint64_t arg[6] = {(uint64_t)args...};
	return fake_call_quick(nr, arg, result);
}

class Answers : public testing::Test
{
      protected:
	void SetUp() override
	{
		char why[200] = "";
		ASSERT_EQ(fake_library_new("pure", nullptr, 64, why, sizeof(why)), 0) << why;
	}
	void TearDown() override
	{
		fake_library_free();
	}
	template <typename T> T *Inside(size_t at = 0)
	{
		return reinterpret_cast<T *>(fake_arena() + at);
	}
};

// A call that stores bytes at a pointer of the domain's: argument number where of args.
struct Stores {
	const char *name;
	long nr;
	std::vector<uint64_t> args;
	int where;
	size_t bytes;
	bool quick;
};

class StoringCall : public testing::TestWithParam<Stores>
{
      protected:
	void SetUp() override
	{
		char why[200] = "";
		ASSERT_EQ(fake_library_new("pure", nullptr, 64, why, sizeof(why)), 0) << why;
	}
	void TearDown() override
	{
		fake_library_free();
	}
	long At(const char *at)
	{
		uint64_t arg[6] = {};
		std::copy(GetParam().args.begin(), GetParam().args.end(), arg);
		arg[GetParam().where] = (uint64_t)at;
		return fake_call_end(nullptr, GetParam().nr, arg);
	}
};

INSTANTIATE_TEST_SUITE_P(
	Each, StoringCall,
	testing::Values(Stores{"clock_gettime", SYS_clock_gettime, {CLOCK_MONOTONIC}, 1, sizeof(timespec), true},
			Stores{"clock_getres", SYS_clock_getres, {CLOCK_REALTIME}, 1, sizeof(timespec), true},
			Stores{"time", SYS_time, {}, 0, sizeof(time_t), true},
			Stores{"gettimeofday", SYS_gettimeofday, {}, 0, sizeof(timeval), true},
			Stores{"time_zone", SYS_gettimeofday, {}, 1, 8, true},
			Stores{"getrandom", SYS_getrandom, {0, 64, 0}, 0, 64, true},
			Stores{"much_random", SYS_getrandom, {0, 1000, 0}, 0, 1000, false},
			Stores{"uname", SYS_uname, {}, 0, sizeof(utsname), true},
			Stores{"sysinfo", SYS_sysinfo, {}, 0, sizeof(struct sysinfo), true},
			Stores{"times", SYS_times, {}, 0, 32, true},
			Stores{"getrusage", SYS_getrusage, {RUSAGE_SELF}, 1, sizeof(rusage), true},
			Stores{"getrusage_children", SYS_getrusage, {(uint64_t)RUSAGE_CHILDREN}, 1, sizeof(rusage), true},
			Stores{"getcpu", SYS_getcpu, {}, 0, 4, true}, Stores{"getcpu_node", SYS_getcpu, {}, 1, 4, true},
			Stores{"prlimit64", SYS_prlimit64, {0, RLIMIT_STACK, 0}, 3, 16, true},
			Stores{"getrlimit", SYS_getrlimit, {RLIMIT_NOFILE}, 1, 16, true},
			Stores{"sched_getparam", SYS_sched_getparam, {0}, 1, 4, true},
			Stores{"rt_sigaction", SYS_rt_sigaction, {SIGINT, 0, 0, 8}, 2, 32, true},
			Stores{"rt_sigprocmask", SYS_rt_sigprocmask, {SIG_BLOCK, 0, 0, 8}, 2, 8, true},
			Stores{"rt_sigpending", SYS_rt_sigpending, {0, 8}, 0, 8, true},
			Stores{"sigaltstack", SYS_sigaltstack, {}, 1, sizeof(stack_t), true},
			Stores{"prctl_name", SYS_prctl, {PR_GET_NAME}, 1, 16, true},
			Stores{"fstat", SYS_fstat, {0}, 1, sizeof(struct stat), false},
			Stores{"getcwd", SYS_getcwd, {0, 100}, 0, 2, false}),
	[](const auto &row) { return row.param.name; });

TEST_P(StoringCall, StoresWhereItIsWhollyInsideAndNowhereElse)
{
	const size_t bytes = GetParam().bytes;
	char *const start = fake_arena(), *const end = fake_arena_end();

	EXPECT_GE(At(start), 0) << "the control";
	EXPECT_GE(At(end - 8192 - bytes), 0) << "up to the last byte that can be written";
	for (char *at : {start - 1, start - bytes, start - 4096, end - bytes + 1, end, end + 100, end - 8192, end - 4096,
			 end - 8192 - bytes + 1, (char *)&errno, (char *)8, (char *)-8L, (char *)(1L << 47)}) {
		long result = At(at);
		// Random bytes may end early, where the next page cannot be written.
		bool early = GetParam().nr == SYS_getrandom && at > start && at < end - 8192 && result > 0 && result < (long)bytes;
		EXPECT_TRUE(result == -EFAULT || early) << (void *)at << " " << result;
	}
	// what lies around it is as it was
	for (long i = -4096; i < 0; i++) {
		ASSERT_EQ(start[i], 0);
	}
	for (long i = 0; i < 4096; i++) {
		ASSERT_EQ(end[i], 0);
	}
}

TEST_P(StoringCall, IsQuickWhenItIsSaidToBe)
{
	uint64_t arg[6] = {};
	long result = 0;
	std::copy(GetParam().args.begin(), GetParam().args.end(), arg);
	arg[GetParam().where] = (uint64_t)fake_arena();
	EXPECT_EQ(fake_call_quick(GetParam().nr, arg, &result), GetParam().quick);
}

TEST_F(Answers, AProcessIsToldWhatItIs)
{
	EXPECT_EQ(Call(SYS_getpid), getpid());
	EXPECT_EQ(Call(SYS_gettid), syscall(SYS_gettid));
	EXPECT_EQ(Call(SYS_getppid), 1);
	EXPECT_EQ(Call(SYS_geteuid), (long)geteuid());
	ASSERT_EQ(Call(SYS_uname, fake_arena()), 0);
	struct utsname real;
	uname(&real);
	EXPECT_STREQ(Inside<utsname>()->release, real.release);
	EXPECT_STRNE(Inside<utsname>()->nodename, real.nodename) << "the machine's name is nobody's business";
	ASSERT_EQ(Call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, fake_arena()), 0);
	EXPECT_EQ(Inside<rlimit>()->rlim_cur, 67u);
	EXPECT_GT(Call(SYS_sched_getaffinity, 0, 128, fake_arena()), 0);
	cpu_set_t set;
	sched_getaffinity(0, sizeof(set), &set);
	EXPECT_EQ(memcmp(fake_arena(), &set, 8), 0);
	EXPECT_EQ(Call(SYS_sched_getaffinity, 1, 128, fake_arena()), -ESRCH);
	EXPECT_EQ(fake_refused_all(), 0u);
}

TEST_F(Answers, LimitsAndSignalsOfTheProcessAreNotChanged)
{
	struct rlimit before, after;
	getrlimit(RLIMIT_NOFILE, &before);
	*Inside<rlimit>() = {1, 1};
	EXPECT_EQ(Call(SYS_prlimit64, 0, RLIMIT_NOFILE, fake_arena(), 0), -EPERM);
	EXPECT_EQ(Call(SYS_prlimit64, 1, RLIMIT_NOFILE, 0, fake_arena()), -EPERM);
	getrlimit(RLIMIT_NOFILE, &after);
	EXPECT_EQ(before.rlim_cur, after.rlim_cur);

	memset(fake_arena(), 0x41, 64);
	struct sigaction was, is;
	sigaction(SIGUSR1, nullptr, &was);
	EXPECT_EQ(Call(SYS_rt_sigaction, SIGUSR1, fake_arena(), 0, 8), 0);
	sigaction(SIGUSR1, nullptr, &is);
	EXPECT_EQ(was.sa_handler, is.sa_handler);
	sigset_t mask, mask_after;
	pthread_sigmask(SIG_BLOCK, nullptr, &mask);
	EXPECT_EQ(Call(SYS_rt_sigprocmask, SIG_BLOCK, fake_arena(), 0, 8), 0);
	pthread_sigmask(SIG_BLOCK, nullptr, &mask_after);
	EXPECT_EQ(memcmp(&mask, &mask_after, 8), 0);
	EXPECT_EQ(Call(SYS_rt_sigaction, 0, 0, 0, 8), -EINVAL);
	EXPECT_EQ(Call(SYS_rt_sigaction, 65, 0, 0, 8), -EINVAL);
	EXPECT_EQ(Call(SYS_rt_sigaction, SIGKILL, fake_arena(), 0, 8), -EINVAL);
	EXPECT_EQ(Call(SYS_rt_sigaction, SIGUSR1, 16, 0, 8), -EFAULT);
}

TEST_F(Answers, DangerousCallsAreRefusedAndTold)
{
	for (long nr : {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_io_uring_setup, SYS_userfaultfd, SYS_bpf,
			SYS_perf_event_open, SYS_seccomp, SYS_pkey_mprotect, SYS_pkey_alloc, SYS_pkey_free, SYS_modify_ldt,
			SYS_personality, SYS_execve, SYS_execveat, SYS_fork, SYS_vfork, SYS_shmget, SYS_shmat,
			SYS_memfd_create, SYS_mount, SYS_rt_sigreturn, SYS_rt_tgsigqueueinfo, SYS_setrlimit, SYS_chdir,
			SYS_socket, SYS_pipe2, SYS_mlockall, SYS_remap_file_pages, SYS_pidfd_getfd}) {
		EXPECT_EQ(Call(nr), -EPERM) << nr;
		EXPECT_EQ(fake_refused(nr), 1u) << nr;
	}
	EXPECT_EQ(Call(SYS_prctl, PR_SET_DUMPABLE, 1), -EPERM);
	EXPECT_EQ(Call(SYS_prctl, 59 /* PR_SET_SYSCALL_USER_DISPATCH */), -EPERM);
	EXPECT_EQ(fake_refused(SYS_prctl), 2u);
	EXPECT_EQ(Call(500), -ENOSYS);
	EXPECT_EQ(Call(-1), -ENOSYS);
	EXPECT_EQ(Call(0x40000000L + SYS_getpid), -EPERM) << "x32";
	EXPECT_EQ(fake_call_foreign(SYS_getpid), -EPERM);
	unsigned int told = fake_refused_all();
	for (long nr : {SYS_rseq, SYS_clone3, SYS_membarrier}) {
		EXPECT_EQ(Call(nr), -ENOSYS) << "as an old kernel";
	}
	EXPECT_EQ(fake_refused_all(), told);
}

TEST_F(Answers, SignalsToItselfEndTheCallAndThoseToOthersGoNowhere)
{
	enum fake_end end;
	const uint64_t abort[6] = {(uint64_t)getpid(), (uint64_t)syscall(SYS_gettid), SIGABRT};
	EXPECT_EQ(fake_call_end(&end, SYS_tgkill, abort), SIGABRT);
	EXPECT_EQ(end, FAKE_ABORT);
	const uint64_t probe[6] = {(uint64_t)getpid(), 0};
	EXPECT_EQ(fake_call_end(&end, SYS_kill, probe), 0);
	EXPECT_EQ(end, FAKE_RESULT);
	for (long pid : {(long)getppid(), 1L, -1L, 0L}) {
		EXPECT_EQ(Call(SYS_kill, pid, SIGKILL), -EPERM);
		EXPECT_EQ(Call(SYS_tgkill, pid, pid, SIGKILL), -EPERM);
		EXPECT_EQ(Call(SYS_tkill, pid, SIGKILL), -EPERM);
	}
	EXPECT_EQ(Call(SYS_kill, getpid(), 32), -EPERM);
	EXPECT_EQ(Call(SYS_kill, getpid(), 33), -EPERM) << "the kick is not the domain's to send";
	EXPECT_EQ(Call(SYS_kill, getpid(), 99), -EINVAL);
	const uint64_t status[6] = {7};
	EXPECT_EQ(fake_call_end(&end, SYS_exit_group, status), 7);
	EXPECT_EQ(end, FAKE_EXIT);
}

TEST_F(Answers, MemoryCallsGoToTheArena)
{
	EXPECT_EQ(Call(SYS_mmap, 4096, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
	EXPECT_STREQ(fake_memory()->name, "mmap");
	EXPECT_EQ(fake_memory()->arg[1], 8192u);
	EXPECT_EQ(fake_memory()->real_fd, -1);
	EXPECT_EQ(Call(SYS_mprotect, 4096, 8192, 1), 4096);
	EXPECT_STREQ(fake_memory()->name, "mprotect");
	EXPECT_EQ(Call(SYS_mprotect, 4096, 8192, 5), 4096);
	EXPECT_STREQ(fake_memory()->name, "code");
	EXPECT_EQ(fake_memory()->arg[3], 1ULL << 32);
	EXPECT_EQ(Call(SYS_mmap, 0, 8192, 7, MAP_PRIVATE | MAP_ANONYMOUS, 5, 0), 4096);
	EXPECT_STREQ(fake_memory()->name, "code");
	EXPECT_EQ(Call(SYS_mmap, 0, 8192, 1, MAP_PRIVATE, 0, 0), -ENODEV) << "no file is behind it";
	EXPECT_EQ(Call(SYS_mmap, 0, 8192, 1, MAP_PRIVATE, 9, 0), -EBADF);
	for (auto [nr, name] : std::vector<std::pair<long, const char *>>{{SYS_munmap, "munmap"},
									  {SYS_mremap, "mremap"},
									  {SYS_madvise, "madvise"},
									  {SYS_brk, "brk"},
									  {SYS_msync, "msync"},
									  {SYS_mincore, "mincore"},
									  {SYS_mlock, "mlock"}}) {
		EXPECT_EQ(Call(nr), 4096);
		EXPECT_STREQ(fake_memory()->name, name);
	}
}

TEST_F(Answers, MemoryThatCannotBeHadIsWrittenDown)
{
	uint64_t bytes = 0;

	Call(SYS_mmap, 0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(fake_no_memory(&bytes), 0u) << "it was there";
	fake_memory_says(-ENOMEM);
	Call(SYS_mmap, 0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(bytes, 0u);
	EXPECT_EQ(fake_no_memory(&bytes), 1u);
	EXPECT_EQ(bytes, 8192u);
	Call(SYS_mremap, 4096, 8192, 16384, MREMAP_MAYMOVE);
	EXPECT_EQ(fake_no_memory(&bytes), 1u);
	EXPECT_EQ(bytes, 16384u);
	Call(SYS_mprotect, 4096, 12288, 3);
	EXPECT_EQ(fake_no_memory(&bytes), 1u);
	EXPECT_EQ(bytes, 12288u);
	Call(SYS_madvise, 4096, 8192, 0);
	EXPECT_EQ(fake_no_memory(&bytes), 0u) << "that says that nothing is mapped there";
	fake_memory_says(-EINVAL);
	Call(SYS_mmap, 0, 0, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(fake_no_memory(&bytes), 0u);
	fake_memory_says(4096); // where the break is
	Call(SYS_brk, 0);
	Call(SYS_brk, 4096);
	EXPECT_EQ(fake_no_memory(&bytes), 0u);
	Call(SYS_brk, 4196);
	EXPECT_EQ(fake_no_memory(&bytes), 1u);
	EXPECT_EQ(bytes, 100u);
}

TEST_F(Answers, FutexWakesWhoWaits)
{
	auto *word = Inside<std::atomic<uint32_t>>();
	word->store(1);
	long waited = -1;
	// A word that is not private to the process, as glibc's join has it, is one all the same.
	std::thread waiter([&] { waited = Call(SYS_futex, word, FUTEX_WAIT, 1, 0); });
	long woken = 0;
	while (woken == 0) {
		ASSERT_TRUE(Quick(&woken, SYS_futex, word, FUTEX_WAKE_PRIVATE, 1));
		sched_yield();
	}
	waiter.join();
	EXPECT_EQ(woken, 1);
	EXPECT_EQ(waited, 0);
	EXPECT_EQ(Call(SYS_futex, word, FUTEX_WAIT_PRIVATE, 2, 0), -EAGAIN);
	auto *ts = Inside<timespec>(64);
	*ts = {0, 1000};
	EXPECT_EQ(Call(SYS_futex, word, FUTEX_WAIT_PRIVATE, 1, ts), -ETIMEDOUT);
	clock_gettime(CLOCK_REALTIME, ts);
	EXPECT_EQ(Call(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, 1, ts, 0, -1), -ETIMEDOUT);
	*ts = {0, 1000000000};
	EXPECT_EQ(Call(SYS_futex, word, FUTEX_WAIT_PRIVATE, 1, ts), -EINVAL);
}

TEST_F(Answers, FutexWordsOutsideAndOtherOperationsAreRefused)
{
	static uint32_t mine = 1;
	for (uint32_t *at : {&mine, (uint32_t *)(fake_arena() - 4), (uint32_t *)(fake_arena_end() - 2)}) {
		EXPECT_EQ(Call(SYS_futex, at, FUTEX_WAIT_PRIVATE, 1, 0), -EFAULT);
		EXPECT_EQ(Call(SYS_futex, at, FUTEX_WAKE_PRIVATE, 1), -EFAULT);
	}
	EXPECT_EQ(Call(SYS_futex, fake_arena(), FUTEX_WAIT_PRIVATE, 0, &mine), -EFAULT);
	for (int op : {FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP, FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_FD}) {
		EXPECT_EQ(Call(SYS_futex, fake_arena(), op | FUTEX_PRIVATE_FLAG, 1, 1, fake_arena() + 8), -ENOSYS);
	}
}

TEST_F(Answers, WhatWaitsGivesUpWhenTheCallIsToEnd)
{
	fake_interrupt(true);
	auto *ts = Inside<timespec>(64);
	*ts = {1000, 0};
	EXPECT_EQ(Call(SYS_futex, fake_arena(), FUTEX_WAIT_PRIVATE, 0, 0), -EINTR);
	EXPECT_EQ(Call(SYS_nanosleep, ts, fake_arena() + 128), -EINTR);
	EXPECT_GE(Inside<timespec>(128)->tv_sec, 900) << "what is left";
	EXPECT_EQ(Call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, ts, 0), -EINTR);
	EXPECT_EQ(Call(SYS_poll, 0, 0, -1), -EINTR);
	EXPECT_EQ(Call(SYS_ppoll, 0, 0, 0), -EINTR);
	EXPECT_EQ(Call(SYS_select, 0, 0, 0, 0, 0), -EINTR);
}

// A signal that has nothing to do with the call, as a host has them.
TEST_F(Answers, WhatWaitsGoesOnAfterAHandlerOfTheHost)
{
	struct sigaction nothing = {}, before;
	nothing.sa_handler = [](int) {};
	sigaction(SIGUSR2, &nothing, &before);
	auto *word = Inside<std::atomic<uint32_t>>();
	word->store(1);
	long waited = -1;
	std::atomic<pthread_t> who{};
	std::atomic<bool> there{false};
	std::thread waiter([&] {
		who = pthread_self();
		there = true;
		waited = Call(SYS_futex, word, FUTEX_WAIT_PRIVATE, 1, 0);
	});
	while (!there) {
		sched_yield();
	}
	while (fake_asked() < 3) { // a wait was cut short, or a slice was over
		pthread_kill(who, SIGUSR2);
		usleep(1000);
	}
	long woken = 0;
	while (woken == 0) {
		ASSERT_TRUE(Quick(&woken, SYS_futex, word, FUTEX_WAKE_PRIVATE, 1));
	}
	waiter.join();
	EXPECT_EQ(waited, 0);
	sigaction(SIGUSR2, &before, nullptr);
}

TEST_F(Answers, SleepingTakesItsTime)
{
	auto *ts = Inside<timespec>();
	struct timespec before, after;
	*ts = {0, 20000000};
	clock_gettime(CLOCK_MONOTONIC, &before);
	EXPECT_EQ(Call(SYS_nanosleep, ts, 0), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	EXPECT_GE((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec, 20000000);
	clock_gettime(CLOCK_MONOTONIC, ts);
	EXPECT_EQ(Call(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, ts, 0), 0);
	EXPECT_EQ(Call(SYS_nanosleep, 0, 0), -EFAULT);
	EXPECT_EQ(Call(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, ts, 0), -EINVAL);
}

TEST_F(Answers, ClocksOfOthersAreNotRead)
{
	EXPECT_EQ(Call(SYS_clock_gettime, -14 /* ~1 << 3 | 2 */, fake_arena()), -EINVAL) << "of process 1";
	EXPECT_EQ(Call(SYS_clock_gettime, 99, fake_arena()), -EINVAL);
	EXPECT_EQ(Call(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, fake_arena()), 0);
}

} // namespace
