// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <lychgate/scan.h>

TEST(Names, EveryValueHasOneAndParsesBack)
{
	for (int c = 0; c < LYCH_CLASS_COUNT; c++) {
		uint32_t set = 0;
		ASSERT_NE(lych_class_name(static_cast<lych_class>(c)), nullptr);
		ASSERT_EQ(lych_classes_parse(&set, lych_class_name(static_cast<lych_class>(c))), 0);
		EXPECT_EQ(set, LYCH_CLASS_BIT(c));
	}
	for (int v = 0; v < LYCH_VERDICT_COUNT; v++) {
		EXPECT_NE(lych_verdict_name(static_cast<lych_verdict>(v)), nullptr);
	}
	for (int p = 0; p < LYCH_PLACE_COUNT; p++) {
		EXPECT_NE(lych_placement_name(static_cast<lych_placement>(p)), nullptr);
	}
	for (int p = 0; p < LYCH_PART_COUNT; p++) {
		EXPECT_NE(lych_part_name(static_cast<lych_part>(p)), nullptr);
	}
	EXPECT_EQ(lych_class_name(LYCH_CLASS_COUNT), nullptr);
	EXPECT_EQ(lych_verdict_name(static_cast<lych_verdict>(-1)), nullptr);
}

TEST(Names, ListsAndPoliciesParse)
{
	uint32_t set = 0;
	EXPECT_EQ(lych_classes_parse(&set, "pkru,wrgsbase"), 0);
	EXPECT_EQ(set, LYCH_POLICY_HOST);
	EXPECT_EQ(lych_classes_parse(&set, "all"), 0);
	EXPECT_EQ(set, LYCH_ALL_CLASSES);
}

TEST(Names, NonsenseIsRefusedAndLeavesTheSetAlone)
{
	for (const char *bad : {"", ",", "wrpkru,", ",wrpkru", "WRPKRU", "wrpkr", "wrpkrux", "pkru,,host"}) {
		uint32_t set = 7;
		EXPECT_EQ(lych_classes_parse(&set, bad), -EINVAL) << bad;
		EXPECT_EQ(set, 7u) << bad;
	}
}
