// SPDX-License-Identifier: Apache-2.0
// G5 and G7 for real: code in a domain makes system calls by its own instructions. With the pku backend where there are
// keys, else with mprotect. Each attack is first made outside of a domain, where it works.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>

#include <lychgate/lychgate.h>
#include <lychgate/policy.h>

#include "live.h"

extern "C" {

// By an instruction of its own: no libc, no errno.
static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc;
}

long do_raw(long nr, long a, long b, long c)
{
	return raw(nr, a, b, c, 0, 0, 0);
}

// write of the i386 table
long do_int80(long nr)
{
	long rc;
	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(nr), "b"(-1L) : "memory", "r8", "r9", "r10", "r11");
	return static_cast<int>(rc);
}

long do_write(const char *text, size_t bytes)
{
	char copy[64];
	memcpy(copy, text, bytes < sizeof(copy) ? bytes : sizeof(copy));
	return raw(SYS_write, 2, reinterpret_cast<long>(copy), static_cast<long>(bytes), 0, 0, 0);
}

long do_clock(void)
{
	struct timespec ts = {0, 0};
	long rc = raw(SYS_clock_gettime, CLOCK_REALTIME, reinterpret_cast<long>(&ts), 0, 0, 0, 0);
	return rc != 0 ? rc : ts.tv_sec;
}

long do_wait_for_ever(void)
{
	int word = 0;
	long rc = -EINTR;
	while (rc == -EINTR || rc == -EAGAIN) {
		rc = raw(SYS_futex, reinterpret_cast<long>(&word), FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, 0, 0, 0);
	}
	return rc;
}

void do_abort(void)
{
	abort();
}

void do_exit(int status)
{
	_exit(status);
}

void *do_alloc(size_t bytes)
{
	return lych_inside_alloc(bytes);
}

LYCH_BIND(domain, do_raw, long, (long, long, long, long));
LYCH_BIND(domain, do_int80, long, (long));
LYCH_BIND(domain, do_write, long, (const char *, size_t));
LYCH_BIND(domain, do_clock, long, (void));
LYCH_BIND(domain, do_wait_for_ever, long, (void));
LYCH_BIND(domain, do_abort, void, (void));
LYCH_BIND(domain, do_exit, void, (int));
LYCH_BIND(domain, do_alloc, void *, (size_t));
}

namespace
{

class Mediated : public testing::Test
{
protected:
	static void SetUpTestSuite()
	{
		ASSERT_EQ(live_start(), 0) << lych_why();
	}
	void SetUp() override
	{
		ASSERT_EQ(lych_domain_new(&domain, nullptr), 0) << lych_why();
	}
	void TearDown() override
	{
		EXPECT_EQ(lych_domain_free(domain), 0);
	}
	// What a bare system call of the domain gives.
	long inside(long nr, long a = 0, long b = 0, long c = 0)
	{
		long result = 12345;
		EXPECT_EQ(LYCH_CALL(domain, &result, do_raw, nr, a, b, c), 0);
		return result;
	}
	static std::string printed(const struct lych_fault *fault)
	{
		char text[8192];
		int fds[2];
		EXPECT_EQ(pipe(fds), 0);
		EXPECT_EQ(lych_fault_print(fault, fds[1]), 0);
		close(fds[1]);
		ssize_t n = read(fds[0], text, sizeof(text));
		close(fds[0]);
		return n > 0 ? std::string(text, static_cast<size_t>(n)) : "";
	}
	struct lych_domain *domain = nullptr;
};

} // namespace

TEST_F(Mediated, ACallIsAnsweredAndTheDomainGoesOn)
{
	EXPECT_EQ(inside(SYS_getpid), getpid());
	EXPECT_EQ(inside(SYS_gettid), syscall(SYS_gettid));
	long result = 0;
	ASSERT_EQ(LYCH_CALL(domain, &result, do_clock), 0);
	EXPECT_NEAR(static_cast<double>(result), static_cast<double>(time(nullptr)), 100);
}

TEST_F(Mediated, StandardErrorIsReached)
{
	int fds[2], real = dup(2);
	char buf[16] = "";
	long result = 0;
	ASSERT_EQ(pipe(fds), 0);
	dup2(fds[1], 2);
	int rc = LYCH_CALL(domain, &result, do_write, "inside\n", 7);
	dup2(real, 2);
	EXPECT_EQ(rc, 0);
	EXPECT_EQ(result, 7);
	EXPECT_EQ(read(fds[0], buf, sizeof(buf)), 7);
	EXPECT_STREQ(buf, "inside\n");
	close(fds[0]);
	close(fds[1]);
	close(real);
}

// Reads what was written to standard error while it was open.
class Captured
{
public:
	Captured() : real_(dup(2))
	{
		EXPECT_EQ(pipe2(fds_, O_NONBLOCK), 0);
		dup2(fds_[1], 2);
	}
	~Captured()
	{
		dup2(real_, 2);
		close(real_);
		close(fds_[0]);
		close(fds_[1]);
	}
	std::string text()
	{
		char buf[256];
		ssize_t n = read(fds_[0], buf, sizeof(buf));
		return n > 0 ? std::string(buf, static_cast<size_t>(n)) : "";
	}

private:
	int real_, fds_[2];
};

TEST_F(Mediated, TheMonitorWritesNoMemoryOfOthersForADomain)
{
	static const char literal[] = "of the program";
	struct lych_domain *other = nullptr;
	uint64_t gs = 0;
	ASSERT_EQ(lych_domain_new(&other, nullptr), 0);
	char *secret = lych_strdup(other, "secret");
	ASSERT_NE(secret, nullptr);
	ASSERT_EQ(syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &gs), 0);
	long area = static_cast<long>(gs), monitor = area + 4096, at = reinterpret_cast<long>(secret);

	Captured captured;
	// the control: the host has the right, and what the domain may read is written
	EXPECT_EQ(write(2, secret, 6), 6);
	EXPECT_EQ(captured.text(), "secret");
	EXPECT_EQ(inside(SYS_write, 2, reinterpret_cast<long>(literal), 14), 14);
	EXPECT_EQ(captured.text(), literal);

	EXPECT_EQ(inside(SYS_write, 2, at, 6), -EFAULT);
	EXPECT_EQ(inside(SYS_write, 2, monitor, 16), -EFAULT);
	EXPECT_EQ(inside(SYS_write, 2, monitor - 8, 16), -EFAULT) << "from the gate page into the monitor's";
	for (long to : {at, area, monitor}) {
		EXPECT_EQ(inside(SYS_clock_gettime, CLOCK_REALTIME, to), -EFAULT);
		EXPECT_EQ(inside(SYS_getrandom, to, 4), -EFAULT);
		EXPECT_EQ(inside(SYS_futex, to, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1), -EFAULT);
	}
	EXPECT_EQ(captured.text(), "");
	EXPECT_STREQ(secret, "secret");
	EXPECT_EQ(lych_domain_free(other), 0);
}

TEST_F(Mediated, ClosedRegionsStayClosedForADomainsCalls)
{
	struct lych_region *region = nullptr;
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	long at = reinterpret_cast<long>(lych_region_address(region));
	struct lych_scope scope;
	char *open = static_cast<char *>(lych_scope_open(&scope, region, true));
	ASSERT_NE(open, nullptr);
	strcpy(open, "secret");
	Captured captured;
	EXPECT_EQ(write(2, open, 6), 6) << "the control";
	EXPECT_EQ(captured.text(), "secret");
	EXPECT_EQ(inside(SYS_write, 2, at, 6), -EFAULT) << "open for the host, and not for the domain";
	lych_scope_close(&scope);
	EXPECT_EQ(inside(SYS_write, 2, at, 6), -EFAULT);
	EXPECT_EQ(captured.text(), "");
	EXPECT_EQ(lych_region_free(region), 0);
}

TEST_F(Mediated, WhatOpensTheWayOutIsRefusedAndWrittenDown)
{
	long path = reinterpret_cast<long>("/dev/null");
	// the control: outside it works
	long fd = do_raw(SYS_open, path, O_RDONLY, 0);
	ASSERT_GE(fd, 0);
	close(static_cast<int>(fd));

	EXPECT_EQ(inside(SYS_open, path, O_RDONLY), -EPERM);
	for (long nr : {SYS_mmap,        SYS_mprotect,      SYS_munmap,     SYS_pkey_alloc,
			SYS_pkey_free,   SYS_pkey_mprotect, SYS_madvise,    SYS_clone,
			SYS_fork,        SYS_vfork,         SYS_execve,     SYS_rt_sigaction,
			SYS_sigaltstack, SYS_prctl,         SYS_arch_prctl, SYS_process_vm_readv,
			SYS_ptrace,      SYS_rseq,          SYS_seccomp,    SYS_rt_sigreturn}) {
		EXPECT_EQ(inside(nr), -EPERM) << nr;
	}
	struct lych_refusal list[64];
	size_t n = lych_refused(domain, list, 64);
	EXPECT_EQ(n, 21u);
	EXPECT_EQ(list[0].nr, SYS_open);
	EXPECT_EQ(list[0].count, 1u);
	EXPECT_EQ(memcmp(reinterpret_cast<const void *>(list[0].rip - 2), "\x0f\x05", 2), 0) << "behind a SYSCALL";
}

TEST_F(Mediated, WhatWasRefusedStandsInTheReportOfAFault)
{
	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, do_abort), -EFAULT);
	EXPECT_EQ(lych_fault(domain)->refused, 0u) << "the control";
	EXPECT_EQ(printed(lych_fault(domain)).find("refused"), std::string::npos);

	ASSERT_EQ(lych_domain_reset(domain), 0);
	EXPECT_EQ(inside(SYS_getpid), getpid());
	EXPECT_EQ(inside(SYS_mmap), -EPERM);
	EXPECT_EQ(inside(SYS_execve), -EPERM);
	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, do_abort), -EFAULT);
	EXPECT_EQ(lych_fault(domain)->refused, 2u);
	EXPECT_EQ(lych_fault(domain)->last_refused, SYS_execve);
	EXPECT_FALSE(lych_fault(domain)->last_foreign);
	std::string line = "\n  system calls refused to it: 2, the last one execve (59)\n";
	EXPECT_NE(printed(lych_fault(domain)).find(line), std::string::npos) << printed(lych_fault(domain));

	ASSERT_EQ(lych_domain_reset(domain), 0);
	EXPECT_EQ(inside(-5), -ENOSYS);
	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, do_abort), -EFAULT);
	EXPECT_EQ(lych_fault(domain)->refused, 3u) << "since it was made";
	EXPECT_EQ(lych_fault(domain)->last_refused, -5);
	line = "\n  system calls refused to it: 3, the last one number -5\n";
	EXPECT_NE(printed(lych_fault(domain)).find(line), std::string::npos) << printed(lych_fault(domain));

	ASSERT_EQ(lych_domain_reset(domain), 0);
	long result = 0;
	ASSERT_EQ(LYCH_CALL(domain, &result, do_int80, 20 /* getpid of i386 */), 0);
	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, do_abort), -EFAULT);
	EXPECT_TRUE(lych_fault(domain)->last_foreign);
	line = "\n  system calls refused to it: 4, the last one number 20 of another architecture\n";
	EXPECT_NE(printed(lych_fault(domain)).find(line), std::string::npos) << printed(lych_fault(domain));
}

TEST_F(Mediated, DispatchCannotBeSwitchedOffFromInside)
{
	EXPECT_EQ(inside(SYS_prctl, 59 /* PR_SET_SYSCALL_USER_DISPATCH */, 0, 0), -EPERM);
	EXPECT_EQ(inside(SYS_open, reinterpret_cast<long>("/dev/null"), O_RDONLY), -EPERM);
}

TEST_F(Mediated, OtherEntriesAndTablesAreRefusedToo)
{
	EXPECT_EQ(inside(0x40000000 | SYS_getpid), -EPERM);
	long result = 0;
	ASSERT_EQ(LYCH_CALL(domain, &result, do_int80, 20 /* getpid of i386 */), 0);
	EXPECT_EQ(result, -EPERM);
	struct lych_refusal list[4];
	ASSERT_EQ(lych_refused(domain, list, 4), 2u);
	EXPECT_TRUE(list[0].foreign);
	EXPECT_TRUE(list[1].foreign);
}

TEST_F(Mediated, AbortEndsTheCallAndNotTheProcess)
{
	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, do_abort), -EFAULT);
	EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_ABORT);
	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, do_abort), -EOWNERDEAD);
}

TEST_F(Mediated, ExitEndsTheCallAndNotTheProcess)
{
	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, do_exit, 0), -EFAULT);
	EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_EXIT);
}

TEST_F(Mediated, AWaitEndsAtTheDeadline)
{
	long result = 0;
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, 30, &result, do_wait_for_ever), -ETIMEDOUT);
}

TEST_F(Mediated, AWaitEndsWhenTheDomainIsCanceled)
{
	std::atomic<bool> over{false};
	std::thread other([&] {
		while (!over) {
			EXPECT_EQ(lych_domain_cancel(domain), 0);
			std::this_thread::yield();
		}
	});
	long result = 0;
	EXPECT_EQ(LYCH_CALL(domain, &result, do_wait_for_ever), -ECANCELED);
	over = true;
	other.join();
}

static volatile sig_atomic_t handled;

TEST_F(Mediated, ASignalOfTheProgramIsNotKeptOutByAWait)
{
	handled = 0;
	struct sigaction act = {}, before;
	act.sa_handler = [](int) { handled = handled + 1; };
	sigaction(SIGUSR1, &act, &before);
	pthread_t self = pthread_self();
	// Signal after signal, each after the one before was handled: if a wait kept them out, this would go on until the deadline.
	std::atomic<bool> over{false};
	std::thread other([&] {
		for (int i = 1; i <= 200; i++) {
			pthread_kill(self, SIGUSR1);
			while (handled < i && !over) {
				std::this_thread::yield();
			}
		}
		while (!over) {
			EXPECT_EQ(lych_domain_cancel(domain), 0);
			std::this_thread::yield();
		}
	});
	long result = 0;
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, 60000, &result, do_wait_for_ever), -ECANCELED);
	over = true;
	other.join();
	EXPECT_EQ(handled, 200);
	sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(Mediated, TheHeapIsReachedFromInside)
{
	void *block = nullptr;
	EXPECT_EQ(lych_inside_alloc(8), nullptr) << "outside";
	EXPECT_EQ(errno, EPERM);
	ASSERT_EQ(LYCH_CALL(domain, &block, do_alloc, 100), 0);
	ASSERT_NE(block, nullptr);
	EXPECT_EQ(lych_verify_range(domain, block, 100), 0);
	EXPECT_EQ(lych_free(domain, block), 0);

	ASSERT_EQ(LYCH_CALL(domain, &block, do_alloc, size_t{1} << 40), 0);
	EXPECT_EQ(block, nullptr);
	ASSERT_EQ(LYCH_CALL(domain, LYCH_NOTHING, do_abort), -EFAULT);
	EXPECT_EQ(lych_fault(domain)->no_memory, 1u);
	EXPECT_EQ(lych_fault(domain)->no_memory_bytes, uint64_t{1} << 40);
	EXPECT_THAT(printed(lych_fault(domain)),
		    testing::HasSubstr("memory refused to it (heap_bytes): 1 times, the last time 1099511627776 bytes"));
}

TEST_F(Mediated, AllowedCallsAreAnswered)
{
	EXPECT_EQ(inside(SYS_getcpu, 0, 0, 0), -EPERM);
	ASSERT_EQ(lych_domain_allow(domain, SYS_getcpu), 0);
	EXPECT_EQ(inside(SYS_getcpu, 0, 0, 0), 0);
}

TEST_F(Mediated, AChildOfForkMediatesLikeItsParent)
{
	pid_t pid = fork();
	if (pid == 0) {
		bool right = inside(SYS_getpid) == getpid() &&
			     inside(SYS_open, reinterpret_cast<long>("/dev/null"), O_RDONLY) == -EPERM;
		_exit(right ? 0 : 1);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}
