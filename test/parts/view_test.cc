/* SPDX-License-Identifier: Apache-2.0 */
// Views for all keys: what each grants, and that it grants nothing else.
#include <gtest/gtest.h>

extern "C" {
#include "view.h"
}

namespace
{

constexpr int kKeys = 16;

// Rights to a key as the manual has them: AD denies everything, WD writing.
rights RightsByTheManual(uint32_t pkru, int key)
{
	bool ad = (pkru >> (2 * key) & 1) != 0, wd = (pkru >> (2 * key + 1) & 1) != 0;

	return ad ? RIGHTS_NONE : wd ? RIGHTS_READ : RIGHTS_WRITE;
}

TEST(Views, RightsAreReadAsTheManualHasThem)
{
	for (int key = 0; key < kKeys; key++) {
		for (uint32_t bits = 0; bits < 4; bits++) {
			uint32_t view = VIEW_DENY_ALL & ~VIEW_BITS(key);
			view |= bits << (2 * key);
			EXPECT_EQ(view_rights(view, key), RightsByTheManual(view, key)) << key << " " << bits;
		}
	}
}

TEST(Views, AChangeOfOneKeyLeavesTheOthersAlone)
{
	for (uint32_t view : {0u, ~0u, VIEW_DENY_ALL, 0x12345678u, 0xaaaaaaaau}) {
		for (int key = 0; key < kKeys; key++) {
			for (rights want : {RIGHTS_NONE, RIGHTS_READ, RIGHTS_WRITE}) {
				uint32_t changed = view_with(view, key, want);
				EXPECT_EQ(RightsByTheManual(changed, key), want);
				EXPECT_EQ(changed & ~VIEW_BITS(key), view & ~VIEW_BITS(key));
			}
		}
	}
}

TEST(Views, DenyAllDeniesAll)
{
	for (int key = 0; key < kKeys; key++) {
		EXPECT_EQ(RightsByTheManual(VIEW_DENY_ALL, key), RIGHTS_NONE);
	}
}

// For every pair of keys: the own one is open, the gate's readable, key 0 as the kind says, all others denied.
void ExpectExactly(lych_kind kind, rights key_zero)
{
	for (int gate = 1; gate < kKeys; gate++) {
		for (int own = 1; own < kKeys; own++) {
			if (own == gate) {
				continue;
			}
			uint32_t view = view_of_domain(kind, own, gate);
			for (int key = 0; key < kKeys; key++) {
				rights want = key == 0      ? key_zero
					      : key == own  ? RIGHTS_WRITE
					      : key == gate ? RIGHTS_READ
							    : RIGHTS_NONE;
				EXPECT_EQ(RightsByTheManual(view, key), want)
					<< "own " << own << ", gate " << gate << ", key " << key;
			}
		}
	}
}

TEST(Views, OfAContainingDomainCanWriteKeyZeroAndItsOwn)
{
	ExpectExactly(LYCH_KIND_CONTAIN, RIGHTS_WRITE);
}

TEST(Views, OfAPureDomainCannotWriteKeyZero)
{
	ExpectExactly(LYCH_KIND_PURE, RIGHTS_READ);
}

TEST(Views, OfAVaultCanWriteKeyZeroAndItsOwn)
{
	ExpectExactly(LYCH_KIND_VAULT, RIGHTS_WRITE);
}

TEST(Views, OfAnUnknownKindHasNoRightToKeyZero)
{
	EXPECT_EQ(view_rights(view_of_domain(static_cast<lych_kind>(17), 5, 2), 0), RIGHTS_NONE);
}

TEST(Views, OfTheHostHasTheKeysOfTheRuntimeAndOfDomains)
{
	for (uint32_t initial : {0x55555554u, 0u, ~0u}) {
		for (int domain = 3; domain < kKeys; domain++) {
			uint32_t view = view_of_host(initial, 1, 2, 1u << domain, 0xfff8u & ~(1u << domain));
			for (int key = 0; key < kKeys; key++) {
				bool open = key <= 2 || key == domain;
				EXPECT_EQ(RightsByTheManual(view, key), open ? RIGHTS_WRITE : RIGHTS_NONE)
					<< "domain " << domain << ", key " << key;
			}
		}
	}
}

TEST(Views, OfTheHostLeavesKeysOfOthersAsTheyWere)
{
	for (uint32_t bits = 0; bits < 4; bits++) {
		for (int foreign = 3; foreign < kKeys; foreign++) {
			uint32_t initial = (0x55555554u & ~VIEW_BITS(foreign)) | bits << (2 * foreign);
			uint32_t view = view_of_host(initial, 1, 2, 0, 0xfff8u & ~(1u << foreign));
			EXPECT_EQ(view & VIEW_BITS(foreign), bits << (2 * foreign)) << foreign;
		}
	}
}

TEST(Views, OfTheHostDeniesAVaultThatWasOpenBefore)
{
	// The thread may have had rights to the number from when it was somebody else's.
	uint32_t view = view_of_host(0, 1, 2, 1u << 7 | 1u << 8, 1u << 7);

	EXPECT_EQ(view_rights(view, 7), RIGHTS_NONE);
	EXPECT_EQ(view_rights(view, 8), RIGHTS_WRITE); // control
}

} // namespace
