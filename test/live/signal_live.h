/* SPDX-License-Identifier: Apache-2.0 */
/* The places where a signal may come: fixture of the tests of signals. Each is a program of its own. */
#ifndef LYCH_TEST_SIGNAL_LIVE_H
#define LYCH_TEST_SIGNAL_LIVE_H

#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "inside.h"
#include "live.h"

extern "C" {
using back_fn = long (*)(long);
long live_spin(long n);
long live_through(back_fn back, long n);
long live_back(long n);
long live_double(long n);
long live_touch(long at);
}

namespace
{

enum Place { HOST, DOMAIN, CALLBACK, VAULT };
const char *const place_names[] = {"host", "domain", "callback", "vault"};

lych_domain *domain, *other, *vault;
lych_region *region;
back_fn back;
std::atomic<int> arrived, go, ran;
sigjmp_buf away;

} // namespace

// Anywhere: until it is let go.
extern "C" long live_spin(long n)
{
	arrived = 1;
	while (go == 0) {
		__asm__ volatile("pause");
	}
	return n + 1;
}
extern "C" long live_through(back_fn back_to, long n)
{
	return back_to(n) + 1;
}
extern "C" long live_back(long n)
{
	return live_spin(n);
}
extern "C" long live_double(long n)
{
	return 2 * n;
}
extern "C" long live_touch(long at)
{
	return *reinterpret_cast<volatile long *>(at);
}

LYCH_BIND(domain, live_spin, long, (long));
LYCH_BIND(domain, live_through, long, (back_fn, long));
LYCH_BIND(domain, live_double, long, (long));
LYCH_BIND(domain, live_touch, long, (long));
LYCH_BIND(other, live_double, long, (long));
LYCH_BIND(vault, live_spin, long, (long));
LYCH_CALLBACK(live_back, long, (long));

namespace
{

// Is at place until go. The status; the result is n + 1.
int Be(Place place, long n, long *out)
{
	int rc = 0;
	*out = -1;
	switch (place) {
	case HOST:
		*out = live_spin(n);
		break;
	case DOMAIN:
		rc = LYCH_CALL(domain, out, live_spin, n);
		break;
	case CALLBACK:
		rc = LYCH_CALL(domain, out, live_through, back, n - 1);
		break;
	case VAULT:
		rc = LYCH_CALL(vault, out, live_spin, n);
		break;
	}
	return rc;
}

void Until(const std::atomic<int> &what, int value)
{
	while (what < value) {
		std::this_thread::yield();
	}
}

class LiveSignals : public ::testing::Test {
protected:
	void SetUp() override
	{
		ASSERT_EQ(live_start(), 0) << lych_why();
		if (domain == nullptr) {
			domain = live_domain("domain");
			other = live_domain("other");
			vault = live_vault();
			if (vault != nullptr) {
				ASSERT_EQ(lych_vault_allow(vault, reinterpret_cast<void (*)()>(live_spin)), 0);
			}
			ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
			ASSERT_EQ(lych_callback(&back, domain, live_back, nullptr), 0);
		}
		arrived = go = ran = 0;
	}
	void TearDown() override
	{
		for (int sig : {SIGUSR1, SIGUSR2, SIGALRM, SIGSEGV, SIGILL, SIGTRAP}) {
			signal(sig, SIG_DFL);
		}
		inside now;
		inside_look(&now);
		EXPECT_EQ(now.level, 0u);
		EXPECT_EQ(now.top, 0u);
		EXPECT_EQ(now.selector, 0u);
		if (domain != nullptr) {
			EXPECT_EQ(LYCH_CALL(domain, &result, live_double, 21), 0);
			EXPECT_EQ(result, 42);
		}
	}

	static std::vector<Place> Places()
	{
		std::vector<Place> all = {HOST, DOMAIN, CALLBACK};
		if (vault != nullptr) {
			all.push_back(VAULT);
		}
		return all;
	}
	static void Install(int sig, void (*handler)(int, siginfo_t *, void *), int flags = 0,
			    std::vector<int> mask = {})
	{
		struct sigaction action = {};
		action.sa_sigaction = handler;
		action.sa_flags = SA_SIGINFO | flags;
		for (int blocked : mask) {
			sigaddset(&action.sa_mask, blocked);
		}
		ASSERT_EQ(sigaction(sig, &action, nullptr), 0);
	}
	static void Count(int, siginfo_t *, void *) { ran++; }
	static void Leave(int, siginfo_t *, void *) { siglongjmp(away, 1); }
	// This thread is at place; what meanwhile does is done by another one, when it is there.
	void Interrupted(Place place, const std::function<void(pid_t)> &meanwhile)
	{
		pid_t tid = static_cast<pid_t>(syscall(SYS_gettid));
		arrived = go = 0;
		std::thread sender([&] {
			Until(arrived, 1);
			meanwhile(tid);
			go = 1;
		});
		EXPECT_EQ(Be(place, 41, &result), 0) << place_names[place];
		EXPECT_EQ(result, 42) << place_names[place];
		sender.join();
	}
	void Signal(Place place, int sig = SIGUSR1, int times = 1)
	{
		ran = 0;
		Interrupted(place, [sig, times](pid_t tid) {
			syscall(SYS_tgkill, getpid(), tid, sig);
			Until(ran, times);
		});
		EXPECT_EQ(ran, times) << place_names[place];
	}

	long result = -1;
};

} // namespace

#endif /* LYCH_TEST_SIGNAL_LIVE_H */
