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
	for (int i = 0; i < 4000; i++) {
		wrong += raw(SYS_getpid) != p->pid;
	}
	__atomic_store_n(&p->more[7], 1, __ATOMIC_SEQ_CST);
	return wrong;
}

long AsksOnceAndSpins(prey *p)
{
	for (int i = 0; i < 4000; i++) {
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

// ---- what a domain goes on with lies in its own memory (the end of its stack), and lych_resume reads it with its rights

long Scribbles(prey *p)
{
	auto *words = reinterpret_cast<volatile uint64_t *>(p->more[0]); // struct resume_block: rcx rdx rax rip cs rflags rsp ss
	static const uint64_t wild[] = {0, 0x33, 0x23, 0x2b, 0x10, ~0ull, 1ull << 47, 1ull << 63, 0x44502, 0x3000, 0x202};
	uint64_t n = 1;
	while (__atomic_load_n(&p->more[7], __ATOMIC_SEQ_CST) == 0) {
		if (p->more[1] == 0) {
			words[3] = reinterpret_cast<uint64_t>(&model_landed);
		} else {
			n = n * 6364136223846793005u + 1442695040888963407u;
			words[3 + (n >> 33) % 5] = wild[(n >> 40) % 11];
		}
	}
	return 0;
}

TEST_P(Rewritten, RegistersToGoOnWithAreTheDomainsAndItsRightsAreNot)
{
	auto *seen = static_cast<int *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	for (int round = 0; round < 4 || (seen[0] == 0 && round < 100); round++) {
		IN_A_CHILD({
			ASSERT_TRUE(Start(GetParam()));
			Ended first = Attack([](prey *p) -> long {
				p->more[0] = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
				return 0;
			});
			ASSERT_EQ(first.rc, 0);
			model_loot = reinterpret_cast<loot *>(target->own);
			memset(target->own, 0, 4096);
			model_loot->read = closed;
			model_loot->write = target->own + 256;
			inside before, after;
			inside_look(&before);
			target->more[0] = (target->more[0] & ~4095ull) + 4096 - 64;
			target->more[1] = static_cast<uint64_t>(round % 2);
			int wrote = 0;
			std::thread second([&] { wrote = LYCH_CALL(domain, nullptr, attack_do, Scribbles, target); });
			long result = 0;
			int rc = LYCH_CALL_TIMEOUT(domain, 60000, &result, attack_do, AsksOften, target);
			inside_look(&after);
			__atomic_store_n(&target->more[7], 1, __ATOMIC_SEQ_CST);
			second.join();
			EXPECT_TRUE(rc == 0 || rc == -EFAULT || rc == -ETIMEDOUT) << rc;
			EXPECT_TRUE(wrote == 0 || wrote == -ECANCELED || wrote == -EOWNERDEAD) << wrote;
			EXPECT_STREQ(inside_differences(&before, &after), "");
			EXPECT_NE(model_loot->taken, kSecret);
			EXPECT_EQ(RegionHolds(), kSecret);
			seen[0] += model_loot->landings != 0;
			seen[1] += rc == -EFAULT;
		});
	}
	EXPECT_GT(seen[0], 0) << "the control: it did lead it elsewhere";
	EXPECT_GE(seen[1], seen[0]);
}

// ---- before 6.12 a frame of the host that a domain's thread destroys cannot be had back

long Destroys(prey *p)
{
	__atomic_store_n(&p->more[6], 1, __ATOMIC_SEQ_CST);
	auto *words = reinterpret_cast<volatile uint64_t *>(p->more[0]);
	while (__atomic_load_n(&p->more[7], __ATOMIC_SEQ_CST) == 0) {
		for (uint64_t i = 0; i < p->more[1] / 8; i++) {
			words[i] = ~0ull;
		}
	}
	return 0;
}

struct host_saw {
	uint64_t signals, more_rights;
};

TEST_P(Rewritten, FramesOfTheHostEndTheProcessAtTheWorst)
{
	auto *saw = static_cast<host_saw *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	int ends = 0;
	for (int round = 0; round < 2 || (On61() && ends == 0 && round < 100); round++) {
		int status = ChildStatus([&] {
			ASSERT_TRUE(Start(GetParam()));
			struct sigaction act = {};
			act.sa_handler = [](int) {};
			ASSERT_EQ(sigaction(SIGUSR1, &act, nullptr), 0);
			inside state, now;
			inside_look(&state);
			target->more[0] = state.altstack;
			target->more[1] = state.altstack_bytes;
			int wrote = 1;
			std::thread second([&] { wrote = LYCH_CALL(domain, nullptr, attack_do, Destroys, target); });
			while (__atomic_load_n(&target->more[6], __ATOMIC_SEQ_CST) == 0) {
				std::this_thread::yield();
			}
			for (int i = 0; i < 4000; i++) {
				raise(SIGUSR1);
				inside_look(&now);
				saw->signals++;
				saw->more_rights += (~now.pkru & state.pkru) != 0;
				if (state.frames_whole && i == 300) {
					break;
				}
			}
			__atomic_store_n(&target->more[7], 1, __ATOMIC_SEQ_CST);
			second.join();
			if (state.frames_whole) {
				EXPECT_EQ(wrote, -EFAULT);
				ExpectFault(LYCH_FAULT_KEY, "monitor");
			}
		});
		bool ended = WIFSIGNALED(status) && (WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
		EXPECT_TRUE(status == 0 || (On61() && ended)) << status;
		ends += ended;
	}
	EXPECT_EQ(saw->more_rights, 0u);
	if (On61()) {
		EXPECT_GT(ends, 0) << "the control: frames were destroyed";
	} else {
		EXPECT_GE(saw->signals, 600u);
	}
}

OF_EACH_KIND(Rewritten);

} // namespace
