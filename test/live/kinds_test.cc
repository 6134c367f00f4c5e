/* SPDX-License-Identifier: Apache-2.0 */
// The kinds of domains, each with what it promises on this kernel: before Linux 6.12 only LYCH_KIND_CONTAIN can be had.
// A signal and a fault inside are survived by every kind that can.
#include "needs_pku.h"

#include <lychgate/lychgate.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace
{

char ordinary[64];
std::atomic<int> handled;

void Handler(int)
{
	handled++;
}

struct Work {
	std::atomic<int> started, stop;
};

// What it holds in registers is a secret of the domain's.
long SpinWithASecret(Work *work, const long *secret)
{
	long value = *secret;

	work->started = 1;
	while (work->stop == 0) {
		__asm__ volatile("pause" : "+r"(value));
	}
	return value;
}

int Fault(const int *at)
{
	return *at;
}

int Store(char *at)
{
	*at = 1;
	return *at;
}

void Aborts()
{
	abort();
}

__attribute__((noipa)) long Smashes(long bytes)
{
	volatile char room[8];
	for (long i = 0; i < bytes; i++) {
		const_cast<volatile char *>(room)[i] = 'A';
	}
	return room[0];
}

long Sum(long a, long b, long c, long d, long e, long f, long g, long h)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h;
}

struct Large {
	long words[8];
};

Large Returns(long a)
{
	return {{a, a + 1, a + 2, a + 3, a + 4, a + 5, a + 6, a + 7}};
}

using Back = long (*)(long, long, long, long, long, long, long, long);

long CallsBack(Back back)
{
	return back(1, 2, 3, 4, 5, 6, 7, 8) + 1;
}

// Its own heap, by system calls.
long UsesItsHeap()
{
	auto *block = static_cast<long *>(lych_inside_alloc(sizeof(long)));
	if (block == nullptr) {
		return -1;
	}
	*block = 5;
	long value = *block;
	lych_inside_free(block);
	return value;
}

LYCH_CALLBACK(Sum, long, (long, long, long, long, long, long, long, long));
LYCH_BIND(domain, Sum, long, (long, long, long, long, long, long, long, long));
LYCH_BIND(domain, Returns, Large, (long));
LYCH_BIND(domain, CallsBack, long, (Back));
LYCH_BIND(domain, UsesItsHeap, long, (void));
LYCH_BIND(domain, SpinWithASecret, long, (Work *, const long *));
LYCH_BIND(domain, Aborts, void, (void));
LYCH_BIND(domain, Smashes, long, (long));
LYCH_BIND(domain, Fault, int, (const int *));
LYCH_BIND(domain, Store, int, (char *));

const char *KindName(lych_kind kind)
{
	return kind == LYCH_KIND_CONTAIN ? "Contain" : kind == LYCH_KIND_PURE ? "Pure" : "Vault";
}

class Kinds : public NeedsPku, public ::testing::WithParamInterface<lych_kind> {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure()) {
			return;
		}
		static int started = lych_init(nullptr);
		ASSERT_EQ(started, 0) << lych_why();
		lych_domain_opts opts = {};
		opts.size = sizeof(opts);
		opts.kind = GetParam();
		int rc = lych_domain_new(&domain, &opts);
		if (GetParam() != LYCH_KIND_CONTAIN && !KernelWritesFramesWhole()) {
			EXPECT_EQ(rc, -EOPNOTSUPP);
			EXPECT_EQ(domain, nullptr);
			EXPECT_NE(strstr(lych_why(), "6.12"), nullptr) << lych_why();
			return;
		}
		ASSERT_EQ(rc, 0) << lych_why();
		if (GetParam() == LYCH_KIND_VAULT) {
			for (auto fn :
			     {reinterpret_cast<void (*)()>(SpinWithASecret), reinterpret_cast<void (*)()>(Fault),
			      reinterpret_cast<void (*)()>(Store), reinterpret_cast<void (*)()>(Sum),
			      reinterpret_cast<void (*)()>(Returns), reinterpret_cast<void (*)()>(CallsBack),
			      reinterpret_cast<void (*)()>(UsesItsHeap), Aborts,
			      reinterpret_cast<void (*)()>(Smashes)}) {
				ASSERT_EQ(lych_vault_allow(domain, fn), 0);
			}
		}
	}

	void TearDown() override
	{
		EXPECT_EQ(lych_domain_free(domain), 0);
	}

	lych_domain *domain = nullptr;
};

TEST_P(Kinds, SignalsOfTheHostRunWhileItRunsAndItGoesOn)
{
	if (domain == nullptr) {
		return; // SetUp has seen that it is refused
	}
	struct sigaction action = {};
	action.sa_handler = Handler;
	ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
	const long kSecret = 0x5ec2e7;
	auto *secret = static_cast<long *>(lych_copy_in(domain, &kSecret, sizeof(kSecret)));
	// Where every kind may write and the host may look.
	long got = 0;
	int rc = 1;
	Work *work = nullptr;
	if (GetParam() == LYCH_KIND_PURE) {
		work = static_cast<Work *>(lych_alloc(domain, sizeof(*work)));
	} else {
		static Work of_the_host;
		work = &of_the_host;
	}
	work->started = work->stop = 0;
	std::thread inside([&] { rc = LYCH_CALL(domain, &got, SpinWithASecret, work, secret); });
	while (work->started == 0) {
		std::this_thread::yield();
	}
	for (int i = 0; i < 50; i++) {
		int before = handled;
		ASSERT_EQ(pthread_kill(inside.native_handle(), SIGUSR1), 0);
		while (handled == before) {
			std::this_thread::yield();
		}
	}
	work->stop = 1;
	inside.join();
	EXPECT_EQ(rc, 0);
	EXPECT_EQ(got, kSecret);
}

TEST_P(Kinds, AFaultInsideEndsTheCallAndTheReportKeepsAVaultsRegisters)
{
	if (domain == nullptr) {
		return;
	}
	int value = 0;

	EXPECT_EQ(LYCH_CALL(domain, &value, Fault, reinterpret_cast<const int *>(16)), -EFAULT);
	const struct lych_fault *fault = lych_fault(domain);
	EXPECT_EQ(fault->kind, LYCH_FAULT_SEGV);
	EXPECT_NE(fault->rip, 0u);
	if (GetParam() == LYCH_KIND_VAULT) {
		for (uint64_t reg : fault->gpr) {
			EXPECT_EQ(reg, 0u);
		}
	} else {
		EXPECT_EQ(fault->gpr[5], 16u) << "rdi, the control";
	}
	ASSERT_EQ(lych_domain_reset(domain), 0);
	EXPECT_EQ(LYCH_CALL(domain, &value, Fault, static_cast<int *>(lych_alloc(domain, 4))), 0);
}

TEST_P(Kinds, OnlyAPureOneCannotWriteOrdinaryMemory)
{
	if (domain == nullptr) {
		return;
	}
	int value = 0;

	ordinary[0] = 0;
	int rc = LYCH_CALL(domain, &value, Store, ordinary);
	if (GetParam() == LYCH_KIND_PURE) {
		EXPECT_EQ(rc, -EFAULT);
		EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_KEY);
		EXPECT_EQ(lych_fault(domain)->key, 0);
		EXPECT_STREQ(lych_fault(domain)->owner, "host");
		EXPECT_EQ(ordinary[0], 0);
	} else {
		EXPECT_EQ(rc, 0);
		EXPECT_EQ(ordinary[0], 1);
	}
}

// libc prepares both by writing ordinary memory, which ends the call of a pure domain there.
TEST_P(Kinds, AbortAndAnOverrunStackEndTheCallWhateverTheReportCallsIt)
{
	if (domain == nullptr) {
		return;
	}
	bool pure = GetParam() == LYCH_KIND_PURE;
	long value = 0;

	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, Aborts), -EFAULT);
	EXPECT_EQ(lych_fault(domain)->kind, pure ? LYCH_FAULT_KEY : LYCH_FAULT_ABORT);
	EXPECT_STREQ(lych_fault(domain)->owner, pure ? "host" : "");
	ASSERT_EQ(lych_domain_reset(domain), 0);
	EXPECT_EQ(LYCH_CALL(domain, &value, Smashes, 8), 0) << "the control";
	EXPECT_EQ(LYCH_CALL(domain, &value, Smashes, 40), -EFAULT);
	EXPECT_EQ(lych_fault(domain)->kind, pure ? LYCH_FAULT_KEY : LYCH_FAULT_ABORT);
	EXPECT_STREQ(lych_fault(domain)->owner, pure ? "host" : "");
	ASSERT_EQ(lych_domain_reset(domain), 0);
	EXPECT_EQ(LYCH_CALL(domain, &value, Smashes, 8), 0);
}

TEST_P(Kinds, TakesArgumentsOnItsStack)
{
	if (domain == nullptr) {
		return;
	}
	long sum = 0;
	EXPECT_EQ(LYCH_CALL(domain, &sum, Sum, 1, 2, 3, 4, 5, 6, 7, 8), 0);
	EXPECT_EQ(sum, 204);
}

TEST_P(Kinds, CallsTheHostBackWithArgumentsOnItsStack)
{
	if (domain == nullptr) {
		return;
	}
	Back back;
	long sum = 0;
	if (GetParam() == LYCH_KIND_VAULT) {
		EXPECT_EQ(lych_callback(&back, domain, Sum, nullptr), -EOPNOTSUPP);
		return;
	}
	ASSERT_EQ(lych_callback(&back, domain, Sum, nullptr), 0);
	EXPECT_EQ(LYCH_CALL(domain, &sum, CallsBack, back), 0);
	EXPECT_EQ(sum, 205);
}

TEST_P(Kinds, HasAHeapOfItsOwn)
{
	if (domain == nullptr) {
		return;
	}
	long value = 0;
	EXPECT_EQ(LYCH_CALL(domain, &value, UsesItsHeap), 0);
	EXPECT_EQ(value, 5);
}

TEST_P(Kinds, ReturnsAStructInMemoryUnlessItIsAVault)
{
	if (domain == nullptr) {
		return;
	}
	Large large = {};
	int rc = LYCH_CALL(domain, &large, Returns, 10);
	EXPECT_EQ(rc, GetParam() == LYCH_KIND_VAULT ? -EACCES : 0);
	EXPECT_EQ(large.words[7], GetParam() == LYCH_KIND_VAULT ? 0 : 17);
}

INSTANTIATE_TEST_SUITE_P(All, Kinds, ::testing::Values(LYCH_KIND_CONTAIN, LYCH_KIND_PURE, LYCH_KIND_VAULT),
			 [](const auto &p) { return std::string(KindName(p.param)); });

} // namespace
