// SPDX-License-Identifier: Apache-2.0
// Frames of signals that a domain forges or changes. Before Linux 6.12 they lie where it can write.
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "inside.h"
#include "live.h"
#include "needs_pku.h"

extern "C" {
long frame_spin(long n);
long frame_rewrite(uint64_t low, uint64_t bytes, uint64_t rip);
long frame_enter(uint64_t entry, uint64_t rsp);
long frame_steal(long n);
}

namespace
{

lych_domain *domain, *other;
std::atomic<int> arrived, ran, rewriting, stop;
volatile long *secret;
volatile long loot;

} // namespace

// Until the handler has run; then it is back here, or where the rewritten frame says.
extern "C" long frame_spin(long n)
{
	arrived = 1;
	while (ran == 0) {
		__asm__ volatile("pause");
	}
	return n + 1;
}
extern "C" long frame_steal(long n)
{
	loot = *secret;
	return n;
}
// Whatever looks like a frame that the kernel has just written gets another rip, and all rights: 0x55.. is in every
// PKRU.
extern "C" long frame_rewrite(uint64_t low, uint64_t bytes, uint64_t rip)
{
	auto *words = reinterpret_cast<volatile uint64_t *>(low);
	uint64_t from = reinterpret_cast<uint64_t>(frame_spin);
	long changed = 0;

	while (stop == 0) {
		for (uint64_t i = bytes / 16; i < bytes / 8; i++) {
			if (rip == 0) {
				words[i] = 0;
				changed++;
			} else if (words[i] - from < 64) {
				words[i] = rip;
				changed++;
			} else if ((words[i] & 0xffffffff00000003) == 0 && (words[i] & 0x50000000) == 0x50000000) {
				words[i] = 0;
			}
		}
		rewriting = 1;
	}
	return changed;
}
extern "C" long frame_enter(uint64_t entry, uint64_t rsp)
{
	__asm__ volatile("mov %1, %%rsp\n\tmov $10, %%edi\n\tlea 0x138(%%rsp), %%rsi\n\tlea 8(%%rsp), %%rdx\n\tjmp *%0"
			 :
			 : "a"(entry), "b"(rsp)
			 : "memory");
	__builtin_unreachable();
}

LYCH_BIND(domain, frame_spin, long, (long));
LYCH_BIND(domain, frame_steal, long, (long));
LYCH_BIND(domain, frame_rewrite, long, (uint64_t, uint64_t, uint64_t));
LYCH_BIND(domain, frame_enter, long, (uint64_t, uint64_t));

namespace
{

class Frames : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure()) {
			return;
		}
		ASSERT_EQ(live_start(), 0) << lych_why();
		if (domain == nullptr) {
			domain = live_domain("domain");
			other = live_domain("other");
			secret = static_cast<long *>(lych_alloc(other, 64));
			ASSERT_NE(secret, nullptr);
			*secret = 4711;
		}
		ASSERT_EQ(lych_domain_reset(domain), 0);
		struct sigaction action = {};
		action.sa_handler = [](int) { ran++; };
		ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
		loot = 0;
		arrived = ran = rewriting = stop = 0;
		inside_look(&mine);
	}
	inside mine;
};

TEST_F(Frames, AreNotTakenFromADomainThatJumpsToTheEntry)
{
	uint64_t top = mine.altstack + mine.altstack_bytes;
	long result = 0;
	raise(SIGUSR1); // leaves a frame of the host's there, with the host's rights
	for (uint64_t rsp = mine.altstack + 64; rsp < top; rsp += 8 + (top - rsp > 6144 ? 504 : 0)) {
		ASSERT_EQ(LYCH_CALL(domain, &result, frame_enter, inside_entry(), rsp), -EFAULT)
			<< std::hex << top - rsp;
		const struct lych_fault *fault = lych_fault(domain);
		ASSERT_TRUE(fault->kind == LYCH_FAULT_GATE || fault->kind == LYCH_FAULT_KEY)
			<< lych_fault_kind_name(fault->kind) << " " << std::hex << top - rsp;
		if (rsp == mine.sig_rsp) {
			ASSERT_EQ(fault->kind, LYCH_FAULT_GATE);
		}
		ASSERT_EQ(lych_domain_reset(domain), 0);
	}
	inside now;
	inside_look(&now);
	EXPECT_STREQ(inside_differences(&mine, &now), "");
}

// The signals come while this thread is in the domain only.
void Rewrite(const inside &mine, uint64_t to, long *rewritten, int *ended)
{
	pid_t tid = static_cast<pid_t>(syscall(SYS_gettid));
	long result = 0;
	for (int round = 0; round < 100; round++) {
		arrived = ran = rewriting = stop = 0;
		ASSERT_EQ(lych_domain_reset(domain), 0);
		std::thread rewriter([&] {
			long changed = 0;
			int rc = LYCH_CALL(domain, &changed, frame_rewrite, mine.altstack, mine.altstack_bytes, to);
			*rewritten += changed;
			if (mine.frames_whole) {
				EXPECT_NE(rc, 0); // it cannot even look at them
			}
			rewriting = 1;
		});
		while (rewriting == 0) {
			std::this_thread::yield();
		}
		std::thread sender([&] {
			while (arrived == 0 && stop == 0) {
				std::this_thread::yield();
			}
			if (stop == 0) {
				syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
			}
		});
		int rc = LYCH_CALL(domain, &result, frame_spin, 1);
		stop = 1;
		sender.join();
		rewriter.join();
		*ended += rc == -EFAULT;
		ASSERT_TRUE(rc == 0 || rc == -EFAULT || rc == -EOWNERDEAD || rc == -ECANCELED) << rc;
		ASSERT_EQ(loot, 0) << "round " << round;
	}
}

TEST_F(Frames, ThatAnotherThreadRewritesGiveTheDomainNoRights)
{
	long result = 0, rewritten = 0;
	int ended = 0;
	Rewrite(mine, reinterpret_cast<uint64_t>(frame_steal), &rewritten, &ended);
	printf("%ld words rewritten, %d calls ended by that\n", rewritten, ended);
	// the control: with the host's rights there is something to take
	frame_steal(0);
	EXPECT_EQ(loot, 4711);
	loot = 0;
	ASSERT_EQ(lych_domain_reset(domain), 0);
	EXPECT_EQ(LYCH_CALL(domain, &result, frame_steal, 0), -EFAULT);
	EXPECT_EQ(loot, 0);
}

TEST_F(Frames, ThatAnotherThreadDestroysEndTheCallAndNotTheProcess)
{
	long rewritten = 0;
	int ended = 0;
	Rewrite(mine, 0, &rewritten, &ended);
	printf("%ld words destroyed, %d calls ended by that\n", rewritten, ended);
	EXPECT_EQ(rewritten == 0, mine.frames_whole == 1);
}

TEST_F(Frames, AreNotTakenFromADomainInAThreadThatHadNoSignalYet)
{
	std::thread([] {
		inside now;
		long result = 0;
		ASSERT_EQ(lych_attach(), 0);
		inside_look(&now);
		EXPECT_EQ(LYCH_CALL(domain, &result, frame_enter, inside_entry(),
				    now.altstack + now.altstack_bytes - 4096),
			  -EFAULT);
		EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_GATE);
	}).join();
}

} // namespace
