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

// What a domain may find in a register because it knows it anyway: nothing, arguments, how many vectors there are, its
// function, its stack, a place in the gate.
inline bool is_public(uint64_t value, const lych_binding &b)
{
	const uint64_t gate = reinterpret_cast<uint64_t>(lych_gate);

	for (unsigned i = 0; i < b.ngpr; i++) {
		if (value == abi_entry.args[i]) {
			return true;
		}
	}
	// of its stack what is above it, of which fixtures have a page: records of calls may lie right behind it
	return value <= 8 || value == reinterpret_cast<uint64_t>(b.fn) || value - abi_entry.rsp < 0x1000 ||
	       value - (gate - 0x10000) < 0x20000;
}

// At the first instruction in the domain: nothing but the arguments, and what the ABI promises a function.
inline std::string entry_faults(const lych_binding &b)
{
	const abi_regs &e = abi_entry;
	const uint64_t others[] = {e.rbx, e.rbp, e.r10, e.r11, e.r12, e.r13, e.r14, e.r15};
	const char *const names[] = {"rbx", "rbp", "r10", "r11", "r12", "r13", "r14", "r15"};
	std::string out;

	for (unsigned i = 0; i < 8; i++) {
		if (!is_public(others[i], b)) {
			say(&out, names[i], 0, others[i], 0);
		}
	}
	for (unsigned i = 0; i < 6; i++) {
		if (i >= b.ngpr && e.args[i] != 0) {
			say(&out, "unused argument register", i, e.args[i], 0);
		}
		if (i < b.ngpr && (b.narrow & 1 << i) && e.args[i] >> 32) {
			say(&out, "narrow argument register", i, e.args[i], 0);
		}
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
	int status = 0;

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
	out = entry_faults(b) + exit_faults(in, out_regs);
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

// The host's function that a callback reached: its arguments, and what the ABI promises a function.
inline std::string host_faults(const lych_binding &b, const abi_raw &raw, uint32_t mxcsr, uint16_t fcw)
{
	const abi_regs &e = abi_entry, &in = *raw.in;
	std::string out;

	for (unsigned i = 0; i < b.ngpr; i++) {
		if (e.args[i] != in.args[i]) {
			say(&out, "argument", i, e.args[i], in.args[i]);
		}
	}
	for (unsigned i = 0; i < b.nvec; i++) {
		if (memcmp(e.vectors[i], in.vectors[i], size_t{1} << (b.widths >> 4 * i & 15)) != 0) {
			say(&out, "vector argument", i, 0, 1);
		}
	}
	for (unsigned i = 0; i < b.words; i++) {
		if (abi_entry_words[i] != raw.words[i]) {
			say(&out, "stack word", i, abi_entry_words[i], raw.words[i]);
		}
	}
	if (e.flags & kHostileFlags) {
		say(&out, "the host's flags", 0, e.flags & kHostileFlags, 0);
	}
	if ((e.mxcsr & 0xffc0) != (mxcsr & 0xffc0)) {
		say(&out, "the host's mxcsr", 0, e.mxcsr, mxcsr);
	}
	if (e.fcw != fcw) {
		say(&out, "the host's x87 control word", 0, e.fcw, fcw);
	}
	if (e.tags != 0) {
		say(&out, "the host's x87 registers in use", 0, e.tags, 0);
	}
	if (e.rsp % 16 != 8) {
		say(&out, "stack alignment", 0, e.rsp % 16, 8);
	}
	return out;
}

// The domain, behind its callback: the result, what the ABI has functions keep, and nothing of the host's.
inline std::string back_faults(const lych_binding &b, const abi_regs &in, const abi_regs &got)
{
	const uint64_t rax = abi_left.rax & b.values[0], rdx = abi_left.args[2] & b.values[1];
	const char *const names[] = {"rdi", "rsi", "rdx", "rcx", "r8", "r9"};
	std::string out = exit_faults(in, got);

	if (got.rax != rax) {
		say(&out, "rax", 0, got.rax, rax);
	}
	for (unsigned i = 0; i < 6; i++) {
		const uint64_t want = i == 2 ? rdx : 0;
		if (got.args[i] != want) {
			say(&out, names[i], 0, got.args[i], want);
		}
	}
	const uint64_t happened = got.fxsave[2]; // exceptions: the low byte of the status word
	if (happened != 0) {
		say(&out, "x87 flags", 0, happened, 0);
	}
	if (got.r10 != 0 || got.r11 != 0) {
		say(&out, "r10 or r11", 0, got.r10 | got.r11, 0);
	}
	for (unsigned i = 0; i < vectors(); i++) {
		uint8_t want[64] = {};

		if (i == 0 && (b.result > RESULT_XMM || (b.result == RESULT_XMM && b.width == 4))) {
			memcpy(want, abi_left.vectors[0], 16u << (b.result - RESULT_XMM));
		} else if (i < 2 && b.result == RESULT_XMM && b.width != 4) {
			uint64_t low;
			memcpy(&low, abi_left.vectors[i], 8);
			low &= b.values[2 + i];
			memcpy(want, &low, 8);
		}
		if (memcmp(got.vectors[i], want, vector_bytes()) != 0) {
			say(&out, "vector register", i, got.vectors[i][vector_bytes() - 1], want[vector_bytes() - 1]);
		}
	}
	for (unsigned i = 0; i < 8; i++) {
		if (abi_level == 2 && static_cast<uint16_t>(got.masks[i]) != 0) {
			say(&out, "mask register", i, got.masks[i], 0);
		}
		if (got.st[i] != 0) {
			say(&out, "x87 register", i, got.st[i], 0);
		}
	}
	return out;
}

LYCH_BIND(domain, abi_checked, uint64_t, (uint64_t (*)(void *), void *, const abi_regs *, abi_regs *));

// A callback of abi_host with a random signature, out of a domain where everything is chosen, from a host whose modes
// are. hostile: the domain breaks what the ABI has callers keep.
inline std::string callback_faults(std::mt19937_64 &rng, bool hostile)
{
	const uint64_t masks[] = {0, 0xff, 0xffff, 0xffffffff, ~uint64_t{0}, ~uint64_t{0}};
	struct lych_domain *domain = abi_domain();
	abi_regs in, got;
	abi_raw raw = {};
	lych_binding b = {};
	std::string out;
	uint64_t result = 0;
	uint32_t mxcsr = 0, host_mxcsr = 0x1f80 | (rng() & 3) << 13;
	uint16_t fcw = 0, host_fcw = static_cast<uint16_t>(rng() % 2 ? FCW_DEFAULT : FCW_DEFAULT | 0x400);

	fill(&in, rng);
	fill(&abi_left, rng);
	if (hostile) {
		in.mxcsr = 0x9f80 | 0x6000;
		in.fcw = 0x027b; // double precision; division by zero is not masked
	}
	b.fn = abi_host;
	b.name = "abi_host";
	b.align = 4;
	b.ngpr = static_cast<uint8_t>(rng() % 7);
	b.nvec = static_cast<uint8_t>(rng() % 9);
	b.words = static_cast<uint16_t>(rng() % 3 ? rng() % (RAW_NWORDS + 1) : 0);
	for (unsigned i = 0; i < b.nvec; i++) {
		b.widths |= static_cast<uint32_t>(2 + rng() % (3 + abi_level)) << 4 * i;
	}
	b.result = static_cast<uint8_t>(rng() % (2 + abi_level));
	b.width = b.result > RESULT_XMM || rng() % 2 ? static_cast<uint8_t>(3 + b.result) : 3;
	for (uint64_t &value : b.values) {
		value = masks[rng() % 6];
	}
	for (uint64_t &word : raw.words) {
		word = rng();
	}
	raw.in = &in;
	raw.target = abi_callback(&b);
	if (raw.target == nullptr) {
		return "no callback";
	}
	abi_hostile = hostile;
	memset(&abi_entry, 0x5a, sizeof(abi_entry));
	__asm__ volatile("stmxcsr %0\n fnstcw %1\n ldmxcsr %2\n fldcw %3"
			 : "=m"(mxcsr), "=m"(fcw)
			 : "m"(host_mxcsr), "m"(host_fcw));
	const int rc = LYCH_CALL(domain, &result, abi_checked, abi_raw_callback, &raw, &in, &got);
	__asm__ volatile("ldmxcsr %0\n fldcw %1" : : "m"(mxcsr), "m"(fcw));
	abi_callback_end(raw.target);
	if (rc != 0) {
		say(&out, "status", 0, static_cast<uint64_t>(rc), 0);
		return out;
	}
	return host_faults(b, raw, host_mxcsr, host_fcw) + back_faults(b, in, got);
}

} // namespace checker

#endif
