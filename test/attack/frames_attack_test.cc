/* SPDX-License-Identifier: Apache-2.0 */
// G6, G7: another thread of a domain rewrites what a signal has left where the domain can write: before 6.12 the kernel's frame,
// on every kernel the registers with which a domain goes on.
#include "attack.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <atomic>
#include <thread>

namespace
{

class Rewritten : public OfEachKind
{
};

constexpr uint64_t kNever = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1);
constexpr uint64_t kNeeded = 1ull << (SIGILL - 1) | 1ull << (SIGTRAP - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGFPE - 1) |
			     1ull << (SIGSEGV - 1) | 1ull << (SIGSYS - 1) | 1ull << (33 - 1);

long Asks(prey *p)
{
	return raw(SYS_getpid) != p->pid;
}

// The siginfo of the last SIGSYS in this thread's stack for signals, where that is ordinary memory; the mask is before it.
uint64_t *FindInfo(const inside &state)
{
	for (uint64_t at = state.altstack; at + 64 < state.altstack + state.altstack_bytes; at += 8) {
		auto *words = reinterpret_cast<uint32_t *>(at);
		if (words[0] == SIGSYS && words[2] == 2 && words[7] == 0xc000003e) {
			return reinterpret_cast<uint64_t *>(at);
		}
	}
	return nullptr;
}

long AsksOften(prey *p)
{
	long wrong = 0;
	for (int i = 0; i < 20000; i++) {
		wrong += raw(SYS_getpid) != p->pid;
	}
	__atomic_store_n(&p->more[7], 1, __ATOMIC_SEQ_CST);
	return wrong;
}

long AsksOnceAndSpins(prey *p)
{
	for (int i = 0; i < 20000; i++) {
		(void)raw(SYS_getpid);
	}
	for (;;) {
		__asm__ volatile("pause");
	}
	return p->pid;
}

// One word, again and again: more[1] to the 64 or, when more[2] is 4, the 32 bits at more[0].
long Rewrites(prey *p)
{
	while (__atomic_load_n(&p->more[7], __ATOMIC_SEQ_CST) == 0) {
		if (p->more[2] == 4) {
			*reinterpret_cast<volatile uint32_t *>(p->more[0]) = static_cast<uint32_t>(p->more[1]);
		} else {
			*reinterpret_cast<volatile uint64_t *>(p->more[0]) = p->more[1];
		}
	}
	return 0;
}

Ended WhileAnotherRewrites(attack_fn attack, void *at, uint64_t with, int bytes, unsigned timeout_ms)
{
	Ended ended = {0, 12345};
	target->more[0] = reinterpret_cast<uint64_t>(at);
	target->more[1] = with;
	target->more[2] = static_cast<uint64_t>(bytes);
	target->more[7] = 0;
	int rewrote = 0;
	std::thread second([&] { rewrote = LYCH_CALL(domain, nullptr, attack_do, Rewrites, target); });
	ended.rc = LYCH_CALL_TIMEOUT(domain, timeout_ms, &ended.result, attack_do, attack, target);
	__atomic_store_n(&target->more[7], 1, __ATOMIC_SEQ_CST);
	second.join();
	EXPECT_TRUE(rewrote == 0 || rewrote == -EFAULT || rewrote == -ECANCELED || rewrote == -EOWNERDEAD) << rewrote;
	return ended;
}

// Whoever runs with SIGSYS blocked ends the process by the next system call, and with the kick blocked hears of no deadline.
TEST_P(Rewritten, MasksKeepOutNoneOfTheSignalsThatTheRuntimeNeeds)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside state, after;
		inside_look(&state);
		ASSERT_EQ(Attack(Asks).result, 0);
		uint64_t *info = state.frames_whole ? reinterpret_cast<uint64_t *>(state.altstack) + 1 : FindInfo(state);
		ASSERT_NE(info, nullptr) << "the frame is where everybody can see it";
		for (int round = 0; round < 3; round++) {
			Ended ended = WhileAnotherRewrites(AsksOften, info - 1, ~kNever, 8, 60000);
			if (state.frames_whole) {
				EXPECT_TRUE(ended.rc == -ECANCELED || ended.rc == -EOWNERDEAD || ended.rc == 0) << ended.rc;
				EXPECT_STREQ(lych_fault(domain)->owner, "monitor");
				return;
			}
			EXPECT_EQ(ended.rc, 0);
			EXPECT_EQ(ended.result, 0);
			inside_look(&after);
			EXPECT_EQ(after.kernel_mask & kNeeded, 0u);
		}
		EXPECT_NE(after.kernel_mask, state.kernel_mask) << "the control: it has met frames, and forged what it may";
		// and the deadline is heard of
		Ended ended = WhileAnotherRewrites(AsksOnceAndSpins, info - 1, ~kNever, 8, 2000);
		EXPECT_EQ(ended.rc, -ETIMEDOUT);
		EXPECT_EQ(RegionHolds(), kSecret);
	});
}

// By default SIGTERM ends the process: it was not sent.
TEST_P(Rewritten, NumbersOfSignalsAreTheKernels)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside state;
		inside_look(&state);
		ASSERT_EQ(Attack(Asks).result, 0);
		uint64_t *info = state.frames_whole ? reinterpret_cast<uint64_t *>(state.altstack) + 1 : FindInfo(state);
		ASSERT_NE(info, nullptr);
		for (uint32_t number : {uint32_t{SIGTERM}, uint32_t{SIGKILL}, uint32_t{33}, 0u, 65u, ~0u}) {
			Ended ended = WhileAnotherRewrites(AsksOften, info, number, 4, 60000);
			if (state.frames_whole) {
				EXPECT_TRUE(ended.rc == -ECANCELED || ended.rc == -EOWNERDEAD || ended.rc == 0) << ended.rc;
				return;
			}
			EXPECT_EQ(ended.rc, 0) << number;
			EXPECT_EQ(ended.result, 0) << number;
		}
		EXPECT_EQ(RegionHolds(), kSecret);
	});
}

OF_EACH_KIND(Rewritten);

} // namespace
