// SPDX-License-Identifier: Apache-2.0
// G7: a domain that has faulted, or is being reset, lets nobody in: also threads that have never been in any. With keys
// where there are some, else with mprotect.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include <lychgate/lychgate.h>

namespace
{

std::atomic<int> entered;

int Enter(int n)
{
	entered++;
	return n;
}

// Eight integers: two of them on the stack.
long EnterWith(long a, long b, long c, long d, long e, long f, long g, long h)
{
	entered++;
	return a + b + c + d + e + f + g + h;
}

void Fault()
{
	__asm__ volatile("ud2");
}

LYCH_BIND(d, Enter, int, (int));
LYCH_BIND(d, EnterWith, long, (long, long, long, long, long, long, long, long));
LYCH_BIND(d, Fault, void, (void));

class ClosedDomain : public testing::Test
{
protected:
	static void SetUpTestSuite()
	{
		lych_init_opts opts = {};
		opts.size = sizeof(opts);
		opts.backend = LYCH_PKU;
		int rc = lych_init(&opts);
		if (rc == -EOPNOTSUPP && getenv("LYCH_REQUIRE_PKU") == nullptr) {
			opts.backend = LYCH_MPROTECT;
			rc = lych_init(&opts);
		}
		ASSERT_EQ(rc, 0) << lych_why();
	}

	static void CallFromANewThread(lych_domain *d, int want)
	{
		std::thread([d, want] {
			int n = 0;
			long sum = 0;
			EXPECT_EQ(LYCH_CALL(d, &n, Enter, 7), want);
			EXPECT_EQ(LYCH_CALL(d, &sum, EnterWith, 1, 2, 3, 4, 5, 6, 7, 8), want);
		}).join();
	}
};

TEST_F(ClosedDomain, RefusesAThreadThatHasNeverCalledADomain)
{
	lych_domain *d = nullptr;

	ASSERT_EQ(lych_domain_new(&d, nullptr), 0);
	EXPECT_EQ(LYCH_CALL(d, LYCH_NOTHING, Fault), -EFAULT);
	entered = 0;
	CallFromANewThread(d, -EOWNERDEAD);
	EXPECT_EQ(entered, 0);
	// control: when it is not closed
	ASSERT_EQ(lych_domain_reset(d), 0);
	CallFromANewThread(d, 0);
	EXPECT_EQ(entered, 2);
	EXPECT_EQ(lych_domain_free(d), 0);
}

} // namespace
