// SPDX-License-Identifier: Apache-2.0
// Random code with sequences planted in it: whatever is planned passes the check, and what is carried out holds no
// sequence but those that were refused.
#include <algorithm>
#include <random>
#include <set>

#include "repair_random.h"
#include "seed.h"

namespace
{

constexpr uint64_t kBase = 0x7f1234560000;

} // namespace

TEST(RepairProperty, WhatIsCarriedOutHoldsOnlyWhatWasRefused)
{
	const unsigned seed = static_cast<unsigned>(lych_seed());
	const int rounds = lych_long() ? 200000 : 4000;
	std::mt19937 random(seed);
	size_t planned = 0, refused = 0, kinds[REPAIR_KIND_COUNT] = {}, routes[4] = {};
	for (int round = 0; round < rounds && !testing::Test::HasFailure(); round++) {
		SCOPED_TRACE("round " + std::to_string(round) + ", LYCH_SEED=" + std::to_string(seed));
		Planted p = random_code(random, 4 + random() % 40);
		World w(kBase, p.code);
		std::set<uint64_t> left;
		for (const hit &h : w.hits(p.code)) {
			lych_placement placement;
			uint64_t insn_vaddr;
			if (!p.place(h, kBase, &placement, &insn_vaddr)) {
				left.insert(h.core);
				continue;
			}
			repair_outcome o = w.plan_placed(h, placement, insn_vaddr);
			kinds[o.kind]++;
			routes[o.route]++;
			if (o.kind == REPAIR_REFUSED) {
				EXPECT_STRNE(o.why, "");
				left.insert(h.core);
				refused++;
			} else {
				planned++;
				if (o.kind == REPAIR_ACCEPTED) {
					left.insert(h.core);
				}
				EXPECT_LE(o.nedits, 3u);
			}
		}
		uint64_t at = 0;
		const char *wrong = w.check(&at);
		EXPECT_EQ(wrong, nullptr) << wrong << " at " << std::hex << at - kBase << ": "
					  << to_hex(p.code.data(), p.code.size());
		for (const hit &h : w.hits(w.repaired())) {
			EXPECT_TRUE(left.count(h.core)) << "still at " << std::hex << h.core - kBase << ": "
							<< to_hex(p.code.data(), p.code.size());
		}
	}
	for (repair_kind kind : {REPAIR_REENCODED, REPAIR_RETARGETED, REPAIR_REBASED, REPAIR_CALLED, REPAIR_SPLIT,
				 REPAIR_MOVED, REPAIR_CHECKED, REPAIR_TRAPPED}) {
		EXPECT_GT(kinds[kind], 0u) << repair_kind_name(kind);
	}
	for (repair_route route : {REPAIR_IN_PLACE, REPAIR_JUMP, REPAIR_HOP, REPAIR_PUN}) {
		EXPECT_GT(routes[route], 0u) << repair_route_name(route);
	}
	EXPECT_GT(planned, refused * 10) << planned << " planned, " << refused << " refused";
	RecordProperty("planned", static_cast<int>(planned));
	RecordProperty("refused", static_cast<int>(refused));
	printf("planned %zu, refused %zu\n", planned, refused);
}
