/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding runs of instructions: from a known start, or from many offsets at once where none is known. Used by
 * place.c only.
 */
#ifndef LYCH_SWEEP_H
#define LYCH_SWEEP_H

#include "place.h"

/* Decoding from one anchor reads at most so much before the hit, and as much behind it. */
#define SWEEP_MAX (UINT64_C(4) << 20)
/* Decoding by vote starts at offsets from VOTE_FAR to VOTE_NEAR before the hit. */
#define VOTE_FAR 256
/* How far around a hit instructions must be such as compilers emit. */
#define NEIGHBOURHOOD 64

/* Executable memory through a buffer. Start with code and spent, the rest zero. */
struct window {
	const struct code *code;
	uint64_t *spent; /* bytes decoded, added up */
	uint64_t base;
	size_t len;
	uint8_t bytes[4096];
};

/* The instruction at vaddr, of which no byte lies at or beyond end; *bytes: its bytes. */
bool window_decode(struct window *w, struct insn *in, uint64_t vaddr, uint64_t end, const uint8_t **bytes);

/*
 * Data decodes as instructions, too, but before long as such that no compiler emits for user space: input
 * and output, privileged ones, far branches, and zeros (ADD [RAX], AL).
 */
bool implausible(const struct insn *in, const uint8_t *bytes);

/* Decodes [from, to) and says whether each instruction that starts there exists and is plausible. */
bool clean(struct window *w, uint64_t from, uint64_t to, uint64_t end);

struct anchor {
	uint64_t start, end; /* instructions start at start and are expected to end exactly at end */
	bool sure;           /* a linker or compiler said that this is one function; else padding may surround it */
};

/*
 * Decodes from where an earlier hit left off, else from the anchor's start, to the instruction that holds target.
 * mark is an address that must be an instruction's, 0: none. Afterwards s->at is the instruction found, unless
 * s->broken.
 */
void sweep(struct window *w, struct place_sweep *s, const struct anchor *a, uint64_t target, uint64_t mark);

/* After sweep, from the instruction found on: do instructions end where the anchor says? */
bool tail_exact(struct window *w, struct place_sweep *s);

/*
 * Decodes from many offsets in [low, target) and stores where nearly all say that the instruction with target
 * starts, and an instruction well before it from which the same follows. False when they do not agree, are too
 * few, or when what they decode is no clean code.
 */
bool vote(struct window *w, uint64_t *boundary, uint64_t *settled, uint64_t low, uint64_t target);

/* Up to VOTE_FAR bytes before vaddr that are executable memory without a break: the lowest of them. */
uint64_t memory_start(const struct code *code, uint64_t vaddr);

#endif /* LYCH_SWEEP_H */
