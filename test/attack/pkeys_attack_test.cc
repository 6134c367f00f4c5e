// SPDX-License-Identifier: Apache-2.0
// Code in a domain uses what changes rights for the host: pkey_set and its kin, what they call, and the instruction itself.
#include "attack.h"

#include <dlfcn.h>

extern "C" {
extern char lych_pkru_choose_pku[] __attribute__((visibility("hidden")));
extern char lych_pkru_update_pku[] __attribute__((visibility("hidden")));
int lych_pkey_set(int key, unsigned rights) __attribute__((visibility("hidden")));
long lych_restore_ask(uint32_t clear, uint32_t set, bool chosen) __attribute__((visibility("hidden")));
}

namespace
{

class Pkeys : public OfEachKind
{
};

// The WRPKRU behind from; nullptr: none.
char *WrpkruBehind(char *from)
{
	return static_cast<char *>(memmem(from, 256, "\x0f\x01\xef", 3));
}

// As a function, with what WRPKRU takes: whatever returns has done it.
inline __attribute__((always_inline)) void CallWithEax(void *at, uint32_t eax)
{
	__asm__ volatile("call *%[at]"
			 : "+a"(eax)
			 : [at] "r"(at), "c"(0), "d"(0)
			 : "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

// What the attack was for. Does not come to it.
long Take(prey *p)
{
	p->taken = *const_cast<volatile uint64_t *>(p->secret);
	return 1;
}

long CallsPkeySet(prey *p)
{
	reinterpret_cast<int (*)(int, unsigned)>(p->more[0])(p->key, 0);
	return Take(p);
}

long JumpsToChoose(prey *p)
{
	// nothing is the runtime's, it says
	uint32_t none = 0;
	reinterpret_cast<int64_t (*)(uint32_t, uint32_t, const uint32_t *)>(p->more[0])(~0u, 0, &none);
	return Take(p);
}

long JumpsToWrpkru(prey *p)
{
	CallWithEax(reinterpret_cast<void *>(p->more[0]), static_cast<uint32_t>(p->more[1]));
	return Take(p);
}

long AsksTheHandler(prey *p)
{
	reinterpret_cast<long (*)(uint32_t, uint32_t, bool)>(p->more[0])(~0u, 0, p->more[1]);
	return Take(p);
}

void ExpectNothingTaken()
{
	EXPECT_EQ(target->taken, 0u);
	inside now;
	inside_look(&now);
	EXPECT_FALSE(inside_rights(now.pkru, lych_region_key(region)));
	EXPECT_FALSE(inside_rights(~now.not_host, lych_region_key(region)));
}

// Also by the entry of glibc's, which leads there.
TEST_P(Pkeys, ADomainThatCallsThemHasNoMoreRightsThanBefore)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		void *glibcs = dlsym(RTLD_NEXT, "pkey_set");
		uint64_t entries[] = {reinterpret_cast<uint64_t>(&pkey_set), reinterpret_cast<uint64_t>(&lych_pkey_set),
				      reinterpret_cast<uint64_t>(glibcs)};
		for (uint64_t entry : entries) {
			target->more[0] = entry;
			EXPECT_EQ(Attack(CallsPkeySet).rc, -EFAULT);
			ExpectFault(LYCH_FAULT_KEY, "monitor");
			ExpectNothingTaken();
			Anew();
		}
		EXPECT_EQ(pkey_set(target->key, 0), -1) << "nor has the host, this way";
	});
	// the control: without the runtime whoever calls it has the secret
	IN_A_CHILD({
		prey *p = Bare();
		p->more[0] = reinterpret_cast<uint64_t>(&pkey_set);
		EXPECT_EQ(CallsPkeySet(p), 1);
		EXPECT_EQ(p->taken, kSecret);
	});
}

TEST_P(Pkeys, ADomainThatJumpsBehindTheChecksEnds)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		target->more[0] = reinterpret_cast<uint64_t>(lych_pkru_choose_pku);
		EXPECT_EQ(Attack(JumpsToChoose).rc, -EFAULT);
		ExpectFault(LYCH_FAULT_KEY, "gate");
		ExpectNothingTaken();
		Anew();
		// attached threads have no use for it, and its handler does not help them
		for (uint64_t chosen : {0, 1}) {
			target->more[0] = reinterpret_cast<uint64_t>(&lych_restore_ask);
			target->more[1] = chosen;
			EXPECT_EQ(Attack(AsksTheHandler).rc, -EFAULT);
			ExpectFault(LYCH_FAULT_ILL);
			ExpectNothingTaken();
			Anew();
		}
	});
}

// A value of its own in eax, the place it jumps to well known: what follows compares with what the domain cannot write.
TEST_P(Pkeys, ADomainThatJumpsToTheInstructionEnds)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		char *site = WrpkruBehind(lych_pkru_update_pku);
		ASSERT_NE(site, nullptr);
		inside now;
		inside_look(&now);
		const uint32_t host = now.pkru, own = inside_view_of(domain);
		const uint32_t opened = own & ~(3u << 2 * target->key);
		for (uint32_t eax : {0u, host, ~host, own, opened}) {
			if (eax == ~host && On61()) {
				continue; // no right to the stack, so no frame: the process ends
			}
			target->more[0] = reinterpret_cast<uint64_t>(site);
			target->more[1] = eax;
			EXPECT_EQ(Attack(JumpsToWrpkru).rc, -EFAULT) << eax;
			if (eax != ~host) {
				ExpectFault(LYCH_FAULT_GATE);
			} else { // not even the gate page can be read then
				ExpectFault(LYCH_FAULT_KEY, "gate");
			}
			ExpectNothingTaken();
			Anew();
		}
	});
	// the control: nothing follows glibc's own
	IN_A_CHILD({
		prey *p = Bare();
		void *glibcs = dlsym(RTLD_NEXT, "pkey_set");
		ASSERT_NE(glibcs, nullptr);
		p->more[0] = reinterpret_cast<uint64_t>(WrpkruBehind(static_cast<char *>(glibcs)));
		ASSERT_NE(p->more[0], 0u);
		EXPECT_EQ(JumpsToWrpkru(p), 1);
		EXPECT_EQ(p->taken, kSecret);
	});
}

long FreesTheKey(prey *p)
{
	return raw(SYS_pkey_free, p->key);
}

long CallsPkeyFree(prey *p)
{
	reinterpret_cast<int (*)(int)>(p->more[0])(p->key);
	return raw(SYS_getpid);
}

TEST_P(Pkeys, ADomainFreesNoKey)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		EXPECT_LT(Attack(FreesTheKey).result, 0);
		target->more[0] = reinterpret_cast<uint64_t>(&pkey_free);
		Ended ended = Attack(CallsPkeyFree); // a pure domain cannot write errno
		EXPECT_EQ(ended.rc, Pure() ? -EFAULT : 0);
		for (int key; (key = pkey_alloc(0, 0)) > 0;) {
			EXPECT_NE(key, lych_region_key(region));
		}
		EXPECT_EQ(RegionHolds(), kSecret);
	});
	// the control: the kernel frees it, and gives it to the next with all rights
	IN_A_CHILD({
		prey *p = Bare();
		EXPECT_EQ(FreesTheKey(p), 0);
		EXPECT_EQ(raw(SYS_pkey_alloc, 0, 0), p->key);
		EXPECT_EQ(Take(p), 1);
		EXPECT_EQ(p->taken, kSecret);
	});
}

OF_EACH_KIND(Pkeys);

} // namespace
