/* SPDX-License-Identifier: Apache-2.0 */
// G1, G7, G8: what was somebody's and is not any more: memory and stacks of a domain that ended, callbacks of one that was
// here before, frames of calls that wait while their domain is reset; and the heap's own call, asked for what is not the asker's.
#include "attack.h"

#include <sched.h>

#include <atomic>
#include <functional>
#include <thread>

extern "C" {
long host_waits(void);
void host_counts(void);
long calls_and_adds(long (*fn)(void), long *where);
}
LYCH_CALLBACK(host_waits, long, (void));
LYCH_CALLBACK(host_counts, void, (void));
LYCH_BIND(domain, calls_and_adds, long, (long (*)(void), long *));

namespace
{

std::function<long()> waits;
int counted;

} // namespace

extern "C" long host_waits(void)
{
	return waits();
}
extern "C" void host_counts(void)
{
	counted++;
}
extern "C" long calls_and_adds(long (*fn)(void), long *where)
{
	long result = fn();
	*where = 666; // not reached, when its domain was reset meanwhile
	return result + 1;
}

namespace
{

class Handles : public OfEachKind
{
};

long FillsItsStack(prey *p)
{
	volatile uint64_t here[512];
	for (auto &word : here) {
		word = kSecret;
	}
	p->more[0] = reinterpret_cast<uint64_t>(&here[0]);
	return static_cast<long>(here[17] & 1);
}

// Everything from its frame down that it may read: words of the secret.
long LooksDownItsStack(prey *p)
{
	auto *here = reinterpret_cast<volatile uint64_t *>(reinterpret_cast<uint64_t>(__builtin_frame_address(0)) & ~7ull);
	long found = 0;
	for (int i = 64; i < 4096; i++) { // 32 KiB of 256
		found += here[-i] == kSecret;
	}
	for (uint64_t i = 0; i < kOwn / 8; i++) {
		found += reinterpret_cast<volatile uint64_t *>(p->own)[i] == kSecret;
	}
	return found;
}

long ReadsThere(prey *p)
{
	p->taken = *p->secret;
	return 0;
}

TEST_P(Handles, OfADomainThatEndedLeadToNothingOfTheNextOnes)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		for (int round = 0; round < 6; round++) {
			std::atomic<int> phase{0};
			long result = -1;
			uint64_t other_stack = 0;
			// two threads with a stack each, full of secrets
			std::thread other([&] {
				EXPECT_EQ(LYCH_CALL(domain, nullptr, attack_do, FillsItsStack, target), 0);
				other_stack = target->more[0];
				phase = 1;
				while (phase != 2) {
					sched_yield();
				}
				// its slot is of the one that ended; the key may be the same
				result = -1;
				EXPECT_EQ(LYCH_CALL(domain, &result, attack_do, LooksDownItsStack, target), 0);
				EXPECT_EQ(result, 0);
				phase = 3;
				while (phase != 4) {
					sched_yield();
				}
			});
			while (phase != 1) {
				sched_yield();
			}
			for (size_t i = 0; i < kOwn; i += 8) {
				memcpy(target->own + i, &kSecret, 8);
			}
			ASSERT_EQ(LYCH_CALL(domain, &result, attack_do, FillsItsStack, target), 0);
			uint64_t my_stack = target->more[0];
			if (round == 0) { // the control: it would see them
				EXPECT_EQ(LYCH_CALL(domain, &result, attack_do, LooksDownItsStack, target), 0);
				EXPECT_GT(result, static_cast<long>(kOwn / 8));
			}
			uint64_t heap = reinterpret_cast<uint64_t>(target->own);
			lych_domain *before = domain;
			int key = lych_domain_key(domain);
			ASSERT_EQ(lych_domain_free(domain), 0);
			lych_domain_opts opts = {};
			opts.size = sizeof(opts);
			opts.kind = GetParam();
			ASSERT_EQ(lych_domain_new(&domain, &opts), 0);
			EXPECT_EQ(domain, before) << "the place is the same";
			EXPECT_EQ(lych_domain_key(domain), key) << "and so is the key";
			ASSERT_TRUE(Arm());
			EXPECT_EQ(LYCH_CALL(domain, &result, attack_do, LooksDownItsStack, target), 0);
			EXPECT_EQ(result, 0);
			phase = 2;
			while (phase != 3) {
				sched_yield();
			}
			phase = 4;
			other.join();
			// where they were there is nothing, or what is new and zero
			for (uint64_t at : {my_stack, other_stack, heap}) {
				target->secret = reinterpret_cast<uint64_t *>(at);
				target->taken = 0;
				Ended ended = Attack(ReadsThere);
				EXPECT_TRUE(ended.rc == 0 || ended.rc == -EFAULT);
				EXPECT_NE(target->taken, kSecret);
				if (ended.rc != 0) {
					Anew();
				}
			}
		}
	});
}

long CallsAt(prey *p)
{
	reinterpret_cast<void (*)(void)>(p->more[0])();
	return 0;
}

TEST_P(Handles, OfCallbacksOfADomainThatEndedCallNobody)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		void (*fn)(void) = nullptr, (*again)(void) = nullptr;
		ASSERT_EQ(lych_callback(&fn, domain, host_counts, nullptr), 0);
		target->more[0] = reinterpret_cast<uint64_t>(fn);
		ASSERT_EQ(Attack(CallsAt).rc, 0);
		EXPECT_EQ(counted, 1) << "the control";
		// kept across a reset, as is written
		Anew();
		target->more[0] = reinterpret_cast<uint64_t>(fn);
		ASSERT_EQ(Attack(CallsAt).rc, 0);
		EXPECT_EQ(counted, 2);
		ASSERT_EQ(lych_domain_free(domain), 0);
		lych_domain_opts opts = {};
		opts.size = sizeof(opts);
		opts.kind = GetParam();
		ASSERT_EQ(lych_domain_new(&domain, &opts), 0);
		ASSERT_TRUE(Arm());
		target->more[0] = reinterpret_cast<uint64_t>(fn);
		EXPECT_EQ(Attack(CallsAt).rc, -EFAULT);
		ExpectFault(LYCH_FAULT_GATE);
		EXPECT_EQ(counted, 2);
		Anew();
		// freed while it runs elsewhere: whoever calls it then is refused
		ASSERT_EQ(lych_callback(&again, domain, host_counts, nullptr), 0);
		ASSERT_EQ(lych_callback_free(domain, again), 0);
		target->more[0] = reinterpret_cast<uint64_t>(again);
		EXPECT_EQ(Attack(CallsAt).rc, -EFAULT);
		EXPECT_EQ(counted, 2);
	});
}

// A call waits in a callback while another thread makes its domain anew. It must not come back into it.
TEST_P(Handles, OfACallThatWaitsWhileItsDomainIsResetLeadNowhere)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		long (*fn)(void) = nullptr;
		ASSERT_EQ(lych_callback(&fn, domain, host_waits, nullptr), 0);
		std::atomic<int> reset{1};
		std::thread resetter;
		waits = [&]() -> long {
			resetter = std::thread([&] { reset = lych_domain_reset(domain); });
			// until it is closed: calls of others are refused then
			for (int rc = 0; rc == 0;) {
				std::thread([&] { rc = LYCH_CALL(domain, nullptr, attack_do, [](prey *) { return 0L; }, target); }).join();
			}
			EXPECT_EQ(reset, 1) << "it waits for this one";
			return 7;
		};
		auto *where = static_cast<long *>(lych_alloc(domain, sizeof(long)));
		long result = -1;
		inside before, after;
		inside_look(&before);
		EXPECT_EQ(LYCH_CALL(domain, &result, calls_and_adds, fn, where), -ECANCELED);
		inside_look(&after);
		resetter.join();
		EXPECT_EQ(reset, 0);
		EXPECT_EQ(result, -1);
		EXPECT_STREQ(inside_differences(&before, &after), "");
		// the control: nobody resets
		waits = [] { return 41L; };
		where = static_cast<long *>(lych_alloc(domain, sizeof(long)));
		EXPECT_EQ(*where, 0) << "the heap is new, and nobody wrote to it";
		EXPECT_EQ(LYCH_CALL(domain, &result, calls_and_adds, fn, where), 0);
		EXPECT_EQ(result, 42);
		EXPECT_EQ(*where, 666);
	});
}

// ---- the heap's own call (LYCH_SYS_INSIDE)

long AsksForTooMuch(prey *)
{
	long given = 0;
	for (size_t bytes : {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096, size_t{1} << 63, size_t{1} << 40, size_t{1} << 32, size_t{2} << 20}) {
		given += lych_inside_alloc(bytes) != nullptr;
	}
	return given;
}

long Frees(prey *p)
{
	lych_inside_free(reinterpret_cast<void *>(p->more[0]));
	lych_inside_free(reinterpret_cast<void *>(p->more[0]));
	return 0;
}

long FreesEverythingNearby(prey *p)
{
	for (uint64_t at = p->more[0] - 64; at < p->more[0] + 256; at++) {
		if (at != p->more[0]) {
			lych_inside_free(reinterpret_cast<void *>(at));
		}
	}
	return 0;
}

TEST_P(Handles, OfBlocksThatAreNotADomainsOwnAreNotItsToFree)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		static uint64_t ordinary[64];
		inside state;
		inside_look(&state);
		Ended ended = Attack(AsksForTooMuch);
		EXPECT_EQ(ended.rc, 0);
		EXPECT_EQ(ended.result, 0);
		void *block = lych_alloc(domain, 200), *freed = lych_alloc(domain, 200);
		for (uint64_t at : {reinterpret_cast<uint64_t>(victims), reinterpret_cast<uint64_t>(closed), reinterpret_cast<uint64_t>(ordinary),
				    state.area, state.records, state.sig_stack, reinterpret_cast<uint64_t>(block) + 16, uint64_t{8}, ~uint64_t{0},
				    uint64_t{1} << 63}) {
			target->more[0] = at;
			EXPECT_EQ(Attack(Frees).rc, 0);
		}
		target->more[0] = reinterpret_cast<uint64_t>(block);
		EXPECT_EQ(Attack(FreesEverythingNearby).rc, 0);
		EXPECT_EQ(lych_verify([](const char *line, void *) { ADD_FAILURE() << line; }, nullptr), 0);
		// the controls: its own it may free, once; and those above are whose they were
		target->more[0] = reinterpret_cast<uint64_t>(freed);
		EXPECT_EQ(Attack(Frees).rc, 0);
		EXPECT_EQ(lych_free(domain, freed), -EINVAL) << "it was freed inside";
		EXPECT_EQ(lych_free(domain, block), 0) << "and this one was not";
		EXPECT_EQ(*victims, kSecret);
		EXPECT_EQ(lych_free(victim, victims), 0);
		victims = static_cast<uint64_t *>(lych_alloc_aligned(victim, 4096, 4096));
		*victims = kSecret;
		Anew();
	});
}

OF_EACH_KIND(Handles);

} // namespace
