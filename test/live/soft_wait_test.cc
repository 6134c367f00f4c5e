// SPDX-License-Identifier: Apache-2.0
// What the mprotect backend promises with the whole runtime: who touches memory that is closed because somebody is in a
// domain, waits.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <utility>

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

// Writes its own heap until it is told to end.
long Write(volatile long *block, std::atomic<int> *writing, const std::atomic<int> *end)
{
	writing->store(1);
	while (end->load() == 0) {
		*block = *block + 1;
	}
	return *block;
}

LYCH_BIND(d, Write, long, (volatile long *, std::atomic<int> *, const std::atomic<int> *));

long Twice(long n)
{
	return 2 * n;
}

LYCH_BIND(d, Twice, long, (long));

lych_domain *of_handler;
lych_region *region_of_handler;
std::atomic<int> handled;

void CallAndOpen(int)
{
	lych_domain *d = of_handler;
	long n = 0;

	if (LYCH_CALL(d, &n, Twice, 21) == 0 && n == 42) {
		LYCH_WRITE(volatile long, secret, region_of_handler) {
			*secret = 1;
		}
		handled = 1;
	}
}

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

TEST_F(SoftWait, HandlerThatInterruptsADomainIsTheHostAndTheDomainGoesOnWithItsHeap)
{
	lych_domain *third = nullptr;
	std::atomic<int> writing{0}, end{0};
	auto *block = static_cast<volatile long *>(lych_alloc(d, sizeof(long)));

	of_handler = other;
	region_of_handler = region;
	handled = 0;
	signal(SIGUSR1, CallAndOpen);
	ASSERT_EQ(lych_domain_new(&third, nullptr), 0);
	std::thread writer([block, &writing, &end, d = d] {
		long n = 0;
		EXPECT_EQ(LYCH_CALL(d, &n, Write, block, &writing, &end), 0);
		EXPECT_GT(n, 0);
	});
	while (writing == 0) {
		std::this_thread::yield();
	}
	pthread_kill(writer.native_handle(), SIGUSR1);
	while (handled == 0) {
		std::this_thread::yield();
	}
	// Somebody in another domain: heaps of those nobody is in are closed.
	touching = 1;
	std::swap(d, third);
	std::thread guest([&] { EXPECT_EQ(LYCH_CALL(d, LYCH_NOTHING, Stay, &inside, &touching), 0); });
	guest.join();
	std::swap(d, third);
	end = 1;
	writer.join();
	EXPECT_EQ(lych_domain_free(third), 0);
	signal(SIGUSR1, SIG_DFL);
}

TEST_F(SoftWait, MemoryThatIsClosedForItselfIsAFault)
{
	auto *secret = static_cast<volatile long *>(lych_region_address(region));

	EXPECT_EXIT(*secret = 1, testing::KilledBySignal(SIGSEGV), "");
}

} // namespace
