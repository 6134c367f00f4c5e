/* SPDX-License-Identifier: Apache-2.0 */
// The life of a domain, and the gate's slow way, among threads that do as they are told.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "keys_world.h"

namespace
{

void Function()
{
}

void OtherFunction()
{
}

class Domain : public ::testing::Test {
protected:
	void SetUp() override
	{
		ASSERT_EQ(world_start(LYCH_MPROTECT, 0), 0) << world_why();
	}

	void TearDown() override
	{
		world_stop();
	}

	static lych_domain *New(lych_kind kind = LYCH_KIND_CONTAIN, const char *name = nullptr)
	{
		lych_domain_opts opts = {};
		lych_domain *d = nullptr;

		opts.size = sizeof(opts);
		opts.kind = kind;
		opts.name = name;
		EXPECT_EQ(lych_domain_new(&d, &opts), 0);
		if (d != nullptr) {
			world_watch(d);
		}
		return d;
	}

	static int NewFails(const lych_domain_opts &opts)
	{
		auto *d = reinterpret_cast<lych_domain *>(1);
		int rc = lych_domain_new(&d, &opts);

		EXPECT_EQ(d, nullptr);
		return rc;
	}

	static lych_domain_opts Opts()
	{
		lych_domain_opts opts = {};

		opts.size = sizeof(opts);
		return opts;
	}
};

TEST_F(Domain, HasAViewAKeyAndAnIdOfItsOwn)
{
	lych_domain *a = New(), *b = New();

	EXPECT_NE(world_key(a), world_key(b));
	EXPECT_NE(world_id(a), 0u);
	EXPECT_NE(world_id(a), world_id(b));
	EXPECT_EQ(world_view(a) >> (2 * world_key(a)) & 3, 0u);
	EXPECT_EQ(world_view(a) >> (2 * world_key(b)) & 3, 1u);
	EXPECT_EQ(world_view(a) >> (2 * world_monitor_key()) & 3, 1u);
	EXPECT_EQ(world_view(a) >> (2 * world_gate_key()) & 3, 2u);
	EXPECT_EQ(world_callbacks(a), 64u);
}

TEST_F(Domain, OfTheHostIsAllowedToEveryThreadAndAVaultIsNot)
{
	lych_domain *d = New(), *vault = New(LYCH_KIND_VAULT);

	EXPECT_EQ(world_allowed(world_key(d)), 1);
	EXPECT_EQ(world_allowed(world_key(vault)), 0);
}

TEST_F(Domain, NameIsCopiedCutAndFitForALine)
{
	char name[] = "co\ndec\x7f";
	lych_domain *d = New(LYCH_KIND_CONTAIN, name);

	strcpy(name, "other");
	EXPECT_STREQ(lych_domain_name(d), "co?dec?");
	EXPECT_STREQ(lych_domain_name(New(LYCH_KIND_CONTAIN, std::string(100, 'n').c_str())),
		     std::string(31, 'n').c_str());
	EXPECT_EQ(std::string(lych_domain_name(New())).substr(0, 7), "domain-");
}

TEST_F(Domain, OptionsOutOfRangeAreRefused)
{
	lych_domain_opts opts = Opts();

	opts.size = 0;
	EXPECT_EQ(NewFails(opts), -EINVAL);
	opts.size = 4097;
	EXPECT_EQ(NewFails(opts), -EINVAL);
	opts = Opts();
	opts.kind = static_cast<lych_kind>(3);
	EXPECT_EQ(NewFails(opts), -EINVAL);
	opts = Opts();
	opts.callbacks = 257;
	EXPECT_EQ(NewFails(opts), -EINVAL);
	EXPECT_EQ(lych_domain_new(nullptr, nullptr), -EINVAL);
	opts.callbacks = 256; // control
	lych_domain *d;
	ASSERT_EQ(lych_domain_new(&d, &opts), 0);
	EXPECT_EQ(world_callbacks(d), 256u);
}

TEST_F(Domain, OptionsOfANewerVersionMayOnlySayDefault)
{
	struct {
		lych_domain_opts opts;
		uint64_t more;
	} newer = {Opts(), 0};
	lych_domain *d;

	newer.opts.size = sizeof(newer);
	EXPECT_EQ(lych_domain_new(&d, &newer.opts), 0);
	newer.more = 1;
	EXPECT_EQ(lych_domain_new(&d, &newer.opts), -EINVAL);
}

TEST_F(Domain, KindTheBackendDoesNotHaveIsRefusedWithTheReason)
{
	lych_domain_opts opts = Opts();

	opts.kind = LYCH_KIND_PURE;
	EXPECT_EQ(NewFails(opts), -EOPNOTSUPP);
	EXPECT_STREQ(world_why(), "key 0 cannot be made read-only");
}

TEST_F(Domain, FailedAttachIsTold)
{
	world_refuse_attach(-EPERM);
	EXPECT_EQ(NewFails(Opts()), -EPERM);
	world_refuse_attach(-ENOSYS);
	EXPECT_EQ(NewFails(Opts()), -ENOSYS);
}

TEST_F(Domain, NewThatFailsHoldsNoKeyAndNoMemory)
{
	size_t before = world_ledger_count();
	uint32_t keys = keys_ours();

	world_fail_memory(-ENOMEM, 0, 0);
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(NewFails(Opts()), -ENOMEM);
	}
	EXPECT_EQ(keys_ours(), keys);
	EXPECT_EQ(world_ledger_count(), before);
	EXPECT_EQ(world_memories(), 0);
}

TEST_F(Domain, EndsWhenTheKeysDo)
{
	std::vector<lych_domain *> all;
	lych_domain *d;

	while (lych_domain_new(&d, nullptr) == 0) {
		all.push_back(d);
	}
	EXPECT_EQ(all.size(), 13u);
	EXPECT_EQ(lych_domain_new(&d, nullptr), -ENOSPC);
	EXPECT_EQ(lych_domain_free(all.back()), 0);
	EXPECT_EQ(lych_domain_new(&d, nullptr), 0);
}

TEST_F(Domain, FreedAndMadeAgainNeverHasAnIdThatWas)
{
	std::set<uint64_t> ids;
	uint32_t keys = keys_ours();
	size_t before = world_ledger_count();

	for (int i = 0; i < 300; i++) {
		lych_domain *d = New(i % 2 != 0 ? LYCH_KIND_VAULT : LYCH_KIND_CONTAIN);
		ASSERT_NE(d, nullptr);
		EXPECT_TRUE(ids.insert(world_id(d) & ~1ull).second);
		ASSERT_EQ(lych_domain_reset(d), 0);
		EXPECT_TRUE(ids.insert(world_id(d) & ~1ull).second);
		ASSERT_EQ(lych_domain_free(d), 0);
	}
	EXPECT_EQ(keys_ours(), keys);
	EXPECT_EQ(world_ledger_count(), before);
	EXPECT_EQ(world_memories(), 0);
}

TEST_F(Domain, ThatDoesNotLiveIsRefused)
{
	lych_domain *d = New();

	EXPECT_EQ(lych_domain_free(nullptr), 0);
	ASSERT_EQ(lych_domain_free(d), 0);
	EXPECT_EQ(lych_domain_free(d), -EINVAL);
	EXPECT_EQ(lych_domain_reset(d), -EINVAL);
	EXPECT_EQ(lych_domain_cancel(d), -EINVAL);
	EXPECT_EQ(lych_domain_reset(nullptr), -EINVAL);
	EXPECT_EQ(lych_domain_cancel(nullptr), -EINVAL);
	EXPECT_STREQ(lych_domain_name(d), "");
	EXPECT_EQ(lych_domain_key(d), -1);
	d = New();
	auto *inside = reinterpret_cast<lych_domain *>(reinterpret_cast<char *>(d) + 8);
	EXPECT_EQ(lych_domain_free(inside), -EINVAL);
}

// ---- calls inside ----

TEST_F(Domain, FreedEndsTheCallsOfOtherThreads)
{
	lych_domain *d = New(), *other = New();

	world_watch(d);
	world_push(1, d, false);
	world_stuck(1, 3);
	world_push(2, other, false);
	EXPECT_EQ(lych_domain_free(d), 0);
	EXPECT_EQ(world_depth(1), 0);
	EXPECT_EQ(world_ended(1), -ECANCELED);
	EXPECT_EQ(world_kicks(1), 4);
	// the call of another domain is none of its business
	EXPECT_EQ(world_kicks(2), 0);
	EXPECT_EQ(world_cancel_mark(2, 1), 0);
	EXPECT_EQ(world_depth(2), 1);
}

// Else a gate that has pushed its record and read the id before is not seen.
TEST_F(Domain, IdIsZeroBeforeTheBarrierThatTheRecordsAreReadAfter)
{
	lych_domain *d = New();

	EXPECT_EQ(world_id_at_barrier(), 1u); // control: there was none
	EXPECT_EQ(lych_domain_reset(d), 0);
	EXPECT_EQ(world_id_at_barrier(), 0u);
	EXPECT_NE(world_id(d), 0u);
}

TEST_F(Domain, WaitsForACallBelowAnotherDomains)
{
	lych_domain *d = New(), *other = New();

	// thread 1: d called, called back, and is in other now, which ends by itself later
	world_push(1, d, false);
	world_push(1, d, true);
	world_push(1, other, false);
	EXPECT_EQ(lych_domain_cancel(other), 0); // ends the upper one
	EXPECT_EQ(world_depth(1), 2);
	EXPECT_EQ(world_cancel_mark(1, 1), 0);
	world_pop(1); // the callback returns
	EXPECT_EQ(lych_domain_free(d), 0);
	EXPECT_EQ(world_depth(1), 0);
}

TEST_F(Domain, TheCallerIsInsideOfIsBusyAndUnchanged)
{
	lych_domain *d = New();
	uint64_t id = world_id(d);

	world_push(0, d, false);
	world_push(0, d, true);
	EXPECT_EQ(lych_domain_free(d), -EBUSY);
	EXPECT_EQ(lych_domain_reset(d), -EBUSY);
	EXPECT_EQ(world_id(d), id);
	EXPECT_EQ(world_cancel_mark(0, 1), 0);
	world_pop(0);
	world_pop(0);
	EXPECT_EQ(lych_domain_free(d), 0); // control
}

// Two threads that each want to end what the other is in: one of them has to stop waiting.
TEST_F(Domain, WhoIsToEndHimselfDoesNotWaitForEver)
{
	lych_domain *mine = New(), *theirs = New();

	world_push(0, mine, false);
	world_push(0, mine, true);
	world_mark(0, 1, -ECANCELED);
	world_push(1, theirs, false);
	world_stuck(1, 1000000);
	EXPECT_EQ(lych_domain_reset(theirs), -EBUSY);
	EXPECT_EQ(world_slow(theirs, Function), -EOWNERDEAD);
	EXPECT_EQ(lych_domain_cancel(theirs), -EBUSY);
	world_stuck(1, 0);
	EXPECT_EQ(lych_domain_reset(theirs), 0); // and later it works
	EXPECT_EQ(world_slow(theirs, Function), 0);
}

TEST_F(Domain, CancelEndsCallsAndPoisonsNothing)
{
	lych_domain *d = New();
	uint64_t id = world_id(d);

	world_push(1, d, false);
	world_push(2, d, false);
	world_stuck(2, 5);
	EXPECT_EQ(lych_domain_cancel(d), 0);
	EXPECT_EQ(world_ended(1), -ECANCELED);
	EXPECT_EQ(world_ended(2), -ECANCELED);
	EXPECT_EQ(world_id(d), id);
	EXPECT_EQ(world_slow(d, Function), 0);
}

TEST_F(Domain, CancelMarksTheCallTheCallerIsInsideOfAndDoesNotWaitForIt)
{
	lych_domain *d = New();

	world_push(0, d, false);
	world_push(0, d, true);
	EXPECT_EQ(lych_domain_cancel(d), 0);
	EXPECT_EQ(world_cancel_mark(0, 1), -ECANCELED);
	EXPECT_EQ(world_kicks(0), 0);
}

TEST_F(Domain, AReasonToEndThatWasThereFirstStays)
{
	lych_domain *d = New();

	world_push(1, d, false);
	world_mark(1, 1, -ETIMEDOUT);
	EXPECT_EQ(lych_domain_cancel(d), 0);
	EXPECT_EQ(world_ended(1), -ETIMEDOUT);
}

TEST_F(Domain, PoisonedIsUsableAgainAfterReset)
{
	lych_domain *d = New();

	world_poison(d);
	EXPECT_EQ(world_slow(d, Function), -EOWNERDEAD);
	EXPECT_EQ(lych_domain_reset(d), 0);
	EXPECT_EQ(world_slow(d, Function), 0);
}

TEST_F(Domain, PoisonEndsTheCallsOfTheOthersAndLeavesTheOneThatFaulted)
{
	lych_domain *d = New(), *other = New();

	world_watch(d);
	world_push(0, d, false);
	world_push(1, d, false);
	world_push(2, other, false);
	world_poison(d);
	EXPECT_EQ(world_id_at_barrier(), 0u);
	EXPECT_EQ(world_ended(1), -ECANCELED);
	EXPECT_EQ(world_cancel_mark(0, 1), 0);
	EXPECT_EQ(world_kicks(0), 0);
	EXPECT_EQ(world_kicks(2), 0);
	world_pop(0);
	EXPECT_EQ(world_slow(d, Function), -EOWNERDEAD);
	EXPECT_EQ(lych_domain_free(d), 0);
}

TEST_F(Domain, ResetThatFailsLeavesItPoisoned)
{
	lych_domain *d = New();

	world_fail_memory(0, -ENOMEM, 0);
	EXPECT_EQ(lych_domain_reset(d), -ENOMEM);
	EXPECT_EQ(world_slow(d, Function), -EOWNERDEAD);
	EXPECT_EQ(world_id(d), 0u);
	world_fail_memory(0, 0, 0);
	EXPECT_EQ(lych_domain_reset(d), 0);
	EXPECT_EQ(lych_domain_free(d), 0);
}

TEST_F(Domain, ACallbackThatComesBackToNobodyIsToldWhy)
{
	lych_domain *d = New();

	world_push(0, d, false);
	EXPECT_EQ(world_callback_refused(0), -ECANCELED); // poisoned or reset
	world_mark(0, 1, -ETIMEDOUT);
	EXPECT_EQ(world_callback_refused(0), -ETIMEDOUT);
	world_pop(0);
}

// ---- the slow way ----

TEST_F(Domain, SlowWayMakesAStackOnceForAnId)
{
	lych_domain *d = New();

	EXPECT_EQ(world_slow(d, Function), 0);
	EXPECT_EQ(world_slow(d, Function), 0);
	EXPECT_EQ(world_stacks_made(), 1);
	EXPECT_EQ(lych_domain_reset(d), 0);
	EXPECT_EQ(world_slow(d, Function), 0);
	EXPECT_EQ(world_stacks_made(), 2);
	EXPECT_EQ(world_depth(0), 0);
}

// Every call to a domain with an odd id comes here: the slot must never compare equal to it.
TEST_F(Domain, SlotOfAnOddIdIsEven)
{
	lych_domain *vault = New(LYCH_KIND_VAULT);

	ASSERT_EQ(lych_vault_allow(vault, Function), 0);
	EXPECT_EQ(world_id(vault) & 1, 1u);
	ASSERT_EQ(world_slow(vault, Function), 0);
	EXPECT_EQ(world_slot_id(0, world_key(vault)), world_id(vault) - 1);
}

TEST_F(Domain, SlowWayTellsWhyNot)
{
	lych_domain *d = New();

	world_fail_memory(0, 0, -ENOMEM);
	EXPECT_EQ(world_slow(d, Function), -ENOMEM);
	world_fail_memory(0, 0, 0);
	world_refuse_attach(-EPERM);
	EXPECT_EQ(world_slow_unattached(), -EPERM);
	world_refuse_attach(-ENOSYS);
	EXPECT_EQ(world_slow_unattached(), -ENOSYS);
	world_refuse_attach(0);
	EXPECT_EQ(world_slow_unattached(), 0);
	EXPECT_EQ(world_slow(d, Function), 0);
	ASSERT_EQ(lych_domain_free(d), 0);
	EXPECT_EQ(world_slow(d, Function), -EINVAL);
}

TEST_F(Domain, VaultIsEnteredAtRegisteredFunctionsOnly)
{
	lych_domain *vault = New(LYCH_KIND_VAULT);

	EXPECT_EQ(world_slow(vault, Function), -EACCES);
	ASSERT_EQ(lych_vault_allow(vault, Function), 0);
	EXPECT_EQ(world_slow(vault, Function), 0);
	EXPECT_EQ(world_slow(vault, OtherFunction), -EACCES);
	EXPECT_EQ(world_slow(New(), OtherFunction), 0); // control: no vault
}

TEST_F(Domain, VaultKeepsItsFunctionsAcrossResetAndForgetsThemWithItself)
{
	lych_domain *vault = New(LYCH_KIND_VAULT);

	ASSERT_EQ(lych_vault_allow(vault, Function), 0);
	ASSERT_EQ(lych_domain_reset(vault), 0);
	EXPECT_EQ(world_slow(vault, Function), 0);
	ASSERT_EQ(lych_domain_free(vault), 0);
	vault = New(LYCH_KIND_VAULT);
	EXPECT_EQ(world_slow(vault, Function), -EACCES);
}

TEST_F(Domain, VaultFunctionsAreCounted)
{
	lych_domain *vault = New(LYCH_KIND_VAULT);
	auto function = [](uintptr_t i) { return reinterpret_cast<void (*)()>(0x1000 + i); };

	EXPECT_EQ(lych_vault_allow(New(), Function), -EINVAL);
	EXPECT_EQ(lych_vault_allow(nullptr, Function), -EINVAL);
	EXPECT_EQ(lych_vault_allow(vault, nullptr), -EINVAL);
	for (uintptr_t i = 0; i < 511; i++) {
		ASSERT_EQ(lych_vault_allow(vault, function(i)), 0);
	}
	EXPECT_EQ(lych_vault_allow(vault, function(511)), -ENOMEM);
	EXPECT_EQ(lych_vault_allow(vault, function(510)), 0); // twice is once
	EXPECT_EQ(world_slow(vault, function(510)), 0);
}

TEST_F(Domain, IsNotPausedUnderACallThatHasJustBegunWhichGoesOn)
{
	lych_domain *d = New();
	uint64_t id = world_id(d);
	bool goes_on = false;

	EXPECT_EQ(world_pause(d, false, &goes_on), -EBUSY);
	EXPECT_TRUE(goes_on);
	EXPECT_EQ(world_id(d), id);
}

TEST_F(Domain, ThatFaultsWhileItIsPausedStaysPoisoned)
{
	lych_domain *d = New();
	bool goes_on = true;

	EXPECT_EQ(world_pause(d, true, &goes_on), -EOWNERDEAD);
	EXPECT_FALSE(goes_on);
	EXPECT_EQ(world_id(d), 0u);
	EXPECT_EQ(world_slow(d, Function), -EOWNERDEAD);
	EXPECT_EQ(lych_domain_reset(d), 0);
}

} // namespace
