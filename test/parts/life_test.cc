/* SPDX-License-Identifier: Apache-2.0 */
// The life of domains among several threads at once: made, called, faulted, canceled, reset, freed, while others do the
// same. Says little of what each of these does (domain_test.cc), but that they do not get in each other's way; under
// ThreadSanitizer also that nothing is read while another thread writes it.
#include <gtest/gtest.h>

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "life_world.h"

namespace
{

constexpr int THREADS = 4;

struct Report {
	std::atomic<int> count{0}, odd{0};
};

// on_fault has a copy of its own: what it reads changes for nobody.
void OnFault(const struct lych_fault *fault, void *ctx)
{
	auto *report = static_cast<Report *>(ctx);

	report->count++;
	report->odd += fault->kind == LYCH_FAULT_NONE || fault->tid != gettid() ||
		       strncmp(fault->domain, "life", 4) != 0 || strcmp(fault->function, "work") != 0 ||
		       fault->count == 0;
}

bool IsOneOf(int rc, std::initializer_list<int> allowed)
{
	for (int code : allowed) {
		if (rc == code) {
			return true;
		}
	}
	return false;
}

class Life : public ::testing::Test {
protected:
	void SetUp() override
	{
		int rc = life_start(OnFault, &report);

		if (rc == -ENODEV) {
			GTEST_SKIP() << "this processor has no rdgsbase";
		}
		ASSERT_EQ(rc, 0);
		before_kicks = life_kicks();
	}

	void TearDown() override
	{
		if (IsSkipped()) {
			return;
		}
		EXPECT_EQ(life_spoiled(), 0);
		EXPECT_EQ(report.odd, 0);
		EXPECT_EQ(life_domains(), 0);
		EXPECT_EQ(life_keys(), 0);
		EXPECT_EQ(life_ranges(), 0);
		EXPECT_EQ(life_threads(), 0);
		life_stop();
	}

	static lych_domain *New(int *rc = nullptr)
	{
		lych_domain_opts opts = {};
		lych_domain *d = nullptr;

		opts.size = sizeof(opts);
		opts.name = "life";
		opts.heap_bytes = 1 << 14;
		opts.stack_bytes = 1 << 14;
		int err = lych_domain_new(&d, &opts);
		if (rc != nullptr) {
			*rc = err;
		}
		return d;
	}

	// Each in a thread of its own, and none of them waits for another without looking up.
	static void InThreads(int count, const std::function<void(int)> &work)
	{
		std::vector<std::thread> threads;

		for (int i = 0; i < count; i++) {
			threads.emplace_back(work, i);
		}
		for (std::thread &thread : threads) {
			thread.join();
		}
	}

	Report report;
	int before_kicks = 0;
};

void Nothing(void *)
{
}

TEST_F(Life, OfDomainsThatEachThreadHasOfItsOwn)
{
	std::array<std::atomic<int>, 16> owner{};

	InThreads(THREADS, [&](int) {
		for (int round = 0; round < 12; round++) {
			lych_domain *d = New();
			ASSERT_NE(d, nullptr);
			int nobody = 0;
			EXPECT_TRUE(owner[life_key(d)].compare_exchange_strong(nobody, gettid())) << "two have one key";
			EXPECT_EQ(lych_fault(d)->kind, LYCH_FAULT_NONE) << "somebody else's fault";

			EXPECT_EQ(life_call(d, LIFE_RETURN, 0, nullptr, nullptr), 0);
			auto again = [](void *domain) {
				EXPECT_EQ(life_call(static_cast<lych_domain *>(domain), LIFE_RETURN, 0, nullptr,
						    nullptr),
					  0);
				EXPECT_EQ(lych_domain_reset(static_cast<lych_domain *>(domain)), -EBUSY);
			};
			EXPECT_EQ(life_call(d, LIFE_CALL_BACK, 0, again, d), 0);
			EXPECT_EQ(lych_domain_cancel(d), 0);

			EXPECT_EQ(life_call(d, LIFE_FAULT, 0, nullptr, nullptr), -EFAULT);
			const struct lych_fault *fault = lych_fault(d);
			EXPECT_EQ(fault->kind, LYCH_FAULT_KEY);
			EXPECT_EQ(fault->key, life_key(d));
			EXPECT_STREQ(fault->owner, "life");
			EXPECT_EQ(fault->tid, gettid());
			EXPECT_EQ(fault->count, 1u);
			EXPECT_EQ(fault->nframes, 1);
			EXPECT_EQ(life_call(d, LIFE_RETURN, 0, nullptr, nullptr), -EOWNERDEAD);
			EXPECT_EQ(lych_domain_reset(d), 0);

			EXPECT_EQ(life_call(d, LIFE_STAY, 1, nullptr, nullptr), -ETIMEDOUT);
			EXPECT_EQ(lych_fault(d)->kind, LYCH_FAULT_DEADLINE);
			EXPECT_EQ(lych_domain_reset(d), 0);
			EXPECT_EQ(life_call(d, LIFE_RETURN, 1000000, nullptr, nullptr), 0);
			owner[life_key(d)] = 0;
			EXPECT_EQ(lych_domain_free(d), 0);
		}
	});
	EXPECT_EQ(report.count, THREADS * 12 * 2);
	EXPECT_GT(life_kicks(), before_kicks) << "no thread ever had to be told of a key";
}

// A key is free for its next owner when every thread has lost it: not when the threads have begun to.
TEST_F(Life, OfAKeyIsOverWhenNoThreadGoesOnWithIt)
{
	std::atomic<int> key{0};
	std::atomic<bool> ready{false}, slow{false}, freed{false};
	auto wait_for = [](const auto &what) {
		while (!what) {
			life_rest();
		}
	};

	InThreads(2, [&](int thread) {
		lych_domain *mine = New(); // attaches
		ASSERT_NE(mine, nullptr);
		if (thread == 0) {
			ready = true;
			wait_for(key);
			EXPECT_TRUE(life_may_touch(key)) << "the control: it has the right while there is the domain";
			life_slow(true);
			slow = true;
			wait_for(freed);
			EXPECT_FALSE(life_may_touch(key));
			EXPECT_EQ(lych_domain_free(mine), 0);
			return;
		}
		wait_for(ready);
		lych_domain *d = New();
		key = life_key(d);
		wait_for(slow);
		EXPECT_EQ(lych_domain_free(d), 0);
		EXPECT_TRUE(life_hurry()) << "the other thread was not asked to follow";
		freed = true;
		EXPECT_EQ(lych_domain_free(mine), 0);
	});
}

// What a report looks at is the domain's: where its heap and stacks are.
TEST_F(Life, OfADomainLastsUntilItsFaultIsReported)
{
	static std::atomic<bool> reporting, freed, freed_too_early;
	lych_domain *d = nullptr;

	reporting = freed = freed_too_early = false;
	life_while_reporting([] {
		reporting = true;
		for (int i = 0; i < 50 && !freed; i++) {
			life_nap();
			life_rest();
		}
		freed_too_early = freed.load();
	});
	InThreads(2, [&](int thread) {
		if (thread == 0) {
			d = New();
			EXPECT_EQ(life_call(d, LIFE_FAULT, 0, nullptr, nullptr), -EFAULT);
			return;
		}
		while (!reporting) {
			life_rest();
		}
		EXPECT_EQ(lych_domain_free(d), 0);
		freed = true;
	});
	life_while_reporting(nullptr);
	EXPECT_FALSE(freed_too_early);
	EXPECT_EQ(report.count, 1);
}

// A signal may ask for what the host wants while another thread changes it.
TEST_F(Life, OfAnActionIsReadWholeWhileItChanges)
{
	std::atomic<bool> stop{false};
	std::atomic<uint64_t> changes{0};
	std::atomic<int> torn{0}, older{0};

	life_action_put(SIGUSR1, 0);
	InThreads(3, [&](int thread) {
		if (thread == 0) {
			while (!stop) {
				life_action_put(SIGUSR1, ++changes);
			}
			return;
		}
		uint64_t last = 0;
		for (int i = 0; i < 20000 || changes < 1000; i++) {
			uint64_t n = 0;
			torn += !life_action_get(SIGUSR1, &n);
			older += n < last;
			last = n;
		}
		stop = true;
	});
	EXPECT_EQ(torn, 0);
	EXPECT_EQ(older, 0);
}

// Places for domains that all threads use. Who replaces one frees it among calls that are inside, and then waits for
// the others to let go of it: a place that is free may be anybody's next.
class Places {
public:
	static constexpr int COUNT = 3;

	struct Place {
		std::atomic<lych_domain *> domain{nullptr};
		std::atomic<int> users{0};
	};

	// With the domain of a place, if there is one.
	template <typename Use> bool With(int i, Use use)
	{
		Place &place = places[i];
		place.users++;
		lych_domain *d = place.domain;
		if (d != nullptr) {
			use(d);
		}
		place.users--;
		return d != nullptr;
	}

	// false: somebody else is at it.
	template <typename Make> bool Replace(int i, Make make)
	{
		bool nobody = false;
		if (!busy.compare_exchange_strong(nobody, true)) {
			return false;
		}
		lych_domain *d = places[i].domain.exchange(nullptr);
		int rc = 0;
		while (d != nullptr && (rc = lych_domain_free(d)) == -EBUSY) {
			life_rest(); // somebody resets it
		}
		EXPECT_EQ(rc, 0);
		while (places[i].users != 0) {
			life_rest();
		}
		places[i].domain = make();
		busy = false;
		return true;
	}

	std::array<Place, COUNT> places;
	std::atomic<bool> busy{false};
};

TEST_F(Life, OfDomainsThatAllThreadsUseAtOnce)
{
	Places places;
	std::array<std::atomic<int>, 4096> seen{}; // by -status
	std::atomic<int> replaced{0}, resets{0};

	InThreads(THREADS, [&](int thread) {
		std::mt19937 random(thread + 1);
		struct Inside {
			Places *places;
			int place;
			bool reset;
		};
		// Host code above a call: into another domain, and sometimes it wants everybody out of there.
		auto callback = [](void *ctx) {
			auto *in = static_cast<Inside *>(ctx);
			in->places->With(in->place, [in](lych_domain *d) {
				int rc = life_call(d, LIFE_RETURN, 0, nullptr, nullptr);
				EXPECT_TRUE(IsOneOf(rc, {0, -ECANCELED, -EOWNERDEAD, -EINVAL})) << rc;
				rc = in->reset ? lych_domain_reset(d) : lych_domain_cancel(d);
				EXPECT_TRUE(IsOneOf(rc, {0, -EBUSY, -EINVAL})) << rc;
			});
		};

		for (int step = 0; step < 150; step++) {
			int place = static_cast<int>(random() % Places::COUNT), other = (place + 1) % Places::COUNT;
			unsigned int what = random() % 16;
			Inside in = {&places, other, random() % 4 == 0};

			if (what == 0) {
				replaced += places.Replace(place, [] { return New(); });
				continue;
			}
			places.With(place, [&](lych_domain *d) {
				int rc;
				if (what <= 2) {
					rc = lych_domain_reset(d);
					EXPECT_TRUE(IsOneOf(rc, {0, -EBUSY, -EINVAL})) << rc;
					resets += rc == 0;
				} else if (what <= 4) {
					rc = lych_domain_cancel(d);
					EXPECT_TRUE(IsOneOf(rc, {0, -EINVAL})) << rc;
				} else if (what <= 6) {
					rc = life_call(d, LIFE_FAULT, 0, nullptr, nullptr);
					EXPECT_TRUE(IsOneOf(rc, {-EFAULT, -ECANCELED, -EOWNERDEAD, -EINVAL})) << rc;
					seen[-rc]++;
				} else if (what <= 8) {
					rc = life_call(d, LIFE_STAY, 3, nullptr, nullptr);
					EXPECT_TRUE(IsOneOf(rc, {-ETIMEDOUT, -ECANCELED, -EOWNERDEAD, -EINVAL})) << rc;
					seen[-rc]++;
				} else if (what <= 10) {
					rc = life_call(d, LIFE_CALL_BACK, 0, callback, &in);
					EXPECT_TRUE(IsOneOf(rc, {0, -ECANCELED, -EOWNERDEAD, -EINVAL})) << rc;
					seen[-rc]++;
				} else {
					rc = life_call(d, LIFE_RETURN, 0, nullptr, nullptr);
					EXPECT_TRUE(IsOneOf(rc, {0, -ECANCELED, -EOWNERDEAD, -EINVAL})) << rc;
					seen[-rc]++;
				}
				const char *name = lych_domain_name(d);
				EXPECT_TRUE(strcmp(name, "life") == 0 || name[0] == '\0') << name;
			});
		}
	});
	// It was not all refused.
	EXPECT_GT(seen[0], 0);
	EXPECT_GT(seen[EFAULT], 0);
	EXPECT_GT(seen[EOWNERDEAD], 0);
	EXPECT_GT(seen[ECANCELED] + seen[ETIMEDOUT], 0);
	EXPECT_GT(replaced, 0);
	EXPECT_GT(resets, 0);
	EXPECT_GT(report.count, 0);
	std::thread([&] {
		for (auto &place : places.places) {
			EXPECT_EQ(lych_domain_free(place.domain), 0);
		}
	}).join();
}

TEST_F(Life, OfThreadsThatComeAndGoWhileKeysDo)
{
	std::atomic<lych_domain *> shared{nullptr};
	std::atomic<bool> stop{false};
	std::atomic<int> calls{0};

	InThreads(THREADS, [&](int thread) {
		if (thread == 0) { // keys come and go
			shared = New();
			ASSERT_NE(shared.load(), nullptr);
			for (int i = 0; i < 40; i++) {
				lych_domain *d = New();
				ASSERT_NE(d, nullptr);
				EXPECT_EQ(life_call(d, LIFE_RETURN, 0, nullptr, nullptr), 0);
				EXPECT_EQ(lych_domain_free(d), 0);
			}
			while (calls < 20) {
				life_rest();
			}
			stop = true;
			EXPECT_EQ(lych_domain_free(shared), 0);
			return;
		}
		while (!stop) { // and so do threads, each with one call
			std::thread([&] {
				lych_domain *d = shared;
				if (d != nullptr) {
					int rc = life_call(d, LIFE_CALL_BACK, 0, Nothing, nullptr);
					EXPECT_TRUE(IsOneOf(rc, {0, -ECANCELED, -EINVAL})) << rc;
					calls++;
				}
			}).join();
		}
	});
}

} // namespace
