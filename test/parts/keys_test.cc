/* SPDX-License-Identifier: Apache-2.0 */
// Keys and the ledger: with numbers on any machine, with protection keys where there are some.
#include "needs_pku.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "keys_world.h"

namespace
{

constexpr size_t kPage = 4096;

char *MapClosed(size_t pages)
{
	void *at = mmap(nullptr, pages * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT_NE(at, MAP_FAILED);
	return static_cast<char *>(at);
}

std::string OwnerOf(int key)
{
	char name[64];

	keys_owner_name(key, name, sizeof(name));
	return name;
}

std::vector<std::string> Verify()
{
	std::vector<std::string> lines;
	int count = lych_verify(
		[](const char *line, void *ctx) { static_cast<std::vector<std::string> *>(ctx)->push_back(line); },
		&lines);

	EXPECT_EQ(count, static_cast<int>(lines.size()));
	return lines;
}

std::string Range(const char *at, size_t pages)
{
	char text[64];

	snprintf(text, sizeof(text), "%#lx-%#lx ", reinterpret_cast<unsigned long>(at),
		 reinterpret_cast<unsigned long>(at + pages * kPage));
	return text;
}

// ---- numbers only: any machine ----

class KeyNumbers : public ::testing::Test {
protected:
	void Start(unsigned int max_keys = 0)
	{
		ASSERT_EQ(world_start(LYCH_MPROTECT, max_keys), 0) << world_why();
		world_open();
	}

	void TearDown() override
	{
		world_stop();
	}
};

TEST_F(KeyNumbers, ThirteenAreLeftAndAllDiffer)
{
	std::set<int> seen;
	int key;

	Start();
	seen = {0, world_monitor_key(), world_gate_key()};
	for (int i = 0; i < 13; i++) {
		ASSERT_EQ(keys_take(&key, OF_DOMAIN, "d"), 0);
		EXPECT_TRUE(seen.insert(key).second) << key;
	}
	EXPECT_EQ(keys_take(&key, OF_DOMAIN, "d"), -ENOSPC);
	EXPECT_EQ(*seen.rbegin(), 15);
}

TEST_F(KeyNumbers, MaxKeysCountsTheTwoOfTheRuntime)
{
	int key;

	Start(4);
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "a"), 0);
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "b"), 0);
	EXPECT_EQ(keys_take(&key, OF_DOMAIN, "c"), -ENOSPC);
	keys_give_back(key);
	EXPECT_EQ(keys_take(&key, OF_DOMAIN, "c"), 0);
}

TEST_F(KeyNumbers, MaxKeysBelowThreeIsRefusedWithTheReason)
{
	EXPECT_EQ(world_start(LYCH_MPROTECT, 2), -ENOSPC);
	EXPECT_STREQ(world_why(), "max_keys is 2, and 3 protection keys are needed");
	EXPECT_EQ(world_start(LYCH_MPROTECT, 3), 0); // control
}

TEST_F(KeyNumbers, OwnersHaveNames)
{
	int domain, region;

	Start();
	ASSERT_EQ(keys_take(&domain, OF_DOMAIN, "codec"), 0);
	ASSERT_EQ(keys_take(&region, OF_REGION, "secret"), 0);
	EXPECT_EQ(OwnerOf(0), "host");
	EXPECT_EQ(OwnerOf(world_monitor_key()), "monitor");
	EXPECT_EQ(OwnerOf(world_gate_key()), "gate");
	EXPECT_EQ(OwnerOf(domain), "codec");
	EXPECT_EQ(OwnerOf(region), "region secret");
	EXPECT_EQ(OwnerOf(15), "");
	EXPECT_EQ(OwnerOf(16), "");
	EXPECT_EQ(OwnerOf(-1), "");
	keys_give_back(region);
	EXPECT_EQ(OwnerOf(region), "");
}

TEST_F(KeyNumbers, ANameIsCutToTheRoomThereIs)
{
	char name[8];
	int key;

	Start();
	ASSERT_EQ(keys_take(&key, OF_REGION, std::string(100, 'n').c_str()), 0);
	memset(name, 'x', sizeof(name));
	keys_owner_name(key, name, sizeof(name) - 1);
	EXPECT_STREQ(name, "region");
	EXPECT_EQ(name[7], 'x');
	EXPECT_EQ(OwnerOf(key), "region " + std::string(39, 'n'));
}

TEST_F(KeyNumbers, AKeyIsTakenFromEveryThreadBeforeItHasAnOwnerAndAfterwards)
{
	int key;

	Start();
	ASSERT_EQ(keys_take(&key, OF_REGION, "r"), 0);
	EXPECT_EQ(world_shot_down(key), 1);
	keys_give_back(key);
	EXPECT_EQ(world_shot_down(key), 2);
}

TEST_F(KeyNumbers, TheHostsViewHasDomainsAndNeitherVaultsNorRegions)
{
	int domain, vault, region;

	Start();
	ASSERT_EQ(keys_take(&domain, OF_DOMAIN, "d"), 0);
	ASSERT_EQ(keys_take(&vault, OF_VAULT, "v"), 0);
	ASSERT_EQ(keys_take(&region, OF_REGION, "r"), 0);
	uint32_t view = keys_host_view(0); // a thread with all rights
	for (int key = 1; key < 16; key++) {
		bool open = key == domain || key == world_monitor_key() || key == world_gate_key();
		EXPECT_EQ(view >> (2 * key) & 3, open ? 0u : 1u) << key;
	}
}

TEST_F(KeyNumbers, MonitorMemoryIsZeroedPagesInTheLedger)
{
	Start();
	auto *at = static_cast<char *>(monitor_alloc(kPage + 1));
	ASSERT_NE(at, nullptr);
	EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % kPage, 0u);
	for (size_t i = 0; i < 2 * kPage; i++) {
		ASSERT_EQ(at[i], 0);
	}
	EXPECT_EQ(ledger_key_of(at + 2 * kPage - 1), world_monitor_key());
	monitor_free(at, kPage + 1);
	EXPECT_EQ(ledger_key_of(at), -1);
	EXPECT_EQ(monitor_alloc(0), nullptr);
	EXPECT_EQ(monitor_alloc(SIZE_MAX), nullptr);
}

TEST_F(KeyNumbers, TheLedgerRefusesWhatOverlapsAndWhatIsNotPages)
{
	char *at = MapClosed(4);

	Start();
	EXPECT_EQ(ledger_add(at + 1, kPage, 5, PROT_READ), -EINVAL);
	EXPECT_EQ(ledger_add(at, kPage - 1, 5, PROT_READ), -EINVAL);
	EXPECT_EQ(ledger_add(at, 0, 5, PROT_READ), -EINVAL);
	EXPECT_EQ(ledger_add(at, kPage, 0, PROT_READ), -EINVAL);
	EXPECT_EQ(ledger_add(at, kPage, 16, PROT_READ), -EINVAL);
	ASSERT_EQ(ledger_add(at + kPage, 2 * kPage, 5, PROT_READ), 0);
	EXPECT_EQ(ledger_add(at, 4 * kPage, 6, PROT_READ), -EINVAL);
	EXPECT_EQ(ledger_add(at + 2 * kPage, 2 * kPage, 6, PROT_READ), -EINVAL);
	EXPECT_EQ(ledger_change(at, 2 * kPage, PROT_NONE), -EINVAL);
	EXPECT_EQ(ledger_change(at + 2 * kPage, kPage, PROT_NONE), 0);
	EXPECT_EQ(ledger_key_of(at + 2 * kPage), 5);
	EXPECT_EQ(Verify(), std::vector<std::string>{});
	ledger_remove(at, 4 * kPage);
}

TEST_F(KeyNumbers, WhatTheKernelRefusesIsNotRecorded)
{
	char *at = MapClosed(1);

	Start();
	world_fail(SYS_mprotect, 0, 1, ENOMEM);
	EXPECT_EQ(ledger_add(at, kPage, 5, PROT_READ), -ENOMEM);
	world_fail(-1, 0, 0, 0);
	EXPECT_EQ(ledger_key_of(at), -1);
	EXPECT_EQ(ledger_add(at, kPage, 5, PROT_READ), 0); // control
	ledger_remove(at, kPage);
}

// More ranges than the first tables have room for, so that they grow a few times.
TEST_F(KeyNumbers, TheLedgerGrowsAndForgetsNothing)
{
	constexpr size_t kRanges = 3000;
	char *at = MapClosed(2 * kRanges);

	Start();
	for (size_t i = 0; i < kRanges; i++) {
		ASSERT_EQ(ledger_add(at + 2 * i * kPage, kPage, 3 + static_cast<int>(i % 5), PROT_READ), 0);
	}
	for (size_t i = 0; i < kRanges; i++) {
		ASSERT_EQ(ledger_key_of(at + 2 * i * kPage), 3 + static_cast<int>(i % 5));
		ASSERT_EQ(ledger_key_of(at + (2 * i + 1) * kPage), -1);
	}
	EXPECT_EQ(Verify(), std::vector<std::string>{});
	for (size_t i = 0; i < kRanges; i++) {
		ledger_remove(at + 2 * i * kPage, kPage);
	}
	for (size_t i = 0; i < kRanges; i++) {
		ASSERT_EQ(ledger_key_of(at + 2 * i * kPage), -1);
	}
	EXPECT_EQ(Verify(), std::vector<std::string>{});
	munmap(at, 2 * kRanges * kPage);
}

TEST_F(KeyNumbers, StartAndStopAgainAndAgainKeepsNothing)
{
	for (int i = 0; i < 100; i++) {
		Start();
		EXPECT_EQ(Verify(), std::vector<std::string>{});
		world_stop();
	}
}

// The blocks of monitor memory are tagged one after the other; which of them cannot be differs.
TEST_F(KeyNumbers, AStartThatFailsHalfwayFailsAndTheNextOneWorks)
{
	for (int after = 0; after < 5; after++) {
		SCOPED_TRACE(after);
		world_fail(SYS_mprotect, after, 1, ENOMEM);
		EXPECT_EQ(world_start(LYCH_MPROTECT, 0), -ENOMEM);
		EXPECT_STREQ(world_why(), "out of memory");
		EXPECT_EQ(world_monitor_key(), 0);
		world_fail(-1, 0, 0, 0);
		ASSERT_EQ(world_start(LYCH_MPROTECT, 0), 0);
		EXPECT_EQ(Verify(), std::vector<std::string>{});
		world_stop();
	}
}

char *const *watched_page;
std::atomic<int> watched_wrong, watched_seen;

void LookInTheLedger(int)
{
	watched_seen++;
	if (ledger_key_of(*watched_page) != 7) {
		watched_wrong++;
	}
}

// The handler interrupts changes at any instruction, on the thread that makes them.
TEST_F(KeyNumbers, AReaderThatInterruptsAChangeIsRight)
{
	char *fixed = MapClosed(1), *at = MapClosed(64);
	struct sigaction action = {}, old;
	struct itimerval often = {{0, 50}, {0, 50}}, never = {};

	Start();
	ASSERT_EQ(ledger_add(fixed, kPage, 7, PROT_READ), 0);
	watched_page = &fixed;
	watched_wrong = 0;
	watched_seen = 0;
	action.sa_handler = LookInTheLedger;
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, &old);
	setitimer(ITIMER_REAL, &often, nullptr);
	for (int round = 0; round < 200 || watched_seen < 500; round++) {
		for (size_t i = 0; i < 64; i += 2) {
			ASSERT_EQ(ledger_add(at + i * kPage, kPage, 8, PROT_READ), 0);
		}
		for (size_t i = 0; i < 64; i += 2) {
			ASSERT_EQ(ledger_change(at + i * kPage, kPage, PROT_NONE), 0);
		}
		ledger_remove(at, 64 * kPage);
		ASSERT_EQ(mmap(at, 64 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), at);
	}
	setitimer(ITIMER_REAL, &never, nullptr);
	sigaction(SIGALRM, &old, nullptr);
	EXPECT_EQ(watched_wrong, 0);
	munmap(at, 64 * kPage);
	ledger_remove(fixed, kPage);
}

TEST_F(KeyNumbers, AReaderOnAnotherThreadIsRight)
{
	char *fixed = MapClosed(1), *at = MapClosed(64);
	std::atomic<bool> end{false};
	int wrong = 0;

	Start();
	ASSERT_EQ(ledger_add(fixed, kPage, 7, PROT_READ), 0);
	std::thread reader([&] {
		while (!end) {
			wrong += ledger_key_of(fixed) != 7 ? 1 : 0;
			int key = ledger_key_of(at);
			wrong += key != 8 && key != -1 ? 1 : 0;
		}
	});
	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < 64; i += 2) {
			EXPECT_EQ(ledger_add(at + i * kPage, kPage, 8, PROT_READ), 0);
		}
		ledger_remove(at, 64 * kPage);
		EXPECT_EQ(mmap(at, 64 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), at);
	}
	end = true;
	reader.join();
	EXPECT_EQ(wrong, 0);
	munmap(at, 64 * kPage);
	ledger_remove(fixed, kPage);
}

TEST_F(KeyNumbers, VerifyNamesWhatIsUnmappedOrHasOtherRights)
{
	char *at = MapClosed(4);
	int key;

	Start();
	ASSERT_EQ(keys_take(&key, OF_REGION, "secret"), 0);
	ASSERT_EQ(ledger_add(at, 4 * kPage, key, PROT_READ), 0);
	EXPECT_EQ(Verify(), std::vector<std::string>{}); // control
	munmap(at + kPage, kPage);
	mprotect(at + 2 * kPage, kPage, PROT_READ | PROT_WRITE);
	EXPECT_EQ(Verify(), (std::vector<std::string>{
				    Range(at + kPage, 1) + "of region secret: not mapped",
				    Range(at + 2 * kPage, 1) + "of region secret: rw- instead of r--"}));
	EXPECT_EQ(lych_verify(nullptr, nullptr), 2);
	ledger_remove(at, 4 * kPage);
}

TEST_F(KeyNumbers, VerifyWithoutProcSaysSo)
{
	Start();
	world_fail(SYS_openat, 0, 1, ENOENT);
	EXPECT_EQ(lych_verify(nullptr, nullptr), -ENOENT);
	world_fail(-1, 0, 0, 0);
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0); // control
}

TEST_F(KeyNumbers, ForeignFunctionsMayUseTheLedgerWhileVerifyTells)
{
	char *at = MapClosed(2);

	Start();
	ASSERT_EQ(ledger_add(at, kPage, 5, PROT_READ), 0);
	munmap(at, kPage);
	EXPECT_EQ(lych_verify(
			  [](const char *, void *) { monitor_free(monitor_alloc(kPage), kPage); }, nullptr),
		  1);
	ledger_remove(at, 2 * kPage);
}

TEST_F(KeyNumbers, PagesLeftInTheLedgerAreClosedWhenTheirKeyIsGivenBack)
{
	char *at = MapClosed(3);
	int key, next;

	Start();
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "d"), 0);
	ASSERT_EQ(ledger_add(at, 3 * kPage, key, PROT_READ | PROT_WRITE), 0);
	at[0] = 1;
	munmap(at + kPage, kPage); // somebody has made a hole: the rest is closed all the same
	keys_give_back(key);
	EXPECT_EQ(ledger_key_of(at), -1);
	EXPECT_EQ(FaultOf([at] { at[0] = 2; }).signal, SIGSEGV);
	EXPECT_EQ(FaultOf([at] { at[2 * kPage] = 2; }).signal, SIGSEGV);
	ASSERT_EQ(keys_take(&next, OF_DOMAIN, "e"), 0);
	EXPECT_EQ(next, key);
	munmap(at, 3 * kPage);
}

TEST_F(KeyNumbers, AKeyWhosePagesCannotBeRetaggedIsNeverUsedAgain)
{
	char *at = MapClosed(1);
	int key, next;

	Start();
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "d"), 0);
	ASSERT_EQ(ledger_add(at, kPage, key, PROT_READ | PROT_WRITE), 0);
	world_fail(SYS_mprotect, 0, 2, EPERM); // a sealed mapping
	keys_give_back(key);
	world_fail(-1, 0, 0, 0);
	EXPECT_EQ(world_shot_down(key), 2);
	ASSERT_EQ(keys_take(&next, OF_DOMAIN, "e"), 0);
	EXPECT_NE(next, key);
	EXPECT_NE(keys_ours() >> key & 1, 0u);
	munmap(at, kPage);
}

// ---- with protection keys ----

class Keys : public NeedsPku {
protected:
	void Start(unsigned int max_keys = 0)
	{
		ASSERT_EQ(world_start(LYCH_PKU, max_keys), 0) << world_why();
		world_open();
	}

	// Keys of others: all but left.
	void LeaveFree(int left)
	{
		for (int key; (key = pkey_alloc(0, 0)) > 0;) {
			foreign.push_back(key);
		}
		for (; left > 0; left--) {
			pkey_free(foreign.back());
			foreign.pop_back();
		}
	}

	void TearDown() override
	{
		world_fail(-1, 0, 0, 0);
		world_stop();
		for (int key : foreign) {
			EXPECT_EQ(pkey_free(key), 0) << "key " << key << " of somebody else";
		}
	}

	static int CountFree()
	{
		std::vector<int> taken;
		for (int key; (key = pkey_alloc(0, PKEY_DISABLE_ACCESS)) > 0;) {
			taken.push_back(key);
		}
		for (int key : taken) {
			pkey_free(key);
		}
		return static_cast<int>(taken.size());
	}

	std::vector<int> foreign;
};

TEST_F(Keys, ThreeFreeOnesAreEnough)
{
	int key, second;

	LeaveFree(3);
	Start();
	EXPECT_EQ(CountFree(), 1);
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "d"), 0);
	EXPECT_EQ(keys_take(&second, OF_DOMAIN, "e"), -ENOSPC);
	keys_give_back(key);
	EXPECT_EQ(keys_take(&second, OF_DOMAIN, "e"), 0);
	keys_give_back(second);
}

TEST_F(Keys, TwoFreeOnesAreRefusedWithTheReasonAndGivenBack)
{
	LeaveFree(2);
	uint32_t before = world_pkru();
	EXPECT_EQ(world_start(LYCH_PKU, 0), -ENOSPC);
	EXPECT_STREQ(world_why(), "only 2 of the 3 protection keys that are needed are free: the rest is held by "
				  "others in this process");
	EXPECT_EQ(CountFree(), 2);
	for (int key : foreign) {
		EXPECT_EQ(world_pkru() >> (2 * key) & 3, before >> (2 * key) & 3) << key;
	}
}

TEST_F(Keys, MaxKeysLeavesTheOthersFree)
{
	int key;
	int free_before = CountFree();

	Start(3);
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "d"), 0);
	EXPECT_EQ(keys_take(&key, OF_DOMAIN, "e"), -ENOSPC);
	EXPECT_EQ(CountFree(), free_before - 3);
	keys_give_back(key);
}

TEST_F(Keys, ARefusalOfASandboxIsNotTakenForALackOfKeys)
{
	world_fail(SYS_pkey_alloc, 0, 1, EPERM);
	EXPECT_EQ(world_start(LYCH_PKU, 0), -EOPNOTSUPP);
	EXPECT_STREQ(world_why(), "the kernel, or a sandbox before it, refuses pkey_alloc (error 1)");
	world_fail(-1, 0, 0, 0);
	Start(); // control
}

TEST_F(Keys, AStartThatFailsHalfwayGivesBackKeysAndUntagsMemory)
{
	int before = CountFree();

	for (int after = 0; after < 5; after++) {
		SCOPED_TRACE(after);
		world_fail(SYS_pkey_mprotect, after, 1, ENOMEM);
		EXPECT_EQ(world_start(LYCH_PKU, 0), -ENOMEM);
		world_fail(-1, 0, 0, 0);
		EXPECT_EQ(CountFree(), before);
	}
}

TEST_F(Keys, RightsToKeysOfOthersStayAsTheyWere)
{
	int open = pkey_alloc(0, 0), readable = pkey_alloc(0, PKEY_DISABLE_WRITE), key;

	ASSERT_GT(open, 0);
	ASSERT_GT(readable, 0);
	foreign = {open, readable};
	Start();
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "d"), 0);
	keys_give_back(key);
	EXPECT_EQ(pkey_get(open), 0);
	EXPECT_EQ(pkey_get(readable), PKEY_DISABLE_WRITE);
	EXPECT_EQ(world_host_view() >> (2 * open) & 3, 0u);
	EXPECT_EQ(world_host_view() >> (2 * readable) & 3, 2u);
	EXPECT_EQ(OwnerOf(open), "");
}

TEST_F(Keys, NoKeyIsOpenForTheCallerWhenTheyHaveStarted)
{
	ASSERT_EQ(world_start(LYCH_PKU, 0), 0);
	for (int key = 1; key < 16; key++) {
		EXPECT_EQ(world_pkru() >> (2 * key) & 3, 1u) << key;
	}
	world_open();
}

TEST_F(Keys, MonitorMemoryFromBeforeTheStartIsTaggedByIt)
{
	ASSERT_EQ(world_start(LYCH_PKU, 0), 0);
	EXPECT_PKU_FAULT(world_monitor_key(), { keys_ours(); }); // reads struct monitor, allocated before
	world_open();
	EXPECT_NE(keys_ours(), 0u); // control
}

TEST_F(Keys, MonitorMemoryFromAfterTheStartIsTagged)
{
	Start();
	auto *at = static_cast<volatile char *>(monitor_alloc(kPage));
	ASSERT_NE(at, nullptr);
	EXPECT_PKU_FAULT(world_monitor_key(), {
		pkey_set(world_monitor_key(), PKEY_DISABLE_ACCESS);
		(void)at[0];
	});
	EXPECT_EQ(at[0], 0); // control
}

TEST_F(Keys, ANewKeyIsDeniedToWhoTookIt)
{
	char *at = MapClosed(1);
	int key;

	Start();
	ASSERT_EQ(keys_take(&key, OF_REGION, "r"), 0);
	ASSERT_EQ(ledger_add(at, kPage, key, PROT_READ | PROT_WRITE), 0);
	EXPECT_PKU_FAULT(key, { (void)*(volatile char *)at; });
	pkey_set(key, 0);
	EXPECT_EQ(*at, 0); // control
	keys_give_back(key);
	munmap(at, kPage);
}

TEST_F(Keys, AStalePageIsNotTheNextOwners)
{
	char *at = MapClosed(1);
	int key, next;

	Start();
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "d"), 0);
	ASSERT_EQ(ledger_add(at, kPage, key, PROT_READ | PROT_WRITE), 0);
	keys_give_back(key);
	ASSERT_EQ(keys_take(&next, OF_DOMAIN, "e"), 0);
	ASSERT_EQ(next, key);
	pkey_set(next, 0);
	Fault fault = FaultOf([at] { (void)*(volatile char *)at; });
	EXPECT_EQ(fault.signal, SIGSEGV);
	EXPECT_EQ(fault.code, SEGV_ACCERR);
	keys_give_back(next);
	munmap(at, kPage);

	// control: with the kernel's own functions the page is the next owner's
	at = MapClosed(1);
	key = pkey_alloc(0, 0);
	ASSERT_EQ(pkey_mprotect(at, kPage, PROT_READ | PROT_WRITE, key), 0);
	pkey_free(key);
	next = pkey_alloc(0, 0);
	ASSERT_EQ(next, key);
	EXPECT_EQ(FaultOf([at] { (void)*(volatile char *)at; }).signal, 0);
	pkey_free(next);
	munmap(at, kPage);
}

TEST_F(Keys, AKeyOfOursThatSomebodyFreedIsNotHandedOutTwice)
{
	int key, next;

	Start();
	ASSERT_EQ(keys_take(&key, OF_DOMAIN, "d"), 0);
	pkey_free(key);
	ASSERT_EQ(keys_take(&next, OF_DOMAIN, "e"), 0);
	EXPECT_NE(next, key);
	EXPECT_EQ(world_allowed(key), 1); // the kernel has denied the owner's key when it gave it out again
	keys_give_back(next);
	keys_give_back(key);
}

TEST_F(Keys, StopGivesBackBothAndAllOfTheMemory)
{
	int before = CountFree();

	Start();
	EXPECT_EQ(CountFree(), before - 2);
	world_stop();
	EXPECT_EQ(CountFree(), before);
}

TEST_F(Keys, VerifyFindsNothingInAHealthyProcess)
{
	int key;
	char *at = MapClosed(4);

	Start();
	ASSERT_EQ(keys_take(&key, OF_REGION, "secret"), 0);
	ASSERT_EQ(ledger_add(at, 2 * kPage, key, PROT_READ | PROT_WRITE), 0);
	ASSERT_EQ(ledger_change(at, kPage, PROT_NONE), 0);
	EXPECT_EQ(Verify(), std::vector<std::string>{});
	ledger_remove(at, 2 * kPage);
	EXPECT_EQ(Verify(), std::vector<std::string>{});
	keys_give_back(key);
	EXPECT_EQ(Verify(), std::vector<std::string>{});
	munmap(at, 4 * kPage);
}

TEST_F(Keys, VerifyNamesWhatSomebodyRetaggedUnmappedOrMappedOver)
{
	char *at = MapClosed(10), *other = MapClosed(1);
	int key;

	Start();
	ASSERT_EQ(keys_take(&key, OF_REGION, "secret"), 0);
	std::string k = std::to_string(key);
	ASSERT_EQ(ledger_add(at, 10 * kPage, key, PROT_READ), 0);
	pkey_mprotect(at + kPage, kPage, PROT_READ, 0);
	munmap(at + 3 * kPage, kPage);
	ASSERT_NE(mmap(at + 5 * kPage, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), MAP_FAILED);
	ASSERT_NE(mmap(at + 7 * kPage, kPage, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0), MAP_FAILED);
	pkey_mprotect(at + 7 * kPage, kPage, PROT_READ, key);
	mprotect(at + 9 * kPage, kPage, PROT_READ | PROT_WRITE); // keeps the key
	pkey_mprotect(other, kPage, PROT_READ, key);
	std::vector<std::string> want = {
		Range(at + kPage, 1) + "of region secret: key 0 (host) instead of " + k,
		Range(at + 3 * kPage, 1) + "of region secret: not mapped",
		Range(at + 5 * kPage, 1) + "of region secret: key 0 (host) instead of " + k,
		Range(at + 7 * kPage, 1) + "of region secret: a shared mapping",
		Range(at + 9 * kPage, 1) + "of region secret: rw- instead of r--",
	};
	std::string unknown = Range(other, 1) + "not of the runtime: key " + k + " (region secret)";
	want.insert(other < at ? want.begin() : want.end(), unknown);
	EXPECT_EQ(Verify(), want);
	munmap(other, kPage);
	ledger_remove(at, 10 * kPage);
	keys_give_back(key);
}

TEST_F(Keys, VerifyNamesMonitorMemoryThatSomebodyRetagged)
{
	Start();
	auto *at = static_cast<char *>(monitor_alloc(kPage));
	pkey_mprotect(at, kPage, PROT_READ | PROT_WRITE, 0);
	std::vector<std::string> found = Verify();
	ASSERT_EQ(found.size(), 1u);
	EXPECT_EQ(found[0], Range(at, 1) + "of monitor: key 0 (host) instead of " +
				    std::to_string(world_monitor_key()));
	monitor_free(at, kPage);
}

} // namespace
