/* SPDX-License-Identifier: Apache-2.0 */
// G6: frames of signals that a domain forges, keeps, or makes the kernel write; handlers and masks of the host meanwhile.
#include "attack.h"

#include <cpuid.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include <thread>

namespace
{

class Frames : public OfEachKind
{
};

// ---- frames

constexpr size_t kHead = 8 + 304 + 128; // return address, context, siginfo, as the kernel lays them out
constexpr size_t kImage = 1024;         // where the image lies in ours
alignas(64) char captured[16384];
size_t captured_bytes;

void Capture(int, siginfo_t *, void *context)
{
	auto *uc = static_cast<ucontext_t *>(context);
	auto *image = reinterpret_cast<char *>(uc->uc_mcontext.fpregs);
	uint32_t bytes;

	memcpy(captured, reinterpret_cast<char *>(context) - 8, kHead);
	memcpy(&bytes, image + 464 + 4, 4); // extended_size
	captured_bytes = kImage + bytes;
	if (captured_bytes <= sizeof(captured)) {
		memcpy(captured + kImage, image, bytes);
	}
}

// A frame as the kernel makes them, of this very process and before the runtime starts.
void CaptureFrame()
{
	struct sigaction act = {}, before;
	act.sa_sigaction = Capture;
	act.sa_flags = SA_SIGINFO;
	ASSERT_EQ(sigaction(SIGUSR2, &act, &before), 0);
	ASSERT_EQ(raise(SIGUSR2), 0);
	ASSERT_EQ(sigaction(SIGUSR2, &before, nullptr), 0);
	ASSERT_GT(captured_bytes, kImage + 576);
	ASSERT_LE(captured_bytes, sizeof(captured));
}

// At to: everything open, and on with attack_land.
void Forge(char *to, prey *p, void (*then)(void))
{
	unsigned a, pkru = 0, c, d;
	uint64_t features = 0;

	memcpy(to, captured, captured_bytes);
	auto *uc = reinterpret_cast<ucontext_t *>(to + 8);
	uc->uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(to + kImage);
	uc->uc_mcontext.gregs[REG_RIP] = lng(&attack_land);
	uc->uc_mcontext.gregs[REG_RDI] = lng(p);
	uc->uc_mcontext.gregs[REG_RSP] = lng(p->own + kOwn - 512);
	p->more[0] = reinterpret_cast<uint64_t>(p->own + kOwn - 1032);
	p->more[1] = reinterpret_cast<uint64_t>(then);
	__cpuid_count(0xd, 9, a, pkru, c, d);
	memset(to + kImage + pkru, 0, 4);
	memcpy(&features, to + kImage + 512, 8);
	features |= 1 << 9;
	memcpy(to + kImage + 512, &features, 8);
}

prey *bare;
void TellBare()
{
	_exit(bare->taken == kSecret ? 0 : 2);
}
void Landed()
{
	__asm__ volatile("ud2");
}

TEST_P(Frames, ForgedForSigreturnGiveNoRights)
{
	attack_fn attack = [](prey *p) -> long { return attack_sigreturn(p->own, nullptr); };
	IN_A_CHILD({
		CaptureFrame();
		ASSERT_TRUE(Start(GetParam()));
		Forge(target->own, target, Landed);
		Ended ended = Attack(attack);
		EXPECT_EQ(ended.rc, 0);
		EXPECT_EQ(ended.result, -EPERM);
		EXPECT_NE(target->taken, kSecret);
		lych_refusal list[2];
		ASSERT_EQ(lych_refused(domain, list, 2), 1u);
		EXPECT_EQ(list[0].nr, SYS_rt_sigreturn);
	});
	// the control: PKRU comes from the frame
	IN_A_CHILD({
		CaptureFrame();
		bare = Bare();
		Forge(bare->own, bare, TellBare);
		(void)attack(bare);
		ADD_FAILURE() << "it came back";
	});
}

// ---- the kernel writes a frame where rsp points, from 6.12 on with all rights

long FaultsWithStack(prey *p)
{
	return attack_wild(0, p->more[0]);
}

char page_before[4096];

// A vault, whom nobody but itself can look at: words of its page that are not zero.
uint64_t *kept;
extern "C" inline long vault_counts(uint64_t *page)
{
	long n = 0;
	for (int i = 0; i < 512; i++) {
		n += page[i] != 0;
	}
	return n;
}
LYCH_BIND(vault, vault_counts, long, (uint64_t *));

lych_domain *Vault()
{
	lych_domain *vault = nullptr;
	lych_domain_opts opts = {};
	opts.size = sizeof(opts);
	opts.kind = LYCH_KIND_VAULT;
	if (lych_domain_new(&vault, &opts) != 0 ||
	    lych_vault_allow(vault, reinterpret_cast<void (*)(void)>(vault_counts)) != 0) {
		return nullptr;
	}
	kept = static_cast<uint64_t *>(lych_alloc_aligned(vault, 4096, 4096));
	return vault;
}

TEST_P(Frames, AreNotWrittenWhereAFaultingDomainPoints)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside state;
		inside_look(&state);
		LYCH_READ(char, page, region)
		{
			memcpy(page_before, page, 4096);
		}
		uint64_t gate = state.area;
		static char gate_before[4096];
		memcpy(gate_before, reinterpret_cast<void *>(gate), 4096);
		uint64_t stacks[] = {reinterpret_cast<uint64_t>(closed) + 4096 - 64, reinterpret_cast<uint64_t>(victims) + 4096 - 64,
				     gate + 4096 - 64, gate + 4096, gate + 8192, state.records + 2048, state.sig_stack,
				     state.altstack + 64, state.altstack + 4096, state.altstack + state.altstack_bytes,
				     state.altstack + state.altstack_bytes - 512, state.altstack + state.altstack_bytes - 4096,
				     0, 8, ~7ull, 1ull << 63};
		lych_domain *vault = On61() ? nullptr : Vault();
		ASSERT_EQ(vault != nullptr, !On61());
		if (vault != nullptr) {
			target->more[0] = reinterpret_cast<uint64_t>(kept) + 4096 - 64;
			EXPECT_EQ(Attack(FaultsWithStack).rc, -EFAULT);
			ExpectFault(LYCH_FAULT_ILL);
			Anew();
			long words = -1;
			ASSERT_EQ(LYCH_CALL(vault, &words, vault_counts, kept), 0);
			EXPECT_EQ(words, 0) << "written to the vault";
		}
		for (uint64_t rsp : stacks) {
			target->more[0] = rsp;
			Ended ended = Attack(FaultsWithStack);
			EXPECT_EQ(ended.rc, -EFAULT) << std::hex << rsp;
			ExpectFault(LYCH_FAULT_ILL);
			EXPECT_EQ(lych_fault(domain)->rsp, rsp);
			LYCH_READ(char, page, region)
			{
				EXPECT_EQ(memcmp(page_before, page, 4096), 0) << "written to the region";
			}
			for (size_t i = 1; i < 512; i++) {
				EXPECT_EQ(victims[i], 0u) << "written to the victim";
			}
			EXPECT_EQ(memcmp(gate_before + 64, reinterpret_cast<char *>(gate) + 64, 4096 - 64), 0)
				<< "written behind what the gate keeps there";
			Anew();
		}
	});
}

TEST_F(NeedsPku, AreWrittenThereByTheKernelWithoutTheRuntimeFrom612On)
{
	auto *page = static_cast<uint64_t *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(page, MAP_FAILED);
	int status = ChildStatus([&] {
		bare = Bare();
		EXPECT_EQ(pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, bare->key), 0);
		signal(SIGILL, [](int) { _exit(1); }); // its stack is that page, which its rights do not reach: it faults
		bare->more[0] = reinterpret_cast<uint64_t>(page) + 4096 - 64;
		(void)FaultsWithStack(bare);
	});
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
	int changed = 0;
	for (int i = 0; i < 512; i++) {
		changed += page[i] != 0;
	}
	if (On61()) {
		EXPECT_EQ(changed, 0) << "6.1 writes with the rights of the code";
	} else {
		EXPECT_GT(changed, 10);
	}
}

// ---- jumps to the entry of signals

int JumpToEntry(uint64_t rsp)
{
	auto *frame = reinterpret_cast<jump *>(target->own + kOwn - 4096);
	inside before, after;

	memset(frame, 0, sizeof(*frame));
	frame->rip = inside_entry();
	frame->rflags = 0x202;
	frame->rsp = rsp;
	frame->gpr[7] = SIGUSR1; // rdi, rsi, rdx as of a handler
	frame->gpr[6] = rsp + 312;
	frame->gpr[2] = rsp + 8;
	inside_look(&before);
	int rc = LYCH_CALL(domain, LYCH_NOTHING, model_jump, frame);
	inside_look(&after);
	EXPECT_STREQ(inside_differences(&before, &after), "");
	EXPECT_EQ(RegionHolds(), kSecret);
	EXPECT_NE(target->taken, kSecret);
	return rc;
}

TEST_P(Frames, StaleOrForgedAreNotTakenAtTheEntry)
{
	IN_A_CHILD({
		CaptureFrame();
		ASSERT_TRUE(Start(GetParam()));
		inside state;
		// the place of the last frame is known to everybody who has looked once
		Ended ended = Attack([](prey *) -> long { return raw(SYS_getpid); });
		ASSERT_EQ(ended.result, getpid());
		inside_look(&state);
		uint64_t stale = state.sig_rsp;
		if (stale == 0) { // 6.1: anywhere in there, and in memory the domain can write
			EXPECT_FALSE(state.frames_whole);
			uint64_t top = state.altstack + state.altstack_bytes;
			stale = ((top - captured_bytes - 1024) & ~63ull) - 8;
		}
		for (uint64_t rsp : {stale, state.altstack + 4096, state.altstack + state.altstack_bytes - 512}) {
			EXPECT_EQ(JumpToEntry(rsp), -EFAULT) << std::hex << rsp;
			ExpectFault(LYCH_FAULT_GATE);
			Anew();
		}
		// a frame of its own making, in its own memory: the entry grants nothing there
		Forge(target->own, target, Landed);
		EXPECT_EQ(JumpToEntry(reinterpret_cast<uint64_t>(target->own)), -EFAULT);
		EXPECT_NE(lych_fault(domain)->kind, LYCH_FAULT_NONE);
		Anew();
		if (!state.frames_whole) {
			// and where frames of the kernel lie, which before 6.12 it can write: the kernel's mask is not there,
			// and nothing else is wrong with it: the image, too, is where the kernel puts it.
			Forge(target->own, target, Landed);
			reinterpret_cast<ucontext_t *>(target->own + 8)->uc_mcontext.fpregs =
				reinterpret_cast<fpregset_t>((stale & ~63ull) + kImage);
			ASSERT_LE((stale & ~63ull) + captured_bytes, state.altstack + state.altstack_bytes);
			target->more[2] = stale & ~63ull;
			target->more[3] = captured_bytes;
			ended = Attack([](prey *p) -> long {
				memcpy(reinterpret_cast<void *>(p->more[2]), p->own, p->more[3]);
				return 0;
			});
			EXPECT_EQ(ended.rc, 0) << "the control: it can write there";
			EXPECT_EQ(JumpToEntry(stale & ~63ull), -EFAULT);
			ExpectFault(LYCH_FAULT_GATE);
			Anew();
		} else {
			target->secret = reinterpret_cast<uint64_t *>(state.sig_rsp);
			ended = Attack([](prey *p) -> long { return static_cast<long>(*p->secret); });
			EXPECT_EQ(ended.rc, -EFAULT) << "and it cannot even be read";
			ExpectFault(LYCH_FAULT_KEY, "monitor");
			Anew();
		}
	});
	// the control: the same jump, to where it may land, with memory it may read
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		auto *frame = reinterpret_cast<jump *>(target->own + 4096);
		model_loot = reinterpret_cast<loot *>(target->own);
		memset(frame, 0, sizeof(*frame));
		uint64_t mine = kSecret;
		memcpy(target->own + 128, &mine, 8);
		model_loot->read = target->own + 128;
		model_loot->write = target->own + 256;
		frame->rip = reinterpret_cast<uint64_t>(&model_landed);
		frame->rflags = 0x202;
		frame->rsp = reinterpret_cast<uint64_t>(target->own + 8192);
		EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, model_jump, frame), -EFAULT);
		ExpectFault(LYCH_FAULT_ILL);
		EXPECT_EQ(model_loot->taken, kSecret);
	});
}

// ---- handlers of the host

sigjmp_buf out_of_here;

// In a thread of the host: sends SIGUSR1 to whom when the domain says so.
void SendWhenReady(pthread_t whom, prey *p)
{
	while (__atomic_load_n(&p->more[0], __ATOMIC_SEQ_CST) == 0) {
		sched_yield();
	}
	pthread_kill(whom, SIGUSR1);
}

long SaysAndSpins(prey *p)
{
	__atomic_store_n(&p->more[0], 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&p->more[1], __ATOMIC_SEQ_CST) == 0) {
	}
	return 0;
}

TEST_P(Frames, AHandlerThatLeavesADomainByLongjmpLeavesItsRightsThere)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		struct sigaction act = {};
		act.sa_handler = [](int) { siglongjmp(out_of_here, 1); };
		ASSERT_EQ(sigaction(SIGUSR1, &act, nullptr), 0);
		inside before, after;
		inside_look(&before);
		for (volatile int i = 0; i < 20; i = i + 1) {
			target->more[0] = target->more[1] = 0;
			std::thread sender(SendWhenReady, pthread_self(), target);
			long result = 0;
			if (sigsetjmp(out_of_here, 1) == 0) {
				int rc = LYCH_CALL(domain, &result, attack_do, SaysAndSpins, target);
				ADD_FAILURE() << "the domain returned: " << rc;
			}
			sender.join();
			inside_look(&after);
			EXPECT_EQ(after.pkru, before.pkru) << "rights of the host, no more and no less";
			EXPECT_EQ(after.selector, before.selector);
			target->more[1] = 1;
			target->more[0] = 0;
			ASSERT_EQ(LYCH_CALL(domain, &result, attack_do, SaysAndSpins, target), 0);
		}
		EXPECT_EQ(RegionHolds(), kSecret);
		inside_look(&after);
		EXPECT_LE(after.level, before.level + 1) << "all but what the last one left was taken back";
	});
	// the control: the kernel's own siglongjmp keeps the handler's rights. A key that was open is closed after it.
	IN_A_CHILD({
		prey *p = Bare();
		pkey_set(p->key, 0);
		struct sigaction act = {};
		act.sa_handler = [](int) { siglongjmp(out_of_here, 1); };
		ASSERT_EQ(sigaction(SIGUSR1, &act, nullptr), 0);
		if (sigsetjmp(out_of_here, 1) == 0) {
			raise(SIGUSR1);
		}
		EXPECT_EQ(pkey_get(p->key), PKEY_DISABLE_ACCESS);
	});
}

TEST_P(Frames, ADomainsSystemCallsAreMediatedWhateverTheHostBlocks)
{
	attack_fn attack = [](prey *) -> long { return raw(SYS_getpid); };
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		sigset_t all, before;
		sigfillset(&all);
		ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
		EXPECT_EQ(Attack(attack).result, getpid());
		ASSERT_EQ(sigprocmask(SIG_BLOCK, &all, nullptr), 0);
		EXPECT_EQ(Attack(attack).result, getpid());
		EXPECT_EQ(Attack([](prey *p) -> long { return attack_wild(0, p->more[7]); }).rc, -EFAULT);
		ExpectFault(LYCH_FAULT_ILL);
		Anew();
		ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
		// in a handler with everything in its mask
		struct sigaction act = {};
		static long result;
		sigfillset(&act.sa_mask);
		act.sa_handler = [](int) {
			attack_fn ask = [](prey *) -> long { return raw(SYS_getpid); };
			result = Attack(ask).result;
		};
		ASSERT_EQ(sigaction(SIGUSR1, &act, nullptr), 0);
		raise(SIGUSR1);
		EXPECT_EQ(result, getpid());
	});
	// the control: with SIGSYS blocked the kernel ends a dispatched process
	int status = ChildStatus([] {
		static volatile char selector = 0;
		sigset_t all;
		signal(SIGSYS, [](int) { _exit(55); });
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, nullptr);
		if (prctl(59, 1, 0, 0, &selector) != 0) {
			_exit(56);
		}
		selector = 1;
		raw(SYS_getpid);
	});
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
}

// ---- row 4: whoever is in a handler of the kernel's has key 0

TEST_P(Frames, AHandlerInterruptingADomainRunsWithTheHostsRightsAndRegionsClosed)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		static inside now;
		static volatile uint64_t shown;
		struct sigaction act = {};
		act.sa_flags = SA_SIGINFO;
		act.sa_sigaction = [](int, siginfo_t *, void *context) {
			auto *uc = static_cast<ucontext_t *>(context);
			inside_look(&now);
			for (int i = 0; i < NGREG; i++) {
				shown = shown | (static_cast<uint64_t>(uc->uc_mcontext.gregs[i]) == kSecret);
			}
			__atomic_store_n(&target->more[1], 1, __ATOMIC_SEQ_CST);
		};
		ASSERT_EQ(sigaction(SIGUSR1, &act, nullptr), 0);
		LYCH_WRITE(uint64_t, open, region)
		{
			EXPECT_EQ(*open, kSecret);
			std::thread sender(SendWhenReady, pthread_self(), target);
			long result = -1;
			EXPECT_EQ(LYCH_CALL(domain, &result, attack_do, SaysAndSpins, target), 0);
			sender.join();
			EXPECT_EQ(*open, kSecret) << "the control: open here, before and after";
		}
		EXPECT_FALSE(inside_rights(now.pkru, lych_region_key(region)));
		EXPECT_TRUE(inside_rights(now.pkru, lych_domain_key(domain)));
		EXPECT_EQ(shown, 0u);
	});
	// the control: the kernel gives any handler key 0, whatever was interrupted
	IN_A_CHILD({
		prey *p = Bare();
		static int key;
		static volatile int rights;
		key = p->key;
		pkey_set(key, 0);
		signal(SIGUSR1, [](int) { rights = 1 + pkey_get(key); });
		raise(SIGUSR1);
		EXPECT_EQ(rights, 1 + PKEY_DISABLE_ACCESS);
	});
}

OF_EACH_KIND(Frames);

} // namespace
