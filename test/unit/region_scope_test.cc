/* SPDX-License-Identifier: Apache-2.0 */
// Regions and scopes as far as they need no keys: which bits of PKRU they change, how blocks are left, what is counted.
// That the bits close memory is the live test's.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fake_runtime.h"

namespace
{

struct secret {
	char key[32];
	int uses;
};

class Region : public ::testing::Test {
protected:
	void SetUp() override
	{
		fake_start(LYCH_PKU);
		keys = fake_keys_held();
		ranges = fake_ledger_ranges();
		ASSERT_EQ(lych_region_new(&region, sizeof(struct secret), nullptr), 0);
		ASSERT_EQ(lych_region_new(&other, 10000, nullptr), 0);
		closed = fake_pkru();
		ASSERT_EQ(Bits(region), 1u) << "a new region is closed";
	}

	void TearDown() override
	{
		EXPECT_EQ(lych_region_free(region), 0);
		EXPECT_EQ(lych_region_free(other), 0);
		EXPECT_EQ(fake_keys_held(), keys);
		EXPECT_EQ(fake_ledger_ranges(), ranges);
	}

	static unsigned int Bits(struct lych_region *r)
	{
		return fake_pkru() >> (2 * lych_region_key(r)) & 3;
	}

	static uint32_t Mask(struct lych_region *r)
	{
		return 3u << (2 * lych_region_key(r));
	}

	struct lych_region *region = nullptr, *other = nullptr;
	uint32_t closed = 0;
	int keys = 0;
	size_t ranges = 0;
};

const unsigned int kOpen = 0, kReadOnly = 2;

TEST_F(Region, IsOpenInTheBlockOnlyAndNoOtherKeyIsTouched)
{
	LYCH_READ(struct secret, s, region) {
		EXPECT_EQ(s, lych_region_address(region));
		EXPECT_EQ(Bits(region), kReadOnly);
		EXPECT_EQ(fake_pkru() & ~Mask(region), closed & ~Mask(region));
	}
	EXPECT_EQ(fake_pkru(), closed);
	LYCH_WRITE(struct secret, s, region) {
		EXPECT_EQ(Bits(region), kOpen);
		EXPECT_EQ(fake_pkru() & ~Mask(region), closed & ~Mask(region));
		(void)s;
	}
	EXPECT_EQ(fake_pkru(), closed);
}

TEST_F(Region, TheBlockRunsOnceAndItsRegionIsEvaluatedOnce)
{
	int blocks = 0, evaluated = 0;
	auto which = [&] {
		evaluated++;
		return region;
	};

	LYCH_READ(struct secret, s, which()) {
		blocks++;
	}
	LYCH_WRITE(struct secret, s, which()) {
		blocks++;
		continue;
	}
	EXPECT_EQ(blocks, 2);
	EXPECT_EQ(evaluated, 2);
	EXPECT_EQ(fake_pkru(), closed);
}

TEST_F(Region, ABlockWithoutBracesIsOneStatement)
{
	int uses = 0;

	LYCH_READ(struct secret, s, region)
		uses += s->uses + 1;
	EXPECT_EQ(uses, 1);
	EXPECT_EQ(fake_pkru(), closed);
}

TEST_F(Region, BreakAndContinueLeaveTheBlockAndNotTheLoopAroundIt)
{
	int rounds = 0;

	for (int i = 0; i < 3; i++) {
		LYCH_READ(struct secret, s, region) {
			if (i == 0) {
				break;
			}
			continue;
		}
		EXPECT_EQ(fake_pkru(), closed);
		rounds++;
	}
	EXPECT_EQ(rounds, 3);
}

int ReturnFrom(struct lych_region *region)
{
	LYCH_WRITE(struct secret, s, region) {
		return s->uses + 5;
	}
	return -1;
}

TEST_F(Region, ReturnCloses)
{
	EXPECT_EQ(ReturnFrom(region), 5);
	EXPECT_EQ(fake_pkru(), closed);
}

TEST_F(Region, GotoCloses)
{
	LYCH_WRITE(struct secret, s, region) {
		if (s != nullptr) {
			goto out;
		}
	}
	ADD_FAILURE() << "not reached";
out:
	EXPECT_EQ(fake_pkru(), closed);
}

TEST_F(Region, AnExceptionCloses)
{
	EXPECT_THROW(
		{
			LYCH_WRITE(struct secret, s, region) {
				throw std::runtime_error(s->key);
			}
		},
		std::runtime_error);
	EXPECT_EQ(fake_pkru(), closed);
}

TEST_F(Region, ScopesNestAndEachRestoresWhatWasBefore)
{
	LYCH_READ(struct secret, outer, region) {
		LYCH_WRITE(struct secret, inner, region) {
			EXPECT_EQ(Bits(region), kOpen);
			LYCH_READ(struct secret, innermost, region) {
				EXPECT_EQ(Bits(region), kOpen) << "a read scope does not take writing away";
				EXPECT_EQ(innermost, inner);
			}
			EXPECT_EQ(Bits(region), kOpen);
		}
		EXPECT_EQ(Bits(region), kReadOnly);
		LYCH_WRITE(char, bytes, other) {
			EXPECT_EQ(Bits(other), kOpen);
			EXPECT_EQ(Bits(region), kReadOnly);
			(void)bytes;
		}
		EXPECT_EQ(Bits(other), 1u);
		EXPECT_EQ(Bits(region), kReadOnly);
		(void)outer;
	}
	EXPECT_EQ(fake_pkru(), closed);
}

TEST_F(Region, AForgedScopeCannotRestoreAnotherKeysRights)
{
	struct lych_scope scope;

	ASSERT_NE(lych_scope_open(&scope, region, false), nullptr);
	scope.previous = Mask(region) & 0x55555555; // what it was, and all other keys open
	lych_scope_close(&scope);
	EXPECT_EQ(fake_pkru(), closed);
	lych_scope_close(&scope); // a second time: nothing
	EXPECT_EQ(fake_pkru(), closed);
}

TEST_F(Region, CannotBeFreedWhileItIsOpen)
{
	LYCH_READ(struct secret, s, region) {
		EXPECT_EQ(lych_region_free(region), -EBUSY);
		EXPECT_EQ(s->uses, 0);
	}
	std::thread([&] {
		struct lych_scope scope;
		ASSERT_NE(lych_scope_open(&scope, region, true), nullptr);
		EXPECT_EQ(lych_region_free(region), -EBUSY);
		std::thread([&] { EXPECT_EQ(lych_region_free(region), -EBUSY) << "open on another thread"; }).join();
		// The thread ends inside: its scope ends with it, or TearDown fails.
	}).join();
}

TEST_F(Region, AThreadThatCannotAttachGetsTheElseBlock)
{
	bool ran = false, told = false, quiet = true;
	int number = 0;

	std::thread([&] {
		fake_refuse_attach(-EPERM);
		errno = 0;
		LYCH_READ(struct secret, s, region) {
			ran = true;
		} else {
			told = true;
			number = errno;
		}
		LYCH_WRITE(struct secret, s, region) {
			quiet = false;
		}
		fake_refuse_attach(0);
	}).join();
	EXPECT_FALSE(ran);
	EXPECT_TRUE(told);
	EXPECT_TRUE(quiet);
	EXPECT_EQ(number, EPERM);
}

TEST_F(Region, TheElseBlockDoesNotRunWhenItIsOpen)
{
	bool ran = false;

	LYCH_READ(struct secret, s, region) {
		ran = true;
	} else {
		ADD_FAILURE();
	}
	EXPECT_TRUE(ran);
}

TEST_F(Region, IsRoundedToPagesAndNothingElseIsGiven)
{
	struct lych_region *none = region;

	EXPECT_EQ(lych_region_bytes(region), 4096u);
	EXPECT_EQ(lych_region_bytes(other), 12288u);
	EXPECT_EQ(fake_ledger_key(lych_region_address(region)), lych_region_key(region));
	EXPECT_EQ(lych_region_new(&none, 0, nullptr), -EINVAL);
	EXPECT_EQ(none, nullptr);
	EXPECT_EQ(lych_region_new(&none, SIZE_MAX, nullptr), -EINVAL);
	EXPECT_EQ(lych_region_free(nullptr), 0);
}

// What the memory held when the ledger was told to unmap it.
TEST_F(Region, IsWipedBeforeItIsUnmappedUnlessItIsToBeKept)
{
	for (bool keep : {false, true}) {
		struct lych_region_opts opts = {};
		struct lych_region *r;
		opts.size = sizeof(opts);
		opts.keep_on_free = keep;
		ASSERT_EQ(lych_region_new(&r, sizeof(struct secret), &opts), 0);
		LYCH_WRITE(struct secret, s, r) {
			s->uses = 7;
		}
		uint32_t before = fake_pkru();
		void *at = lych_region_address(r);
		fake_watch(&static_cast<struct secret *>(at)->uses);
		ASSERT_EQ(lych_region_free(r), 0);
		EXPECT_EQ(fake_watched(), keep ? 7 : 0);
		EXPECT_EQ(fake_pkru(), before);
	}
}

TEST_F(Region, OptionsOfALaterReleaseAreRefusedOnlyWhenTheyAreUsed)
{
	struct {
		struct lych_region_opts known;
		long later;
	} opts = {};
	struct lych_region *r = nullptr;

	EXPECT_EQ(lych_region_new(&r, 1, &opts.known), -EINVAL) << "size 0";
	opts.known.size = sizeof(opts);
	ASSERT_EQ(lych_region_new(&r, 1, &opts.known), 0);
	EXPECT_EQ(lych_region_free(r), 0);
	opts.later = 1;
	EXPECT_EQ(lych_region_new(&r, 1, &opts.known), -EINVAL);
}

TEST_F(Region, AllKeysCanBeUsedAndThenItIsEnospc)
{
	std::vector<struct lych_region *> all;
	struct lych_region *r;
	int err;

	while ((err = lych_region_new(&r, 1, nullptr)) == 0) {
		all.push_back(r);
	}
	EXPECT_EQ(err, -ENOSPC);
	EXPECT_EQ(r, nullptr);
	EXPECT_GE(all.size(), 10u);
	for (struct lych_region *each : all) {
		EXPECT_EQ(lych_region_free(each), 0);
	}
}

TEST_F(Region, NothingIsLeftWhereverMakingOneFails)
{
	int before = fake_keys_held(), failed = 0;

	for (int calls = 0;; calls++) {
		struct lych_region *r = region;
		fake_fail_after(calls);
		int err = lych_region_new(&r, 4096, nullptr);
		fake_fail_after(-1);
		if (err == 0) {
			EXPECT_EQ(lych_region_free(r), 0);
			break;
		}
		EXPECT_EQ(err, -ENOMEM);
		EXPECT_EQ(r, nullptr);
		EXPECT_EQ(fake_keys_held(), before);
		failed++;
	}
	EXPECT_EQ(failed, 2) << "its table, its memory";
}

std::string FlagsOf(void *at)
{
	std::ifstream smaps("/proc/self/smaps");
	std::string line;
	bool here = false;

	while (std::getline(smaps, line)) {
		unsigned long low, high;
		if (sscanf(line.c_str(), "%lx-%lx ", &low, &high) == 2) {
			here = low <= reinterpret_cast<uintptr_t>(at) && reinterpret_cast<uintptr_t>(at) < high;
		} else if (here && line.rfind("VmFlags:", 0) == 0) {
			return line + " ";
		}
	}
	return "";
}

TEST_F(Region, DefaultsAreNoDumpAndWipedOnFork)
{
	std::string flags = FlagsOf(lych_region_address(region));

	EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
	EXPECT_NE(flags.find(" wf "), std::string::npos) << flags;
	EXPECT_EQ(flags.find(" lo "), std::string::npos) << flags;
}

TEST_F(Region, OptionsTurnThemAround)
{
	struct lych_region_opts opts = {};
	struct lych_region *r;

	opts.size = sizeof(opts);
	opts.lock_memory = opts.dump = opts.keep_on_fork = true;
	ASSERT_EQ(lych_region_new(&r, 1, &opts), 0);
	std::string flags = FlagsOf(lych_region_address(r));
	EXPECT_EQ(flags.find(" dd "), std::string::npos) << flags;
	EXPECT_EQ(flags.find(" wf "), std::string::npos) << flags;
	EXPECT_NE(flags.find(" lo "), std::string::npos) << flags;
	EXPECT_EQ(lych_region_free(r), 0);
}

TEST_F(Region, IsZeroInAChildUnlessItIsToBeKept)
{
	for (bool keep : {false, true}) {
		struct lych_region_opts opts = {};
		struct lych_region *r;
		opts.size = sizeof(opts);
		opts.keep_on_fork = keep;
		ASSERT_EQ(lych_region_new(&r, sizeof(struct secret), &opts), 0);
		LYCH_WRITE(struct secret, s, r) {
			s->uses = 7;
		}
		pid_t child = fork();
		if (child == 0) {
			LYCH_READ(struct secret, s, r) {
				_exit(s->uses);
			}
			_exit(99);
		}
		int status = 0;
		waitpid(child, &status, 0);
		EXPECT_EQ(WEXITSTATUS(status), keep ? 7 : 0);
		EXPECT_EQ(lych_region_free(r), 0);
	}
}

TEST_F(Region, OpenScopesOfOtherThreadsAreNotInAChild)
{
	std::atomic<int> phase{0};
	std::thread holder([&] {
		LYCH_READ(struct secret, s, other) {
			phase = 1;
			while (phase == 1) {
				usleep(1000);
			}
		}
	});
	while (phase == 0) {
		usleep(1000);
	}
	EXPECT_EQ(lych_region_free(other), -EBUSY);
	pid_t child = fork();
	if (child == 0) {
		_exit(-lych_region_free(other));
	}
	int status = 0;
	waitpid(child, &status, 0);
	EXPECT_EQ(WEXITSTATUS(status), 0);
	phase = 2;
	holder.join();
}

} // namespace
