// SPDX-License-Identifier: Apache-2.0
// Random code with sequences planted in it, for tests of the planner.
#ifndef LYCH_TEST_REPAIR_RANDOM_H
#define LYCH_TEST_REPAIR_RANDOM_H

#include <algorithm>
#include <random>

#include "repair_world.h"

// Instructions as compilers emit them, in which a sequence can be planted.
inline const char *const kCode[] = {
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
	std::vector<size_t> starts; // of instructions, up to where decoding from the first byte stops

	// What a sequence at base + something is by that decoding. False: it is behind what decodes.
	bool place(const hit &h, uint64_t base, lych_placement *placement, uint64_t *insn_vaddr) const
	{
		auto holder = std::upper_bound(starts.begin(), starts.end(), h.vaddr - base);
		insn in;
		if (holder == starts.begin()) {
			return false;
		}
		const size_t start = *(holder - 1);
		if (!insn_decode(&in, code.data() + start, code.size() - start) || start + in.len <= h.vaddr - base) {
			return false;
		}
		*insn_vaddr = base + start;
		*placement = start + in.len < h.vaddr - base + h.len ? LYCH_PLACE_SPANNING : LYCH_PLACE_INSIDE;
		if (in.map == 1 && start + in.opcode_off - (in.encoding == INSN_REX2 ? 2u : 0u) == h.core - base) {
			*placement = LYCH_PLACE_INSTRUCTION;
		}
		return true;
	}

	void decode()
	{
		insn in;
		starts.clear();
		for (size_t at = 0; at < code.size() && insn_decode(&in, code.data() + at, code.size() - at); at += in.len) {
			starts.push_back(at);
		}
	}
};

inline Planted random_code(std::mt19937 &random, size_t instructions)
{
	static const char *const patterns[] = {"0f01ef", "0fae28", "0fae6c", "0faeaf", "d58001ef", "d5c301ef"};
	Planted p;
	for (size_t i = 0; i < instructions || p.code.size() < 8; i++) {
		Bytes insn = hex(kCode[random() % (sizeof(kCode) / sizeof(kCode[0]))]);
		p.code.insert(p.code.end(), insn.begin(), insn.end());
	}
	for (size_t n = 1 + random() % 4; n > 0; n--) {
		Bytes pattern = hex(patterns[random() % 6]);
		size_t at = random() % (p.code.size() - pattern.size());
		std::copy(pattern.begin(), pattern.end(), p.code.begin() + static_cast<long>(at));
	}
	p.decode();
	return p;
}

#endif
