// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

extern "C" {
#include "source.h"
}

namespace
{

class File : public testing::Test
{
      protected:
	int fd = -1;
	void SetUp() override
	{
		char name[] = "/tmp/lych-source-XXXXXX";
		fd = mkstemp(name);
		ASSERT_GE(fd, 0);
		unlink(name);
	}
	void TearDown() override
	{
		close(fd);
	}
	void write_at(off_t off, const std::string &text)
	{
		ASSERT_EQ(pwrite(fd, text.data(), text.size(), off),
			  static_cast<ssize_t>(text.size()));
	}
};

std::string Read(const source &src, uint64_t off, size_t len)
{
	std::string out(len, '?');
	size_t got = 0;
	EXPECT_EQ(source_read_some(&src, off, out.data(), len, &got), 0);
	out.resize(got);
	return out;
}

TEST(Source, MemoryIsReadExactlyOrNotAtAll)
{
	source src = source_from_memory("abcdef", 6);
	char buf[8] = "";
	EXPECT_EQ(source_read(&src, 2, buf, 4), 0);
	EXPECT_STREQ(buf, "cdef");
	EXPECT_EQ(source_read(&src, 6, buf, 0), 0);
	EXPECT_EQ(source_read(&src, 3, buf, 4), -ENODATA);
	EXPECT_EQ(source_read(&src, 7, buf, 0), -ENODATA);
	EXPECT_EQ(source_read(&src, UINT64_MAX, buf, 2), -ENODATA);
	EXPECT_EQ(source_read(&src, 2, buf, SIZE_MAX), -ENODATA);
}

TEST(Source, ReadSomeEndsWithTheSource)
{
	source src = source_from_memory("abcdef", 6);
	EXPECT_EQ(Read(src, 4, 10), "ef");
	EXPECT_EQ(Read(src, 6, 10), "");
	EXPECT_EQ(Read(src, UINT64_MAX, 10), "");
}

TEST(Source, EmptyMemoryNeedsNoAddress)
{
	source src = source_from_memory(nullptr, 0);
	source part = source_part(&src, 0, 10);
	size_t got = 1;
	EXPECT_EQ(part.size, 0u);
	EXPECT_EQ(source_read(&part, 0, nullptr, 0), 0);
	EXPECT_EQ(source_read_some(&part, 0, nullptr, 0, &got), 0);
	EXPECT_EQ(got, 0u);
}

TEST(Source, PartsAreClippedAndNest)
{
	source src = source_from_memory("abcdef", 6);
	source part = source_part(&src, 2, 3);
	EXPECT_EQ(Read(part, 0, 9), "cde");
	source inner = source_part(&part, 1, UINT64_MAX);
	EXPECT_EQ(Read(inner, 0, 9), "de");
	source none = source_part(&part, UINT64_MAX, UINT64_MAX);
	EXPECT_EQ(none.size, 0u);
}

TEST_F(File, PartsOfAFileAreReadAtTheirOffset)
{
	write_at(0, "0123456789");
	source src = source_from_fd(fd, 2, 6);
	EXPECT_EQ(Read(src, 0, 9), "234567");
	source part = source_part(&src, 3, 2);
	EXPECT_EQ(Read(part, 0, 9), "56");
	EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST_F(File, OneThatShrankIsStaleNotTruncated)
{
	write_at(0, "0123456789");
	source src = source_from_fd(fd, 0, 10);
	ASSERT_EQ(ftruncate(fd, 5), 0);
	char buf[10];
	EXPECT_EQ(source_read(&src, 3, buf, 4), -ESTALE);
	EXPECT_EQ(source_read(&src, 8, buf, 4), -ENODATA);
	EXPECT_EQ(Read(src, 3, 4), "34");
}

TEST(Source, WhatTheKernelCannotReadIsAnError)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY);
	ASSERT_GE(fd, 0);
	source src = source_from_fd(fd, 0, 100);
	char buf[10];
	size_t got = 7;
	EXPECT_EQ(source_read(&src, 0, buf, 4), -EIO);
	EXPECT_EQ(source_read_some(&src, 0, buf, 4, &got), -EIO);
	EXPECT_EQ(got, 0u);
	close(fd);
}

TEST(Source, ProcessMemoryIsReadUntilItEnds)
{
	int fd = open("/proc/self/mem", O_RDONLY);
	ASSERT_GE(fd, 0);
	source src = source_from_fd(fd, 0, uint64_t{1} << 47);
	static const char secret[] = "here";
	EXPECT_EQ(Read(src, reinterpret_cast<uintptr_t>(secret), 4), "here");
	char buf[4];
	EXPECT_EQ(source_read(&src, 0, buf, 4), -EIO); // page zero is never mapped
	close(fd);
}

// Holes as the file system has them: all stretches, checked against what is written.
TEST_F(File, StretchesOfDataSkipHoles)
{
	const off_t far = off_t{1} << 40;
	write_at(0x10000, "one");
	write_at(0x80000, "two");
	write_at(far, "three");
	ASSERT_EQ(ftruncate(fd, 2 * far), 0);
	ASSERT_EQ(lseek(fd, 5, SEEK_SET), 5);
	source src = source_from_fd(fd, 0x1000, 2 * static_cast<uint64_t>(far) - 0x1000);
	uint64_t off = 0, start, end;
	std::string seen;
	uint64_t bytes = 0;
	int rc, stretches = 0;
	while ((rc = source_next_data(&src, off, &start, &end)) == 0) {
		ASSERT_GE(start, off);
		ASSERT_GT(end, start);
		ASSERT_LE(end, src.size);
		for (const char *word : {"one", "two", "three"}) {
			uint64_t at = (word[0] == 'o'   ? 0x10000
				       : word[1] == 'w' ? 0x80000
							: far) -
				      0x1000;
			if (start <= at && at < end) {
				seen += Read(src, at, strlen(word));
			}
		}
		bytes += end - start;
		off = end;
		stretches++;
	}
	EXPECT_EQ(rc, -ENODATA);
	EXPECT_EQ(seen, "onetwothree");
	if (stretches == 1) {
		GTEST_SKIP() << "the file system of /tmp has no holes";
	}
	EXPECT_LT(bytes, uint64_t{1} << 20);
	EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 5) << "the file's offset moved";
}

TEST_F(File, AStretchBeyondThePartIsNoData)
{
	write_at(0x100000, "x");
	source src = source_from_fd(fd, 0, 0x2000);
	uint64_t start, end;
	int rc = source_next_data(&src, 0, &start, &end);
	if (rc == 0) {
		GTEST_SKIP() << "the file system of /tmp has no holes";
	}
	EXPECT_EQ(rc, -ENODATA);
}

TEST(Source, MemoryAndPipesAreAllData)
{
	source src = source_from_memory("abcdef", 6);
	uint64_t start, end;
	EXPECT_EQ(source_next_data(&src, 2, &start, &end), 0);
	EXPECT_EQ(start, 2u);
	EXPECT_EQ(end, 6u);
	EXPECT_EQ(source_next_data(&src, 6, &start, &end), -ENODATA);
	int fds[2];
	ASSERT_EQ(pipe(fds), 0);
	src = source_from_fd(fds[0], 0, 100);
	EXPECT_EQ(source_next_data(&src, 2, &start, &end), 0);
	EXPECT_EQ(start, 2u);
	EXPECT_EQ(end, 100u);
	close(fds[0]);
	close(fds[1]);
}

} // namespace
