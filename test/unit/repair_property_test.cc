// SPDX-License-Identifier: Apache-2.0
// Random code with sequences planted in it: whatever is planned passes the check, and what is carried out holds no
// sequence but those that were refused.
#include <algorithm>
#include <random>
#include <set>

#include "repair_world.h"

namespace
{

constexpr uint64_t kBase = 0x7f1234560000;

// Instructions as compilers emit them, in which a sequence can be planted.
const char *const kCode[] = {
	"55", "4889e5", "4883ec20", "31c0", "c3", "90", "0f1f4000", "660f1f840000000000", "0f1f8000000000",
	"488b45f8", "8b830fae2800", "e800000000", "e911223344", "0f8411223344", "7410", "eb20", "488d0511223344",
	"488b0d11223344", "ff1511223344", "48b81122334455667788", "b811223344", "c74510 11223344", "81c3 11223344",
	"05 11223344", "68 11223344", "01ef", "89d5", "4889d5", "c1c70f", "f30f100511223344", "0f118311223344",
	"c5f8580511223344", "69c811223344", "80fa0f", "3c0f", "b00f", "84d2", "f0480fb10b", "83c00f", "4c8b64240f",
	"660f3a0fc1ef", "a911223344", "4181e411223344", "6681c31122", "ffe0", "5b", "415c", "cc", "f3a4",
	"62f17c48588311223344",
};

struct Planted {
	Bytes code;
	std::vector<size_t> starts; // of instructions
};

Planted random_code(std::mt19937 &random, size_t instructions)
{
	static const char *const patterns[] = {"0f01ef", "0fae28", "0fae6c", "0faeaf", "d58001ef", "d5c301ef"};
	Planted p;
	for (size_t i = 0; i < instructions; i++) {
		Bytes insn = hex(kCode[random() % (sizeof(kCode) / sizeof(kCode[0]))]);
		p.code.insert(p.code.end(), insn.begin(), insn.end());
	}
	for (size_t n = 1 + random() % 4; n > 0; n--) {
		Bytes pattern = hex(patterns[random() % 6]);
		size_t at = random() % (p.code.size() - pattern.size());
		std::copy(pattern.begin(), pattern.end(), p.code.begin() + static_cast<long>(at));
	}
	insn in;
	for (size_t at = 0; at < p.code.size() && insn_decode(&in, p.code.data() + at, p.code.size() - at); at += in.len) {
		p.starts.push_back(at);
	}
	return p;
}

} // namespace

TEST(RepairProperty, WhatIsCarriedOutHoldsOnlyWhatWasRefused)
{
	const unsigned seed = getenv("LYCH_SEED") ? static_cast<unsigned>(atoi(getenv("LYCH_SEED"))) : std::random_device()();
	const int rounds = lych_long() ? 200000 : 4000;
	std::mt19937 random(seed);
	size_t planned = 0, refused = 0, kinds[REPAIR_KIND_COUNT] = {}, routes[4] = {};
	for (int round = 0; round < rounds && !testing::Test::HasFailure(); round++) {
		SCOPED_TRACE("round " + std::to_string(round) + ", LYCH_SEED=" + std::to_string(seed));
		Planted p = random_code(random, 4 + random() % 40);
		World w(kBase, p.code);
		std::set<uint64_t> left;
		for (const hit &h : w.hits(p.code)) {
			auto holder = std::upper_bound(p.starts.begin(), p.starts.end(), h.vaddr - kBase);
			if (holder == p.starts.begin()) {
				left.insert(h.core); // its first bytes do not decode
				continue;
			}
			size_t start = *(holder - 1);
			insn in;
			if (!insn_decode(&in, p.code.data() + start, p.code.size() - start)) {
				left.insert(h.core);
				continue;
			}
			// what it is by this decoding
			lych_placement placement = start + in.len < h.vaddr - kBase + h.len ? LYCH_PLACE_SPANNING
											   : LYCH_PLACE_INSIDE;
			if (start + in.len <= h.vaddr - kBase) {
				left.insert(h.core); // behind what decodes
				continue;
			}
			if (in.map == 1 && start + in.opcode_off - (in.encoding == INSN_REX2 ? 2u : 0u) == h.core - kBase) {
				placement = LYCH_PLACE_INSTRUCTION;
			}
			repair_outcome o = w.plan_placed(h, placement, kBase + start);
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
