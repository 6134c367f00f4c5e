/* SPDX-License-Identifier: Apache-2.0 */
/* Where trampolines go, and whether what comes out still holds a sequence. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "repair_parts.h"

/* Bytes around a change that can be part of a sequence with it. */
#define MARGIN (LYCH_SEQUENCE_MAX - 1u)
#define WINDOW_BYTES (REPAIR_CODE_BYTES + 2 * MARGIN)
/* At the ends of an area: what lies next to it may be executable, too. */
#define AREA_EDGE 16
#define SLOT INT64_C(8)
#define TRIES_NEAR 64u
#define TRIES_FAR 64u
#define REACH (INT64_C(0x7ffff000))
#define INT3 0xcc

/* ---- what is planned so far ------------------------------------------------------------------ */

int repair_begin(struct repair *r, const struct code *code, const struct repair_options *options)
{
	memset(r, 0, sizeof(*r));
	if (options->nareas > REPAIR_AREAS || (options->classes & ~LYCH_ALL_CLASSES) != 0) {
		return -EINVAL;
	}
	for (size_t i = 0; i < options->nareas; i++) {
		if (options->areas[i].start > options->areas[i].end) {
			return -EINVAL;
		}
		r->cursor[i] = options->areas[i].start;
	}
	r->options = *options;
	r->code = code;
	return 0;
}

void repair_end(struct repair *r)
{
	free(r->edits);
	free(r->trampolines);
	free(r->no_exec);
	memset(r, 0, sizeof(*r));
}

/* The first edit that ends above vaddr. */
static size_t edit_from(const struct repair *r, uint64_t vaddr)
{
	size_t low = 0, high = r->nedits;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->edits[mid].vaddr + r->edits[mid].len <= vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low;
}

bool plan_touches(const struct repair *r, uint64_t vaddr, size_t len)
{
	size_t i = edit_from(r, vaddr);

	return i < r->nedits && r->edits[i].vaddr < vaddr + len;
}

/* The first of the pages that lose the right to execute that ends at or above vaddr. */
static size_t no_exec_from(const struct repair *r, uint64_t vaddr)
{
	size_t low = 0, high = r->nno_exec;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->no_exec[mid].end < vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low;
}

static bool plan_forbids(const struct repair *r, uint64_t vaddr, size_t len)
{
	size_t i = no_exec_from(r, vaddr + 1);

	return i < r->nno_exec && r->no_exec[i].start < vaddr + len;
}

static size_t trampoline_from(const struct repair *r, uint64_t vaddr)
{
	size_t low = 0, high = r->ntrampolines;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->trampolines[mid].vaddr + r->trampolines[mid].len <= vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low;
}

/* Copies the part of [from, from + n) that lies in [vaddr, vaddr + len) to buf. */
static void overlay(uint8_t *buf, uint64_t vaddr, size_t len, uint64_t from, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (from + i - vaddr < len) {
			buf[from + i - vaddr] = bytes[i];
		}
	}
}

static const struct repair_area *area_of(const struct repair *r, uint64_t vaddr)
{
	for (size_t i = 0; i < r->options.nareas; i++) {
		if (vaddr >= r->options.areas[i].start && vaddr < r->options.areas[i].end) {
			return &r->options.areas[i];
		}
	}
	return NULL;
}

size_t repair_read(void *repair, uint64_t vaddr, void *buf, size_t len)
{
	const struct repair *r = repair;
	const struct repair_area *area = area_of(r, vaddr);
	size_t got;

	if (area != NULL) {
		got = area->end - vaddr < len ? (size_t)(area->end - vaddr) : len;
		memset(buf, INT3, got);
		for (size_t i = trampoline_from(r, vaddr); i < r->ntrampolines; i++) {
			const struct repair_trampoline *t = &r->trampolines[i];

			if (t->vaddr >= vaddr + got) {
				break;
			}
			overlay(buf, vaddr, got, t->vaddr, t->code, t->len);
		}
		return got;
	}
	got = r->code->read(r->code->ctx, vaddr, buf, len);
	for (size_t i = edit_from(r, vaddr); i < r->nedits && r->edits[i].vaddr < vaddr + got; i++) {
		overlay(buf, vaddr, got, r->edits[i].vaddr, r->edits[i].new_bytes, r->edits[i].len);
	}
	return got;
}

bool spot_at(struct repair *r, struct spot *spot, uint64_t vaddr)
{
	size_t got = repair_read(r, vaddr, spot->bytes, sizeof(spot->bytes));

	spot->vaddr = vaddr;
	r->work++;
	return insn_decode(&spot->in, spot->bytes, got);
}

/* ---- sequences before and after -------------------------------------------------------------- */

struct window {
	uint64_t vaddr;
	size_t len;
	uint8_t bytes[WINDOW_BYTES];
};

/* All there is from MARGIN bytes before vaddr to MARGIN bytes behind [vaddr, vaddr + len). False: not even that. */
static bool window_around(struct repair *r, struct window *w, uint64_t vaddr, size_t len)
{
	uint64_t start = vaddr < MARGIN ? 0 : vaddr - MARGIN;

	for (; start <= vaddr; start++) {
		size_t want = (size_t)(vaddr - start) + len + MARGIN, got = 0, more = 1;

		while (got < want && more != 0) {
			more = repair_read(r, start + got, w->bytes + got, want - got);
			got += more;
		}
		if (got >= (size_t)(vaddr - start) + len) {
			w->vaddr = start;
			w->len = got;
			return true;
		}
	}
	return false;
}

static void apply(struct window *w, const struct candidate *c)
{
	for (size_t i = 0; i < c->nedits; i++) {
		overlay(w->bytes, w->vaddr, w->len, c->edits[i].vaddr, c->edits[i].bytes, c->edits[i].len);
	}
}

struct compare {
	const struct repair *r;
	const struct window *before, *after;
};

/*
 * Was there the same sequence, byte for byte, at the same place before? One of the same class with another operand
 * would not be new, but it would be of our making.
 */
static int was_there(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	const struct compare *compare = ctx;
	size_t old_off, old_len;
	enum lych_class old_cls;

	return !pattern_at(compare->before->bytes, compare->before->len, core, compare->r->options.classes, &old_off,
			   &old_len, &old_cls) ||
	       old_cls != cls || memcmp(compare->before->bytes + off, compare->after->bytes + off, len) != 0;
}

/* Nothing new around any edit, and the one at core is gone. */
static bool edits_are_clean(struct repair *r, const struct candidate *c, uint64_t core)
{
	struct window before, after;
	struct compare compare = {r, &before, &after};
	size_t off, len;
	enum lych_class cls;

	for (size_t i = 0; i < c->nedits; i++) {
		if (!window_around(r, &before, c->edits[i].vaddr, c->edits[i].len)) {
			return false;
		}
		after = before;
		apply(&after, c);
		if (pattern_scan(after.bytes, after.len, r->options.classes, was_there, &compare) != 0) {
			return false;
		}
	}
	if (!window_around(r, &after, core, 1)) {
		return false;
	}
	apply(&after, c);
	return !pattern_at(after.bytes, after.len, core - after.vaddr, r->options.classes, &off, &len, &cls);
}

static size_t read_window(void *ctx, uint64_t vaddr, void *buf, size_t len)
{
	const struct window *w = ctx;

	if (vaddr < w->vaddr || vaddr - w->vaddr >= w->len) {
		return 0;
	}
	len = len < w->len - (vaddr - w->vaddr) ? len : (size_t)(w->len - (vaddr - w->vaddr));
	memcpy(buf, w->bytes + (vaddr - w->vaddr), len);
	return len;
}

struct inside {
	struct window *w;
	const struct repair_trampoline *t;
	bool may_check;
};

static int is_checked(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	const struct inside *inside = ctx;
	const struct code code = {read_window, inside->w};
	struct hit hit = {inside->w->vaddr + off, inside->w->vaddr + core, (uint8_t)len, cls};
	const char *why;

	/* Its neighbours were looked at when they were placed. */
	if (hit.vaddr >= inside->t->vaddr + inside->t->len || hit.vaddr + len <= inside->t->vaddr) {
		return 0;
	}
	return !inside->may_check || verdict_of(&hit, NULL, 0, &code, &why) != LYCH_VERDICT_CHECKED;
}

static bool trampoline_is_clean(struct repair *r, const struct candidate *c)
{
	const struct repair_trampoline *t = &c->trampoline;
	struct window w;
	struct inside inside = {&w, t, c->kind == REPAIR_CHECKED};

	if (!window_around(r, &w, t->vaddr, t->len)) {
		return false;
	}
	overlay(w.bytes, w.vaddr, w.len, t->vaddr, t->code, t->len);
	return pattern_scan(w.bytes, w.len, r->options.classes, is_checked, &inside) == 0;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static bool put_rel32(uint8_t *at, uint64_t from, uint64_t target)
{
	int64_t distance = (int64_t)(target - from);
	int32_t rel = (int32_t)distance;

	memcpy(at, &rel, sizeof(rel));
	return rel == distance;
}

/* Fills in all that depends on the trampoline's address. */
static bool settle(struct candidate *c, uint64_t vaddr)
{
	struct repair_trampoline *t = &c->trampoline;

	t->vaddr = vaddr;
	for (size_t i = 0; i < t->nfixups; i++) {
		const struct repair_fixup *f = &t->fixups[i];

		if (!put_rel32(t->code + f->at, vaddr + f->end, f->target)) {
			return false;
		}
	}
	for (size_t i = 0; i < c->nedits; i++) {
		struct site_edit *e = &c->edits[i];

		if (e->fix_end != 0 && !put_rel32(e->bytes + e->fix_at, e->vaddr + e->fix_end, vaddr)) {
			return false;
		}
	}
	return true;
}

static bool keeps_next(struct repair *r, const struct candidate *c)
{
	for (size_t i = 0; i < c->nedits; i++) {
		const struct site_edit *e = &c->edits[i];
		uint8_t old[REPAIR_EDIT_BYTES];
		const struct code code = {repair_read, r};

		if (!code_bytes(&code, e->vaddr, old, e->len) ||
		    memcmp(old + e->keep_from, e->bytes + e->keep_from, (size_t)(e->len - e->keep_from)) != 0) {
			return false;
		}
	}
	return true;
}

static bool is_free(const struct repair *r, uint64_t vaddr, size_t len)
{
	size_t i = trampoline_from(r, vaddr - 1);

	return i == r->ntrampolines || r->trampolines[i].vaddr > vaddr + len;
}

static bool fits(struct repair *r, struct candidate *c, uint64_t vaddr, uint64_t core)
{
	r->work += WORK_OF_PLACE;
	return is_free(r, vaddr, c->trampoline.len) && settle(c, vaddr) && keeps_next(r, c) &&
	       trampoline_is_clean(r, c) && edits_are_clean(r, c, core);
}

/*
 * The part of an area from which all of c can be reached, and where it is wanted, as distances from the site: these
 * do not mind where the address space begins.
 */
static bool reachable(const struct repair_area *area, const struct candidate *c, int64_t *low, int64_t *high)
{
	uint64_t site = c->trampoline.site, len = c->trampoline.len;

	if (area->end - area->start < len + 2 * AREA_EDGE) {
		return false;
	}
	*low = (int64_t)(area->start + AREA_EDGE - site);
	*high = (int64_t)(area->end - AREA_EDGE - len - site);
	*low = *low > -REACH ? *low : -REACH;
	*high = *high < REACH ? *high : REACH;
	if (!c->anywhere) {
		int64_t from = (int64_t)(c->low - site), to = (int64_t)(c->high - site);

		*low = *low > from ? *low : from;
		*high = *high < to ? *high : to;
	}
	return *low <= *high;
}

static bool find_place(struct repair *r, struct candidate *c, uint64_t core)
{
	uint64_t site = c->trampoline.site;

	for (size_t i = 0; i < r->options.nareas; i++) {
		int64_t low, high, at, step, cursor = (int64_t)(r->cursor[i] - site);

		if (!reachable(&r->options.areas[i], c, &low, &high)) {
			continue;
		}
		at = c->anywhere && cursor > low ? cursor : low;
		step = c->anywhere ? SLOT : (high - low) / (TRIES_NEAR + TRIES_FAR) + 1;
		for (unsigned n = 0; n < TRIES_NEAR + TRIES_FAR && at <= high && r->work < WORK_OF_PLAN; n++) {
			if (fits(r, c, site + (uint64_t)at, core)) {
				if (c->anywhere && n < TRIES_NEAR) {
					r->cursor[i] = (c->trampoline.vaddr + c->trampoline.len + (uint64_t)SLOT) & ~(uint64_t)(SLOT - 1);
				}
				return true;
			}
			/* Close by only the lowest byte of each distance changes. */
			step = c->anywhere && n >= TRIES_NEAR ? step * 2 + SLOT : step;
			if (step > high - at) {
				break;
			}
			at += step;
		}
	}
	return false;
}

bool plan_may_touch(const struct repair *r, uint64_t vaddr, size_t len)
{
	const struct repair_area *only = &r->options.only;

	return only->end == 0 || (vaddr >= only->start && vaddr < only->end && len <= only->end - vaddr);
}

/* ---- adding ---------------------------------------------------------------------------------- */

/* Makes room for one more at index i; NULL: no memory. *items has n of them. */
static void *insert(void **items, size_t n, size_t size, size_t i)
{
	char *moved;

	/* grows by doubling at powers of two */
	if ((n & (n - 1)) == 0) {
		void *more = reallocarray(*items, n == 0 ? 1 : n * 2, size);

		if (more == NULL) {
			return NULL;
		}
		*items = more;
	}
	moved = (char *)*items + i * size;
	memmove(moved + size, moved, (n - i) * size);
	return moved;
}

int plan_no_exec(struct repair *r, uint64_t start, uint64_t end)
{
	size_t i = no_exec_from(r, start), last = i;
	void *items = r->no_exec;
	struct repair_area *at;

	/* What it touches becomes one with it. */
	while (last < r->nno_exec && r->no_exec[last].start <= end) {
		start = start < r->no_exec[last].start ? start : r->no_exec[last].start;
		end = end > r->no_exec[last].end ? end : r->no_exec[last].end;
		last++;
	}
	if (last > i) {
		r->no_exec[i] = (struct repair_area){start, end};
		memmove(&r->no_exec[i + 1], &r->no_exec[last], (r->nno_exec - last) * sizeof(*r->no_exec));
		r->nno_exec -= last - i - 1;
		return 0;
	}
	at = insert(&items, r->nno_exec, sizeof(*r->no_exec), i);
	r->no_exec = items;
	if (at == NULL) {
		return -ENOMEM;
	}
	*at = (struct repair_area){start, end};
	r->nno_exec++;
	return 0;
}

static bool add_edit(struct repair *r, const struct site_edit *e, struct repair_outcome *out)
{
	struct repair_edit edit = {.vaddr = e->vaddr, .len = e->len};
	void *items = r->edits;
	struct repair_edit *at;

	if (!code_bytes(r->code, e->vaddr, edit.old_bytes, e->len)) {
		return false;
	}
	memcpy(edit.new_bytes, e->bytes, e->len);
	at = insert(&items, r->nedits, sizeof(edit), edit_from(r, e->vaddr));
	r->edits = items;
	if (at == NULL) {
		return false;
	}
	*at = edit;
	r->nedits++;
	out->edits[out->nedits++] = edit;
	return true;
}

static bool add_trampoline(struct repair *r, const struct repair_trampoline *t)
{
	void *items = r->trampolines;
	struct repair_trampoline *at = insert(&items, r->ntrampolines, sizeof(*t), trampoline_from(r, t->vaddr));

	r->trampolines = items;
	if (at == NULL) {
		return false;
	}
	*at = *t;
	r->ntrampolines++;
	return true;
}

static void remove_edits(struct repair *r, const struct repair_outcome *out)
{
	for (size_t i = 0; i < out->nedits; i++) {
		size_t at = edit_from(r, out->edits[i].vaddr);

		memmove(&r->edits[at], &r->edits[at + 1], (r->nedits - at - 1) * sizeof(*r->edits));
		r->nedits--;
	}
}

static int add_all(struct repair *r, const struct candidate *c, struct repair_outcome *out)
{
	out->nedits = 0;
	for (size_t i = 0; i < c->nedits; i++) {
		if (!add_edit(r, &c->edits[i], out)) {
			remove_edits(r, out);
			return -ENOMEM;
		}
	}
	if (c->has_trampoline) {
		if (!add_trampoline(r, &c->trampoline)) {
			remove_edits(r, out);
			return -ENOMEM;
		}
		out->trampoline = c->trampoline;
	}
	out->has_trampoline = c->has_trampoline;
	out->kind = c->kind;
	out->route = c->route;
	out->why = "";
	return 1;
}

int candidate_commit(struct repair *r, struct candidate *c, uint64_t core, struct repair_outcome *out)
{
	for (size_t i = 0; i < c->nedits; i++) {
		uint8_t bytes[REPAIR_EDIT_BYTES];

		if (c->edits[i].len > sizeof(bytes) || plan_touches(r, c->edits[i].vaddr, c->edits[i].len) ||
		    plan_forbids(r, c->edits[i].vaddr, c->edits[i].len) ||
		    !plan_may_touch(r, c->edits[i].vaddr, c->edits[i].len) ||
		    !code_bytes(r->code, c->edits[i].vaddr, bytes, c->edits[i].len)) {
			return 0;
		}
	}
	if (c->has_trampoline ? !find_place(r, c, core) : !edits_are_clean(r, c, core)) {
		return 0;
	}
	return add_all(r, c, out);
}
