/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans for every sequence in arbitrary code, with arbitrary beliefs about where instructions start.
 *
 * Input: 1 byte of flags (bits 0 to 3: which areas there are; 4: leave data; 5: pkey_set; 6: all of the domain's
 * classes; 7: a function's bounds are known), 1 byte that says what is believed about placements, then code.
 *
 * What must hold: every plan passes the check, and says of its trampolines how to unwind them; what is carried out
 * holds no sequence but those that were refused or left; a plan is made anew the same. And of a plan whose bytes somebody
 * changed: the check reads nothing outside, and what it lets pass makes no sequence that was not there before.
 */
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "repair_cfi.h"
#include "repair_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE UINT64_C(0x140000000)
#define HEAD 2
#define HITS_MAX 256

struct world {
	const uint8_t *bytes;
	size_t len;
	struct code code;
	struct repair_options options;
	uint8_t belief;
	bool function;
	struct hit hits[HITS_MAX];
	bool kept[HITS_MAX]; /* still there, and rightly */
	size_t nhits;
};

static void require(bool condition)
{
	if (!condition) {
		abort();
	}
}

static size_t read_code(void *ctx, uint64_t vaddr, void *buf, size_t len)
{
	const struct world *w = ctx;

	if (vaddr < BASE || vaddr - BASE >= w->len) {
		return 0;
	}
	if (len > w->len - (vaddr - BASE)) {
		len = w->len - (vaddr - BASE);
	}
	memcpy(buf, w->bytes + (vaddr - BASE), len);
	return len;
}

static int on_hit(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	struct world *w = ctx;

	w->hits[w->nhits++] = (struct hit){BASE + off, BASE + core, (uint8_t)len, cls};
	return w->nhits == HITS_MAX;
}

/* As place.c says, or as the input says. */
static void place(struct world *w, struct repair_stray *stray, size_t n)
{
	struct placement placement;
	const char *why;

	memset(stray, 0, sizeof(*stray));
	stray->hit = w->hits[n];
	stray->verdict = verdict_of(&stray->hit, NULL, 0, &w->code, &why);
	place_hit(&placement, &stray->hit, NULL, &w->code);
	stray->placement = placement.placement;
	stray->insn_vaddr = placement.insn_vaddr;
	stray->why = placement.why;
	stray->pages_hold_code = (w->belief & 0x80) == 0;
	if ((w->belief & 0x40) != 0) {
		stray->placement = (enum lych_placement)((w->belief + n) % LYCH_PLACE_COUNT);
		stray->insn_vaddr = stray->hit.vaddr - (w->belief >> 3 & 7);
	}
	if (w->function) {
		stray->code_start = BASE;
		stray->gaps[0] = (struct repair_area){BASE - 64, BASE};
		stray->gaps[1] = (struct repair_area){BASE + w->len / 2, BASE + w->len};
	}
}

static void plan_all(struct world *w, struct repair *r, bool first)
{
	require(repair_begin(r, &w->code, &w->options) == 0);
	for (size_t i = 0; i < w->nhits; i++) {
		struct repair_stray stray;
		struct repair_outcome out;

		place(w, &stray, i);
		require(repair_add(r, &stray, &out) == 0);
		require(out.why != NULL && (out.why[0] != '\0') == (out.kind == REPAIR_REFUSED));
		require(out.nedits <= 3 && repair_kind_name(out.kind) != NULL);
		if (first) {
			w->kept[i] = out.kind == REPAIR_REFUSED || out.kind == REPAIR_ACCEPTED ||
				     out.kind == REPAIR_LEFT || out.kind == REPAIR_NO_EXEC;
		}
	}
}

static bool is_kept(const struct world *w, uint64_t core)
{
	for (size_t i = 0; i < w->nhits; i++) {
		if (w->hits[i].core == core) {
			return w->kept[i];
		}
	}
	return w->nhits == HITS_MAX; /* not all of them were planned for */
}

static int on_rest(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	(void)off;
	(void)len;
	(void)cls;
	require(is_kept(ctx, BASE + core));
	return 0;
}

static void check_result(struct world *w, struct repair *r)
{
	struct repair_plan plan = repair_plan_of(r);
	uint8_t *after = malloc(w->len == 0 ? 1 : w->len);
	uint64_t at;

	require(after != NULL);
	require(repair_check(&plan, &w->code, &at) == NULL);
	for (size_t i = 0; i < plan.ntrampolines; i++) {
		require(repair_steps_valid(&plan.trampolines[i]));
	}
	require(repair_read(r, BASE, after, w->len) == w->len);
	require(pattern_scan(after, w->len, w->options.classes, on_rest, w) == 0);
	free(after);
}

/* ---- a plan that cannot be trusted ------------------------------------------------------------ */

static int on_spoiled(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	const struct world *w = ctx;
	enum lych_class old_cls;
	size_t old_off, old_len;

	(void)off;
	(void)len;
	require(pattern_at(w->bytes, w->len, core, w->options.classes, &old_off, &old_len, &old_cls) && old_cls == cls);
	return 0;
}

static int on_trampoline(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	(void)ctx;
	(void)off;
	(void)core;
	(void)len;
	require(cls == LYCH_XRSTOR); /* its check: place_fuzz.c */
	return 0;
}

static void spoil(struct world *w, struct repair *r)
{
	struct repair_plan plan = repair_plan_of(r);
	size_t edit_bytes = r->nedits * sizeof(*r->edits), tramp_bytes = r->ntrampolines * sizeof(*r->trampolines);
	uint8_t *after = malloc(w->len == 0 ? 1 : w->len);
	uint64_t at;

	require(after != NULL);
	for (size_t i = 0; i + 3 < w->len && i < 16; i += 4) {
		size_t where = w->bytes[i] | (size_t)w->bytes[i + 1] << 8;

		if ((w->bytes[i + 2] & 1) != 0 && edit_bytes != 0) {
			((uint8_t *)r->edits)[where % edit_bytes] ^= w->bytes[i + 3];
		} else if (tramp_bytes != 0) {
			((uint8_t *)r->trampolines)[where % tramp_bytes] ^= w->bytes[i + 3];
		}
	}
	if (repair_check(&plan, &w->code, &at) == NULL) {
		memcpy(after, w->bytes, w->len);
		for (size_t i = 0; i < plan.nedits; i++) {
			require(plan.edits[i].vaddr - BASE < w->len && plan.edits[i].len <= w->len);
			memcpy(after + (plan.edits[i].vaddr - BASE), plan.edits[i].new_bytes, plan.edits[i].len);
		}
		require(pattern_scan(after, w->len, w->options.classes, on_spoiled, w) == 0);
		for (size_t i = 0; i < plan.ntrampolines; i++) {
			require(pattern_scan(plan.trampolines[i].code, plan.trampolines[i].len, w->options.classes,
					     on_trampoline, w) == 0);
		}
	}
	free(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct repair first, again;
	uint8_t *exact;

	if (size < HEAD) {
		return 0;
	}
	memset(&w, 0, sizeof(w));
	/* a copy of exactly that size, so that a read outside is seen */
	w.len = size - HEAD;
	exact = malloc(w.len == 0 ? 1 : w.len);
	require(exact != NULL);
	memcpy(exact, data + HEAD, w.len);
	w.bytes = exact;
	w.code = (struct code){read_code, &w};
	w.belief = data[1];
	w.function = (data[0] & 0x80) != 0;
	w.options.classes = (data[0] & 0x40) != 0 ? LYCH_POLICY_DOMAIN : LYCH_POLICY_PKRU;
	w.options.leave_data = (data[0] & 0x10) != 0;
	w.options.pkey_set = (data[0] & 0x20) != 0 ? UINT64_C(0x7f0123456789) : 0;
	if ((data[0] & 1) != 0) {
		w.options.areas[w.options.nareas++] = (struct repair_area){BASE + 0x1000000, BASE + 0x1001000};
	}
	if ((data[0] & 2) != 0) {
		w.options.areas[w.options.nareas++] = (struct repair_area){BASE + 0x2000000, BASE + 0x7f000000};
	}
	if ((data[0] & 4) != 0) {
		w.options.areas[w.options.nareas++] = (struct repair_area){BASE - 0x7f000000, BASE - 0x10000};
	}
	if ((data[0] & 8) != 0) {
		w.options.areas[w.options.nareas++] = (struct repair_area){BASE + w.len, BASE + w.len + 64};
	}
	(void)pattern_scan(w.bytes, w.len, w.options.classes, on_hit, &w);
	plan_all(&w, &first, true);
	check_result(&w, &first);
	plan_all(&w, &again, false);
	require(first.nedits == again.nedits && first.ntrampolines == again.ntrampolines);
	for (size_t i = 0; i < first.nedits; i++) {
		require(memcmp(&first.edits[i], &again.edits[i], sizeof(first.edits[i])) == 0);
	}
	spoil(&w, &again);
	repair_end(&first);
	repair_end(&again);
	free(exact);
	return 0;
}
