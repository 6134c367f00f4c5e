/* SPDX-License-Identifier: Apache-2.0 */
// Keys of the whole runtime: what a thread had is gone before the key has another owner; others may use keys, too.
#include "needs_pku.h"

#include <lychgate/lychgate.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace
{

// lych_init works once in a process: each case has one of its own. In there CHECK ends it with a line.
#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);         \
			_exit(1);                                                               \
		}                                                                               \
	} while (0)

template <typename Code> void InAChild(Code code)
{
	pid_t child = fork();

	if (child == 0) {
		code();
		_exit(0);
	}
	int status = 0;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "wait status " << status;
}

void Init()
{
	int rc = lych_init(nullptr);

	if (rc != 0) {
		fprintf(stderr, "lych_init: %d: %s\n", rc, lych_why());
		_exit(1);
	}
}

uint32_t Pkru()
{
	uint32_t low, high;

	__asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(low), "=d"(high) : "c"(0)); // rdpkru
	return low;
}

bool MayRead(int key)
{
	return (Pkru() >> (2 * key) & 1) == 0;
}

// Keys of others: all but left.
void LeaveFree(int left)
{
	std::vector<int> taken;

	for (int key; (key = pkey_alloc(0, 0)) > 0;) {
		taken.push_back(key);
	}
	CHECK(static_cast<int>(taken.size()) >= left);
	for (; left > 0; left--) {
		pkey_free(taken.back());
		taken.pop_back();
	}
}

class KeyReuse : public NeedsPku {};

// A thread that goes through steps when it is told to.
struct Stepping {
	std::atomic<int> asked{0}, done{0};

	void Step(int step) // for the one who tells
	{
		asked = step;
		while (done != step) {
			std::this_thread::yield();
		}
	}

	void Wait(int step) // for the thread
	{
		while (asked != step) {
			std::this_thread::yield();
		}
	}
};

TEST_F(KeyReuse, AThreadThatHadTheKeyCannotReadTheNextOwnersPage)
{
	InAChild([] {
		Init();
		lych_domain *d;
		CHECK(lych_domain_new(&d, nullptr) == 0);
		int key = lych_domain_key(d);
		auto *block = static_cast<volatile char *>(lych_alloc(d, 16));
		CHECK(key > 0 && block != nullptr);
		lych_region *region = nullptr;
		Stepping steps;
		std::thread other([&] {
			CHECK(lych_attach() == 0);
			steps.Wait(1);
			block[0] = 1; // control: it has the right
			CHECK(MayRead(key));
			steps.done = 1;
			steps.Wait(2);
			CHECK(!MayRead(key));
			auto *secret = static_cast<volatile char *>(lych_region_address(region));
			CHECK(IsPkuFault(FaultOf([secret] { (void)secret[0]; }), key));
			steps.done = 2;
		});
		steps.Step(1);
		CHECK(lych_domain_free(d) == 0);
		CHECK(lych_region_new(&region, 4096, nullptr) == 0);
		CHECK(lych_region_key(region) == key);
		steps.Step(2);
		other.join();
		CHECK(lych_region_free(region) == 0);
	});
}

TEST_F(KeyReuse, EveryAttachedThreadHasANewDomainsKeyAndNoVaults)
{
	if (!KernelWritesFramesWhole()) {
		GTEST_SKIP() << "no vaults before Linux 6.12 (kinds_test)";
	}
	InAChild([] {
		Init();
		std::atomic<int> attached{0};
		std::atomic<int> key{0}, vault_key{0};
		std::vector<std::thread> threads;
		for (int i = 0; i < 4; i++) {
			threads.emplace_back([&] {
				CHECK(lych_attach() == 0);
				attached++;
				while (vault_key == 0) {
					std::this_thread::yield();
				}
				CHECK(MayRead(key));
				CHECK(!MayRead(vault_key));
			});
		}
		while (attached != 4) {
			std::this_thread::yield();
		}
		lych_domain *d, *vault;
		lych_domain_opts opts = {};
		opts.size = sizeof(opts);
		opts.kind = LYCH_KIND_VAULT;
		CHECK(lych_domain_new(&d, nullptr) == 0);
		CHECK(lych_domain_new(&vault, &opts) == 0);
		key = lych_domain_key(d);
		vault_key = lych_domain_key(vault);
		for (std::thread &t : threads) {
			t.join();
		}
		CHECK(lych_domain_free(d) == 0);
		CHECK(lych_domain_free(vault) == 0);
	});
}

// It attaches after the domain is there, and may have been started with any rights.
TEST_F(KeyReuse, AThreadThatAttachesLaterHasTheSameView)
{
	InAChild([] {
		Init();
		lych_domain *d;
		lych_region *region;
		CHECK(lych_domain_new(&d, nullptr) == 0);
		CHECK(lych_region_new(&region, 4096, nullptr) == 0);
		int key = lych_domain_key(d), region_key = lych_region_key(region);
		std::thread([=] {
			CHECK(lych_attach() == 0);
			CHECK(MayRead(key));
			CHECK(!MayRead(region_key));
		}).join();
	});
}

TEST_F(KeyReuse, AThreadThatInheritedTheKeyAndNeverAttachedCannotReadTheNextOwnersPage)
{
	InAChild([] {
		Init();
		lych_domain *d;
		CHECK(lych_domain_new(&d, nullptr) == 0);
		int key = lych_domain_key(d);
		lych_region *region = nullptr;
		Stepping steps;
		std::thread other([&] { // a new thread has the rights of the one that made it
			steps.Wait(1);
			CHECK(!MayRead(key));
			steps.done = 1;
		});
		CHECK(lych_domain_free(d) == 0);
		CHECK(lych_region_new(&region, 4096, nullptr) == 0);
		CHECK(lych_region_key(region) == key);
		steps.Step(1);
		other.join();
	});
}

TEST_F(KeyReuse, ThreeFreeKeysAreEnough)
{
	InAChild([] {
		LeaveFree(3);
		Init();
		lych_domain *d, *second;
		CHECK(lych_domain_new(&d, nullptr) == 0);
		CHECK(lych_domain_new(&second, nullptr) == -ENOSPC);
		CHECK(lych_domain_free(d) == 0);
		CHECK(lych_domain_new(&second, nullptr) == 0);
	});
}

TEST_F(KeyReuse, TwoFreeKeysAreRefusedWithTheReason)
{
	InAChild([] {
		LeaveFree(2);
		CHECK(lych_init(nullptr) == -ENOSPC);
		CHECK(std::string(lych_why()).find("only 2 of the 3 protection keys") == 0);
		CHECK(pkey_alloc(0, 0) > 0);
		CHECK(pkey_alloc(0, 0) > 0);
		CHECK(pkey_alloc(0, 0) < 0);
	});
}

TEST_F(KeyReuse, KeysOfOthersWorkOnBeforeAndAfter)
{
	InAChild([] {
		auto *page = static_cast<volatile char *>(
			mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		int mine = pkey_alloc(0, 0);
		CHECK(pkey_mprotect(const_cast<char *>(page), 4096, PROT_READ | PROT_WRITE, mine) == 0);
		page[0] = 1;
		Init();
		page[0] = 2;
		lych_domain *d;
		CHECK(lych_domain_new(&d, nullptr) == 0);
		int later = pkey_alloc(0, 0);
		CHECK(later > 0 && later != lych_domain_key(d));
		CHECK(pkey_mprotect(const_cast<char *>(page), 4096, PROT_READ | PROT_WRITE, later) == 0);
		page[0] = 3;
		CHECK(lych_domain_free(d) == 0);
		page[0] = 4;
		CHECK(lych_verify(nullptr, nullptr) == 0);
		CHECK(pkey_free(later) == 0);
		CHECK(pkey_free(mine) == 0);
	});
}

TEST_F(KeyReuse, VerifyFindsNothingInAHealthyProcessAndNamesAPageSomebodyRetagged)
{
	InAChild([] {
		Init();
		lych_domain *d;
		lych_domain_opts opts = {};
		opts.size = sizeof(opts);
		opts.name = "codec";
		CHECK(lych_domain_new(&d, &opts) == 0);
		auto *block = static_cast<char *>(lych_alloc(d, 4096));
		std::thread([] { CHECK(lych_attach() == 0); }).join();
		CHECK(lych_verify(nullptr, nullptr) == 0);
		char *page = block - reinterpret_cast<uintptr_t>(block) % 4096;
		CHECK(pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, 0) == 0);
		std::string found;
		CHECK(lych_verify([](const char *line, void *ctx) { *static_cast<std::string *>(ctx) += line; },
				  &found) == 1);
		CHECK(found.find("of codec: key 0 (host) instead of") != std::string::npos);
	});
}

} // namespace
