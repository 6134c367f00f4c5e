/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement and verdict of one finding. Pure but for reading code through the callback given.
 */
#ifndef LYCH_PLACE_H
#define LYCH_PLACE_H

#include <lychgate/note.h>

#include "elf.h"
#include "insn.h"

/* Executable bytes around a finding, by virtual address. */
struct code {
	/*
	 * Copies up to len bytes of executable memory at vaddr (joined ranges are one); returns how many
	 * there are before the memory ends (or is not executable any more), 0 when vaddr itself is not.
	 */
	size_t (*read)(void *ctx, uint64_t vaddr, void *buf, size_t len);
	void *ctx;
};

struct hit {
	uint64_t vaddr; /* of the first byte */
	uint64_t core;  /* of the opcode (pattern.h) */
	uint8_t len;
	enum lych_class cls;
};

struct placement {
	enum lych_placement placement;
	enum lych_part first_part, last_part;
	uint64_t insn_vaddr; /* of the instruction that holds the first byte; hit->vaddr when undecided */
	uint64_t before[3];  /* of the instructions before that one, ascending; for the report only */
	uint8_t nbefore;
	const char *why;     /* static clause; "" when nothing needs saying */
};

/* Decoding from one start; filled by place.c alone. */
struct place_sweep {
	bool known;
	uint64_t start, end;         /* what was given: the bytes decoded, before padding was trimmed */
	uint64_t code_start, pad_from; /* the same without padding */
	uint64_t at;                 /* an instruction's address, or where decoding stopped */
	uint64_t trail[3];           /* of the instructions before it, ascending */
	uint8_t ntrail;
	bool broken;                 /* what stands at at does not decode */
	bool missed_symbol;          /* a symbol in between is not at an instruction */
	bool tail_known, tail_exact; /* from at on instructions end exactly at the end */
};

/*
 * What earlier placements learned, so that many hits in one function cost one decoding of it and not one each,
 * and how much was decoded: what a hostile file can cost is bounded. Start with all zeros; for one image.
 */
#define PLACE_SWEEPS 3
#define PLACE_BUDGET (UINT64_C(1) << 30)
struct place_memo {
	struct place_sweep sweeps[PLACE_SWEEPS];
	uint64_t spent; /* bytes decoded; beyond PLACE_BUDGET everything is undecided */
};

/*
 * place_hit says where a hit stands. It decodes, by insn.h, from the best anchor at or below it: the FDE that
 * holds it, a function symbol, another symbol, the end of the previous FDE, the section's start; and accepts
 * what it finds there only if decoding goes on cleanly to the end of what the anchor covers. Without
 * an anchor, or where that fails, it decodes from many nearby offsets and sees whether they agree.
 * What is not told by that is undecided, with the reason in why.
 *
 * where may be NULL: nothing is known about the address, as in anonymous memory.
 */
void place_hit(struct placement *out, const struct hit *hit, const struct elf_where *where,
	       const struct code *code);
void place_hit_memo(struct placement *out, struct place_memo *memo, const struct hit *hit,
		    const struct elf_where *where, const struct code *code);

/* A site of the note (note.h), with all listed bytes. */
struct site {
	uint64_t vaddr; /* right after the WRPKRU */
	uint8_t kind, nbefore, nafter;
	uint8_t bytes[128];
};

/* How many sites of one image a caller should keep: each WRPKRU found is compared with all of them. */
#define SITE_MAX 1024

/*
 * site_parse reads entries (note.h) out of a note's descriptor at desc_vaddr. Returns how many valid ones were
 * stored in out (at most max); reading stops at the first malformed one.
 */
size_t site_parse(struct site *out, size_t max, const uint8_t *desc, size_t desc_len, uint64_t desc_vaddr);

/*
 * verdict_of decides by the bytes alone, from the hit on as an attacker who jumps there would run them; the
 * placement plays no part. sites are those of the image's note, nsites 0 where no gate is accepted. *why gets a
 * static clause.
 */
enum lych_verdict verdict_of(const struct hit *hit, const struct site *sites, size_t nsites,
			     const struct code *code, const char **why);

/*
 * known_glibc compares the code around the hit with functions of glibc (known_glibc.c), from their first
 * byte to their last. Returns a static clause that names the function, or NULL.
 */
const char *known_glibc(const struct hit *hit, const struct code *code);

/*
 * In pkey_set the WRPKRU stands so many bytes behind the entry, whose first instruction takes three, and a NOP of
 * eight that nobody runs, behind a return, so many.
 */
#define KNOWN_PKEY_SET_WRPKRU 0x32
#define KNOWN_PKEY_SET_PADDING 0x38

/* Copies exactly len bytes of executable memory; false when there are not so many. */
bool code_bytes(const struct code *code, uint64_t vaddr, void *buf, size_t len);

#endif /* LYCH_PLACE_H */
