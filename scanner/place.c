/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sweep.h"

/* A gap between functions larger than this: most of the file has no unwind information. */
#define GAP_MAX (UINT64_C(64) << 10)

/* ---- what the hit is in the instructions found --------------------------------------------- */

static bool same_instruction(const struct insn *in, enum lych_class cls)
{
	unsigned reg = in->modrm >> 3 & 7;
	bool memory = in->modrm < 0xc0;
	bool map1 = in->map == 1;

	switch (cls) {
	case LYCH_WRPKRU:
	case LYCH_WRPKRU_REX2:
		return map1 && in->opcode == 0x01 && in->modrm == 0xef;
	case LYCH_XRSTOR:
		return map1 && in->opcode == 0xae && memory && reg == 5;
	case LYCH_ENCLU:
		return map1 && in->opcode == 0x01 && in->modrm == 0xd7;
	case LYCH_WRFSBASE:
		return map1 && in->opcode == 0xae && !memory && reg == 2 && in->rep_f3;
	case LYCH_WRGSBASE:
		return map1 && in->opcode == 0xae && !memory && reg == 3 && in->rep_f3;
	case LYCH_SYSCALL:
		return map1 && in->opcode == 0x05;
	case LYCH_SYSENTER:
		return map1 && in->opcode == 0x34;
	case LYCH_INT80:
		return in->map == 0 && in->opcode == 0xcd;
	default:
		return false;
	}
}

/* Is the instruction at vaddr the one that the hit's bytes are, perhaps with prefixes before? */
static bool is_the_hit(const struct insn *in, uint64_t vaddr, const struct hit *hit)
{
	uint64_t opcode = vaddr + in->opcode_off;

	if (in->encoding == INSN_REX2) {
		opcode -= 2;
	} else if (in->encoding != INSN_LEGACY) {
		return false;
	}
	return opcode == hit->core && same_instruction(in, hit->cls);
}

static const char *why_instruction(const struct insn *in, enum lych_class cls, const char *why)
{
	bool writes = cls == LYCH_WRPKRU || cls == LYCH_WRPKRU_REX2 || cls == LYCH_XRSTOR;

	if (writes && (in->opsize_66 || in->rep_f2 || in->rep_f3 || in->lock_f0)) {
		return cls == LYCH_WRPKRU && in->rep_f3
			       ? "STUI or undefined as it stands; entered behind its prefix it is WRPKRU"
			       : "undefined as it stands; entered behind its prefix it runs";
	}
	return why;
}

static void undecided(struct placement *out, const struct hit *hit, const char *why)
{
	*out = (struct placement){
		.placement = LYCH_PLACE_UNDECIDED, .insn_vaddr = hit->vaddr, .why = why};
}

/* The instruction at boundary holds the hit's first byte: which placement is that? */
static void classify(struct placement *out, struct window *w, const struct hit *hit, uint64_t boundary,
		     const char *why)
{
	uint64_t hit_end = hit->vaddr + hit->len;
	size_t off = hit->vaddr - boundary;
	const uint8_t *bytes;
	struct insn in;
	uint64_t at;

	if (!window_decode(w, &in, boundary, UINT64_MAX, &bytes)) {
		undecided(out, hit, "its own bytes do not decode");
		return;
	}
	*out = (struct placement){.insn_vaddr = boundary, .why = why};
	if (is_the_hit(&in, boundary, hit)) {
		out->placement = LYCH_PLACE_INSTRUCTION;
		out->why = why_instruction(&in, hit->cls, why);
		return;
	}
	if (off + hit->len <= in.len) {
		out->placement = LYCH_PLACE_INSIDE;
		out->first_part = insn_part(&in, off);
		out->last_part = insn_part(&in, off + hit->len - 1);
		return;
	}
	out->placement = LYCH_PLACE_SPANNING;
	for (at = boundary + in.len; at < hit_end; at += in.len) {
		if (!window_decode(w, &in, at, UINT64_MAX, &bytes)) {
			undecided(out, hit, "starts in an instruction behind which nothing decodes");
			return;
		}
	}
}

static void copy_trail(struct placement *out, const struct place_sweep *s)
{
	if (out->placement != LYCH_PLACE_UNDECIDED) {
		memcpy(out->before, s->trail, sizeof(out->before));
		out->nbefore = s->ntrail;
	}
}

/* ---- anchors ------------------------------------------------------------------------------- */

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool in_fde(const struct elf_where *where, uint64_t vaddr)
{
	return where->in_fde && where->fde_start <= vaddr && vaddr < where->fde_end;
}

/* The anchors for a hit at vaddr, best first; as many as place_memo has sweeps at most. */
static size_t anchors_of(struct anchor *out, const struct elf_where *where, uint64_t vaddr)
{
	bool function = where->has_symbol &&
			(where->symbol_type == STT_FUNC || where->symbol_type == STT_GNU_IFUNC);
	bool in_symbol = where->symbol_start <= vaddr && vaddr - where->symbol_start < where->symbol_size;
	bool label = where->has_symbol && where->symbol_type != STT_OBJECT && where->symbol_size == 0;
	uint64_t limit = where->in_section ? where->section_end : UINT64_MAX;
	size_t n = 0;

	/* What overlaps the next function or symbol ends there for us: no byte belongs to two anchors of a kind. */
	if (where->has_fdes) {
		limit = lower(limit, where->next_fde);
	}
	if (in_fde(where, vaddr)) {
		uint64_t end = lower(lower(where->fde_end, where->next_fde), where->next_symbol);

		out[n++] = (struct anchor){where->fde_start, end, true};
	}
	if (function && in_symbol) {
		uint64_t end = lower(where->symbol_start + where->symbol_size, where->next_symbol);

		out[n++] = (struct anchor){where->symbol_start, end, true};
	} else if (label && where->symbol_start <= vaddr && !in_fde(where, vaddr)) {
		out[n++] = (struct anchor){where->symbol_start, lower(limit, where->next_symbol), false};
	}
	if (!in_fde(where, vaddr)) {
		uint64_t start = where->in_section ? where->section_start : 0;

		if (where->has_fdes && where->fde_end <= vaddr && where->fde_end > start) {
			start = where->fde_end;
		}
		if (start != 0) {
			out[n++] = (struct anchor){start, limit, false};
		}
	}
	return n;
}

/* Tries one anchor. False: it does not tell, and *why says why not. */
static bool place_from(struct placement *out, struct window *w, struct place_sweep *s, const struct anchor *a,
		       const struct hit *hit, const struct elf_where *where, const char **why)
{
	uint64_t mark = where->has_symbol && where->symbol_start <= hit->vaddr ? where->symbol_start : 0;
	uint64_t from;

	if (a->start > hit->vaddr || a->end <= hit->vaddr) {
		return false; /* contradicts itself */
	}
	if (hit->vaddr - a->start > SWEEP_MAX) {
		*why = "too far from the nearest known start of code";
		return false;
	}
	sweep(w, s, a, hit->vaddr, mark);
	if (s->broken) {
		*why = "bytes before it do not decode from any known start of code";
		return false;
	}
	if (s->missed_symbol || !tail_exact(w, s)) {
		*why = "from the nearest known start on it does not decode to the end";
		return false;
	}
	if (a->sure) {
		classify(out, w, hit, s->at, "");
		copy_trail(out, s);
		return true;
	}
	from = s->ntrail != 0 ? s->trail[0] : s->at;
	if (!clean(w, from, lower(hit->vaddr + hit->len + NEIGHBOURHOOD, s->pad_from), a->end)) {
		*why = "decodes, but with instructions that no compiler emits: perhaps data";
		return false;
	}
	classify(out, w, hit, s->at, where->has_fdes ? "no unwind information here; decodes as code" : "");
	copy_trail(out, s);
	return true;
}

static const char why_gap[] = "neither unwind information nor a clean decode: data or hand-written code";
static const char why_vote_failed[] = "no anchors, and decoding from nearby offsets does not agree on clean code";
static const char why_vote[] = "no anchors: decoding from many nearby offsets agrees";

/* Without a usable anchor. No decoding starts before low. */
static bool place_by_vote(struct placement *out, struct window *w, const struct hit *hit, uint64_t low,
			  const char *why)
{
	struct place_sweep s = {0};
	struct anchor settled = {.end = UINT64_MAX, .sure = true};
	uint64_t boundary;

	if (!vote(w, &boundary, &settled.start, low, hit->vaddr)) {
		return false;
	}
	sweep(w, &s, &settled, hit->vaddr, 0);
	/* The vote passes over what does not decode, such as an instruction cut off by the end of the memory. */
	if (s.broken || s.at != boundary) {
		return false;
	}
	classify(out, w, hit, boundary, why);
	copy_trail(out, &s);
	return true;
}

/* Nothing is known about the address. */
static void place_unknown(struct placement *out, struct window *w, struct place_sweep *s, const struct hit *hit)
{
	uint64_t start = memory_start(w->code, hit->vaddr);
	struct anchor a = {start, UINT64_MAX, true};

	if (hit->vaddr - start < VOTE_FAR) {
		/* near the start of the memory: that is where its code starts */
		sweep(w, s, &a, hit->vaddr, 0);
		if (!s->broken) {
			classify(out, w, hit, s->at, "no anchors: decoded from the start of this memory");
			copy_trail(out, s);
			return;
		}
	}
	if (!place_by_vote(out, w, hit, start, why_vote)) {
		undecided(out, hit, why_vote_failed);
	}
}

/* Headers say that this is no code. NULL: they do not. */
static const char *why_data(const struct elf_where *where, uint64_t vaddr)
{
	if (where->has_symbol && where->symbol_type == STT_OBJECT && where->symbol_start <= vaddr &&
	    vaddr - where->symbol_start < where->symbol_size) {
		return "in a data symbol";
	}
	if (in_fde(where, vaddr)) {
		return NULL;
	}
	if (where->in_section && !where->section_is_code) {
		return "in a section that is not code";
	}
	return where->has_sections && !where->in_section ? "outside every section" : NULL;
}

static void place_known(struct placement *out, struct window *w, struct place_memo *memo, const struct hit *hit,
			const struct elf_where *where)
{
	struct anchor anchors[PLACE_SWEEPS];
	const char *why = why_vote_failed;
	uint64_t low, gap;
	size_t n;

	if (why_data(where, hit->vaddr) != NULL) {
		*out = (struct placement){.placement = LYCH_PLACE_DATA, .insn_vaddr = hit->vaddr,
					  .why = why_data(where, hit->vaddr)};
		return;
	}
	n = anchors_of(anchors, where, hit->vaddr);
	if (n == 0) {
		place_unknown(out, w, &memo->sweeps[0], hit);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (place_from(out, w, &memo->sweeps[i], &anchors[i], hit, where, &why)) {
			return;
		}
	}
	/*
	 * Between functions of a file that describes its functions, what does not decode to the end is more
	 * likely a table than code, and a table can decode well for a while: no vote there.
	 */
	gap = anchors[n - 1].end - anchors[n - 1].start;
	if (!in_fde(where, hit->vaddr) && where->has_fdes && gap <= GAP_MAX) {
		undecided(out, hit, why_gap);
		return;
	}
	low = anchors[0].start <= hit->vaddr ? anchors[0].start : hit->vaddr;
	if (!place_by_vote(out, w, hit, low,
			   in_fde(where, hit->vaddr)
				   ? "the function does not decode as a whole; decoding from many offsets agrees"
				   : why_vote)) {
		undecided(out, hit, why);
	}
}

void place_hit_memo(struct placement *out, struct place_memo *memo, const struct hit *hit,
		    const struct elf_where *where, const struct code *code)
{
	struct window w = {.code = code, .spent = &memo->spent};

	if (memo->spent > PLACE_BUDGET) {
		undecided(out, hit, "too many findings in one file to decode around each");
	} else if (where == NULL) {
		place_unknown(out, &w, &memo->sweeps[0], hit);
	} else {
		place_known(out, &w, memo, hit, where);
	}
}

void place_hit(struct placement *out, const struct hit *hit, const struct elf_where *where,
	       const struct code *code)
{
	struct place_memo memo = {0};

	place_hit_memo(out, &memo, hit, where, code);
}
