// SPDX-License-Identifier: Apache-2.0
// What the mprotect backend promises with the whole runtime: who touches memory that is closed because somebody is in a
// domain, waits.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <lychgate/lychgate.h>

namespace
{

// Inside until other threads have begun to wait, and a while longer.
void Stay(std::atomic<int> *inside, const std::atomic<int> *touching)
{
	inside->store(1);
	while (touching->load() == 0) {
		__asm__ volatile("pause");
	}
	for (volatile long i = 0; i < 20000000; i++) {
	}
	inside->store(2);
}

LYCH_BIND(d, Stay, void, (std::atomic<int> *, const std::atomic<int> *));

class SoftWait : public testing::Test
{
protected:
	static void SetUpTestSuite()
	{
		lych_init_opts opts = {};
		opts.size = sizeof(opts);
		opts.backend = LYCH_MPROTECT;
		unsetenv("LYCH_REQUIRE_PKU"); // keys are not what this is about
		ASSERT_EQ(lych_init(&opts), 0) << lych_why();
	}

	void SetUp() override
	{
		ASSERT_EQ(lych_domain_new(&d, nullptr), 0) << lych_why();
		ASSERT_EQ(lych_domain_new(&other, nullptr), 0) << lych_why();
		ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	}
	void TearDown() override
	{
		EXPECT_EQ(lych_region_free(region), 0);
		EXPECT_EQ(lych_domain_free(other), 0);
		EXPECT_EQ(lych_domain_free(d), 0);
	}

	// Runs touch while another thread is in the domain; it must come back only when that one has left.
	template <typename Touch> void Waits(Touch touch)
	{
		std::thread guest([this] { EXPECT_EQ(LYCH_CALL(d, LYCH_NOTHING, Stay, &inside, &touching), 0); });
		while (inside == 0) {
			std::this_thread::yield();
		}
		touching = 1;
		touch();
		EXPECT_EQ(inside, 2);
		guest.join();
	}

	lych_domain *d = nullptr, *other = nullptr;
	lych_region *region = nullptr;
	std::atomic<int> inside{0}, touching{0};
};

TEST_F(SoftWait, RegionOpenOnAnotherThreadIsClosedMeanwhile)
{
	LYCH_WRITE(volatile long, secret, region) {
		*secret = 1;
		Waits([&] { *secret = 42; });
		EXPECT_EQ(*secret, 42);
	}
}

TEST_F(SoftWait, HeapOfAnotherDomainIsClosedMeanwhile)
{
	auto *block = static_cast<volatile long *>(lych_alloc(other, sizeof(long)));

	Waits([&] { *block = 42; });
	EXPECT_EQ(*block, 42);
}

TEST_F(SoftWait, ThreadThatNeverAttachedWaitsToo)
{
	auto *block = static_cast<volatile long *>(lych_alloc(other, sizeof(long)));

	Waits([&] { std::thread([&] { *block = 42; }).join(); });
	EXPECT_EQ(*block, 42);
}

TEST_F(SoftWait, MemoryThatIsClosedForItselfIsAFault)
{
	auto *secret = static_cast<volatile long *>(lych_region_address(region));

	EXPECT_EXIT(*secret = 1, testing::KilledBySignal(SIGSEGV), "");
}

} // namespace
