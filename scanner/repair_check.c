/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "pattern.h"
#include "repair_check.h"

#define MARGIN (LYCH_SEQUENCE_MAX - 1u)
#define WINDOW (REPAIR_CODE_BYTES + 2 * MARGIN)
#define PAGE UINT64_C(4096)
#define INT3 0xcc

struct check {
	const struct repair_plan *plan;
	const struct code *code;
	uint64_t at;
};

/* ---- finding things -------------------------------------------------------------------------- */

/* The first edit that ends above vaddr; they are known to be ascending and disjoint by then. */
static size_t edit_from(const struct repair_plan *plan, uint64_t vaddr)
{
	size_t low = 0, high = plan->nedits;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (plan->edits[mid].vaddr + plan->edits[mid].len <= vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low;
}

static const struct repair_edit *edit_at(const struct repair_plan *plan, uint64_t vaddr)
{
	size_t i = edit_from(plan, vaddr);

	return i < plan->nedits && plan->edits[i].vaddr <= vaddr ? &plan->edits[i] : NULL;
}

static const struct repair_trampoline *trampoline_at(const struct repair_plan *plan, uint64_t vaddr)
{
	size_t low = 0, high = plan->ntrampolines;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (plan->trampolines[mid].vaddr < vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low < plan->ntrampolines && plan->trampolines[low].vaddr == vaddr ? &plan->trampolines[low] : NULL;
}

/* Where the branch or RIP-relative operand in bytes, which stand at vaddr, leads. */
static uint64_t target_of(const struct insn *in, const uint8_t *bytes, uint64_t vaddr)
{
	unsigned off = in->relative ? in->imm_off : in->disp_off;
	unsigned len = in->relative ? in->imm_len : in->disp_len;
	int32_t rel;

	if (len == 1) {
		return vaddr + in->len + (uint64_t)(int64_t)(int8_t)bytes[off];
	}
	memcpy(&rel, bytes + off, sizeof(rel));
	return vaddr + in->len + (uint64_t)(int64_t)rel;
}

/* ---- edits ----------------------------------------------------------------------------------- */

static size_t last_change(const struct repair_edit *e)
{
	size_t n = e->len;

	while (n > 0 && e->old_bytes[n - 1] == e->new_bytes[n - 1]) {
		n--;
	}
	return n;
}

/*
 * The instruction of the original that holds all that changes, or padding of int3 that does: its end. 0 when it does
 * not decode, or when more than one instruction would change: a thread may stand between two.
 */
static size_t old_run(const struct check *c, const struct repair_edit *e)
{
	uint8_t bytes[REPAIR_EDIT_BYTES + LYCH_SEQUENCE_MAX];
	size_t changed = last_change(e), at = 0, got = 0, more = 1;
	bool padding = e->old_bytes[0] == INT3;
	struct insn in;

	while (got < sizeof(bytes) && more != 0) {
		more = c->code->read(c->code->ctx, e->vaddr + got, bytes + got, sizeof(bytes) - got);
		got += more;
	}
	while (at < changed) {
		if (!insn_decode(&in, bytes + at, got - at) || (at > 0 && !(padding && bytes[at] == INT3))) {
			return 0;
		}
		at += in.len;
	}
	return at;
}

/* May a branch in an edit lead to target? To a trampoline, to a jump to one in another edit, or behind itself. */
static bool may_lead_to(const struct check *c, const struct repair_edit *e, uint64_t target)
{
	const struct repair_edit *other = edit_at(c->plan, target);
	size_t off;
	int32_t rel;

	if (trampoline_at(c->plan, target) != NULL || target == e->vaddr + e->len) {
		return true;
	}
	if (other == NULL) {
		return false;
	}
	off = (size_t)(target - other->vaddr);
	if (off + 5 > other->len || other->new_bytes[off] != 0xe9) {
		return false;
	}
	memcpy(&rel, other->new_bytes + off + 1, sizeof(rel));
	return trampoline_at(c->plan, target + 5 + (uint64_t)(int64_t)rel) != NULL;
}

/* The new bytes: instructions up to the end of the change, of which those that branch lead where they may. */
static const char *check_new(const struct check *c, const struct repair_edit *e, size_t run)
{
	size_t at = 0, end = run < e->len ? run : e->len;
	struct insn in, old;

	while (at < end) {
		const uint8_t *bytes = e->new_bytes + at;

		if (*bytes == INT3) {
			at++;
			continue;
		}
		if (!insn_decode(&in, bytes, e->len - at)) {
			return "an edit is not made of whole instructions";
		}
		if (in.relative) {
			uint64_t target = target_of(&in, bytes, e->vaddr + at);
			bool same = at == 0 && insn_decode(&old, e->old_bytes, e->len) && old.relative &&
				    target_of(&old, e->old_bytes, e->vaddr) == target;

			if (!same && !may_lead_to(c, e, target)) {
				return "a branch in an edit leads somewhere else than to a trampoline";
			}
		}
		at += in.len;
	}
	/* A punned jump ends within the next instruction, whose bytes it does not change. */
	return at >= end && (at <= run || at == e->len) ? NULL : "an edit does not end with an instruction";
}

static const char *check_edits(struct check *c)
{
	uint8_t now[REPAIR_EDIT_BYTES];
	uint64_t end = 0;

	for (size_t i = 0; i < c->plan->nedits; i++) {
		const struct repair_edit *e = &c->plan->edits[i];

		c->at = e->vaddr;
		if (e->len == 0 || e->len > REPAIR_EDIT_BYTES || e->vaddr + e->len < e->vaddr ||
		    (i > 0 && e->vaddr < end)) {
			return "edits are empty, too long, out of order or lie over each other";
		}
		end = e->vaddr + e->len;
		if (!code_bytes(c->code, e->vaddr, now, e->len)) {
			return "an edit is not within the code";
		}
		if (memcmp(now, e->old_bytes, e->len) != 0) {
			return "the code is not what the edit says it was";
		}
	}
	for (size_t i = 0; i < c->plan->nedits; i++) {
		const struct repair_edit *e = &c->plan->edits[i];
		size_t run = old_run(c, e);
		const char *why;

		c->at = e->vaddr;
		if (last_change(e) == 0 || run == 0) {
			return "an edit changes nothing, or bytes that are not one instruction";
		}
		why = check_new(c, e, run);
		if (why != NULL) {
			return why;
		}
	}
	return NULL;
}

/* ---- trampolines ----------------------------------------------------------------------------- */

static bool in_area(const struct repair_plan *plan, const struct repair_trampoline *t)
{
	for (size_t i = 0; i < plan->nareas; i++) {
		if (t->vaddr >= plan->areas[i].start && t->vaddr < plan->areas[i].end &&
		    plan->areas[i].end - t->vaddr >= t->len) {
			return true;
		}
	}
	return false;
}

/* Is off the first byte of an instruction of t? */
static bool starts_instruction(const struct repair_trampoline *t, uint64_t off)
{
	struct insn in;
	size_t at = 0;

	while (at < off && at < t->len && insn_decode(&in, t->code + at, t->len - at)) {
		at += in.len;
	}
	return at == off && off < t->len;
}

/* Where t stands for an instruction: it, as it was. */
static bool original(const struct check *c, const struct repair_trampoline *t, struct insn *in, uint8_t *bytes)
{
	size_t got = 0, more = 1;

	while (got < LYCH_SEQUENCE_MAX && more != 0) {
		more = c->code->read(c->code->ctx, t->site + got, bytes + got, LYCH_SEQUENCE_MAX - got);
		got += more;
	}
	return insn_decode(in, bytes, got);
}

static const char *check_code(const struct check *c, const struct repair_trampoline *t)
{
	uint8_t old_bytes[LYCH_SEQUENCE_MAX];
	struct insn old, in;
	size_t at = 0, end = t->len;

	if (!original(c, t, &old, old_bytes) || edit_at(c->plan, t->site) == NULL) {
		return "a trampoline stands for no instruction that an edit changes";
	}
	if (t->resume != t->site + old.len) {
		return "a trampoline does not go on behind its instruction";
	}
	if (t->absolute != 0) {
		static const uint8_t jump[] = {0xff, 0x25, 0x00, 0x00, 0x00, 0x00};

		return t->absolute == c->plan->pkey_set && t->len == sizeof(jump) + 8 &&
				       memcmp(t->code, jump, sizeof(jump)) == 0 &&
				       memcmp(t->code + sizeof(jump), &t->absolute, 8) == 0
			       ? NULL
			       : "a trampoline leads to an address that nobody allowed";
	}
	while (at < end) {
		uint64_t target;

		if (!insn_decode(&in, t->code + at, end - at)) {
			return "a trampoline is not made of whole instructions";
		}
		if (in.relative || in.rip_relative) {
			target = target_of(&in, t->code + at, t->vaddr + at);
			if (!((in.relative == old.relative && in.rip_relative == old.rip_relative &&
			       target_of(&old, old_bytes, t->site) == target) ||
			      (in.relative && (target == t->resume ||
					       (target > t->vaddr + at && starts_instruction(t, target - t->vaddr)) ||
					       (old.relative && target_of(&old, old_bytes, t->site) == target))))) {
				return "a trampoline leads somewhere that its instruction did not";
			}
		}
		at += in.len;
	}
	return NULL;
}

static const char *check_trampolines(struct check *c)
{
	uint8_t byte;

	for (size_t i = 0; i < c->plan->ntrampolines; i++) {
		const struct repair_trampoline *t = &c->plan->trampolines[i];
		const char *why;

		c->at = t->vaddr;
		if (t->len == 0 || t->len > REPAIR_CODE_BYTES || !in_area(c->plan, t) ||
		    (i > 0 && t->vaddr <= t[-1].vaddr + t[-1].len)) {
			return "trampolines are empty, outside their area, out of order or next to each other";
		}
		if (c->code->read(c->code->ctx, t->vaddr, &byte, 1) != 0 ||
		    c->code->read(c->code->ctx, t->vaddr + t->len - 1, &byte, 1) != 0) {
			return "a trampoline lies in the code";
		}
		why = check_code(c, t);
		if (why != NULL) {
			return why;
		}
	}
	return NULL;
}

/* ---- sequences ------------------------------------------------------------------------------- */

struct window {
	const struct check *check;
	uint64_t vaddr;
	size_t len;
	uint8_t bytes[WINDOW];
	const struct repair_trampoline *trampoline; /* NULL: around an edit */
};

static size_t read_window(void *ctx, uint64_t vaddr, void *buf, size_t len)
{
	const struct window *w = ctx;

	if (vaddr - w->vaddr >= w->len) {
		return 0;
	}
	len = len < w->len - (size_t)(vaddr - w->vaddr) ? len : w->len - (size_t)(vaddr - w->vaddr);
	memcpy(buf, w->bytes + (vaddr - w->vaddr), len);
	return len;
}

/* A sequence in what comes out: only where it stood before, untouched, or as an XRSTOR that is checked. */
static int acceptable(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	struct window *w = ctx;
	const struct code code = {read_window, w};
	struct hit hit = {w->vaddr + off, w->vaddr + core, (uint8_t)len, cls};
	const struct repair_plan *plan = w->check->plan;
	const char *why;
	size_t i;

	if (w->trampoline != NULL) {
		const struct repair_trampoline *t = w->trampoline;

		/* its neighbours have their own turn */
		if (hit.vaddr >= t->vaddr + t->len || hit.vaddr + len <= t->vaddr) {
			return 0;
		}
		return cls != LYCH_XRSTOR || verdict_of(&hit, NULL, 0, &code, &why) != LYCH_VERDICT_CHECKED;
	}
	for (i = edit_from(plan, hit.vaddr); i < plan->nedits && plan->edits[i].vaddr < hit.vaddr + len; i++) {
		const struct repair_edit *e = &plan->edits[i];

		for (size_t k = 0; k < e->len; k++) {
			if (e->vaddr + k - hit.vaddr < len && e->old_bytes[k] != e->new_bytes[k]) {
				return 1;
			}
		}
	}
	return 0;
}

/* As much as there is from MARGIN bytes before to MARGIN bytes behind, with all edits. */
static void fill(struct window *w, uint64_t vaddr, size_t len)
{
	const struct check *c = w->check;
	uint64_t start = vaddr < MARGIN ? 0 : vaddr - MARGIN;
	size_t got = 0;

	for (; start < vaddr; start++) {
		if (code_bytes(c->code, start, w->bytes, (size_t)(vaddr - start) + len)) {
			break;
		}
	}
	w->vaddr = start;
	while (got < (size_t)(vaddr - start) + len + MARGIN) {
		size_t more = c->code->read(c->code->ctx, start + got, w->bytes + got,
					    (size_t)(vaddr - start) + len + MARGIN - got);

		if (more == 0) {
			break;
		}
		got += more;
	}
	w->len = got;
	for (size_t i = edit_from(c->plan, start); i < c->plan->nedits && c->plan->edits[i].vaddr < start + got; i++) {
		const struct repair_edit *e = &c->plan->edits[i];

		for (size_t k = 0; k < e->len; k++) {
			if (e->vaddr + k - start < got) {
				w->bytes[e->vaddr + k - start] = e->new_bytes[k];
			}
		}
	}
}

/* Trampolines have at least a byte between them: with all of it around one there is enough to see. */
static void fill_area(struct window *w, const struct repair_trampoline *t)
{
	const struct repair_plan *plan = w->check->plan;
	const struct repair_trampoline *end = plan->trampolines + plan->ntrampolines, *from = t;

	w->vaddr = t->vaddr - MARGIN;
	w->len = t->len + 2 * MARGIN;
	memset(w->bytes, INT3, w->len);
	while (from > plan->trampolines && from[-1].vaddr + from[-1].len > w->vaddr) {
		from--;
	}
	for (; from < end && from->vaddr < t->vaddr + t->len + MARGIN; from++) {
		for (size_t k = 0; k < from->len; k++) {
			if (from->vaddr + k - w->vaddr < w->len) {
				w->bytes[from->vaddr + k - w->vaddr] = from->code[k];
			}
		}
	}
}

static const char *check_sequences(struct check *c)
{
	struct window w = {.check = c};

	for (size_t i = 0; i < c->plan->nedits; i++) {
		c->at = c->plan->edits[i].vaddr;
		fill(&w, c->at, c->plan->edits[i].len);
		if (pattern_scan(w.bytes, w.len, c->plan->classes, acceptable, &w) != 0) {
			return "a sequence is in what an edit makes";
		}
	}
	for (size_t i = 0; i < c->plan->ntrampolines; i++) {
		c->at = c->plan->trampolines[i].vaddr;
		w.trampoline = &c->plan->trampolines[i];
		fill_area(&w, w.trampoline);
		if (pattern_scan(w.bytes, w.len, c->plan->classes, acceptable, &w) != 0) {
			return "a sequence is in a trampoline";
		}
	}
	return NULL;
}

static const char *check_pages(struct check *c)
{
	for (size_t i = 0; i < c->plan->nno_exec; i++) {
		const struct repair_area *pages = &c->plan->no_exec[i];
		size_t edit;

		c->at = pages->start;
		if (pages->start >= pages->end || (pages->start | pages->end) % PAGE != 0) {
			return "what is to lose the right to execute is not whole pages";
		}
		if (i > 0 && pages->start < pages[-1].end) {
			return "pages that are to lose the right to execute are out of order or named twice";
		}
		edit = edit_from(c->plan, pages->start);
		if (edit < c->plan->nedits && c->plan->edits[edit].vaddr < pages->end) {
			return "an edit is on a page that is to lose the right to execute";
		}
	}
	return NULL;
}

struct repair_plan repair_plan_of(const struct repair *r)
{
	return (struct repair_plan){r->edits,
				    r->nedits,
				    r->trampolines,
				    r->ntrampolines,
				    r->no_exec,
				    r->nno_exec,
				    r->options.areas,
				    r->options.nareas,
				    r->options.classes,
				    r->options.pkey_set};
}

const char *repair_check(const struct repair_plan *plan, const struct code *code, uint64_t *at)
{
	struct check c = {plan, code, 0};
	const char *why = check_edits(&c);

	if (why == NULL) {
		why = check_trampolines(&c);
	}
	if (why == NULL) {
		why = check_pages(&c);
	}
	if (why == NULL) {
		why = check_sequences(&c);
	}
	*at = c.at;
	return why;
}
