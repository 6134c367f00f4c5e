// SPDX-License-Identifier: Apache-2.0
// Code in memory, planned upon and really changed: what the tests of the planner share.
#ifndef LYCH_TEST_REPAIR_WORLD_H
#define LYCH_TEST_REPAIR_WORLD_H

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include "decode.h"
#include "pattern.h"
#include "repair_check.h"
#include "repair_parts.h"
}

using Bytes = std::vector<uint8_t>;

inline Bytes hex(const std::string &text)
{
	Bytes out;
	int high = -1;
	for (char c : text) {
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (digit < 0) {
			continue;
		}
		if (high < 0) {
			high = digit;
		} else {
			out.push_back(static_cast<uint8_t>(high << 4 | digit));
			high = -1;
		}
	}
	return out;
}

inline std::string to_hex(const uint8_t *bytes, size_t n)
{
	std::string out;
	char text[4];
	for (size_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), i ? " %02x" : "%02x", bytes[i]);
		out += text;
	}
	return out;
}

// Flat code at an address, with room for trampolines around it.
struct World {
	uint64_t base;
	Bytes bytes;
	repair_options options = {};
	repair plan = {};
	struct code reader = {};
	bool begun = false;

	World(uint64_t at, Bytes code) : base(at), bytes(std::move(code))
	{
		options.classes = LYCH_POLICY_PKRU;
		options.nareas = 2;
		options.areas[0] = {base + 0x1000000, base + 0x7f000000};
		options.areas[1] = {base - 0x7f000000, base - 0x10000};
		reader = {read, this};
	}
	World(const World &) = delete;
	World &operator=(const World &) = delete;
	~World() { repair_end(&plan); }

	static size_t read(void *ctx, uint64_t vaddr, void *buf, size_t len)
	{
		auto *w = static_cast<World *>(ctx);
		if (vaddr < w->base || vaddr - w->base >= w->bytes.size()) {
			return 0;
		}
		len = std::min<size_t>(len, w->bytes.size() - (vaddr - w->base));
		memcpy(buf, w->bytes.data() + (vaddr - w->base), len);
		return len;
	}

	void begin()
	{
		if (!begun) {
			ASSERT_EQ(repair_begin(&plan, &reader, &options), 0);
			begun = true;
		}
	}

	// Where all sequences are, in code, as it stands without the plan.
	std::vector<hit> hits(const Bytes &in) const
	{
		struct Ctx {
			const World *w;
			std::vector<hit> found;
		} ctx{this, {}};
		pattern_scan(
			in.data(), in.size(), options.classes,
			[](void *p, size_t off, size_t core, size_t len, lych_class cls) {
				auto *c = static_cast<Ctx *>(p);
				c->found.push_back({c->w->base + off, c->w->base + core, static_cast<uint8_t>(len), cls});
				return 0;
			},
			&ctx);
		return ctx.found;
	}

	// Plans one sequence by decoding from the world's first byte.
	repair_outcome plan_hit(const hit &h)
	{
		placement p;
		place_hit(&p, &h, nullptr, &reader);
		return plan_placed(h, p.placement, p.insn_vaddr);
	}

	repair_outcome plan_placed(const hit &h, lych_placement placement, uint64_t insn_vaddr)
	{
		repair_stray stray = {};
		repair_outcome out = {};
		const char *why = "";
		begin();
		stray.hit = h;
		stray.placement = placement;
		stray.insn_vaddr = insn_vaddr;
		stray.verdict = verdict_of(&h, nullptr, 0, &reader, &why);
		stray.pages_hold_code = true;
		stray.code_start = base;
		stray.why = "undecided here";
		EXPECT_EQ(repair_add(&plan, &stray, &out), 0);
		return out;
	}

	Bytes repaired() const
	{
		Bytes out = bytes;
		for (size_t i = 0; i < plan.nedits; i++) {
			const repair_edit &e = plan.edits[i];
			memcpy(out.data() + (e.vaddr - base), e.new_bytes, e.len);
		}
		return out;
	}

	// NULL or what the checker finds wrong.
	const char *check(uint64_t *at = nullptr)
	{
		uint64_t where;
		repair_plan p = repair_plan_of(&plan);
		return repair_check(&p, &reader, at ? at : &where);
	}

	std::string text(uint64_t vaddr, const uint8_t *code, size_t len) const
	{
		decoder *d = nullptr;
		std::string out;
		EXPECT_EQ(decoder_new(&d), 0);
		for (size_t at = 0; at < len;) {
			lych_insn insn;
			decoder_insn(d, code + at, len - at, vaddr + at, &insn);
			out += (at ? "; " : "") + std::string(insn.text);
			at += insn.len;
		}
		decoder_free(d);
		return out;
	}
};

inline bool lych_long()
{
	return getenv("LYCH_LONG") != nullptr;
}

#endif
