/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of signals have in common: a host with handlers, and domains that it calls. */
#ifndef LYCH_TEST_SIGNALS_H
#define LYCH_TEST_SIGNALS_H

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <vector>

#include "harness.h"

class Signals : public ::testing::Test {
protected:
	void SetUp() override
	{
		harness_start();
		ran = depth = most = 0;
	}
	void TearDown() override
	{
		for (int sig : {SIGUSR1, SIGUSR2, SIGALRM, SIGSEGV, SIGILL, SIGTRAP}) {
			signal(sig, SIG_DFL);
		}
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, nullptr);
		EXPECT_EQ(harness_level(), 0u);
		EXPECT_EQ(harness_depth(), 0u);
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
	// raises itself again up to three deep
	static void Nest(int sig, siginfo_t *, void *)
	{
		int now = ++depth;
		most = now > most ? now : most.load();
		if (ran++ < 3) {
			raise(sig);
		}
		depth--;
	}
	static inline std::atomic<int> ran, depth, most;
};

// ---- calls ------------------------------------------------------------------------------------------

inline long Double(long n)
{
	return 2 * n;
}

inline std::atomic<bool> go, inside;

// until go
inline long Spin(long n)
{
	inside = true;
	while (!go) {
	}
	return n + 1;
}

class Calls : public Signals {
protected:
	void SetUp() override
	{
		Signals::SetUp();
		go = inside = false;
		if (domain == nullptr) {
			domain = harness_domain(LYCH_KIND_CONTAIN);
			other = harness_domain(LYCH_KIND_CONTAIN);
			vault = harness_domain(LYCH_KIND_VAULT);
		}
		for (auto *d : {domain, other, vault}) {
			harness_reset(d);
		}
	}
	int Call(long (*fn)(long), long arg = 0, uint64_t deadline = 0)
	{
		result = -1;
		return harness_call(domain, fn, arg, &result, deadline);
	}
	void ExpectFault(long (*fn)(long), lych_fault_kind kind, long arg = 0)
	{
		harness_reset(domain);
		uint64_t before = lych_fault(domain)->count;
		EXPECT_EQ(Call(fn, arg), -EFAULT);
		EXPECT_STREQ(lych_fault_kind_name(lych_fault(domain)->kind), lych_fault_kind_name(kind));
		EXPECT_EQ(lych_fault(domain)->count, before + 1);
		EXPECT_EQ(Call(Double, 1), -EOWNERDEAD);
	}
	static inline lych_domain *domain, *other, *vault;
	long result = -1;

public:
	static lych_domain *domain_for_threads() { return domain; }
};

#endif
