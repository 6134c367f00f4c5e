/* SPDX-License-Identifier: Apache-2.0 */
/* Random calls of code inside an arena, with a model of what each page must hold. */
#ifndef LYCH_TEST_ARENA_MODEL_H
#define LYCH_TEST_ARENA_MODEL_H

#include <map>
#include <random>

#include "arena_maps.h"

// Random calls, with what each page must hold.
struct Page {
	int now, base; // base: what it has again when it is discarded
	bool file;
};

class ArenaModel : public Arena
{
      protected:
	void Forget(uint64_t start, uint64_t end)
	{
		pages.erase(pages.lower_bound(start), pages.lower_bound(end));
	}

	void Compare()
	{
		const struct space *s = arena_world_space(l);
		ASSERT_TRUE(IsWhole(l));
		for (const auto &[at, page] : pages) {
			const struct space_area *a = space_at(s, at);
			ASSERT_NE(a, nullptr);
			if (a->prot & PROT_READ) {
				ASSERT_EQ(Byte(at), page.now) << std::hex << at;
			} else if (a->prot == 0) {
				ASSERT_EQ(Byte(at), -1);
			}
		}
		uint64_t mapped = 0;
		for (uint32_t i = 0; i < s->count; i++) {
			mapped += s->area[i].end - s->area[i].start;
		}
		ASSERT_EQ(mapped, pages.size() * kPage);
	}

	void MapOne(std::mt19937 &random, uint64_t at, uint64_t n)
	{
		static const uint64_t kinds[] = {0, 0, MAP_FIXED, MAP_FIXED_NOREPLACE};
		bool file = random() % 4 == 0;
		uint64_t first = random() % 4;
		long got = Map(n, random() % 4, at, kinds[random() % 4], file ? fd : -1, file ? first * kPage : 0);
		if (got < 0) {
			ASSERT_TRUE(got == -ENOMEM || got == -EEXIST) << got;
			return;
		}
		for (uint64_t i = 0; i < n; i++) {
			int byte = file ? static_cast<int>(7 + first + i) : 0;
			pages[static_cast<uint64_t>(got) + i * kPage] = {byte, byte, file};
		}
	}

	void RemapOne(std::mt19937 &random, uint64_t at, uint64_t n)
	{
		static const uint64_t kinds[] = {0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED};
		uint64_t flags = kinds[random() % 3], bytes = (1 + random() % 12) * kPage, to = Somewhere(random);
		long got = arena_mremap(l, at, n * kPage, bytes, flags, to);
		if (got < 0) {
			ASSERT_TRUE(got == -ENOMEM || got == -EFAULT || got == -EINVAL) << got;
			// an old mapping may have been unmapped at the new place, as Linux does
			if (flags & MREMAP_FIXED) {
				Drop(to, to + bytes);
				Drop(at, at + n * kPage);
			}
			return;
		}
		std::map<uint64_t, Page> moved;
		uint64_t new_at = static_cast<uint64_t>(got);
		for (uint64_t i = 0; i < bytes; i += kPage) {
			moved[new_at + i] = i < n * kPage ? pages[at + i] : Page{0, 0, false};
		}
		Forget(at, at + n * kPage);
		Forget(new_at, new_at + bytes);
		pages.insert(moved.begin(), moved.end());
	}

	// What the table does not have any more.
	void Drop(uint64_t start, uint64_t end)
	{
		for (; start < end; start += kPage) {
			if (space_at(arena_world_space(l), start) == nullptr) {
				pages.erase(start);
			}
		}
	}

	uint64_t Somewhere(std::mt19937 &random) const
	{
		return base + random() % 64 * kPage;
	}

	void Step(std::mt19937 &random)
	{
		uint64_t at = Somewhere(random), n = 1 + random() % 10, end = at + n * kPage;
		unsigned char byte = static_cast<unsigned char>(1 + random() % 255);

		switch (random() % 8) {
		case 0:
		case 1:
			MapOne(random, at, n);
			break;
		case 2:
			ASSERT_EQ(arena_munmap(l, at, n * kPage), end > Hi() ? -EINVAL : 0);
			Forget(at, end > Hi() ? at : end);
			break;
		case 3: {
			long rc = arena_mprotect(l, at, n * kPage, random() % 4);
			ASSERT_TRUE(rc == 0 || rc == -ENOMEM) << rc;
			break;
		}
		case 4:
			RemapOne(random, at, n);
			break;
		case 5: {
			long rc = arena_madvise(l, at, n * kPage, MADV_DONTNEED);
			ASSERT_TRUE(rc == 0 || rc == -ENOMEM) << rc;
			for (auto i = pages.lower_bound(at); end <= Hi() && i != pages.lower_bound(end); i++) {
				i->second.now = i->second.base;
			}
			break;
		}
		case 6: {
			uint64_t is = static_cast<uint64_t>(arena_brk(l, 0)), to = heap + random() % (20 * kPage);
			long rc = arena_brk(l, to);
			ASSERT_TRUE(rc == static_cast<long>(to) || rc == static_cast<long>(is));
			is = (is + kPage - 1) & ~(kPage - 1);
			to = (static_cast<uint64_t>(rc) + kPage - 1) & ~(kPage - 1);
			Forget(to, is > to ? is : to);
			for (; is < to; is += kPage) {
				pages[is] = {0, 0, false};
			}
			break;
		}
		default:
			for (auto i = pages.lower_bound(at); i != pages.lower_bound(end); i++) {
				if (Put(i->first, byte) == 0) {
					i->second.now = byte;
				} else {
					ASSERT_FALSE(space_at(arena_world_space(l), i->first)->prot & PROT_WRITE);
				}
			}
		}
	}

	std::map<uint64_t, Page> pages;
	uint64_t base = 0, heap = 0;
	int fd = -1;
};

#endif /* LYCH_TEST_ARENA_MODEL_H */
