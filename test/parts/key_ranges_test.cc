/* SPDX-License-Identifier: Apache-2.0 */
// Lists of keyed ranges against the simplest model there is: an array of pages.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <vector>

#include "ranges.h"

namespace
{

constexpr size_t kPages = 40;
constexpr uint64_t kPage = 4096, kBase = 0x7f0000000000;

struct Page {
	int key = RANGE_GONE;
	int prot = 0;
};

uint64_t At(size_t page)
{
	return kBase + page * kPage;
}

struct List {
	std::vector<key_range> ranges;

	void Set(size_t from, size_t to, int key, int prot)
	{
		std::vector<key_range> out(ranges.size() + 2, key_range{1, 2, 99, 99});
		size_t count = ranges_set(out.data(), ranges.data(), ranges.size(), At(from), At(to), key, prot);
		ASSERT_LE(count, out.size());
		out.resize(count);
		ranges = out;
	}

	int KeyAt(uint64_t at) const
	{
		size_t i = ranges_find(ranges.data(), ranges.size(), at);
		return i < ranges.size() && ranges[i].at <= at ? ranges[i].key : RANGE_GONE;
	}
};

void ExpectSame(const List &list, const std::array<Page, kPages> &pages)
{
	for (size_t i = 0; i < list.ranges.size(); i++) {
		const key_range &r = list.ranges[i];
		ASSERT_LT(r.at, r.end);
		if (i > 0) {
			const key_range &before = list.ranges[i - 1];
			ASSERT_LE(before.end, r.at);
			ASSERT_FALSE(before.end == r.at && before.key == r.key && before.prot == r.prot)
				<< "neighbours that agree are two ranges";
		}
	}
	for (size_t page = 0; page < kPages; page++) {
		size_t i = ranges_find(list.ranges.data(), list.ranges.size(), At(page));
		bool in = i < list.ranges.size() && list.ranges[i].at <= At(page);
		ASSERT_EQ(in ? list.ranges[i].key : RANGE_GONE, pages[page].key) << page;
		if (in) {
			ASSERT_EQ(list.ranges[i].prot, pages[page].prot) << page;
			ASSERT_LT(At(page), list.ranges[i].end);
		}
	}
}

TEST(KeyRanges, AgreeWithAnArrayOfPagesAfterRandomChanges)
{
	for (unsigned int seed = 0; seed < 200; seed++) {
		std::mt19937 random(seed);
		std::array<Page, kPages> pages;
		List list;
		for (int step = 0; step < 60; step++) {
			size_t from = random() % kPages, to = from + 1 + random() % (kPages - from);
			Page value;
			value.key = static_cast<int>(random() % 4) - 1;
			value.prot = static_cast<int>(random() % 2);
			list.Set(from, to, value.key, value.prot);
			for (size_t page = from; page < to; page++) {
				pages[page] = value;
			}
			ASSERT_NO_FATAL_FAILURE(ExpectSame(list, pages)) << "seed " << seed << ", step " << step;
		}
	}
}

TEST(KeyRanges, AnEmptyListHasNothing)
{
	List list;

	EXPECT_EQ(list.KeyAt(0), RANGE_GONE);
	EXPECT_EQ(ranges_key_of(nullptr, 0, At(0), At(1)), RANGE_GONE);
}

TEST(KeyRanges, TheEndIsNotInTheRange)
{
	List list;

	list.Set(2, 4, 5, 1);
	EXPECT_EQ(list.KeyAt(At(2)), 5);
	EXPECT_EQ(list.KeyAt(At(4) - 1), 5);
	EXPECT_EQ(list.KeyAt(At(4)), RANGE_GONE);
	EXPECT_EQ(list.KeyAt(At(2) - 1), RANGE_GONE);
}

TEST(KeyRanges, OneKeyOverNeighboursOfDifferentRightsIsOneKey)
{
	List list;

	list.Set(0, 2, 5, 1);
	list.Set(2, 4, 5, 3);
	ASSERT_EQ(list.ranges.size(), 2u);
	EXPECT_EQ(ranges_key_of(list.ranges.data(), 2, At(1), At(3)), 5);
}

TEST(KeyRanges, AHoleOrASecondKeyIsNotOneKey)
{
	List list;

	list.Set(0, 2, 5, 1);
	list.Set(3, 4, 5, 1);
	list.Set(4, 5, 6, 1);
	EXPECT_EQ(ranges_key_of(list.ranges.data(), list.ranges.size(), At(1), At(4)), RANGE_GONE);
	EXPECT_EQ(ranges_key_of(list.ranges.data(), list.ranges.size(), At(3), At(5)), RANGE_GONE);
	EXPECT_EQ(ranges_key_of(list.ranges.data(), list.ranges.size(), At(4), At(6)), RANGE_GONE);
	EXPECT_EQ(ranges_key_of(list.ranges.data(), list.ranges.size(), At(4), At(5)), 6); // control
}

} // namespace
