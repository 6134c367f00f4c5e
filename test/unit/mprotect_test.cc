/* SPDX-License-Identifier: Apache-2.0 */
// The mprotect backend, natively: what is closed faults, with a control that it does not when it is open. The gate's
// part, entering and leaving, is played by the tests.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "fake_runtime.h"
#include "needs_pku.h"

namespace
{

struct secret {
	int value;
};

::testing::AssertionResult IsClosed(const Fault &fault)
{
	if (fault.signal == SIGSEGV && fault.code == SEGV_ACCERR) {
		return ::testing::AssertionSuccess();
	}
	return ::testing::AssertionFailure() << "signal " << fault.signal << ", code " << fault.code;
}

#define EXPECT_CLOSED(...) EXPECT_TRUE(IsClosed(FaultOf([&] __VA_ARGS__)))
#define EXPECT_NO_FAULT(...) EXPECT_EQ(FaultOf([&] __VA_ARGS__).signal, 0)

void Touch(volatile char *at)
{
	*at = 1;
}

class Mprotect : public ::testing::Test {
protected:
	void SetUp() override
	{
		fake_start(LYCH_MPROTECT);
		ranges = fake_ledger_ranges();
		keys = fake_keys_held();
		struct lych_region_opts opts = {};
		opts.size = sizeof(opts);
		opts.keep_on_fork = true; // faults are watched in children
		ASSERT_EQ(lych_region_new(&region, sizeof(struct secret), &opts), 0);
		codec = fake_domain_new(nullptr, nullptr);
		parser = fake_domain_new(nullptr, nullptr);
		ASSERT_NE(codec, nullptr);
		ASSERT_NE(parser, nullptr);
		of_codec = static_cast<char *>(lych_alloc(codec, 4096));
		of_parser = static_cast<char *>(lych_alloc(parser, 4096));
		of_region = static_cast<struct secret *>(lych_region_address(region));
	}

	void TearDown() override
	{
		backend_mprotect_leave();
		fake_domain_free(codec);
		fake_domain_free(parser);
		EXPECT_EQ(lych_region_free(region), 0);
		EXPECT_EQ(fake_ledger_ranges(), ranges);
		EXPECT_EQ(fake_keys_held(), keys);
	}

	// The protection that the kernel gives at, and the ledger says.
	static std::string Prot(const void *at)
	{
		int prot = fake_ledger_prot(at);

		return std::string(prot & PROT_READ ? "r" : "-") + (prot & PROT_WRITE ? "w" : "-");
	}

	struct lych_region *region = nullptr;
	struct lych_domain *codec = nullptr, *parser = nullptr;
	char *of_codec = nullptr, *of_parser = nullptr;
	struct secret *of_region = nullptr;
	size_t ranges = 0;
	int keys = 0;
};

TEST_F(Mprotect, ARegionFaultsWithoutAScope)
{
	volatile int *value = &of_region->value;

	EXPECT_CLOSED({ (void)*value; });
	EXPECT_CLOSED({ *value = 1; });
	LYCH_READ(struct secret, s, region) {
		EXPECT_NO_FAULT({ (void)*value; });
		EXPECT_CLOSED({ *value = 1; });
		(void)s;
	}
	LYCH_WRITE(struct secret, s, region) {
		s->value = 42;
		EXPECT_NO_FAULT({ *value = 1; });
	}
	EXPECT_CLOSED({ (void)*value; });
	LYCH_READ(struct secret, s, region) {
		EXPECT_EQ(s->value, 42);
	}
}

TEST_F(Mprotect, HasNoKeysToTell)
{
	EXPECT_EQ(lych_region_key(region), -1);
}

TEST_F(Mprotect, ScopesOfAllThreadsAreCounted)
{
	std::atomic<int> phase{0};

	LYCH_WRITE(struct secret, s, region) {
		std::thread reader([&] {
			LYCH_READ(struct secret, r, region) {
				phase = 1;
				while (phase == 1) {
					usleep(1000);
				}
				(void)r;
			}
		});
		while (phase == 0) {
			usleep(1000);
		}
		EXPECT_EQ(Prot(of_region), "rw");
		struct lych_scope scope;
		ASSERT_NE(lych_scope_open(&scope, region, true), nullptr);
		lych_scope_close(&scope);
		EXPECT_EQ(Prot(of_region), "rw") << "the outer one still writes";
		phase = 2;
		reader.join();
		EXPECT_EQ(Prot(of_region), "rw");
		(void)s;
	}
	EXPECT_EQ(Prot(of_region), "--");
}

// Not a wish, but what this backend is: the documents say so, and this says they are right.
TEST_F(Mprotect, AnotherThreadSeesWhatOneHasOpen)
{
	LYCH_WRITE(struct secret, s, region) {
		s->value = 42;
		std::thread([&] { EXPECT_EQ(*(volatile int *)&of_region->value, 42); }).join();
	}
}

TEST_F(Mprotect, AReaderIsLeftReadingWhenTheWriterGoes)
{
	struct lych_scope reader, writer;

	ASSERT_NE(lych_scope_open(&reader, region, false), nullptr);
	ASSERT_NE(lych_scope_open(&writer, region, true), nullptr);
	EXPECT_EQ(Prot(of_region), "rw");
	lych_scope_close(&writer);
	EXPECT_EQ(Prot(of_region), "r-");
	lych_scope_close(&reader);
	EXPECT_EQ(Prot(of_region), "--");
}

TEST_F(Mprotect, AThreadThatEndsInAScopeClosesIt)
{
	std::thread([&] {
		struct lych_scope scope;
		ASSERT_NE(lych_scope_open(&scope, region, true), nullptr);
	}).join();
	EXPECT_EQ(Prot(of_region), "--");
}

TEST_F(Mprotect, ScopesOfOtherThreadsAreClosedInAChild)
{
	std::atomic<int> phase{0};
	std::thread holder([&] {
		LYCH_READ(struct secret, s, region) {
			phase = 1;
			while (phase == 1) {
				usleep(1000);
			}
			(void)s;
		}
	});
	while (phase == 0) {
		usleep(1000);
	}
	volatile int *value = &of_region->value;
	(void)*value; // the control: here it is open
	EXPECT_CLOSED({ (void)*value; });
	phase = 2;
	holder.join();
}

TEST_F(Mprotect, AScopeThatTheKernelRefusesGetsTheElseBlock)
{
	int number = 0;

	fake_fail_after(0);
	LYCH_READ(struct secret, s, region) {
		ADD_FAILURE() << s;
	} else {
		number = errno;
	}
	fake_fail_after(-1);
	EXPECT_EQ(number, ENOMEM);
	EXPECT_EQ(Prot(of_region), "--");
}

TEST_F(Mprotect, InADomainTheHeapsOfOthersAreClosed)
{
	EXPECT_NO_FAULT({ Touch(of_parser); });
	ASSERT_EQ(backend_mprotect_enter(codec), 0);
	EXPECT_CLOSED({ Touch(of_parser); });
	EXPECT_CLOSED({ (void)*(volatile char *)of_parser; });
	EXPECT_NO_FAULT({ Touch(of_codec); });
	backend_mprotect_leave();
	EXPECT_NO_FAULT({ Touch(of_parser); });
}

TEST_F(Mprotect, InADomainARegionIsClosedThatTheHostHasOpen)
{
	volatile int *value = &of_region->value;

	LYCH_WRITE(struct secret, s, region) {
		ASSERT_EQ(backend_mprotect_enter(codec), 0);
		EXPECT_CLOSED({ (void)*value; });
		backend_mprotect_leave(); // to the host in a callback, or back
		EXPECT_NO_FAULT({ *value = 1; });
		ASSERT_EQ(backend_mprotect_enter(codec), 0);
		EXPECT_CLOSED({ (void)*value; });
		backend_mprotect_leave();
		EXPECT_NO_FAULT({ *value = 1; });
		(void)s;
	}
	EXPECT_CLOSED({ (void)*value; });
}

TEST_F(Mprotect, EnteringAndLeavingTwiceIsOnce)
{
	ASSERT_EQ(backend_mprotect_enter(codec), 0);
	ASSERT_EQ(backend_mprotect_enter(codec), 0);
	EXPECT_EQ(Prot(of_parser), "--");
	backend_mprotect_leave();
	EXPECT_EQ(Prot(of_parser), "rw");
	backend_mprotect_leave();
	ASSERT_EQ(backend_mprotect_enter(parser), 0);
	EXPECT_EQ(Prot(of_codec), "--");
	EXPECT_EQ(Prot(of_parser), "rw");
	ASSERT_EQ(backend_mprotect_enter(codec), 0);
	EXPECT_EQ(Prot(of_parser), "--") << "a thread is in one domain only";
	backend_mprotect_leave();
}

TEST_F(Mprotect, ThreadsInDifferentDomainsEachFindTheirOwn)
{
	struct lych_domain *third = fake_domain_new(nullptr, nullptr);
	void *of_third = lych_alloc(third, 16);

	ASSERT_EQ(backend_mprotect_enter(codec), 0);
	std::thread([&] {
		ASSERT_EQ(backend_mprotect_enter(parser), 0);
		EXPECT_EQ(Prot(of_parser), "rw");
		EXPECT_EQ(Prot(of_codec), "rw");
		EXPECT_EQ(Prot(of_third), "--");
		backend_mprotect_leave();
	}).join();
	EXPECT_EQ(Prot(of_parser), "--");
	std::thread([&] {
		ASSERT_EQ(backend_mprotect_enter(parser), 0);
		EXPECT_EQ(Prot(of_parser), "rw");
		// It ends in there: TearDown's thread must not find it counted.
	}).join();
	EXPECT_EQ(Prot(of_parser), "--");
	backend_mprotect_leave();
	EXPECT_EQ(Prot(of_third), "rw");
	fake_domain_free(third);
}

TEST_F(Mprotect, ADomainMadeMeanwhileIsClosedToo)
{
	ASSERT_EQ(backend_mprotect_enter(codec), 0);
	struct lych_domain *third = nullptr;
	void *of_third = nullptr;
	std::thread([&] {
		third = fake_domain_new(nullptr, nullptr);
		of_third = lych_alloc(third, 16);
	}).join();
	ASSERT_NE(of_third, nullptr);
	EXPECT_EQ(Prot(of_third), "--");
	backend_mprotect_leave();
	EXPECT_EQ(Prot(of_third), "rw");
	fake_domain_free(third);
}

TEST_F(Mprotect, TheHostsFunctionsReachAHeapThatIsClosed)
{
	strcpy(of_parser, "out");
	ASSERT_EQ(backend_mprotect_enter(codec), 0);
	std::thread([&] {
		char out[4];
		char *text = nullptr;
		EXPECT_EQ(lych_copy_out(parser, out, of_parser, 4), 0);
		EXPECT_EQ(lych_strndup_out(parser, &text, of_parser, 4), 0);
		EXPECT_STREQ(text, "out");
		free(text);
		void *block = lych_copy_in(parser, "in", 3);
		EXPECT_NE(block, nullptr);
		block = lych_realloc(parser, block, 10000);
		EXPECT_NE(block, nullptr);
		EXPECT_EQ(lych_free(parser, block), 0);
		EXPECT_EQ(Prot(of_parser), "--") << "open only while they run";
	}).join();
	backend_mprotect_leave();
}

TEST_F(Mprotect, WhatCannotBeClosedIsNotEntered)
{
	for (int calls = 0; calls < 2; calls++) {
		int closings = 0;
		LYCH_READ(struct secret, s, region) {
			fake_fail_after(calls);
			EXPECT_EQ(backend_mprotect_enter(codec), -ENOMEM) << calls;
			fake_fail_after(-1);
			EXPECT_EQ(Prot(of_parser), "rw");
			EXPECT_EQ(Prot(of_region), "r-");
			closings++;
			(void)s;
		}
		EXPECT_EQ(closings, 1);
	}
	EXPECT_EQ(backend_mprotect_enter(codec), 0);
}

TEST_F(Mprotect, KindsThatItCannotGiveAreRefusedWithTheReason)
{
	struct lych_domain_opts opts = {};
	int err = 0;

	opts.size = sizeof(opts);
	EXPECT_EQ(backend_mprotect_refuses(LYCH_KIND_CONTAIN), nullptr);
	for (enum lych_kind kind : {LYCH_KIND_PURE, LYCH_KIND_VAULT}) {
		opts.kind = kind;
		EXPECT_EQ(fake_domain_new(&opts, &err), nullptr);
		EXPECT_EQ(err, -EOPNOTSUPP);
		EXPECT_NE(std::string(backend_mprotect_refuses(kind)).find("process-wide"), std::string::npos);
	}
}

// ---- host threads that meet closed memory

std::atomic<int> retries, refusals;

void OnFault(int, siginfo_t *info, void *context)
{
	uint64_t error = static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_ERR];

	if (info->si_code == SEGV_ACCERR && backend_mprotect_retry(reinterpret_cast<uintptr_t>(info->si_addr), error)) {
		retries++;
		return;
	}
	refusals++;
	signal(SIGSEGV, SIG_DFL);
}

class MprotectHost : public Mprotect {
protected:
	void SetUp() override
	{
		Mprotect::SetUp();
		struct sigaction action = {};
		action.sa_sigaction = OnFault;
		action.sa_flags = SA_SIGINFO | SA_NODEFER;
		sigaction(SIGSEGV, &action, &before);
		retries = refusals = 0;
	}

	void TearDown() override
	{
		sigaction(SIGSEGV, &before, nullptr);
		Mprotect::TearDown();
	}

	struct sigaction before;
};

TEST_F(MprotectHost, AHostThreadWaitsUntilNobodyIsInADomain)
{
	std::atomic<bool> done{false};
	std::atomic<int> seen{0};

	LYCH_WRITE(struct secret, s, region) {
		s->value = 42;
		ASSERT_EQ(backend_mprotect_enter(codec), 0);
		std::thread host([&] {
			of_parser[5] = 1;
			seen = *(volatile int *)&of_region->value; // open for the process: the scope is another's
			done = true;
		});
		while (retries < 3) {
			std::this_thread::yield();
		}
		EXPECT_FALSE(done);
		backend_mprotect_leave();
		host.join();
	}
	EXPECT_TRUE(done);
	EXPECT_EQ(seen, 42);
	EXPECT_EQ(refusals, 0);
}

TEST_F(MprotectHost, ManyCallsAndAHostThatTouchesAllTheTimeGoOn)
{
	std::atomic<bool> stop{false};
	std::thread host([&] {
		while (!stop) {
			Touch(of_parser + 7);
			Touch(of_codec + 7);
		}
	});
	for (int i = 0; i < 2000; i++) {
		ASSERT_EQ(backend_mprotect_enter(i % 2 ? codec : parser), 0);
		Touch(i % 2 ? of_codec : of_parser);
		backend_mprotect_leave();
	}
	stop = true;
	host.join();
	EXPECT_EQ(refusals, 0);
}

TEST_F(MprotectHost, FaultsOfOtherCausesAreNotTriedAgain)
{
	const uint64_t kRead = 5, kWrite = 7, kFetch = 21;
	uint64_t at = reinterpret_cast<uintptr_t>(of_parser);
	uint64_t in_region = reinterpret_cast<uintptr_t>(of_region);
	int ordinary;

	EXPECT_FALSE(backend_mprotect_retry(in_region, kRead)) << "no scope";
	EXPECT_FALSE(backend_mprotect_retry(reinterpret_cast<uintptr_t>(&ordinary), kRead));
	EXPECT_FALSE(backend_mprotect_retry(at, kFetch)) << "a heap is not code";
	EXPECT_TRUE(backend_mprotect_retry(at, kWrite)) << "open by now";
	ASSERT_EQ(backend_mprotect_enter(codec), 0);
	EXPECT_TRUE(backend_mprotect_retry(at, kRead));
	EXPECT_FALSE(backend_mprotect_retry(at, kFetch));
	EXPECT_FALSE(backend_mprotect_retry(at - 1, kRead)) << "a guard page";
	EXPECT_FALSE(backend_mprotect_retry(in_region, kRead)) << "no scope";
	backend_mprotect_leave();
	LYCH_READ(struct secret, s, region) {
		EXPECT_TRUE(backend_mprotect_retry(in_region, kRead));
		EXPECT_FALSE(backend_mprotect_retry(in_region, kWrite)) << "the scope reads";
		(void)s;
	}
}

} // namespace
