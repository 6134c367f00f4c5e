/* SPDX-License-Identifier: Apache-2.0 */
// Domains of the whole runtime: calls end when somebody cancels, resets or frees, and vaults have their doors.
#include "needs_pku.h"

#include <lychgate/lychgate.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace
{

int Add(int a, int b)
{
	return a + b;
}

int Subtract(int a, int b)
{
	return a - b;
}

int Peek(const int *at)
{
	return *at;
}

// Until it is ended.
int Spin(int *started)
{
	__atomic_store_n(started, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		__asm__ volatile("pause");
	}
	return 0;
}

LYCH_BIND(domain, Add, int, (int, int));
LYCH_BIND(domain, Subtract, int, (int, int));
LYCH_BIND(domain, Spin, int, (int *));
LYCH_BIND(domain, Peek, int, (const int *));

class DomainLife : public NeedsPku {
protected:
	static void SetUpOnce()
	{
		static int rc = lych_init(nullptr);
		ASSERT_EQ(rc, 0) << lych_why();
	}

	void SetUp() override
	{
		NeedsPku::SetUp();
		if (!IsSkipped() && !HasFatalFailure()) {
			SetUpOnce();
		}
	}

	static lych_domain *New(lych_kind kind = LYCH_KIND_CONTAIN)
	{
		lych_domain_opts opts = {};
		lych_domain *d = nullptr;

		opts.size = sizeof(opts);
		opts.kind = kind;
		EXPECT_EQ(lych_domain_new(&d, &opts), 0) << lych_why();
		return d;
	}

	// Threads that are in Spin when this returns, and what their calls ended with.
	struct Spinning {
		explicit Spinning(lych_domain *domain, int count = 3)
		{
			started.resize(static_cast<size_t>(count));
			status.resize(static_cast<size_t>(count), 1);
			for (size_t i = 0; i < started.size(); i++) {
				threads.emplace_back([this, domain, i] {
					status[i] = LYCH_CALL(domain, nullptr, Spin, &started[i]);
				});
			}
			for (int &one : started) {
				while (__atomic_load_n(&one, __ATOMIC_SEQ_CST) == 0) {
					std::this_thread::yield();
				}
			}
		}

		void ExpectAll(int want)
		{
			for (std::thread &t : threads) {
				t.join();
			}
			for (int one : status) {
				EXPECT_EQ(one, want);
			}
		}

		std::vector<int> started, status;
		std::vector<std::thread> threads;
	};
};

TEST_F(DomainLife, CancelEndsTheCallsAndTheNextOneWorks)
{
	lych_domain *domain = New();
	Spinning spinning(domain);
	int sum = 0;

	EXPECT_EQ(lych_domain_cancel(domain), 0);
	spinning.ExpectAll(-ECANCELED);
	EXPECT_EQ(LYCH_CALL(domain, &sum, Add, 40, 2), 0);
	EXPECT_EQ(sum, 42);
	EXPECT_EQ(lych_domain_free(domain), 0);
}

TEST_F(DomainLife, ResetEndsTheCallsAndTheNextOneWorks)
{
	lych_domain *domain = New();
	Spinning spinning(domain);
	int sum = 0;

	EXPECT_EQ(lych_domain_reset(domain), 0);
	spinning.ExpectAll(-ECANCELED);
	EXPECT_EQ(LYCH_CALL(domain, &sum, Add, 40, 2), 0);
	EXPECT_EQ(sum, 42);
	EXPECT_EQ(lych_domain_free(domain), 0);
}

TEST_F(DomainLife, FreeEndsTheCalls)
{
	lych_domain *domain = New();
	Spinning spinning(domain);

	EXPECT_EQ(lych_domain_free(domain), 0);
	spinning.ExpectAll(-ECANCELED);
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
}

TEST_F(DomainLife, FaultedIsRefusedUntilItIsReset)
{
	lych_domain *domain = New(), *other = New();
	auto *secret = static_cast<int *>(lych_alloc(other, sizeof(int)));
	int value = 0;

	EXPECT_EQ(LYCH_CALL(domain, &value, Peek, secret), -EFAULT);
	EXPECT_EQ(LYCH_CALL(domain, &value, Add, 1, 2), -EOWNERDEAD);
	EXPECT_EQ(lych_domain_reset(domain), 0);
	EXPECT_EQ(LYCH_CALL(domain, &value, Add, 1, 2), 0);
	EXPECT_EQ(value, 3);
	EXPECT_EQ(lych_domain_free(domain), 0);
	EXPECT_EQ(lych_domain_free(other), 0);
}

TEST_F(DomainLife, DomainsMadeAndFreedAgainAndAgainLeaveNothing)
{
	for (int i = 0; i < 100; i++) {
		lych_domain *domain = New();
		int sum = 0;
		ASSERT_NE(domain, nullptr);
		ASSERT_EQ(LYCH_CALL(domain, &sum, Add, i, 1), 0);
		ASSERT_EQ(sum, i + 1);
		ASSERT_EQ(lych_domain_free(domain), 0);
	}
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
}

TEST_F(DomainLife, VaultIsEnteredAtRegisteredFunctionsOnlyEachTime)
{
	if (!KernelWritesFramesWhole()) {
		GTEST_SKIP() << "no vaults before Linux 6.12 (kinds_test)";
	}
	lych_domain *domain = New(LYCH_KIND_VAULT);
	int result = 0;

	EXPECT_EQ(LYCH_CALL(domain, &result, Add, 40, 2), -EACCES);
	ASSERT_EQ(lych_vault_allow(domain, reinterpret_cast<void (*)()>(Add)), 0);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(LYCH_CALL(domain, &result, Add, 40, i), 0);
		EXPECT_EQ(result, 40 + i);
		EXPECT_EQ(LYCH_CALL(domain, &result, Subtract, 40, i), -EACCES);
	}
	EXPECT_EQ(lych_domain_free(domain), 0);
}

TEST_F(DomainLife, HostCannotReadAVaultAndTheVaultCan)
{
	if (!KernelWritesFramesWhole()) {
		GTEST_SKIP() << "no vaults before Linux 6.12 (kinds_test)";
	}
	lych_domain *domain = New(LYCH_KIND_VAULT), *contain = New();
	auto *secret = static_cast<int *>(lych_alloc(domain, sizeof(int)));
	auto *open = static_cast<int *>(lych_alloc(contain, sizeof(int)));
	int result = 1;

	ASSERT_NE(secret, nullptr);
	EXPECT_PKU_FAULT(lych_domain_key(domain), { (void)*(volatile int *)secret; });
	EXPECT_EQ(*(volatile int *)open, 0); // control: a domain that is no vault
	ASSERT_EQ(lych_vault_allow(domain, reinterpret_cast<void (*)()>(Peek)), 0);
	EXPECT_EQ(LYCH_CALL(domain, &result, Peek, secret), 0);
	EXPECT_EQ(result, 0);
	EXPECT_EQ(lych_domain_free(domain), 0);
	EXPECT_EQ(lych_domain_free(contain), 0);
}

} // namespace
