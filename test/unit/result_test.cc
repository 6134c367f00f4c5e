// SPDX-License-Identifier: Apache-2.0
// Results that a domain returns in memory: a block of its heap that lych_result_new takes and lych_result_end fetches.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <lychgate/bind_detail.h>

#include "fake_runtime.h"

namespace
{

struct Big {
	uint64_t words[8];
};

class Result : public ::testing::Test {
protected:
	void SetUp() override
	{
		struct lych_domain_opts opts = {};
		int err;

		fake_start(LYCH_PKU);
		opts.size = sizeof(opts);
		domain = fake_domain_new(&opts, &err);
		ASSERT_EQ(err, 0);
		block = (Big *)lych_result_new(domain, alignof(Big), sizeof(Big), &life);
		ASSERT_NE(block, nullptr);
		block->words[7] = 42;
	}

	void TearDown() override
	{
		fake_domain_free(domain);
		fake_detach();
	}

	int End(int status)
	{
		return lych_result_end(domain, block, life, status, &fetched, sizeof(fetched));
	}

	struct lych_domain *domain = nullptr;
	Big *block = nullptr;
	uint64_t life = 0;
	Big fetched = {};
};

TEST_F(Result, IsCopiedAndItsBlockFreed)
{
	EXPECT_EQ(End(0), 0);
	EXPECT_EQ(fetched.words[7], 42u);
	EXPECT_EQ(lych_free(domain, block), -EINVAL);
}

TEST_F(Result, NobodyWantsIsFreed)
{
	EXPECT_EQ(lych_result_end(domain, block, life, 0, nullptr, sizeof(Big)), 0);
	EXPECT_EQ(lych_free(domain, block), -EINVAL);
}

TEST_F(Result, OfACallThatWasEndedIsFreedAndNotFetched)
{
	EXPECT_EQ(End(-EFAULT), -EFAULT);
	EXPECT_EQ(fetched.words[7], 0u);
	EXPECT_EQ(lych_free(domain, block), -EINVAL);
}

// The same place belongs to somebody else after the reset. Without the life it was fetched from, and freed.
TEST_F(Result, OfAnEarlierLifeIsNeitherFetchedNorFreed)
{
	ASSERT_EQ(fake_domain_reset(domain), 0);
	void *other = lych_alloc(domain, sizeof(Big));
	ASSERT_EQ(other, block);
	EXPECT_EQ(End(0), -ECANCELED);
	EXPECT_EQ(fetched.words[7], 0u);
	EXPECT_EQ(End(-ETIMEDOUT), -ETIMEDOUT);
	EXPECT_EQ(lych_free(domain, other), 0);
}

TEST_F(Result, ThatTheDomainHasFreedItselfIsWhatLiesThere)
{
	ASSERT_EQ(lych_free(domain, block), 0);
	EXPECT_EQ(End(0), 0);
}

TEST_F(Result, OutsideTheHeapIsRefused)
{
	EXPECT_EQ(lych_result_end(domain, &fetched, life, 0, &fetched, sizeof(fetched)), -EINVAL);
	EXPECT_EQ(lych_result_end(domain, block, life, 0, &fetched, SIZE_MAX), -EINVAL);
	EXPECT_EQ(End(0), 0);
}

TEST_F(Result, ThatDoesNotFitIsNoMemory)
{
	EXPECT_EQ(lych_result_new(domain, 16, (size_t)1 << 40, &life), nullptr);
	EXPECT_EQ(errno, ENOMEM);
}

} // namespace
