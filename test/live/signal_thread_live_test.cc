// SPDX-License-Identifier: Apache-2.0
// Signals, threads and processes: what is waited for, what was never attached, what is forked, and glibc's own signals.
#include <gmock/gmock.h>
#include <lychgate/lychgate.h>
#include <sys/signalfd.h>

#include "signal_live.h"

namespace
{

TEST_F(LiveSignals, BlockedAreTakenBySigwaitAndSignalfd)
{
	sigset_t set;
	siginfo_t info = {};
	int sig = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	ASSERT_GE(fd, 0);
	Install(SIGUSR1, Count);
	for (Place place : Places()) {
		ran = 0;
		Interrupted(place, [](pid_t tid) { syscall(SYS_tgkill, getpid(), tid, SIGUSR1); });
		EXPECT_EQ(sigwait(&set, &sig), 0);
		EXPECT_EQ(sig, SIGUSR1);
		raise(SIGUSR1);
		const timespec second = {1, 0};
		EXPECT_EQ(sigtimedwait(&set, &info, &second), SIGUSR1);
		raise(SIGUSR1);
		signalfd_siginfo told = {};
		EXPECT_EQ(read(fd, &told, sizeof(told)), static_cast<ssize_t>(sizeof(told)));
		EXPECT_EQ(told.ssi_signo, static_cast<uint32_t>(SIGUSR1));
		EXPECT_EQ(ran, 0) << place_names[place];
	}
	close(fd);
	ASSERT_EQ(pthread_sigmask(SIG_UNBLOCK, &set, nullptr), 0);
	EXPECT_EQ(ran, 0);
}

TEST_F(LiveSignals, OfFaultsAreNotBlockedInADomainThatFaults)
{
	sigset_t six, old;
	sigfillset(&six);
	ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &six, &old), 0);
	EXPECT_EQ(LYCH_CALL(domain, &result, live_touch, 16), -EFAULT);
	ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &old, &six), 0);
	EXPECT_TRUE(sigismember(&six, SIGSEGV)); // as the host sees it
	EXPECT_EQ(lych_domain_reset(domain), 0);
}

TEST_F(LiveSignals, ReachAThreadThatNeverAttached)
{
	static std::atomic<int> attached;
	Install(SIGUSR1, [](int, siginfo_t *, void *) {
		inside now;
		inside_look(&now);
		attached = now.area != 0;
		ran++;
	});
	attached = -1;
	std::thread([] { raise(SIGUSR1); }).join();
	EXPECT_EQ(ran, 1);
	EXPECT_EQ(attached, 0);
}

// This program did not ask for reports; Faults.OfTheHostEndItAsIfWeWereNotThere did.
TEST_F(LiveSignals, OfFaultsInTheHostEndItWithoutAWordUnlessItAskedForOne)
{
	static volatile long nowhere = 16;
	EXPECT_EXIT(live_touch(nowhere), ::testing::KilledBySignal(SIGSEGV), ::testing::StrEq(""));
	EXPECT_EXIT(__asm__ volatile("ud2"), ::testing::KilledBySignal(SIGILL), ::testing::StrEq(""));
	EXPECT_EXIT(
		{
			Install(SIGUSR1, [](int, siginfo_t *, void *) { live_touch(nowhere); });
			raise(SIGUSR1);
		},
		::testing::KilledBySignal(SIGSEGV), ::testing::StrEq(""));
	EXPECT_EXIT(
		{
			Install(SIGSEGV, [](int, siginfo_t *, void *) { _exit(4); });
			live_touch(nowhere);
		},
		::testing::ExitedWithCode(4), ::testing::StrEq(""));
}

int StatusOf(pid_t pid)
{
	int status = -1;
	EXPECT_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_F(LiveSignals, WorkInAChildThatWasForkedInAHandler)
{
	static pid_t parent, child;
	Install(SIGUSR1, [](int, siginfo_t *, void *) {
		child = fork();
		if (child == 0) {
			go = 1;
		}
		ran++;
	});
	parent = getpid();
	for (Place place : Places()) {
		arrived = go = ran = 0;
		std::thread sender([] {
			Until(arrived, 1);
			syscall(SYS_tgkill, parent, parent, SIGUSR1);
			Until(ran, 1);
			go = 1;
		});
		int rc = Be(place, 41, &result);
		if (getpid() != parent) {
			Install(SIGUSR1, Count);
			raise(SIGUSR1);
			_exit(rc == 0 && result == 42 && ran == 2 ? 7 : 1);
		}
		sender.join();
		EXPECT_EQ(rc, 0) << place_names[place];
		EXPECT_EQ(StatusOf(child), 7) << place_names[place];
	}
}

// ---- glibc's own ---------------------------------------------------------------------------------

TEST_F(LiveSignals, SetuidIsFollowedByThreadsWhereverTheyAre)
{
	std::vector<std::thread> threads;
	for (Place place : Places()) {
		arrived = 0;
		threads.emplace_back([place] {
			long r = -1;
			EXPECT_EQ(Be(place, 1, &r), 0);
			EXPECT_EQ(r, 2);
		});
		Until(arrived, 1);
	}
	EXPECT_EQ(setuid(getuid()), 0); // waits for each thread's handler
	go = 1;
	for (std::thread &t : threads) {
		t.join();
	}
}

struct Cleaned {
	~Cleaned() { ran++; }
};
std::atomic<int> cancel_type;

struct Canceled {
	Place place;
	bool waits; // in a system call of the host
};
void *BeCanceled(void *arg)
{
	auto *how = static_cast<Canceled *>(arg);
	Cleaned cleaned;
	long r = 0;
	EXPECT_EQ(LYCH_CALL(domain, &r, live_double, 1), 0);
	pthread_setcanceltype(cancel_type, nullptr);
	if (how->waits) {
		arrived = 1;
		for (;;) {
			pause();
		}
	}
	Be(how->place, 1, &r);
	pthread_testcancel();
	ran = 100;
	return nullptr;
}

void ExpectCanceled(Canceled how)
{
	pthread_t thread;
	void *with = nullptr;
	arrived = go = ran = 0;
	ASSERT_EQ(pthread_create(&thread, nullptr, BeCanceled, &how), 0);
	while (arrived == 0) {
		std::this_thread::yield();
	}
	ASSERT_EQ(pthread_cancel(thread), 0);
	if (cancel_type == PTHREAD_CANCEL_DEFERRED && !how.waits) {
		go = 1;
	}
	ASSERT_EQ(pthread_join(thread, &with), 0);
	EXPECT_EQ(with, PTHREAD_CANCELED) << place_names[how.place];
	EXPECT_EQ(ran, 1) << place_names[how.place]; // what it had on its stack was cleaned up
}

TEST_F(LiveSignals, AThreadIsCanceledWhereverItIs)
{
	for (int type : {PTHREAD_CANCEL_DEFERRED, PTHREAD_CANCEL_ASYNCHRONOUS}) {
		cancel_type = type;
		for (Place place : Places()) {
			// canceled in a callback, a thread would unwind through the gate: that ends the process
			// (SECURITY.md)
			if (place != CALLBACK) {
				ExpectCanceled({place, false});
			}
		}
		ExpectCanceled({HOST, true});
	}
	// nothing is left of it: its calls do not keep the domain from being reset
	EXPECT_EQ(lych_domain_reset(domain), 0);
}

} // namespace
