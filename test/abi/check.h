// SPDX-License-Identifier: Apache-2.0
// What the ABI checker looks at. Each function says what is wrong, one clause each; "" when nothing is.
#ifndef ABI_CHECK_H
#define ABI_CHECK_H

#include <cstdio>
#include <cstring>
#include <random>
#include <string>

#include "../../gate/core/gate_asm.h"
#include "abi.h"

namespace checker {

constexpr uint64_t kHostileFlags = 0x44500;

inline unsigned vectors()
{
	return abi_level == 2 ? 32 : 16;
}

inline unsigned vector_bytes()
{
	return 16u << abi_level;
}

// Registers of a host: garbage everywhere, none of it zero, and control words that are not the default.
inline void fill(abi_regs *regs, std::mt19937_64 &rng)
{
	uint64_t *at = reinterpret_cast<uint64_t *>(regs);

	for (size_t i = 0; i < sizeof(*regs) / 8; i++) {
		at[i] = rng() | 0x8101010101010181;
	}
	regs->mxcsr = 0x1f80 | (rng() & 3) << 13 | (rng() & 1) << 15;
	regs->fcw = static_cast<uint16_t>(0x007f | (rng() & 3) << 10 | 0x300);
}

inline void say(std::string *out, const char *what, unsigned i, uint64_t got, uint64_t want)
{
	char line[160];

	snprintf(line, sizeof(line), "%s%s %u is %#lx, not %#lx", out->empty() ? "" : "; ", what, i, got, want);
	*out += line;
}

// At the first instruction in the domain: nothing but the arguments, and what the ABI promises a function.
inline std::string entry_faults(const abi_regs &in, const lych_binding &b)
{
	const abi_regs &e = abi_entry;
	const uint64_t preserved[] = {e.rbx, e.r12, e.r13, e.r14, e.r15, e.r10};
	std::string out;

	for (unsigned i = 0; i < 6; i++) {
		if (preserved[i] != 0) {
			say(&out, "one of rbx r12 r13 r14 r15 r10", i, preserved[i], 0);
		}
		if (i >= b.ngpr && e.args[i] != 0) {
			say(&out, "unused argument register", i, e.args[i], 0);
		}
		if (i < b.ngpr && (b.narrow & 1 << i) && e.args[i] >> 32) {
			say(&out, "narrow argument register", i, e.args[i], 0);
		}
	}
	if (e.rbp == in.rbp) {
		say(&out, "rbp", 0, e.rbp, 0);
	}
	if (e.r11 == in.r11) {
		say(&out, "r11", 0, e.r11, 0);
	}
	const uint64_t al = b.extra & BINDX_VARIADIC ? b.nvec : 0;
	if (e.rax != al) {
		say(&out, "rax", 0, e.rax, al);
	}
	for (unsigned i = 0; i < vectors(); i++) {
		const unsigned from = i < b.nvec && i < 8 ? 1u << (b.widths >> 4 * i & 15) : 0;

		for (unsigned k = from; k < vector_bytes(); k++) {
			if (e.vectors[i][k] != 0) {
				say(&out, "vector register", i, e.vectors[i][k], 0);
				break;
			}
		}
	}
	for (unsigned i = 0; i < 8; i++) {
		if (abi_level == 2 && static_cast<uint16_t>(e.masks[i]) != 0) {
			say(&out, "mask register", i, e.masks[i], 0);
		}
		if (e.st[i] != 0) {
			say(&out, "x87 register", i, e.st[i], 0);
		}
	}
	if (e.flags & kHostileFlags) {
		say(&out, "flags", 0, e.flags & kHostileFlags, 0);
	}
	if ((e.mxcsr & 0xffc0) != (MXCSR_DEFAULT & 0xffc0)) {
		say(&out, "mxcsr", 0, e.mxcsr, MXCSR_DEFAULT);
	}
	if (e.fcw != FCW_DEFAULT) {
		say(&out, "x87 control word", 0, e.fcw, FCW_DEFAULT);
	}
	if (e.tags != 0) {
		say(&out, "x87 registers in use", 0, e.tags, 0);
	}
	if (e.rsp % 16 != 8) {
		say(&out, "stack alignment", 0, e.rsp % 16, 8);
	}
	return out;
}

// Back in the caller.
inline std::string exit_faults(const abi_regs &in, const abi_regs &out_regs)
{
	const uint64_t *want = &in.rbx, *got = &out_regs.rbx;
	std::string out;

	for (unsigned i = 0; i < 6; i++) {
		if (got[i] != want[i]) {
			say(&out, "one of rbx rbp r12 r13 r14 r15", i, got[i], want[i]);
		}
	}
	if (out_regs.rsp != 0) {
		say(&out, "rsp is off by", 0, out_regs.rsp, 0);
	}
	if (out_regs.flags & kHostileFlags) {
		say(&out, "flags", 0, out_regs.flags & kHostileFlags, 0);
	}
	if ((out_regs.mxcsr & 0xffc0) != (in.mxcsr & 0xffc0)) {
		say(&out, "mxcsr", 0, out_regs.mxcsr, in.mxcsr);
	}
	if (out_regs.fcw != in.fcw) {
		say(&out, "x87 control word", 0, out_regs.fcw, in.fcw);
	}
	if (out_regs.tags != 0) {
		say(&out, "x87 registers in use", 0, out_regs.tags, 0);
	}
	return out;
}

// A call of abi_callee with a random signature, everything chosen and everything looked at.
inline std::string raw_faults(std::mt19937_64 &rng, bool hostile)
{
	abi_regs in, out_regs;
	abi_raw raw = {};
	lych_binding b = {};
	std::string out;
	int status = -1;

	fill(&in, rng);
	b.fn = abi_callee;
	b.name = "abi_callee";
	b.align = 4;
	b.ngpr = static_cast<uint8_t>(rng() % 7);
	b.nvec = static_cast<uint8_t>(rng() % 9);
	b.words = static_cast<uint16_t>(rng() % 3 ? rng() % (RAW_NWORDS + 1) : 0);
	b.narrow = static_cast<uint8_t>(rng() & ((1 << b.ngpr) - 1));
	for (unsigned i = 0; i < b.nvec; i++) {
		b.widths |= static_cast<uint32_t>(2 + rng() % (3 + abi_level)) << 4 * i;
	}
	b.result = rng() % 2 ? RESULT_XMM : RESULT_GPR;
	const uint8_t skips[] = {0, 2, 4, 7, 10, 13, 16};
	b.skip = skips[b.ngpr];
	b.extra = (b.words ? BINDX_WORDS : 0) | (b.nvec ? BINDX_VECTORS : 0) | (b.narrow ? BINDX_NARROW : 0) |
		  (b.result ? BINDX_RESULT : 0) | (rng() % 4 ? 0 : BINDX_VARIADIC);
	raw.domain = abi_domain();
	raw.binding = &b;
	raw.status = &status;
	raw.in = &in;
	for (uint64_t &word : raw.words) {
		word = rng();
	}
	abi_callee_rax = rng();
	abi_callee_rdx = rng();
	for (auto &v : abi_callee_xmm) {
		for (uint8_t &byte : v) {
			byte = static_cast<uint8_t>(rng());
		}
	}
	abi_hostile = hostile;
	memset(&abi_entry, 0x5a, sizeof(abi_entry));
	abi_checked(abi_raw_call, &raw, &in, &out_regs);

	if (status != 0) {
		say(&out, "status", 0, static_cast<uint64_t>(status), 0);
		return out;
	}
	out = entry_faults(in, b) + exit_faults(in, out_regs);
	for (unsigned i = 0; i < b.ngpr; i++) {
		const uint64_t want = b.narrow & 1 << i ? static_cast<uint32_t>(in.args[i]) : in.args[i];

		if (abi_entry.args[i] != want) {
			say(&out, "argument", i, abi_entry.args[i], want);
		}
	}
	for (unsigned i = 0; i < b.nvec; i++) {
		if (memcmp(abi_entry.vectors[i], in.vectors[i], size_t{1} << (b.widths >> 4 * i & 15)) != 0) {
			say(&out, "vector argument", i, 0, 1);
		}
	}
	for (unsigned i = 0; i < b.words; i++) {
		if (abi_entry_words[i] != raw.words[i]) {
			say(&out, "stack word", i, abi_entry_words[i], raw.words[i]);
		}
	}
	if (out_regs.rax != abi_callee_rax) {
		say(&out, "rax", 0, out_regs.rax, abi_callee_rax);
	}
	if (out_regs.args[2] != abi_callee_rdx) {
		say(&out, "rdx", 0, out_regs.args[2], abi_callee_rdx);
	}
	for (unsigned i = 0; i < 2 && b.result == RESULT_XMM; i++) {
		if (memcmp(out_regs.vectors[i], abi_callee_xmm[i], 16) != 0) {
			say(&out, "result in vector register", i, 0, 1);
		}
	}
	return out;
}

} // namespace checker

#endif
