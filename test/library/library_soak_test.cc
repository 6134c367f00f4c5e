// SPDX-License-Identifier: Apache-2.0
// Library domains again and again: what the process has of memory, mappings, descriptors, threads and keys is the same at the
// end. LYCH_LONG: 100,000 rounds of call, fault and reset, and 1,000 of open and close.
#include <dirent.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include <lychgate/lychgate.h>

#include "inside.h"
#include "library_live.h"

LYCH_SYM(in, inside_add, int, (int, int));
LYCH_SYM(in, inside_allocate, long, (size_t));
LYCH_SYM(in, inside_thread_sum, long, (int, int));
LYCH_SYM(in, inside_peek, int, (const volatile unsigned char *));
LYCH_SYM(in, inside_abort, void, (void));

namespace {

bool Long()
{
	const char *value = getenv("LYCH_LONG");

	return value != nullptr && value[0] != '\0';
}

long Entries(const char *folder)
{
	long n = 0;
	DIR *d = opendir(folder);

	while (d != nullptr && readdir(d) != nullptr) {
		n++;
	}
	if (d != nullptr) {
		closedir(d);
	}
	return n;
}

struct Holdings {
	long descriptors = 0, threads = 0, mappings = 0, resident_kib = 0;
};

Holdings Now()
{
	Holdings h;
	std::ifstream maps("/proc/self/maps"), status("/proc/self/status");

	h.descriptors = Entries("/proc/self/fd");
	h.threads = Entries("/proc/self/task");
	for (std::string line; std::getline(maps, line);) {
		h.mappings++;
	}
	for (std::string line; std::getline(status, line);) {
		if (line.rfind("VmRSS:", 0) == 0) {
			h.resident_kib = atol(line.c_str() + 6);
		}
	}
	return h;
}

void ExpectTheSame(const Holdings &before, const Holdings &after)
{
	EXPECT_EQ(after.descriptors, before.descriptors);
	EXPECT_EQ(after.threads, before.threads);
	// Tables of the runtime grow once, and the C library keeps some of what it was given back.
	EXPECT_LE(after.mappings, before.mappings + 8);
	EXPECT_LE(after.resident_kib, before.resident_kib + 3072);
}

using Soak = LibraryDomain;

TEST_F(Soak, OfCallsFaultsAndResetsLeavesNothing)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	static unsigned char secret[16] = "secret";
	const int rounds = Long() ? 100000 : 80;
	Holdings before;

	for (int i = 0; i < rounds; i++) {
		int n = 0;
		long sum = 0;
		if (i == rounds / 8) {
			before = Now();
		}
		ASSERT_EQ(LYCH_CALL(in, &n, inside_add, i, 1), 0) << i;
		ASSERT_EQ(n, i + 1);
		ASSERT_EQ(LYCH_CALL(in, &sum, inside_allocate, size_t{64} << 10), 0);
		if (i % 16 == 0) {
			ASSERT_EQ(LYCH_CALL(in, &sum, inside_thread_sum, 2, 10), 0) << i;
			ASSERT_EQ(sum, 110);
		}
		if (i % 2 == 0) {
			ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, secret), -EFAULT);
		} else {
			ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_abort), -EFAULT);
		}
		ASSERT_EQ(lych_domain_reset(in), 0) << i;
	}
	ExpectTheSame(before, Now());
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
	EXPECT_STREQ(reinterpret_cast<char *>(secret), "secret");
}

TEST_F(Soak, OfOpeningAndClosingLeavesNothing)
{
	const int rounds = Long() ? 1000 : 8;
	Holdings before;
	int key = -1;

	for (int i = 0; i < rounds; i++) {
		if (i == (rounds + 7) / 8) {
			before = Now();
		}
		lych_domain *in = OpenInside();
		ASSERT_NE(in, nullptr) << i;
		EXPECT_TRUE(key == -1 || lych_domain_key(in) == key) << "a key that nobody can have any more";
		key = lych_domain_key(in);
		long sum = 0;
		ASSERT_EQ(LYCH_CALL(in, &sum, inside_thread_sum, 2, 10), 0) << i;
		if (i % 3 == 0) {
			ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_abort), -EFAULT);
		}
		ASSERT_EQ(Close(in), 0) << i;
	}
	ExpectTheSame(before, Now());
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

} // namespace
