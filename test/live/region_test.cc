/* SPDX-License-Identifier: Apache-2.0 */
// Regions with keys: what is closed faults, with the region's key; each with the control that it does not when open.
#include "needs_pku.h"

#include <fcntl.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "fake_runtime.h"

namespace
{

struct secret {
	volatile int value;
};

class Region : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (HasFatalFailure() || IsSkipped()) {
			return;
		}
		fake_start(LYCH_PKU);
		ASSERT_TRUE(fake_has_keys());
		ASSERT_EQ(lych_region_new(&region, sizeof(struct secret), nullptr), 0);
		ASSERT_EQ(lych_region_new(&other, sizeof(struct secret), nullptr), 0);
		key = lych_region_key(region);
		secret = static_cast<struct secret *>(lych_region_address(region));
		others = static_cast<struct secret *>(lych_region_address(other));
	}

	void TearDown() override
	{
		if (region != nullptr) {
			EXPECT_EQ(lych_region_free(region), 0);
			EXPECT_EQ(lych_region_free(other), 0);
		}
	}

	struct lych_region *region = nullptr, *other = nullptr;
	struct secret *secret = nullptr, *others = nullptr;
	int key = 0;
};

#define EXPECT_NO_FAULT(...) EXPECT_EQ(FaultOf([&] __VA_ARGS__).signal, 0)

TEST_F(Region, ReadWithoutAScopeFaultsWithItsKey)
{
	EXPECT_PKU_FAULT(key, { (void)secret->value; });
	LYCH_READ(struct secret, s, region) {
		EXPECT_NO_FAULT({ (void)s->value; });
	}
	EXPECT_PKU_FAULT(key, { (void)secret->value; });
}

TEST_F(Region, WriteWithoutAScopeFaultsWithItsKey)
{
	EXPECT_PKU_FAULT(key, { secret->value = 1; });
	LYCH_WRITE(struct secret, s, region) {
		EXPECT_NO_FAULT({ s->value = 1; });
	}
	EXPECT_PKU_FAULT(key, { secret->value = 1; });
}

TEST_F(Region, WriteInAReadScopeFaultsWithItsKey)
{
	LYCH_READ(struct secret, s, region) {
		EXPECT_NO_FAULT({ (void)s->value; });
		EXPECT_PKU_FAULT(key, { secret->value = 1; }); // through a pointer that is not const
	}
}

TEST_F(Region, KeepsWhatWasWritten)
{
	LYCH_WRITE(struct secret, s, region) {
		s->value = 42;
	}
	LYCH_READ(struct secret, s, region) {
		EXPECT_EQ(s->value, 42);
	}
}

TEST_F(Region, AScopeOpensNoOtherRegion)
{
	LYCH_WRITE(struct secret, s, region) {
		EXPECT_PKU_FAULT(lych_region_key(other), { (void)others->value; });
		LYCH_READ(struct secret, o, other) {
			EXPECT_NO_FAULT({ (void)(o->value + s->value); });
			EXPECT_PKU_FAULT(lych_region_key(other), { others->value = 1; });
		}
		EXPECT_PKU_FAULT(lych_region_key(other), { (void)others->value; });
		EXPECT_NO_FAULT({ s->value = 1; });
	}
}

TEST_F(Region, NestedScopesRestoreWhatWasBefore)
{
	LYCH_READ(struct secret, outer, region) {
		LYCH_WRITE(struct secret, inner, region) {
			LYCH_READ(struct secret, innermost, region) {
				EXPECT_NO_FAULT({ inner->value = innermost->value; });
			}
			EXPECT_NO_FAULT({ inner->value = 1; });
		}
		EXPECT_PKU_FAULT(key, { secret->value = 1; });
		EXPECT_NO_FAULT({ (void)outer->value; });
	}
}

// Both threads are older than the scope: a thread that starts in one begins with the rights of its parent.
TEST_F(Region, IsOpenForTheThreadThatOpenedItOnly)
{
	std::atomic<int> phase{0};
	Fault closed = {}, after = {};
	std::thread watcher([&] {
		while (phase == 0) {
			usleep(1000);
		}
		closed = FaultOf([&] { (void)secret->value; });
		LYCH_READ(struct secret, s, region) {
			after = FaultOf([&] { (void)s->value; });
		}
		phase = 2;
	});
	LYCH_WRITE(struct secret, s, region) {
		phase = 1;
		while (phase == 1) {
			usleep(1000);
		}
		EXPECT_NO_FAULT({ s->value = 1; });
	}
	watcher.join();
	EXPECT_TRUE(IsPkuFault(closed, key));
	EXPECT_EQ(after.signal, 0) << "the control: with a scope of its own";
}

int ReturnFrom(struct lych_region *region)
{
	LYCH_WRITE(struct secret, s, region) {
		return s->value;
	}
	return -1;
}

TEST_F(Region, IsClosedHoweverTheBlockIsLeft)
{
	EXPECT_EQ(ReturnFrom(region), 0);
	EXPECT_PKU_FAULT(key, { (void)secret->value; });
	LYCH_WRITE(struct secret, s, region) {
		if (s->value == 0) {
			break;
		}
	}
	EXPECT_PKU_FAULT(key, { (void)secret->value; });
	try {
		LYCH_WRITE(struct secret, s, region) {
			throw s->value + 1;
		}
	} catch (int) {
	}
	EXPECT_PKU_FAULT(key, { (void)secret->value; });
}

TEST_F(Region, TheKernelReadsItForNobodyEither)
{
	int ends[2];

	ASSERT_EQ(pipe(ends), 0);
	EXPECT_EQ(write(ends[1], secret, sizeof(*secret)), -1);
	EXPECT_EQ(errno, EFAULT);
	LYCH_READ(struct secret, s, region) {
		EXPECT_EQ(write(ends[1], s, sizeof(*s)), static_cast<ssize_t>(sizeof(*s)));
	}
	close(ends[0]);
	close(ends[1]);
}

TEST_F(Region, OptionsHoldWithKeys)
{
	struct lych_region_opts opts = {};
	struct lych_region *r = nullptr;

	opts.size = sizeof(opts);
	opts.lock_memory = true;
	opts.keep_on_fork = true;
	ASSERT_EQ(lych_region_new(&r, 1, &opts), 0) << "mlock of memory this thread has no rights to fails";
	LYCH_WRITE(struct secret, s, r) {
		s->value = 7;
		EXPECT_NO_FAULT({
			if (s->value != 7) {
				abort();
			}
		});
	}
	void *at = lych_region_address(r);
	fake_watch(static_cast<int *>(at));
	uint32_t before = fake_pkru();
	EXPECT_EQ(lych_region_free(r), 0);
	EXPECT_EQ(fake_watched(), 0) << "not wiped";
	EXPECT_EQ(fake_pkru(), before);
}

TEST_F(Region, AVaultIsFilledByTheHostAndNotRead)
{
	struct lych_domain_opts opts = {};

	opts.size = sizeof(opts);
	opts.kind = LYCH_KIND_VAULT;
	opts.lock_memory = true;
	struct lych_domain *vault = fake_domain_new(&opts, nullptr);
	ASSERT_NE(vault, nullptr);
	volatile char *block = static_cast<char *>(lych_copy_in(vault, "secret", 7));
	ASSERT_NE(block, nullptr);
	int of_vault = fake_ledger_key(const_cast<char *>(block));
	EXPECT_PKU_FAULT(of_vault, { (void)*block; });
	char out[7];
	EXPECT_EQ(lych_copy_out(vault, out, const_cast<char *>(block), 7), -EACCES);
	EXPECT_NE(lych_realloc(vault, const_cast<char *>(block), 100), nullptr);
	EXPECT_PKU_FAULT(of_vault, { (void)*block; });
	EXPECT_EQ(fake_domain_reset(vault), 0) << "its pages are locked again with the rights to them";
	EXPECT_PKU_FAULT(of_vault, { (void)*block; });
	fake_domain_free(vault);
}

} // namespace
