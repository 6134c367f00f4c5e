/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an instruction's address leads to its trampoline without touching a byte that another jump could lead to.
 *
 * Five bytes of jump fit into most instructions. Into a shorter one fits a two-byte jump to padding nearby, or
 * the first bytes of a jump whose last bytes are what stands behind it anyway ("instruction punning"), so that only
 * some distances can be said and the trampoline goes where one of them leads.
 */
#include <string.h>

#include "repair_parts.h"

#define JUMP_LEN 5u
#define HOP_LEN 2u
#define HOP_REACH 127
/* Two bytes to pass over the jump that takes the place of a long NOP. */
#define NOP_LEN (HOP_LEN + JUMP_LEN)
/* Decoding from the function's start to find NOPs before the instruction goes so far at most. */
#define DECODE_MAX (UINT64_C(64) << 10)
#define INT3 0xcc
#define HOPS 4u
_Static_assert(ROUTES == HOPS + JUMP_LEN - 1, "an instruction of four bytes can be punned in four ways");

static void whole(struct site_edit *e, const struct spot *spot, uint8_t pad)
{
	*e = (struct site_edit){.vaddr = spot->vaddr, .len = spot->in.len, .keep_from = spot->in.len};
	memset(e->bytes, pad, spot->in.len);
}

/* ---- five bytes and more --------------------------------------------------------------------- */

static bool route_jump(struct candidate *c, const struct spot *spot, unsigned n)
{
	static const uint8_t pads[] = {INT3, 0x90};

	if (spot->in.len < JUMP_LEN || n >= sizeof(pads)) {
		return false;
	}
	whole(&c->edits[0], spot, pads[n]);
	c->edits[0].bytes[0] = 0xe9;
	c->edits[0].fix_at = 1;
	c->edits[0].fix_end = JUMP_LEN;
	c->nedits = 1;
	c->route = REPAIR_JUMP;
	return true;
}

/* A call must end where the old one ended, or the return address is another: prefixes that mean nothing go before. */
static bool route_call(struct candidate *c, const struct spot *spot, unsigned n)
{
	static const uint8_t prefixes[] = {0x67, 0x3e, 0x26};
	uint8_t len = spot->in.len;

	if (len < JUMP_LEN || n >= sizeof(prefixes)) {
		return false;
	}
	whole(&c->edits[0], spot, prefixes[n]);
	c->edits[0].bytes[len - JUMP_LEN] = 0xe8;
	c->edits[0].fix_at = (uint8_t)(len - 4);
	c->edits[0].fix_end = len;
	c->nedits = 1;
	c->route = REPAIR_JUMP;
	return true;
}

/* ---- a hop to padding ------------------------------------------------------------------------ */

static bool in_reach(const struct spot *spot, uint64_t target)
{
	int64_t distance = (int64_t)(target - (spot->vaddr + HOP_LEN));

	return distance >= -HOP_REACH - 1 && distance <= HOP_REACH;
}

static void hop_to(struct candidate *c, const struct spot *spot, uint64_t target)
{
	whole(&c->edits[0], spot, INT3);
	c->edits[0].bytes[0] = 0xeb;
	c->edits[0].bytes[1] = (uint8_t)(target - (spot->vaddr + HOP_LEN));
	c->nedits = 2;
	c->route = REPAIR_HOP;
}

/* A long NOP passes over the jump that it makes room for. */
static void hop_to_nop(struct candidate *c, const struct spot *spot, const struct spot *nop)
{
	struct site_edit *e = &c->edits[1];

	hop_to(c, spot, nop->vaddr + HOP_LEN);
	whole(e, nop, INT3);
	e->bytes[0] = 0xeb;
	e->bytes[1] = (uint8_t)(nop->in.len - HOP_LEN);
	e->bytes[2] = 0xe9;
	e->fix_at = HOP_LEN + 1;
	e->fix_end = NOP_LEN;
}

/* Behind a jump that is always taken, or a return, data may follow. */
static bool goes_on(const struct insn *in)
{
	return in->encoding != INSN_LEGACY || in->map != 0 ||
	       (in->opcode != 0xe9 && in->opcode != 0xeb && in->opcode != 0xc3 && in->opcode != 0xc2 &&
		!(in->opcode == 0xff && (in->modrm >> 3 & 7) >= 4));
}

/*
 * The n-th long NOP in reach, among instructions decoded from start on; *n counts down. Up to known they are known to
 * be instructions; behind that only padding is.
 */
static bool find_nop(struct repair *r, struct candidate *c, const struct spot *spot, uint64_t start, uint64_t end,
		     uint64_t known, unsigned *n)
{
	struct spot at;
	bool more = known != 0 || goes_on(&spot->in);

	for (uint64_t vaddr = start; more && vaddr < end && r->work < WORK_OF_PLAN && spot_at(r, &at, vaddr);
	     vaddr += at.in.len) {
		if (known == 0) {
			more = goes_on(&at.in);
		} else if (vaddr >= known && !repair_is_nop(&at.in, at.bytes)) {
			return false;
		}
		if (at.in.len >= NOP_LEN && in_reach(spot, vaddr + HOP_LEN) &&
		    repair_is_nop(&at.in, at.bytes) &&
		    !plan_touches(r, vaddr, at.in.len) && (*n)-- == 0) {
			hop_to_nop(c, spot, &at);
			return true;
		}
	}
	return false;
}

/* Do instructions from start on lead to the spot? */
static bool leads_to(struct repair *r, const struct spot *spot, uint64_t start)
{
	struct spot at;

	while (start < spot->vaddr && r->work < WORK_OF_PLAN && spot_at(r, &at, start)) {
		start += at.in.len;
	}
	return start == spot->vaddr;
}

/* The n-th place for a jump in a gap between functions filled with int3, which nobody runs. */
static bool find_gap(struct repair *r, struct candidate *c, const struct spot *spot, const struct repair_area *gap,
		     unsigned *n)
{
	unsigned run = 0;
	uint64_t low = spot->vaddr < HOP_REACH + 1 ? 0 : spot->vaddr - HOP_REACH - 1, high = spot->vaddr + 2 * HOP_REACH;
	uint8_t byte;

	low = low > gap->start ? low : gap->start;
	high = high < gap->end ? high : gap->end;
	for (uint64_t at = low; at < high; at++) {
		if (repair_read(r, at, &byte, 1) != 1 || byte != INT3) {
			run = 0;
			continue;
		}
		if (++run < JUMP_LEN || !in_reach(spot, at + 1 - JUMP_LEN) ||
		    plan_touches(r, at + 1 - JUMP_LEN, JUMP_LEN)) {
			continue;
		}
		run = 0;
		if ((*n)-- == 0) {
			hop_to(c, spot, at + 1 - JUMP_LEN);
			c->edits[1] = (struct site_edit){.vaddr = at + 1 - JUMP_LEN, .len = JUMP_LEN,
							 .keep_from = JUMP_LEN, .bytes = {0xe9}, .fix_at = 1,
							 .fix_end = JUMP_LEN};
			return true;
		}
	}
	return false;
}

static bool route_hop(struct repair *r, struct candidate *c, const struct spot *spot, const struct repair_stray *stray,
		      unsigned n)
{
	uint64_t from = stray->code_start, end = spot->vaddr + HOP_LEN + HOP_REACH;
	uint64_t known = stray->gaps[1].start > spot->vaddr ? stray->gaps[1].start : 0;

	if (spot->in.len < HOP_LEN) {
		return false;
	}
	end = known != 0 && stray->gaps[1].end < end ? stray->gaps[1].end : end;
	if (find_nop(r, c, spot, spot->vaddr + spot->in.len, end, known, &n)) {
		return true;
	}
	if (from != 0 && from < spot->vaddr && spot->vaddr - from <= DECODE_MAX && leads_to(r, spot, from) &&
	    find_nop(r, c, spot, from, spot->vaddr, spot->vaddr, &n)) {
		return true;
	}
	return find_gap(r, c, spot, &stray->gaps[0], &n) || find_gap(r, c, spot, &stray->gaps[1], &n);
}

/* ---- punning --------------------------------------------------------------------------------- */

/* n prefixes that mean nothing, E9, and as many bytes of distance as fit; the others are the next instruction's. */
static bool route_pun(struct repair *r, struct candidate *c, const struct spot *spot, unsigned n)
{
	struct site_edit *e = &c->edits[0];
	uint8_t len = spot->in.len, edit_len = (uint8_t)(n + JUMP_LEN);
	unsigned free_bytes;
	uint64_t from = spot->vaddr + edit_len, window;
	const struct code code = {repair_read, r};
	uint32_t fixed = 0;
	int64_t low;

	if (len >= JUMP_LEN || n >= len) {
		return false;
	}
	free_bytes = len - n - 1;
	if (!code_bytes(&code, spot->vaddr + len, (uint8_t *)&fixed + free_bytes, 4 - free_bytes)) {
		return false;
	}
	*e = (struct site_edit){.vaddr = spot->vaddr, .len = edit_len, .keep_from = len, .fix_at = (uint8_t)(n + 1),
				.fix_end = edit_len};
	memset(e->bytes, 0x26, n);
	e->bytes[n] = 0xe9;
	c->nedits = 1;
	c->route = REPAIR_PUN;
	window = UINT64_C(1) << 8 * free_bytes;
	low = (int64_t)(int32_t)fixed;
	c->anywhere = false;
	c->low = from + (uint64_t)low;
	c->high = c->low + window - 1;
	return true;
}

/* ---- in which order -------------------------------------------------------------------------- */

/*
 * Code that leaves out a LOCK prefix jumps behind it. Any byte nearby that could be the last of such a short jump
 * counts.
 */
static bool entered_behind_lock(struct repair *r, const struct spot *spot)
{
	uint64_t start = spot->vaddr > 0x80 ? spot->vaddr - 0x80 : 0;
	uint8_t bytes[0x100 + LYCH_SEQUENCE_MAX];
	size_t got = 0;

	if (!spot->in.lock_f0) {
		return false;
	}
	/* the code may begin nearby */
	for (; start <= spot->vaddr; start++) {
		got = repair_read(r, start, bytes, sizeof(bytes));
		if (got > spot->vaddr - start) {
			break;
		}
	}
	for (size_t i = 0; i + 1 < got; i++) {
		uint64_t target = start + i + 2 + (uint64_t)(int64_t)(int8_t)bytes[i + 1];

		if (((bytes[i] & 0xf0) == 0x70 || bytes[i] == 0xeb) && target > spot->vaddr &&
		    target <= spot->vaddr + spot->in.opcode_off) {
			return true;
		}
	}
	return got == 0;
}

bool route_nth(struct repair *r, struct candidate *c, const struct spot *spot, const struct repair_stray *stray,
	       bool call, unsigned n)
{
	c->anywhere = true;
	if (entered_behind_lock(r, spot)) {
		return false;
	}
	if (call) {
		return route_call(c, spot, n);
	}
	if (spot->in.len >= JUMP_LEN) {
		return route_jump(c, spot, n);
	}
	return n < HOPS ? route_hop(r, c, spot, stray, n) : route_pun(r, c, spot, n - HOPS);
}
