// SPDX-License-Identifier: Apache-2.0
// Signals of a program that runs domains: whatever was interrupted, the handler is the host's.
#include <lychgate/lychgate.h>

#include "signal_live.h"

namespace
{

struct Seen {
	inside now;
	uint64_t rsp;
	int status[2];
	long results[2];
	int thread_pointer_is_mine;
} seen;
thread_local int mine;
int *mine_at;

void Look(int, siginfo_t *, void *)
{
	char here;
	inside_look(&seen.now);
	seen.rsp = reinterpret_cast<uint64_t>(&here);
	seen.thread_pointer_is_mine = &mine == mine_at;
	seen.status[0] = LYCH_CALL(domain, &seen.results[0], live_double, 4);
	seen.status[1] = LYCH_CALL(other, &seen.results[1], live_double, 5);
	ran++;
}

void ExpectHost(const char *where)
{
	pthread_attr_t attr;
	void *low = nullptr;
	size_t size = 0;
	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &low, &size);
	pthread_attr_destroy(&attr);
	EXPECT_GT(seen.rsp, reinterpret_cast<uint64_t>(low)) << where;
	EXPECT_LT(seen.rsp, reinterpret_cast<uint64_t>(low) + size) << where;
	EXPECT_EQ(seen.now.selector, 0u) << where;
	EXPECT_TRUE(seen.thread_pointer_is_mine) << where;
	EXPECT_EQ(seen.now.pkru, ~seen.now.not_host) << where;
	EXPECT_EQ(seen.now.hostile_flags, 0u) << where;
	EXPECT_EQ(seen.status[0], 0) << where;
	EXPECT_EQ(seen.status[1], 0) << where;
	EXPECT_EQ(seen.results[0], 8) << where;
	EXPECT_EQ(seen.results[1], 10) << where;
	if (live_keys()) {
		EXPECT_FALSE(inside_rights(seen.now.pkru, lych_region_key(region))) << where;
		EXPECT_FALSE(inside_rights(seen.now.pkru, lych_domain_key(vault))) << where;
		EXPECT_TRUE(inside_rights(seen.now.pkru, lych_domain_key(domain))) << where;
	}
}

TEST_F(LiveSignals, AreHandledByTheHostWhateverWasInterrupted)
{
	Install(SIGUSR1, Look);
	mine_at = &mine;
	for (Place place : Places()) {
		seen = Seen{};
		LYCH_WRITE(uint64_t, word, region)
		{
			*word = 1;
			Signal(place);
			*word = 2; // and what was open is open again
			EXPECT_EQ(*word, 2u);
		}
		ExpectHost(place_names[place]);
	}
}

TEST_F(LiveSignals, OfTheMaskWaitForTheHandlersEnd)
{
	static std::atomic<int> second, early;
	for (Place place : Places()) {
		for (bool masked : {true, false}) {
			second = early = 0;
			Install(SIGUSR2, [](int, siginfo_t *, void *) { second++; });
			Install(
				SIGUSR1,
				[](int, siginfo_t *, void *) {
					raise(SIGUSR2);
					early = second.load();
					ran++;
				},
				0, masked ? std::vector<int>{SIGUSR2} : std::vector<int>{});
			Signal(place);
			EXPECT_EQ(second, 1) << place_names[place];
			EXPECT_EQ(early, masked ? 0 : 1) << place_names[place];
		}
	}
}

TEST_F(LiveSignals, InTheirOwnHandlerWaitUnlessNodefer)
{
	static std::atomic<int> depth, most;
	auto nest = [](int sig, siginfo_t *, void *) {
		int now = ++depth;
		most = now > most ? now : most.load();
		if (ran < 2) {
			ran++;
			raise(sig);
		} else {
			ran++;
		}
		depth--;
	};
	for (Place place : Places()) {
		depth = most = 0;
		Install(SIGUSR1, nest);
		Signal(place, SIGUSR1, 3);
		EXPECT_EQ(most, 1) << place_names[place];
		Install(SIGUSR1, nest, SA_NODEFER);
		Signal(place, SIGUSR1, 3);
		EXPECT_EQ(most, 3) << place_names[place];
	}
}

// Deeper than there are levels; each handler calls, so that records are nested, too.
TEST_F(LiveSignals, AreNestedTwentyDeep)
{
	static std::atomic<int> bad;
	bad = 0;
	for (Place place : Places()) {
		Install(
			SIGUSR1,
			[](int sig, siginfo_t *, void *) {
				long r = 0;
				if (++ran < 20) {
					raise(sig);
				}
				bad += LYCH_CALL(domain, &r, live_double, 3) != 0 || r != 6;
			},
			SA_NODEFER);
		Signal(place, SIGUSR1, 20);
		EXPECT_EQ(bad, 0) << place_names[place];
	}
}

TEST_F(LiveSignals, WithResethandAreHandledOnce)
{
	for (Place place : Places()) {
		struct sigaction now;
		Install(SIGUSR1, Count, static_cast<int>(SA_RESETHAND));
		Signal(place);
		ASSERT_EQ(sigaction(SIGUSR1, nullptr, &now), 0);
		EXPECT_EQ(now.sa_handler, SIG_DFL) << place_names[place];
	}
	Install(SIGUSR1, Count, static_cast<int>(SA_RESETHAND));
	raise(SIGUSR1);
	EXPECT_EXIT(
		{
			raise(SIGUSR1);
			_exit(0);
		},
		::testing::KilledBySignal(SIGUSR1), "");
}

TEST_F(LiveSignals, OnstackAreHandledOnTheHostsAlternateStack)
{
	static char stack[65536];
	static bool on;
	stack_t ours = {}, was = {};
	ours.ss_sp = stack;
	ours.ss_size = sizeof(stack);
	ASSERT_EQ(sigaltstack(&ours, &was), 0);
	EXPECT_EQ(was.ss_flags, SS_DISABLE);
	auto handler = [](int, siginfo_t *, void *) {
		char here;
		long r = 0;
		on = &here >= stack && &here < stack + sizeof(stack) && LYCH_CALL(other, &r, live_double, 1) == 0 &&
		     r == 2;
		ran++;
	};
	for (Place place : Places()) {
		Install(SIGUSR1, handler, SA_ONSTACK);
		Signal(place);
		EXPECT_TRUE(on) << place_names[place];
		Install(SIGUSR1, handler);
		Signal(place);
		EXPECT_FALSE(on) << place_names[place];
	}
	ASSERT_EQ(sigaltstack(nullptr, &was), 0);
	EXPECT_EQ(was.ss_sp, stack);
	EXPECT_EQ(was.ss_flags, 0);
	ours.ss_flags = SS_DISABLE;
	ASSERT_EQ(sigaltstack(&ours, nullptr), 0);
}

TEST_F(LiveSignals, RestartSystemCallsWhenTheHostWantsThat)
{
	int fds[2];
	pid_t tid = static_cast<pid_t>(syscall(SYS_gettid));
	ASSERT_EQ(pipe(fds), 0);
	for (bool restart : {true, false}) {
		ran = 0;
		Install(SIGUSR1, Count, restart ? SA_RESTART : 0);
		std::thread sender([&] {
			while (ran == 0) { // it may come before the read
				syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
				usleep(1000);
			}
			for (int i = 0; i < 200 && !restart; i++) {
				syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
				usleep(1000);
			}
			EXPECT_EQ(write(fds[1], "x", 1), 1);
		});
		char c = 0;
		ssize_t got = read(fds[0], &c, 1);
		int error = errno;
		sender.join();
		if (restart) {
			EXPECT_EQ(got, 1);
		} else {
			EXPECT_EQ(got, -1);
			EXPECT_EQ(error, EINTR);
			EXPECT_EQ(read(fds[0], &c, 1), 1);
		}
	}
	close(fds[0]);
	close(fds[1]);
}

// With the kick that the runtime sends to everybody when a key changes its owner.
TEST_F(LiveSignals, OfTheRuntimeInterruptNoSystemCall)
{
	int fds[2];
	ASSERT_EQ(pipe(fds), 0);
	std::thread others([&] {
		for (int i = 0; i < 5; i++) {
			lych_region *temporary = nullptr;
			ASSERT_EQ(lych_region_new(&temporary, 4096, nullptr), 0);
			ASSERT_EQ(lych_region_free(temporary), 0);
		}
		EXPECT_EQ(write(fds[1], "x", 1), 1);
	});
	char c = 0;
	EXPECT_EQ(read(fds[0], &c, 1), 1) << strerror(errno);
	others.join();
	close(fds[0]);
	close(fds[1]);
}

TEST_F(LiveSignals, CanBeLeftAThousandTimes)
{
	pid_t tid = static_cast<pid_t>(syscall(SYS_gettid));
	for (Place place : Places()) {
		Install(SIGUSR1, Leave);
		std::atomic<int> stop{0};
		arrived = go = 0;
		std::thread sender([&] {
			for (;;) {
				while (arrived == 0) {
					if (stop != 0) {
						return;
					}
					std::this_thread::yield();
				}
				arrived = 0;
				syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
			}
		});
		volatile int came_back = 0;
		for (volatile int left = 0; left < 1000; left = left + 1) {
			if (sigsetjmp(away, 1) == 0) {
				Be(place, 1, &result);
				came_back = came_back + 1;
			}
		}
		stop = 1;
		sender.join();
		EXPECT_EQ(came_back, 0) << place_names[place];
		Install(SIGUSR2, Count);
		raise(SIGUSR2); // what was left behind is noticed from here
		inside now;
		inside_look(&now);
		EXPECT_EQ(now.level, 0u) << place_names[place];
		EXPECT_EQ(now.top, 0u) << place_names[place];
		EXPECT_EQ(now.kernel_mask & (1u << (SIGUSR1 - 1)), 0u) << place_names[place];
		EXPECT_EQ(LYCH_CALL(domain, &result, live_double, 2), 0) << place_names[place];
	}
}

TEST_F(LiveSignals, ATimerWhoseHandlerCallsDisturbsNothing)
{
	static std::atomic<int> bad;
	if (!live_keys()) {
		GTEST_SKIP() << "mprotect: each call takes a lock, also the one that is interrupted";
	}
	bad = 0;
	Install(SIGALRM, [](int, siginfo_t *, void *) {
		long r[2] = {0, 0};
		bad += LYCH_CALL(domain, &r[0], live_double, 21) != 0 || LYCH_CALL(other, &r[1], live_double, 4) != 0 ||
		       r[0] != 42 || r[1] != 8;
		ran++;
	});
	itimerval fast = {{0, 1000}, {0, 1000}}, off = {};
	setitimer(ITIMER_REAL, &fast, nullptr);
	long wrong = 0;
	go = 1;
	for (long i = 0; ran < 500; i++) {
		long r = -1;
		wrong += Be(i % 2 == 0 ? DOMAIN : CALLBACK, i, &r) != 0 || r != i + 1;
	}
	setitimer(ITIMER_REAL, &off, nullptr);
	EXPECT_EQ(wrong, 0);
	EXPECT_EQ(bad, 0);
}

TEST_F(LiveSignals, MayChangeAContextOfTheHostAndNoneOfADomain)
{
	Install(SIGILL, [](int, siginfo_t *, void *context) {
		static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP] += 2;
		ran++;
	});
	__asm__ volatile("ud2");
	EXPECT_EQ(ran, 1);
	Install(SIGUSR1, [](int, siginfo_t *, void *context) {
		auto *uc = static_cast<ucontext_t *>(context);
		memset(uc->uc_mcontext.gregs, 0xee, sizeof(uc->uc_mcontext.gregs));
		sigfillset(&uc->uc_sigmask);
		ran++;
	});
	Signal(DOMAIN);
	if (vault != nullptr) {
		Signal(VAULT);
	}
	sigset_t now;
	sigprocmask(SIG_SETMASK, nullptr, &now);
	EXPECT_FALSE(sigismember(&now, SIGTERM));
}

TEST_F(LiveSignals, TellWhoSentThem)
{
	static siginfo_t got;
	Install(SIGUSR1, [](int, siginfo_t *info, void *) {
		got = *info;
		ran++;
	});
	for (Place place : Places()) {
		got = siginfo_t{};
		ran = 0;
		Interrupted(place, [](pid_t tid) {
			siginfo_t info = {};
			info.si_signo = SIGUSR1;
			info.si_code = SI_QUEUE;
			info.si_pid = getpid();
			info.si_value.sival_int = 77;
			syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGUSR1, &info);
			Until(ran, 1);
		});
		EXPECT_EQ(got.si_signo, SIGUSR1) << place_names[place];
		EXPECT_EQ(got.si_code, SI_QUEUE) << place_names[place];
		EXPECT_EQ(got.si_pid, getpid()) << place_names[place];
		EXPECT_EQ(got.si_value.sival_int, 77) << place_names[place];
	}
}

} // namespace
