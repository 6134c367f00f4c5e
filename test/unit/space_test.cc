// SPDX-License-Identifier: Apache-2.0
// The table of areas of a library domain: against a model, and what each answer is for.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "space_model.h"

namespace
{

class Areas : public ::testing::Test
{
      protected:
	void SetUp() override
	{
		Start(64, 1000);
	}

	void Start(size_t room, uint64_t limit_pages)
	{
		memory.assign((sizeof(space) + room * sizeof(space_area)) / 8 + 1, 0);
		s = space_start(memory.data(), sizeof(space) + room * sizeof(space_area), MODEL_LO, MODEL_HI,
				limit_pages * SPACE_PAGE, 1000 * SPACE_PAGE);
		ASSERT_NE(s, nullptr);
	}

	int Map(uint32_t from, uint32_t to, uint32_t prot = PROT_READ | PROT_WRITE, uint32_t flags = 0,
		uint64_t id = SPACE_PLAIN, bool no_replace = false)
	{
		struct space_wish m = {model_at(from), model_at(to), prot, flags, id, no_replace};
		return space_map(s, &m);
	}

	int Unmap(uint32_t from, uint32_t to)
	{
		return space_unmap(s, model_at(from), model_at(to));
	}

	int Protect(uint32_t from, uint32_t to, uint32_t prot)
	{
		return space_protect(s, model_at(from), model_at(to), prot);
	}

	std::vector<uint64_t> memory;
	struct space *s = nullptr;
};

TEST(AreasModel, AgreesAfterRandomOperations)
{
	for (unsigned int seed = 0; seed < 400; seed++) {
		std::mt19937 random(seed);
		static space_model model;
		bool small = seed % 4 == 3; // the table becomes full

		model_start(&model, small ? 12 : 128, seed % 3 == 0 ? 30 : 1000, seed % 5 == 0 ? 8 : 1000);
		for (int step = 0; step < 300; step++) {
			uint8_t in[8];
			for (uint8_t &byte : in) {
				byte = static_cast<uint8_t>(random());
			}
			model_step(&model, in);
		}
		model_stop(&model);
	}
}

TEST_F(Areas, OfNothingAreRefusedAndSoIsATableForNone)
{
	char tiny[sizeof(space) + 4 * sizeof(space_area)];

	EXPECT_EQ(space_start(tiny, sizeof(tiny), MODEL_LO, MODEL_HI, 0, 0), nullptr);
	EXPECT_EQ(space_start(tiny, 3, MODEL_LO, MODEL_HI, 0, 0), nullptr);
	EXPECT_EQ(Map(3, 3), -EINVAL);
	EXPECT_EQ(Map(4, 3), -EINVAL);
	EXPECT_EQ(Unmap(4, 4), -EINVAL);
	EXPECT_EQ(space_at(s, MODEL_LO), nullptr);
}

TEST_F(Areas, AtTheEdgesAndAcrossThemAreNotInside)
{
	struct space_wish wraps = {MODEL_HI - SPACE_PAGE, 0, 3, 0, 0, false},
			  all = {0, UINT64_MAX - 4095, 3, 0, 0, false};

	EXPECT_EQ(space_map(s, &wraps), -EINVAL);
	EXPECT_EQ(space_map(s, &all), -ENOMEM);
	EXPECT_EQ(Map(MODEL_PAGES - 1, MODEL_PAGES + 1), -ENOMEM);
	EXPECT_EQ(space_unmap(s, MODEL_LO - SPACE_PAGE, MODEL_LO + SPACE_PAGE), -EINVAL);
	EXPECT_EQ(space_unmap(s, MODEL_LO + 1, MODEL_LO + SPACE_PAGE), -EINVAL);
	EXPECT_EQ(space_protect(s, MODEL_HI, MODEL_HI + SPACE_PAGE, 0), -ENOMEM);
	EXPECT_EQ(Map(MODEL_PAGES - 4, MODEL_PAGES), 0);
	EXPECT_EQ(space_move(s, model_at(MODEL_PAGES - 4), 4 * SPACE_PAGE, model_at(MODEL_PAGES - 1)), -EINVAL);
	EXPECT_EQ(space_move(s, model_at(MODEL_PAGES - 4), 4 * SPACE_PAGE, UINT64_MAX - 4095), -EINVAL);
	EXPECT_EQ(space_move(s, model_at(MODEL_PAGES - 4), UINT64_MAX - 4095, MODEL_LO), -EINVAL);
	EXPECT_EQ(s->count, 1u);
	EXPECT_EQ(Unmap(0, MODEL_PAGES), 0) << "the control: all of it";
	EXPECT_EQ(s->count, 0u);
}

TEST_F(Areas, CountFromWhenTheyAreFirstWritableUntilTheyAreGone)
{
	Start(64, 10);
	EXPECT_EQ(Map(0, 20, PROT_NONE), 0);
	EXPECT_EQ(s->counted, 0u);
	EXPECT_EQ(Protect(0, 10, PROT_READ | PROT_WRITE), 0);
	EXPECT_EQ(Protect(10, 11, PROT_READ | PROT_WRITE), -ENOMEM) << "the limit";
	EXPECT_EQ(Protect(0, 10, PROT_NONE), 0);
	EXPECT_EQ(s->counted, 10 * SPACE_PAGE) << "what is in it stays";
	EXPECT_EQ(Protect(10, 11, PROT_READ | PROT_WRITE), -ENOMEM);
	EXPECT_EQ(Map(0, 10), 0) << "instead of what counts";
	EXPECT_EQ(Map(0, 11), -ENOMEM);
	EXPECT_EQ(Unmap(5, 6), 0);
	EXPECT_EQ(Protect(10, 11, PROT_READ | PROT_WRITE), 0);
	EXPECT_EQ(s->counted, 10 * SPACE_PAGE);
	EXPECT_EQ(Map(30, 40, PROT_READ | PROT_WRITE, SPACE_FIXED | SPACE_STACK), 0) << "the runtime's own";
	EXPECT_EQ(s->counted, 10 * SPACE_PAGE);
}

TEST_F(Areas, TheRuntimeFixedStayAsTheyAre)
{
	ASSERT_EQ(Map(10, 14, PROT_READ | PROT_WRITE, SPACE_FIXED | SPACE_STACK), 0);
	EXPECT_EQ(Unmap(9, 11), -EPERM);
	EXPECT_EQ(Map(13, 20), -EPERM);
	EXPECT_EQ(Protect(10, 11, PROT_READ), -EPERM);
	EXPECT_EQ(Protect(10, 11, PROT_READ | PROT_WRITE), 0);
	EXPECT_EQ(space_move(s, model_at(10), SPACE_PAGE, model_at(20)), -EPERM);
	ASSERT_EQ(Map(20, 22), 0);
	EXPECT_EQ(space_move(s, model_at(20), SPACE_PAGE, model_at(12)), -EPERM);
	EXPECT_EQ(space_release(s, model_at(10), model_at(14)), 0) << "the runtime may";
	EXPECT_EQ(Map(13, 20), 0);
}

TEST_F(Areas, OfCodeGoOnlyAsAWhole)
{
	ASSERT_EQ(Map(0, 12, PROT_READ, SPACE_FILE, SPACE_OWN), 0);
	ASSERT_EQ(space_code(s, model_at(2), model_at(6), PROT_READ | PROT_EXEC), 0);
	ASSERT_EQ(space_code(s, model_at(6), model_at(8), PROT_READ | PROT_EXEC), 0);
	EXPECT_EQ(s->code, 6 * SPACE_PAGE);
	EXPECT_EQ(Unmap(0, 3), -EPERM);
	EXPECT_EQ(Unmap(3, 8), -EPERM);
	EXPECT_EQ(Map(5, 12), -EPERM);
	EXPECT_EQ(Protect(2, 6, PROT_READ), -EACCES);
	EXPECT_EQ(Protect(2, 8, PROT_READ | PROT_EXEC), 0) << "nothing changes";
	EXPECT_EQ(space_move(s, model_at(2), 4 * SPACE_PAGE, model_at(20)), -EPERM);
	EXPECT_EQ(Unmap(6, 12), 0);
	EXPECT_EQ(Unmap(0, 12), 0);
	EXPECT_EQ(s->code, 0u);
}

TEST_F(Areas, AFullTableLosesNothing)
{
	Start(12, 1000); // four are spare
	for (uint32_t i = 0; i < 8; i++) {
		ASSERT_EQ(Map(i * 4, i * 4 + 3, i % 2 ? PROT_READ : PROT_NONE), 0);
	}
	EXPECT_EQ(Map(40, 41), -ENOMEM);
	EXPECT_EQ(Unmap(1, 2), -ENOMEM) << "two where there was one";
	EXPECT_EQ(Protect(1, 2, PROT_READ), -ENOMEM);
	EXPECT_EQ(space_move(s, model_at(1), SPACE_PAGE, model_at(41)), -ENOMEM);
	EXPECT_EQ(s->count, 8u);
	EXPECT_EQ(Unmap(0, 3), 0) << "one less";
	EXPECT_EQ(Map(40, 41), 0);
	EXPECT_EQ(space_move(s, model_at(40), SPACE_PAGE, model_at(50)), 0) << "as many as before";
	EXPECT_EQ(Map(0, MODEL_PAGES), 0) << "all in one";
	EXPECT_EQ(s->count, 1u);
}

TEST_F(Areas, TheBreakGrowsToTheLimitAndNotIntoAnythingElse)
{
	Start(64, 10);
	space_break_start(s, MODEL_LO, model_at(20));
	EXPECT_EQ(space_break(s, MODEL_LO - 1), -ENOMEM);
	EXPECT_EQ(space_break(s, model_at(20) + 1), -ENOMEM);
	EXPECT_EQ(space_break(s, MODEL_LO + 100), 0);
	EXPECT_EQ(space_break(s, model_at(1)), 0) << "the same page";
	EXPECT_EQ(space_break(s, model_at(10) + 1), -ENOMEM) << "the limit";
	EXPECT_EQ(space_break(s, model_at(10)), 0);
	EXPECT_EQ(s->counted, 10 * SPACE_PAGE);
	EXPECT_EQ(space_break(s, model_at(2) - 1), 0);
	ASSERT_EQ(Map(4, 5), 0);
	EXPECT_EQ(space_break(s, model_at(5)), -ENOMEM);
	EXPECT_EQ(space_break(s, model_at(4)), 0);
	EXPECT_EQ(s->break_at, model_at(4));
}

TEST_F(Areas, WhatIsFoundIsTheHighestPlace)
{
	ASSERT_EQ(Map(MODEL_PAGES - 2, MODEL_PAGES - 1), 0);
	EXPECT_EQ(space_find(s, SPACE_PAGE, SPACE_PAGE, MODEL_LO, MODEL_HI), model_at(MODEL_PAGES - 1));
	EXPECT_EQ(space_find(s, 2 * SPACE_PAGE, SPACE_PAGE, MODEL_LO, MODEL_HI), model_at(MODEL_PAGES - 4));
	EXPECT_EQ(space_find(s, SPACE_PAGE, SPACE_PAGE, MODEL_LO, MODEL_HI - SPACE_PAGE), model_at(MODEL_PAGES - 3));
	EXPECT_EQ(space_find(s, UINT64_MAX - 4095, SPACE_PAGE, 0, UINT64_MAX), 0u);
	EXPECT_EQ(space_find(s, SPACE_PAGE, 3 * SPACE_PAGE, MODEL_LO, MODEL_HI), 0u);
	EXPECT_EQ(space_find(s, SPACE_PAGE, 1ULL << 63, MODEL_LO, MODEL_HI), 0u);
}

} // namespace
