/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement and verdict of one finding. Pure but for reading code through the callback given.
 */
#ifndef LYCH_PLACE_H
#define LYCH_PLACE_H

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
	const char *why;     /* static clause; "" when nothing needs saying */
};

/*
 * place_hit decodes from the nearest anchor in *where (an FDE, a symbol, the section's start) to the hit.
 * where may be NULL: nothing is known about the address, as in anonymous memory.
 */
void place_hit(struct placement *out, const struct hit *hit, const struct elf_where *where,
	       const struct code *code);

/* A site of the note (note.h), with all listed bytes. */
struct site {
	uint64_t vaddr; /* right after the WRPKRU */
	uint8_t kind, nbefore, nafter;
	uint8_t bytes[128];
};

/* site_parse reads entries out of a note's descriptor at desc_vaddr. Returns how many valid ones were
 * stored in out (at most max); reading stops at the first malformed one. */
size_t site_parse(struct site *out, size_t max, const uint8_t *desc, size_t desc_len, uint64_t desc_vaddr);

/*
 * verdict_of decides by the bytes alone, from the hit on as an attacker who jumps there would run them; the
 * placement plays no part. sites are those of the image's note, nsites 0 where no gate is accepted. *why gets a
 * static clause.
 */
enum lych_verdict verdict_of(const struct hit *hit, const struct site *sites, size_t nsites,
			     const struct code *code, const char **why);

#endif /* LYCH_PLACE_H */
