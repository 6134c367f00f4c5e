/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of an arena, compared with what the runtime knows of it. */
#ifndef LYCH_TEST_ARENA_MAPS_H
#define LYCH_TEST_ARENA_MAPS_H

#include <gtest/gtest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "arena_world.h"
#include "live.h"

struct Mapping {
	uint64_t start, end;
	uint32_t prot;
	int key;
	bool shared, file;
};

// Of [start, end), or of everything else. Keys are known where there are keys.
inline std::vector<Mapping> Mappings(uint64_t start, uint64_t end)
{
	std::vector<Mapping> all;
	FILE *file = fopen(live_keys() ? "/proc/self/smaps" : "/proc/self/maps", "r");
	char line[512];
	bool in = false;

	while (file != nullptr && fgets(line, sizeof(line), file) != nullptr) {
		Mapping m = {};
		char r[5];
		unsigned long inode = 0;
		int key;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %lu", &m.start, &m.end, r, &inode) == 4) {
			in = m.start < end && m.end > start;
			m.prot = (r[0] == 'r' ? PROT_READ : 0) | (r[1] == 'w' ? PROT_WRITE : 0) |
				 (r[2] == 'x' ? PROT_EXEC : 0);
			m.shared = r[3] == 's';
			m.file = inode != 0;
			m.key = -1;
			if (in) {
				all.push_back(m);
			}
		} else if (in && sscanf(line, "ProtectionKey: %d", &key) == 1) {
			all.back().key = key;
		}
	}
	fclose(file);
	return all;
}

// Every page is mapped, privately, with the domain's key, and with the rights that the table has, or none.
inline ::testing::AssertionResult IsWhole(struct library *l)
{
	const uint64_t start = arena_world_start(l), end = arena_world_end(l);
	const struct space *s = arena_world_space(l);
	uint64_t upto = start;
	char text[200];

	for (const Mapping &m : Mappings(start, end)) {
		if (m.start > upto) {
			snprintf(text, sizeof(text), "a hole at %" PRIx64 "-%" PRIx64, upto, m.start);
			return ::testing::AssertionFailure() << text;
		}
		if (m.shared || (live_keys() && m.key != arena_world_key(l)) || m.start < start || m.end > end) {
			snprintf(text, sizeof(text), "%" PRIx64 "-%" PRIx64 ": key %d, %s", m.start, m.end, m.key,
				 m.shared ? "shared" : "private");
			return ::testing::AssertionFailure() << text;
		}
		for (uint64_t at = m.start < s->lo ? s->lo : m.start; at < m.end && at < s->hi;) {
			uint32_t i = space_index(s, at);
			const struct space_area *a = i < s->count ? &s->area[i] : nullptr;
			bool in = a != nullptr && a->start <= at;
			uint64_t to = a == nullptr ? s->hi : in ? a->end : a->start;
			if (m.prot != (in ? a->prot : 0)) {
				snprintf(text, sizeof(text), "%" PRIx64 ": rights %x, known are %x", at, m.prot,
					 in ? a->prot : 0);
				return ::testing::AssertionFailure() << text;
			}
			at = to;
		}
		upto = m.end;
	}
	if (upto < end) {
		return ::testing::AssertionFailure() << "a hole at the end";
	}
	return arena_world_poisoned(l) ? ::testing::AssertionFailure() << "poisoned" : ::testing::AssertionSuccess();
}

class Arena : public ::testing::Test
{
      protected:
	static constexpr uint64_t kPage = 4096;

	void SetUp() override
	{
		ASSERT_EQ(live_start(), 0) << lych_why();
		domain = live_domain("arena");
		ASSERT_NE(domain, nullptr);
		Make(64 << 20, 8 << 20);
	}

	void TearDown() override
	{
		Drop();
		if (domain != nullptr) {
			EXPECT_EQ(lych_domain_free(domain), 0);
		}
	}

	void Make(uint64_t bytes, uint64_t limit)
	{
		int rc;
		Drop();
		l = arena_world_new(domain, bytes, limit, &rc);
		ASSERT_EQ(rc, 0);
	}

	void Drop()
	{
		if (l != nullptr) {
			arena_world_free(l);
		}
		l = nullptr;
	}

	uint64_t Lo() const
	{
		return arena_world_space(l)->lo;
	}

	uint64_t Hi() const
	{
		return arena_world_space(l)->hi;
	}

	long Map(uint64_t pages, uint64_t prot = PROT_READ | PROT_WRITE, uint64_t at = 0, uint64_t flags = 0,
		 long fd = -1, uint64_t offset = 0)
	{
		return arena_mmap(l, at, pages * kPage, prot,
				  (flags & 0xf ? 0 : MAP_PRIVATE) | (fd < 0 ? MAP_ANONYMOUS : 0) | flags, fd, offset);
	}

	int Byte(uint64_t at) const
	{
		unsigned char byte;
		return inside_read(l, &byte, at, 1) == 0 ? byte : -1;
	}

	long Put(uint64_t at, unsigned char byte) const
	{
		return inside_write(l, at, &byte, 1);
	}

	// A file whose page i begins with the byte first + i.
	static int File(int pages, unsigned char first)
	{
		int fd = memfd_create("file", MFD_CLOEXEC);
		std::string text(static_cast<size_t>(pages) * kPage, 'x');
		for (int i = 0; i < pages; i++) {
			text[static_cast<size_t>(i) * kPage] = static_cast<char>(first + i);
		}
		EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
		return fd;
	}

	lych_domain *domain = nullptr;
	struct library *l = nullptr;
};

#endif /* LYCH_TEST_ARENA_MAPS_H */
