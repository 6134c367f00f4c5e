// SPDX-License-Identifier: Apache-2.0
// LYCH_NONE: heaps, copies, regions, and what of the rest every backend answers.
#include "none.h"

#include <lychgate/policy.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include <vector>

namespace
{

class NoneMemory : public NoneStarted {
protected:
	lych_domain *d = nullptr;

	void SetUp() override
	{
		d = New();
	}
	void TearDown() override
	{
		EXPECT_EQ(lych_domain_free(d), 0);
	}
};

int Seven()
{
	return 7;
}
LYCH_BIND(d, Seven, int, (void));
LYCH_CALLBACK(Seven, int, (void));

} // namespace

TEST_F(NoneMemory, BlocksAreZeroedAlignedAndFreedOnce)
{
	std::vector<unsigned char *> blocks;

	for (size_t i = 0; i < 500; i++) {
		unsigned char *b = static_cast<unsigned char *>(lych_alloc(d, i));

		ASSERT_NE(b, nullptr) << i;
		EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % 16, 0u);
		for (size_t k = 0; k < i; k++) {
			ASSERT_EQ(b[k], 0);
		}
		memset(b, 0xff, i);
		blocks.push_back(b);
	}
	for (size_t i = 0; i < 500; i += 2) {
		EXPECT_EQ(lych_free(d, blocks[i]), 0);
	}
	for (size_t i = 0; i < 500; i++) {
		EXPECT_EQ(lych_free(d, blocks[i]), i % 2 ? 0 : -EINVAL) << i;
	}
	for (size_t align = 1; align <= 65536; align *= 2) {
		void *b = lych_alloc_aligned(d, align, 100);
		ASSERT_NE(b, nullptr);
		EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % align, 0u);
		EXPECT_EQ(lych_free(d, b), 0);
	}
	EXPECT_EQ(lych_alloc_aligned(d, 24, 1), nullptr);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(lych_free(d, nullptr), 0);
	EXPECT_EQ(lych_free(d, &blocks), -EINVAL);
}

TEST_F(NoneMemory, AHeapIsFullWhenItsBytesAreUsed)
{
	lych_domain_opts opts = {};
	lych_domain *small = nullptr;

	opts.size = sizeof(opts);
	opts.heap_bytes = 4096;
	ASSERT_EQ(lych_domain_new(&small, &opts), 0);
	void *b = lych_alloc(small, 4000);
	ASSERT_NE(b, nullptr);
	EXPECT_EQ(lych_alloc(small, 4000), nullptr);
	EXPECT_EQ(errno, ENOMEM);
	EXPECT_EQ(lych_free(small, b), 0);
	b = lych_alloc(small, 4000);
	EXPECT_NE(b, nullptr);
	EXPECT_EQ(lych_calloc(small, SIZE_MAX / 2, 3), nullptr);
	EXPECT_EQ(errno, ENOMEM);
	EXPECT_EQ(lych_domain_reset(small), 0);
	EXPECT_EQ(lych_free(small, b), -EINVAL) << "the reset has freed it";
	EXPECT_NE(lych_alloc(small, 4000), nullptr);
	EXPECT_EQ(lych_domain_free(small), 0);
	EXPECT_EQ(lych_domain_free(small), -EINVAL);
}

TEST_F(NoneMemory, ReallocKeepsWhatWasThere)
{
	char *b = static_cast<char *>(lych_realloc(d, nullptr, 5));

	ASSERT_NE(b, nullptr);
	memcpy(b, "four", 5);
	char *more = static_cast<char *>(lych_realloc(d, b, 1000));
	ASSERT_NE(more, nullptr);
	EXPECT_STREQ(more, "four");
	EXPECT_EQ(more[999], 0);
	EXPECT_EQ(lych_realloc(d, b, 2000), nullptr) << "it always moves";
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(lych_realloc(d, more, 1u << 30), nullptr);
	EXPECT_EQ(errno, ENOMEM);
	EXPECT_STREQ(more, "four");
	char *less = static_cast<char *>(lych_realloc(d, more, 2));
	ASSERT_NE(less, nullptr);
	EXPECT_EQ(memcmp(less, "fo", 2), 0);
	EXPECT_EQ(lych_free(d, less), 0);
}

TEST_F(NoneMemory, CopiesDoWhatTheySay)
{
	char text[] = "eleven char", out[20] = "", *copy = nullptr;
	char *in = static_cast<char *>(lych_copy_in(d, text, sizeof(text))), *dup = lych_strdup(d, text);

	EXPECT_STREQ(in, text);
	EXPECT_STREQ(dup, text);
	EXPECT_EQ(lych_copy_out(d, out, in, sizeof(text)), 0);
	EXPECT_STREQ(out, text);
	EXPECT_EQ(lych_copy_out(d, out, nullptr, 1), -EFAULT);
	EXPECT_EQ(lych_copy_to(d, in, "twelve", 6), 0);
	EXPECT_STREQ(in, "twelve char");
	EXPECT_EQ(lych_copy_to(d, in, text, sizeof(text)), 0);
	EXPECT_EQ(lych_copy_to(d, nullptr, text, 1), -EFAULT);
	EXPECT_EQ(lych_verify_range(d, in, sizeof(text)), 0);
	EXPECT_EQ(lych_verify_range(d, text, sizeof(text)), 0) << "nobody knows";
	EXPECT_EQ(lych_verify_range(d, nullptr, 0), -EFAULT);
	EXPECT_EQ(lych_verify_range(d, in, SIZE_MAX), -EFAULT);
	EXPECT_EQ(lych_verify_range(nullptr, in, 1), -EINVAL);
	EXPECT_EQ(lych_strndup_out(d, &copy, in, 100), 0);
	EXPECT_STREQ(copy, text);
	free(copy);
	EXPECT_EQ(lych_strndup_out(d, &copy, in, 11), -E2BIG);
	EXPECT_EQ(copy, nullptr);
	EXPECT_EQ(lych_strndup_out(d, &copy, nullptr, 11), -EFAULT);
}

TEST_F(NoneMemory, VaultsAreAcceptedAndNothingIsCopiedOutOfThem)
{
	lych_domain_opts opts = {};
	lych_domain *vault = nullptr;
	char out[4] = "";

	opts.size = sizeof(opts);
	opts.kind = LYCH_KIND_VAULT;
	ASSERT_EQ(lych_domain_new(&vault, &opts), 0);
	void *in = lych_copy_in(vault, "abc", 4);
	EXPECT_EQ(lych_copy_out(vault, out, in, 4), -EACCES);
	EXPECT_EQ(lych_copy_to(vault, in, "xyz", 4), 0);
	EXPECT_EQ(lych_vault_allow(vault, reinterpret_cast<void (*)()>(Seven)), 0);
	EXPECT_EQ(lych_vault_allow(d, reinterpret_cast<void (*)()>(Seven)), -EINVAL);
	EXPECT_EQ(lych_domain_free(vault), 0);
	opts.kind = LYCH_KIND_PURE;
	ASSERT_EQ(lych_domain_new(&vault, &opts), 0);
	EXPECT_EQ(lych_domain_free(vault), 0);
}

TEST_F(NoneMemory, FunctionsOfTheProgramAreCalled)
{
	int n = 0;

	EXPECT_EQ(LYCH_CALL(d, &n, Seven), 0);
	EXPECT_EQ(n, 7);
}

TEST_F(NoneMemory, AsManyCallbacksAsTheDomainWasMadeFor)
{
	lych_domain_opts opts = {};
	lych_domain *two = nullptr;
	int (*a)() = nullptr, (*b)() = nullptr, (*c)() = nullptr;

	opts.size = sizeof(opts);
	opts.callbacks = 2;
	ASSERT_EQ(lych_domain_new(&two, &opts), 0);
	EXPECT_EQ(lych_callback(&a, two, Seven, nullptr), 0);
	EXPECT_EQ(lych_callback(&b, two, Seven, nullptr), 0);
	EXPECT_EQ(lych_callback(&c, two, Seven, nullptr), -ENOSPC);
	EXPECT_EQ(c, nullptr);
	EXPECT_EQ(a(), 7);
	EXPECT_EQ(lych_callback_free(d, reinterpret_cast<void (*)()>(a)), -EINVAL) << "another domain's";
	EXPECT_EQ(lych_callback_free(two, reinterpret_cast<void (*)()>(a)), 0);
	EXPECT_EQ(lych_callback(&c, two, Seven, nullptr), 0);
	EXPECT_EQ(lych_domain_free(two), 0);
}

TEST_F(NoneMemory, RegionsAreOpenAndCounted)
{
	lych_region_opts opts = {};
	lych_region *region = nullptr;

	opts.size = sizeof(opts);
	ASSERT_EQ(lych_region_new(&region, 100, &opts), 0);
	EXPECT_EQ(lych_region_bytes(region), 4096u);
	EXPECT_EQ(lych_region_key(region), -1);
	LYCH_WRITE(int, at, region) {
		*at = 5;
		EXPECT_EQ(lych_region_free(region), -EBUSY);
	}
	int seen = 0;
	LYCH_READ(int, at, region) {
		seen = *at;
	}
	EXPECT_EQ(seen, 5);
	EXPECT_EQ(*static_cast<int *>(lych_region_address(region)), 5) << "always open";
	EXPECT_EQ(lych_region_free(region), 0);
	EXPECT_EQ(lych_region_free(nullptr), 0);
	EXPECT_EQ(lych_region_new(&region, 0, nullptr), -EINVAL);
}

TEST_F(NoneMemory, TheRestHasAnAnswer)
{
	EXPECT_EQ(lych_attach(), 0);
	EXPECT_EQ(lych_domain_key(d), -1);
	EXPECT_EQ(strncmp(lych_domain_name(d), "domain-", 7), 0);
	EXPECT_STREQ(lych_domain_name(nullptr), "");
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
	EXPECT_EQ(lych_fault(d)->kind, LYCH_FAULT_NONE);
	EXPECT_EQ(lych_refused(d, nullptr, 0), 0u);
	EXPECT_EQ(lych_domain_allow(d, SYS_nanosleep), 0);
	EXPECT_EQ(lych_domain_allow(d, SYS_open), -EINVAL);
	EXPECT_EQ(lych_domain_free(nullptr), 0);
	EXPECT_EQ(lych_domain_reset(nullptr), -EINVAL);
	EXPECT_EQ(lych_domain_cancel(nullptr), -EINVAL);
	EXPECT_EQ(lych_alloc(nullptr, 1), nullptr);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_NE(lych_deadline_in(5, nullptr), 0u);
	lych_deadline_over(0);
	EXPECT_EQ(lych_callback_ctx(), nullptr);
}

TEST_F(NoneMemory, ThereAreSixtyFourDomains)
{
	std::vector<lych_domain *> all;
	lych_domain *one = nullptr;
	int rc;

	while ((rc = lych_domain_new(&one, nullptr)) == 0) {
		all.push_back(one);
	}
	EXPECT_EQ(rc, -ENOSPC);
	EXPECT_EQ(one, nullptr);
	EXPECT_EQ(all.size(), 63u);
	for (lych_domain *each : all) {
		EXPECT_EQ(lych_domain_free(each), 0);
	}
}
