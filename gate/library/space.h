/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of a library domain's address space are what: a table of areas over [lo, hi), sorted, split and merged
 * like the areas of a kernel. Pure: no system calls, all state in the memory that was handed in, no locks.
 *
 * Each change has a function that says whether it may be (space_may_...), with the error that Linux gives where it
 * gives one, and one that makes it, which gives the same answer and changes nothing unless that is 0. So the kernel
 * can be asked in between. Addresses and lengths of areas are whole pages; those that are handed in are checked
 * (-EINVAL).
 *
 * What counts against the limit: every page of an area that code inside made writable, from then until it is unmapped
 * (as Linux's accounting of commitments does it: making it read-only, or discarding what is in it, gives nothing
 * back), anonymous or of a file, the break's included. Not: reservations and anything else that was never writable,
 * and what the runtime placed (SPACE_FIXED: stacks for threads of the host, the stub). Code has a limit of its own,
 * as each mapping of it is a copy.
 */
#ifndef LYCH_SPACE_H
#define LYCH_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/hidden.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SPACE_PAGE 4096ULL
#define SPACE_SPARE 4 /* areas there may be in passing, more than there is room for: two places are split in two */

/* Flags of an area. */
#define SPACE_FILE 1U        /* of a file, private */
#define SPACE_NEVER_WRITE 2U /* a file mapped shared: what would be written could not get into the file */
#define SPACE_CODE 4U        /* came through the door: goes only as a whole, and never changes */
#define SPACE_STACK 8U
#define SPACE_TRAMPOLINES 16U
#define SPACE_BREAK 32U
#define SPACE_FIXED 64U    /* by the runtime: code inside may not unmap, replace, move or change it */
#define SPACE_COUNTED 128U /* has been writable; set by the table */

struct space_area {
	uint64_t start, end;
	uint32_t prot; /* PROT_* */
	uint32_t flags;
	uint64_t id; /* neighbours merge when all but the addresses agree */
};
#define SPACE_PLAIN 0          /* id of anonymous areas: they merge */
#define SPACE_OWN (UINT64_MAX) /* when an area is made: an id that no other has */

struct space {
	uint64_t lo, hi;
	uint64_t limit, counted;     /* bytes */
	uint64_t code_limit, code;   /* bytes */
	uint64_t break_lo, break_hi; /* where the break may be; and where it is: */
	uint64_t break_at;
	uint64_t next_id;
	uint32_t count, room;
	struct space_area area[];
};

/*
 * An empty table in memory of bytes bytes, zeroed. lo and hi are whole pages. The break is at lo and cannot move
 * until space_break_start. NULL: there is no room for even four areas.
 */
LYCH_HIDDEN struct space *space_start(void *memory, size_t bytes, uint64_t lo, uint64_t hi, uint64_t limit,
				      uint64_t code_limit);

/* The area that at lies in, NULL: none. And the first one that ends behind at: count, if there is none. */
LYCH_HIDDEN const struct space_area *space_at(const struct space *s, uint64_t at);
LYCH_HIDDEN uint32_t space_index(const struct space *s, uint64_t at);
/* Whole pages, not empty, in [lo, hi). */
LYCH_HIDDEN bool space_holds(const struct space *s, uint64_t start, uint64_t end);
/* No byte, every byte, of [start, end) is in an area. */
LYCH_HIDDEN bool space_is_free(const struct space *s, uint64_t start, uint64_t end);
LYCH_HIDDEN bool space_is_full(const struct space *s, uint64_t start, uint64_t end);

/*
 * The highest place in [from, to) for bytes (whole pages) at a multiple of align (a power of two, at least a page);
 * 0: none.
 */
LYCH_HIDDEN uint64_t space_find(const struct space *s, uint64_t bytes, uint64_t align, uint64_t from, uint64_t to);

/* One area in place of what was in [start, end). */
struct space_wish {
	uint64_t start, end;
	uint32_t prot, flags; /* SPACE_COUNTED: it counts, whatever prot is, as what it continues does */
	uint64_t id;          /* SPACE_PLAIN, SPACE_OWN, or the one of an area that this one continues */
	bool no_replace;
};
/* -EINVAL, -EEXIST (no_replace), -EPERM (what is fixed, or a part of code), -ENOMEM (not inside, the limit, the
 * table). */
LYCH_HIDDEN int space_may_map(const struct space *s, const struct space_wish *m);
LYCH_HIDDEN int space_map(struct space *s, const struct space_wish *m);

/* Nothing in [start, end) any more. -EINVAL (not inside), -EPERM as above, -ENOMEM: the table. */
LYCH_HIDDEN int space_may_unmap(const struct space *s, uint64_t start, uint64_t end);
LYCH_HIDDEN int space_unmap(struct space *s, uint64_t start, uint64_t end);

/*
 * Other rights. -ENOMEM: not all of it is mapped, the limit, the table; -EPERM: what is fixed; -EACCES: code, unless
 * prot is what it has, or writing to what can never be written.
 */
LYCH_HIDDEN int space_may_protect(const struct space *s, uint64_t start, uint64_t end, uint32_t prot);
LYCH_HIDDEN int space_protect(struct space *s, uint64_t start, uint64_t end, uint32_t prot);

/*
 * [from, from + bytes), which lies in one area, to [to, to + bytes), in place of what was there; the two do not
 * overlap (-EINVAL). -EFAULT: not in one area; -EPERM; -ENOMEM. The limit does not matter: nothing is added.
 */
LYCH_HIDDEN int space_may_move(const struct space *s, uint64_t from, uint64_t bytes, uint64_t to);
LYCH_HIDDEN int space_move(struct space *s, uint64_t from, uint64_t bytes, uint64_t to);

/* The break begins at lo, with nothing, and stays below hi: both whole pages inside. */
LYCH_HIDDEN void space_break_start(struct space *s, uint64_t lo, uint64_t hi);
/* The break to at: -ENOMEM, as Linux refuses it. start and end: pages that become mapped (grows) or unmapped. */
LYCH_HIDDEN int space_may_break(const struct space *s, uint64_t at, uint64_t *start, uint64_t *end, bool *grows);
LYCH_HIDDEN int space_break(struct space *s, uint64_t at);

/*
 * The runtime's own, which nothing forbids but sense. space_fix: all areas in [start, end), which is full (-EINVAL),
 * get flags and SPACE_FIXED, and are not counted any more; -ENOMEM: the table. space_code: [start, end), full,
 * becomes one area of code with prot, fixed if its first page was; -ENOMEM: the limit of code, the table.
 * space_release: fixed or code or not, it is free. space_unfix: the area of code that begins at start is fixed no more;
 * -EINVAL: there is none.
 */
LYCH_HIDDEN int space_fix(struct space *s, uint64_t start, uint64_t end, uint32_t flags);
LYCH_HIDDEN int space_code(struct space *s, uint64_t start, uint64_t end, uint32_t prot);
LYCH_HIDDEN int space_unfix(struct space *s, uint64_t start);
LYCH_HIDDEN int space_release(struct space *s, uint64_t start, uint64_t end);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_SPACE_H */
