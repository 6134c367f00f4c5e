/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "blocks_model.h"

namespace
{

class Blocks : public ::testing::Test {
protected:
	void Start(uint32_t granules)
	{
		// not a byte more, so that AddressSanitizer sees one that is written behind it
		memory.reset(calloc(1, blocks_table_bytes(granules)));
		ASSERT_NE(memory, nullptr);
		table = blocks_start(memory.get(), granules);
	}

	std::unique_ptr<void, decltype(&free)> memory{nullptr, free};
	struct blocks *table = nullptr;
};

TEST_F(Blocks, AllOfThemCanBeOneBlock)
{
	for (uint32_t granules : {1u, 2u, 15u, 16u, 17u, 1000u, 65536u, 65537u}) {
		Start(granules);
		EXPECT_EQ(blocks_take(table, granules, 1, 0), 0u) << granules;
		EXPECT_EQ(blocks_take(table, 1, 1, 0), BLOCKS_NONE) << granules;
	}
}

TEST_F(Blocks, MoreThanAllOfThemCannot)
{
	Start(1000);
	EXPECT_EQ(blocks_take(table, 1001, 1, 0), BLOCKS_NONE);
	EXPECT_EQ(blocks_take(table, BLOCKS_MAX, 1, 0), BLOCKS_NONE);
	EXPECT_EQ(blocks_take(table, UINT32_MAX, 1, 0), BLOCKS_NONE);
	EXPECT_EQ(blocks_take(table, 0, 1, 0), BLOCKS_NONE);
}

TEST_F(Blocks, GivenBackTwiceIsRefused)
{
	Start(64);
	uint32_t block = blocks_take(table, 8, 1, 0);
	EXPECT_TRUE(blocks_give(table, block));
	EXPECT_FALSE(blocks_give(table, block));
}

TEST_F(Blocks, TheMiddleOfOneIsNone)
{
	Start(64);
	uint32_t block = blocks_take(table, 8, 1, 0);
	for (uint32_t i = 1; i < 8; i++) {
		EXPECT_FALSE(blocks_give(table, block + i)) << i;
		EXPECT_EQ(blocks_size(table, block + i), 0u) << i;
	}
	EXPECT_EQ(blocks_size(table, block), 8u);
}

TEST_F(Blocks, NumbersBeyondTheEndAreNone)
{
	Start(64);
	for (uint32_t first : {64u, 65u, BLOCKS_MAX, UINT32_MAX}) {
		EXPECT_FALSE(blocks_give(table, first)) << first;
		EXPECT_FALSE(blocks_shrink(table, first, 1)) << first;
		EXPECT_EQ(blocks_size(table, first), 0u) << first;
	}
}

TEST_F(Blocks, AFreeStretchThatIsJustLongEnoughIsFound)
{
	// 33 granules are in a class that also has 32: looking one class higher only would miss it.
	Start(33 + 1 + 33);
	uint32_t low = blocks_take(table, 33, 1, 0);
	ASSERT_NE(blocks_take(table, 1, 1, 0), BLOCKS_NONE);
	ASSERT_NE(blocks_take(table, 33, 1, 0), BLOCKS_NONE);
	ASSERT_TRUE(blocks_give(table, low));
	EXPECT_EQ(blocks_take(table, 33, 1, 0), low);
}

TEST_F(Blocks, AlignmentCountsFromTheAddressAndNotFromTheFirstGranule)
{
	Start(256);
	uint32_t block = blocks_take(table, 4, 64, 10);
	ASSERT_NE(block, BLOCKS_NONE);
	EXPECT_EQ((block + 10) % 64, 0u);
}

TEST_F(Blocks, ImpossibleAlignmentsAreRefused)
{
	Start(256);
	for (int log = 9; log < 64; log++) {
		EXPECT_EQ(blocks_take(table, 1, 1ull << log, 1), BLOCKS_NONE) << log;
	}
	EXPECT_EQ(blocks_take(table, 256, 1, 0), 0u);
}

class BlocksModel : public ::testing::TestWithParam<unsigned int> {
};

// Whatever is asked for in whatever order: no block over another, aligned, of its size, refused only when there is no
// room, free neighbours joined.
TEST_P(BlocksModel, AgreesWithTheTableInRandomOrder)
{
	std::mt19937 random(GetParam());
	auto model = std::make_unique<struct blocks_model>();
	uint32_t granules = 1 + random() % MODEL_MAX;
	std::vector<uint32_t> live;
	uint64_t skew = random();
	size_t refused = 0;

	model_start(model.get(), granules);
	for (int i = 0; i < 4000; i++) {
		unsigned int what = random() % 16;
		if (what < 9) {
			uint32_t size = random() % 4 == 0 ? random() % 200 : random() % 12;
			uint32_t block =
				model_take(model.get(), size, random() % 5 == 0 ? 1ull << random() % 12 : 1, skew);
			if (block == BLOCKS_NONE) {
				refused++;
			} else {
				live.push_back(block);
			}
		} else if (what < 14 && !live.empty()) {
			size_t which = random() % live.size();
			model_give(model.get(), live[which]);
			live[which] = live.back();
			live.pop_back();
		} else if (what == 14 && !live.empty()) {
			model_shrink(model.get(), live[random() % live.size()], 1 + random() % 20);
		} else {
			uint32_t any = random() % (granules + 4);
			for (size_t j = 0; j < live.size(); j++) {
				if (live[j] == any) {
					live.erase(live.begin() + j);
					break;
				}
			}
			model_give(model.get(), any);
		}
		if (i % 256 == 0) {
			model_compare(model.get());
		}
	}
	model_compare(model.get());
	EXPECT_GT(refused, 0u) << "the heap was never full: this has not tested much";
	model_stop(model.get());
}

INSTANTIATE_TEST_SUITE_P(Seeds, BlocksModel, ::testing::Range(1u, 41u));

} // namespace
