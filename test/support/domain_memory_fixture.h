/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of gate/memory/ next to a fake of the rest of the runtime: each with one domain, and nothing is left of it. */
#ifndef LYCH_TEST_DOMAIN_MEMORY_FIXTURE_H
#define LYCH_TEST_DOMAIN_MEMORY_FIXTURE_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "fake_runtime.h"

inline struct lych_domain_opts Options()
{
	struct lych_domain_opts opts = {};

	opts.size = sizeof(opts);
	return opts;
}

inline uint64_t Address(const void *at)
{
	return reinterpret_cast<uintptr_t>(at);
}

class Memory : public ::testing::Test {
protected:
	void SetUp() override
	{
		fake_start(LYCH_PKU);
		ranges = fake_ledger_ranges();
		keys = fake_keys_held();
	}

	void TearDown() override
	{
		if (domain != nullptr) {
			fake_domain_free(domain);
		}
		fake_detach(); // its stacks go
		EXPECT_EQ(fake_ledger_ranges(), ranges);
		EXPECT_EQ(fake_keys_held(), keys);
	}

	void Start(const struct lych_domain_opts &opts)
	{
		int err;

		domain = fake_domain_new(&opts, &err);
		ASSERT_NE(domain, nullptr) << lych_strerror_(err);
	}

	void Start(size_t heap_bytes)
	{
		struct lych_domain_opts opts = Options();

		opts.heap_bytes = heap_bytes;
		Start(opts);
	}

	static std::string lych_strerror_(int err)
	{
		return strerror(-err);
	}

	struct lych_domain *domain = nullptr;
	size_t ranges = 0;
	int keys = 0;
};

class Heap : public Memory {
protected:
	void SetUp() override
	{
		Memory::SetUp();
		Start(1 << 20);
	}
};

inline bool AllZero(const void *at, size_t bytes)
{
	const char *text = static_cast<const char *>(at);

	return std::all_of(text, text + bytes, [](char c) { return c == 0; });
}

#endif
