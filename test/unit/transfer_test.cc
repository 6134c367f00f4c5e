/* SPDX-License-Identifier: Apache-2.0 */
// What the host does with memory of a domain: ranges it verifies, bytes and strings it copies in and out.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "domain_memory_fixture.h"

namespace
{

class Transfer : public Memory {
protected:
	void SetUp() override
	{
		Memory::SetUp();
		Start(8192);
		heap = static_cast<char *>(lych_alloc(domain, 8192));
		ASSERT_NE(heap, nullptr);
	}

	char *heap = nullptr;
};

TEST_F(Transfer, RangesAreTheDomainsOnlyWhenTheyAreWhollyInIt)
{
	char *end = heap + 8192;
	int ordinary = 0;

	EXPECT_EQ(lych_verify_range(domain, heap, 8192), 0);
	EXPECT_EQ(lych_verify_range(domain, heap, 0), 0);
	EXPECT_EQ(lych_verify_range(domain, end - 1, 1), 0);
	EXPECT_EQ(lych_verify_range(domain, end, 0), -EFAULT) << "0 is checked like 1";
	EXPECT_EQ(lych_verify_range(domain, end - 1, 2), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, heap - 1, 2), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, heap, 8193), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, &ordinary, sizeof(ordinary)), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, nullptr, 1), -EFAULT);
}

TEST_F(Transfer, RangesThatWrapAreNot)
{
	EXPECT_EQ(lych_verify_range(domain, heap, SIZE_MAX), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, heap + 16, SIZE_MAX - 15), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, heap + 1, -Address(heap)), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, reinterpret_cast<void *>(UINTPTR_MAX), 2), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, reinterpret_cast<void *>(UINTPTR_MAX), SIZE_MAX), -EFAULT);
}

TEST_F(Transfer, TheStackOfTheCallingThreadIsTheDomains)
{
	struct fake_stack stack;
	char byte = 0;

	ASSERT_EQ(fake_stack_new(domain, &stack), 0);
	char *low = reinterpret_cast<char *>(stack.low);
	low[5] = 42;
	EXPECT_EQ(lych_copy_out(domain, &byte, low + 5, 1), 0);
	EXPECT_EQ(byte, 42);
	EXPECT_EQ(lych_verify_range(domain, low, stack.top - stack.low), 0);
	EXPECT_EQ(lych_verify_range(domain, low, stack.top - stack.low + 1), -EFAULT);
	EXPECT_EQ(lych_verify_range(domain, low - 1, 1), -EFAULT);
}

TEST_F(Transfer, CopyOutCopiesAnyLengthFromAnyPlace)
{
	for (int i = 0; i < 8192; i++) {
		heap[i] = static_cast<char>(i * 7);
	}
	for (size_t from = 0; from < 9; from++) {
		for (size_t bytes = 0; bytes < 40; bytes++) {
			char out[41];
			memset(out, 0x5a, sizeof(out));
			ASSERT_EQ(lych_copy_out(domain, out, heap + from, bytes), 0);
			ASSERT_EQ(memcmp(out, heap + from, bytes), 0) << from << " " << bytes;
			ASSERT_EQ(out[bytes], 0x5a);
		}
	}
}

TEST_F(Transfer, CopyOutOfOtherMemoryTouchesNothing)
{
	char out[16] = "untouched";
	char ordinary[16] = "host";

	EXPECT_EQ(lych_copy_out(domain, out, ordinary, 16), -EFAULT);
	EXPECT_EQ(lych_copy_out(domain, out, heap + 8190, 16), -EFAULT);
	EXPECT_STREQ(out, "untouched");
}

TEST_F(Transfer, CopyToWritesWhatTheDomainHasAndNothingElse)
{
	char ordinary[16] = "host";

	for (size_t to = 0; to < 9; to++) {
		for (size_t bytes = 0; bytes < 40; bytes++) {
			memset(heap, 0x5a, 64);
			ASSERT_EQ(lych_copy_to(domain, heap + to, "what is to be there, of forty bytes and more", bytes), 0);
			ASSERT_EQ(memcmp(heap + to, "what is to be there, of forty bytes and more", bytes), 0);
			ASSERT_EQ(heap[to + bytes], 0x5a);
		}
	}
	memset(heap + 8176, 0x5a, 16);
	EXPECT_EQ(lych_copy_to(domain, ordinary, "domain", 7), -EFAULT);
	EXPECT_STREQ(ordinary, "host");
	EXPECT_EQ(lych_copy_to(domain, heap + 8190, ordinary, 16), -EFAULT);
	EXPECT_EQ(heap[8191], 0x5a);
	EXPECT_EQ(lych_copy_to(nullptr, heap, ordinary, 1), -EINVAL);
}

TEST_F(Transfer, StringsComeOutWithTheirNul)
{
	char *out = nullptr;

	strcpy(heap + 100, "lych");
	ASSERT_EQ(lych_strndup_out(domain, &out, heap + 100, 100), 0);
	EXPECT_STREQ(out, "lych");
	free(out);
	ASSERT_EQ(lych_strndup_out(domain, &out, heap + 100, 5), 0);
	EXPECT_STREQ(out, "lych");
	free(out);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 100, 4), -E2BIG);
	EXPECT_EQ(out, nullptr);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 100, 0), -E2BIG);
	EXPECT_EQ(lych_strndup_out(domain, &out, "host", 100), -EFAULT);
	EXPECT_EQ(out, nullptr);
}

TEST_F(Transfer, LongStringsComeOutWhole)
{
	for (size_t length : {254, 255, 256, 257, 511, 512, 513, 3000, 8191}) {
		char *out = nullptr;
		memset(heap, 'x', 8192);
		heap[length] = 0;
		ASSERT_EQ(lych_strndup_out(domain, &out, heap, SIZE_MAX), 0) << length;
		EXPECT_EQ(std::string(out), std::string(length, 'x'));
		free(out);
	}
}

TEST_F(Transfer, AStringThatRunsOutOfTheDomainIsEfault)
{
	char *out = nullptr;

	memset(heap, 'x', 8192);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 8000, 1000), -EFAULT);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 8000, 192), -E2BIG);
	EXPECT_EQ(lych_strndup_out(domain, &out, heap + 8000, 193), -EFAULT);
	EXPECT_EQ(out, nullptr);
}

// A thread of the domain moves the NUL while the string is taken out. What comes out always ends where its own NUL is;
// a length measured in the domain first would be another's.
TEST_F(Transfer, AStringThatChangesMeanwhileIsStillWhole)
{
	std::atomic<bool> stop{false};
	std::atomic<size_t> bad{0};

	memset(heap, 'x', 4096);
	heap[2000] = 0;
	std::atomic<bool> running{false};
	std::thread racer([&] {
		volatile char *text = heap;
		while (!stop) {
			running = true;
			text[2000] = 'x';
			text[10] = 0;
			text[2000] = 0;
			text[10] = 'x';
		}
	});
	while (!running) {
		std::this_thread::yield();
	}
	for (int i = 0; i < 100000; i++) {
		char *out = nullptr;
		int err = lych_strndup_out(domain, &out, heap, 3000);
		if (err == 0) {
			size_t length = strlen(out);
			bad += length != 10 && length != 2000;
			free(out);
		} else {
			bad += err != -E2BIG; // both places were 'x' when they were read
		}
	}
	stop = true;
	racer.join();
	EXPECT_EQ(bad, 0u);
}

TEST_F(Transfer, OfAThreadThatCannotAttachSaysWhy)
{
	int err = 0, number = 0;
	void *block = heap;

	std::thread([&] {
		char byte;
		fake_refuse_attach(-EPERM);
		err = lych_copy_out(domain, &byte, heap, 1);
		errno = 0;
		block = lych_alloc(domain, 1);
		number = errno;
		fake_refuse_attach(0);
	}).join();
	EXPECT_EQ(err, -EPERM);
	EXPECT_EQ(block, nullptr);
	EXPECT_EQ(number, EPERM);
}

TEST_F(Memory, OfAVaultIsFilledButNotRead)
{
	struct lych_domain_opts opts = Options();
	char out[8] = "same";
	char *text = nullptr;

	opts.kind = LYCH_KIND_VAULT;
	Start(opts);
	uint32_t before = fake_pkru();
	char *block = static_cast<char *>(lych_copy_in(domain, "secret", 7));
	ASSERT_NE(block, nullptr);
	EXPECT_EQ(lych_verify_range(domain, block, 7), 0);
	EXPECT_EQ(lych_copy_out(domain, out, block, 7), -EACCES);
	EXPECT_EQ(lych_strndup_out(domain, &text, block, 7), -EACCES);
	EXPECT_EQ(lych_copy_to(domain, block, "other", 6), 0);
	EXPECT_EQ(text, nullptr);
	EXPECT_STREQ(out, "same");
	EXPECT_EQ(lych_free(domain, block), 0);
	EXPECT_EQ(fake_pkru(), before) << "the vault was left open";
}

TEST_F(Transfer, WithoutADomainIsRefused)
{
	char byte;
	char *out;

	EXPECT_EQ(lych_copy_out(nullptr, &byte, heap, 1), -EINVAL);
	EXPECT_EQ(lych_verify_range(nullptr, heap, 1), -EINVAL);
	EXPECT_EQ(lych_strndup_out(nullptr, &out, heap, 1), -EINVAL);
	EXPECT_EQ(lych_free(nullptr, heap), -EINVAL);
	errno = 0;
	EXPECT_EQ(lych_alloc(nullptr, 1), nullptr);
	EXPECT_EQ(errno, EINVAL);
}

} // namespace
