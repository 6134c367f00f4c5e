// SPDX-License-Identifier: Apache-2.0
// G7: a domain that has faulted, or is being reset, lets nobody in: also threads that have never been in any. With keys
// where there are some, else with mprotect.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include <lychgate/lychgate.h>

#include "live.h"

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
typedef long (*Asked)(long);

long Ask(Asked asked, long n)
{
	return asked(n);
}

std::atomic<int> asking;
lych_domain *asked_about;

// Both are in it before one of them cancels what both are inside.
long CancelTogether(long n)
{
	asking++;
	while (asking < 2) {
		std::this_thread::yield();
	}
	int rc = lych_domain_cancel(asked_about);
	EXPECT_TRUE(rc == 0 || rc == -EBUSY) << rc;
	return n;
}

LYCH_BIND(d, Fault, void, (void));
LYCH_BIND(d, Ask, long, (Asked, long));
LYCH_CALLBACK(CancelTogether, long, (long));

class ClosedDomain : public testing::Test
{
protected:
	static void SetUpTestSuite()
	{
		ASSERT_EQ(live_start(), 0) << lych_why();
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

// G7: the host goes on.
TEST_F(ClosedDomain, TwoThreadsThatCancelItFromWithinDoNotWaitForEachOtherForEver)
{
	lych_domain *d = nullptr;
	Asked asked = nullptr;
	long n = 0;

	ASSERT_EQ(lych_domain_new(&d, nullptr), 0);
	ASSERT_EQ(lych_callback(&asked, d, CancelTogether, nullptr), 0);
	asked_about = d;
	asking = 0;
	std::thread other([d, asked] { EXPECT_EQ(LYCH_CALL(d, nullptr, Ask, asked, 1), -ECANCELED); });
	EXPECT_EQ(LYCH_CALL(d, &n, Ask, asked, 2), -ECANCELED);
	other.join();
	EXPECT_EQ(LYCH_CALL(d, LYCH_NOTHING, Fault), -EFAULT); // it is not closed
	EXPECT_EQ(lych_domain_free(d), 0);
}

} // namespace
