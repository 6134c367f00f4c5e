/* SPDX-License-Identifier: Apache-2.0 */
/* What is tried for a sequence, and in which order. */
#include <errno.h>
#include <string.h>

#include "pattern.h"
#include "repair_parts.h"

#define PAGE UINT64_C(4096)
#define SPOTS_MAX LYCH_SEQUENCE_MAX

static const char *const kind_names[REPAIR_KIND_COUNT] = {
	[REPAIR_REFUSED] = "refused",       [REPAIR_ACCEPTED] = "accepted",     [REPAIR_GONE] = "gone",
	[REPAIR_REENCODED] = "re-encoded",  [REPAIR_RETARGETED] = "retargeted", [REPAIR_REBASED] = "re-based",
	[REPAIR_CALLED] = "call-rerouted",  [REPAIR_SPLIT] = "two-step",        [REPAIR_MOVED] = "moved",
	[REPAIR_CHECKED] = "check-added",   [REPAIR_TRAPPED] = "trapped",       [REPAIR_REPLACED] = "replaced",
	[REPAIR_NO_EXEC] = "no-execute",    [REPAIR_LEFT] = "left",         [REPAIR_NOT_LOADED] = "not-loaded",
};

const char *repair_kind_name(enum repair_kind kind)
{
	return (unsigned)kind < REPAIR_KIND_COUNT ? kind_names[kind] : NULL;
}

const char *repair_route_name(enum repair_route route)
{
	static const char *const names[] = {"in place", "jump", "hop", "pun"};

	return (unsigned)route < sizeof(names) / sizeof(names[0]) ? names[route] : NULL;
}

struct attempt {
	struct repair *r;
	const struct repair_stray *stray;
	struct repair_outcome *out;
	struct spot spots[SPOTS_MAX]; /* the instructions that hold a byte of the sequence */
	size_t nspots;
	bool had_body, had_route; /* for the reason of a refusal */
};

static int refuse(struct repair_outcome *out, const char *why)
{
	*out = (struct repair_outcome){.kind = REPAIR_REFUSED, .why = why};
	return 0;
}

static struct candidate new_candidate(enum repair_kind kind)
{
	return (struct candidate){.kind = kind, .anywhere = true};
}

/* ---- in place -------------------------------------------------------------------------------- */

static int replace_bytes(struct attempt *a, enum repair_kind kind, const struct spot *spot, const uint8_t *bytes)
{
	struct candidate c = new_candidate(kind);

	c.edits[0] = (struct site_edit){.vaddr = spot->vaddr, .len = spot->in.len, .keep_from = spot->in.len};
	memcpy(c.edits[0].bytes, bytes, spot->in.len);
	c.nedits = 1;
	return candidate_commit(a->r, &c, a->stray->hit.core, a->out);
}

static int try_encodings(struct attempt *a)
{
	uint8_t bytes[ENCODINGS_MAX][LYCH_SEQUENCE_MAX];

	for (size_t i = 0; i < a->nspots; i++) {
		size_t n = repair_encodings(bytes, &a->spots[i]);

		for (size_t k = 0; k < n; k++) {
			int rc = replace_bytes(a, REPAIR_REENCODED, &a->spots[i], bytes[k]);

			if (rc != 0) {
				return rc;
			}
		}
	}
	return 0;
}

/* ---- with a trampoline ----------------------------------------------------------------------- */

static struct candidate with_trampoline(enum repair_kind kind, const struct spot *spot)
{
	struct candidate c = new_candidate(kind);

	c.has_trampoline = true;
	c.trampoline.site = spot->vaddr;
	c.trampoline.resume = spot->vaddr + spot->in.len;
	return c;
}

/* CALL, JMP, Jcc (and XBEGIN) with rel32 lead to a jump that leads on. */
static int try_retarget(struct attempt *a)
{
	for (size_t i = 0; i < a->nspots; i++) {
		const struct spot *spot = &a->spots[i];
		const struct insn *in = &spot->in;
		struct candidate c = with_trampoline(REPAIR_RETARGETED, spot);
		struct site_edit *e = &c.edits[0];
		int32_t rel;
		int rc;

		/* With 66 alone Intel and AMD do not agree where it leads; calls of __tls_get_addr have REX.W, too. */
		if (!in->relative || in->imm_len != 4 || (in->opsize_66 && (in->rex & 8) == 0)) {
			continue;
		}
		memcpy(&rel, spot->bytes + in->imm_off, sizeof(rel));
		*e = (struct site_edit){.vaddr = spot->vaddr, .len = in->len, .keep_from = in->len,
					.fix_at = in->imm_off, .fix_end = in->len};
		memcpy(e->bytes, spot->bytes, in->len);
		c.nedits = 1;
		c.route = REPAIR_JUMP;
		emit_step(&c.trampoline, false, in->map == 0 && in->opcode == 0xe8 ? 8 : 0);
		emit_jmp(&c.trampoline, spot->vaddr + in->len + (uint64_t)(int64_t)rel);
		a->had_body = a->had_route = true;
		rc = candidate_commit(a->r, &c, a->stray->hit.core, a->out);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

/* Commits the trampoline in c, reached by any of the ways of which routes is a set; call: by a call. */
static int try_routes(struct attempt *a, const struct candidate *body, const struct spot *spot, unsigned routes,
		      bool call)
{
	a->had_body = true;
	for (unsigned n = 0; n < ROUTES; n++) {
		struct candidate c = *body;
		int rc;

		if (!route_nth(a->r, &c, spot, a->stray, call, n) || (routes >> c.route & 1) == 0) {
			continue;
		}
		a->had_route = true;
		rc = candidate_commit(a->r, &c, a->stray->hit.core, a->out);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

static int try_call(struct attempt *a, const struct spot *spot, unsigned routes)
{
	struct candidate c = with_trampoline(REPAIR_CALLED, spot);

	return body_call(&c.trampoline, spot) ? try_routes(a, &c, spot, routes, true) : 0;
}

static int try_move(struct attempt *a, const struct spot *spot, enum repair_kind kind, unsigned routes)
{
	struct candidate c = with_trampoline(kind, spot);

	return body_move(&c.trampoline, spot) ? try_routes(a, &c, spot, routes, false) : 0;
}

static int try_split(struct attempt *a, const struct spot *spot, unsigned routes)
{
	bool call = spot->in.encoding == INSN_LEGACY && spot->in.map == 0 && spot->in.opcode == 0xff &&
		    (spot->in.modrm >> 3 & 7) == 2;

	for (unsigned variant = 0; variant < BODY_SPLITS; variant++) {
		struct candidate c = with_trampoline(REPAIR_SPLIT, spot);
		int rc;

		if (!body_split(&c.trampoline, spot, variant)) {
			continue;
		}
		rc = try_routes(a, &c, spot, routes, call);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

#define ROUTE(route) (1u << (route))

/* First what five bytes of jump are enough for. */
static const unsigned route_order[] = {ROUTE(REPAIR_JUMP), ROUTE(REPAIR_HOP), ROUTE(REPAIR_PUN)};
#define ORDERS (sizeof(route_order) / sizeof(route_order[0]))

/* The sequence is within one instruction, or that cannot be kept as it is. */
static int try_inside(struct attempt *a, unsigned routes)
{
	int rc = 0;

	for (size_t i = 0; i < a->nspots && rc == 0; i++) {
		rc = try_call(a, &a->spots[i], routes);
		if (rc == 0 && a->spots[i].in.rip_relative) {
			rc = try_move(a, &a->spots[i], REPAIR_REBASED, routes);
		}
		if (rc == 0 && a->nspots == 1) {
			rc = try_split(a, &a->spots[i], routes);
		}
	}
	return rc;
}

/* One of the instructions goes away from the others. */
static int try_spanning(struct attempt *a, unsigned routes)
{
	int rc = 0;

	for (size_t i = 0; i < a->nspots && rc == 0; i++) {
		rc = try_move(a, &a->spots[i], REPAIR_MOVED, routes);
	}
	for (size_t i = 0; i < a->nspots && rc == 0; i++) {
		rc = try_split(a, &a->spots[i], routes);
	}
	return rc;
}

static const char *why_not(const struct attempt *a)
{
	bool may = false;

	for (size_t i = 0; i < a->nspots; i++) {
		may |= plan_may_touch(a->r, a->spots[i].vaddr, a->spots[i].in.len);
	}
	if (!may) {
		return "no instruction that holds it lies in the code that may be changed alone";
	}
	for (size_t i = 0; i < a->nspots; i++) {
		if (plan_touches(a->r, a->spots[i].vaddr, a->spots[i].in.len)) {
			return "the repair of another sequence needs bytes of the same instructions";
		}
	}
	if (!a->had_body) {
		return "no instruction that holds it can be done elsewhere";
	}
	if (!a->had_route) {
		return "its instructions are too short for a jump, and nothing near helps";
	}
	return a->r->options.nareas == 0 ? "needs a trampoline, and there is no room for one"
					 : "no edit and no place for a trampoline that holds no sequence itself";
}

static int plan_accidental(struct attempt *a)
{
	int rc = try_encodings(a);

	if (rc == 0) {
		rc = try_retarget(a);
	}
	for (size_t i = 0; i < ORDERS && rc == 0; i++) {
		rc = try_inside(a, route_order[i]);
		if (rc == 0 && a->nspots > 1) {
			rc = try_spanning(a, route_order[i]);
		}
	}
	if (rc == 0) {
		return refuse(a->out, why_not(a));
	}
	return rc < 0 ? rc : 0;
}

/* ---- put there on purpose -------------------------------------------------------------------- */

static int plan_xrstor(struct attempt *a)
{
	const struct spot *spot = &a->spots[0];
	struct candidate c = with_trampoline(REPAIR_CHECKED, spot);
	int rc = 0;

	if (spot->in.addrsize_67) {
		return refuse(a->out, "an XRSTOR with 32-bit addresses: in 32-bit mode no check behind it holds");
	}
	if (!body_xrstor(&c.trampoline, spot)) {
		return refuse(a->out, "an XRSTOR of a form that no compiler emits");
	}
	for (size_t i = 0; i < ORDERS && rc == 0; i++) {
		rc = try_routes(a, &c, spot, route_order[i], false);
	}
	if (rc == 0) {
		return refuse(a->out, why_not(a));
	}
	return rc < 0 ? rc : 0;
}

/* ud2 and what is left of the instruction as int3 */
static void trap_bytes(uint8_t bytes[LYCH_SEQUENCE_MAX])
{
	memset(bytes, 0xcc, LYCH_SEQUENCE_MAX);
	bytes[0] = 0x0f;
	bytes[1] = 0x0b;
}

/*
 * The entry of glibc's pkey_set leads to the function the caller named; its WRPKRU traps. A thread may stand behind
 * any of its instructions: so the first one, too short for a long jump, becomes a short one to the padding.
 */
static int replace_pkey_set(struct attempt *a)
{
	static const uint8_t jump[] = {0xff, 0x25, 0x00, 0x00, 0x00, 0x00}; /* jmp *0(%rip) */
	const struct hit *hit = &a->stray->hit;
	struct candidate c = with_trampoline(REPAIR_REPLACED, &a->spots[0]);
	uint64_t entry = hit->core - KNOWN_PKEY_SET_WRPKRU;
	uint64_t padding = entry + KNOWN_PKEY_SET_PADDING;
	uint64_t target = a->r->options.pkey_set;

	c.trampoline.site = entry;
	c.trampoline.absolute = target;
	emit_step(&c.trampoline, false, 0);
	emit(&c.trampoline, jump, sizeof(jump));
	emit(&c.trampoline, &target, sizeof(target));
	c.trampoline.resume = entry + 3;
	c.edits[0] = (struct site_edit){.vaddr = entry, .len = 3, .keep_from = 3,
					.bytes = {0xeb, KNOWN_PKEY_SET_PADDING - 2, 0xcc}};
	c.edits[1] = (struct site_edit){.vaddr = a->spots[0].vaddr, .len = a->spots[0].in.len,
					.keep_from = a->spots[0].in.len};
	trap_bytes(c.edits[1].bytes);
	c.edits[2] = (struct site_edit){.vaddr = padding, .len = 8, .keep_from = 8,
					.bytes = {0xe9, 0, 0, 0, 0, 0xcc, 0xcc, 0xcc}, .fix_at = 1, .fix_end = 5};
	c.nedits = 3;
	c.route = REPAIR_HOP;
	return candidate_commit(a->r, &c, hit->core, a->out);
}

static int plan_trap(struct attempt *a)
{
	const struct code now = {repair_read, a->r};
	uint8_t bytes[LYCH_SEQUENCE_MAX];
	int rc = 0;

	if (a->stray->verdict == LYCH_VERDICT_RUNTIME && a->r->options.pkey_set != 0 &&
	    known_glibc(&a->stray->hit, &now) != NULL) {
		rc = replace_pkey_set(a);
	}
	if (rc == 0) {
		trap_bytes(bytes);
		rc = replace_bytes(a, REPAIR_TRAPPED, &a->spots[0], bytes);
	}
	if (rc == 0) {
		return refuse(a->out, why_not(a));
	}
	return rc < 0 ? rc : 0;
}

static int plan_on_purpose(struct attempt *a)
{
	switch (a->stray->hit.cls) {
	case LYCH_XRSTOR:
		return a->spots[0].in.opsize_66 || a->spots[0].in.rep_f2 || a->spots[0].in.rep_f3 ||
				       a->spots[0].in.lock_f0
			       ? plan_trap(a) /* undefined as it stands */
			       : plan_xrstor(a);
	case LYCH_WRPKRU:
	case LYCH_WRPKRU_REX2:
		return plan_trap(a);
	default:
		return refuse(a->out, "put there on purpose, and nothing is known that could take its place");
	}
}

/* ---- data ------------------------------------------------------------------------------------ */

static int plan_data(struct repair *r, const struct repair_stray *stray, struct repair_outcome *out)
{
	uint64_t start = stray->hit.vaddr & ~(PAGE - 1);
	uint64_t end = (stray->hit.vaddr + stray->hit.len + PAGE - 1) & ~(PAGE - 1);

	if (stray->pages_hold_code || plan_touches(r, start, end - start) || !plan_may_touch(r, start, end - start)) {
		if (!r->options.leave_data) {
			return refuse(out, "data on a page that also holds code");
		}
		*out = (struct repair_outcome){.kind = REPAIR_LEFT, .why = ""};
		return 0;
	}
	*out = (struct repair_outcome){.kind = REPAIR_NO_EXEC, .why = "", .page_start = start, .page_end = end};
	return plan_no_exec(r, start, end);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* The instructions that hold the sequence, as planned so far. */
static bool collect_spots(struct attempt *a)
{
	const struct hit *hit = &a->stray->hit;
	uint64_t at = a->stray->insn_vaddr;

	if (at > hit->vaddr || hit->vaddr - at >= LYCH_SEQUENCE_MAX) {
		return false;
	}
	while (at < hit->vaddr + hit->len && a->nspots < SPOTS_MAX) {
		struct spot *spot = &a->spots[a->nspots];

		if (!spot_at(a->r, spot, at)) {
			return false;
		}
		at += spot->in.len;
		a->nspots += at > hit->vaddr;
	}
	return at >= hit->vaddr + hit->len;
}

static bool still_there(struct repair *r, const struct hit *hit)
{
	const struct code now = {repair_read, r};
	uint8_t bytes[2 * LYCH_SEQUENCE_MAX];
	size_t off, len, back = (size_t)(hit->core - hit->vaddr);
	enum lych_class cls;

	return code_bytes(&now, hit->vaddr, bytes, hit->len) &&
	       pattern_at(bytes, hit->len, back, r->options.classes, &off, &len, &cls) && cls == hit->cls;
}

int repair_add(struct repair *r, const struct repair_stray *stray, struct repair_outcome *out)
{
	const struct hit *hit = &stray->hit;
	struct attempt a = {.r = r, .stray = stray, .out = out};

	*out = (struct repair_outcome){.why = ""};
	if (hit->len == 0 || hit->len > LYCH_SEQUENCE_MAX || hit->core < hit->vaddr ||
	    hit->core - hit->vaddr >= hit->len || hit->vaddr >= INT64_MAX) {
		return refuse(out, "not a sequence in user space");
	}
	if (r->work >= WORK_OF_PLAN) {
		return refuse(out, "too much to try in one image");
	}
	if (!still_there(r, hit)) {
		out->kind = REPAIR_GONE;
		return 0;
	}
	if (stray->verdict == LYCH_VERDICT_CHECKED || stray->verdict == LYCH_VERDICT_GATE) {
		out->kind = REPAIR_ACCEPTED;
		return 0;
	}
	switch (stray->placement) {
	case LYCH_PLACE_DATA:
		return plan_data(r, stray, out);
	case LYCH_PLACE_INSTRUCTION:
	case LYCH_PLACE_INSIDE:
	case LYCH_PLACE_SPANNING:
		break;
	default:
		return refuse(out, stray->why != NULL && stray->why[0] != '\0' ? stray->why : "placement undecided");
	}
	if (!collect_spots(&a)) {
		return refuse(out, "its instructions do not decode as they were placed");
	}
	return stray->placement == LYCH_PLACE_INSTRUCTION ? plan_on_purpose(&a) : plan_accidental(&a);
}
