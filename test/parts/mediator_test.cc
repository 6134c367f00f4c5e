// SPDX-License-Identifier: Apache-2.0
// What the mediator does for a domain, and to whose memory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <string>
#include <thread>

extern "C" {
#include "mediator_fake.h"
#include "policy.h"
}

namespace
{

constexpr size_t PAGE = 4096;
enum { RESULT, EXIT, ABORT, ALLOC }; // enum mediated_end

uint64_t number(const volatile void *at)
{
	return reinterpret_cast<uint64_t>(at);
}

class Mediator : public testing::Test
{
protected:
	void SetUp() override
	{
		// own memory, a page of somebody else behind it, then nothing
		pages = static_cast<char *>(
			mmap(nullptr, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		ASSERT_NE(pages, MAP_FAILED);
		own = pages;
		keyed = pages + 2 * PAGE;
		mprotect(pages + 3 * PAGE, PAGE, PROT_NONE); // and not unmapped: nobody else may get it
		nobodys = pages + 3 * PAGE;
		memset(keyed, 's', PAGE);
		use(FAKE_CONTAIN);

		ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
		real_stderr = dup(2);
		dup2(fds[1], 2);
	}
	void TearDown() override
	{
		dup2(real_stderr, 2);
		close(real_stderr);
		close(fds[0]);
		close(fds[1]);
		munmap(pages, 4 * PAGE);
	}
	void use(enum fake_kind kind)
	{
		domain = fake_domain(kind, own, 2 * PAGE);
		ASSERT_NE(domain, nullptr);
		fake_key(keyed, 5);
	}

	// The call as the domain made it.
	struct fake_answer make(long nr, std::initializer_list<uint64_t> args = {})
	{
		uint64_t arg[6] = {};
		size_t i = 0;
		for (uint64_t a : args) {
			arg[i++] = a;
		}
		return fake_call(nr, arg);
	}
	long result(long nr, std::initializer_list<uint64_t> args = {})
	{
		struct fake_answer answer = make(nr, args);
		EXPECT_EQ(answer.end, RESULT);
		return answer.result;
	}

	std::string written()
	{
		char buf[8192];
		int flags = fcntl(fds[0], F_GETFL);
		fcntl(fds[0], F_SETFL, flags | O_NONBLOCK);
		ssize_t n = read(fds[0], buf, sizeof(buf));
		fcntl(fds[0], F_SETFL, flags);
		return n > 0 ? std::string(buf, static_cast<size_t>(n)) : "";
	}
	void fill_pipe()
	{
		static const char zeros[PAGE] = {};
		int flags = fcntl(fds[1], F_GETFL);
		fcntl(fds[1], F_SETFL, flags | O_NONBLOCK);
		while (write(fds[1], zeros, sizeof(zeros)) > 0) {
		}
		fcntl(fds[1], F_SETFL, flags);
	}

	struct lych_domain *domain;
	char *pages, *own, *keyed, *nobodys;
	int fds[2], real_stderr;
};

const char LITERAL[] = "a literal of the program\n";
alignas(8) char host_memory[64];

} // namespace

TEST_F(Mediator, WritesWhatTheDomainOwnsToStandardError)
{
	strcpy(own + 100, "hello");
	EXPECT_EQ(result(SYS_write, {2, number(own + 100), 5}), 5);
	EXPECT_EQ(written(), "hello");
	EXPECT_EQ(result(SYS_write, {2, number(own), 0}), 0);
}

TEST_F(Mediator, WritesKeyZeroWhereTheViewMayReadIt)
{
	size_t bytes = sizeof(LITERAL) - 1;
	EXPECT_EQ(result(SYS_write, {2, number(LITERAL), bytes}), static_cast<long>(bytes));
	EXPECT_EQ(written(), LITERAL);
	use(FAKE_PURE);
	EXPECT_EQ(result(SYS_write, {2, number(LITERAL), bytes}), static_cast<long>(bytes));
	EXPECT_EQ(written(), LITERAL);
	use(FAKE_NO_KEY_0);
	EXPECT_EQ(result(SYS_write, {2, number(LITERAL), bytes}), -EFAULT);
	EXPECT_EQ(written(), "");
}

TEST_F(Mediator, ShowsNobodyElsesMemory)
{
	// the control: the same page without the key
	fake_key(nullptr, 0);
	EXPECT_EQ(result(SYS_write, {2, number(keyed), 4}), 4);
	EXPECT_EQ(written(), "ssss");
	for (int key : {1 /* monitor */, 5 /* another domain */}) {
		fake_key(keyed, key);
		EXPECT_EQ(result(SYS_write, {2, number(keyed), 4}), -EFAULT);
		EXPECT_EQ(result(SYS_write, {2, number(keyed + PAGE - 1), 1}), -EFAULT);
		EXPECT_EQ(result(SYS_write, {2, number(keyed - 1), 2}), -EFAULT) << "across the border";
		EXPECT_EQ(written(), "");
	}
}

TEST_F(Mediator, AnswersHostileAddressesWithEfault)
{
	fake_deadline(1); // long over: a futex that waits where there should be no memory ends with another error
	for (uint64_t at : {uint64_t{0}, uint64_t{1}, number(nobodys), UINT64_MAX, UINT64_MAX - 1023,
			    uint64_t{0x8000000000000000}, uint64_t{0xffffffffff600000}, uint64_t{0x7ffffffff000},
			    uint64_t{0x800000000000}}) {
		for (uint64_t bytes : {uint64_t{1}, uint64_t{1024}, uint64_t{PAGE}, uint64_t{INT64_MAX}, UINT64_MAX}) {
			EXPECT_EQ(result(SYS_write, {2, at, bytes}), -EFAULT) << std::hex << at << " " << bytes;
			EXPECT_EQ(result(SYS_writev, {2, at, 3}), -EFAULT) << std::hex << at;
			EXPECT_EQ(result(SYS_clock_gettime, {0, at}), -EFAULT);
			EXPECT_EQ(result(SYS_getrandom, {at, bytes, 0}), -EFAULT);
			// one that is not aligned is refused for that
			long refused = at % sizeof(uint32_t) != 0 && at < (1ULL << 47) ? -EINVAL : -EFAULT;
			EXPECT_EQ(result(SYS_futex, {at, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0}), refused)
				<< std::hex << at;
		}
	}
	EXPECT_EQ(written(), "");
}

TEST_F(Mediator, CutsHostileLengths)
{
	memset(own, 'x', 2 * PAGE);
	EXPECT_EQ(result(SYS_write, {2, number(own), 1500}), 1024);
	EXPECT_EQ(written().size(), 1024u);
	EXPECT_EQ(result(SYS_write, {2, number(own), UINT64_MAX}), 1024) << "own memory up to where it is cut";
	EXPECT_EQ(written().size(), 1024u);
	EXPECT_EQ(result(SYS_getrandom, {number(own), UINT64_MAX, 0}), 256);
	EXPECT_EQ(own[256], 'x');
}

TEST_F(Mediator, GathersPiecesAndStopsAtTheFirstForeignOne)
{
	struct iovec *iov = reinterpret_cast<struct iovec *>(own);
	strcpy(own + 1000, "onetwo");
	iov[0] = {own + 1000, 3};
	iov[1] = {nullptr, 0};
	iov[2] = {own + 1003, 3};
	EXPECT_EQ(result(SYS_writev, {2, number(iov), 3}), 6);
	EXPECT_EQ(written(), "onetwo");
	iov[1] = {keyed, 4};
	EXPECT_EQ(result(SYS_writev, {2, number(iov), 3}), 3);
	EXPECT_EQ(written(), "one");
	iov[0] = {keyed, 4};
	EXPECT_EQ(result(SYS_writev, {2, number(iov), 3}), -EFAULT);
	EXPECT_EQ(result(SYS_writev, {2, number(keyed), 1}), -EFAULT) << "the vector itself";
	EXPECT_EQ(result(SYS_writev, {2, number(iov), UINT64_MAX}), -EINVAL);
	EXPECT_EQ(result(SYS_writev, {2, number(iov), IOV_MAX + 1}), -EINVAL);
	EXPECT_EQ(result(SYS_writev, {2, number(iov), 0}), 0);
	EXPECT_EQ(written(), "");
}

TEST_F(Mediator, AWriteToAFullPipeCanBeCutShort)
{
	fill_pipe();
	fake_cancel(-ECANCELED);
	EXPECT_EQ(result(SYS_write, {2, number(own), 5}), -EINTR);
	fake_cancel(0);
	fake_deadline(1);
	EXPECT_EQ(result(SYS_write, {2, number(own), 5}), -EINTR);
	fake_deadline(0);
	fake_poison();
	EXPECT_EQ(result(SYS_write, {2, number(own), 5}), -EINTR);
}

TEST_F(Mediator, AWriteToAFullPipeGoesOnWhenThereIsRoom)
{
	fill_pipe();
	strcpy(own, "late");
	std::thread reader([this] {
		char buf[4096];
		std::string last;
		while (last.size() < 4 || last.substr(last.size() - 4) != "late") {
			ssize_t n = read(fds[0], buf, sizeof(buf));
			ASSERT_GT(n, 0);
			last = std::string(buf, static_cast<size_t>(n));
		}
	});
	EXPECT_EQ(result(SYS_write, {2, number(own), 4}), 4);
	reader.join();
}

TEST_F(Mediator, AClosedPipeEndsNobody)
{
	sigset_t pipe_only, before, pending;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &before); // as everything is in the mediator
	close(fds[0]);
	EXPECT_EQ(result(SYS_write, {2, number(own), 5}), -EPIPE);
	sigpending(&pending);
	EXPECT_FALSE(sigismember(&pending, SIGPIPE));
	// the control: what a bare write leaves behind
	EXPECT_EQ(write(fds[1], "x", 1), -1);
	sigpending(&pending);
	EXPECT_TRUE(sigismember(&pending, SIGPIPE));
	// and that one is the program's
	EXPECT_EQ(result(SYS_write, {2, number(own), 5}), -EPIPE);
	sigpending(&pending);
	EXPECT_TRUE(sigismember(&pending, SIGPIPE));
	struct timespec zero = {};
	sigtimedwait(&pipe_only, nullptr, &zero);
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
	fds[0] = open("/dev/null", O_RDONLY);
}

TEST_F(Mediator, TellsTheTimeInOwnMemoryOnly)
{
	struct timespec *ts = reinterpret_cast<struct timespec *>(own);
	EXPECT_EQ(result(SYS_clock_gettime, {CLOCK_REALTIME, number(ts)}), 0);
	EXPECT_NEAR(static_cast<double>(ts->tv_sec), static_cast<double>(time(nullptr)), 100);
	EXPECT_EQ(result(SYS_clock_getres, {CLOCK_MONOTONIC, 0}), 0);
	EXPECT_EQ(result(SYS_gettimeofday, {number(own), number(own + 32)}), 0);
	EXPECT_EQ(result(SYS_gettimeofday, {0, 0}), 0);
	EXPECT_GT(result(SYS_time, {0}), 1600000000);
	EXPECT_EQ(result(SYS_time, {number(own)}), *reinterpret_cast<time_t *>(own));

	// not in the host's, of whatever kind the domain is, not in another's, not across the border
	for (enum fake_kind kind : {FAKE_CONTAIN, FAKE_PURE, FAKE_NO_KEY_0}) {
		use(kind);
		for (char *at : {host_memory, keyed, own + 2 * PAGE - 8, own - 8}) {
			EXPECT_EQ(result(SYS_clock_gettime, {0, number(at)}), -EFAULT);
			EXPECT_EQ(result(SYS_gettimeofday, {number(at), 0}), -EFAULT);
			EXPECT_EQ(result(SYS_getrandom, {number(at), 16, 0}), -EFAULT);
		}
	}
	EXPECT_EQ(std::string(host_memory, sizeof(host_memory)), std::string(sizeof(host_memory), '\0'));
	EXPECT_EQ(std::string(keyed, PAGE), std::string(PAGE, 's'));
}

TEST_F(Mediator, GivesRandomBytes)
{
	EXPECT_EQ(result(SYS_getrandom, {number(own), 32, 0}), 32);
	EXPECT_NE(std::string(own, 32), std::string(32, '\0'));
	EXPECT_EQ(result(SYS_getrandom, {number(own), 0, 0}), 0);
}

TEST_F(Mediator, SaysWhoItIs)
{
	EXPECT_EQ(result(SYS_getpid), getpid());
	EXPECT_EQ(result(SYS_gettid), syscall(SYS_gettid));
	EXPECT_EQ(result(SYS_geteuid), geteuid());
	EXPECT_EQ(result(SYS_sched_yield), 0);
}

TEST_F(Mediator, NeverMovesTheBreak)
{
	long before = syscall(SYS_brk, 0);
	EXPECT_EQ(result(SYS_brk, {0}), before);
	EXPECT_EQ(result(SYS_brk, {static_cast<uint64_t>(before) + (1 << 20)}), before);
	EXPECT_EQ(result(SYS_brk, {4096}), before);
	EXPECT_EQ(syscall(SYS_brk, 0), before);
}

TEST_F(Mediator, PretendsSignalMasks)
{
	sigset_t before, after;
	memset(own, 0xff, 16);
	pthread_sigmask(SIG_SETMASK, nullptr, &before);
	EXPECT_EQ(result(SYS_rt_sigprocmask, {SIG_BLOCK, number(own), number(own + 8), 8}), 0);
	pthread_sigmask(SIG_SETMASK, nullptr, &after);
	EXPECT_EQ(memcmp(&before, &after, 8), 0);
	EXPECT_EQ(*reinterpret_cast<uint64_t *>(own + 8), 0u);
	EXPECT_EQ(result(SYS_rt_sigprocmask, {SIG_BLOCK, 0, number(host_memory), 8}), -EFAULT);
}

TEST_F(Mediator, EndsTheCallOnExitAndAbort)
{
	EXPECT_EQ(make(SYS_exit, {3}).end, EXIT);
	EXPECT_EQ(make(SYS_exit_group, {7}).end, EXIT);
	EXPECT_EQ(make(SYS_exit_group, {7}).result, 7);
	uint64_t pid = static_cast<uint64_t>(getpid()), tid = static_cast<uint64_t>(syscall(SYS_gettid));
	EXPECT_EQ(make(SYS_tgkill, {pid, tid, SIGABRT}).end, ABORT);
	EXPECT_EQ(make(SYS_tgkill, {pid, tid, SIGABRT}).result, SIGABRT);
	EXPECT_EQ(result(SYS_kill, {pid, 0}), 0);
	EXPECT_EQ(result(SYS_kill, {1, SIGKILL}), -EPERM);
}

class Futex : public Mediator
{
protected:
	static constexpr uint64_t WAIT = FUTEX_WAIT | FUTEX_PRIVATE_FLAG, WAKE = FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
				  WAIT_BITSET = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;
	std::atomic<uint32_t> *word(void *at)
	{
		return static_cast<std::atomic<uint32_t> *>(at);
	}
};

TEST_F(Futex, ReturnsAtOnceWhenTheWordHasChanged)
{
	*word(own) = 1;
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0}), -EAGAIN);
}

TEST_F(Futex, WaitsUntilTheTimeIsOver)
{
	struct timespec *ts = reinterpret_cast<struct timespec *>(own + 64);
	*ts = {0, 25000000};
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0, number(ts)}), -ETIMEDOUT);
	*ts = {0, 1}; // an absolute time, long over
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT_BITSET, 0, number(ts), 0, UINT32_MAX}), -ETIMEDOUT);
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, number(ts), 0, UINT32_MAX}),
		  -ETIMEDOUT);
	*ts = {0, 1000000000};
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0, number(ts)}), -EINVAL);
	*ts = {-1, 0};
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0, number(ts)}), -EINVAL);
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0, number(keyed)}), -EFAULT);
}

TEST_F(Futex, IsCutShortByCancelDeadlineAndPoison)
{
	struct timespec *ts = reinterpret_cast<struct timespec *>(own + 64);
	*ts = {INT64_MAX, 999999999};
	fake_cancel(-ECANCELED);
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0}), -EINTR);
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0, number(ts)}), -EINTR);
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT_BITSET, 0, number(ts), 0, 1}), -EINTR);
	fake_cancel(0);
	fake_deadline(1);
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0}), -EINTR);
	fake_deadline(0);
	fake_poison();
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0}), -EINTR);
}

TEST_F(Futex, IsCutShortByASignalThatTheContextDoesNotBlock)
{
	sigset_t set, before;
	struct timespec zero = {}, *ts = reinterpret_cast<struct timespec *>(own + 64);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	raise(SIGUSR1);
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0}), -EINTR);
	*ts = {0, 25000000};
	fake_mask(1ull << (SIGUSR1 - 1));
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0, number(ts)}), -ETIMEDOUT) << "blocked there, too";
	sigtimedwait(&set, nullptr, &zero);
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(Futex, SeesAChangeOfTheWordThatWokeNobody)
{
	std::thread other([this] { *word(own) = 1; });
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 0}), -EAGAIN);
	other.join();
}

TEST_F(Futex, WakesWhoWaits)
{
	std::atomic<bool> woken{false};
	std::thread waiter([this, &woken] {
		while (*word(own) == 0) {
			syscall(SYS_futex, own, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
		}
		woken = true;
	});
	*word(own) = 1;
	while (!woken) {
		EXPECT_GE(result(SYS_futex, {number(own), WAKE, INT_MAX}), 0);
	}
	waiter.join();
}

TEST_F(Futex, StaysWithinWhatTheViewMayWrite)
{
	EXPECT_EQ(result(SYS_futex, {number(host_memory), WAIT, 1}), -EAGAIN) << "key 0, writable";
	EXPECT_EQ(result(SYS_futex, {number(keyed), WAIT, 1}), -EFAULT);
	EXPECT_EQ(result(SYS_futex, {number(keyed), WAKE, 1}), -EFAULT);
	use(FAKE_PURE);
	EXPECT_EQ(result(SYS_futex, {number(own), WAIT, 1}), -EAGAIN);
	EXPECT_EQ(result(SYS_futex, {number(host_memory), WAIT, 1}), -EFAULT);
	EXPECT_EQ(result(SYS_futex, {number(host_memory), WAKE, 1}), -EFAULT);
}

TEST_F(Mediator, KeepsOptionalCallsClosedUntilTheyAreAllowed)
{
	struct timespec *ts = reinterpret_cast<struct timespec *>(own);
	*ts = {0, 1000};
	EXPECT_EQ(result(SYS_nanosleep, {number(ts), 0}), -EPERM);
	EXPECT_EQ(lych_domain_allow(domain, SYS_nanosleep), 0);
	EXPECT_EQ(result(SYS_nanosleep, {number(ts), 0}), 0);
	EXPECT_EQ(result(SYS_uname, {number(own)}), -EPERM) << "the others stay closed";
	for (long nr :
	     {long{SYS_mmap}, long{SYS_open}, long{SYS_clone}, long{SYS_kill}, long{SYS_prctl}, -1L, 100000L}) {
		EXPECT_EQ(lych_domain_allow(domain, nr), -EINVAL) << nr;
	}
	EXPECT_EQ(lych_domain_allow(nullptr, SYS_nanosleep), -EINVAL);
	use(FAKE_CONTAIN);
	EXPECT_EQ(result(SYS_nanosleep, {number(ts), 0}), -EPERM) << "a new domain is closed again";
}

TEST_F(Mediator, SleepsUntilTheCallIsToEnd)
{
	struct timespec *ts = reinterpret_cast<struct timespec *>(own), *rest = ts + 1;
	ASSERT_EQ(lych_domain_allow(domain, SYS_nanosleep), 0);
	ASSERT_EQ(lych_domain_allow(domain, SYS_clock_nanosleep), 0);
	*ts = {1000000, 0};
	fake_cancel(-ECANCELED);
	EXPECT_EQ(result(SYS_nanosleep, {number(ts), number(rest)}), -EINTR);
	EXPECT_GT(rest->tv_sec, 990000);
	EXPECT_EQ(result(SYS_clock_nanosleep, {CLOCK_REALTIME, 0, number(ts), number(rest)}), -EINTR);
	*ts = {INT64_MAX, 0};
	EXPECT_EQ(result(SYS_nanosleep, {number(ts), 0}), -EINTR);
	EXPECT_EQ(result(SYS_nanosleep, {number(ts), number(host_memory)}), -EFAULT);
	EXPECT_EQ(result(SYS_nanosleep, {number(keyed), 0}), -EFAULT);
}

TEST_F(Mediator, FillsStructsInOwnMemoryOnly)
{
	for (long nr : {SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_times, SYS_getcpu}) {
		ASSERT_EQ(lych_domain_allow(domain, nr), 0);
	}
	EXPECT_EQ(result(SYS_uname, {number(own)}), 0);
	EXPECT_STREQ(reinterpret_cast<struct utsname *>(own)->sysname, "Linux");
	EXPECT_EQ(result(SYS_getrusage, {RUSAGE_SELF, number(own)}), 0);
	EXPECT_GT(reinterpret_cast<struct rusage *>(own)->ru_maxrss, 0);
	EXPECT_EQ(result(SYS_sysinfo, {number(own)}), 0);
	EXPECT_GE(result(SYS_times, {number(own)}), 0);
	EXPECT_EQ(result(SYS_getcpu, {number(own), number(own + 4), 0}), 0);
	for (uint64_t at : {number(host_memory), number(keyed), uint64_t{8}, UINT64_MAX - 3}) {
		EXPECT_EQ(result(SYS_uname, {at}), -EFAULT);
		EXPECT_EQ(result(SYS_sysinfo, {at}), -EFAULT);
		EXPECT_EQ(result(SYS_times, {at}), -EFAULT);
		EXPECT_EQ(result(SYS_getcpu, {at, 0}), -EFAULT);
		EXPECT_EQ(result(SYS_getcpu, {0, at}), -EFAULT);
		EXPECT_EQ(result(SYS_getrusage, {0, at}), -EFAULT);
	}
}

TEST_F(Mediator, GivesBlocksOfTheHeap)
{
	EXPECT_EQ(make(LYCH_SYS_INSIDE, {INSIDE_ALLOC, 64}).end, ALLOC);
	EXPECT_EQ(make(LYCH_SYS_INSIDE, {INSIDE_ALLOC, 64}).result, static_cast<long>(number(own)));
	EXPECT_EQ(make(LYCH_SYS_INSIDE, {INSIDE_ALLOC, UINT64_MAX}).result, -ENOMEM);
	EXPECT_EQ(make(LYCH_SYS_INSIDE, {INSIDE_FREE, number(own)}).result, 0);
	EXPECT_EQ(make(LYCH_SYS_INSIDE, {INSIDE_FREE, number(host_memory)}).result, -EINVAL);
}

TEST_F(Mediator, HasNoBlocksForWhoIsInNoDomain)
{
	errno = 0;
	EXPECT_EQ(lych_inside_alloc(64), nullptr);
	EXPECT_EQ(errno, EPERM);
	lych_inside_free(own);
	lych_inside_free(nullptr);
}

TEST_F(Mediator, WritesDownWhatItRefuses)
{
	struct lych_refusal list[64];
	EXPECT_EQ(lych_refused(domain, list, 64), 0u);
	EXPECT_EQ(result(SYS_openat), -EPERM);
	EXPECT_EQ(result(SYS_mmap), -EPERM);
	EXPECT_EQ(result(SYS_openat), -EPERM);
	EXPECT_EQ(result(SYS_getpid), getpid());
	EXPECT_EQ(fake_foreign_call(SYS_openat).result, -EPERM);
	EXPECT_EQ(result(-5), -ENOSYS);
	ASSERT_EQ(lych_refused(domain, list, 64), 4u);
	EXPECT_EQ(list[0].nr, SYS_openat);
	EXPECT_EQ(list[0].count, 2u);
	EXPECT_EQ(list[0].rip, 0x1234u);
	EXPECT_FALSE(list[0].foreign);
	EXPECT_EQ(list[1].nr, SYS_mmap);
	EXPECT_TRUE(list[2].foreign);
	EXPECT_EQ(list[3].nr, -5);
	EXPECT_EQ(lych_refused(domain, list, 1), 4u) << "how many there are";
	EXPECT_EQ(lych_refused(domain, nullptr, 0), 4u);
	EXPECT_EQ(lych_refused(nullptr, list, 64), 0u);
}

TEST_F(Mediator, LosesNoCountWhenThereIsNoRoomForMore)
{
	struct lych_refusal list[100];
	for (int round = 0; round < 2; round++) {
		for (long nr = 500; nr < 600; nr++) {
			EXPECT_EQ(result(nr), -ENOSYS);
		}
	}
	ASSERT_EQ(lych_refused(domain, list, 100), 64u);
	for (size_t i = 0; i < 64; i++) {
		EXPECT_EQ(list[i].nr, 500 + static_cast<long>(i));
		EXPECT_EQ(list[i].count, 2u);
	}
}
