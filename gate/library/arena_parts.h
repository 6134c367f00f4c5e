/* SPDX-License-Identifier: Apache-2.0 */
/* What arena.c, arena_calls.c and snapshot.c share. */
#ifndef LYCH_ARENA_PARTS_H
#define LYCH_ARENA_PARTS_H

#include "../core/asm.h"
#include "arena.h"
#include "library.h"

struct snapshot;

/* In monitor memory. */
struct arena {
	_Atomic uint32_t lock; /* short_lock.h */
	int key;
	size_t bytes;                /* of this */
	struct snapshot *snapshot;   /* snapshot.c; NULL: none was taken */
	uint64_t reach;              /* from here on everything reaches everything with 32 bits */
	uint64_t top, anonymous_top; /* where the first mapping of a file ends, and of anonymous memory */
	uint32_t mappings, changes;  /* arena_count.c: what the kernel had when it was asked, and calls since */
	struct space *host; /* the runtime's part, below the other: heap, stacks; behind it in the same memory */
	struct space space; /* what code inside maps */
};

/* ---- what calls are asked about -------------------------------------------------------------- */

static inline uint64_t whole(uint64_t bytes)
{
	return (bytes + SPACE_PAGE - 1) & ~(SPACE_PAGE - 1);
}

static inline bool is_page(uint64_t at)
{
	return at % SPACE_PAGE == 0;
}

/* [at, at + bytes) in pages, where at is one: false when it is none, or wraps. */
static inline bool pages_of(uint64_t at, uint64_t bytes, uint64_t *end)
{
	*end = at + whole(bytes);
	return bytes != 0 && whole(bytes) != 0 && *end > at;
}

/* Has an area in [start, end) one of flags? */
static inline bool any_has(const struct space *s, uint64_t start, uint64_t end, uint32_t flags)
{
	for (uint32_t i = space_index(s, start); i < s->count && s->area[i].start < end; i++) {
		if ((s->area[i].flags & flags) != 0) {
			return true;
		}
	}
	return false;
}

/* ---- doing it -------------------------------------------------------------------------------- */

/* With all signals blocked; mask is what was blocked before. false: not to be had. */
LYCH_HIDDEN bool arena_hold(struct library *l, uint64_t *mask);
LYCH_HIDDEN void arena_let_go(struct library *l, const uint64_t *mask);

/* The others: with the lock. [start, end) is inside. */

/*
 * [start, end) is reserved again, with nothing in it: 0; -ENOMEM: it is as before, or the domain is poisoned because
 * the kernel has no memory even for that.
 */
LYCH_HIDDEN int arena_reserve(struct library *l, uint64_t start, uint64_t end);
/* After a call that failed may have left a hole there: it is reserved again. */
LYCH_HIDDEN void arena_refill(struct library *l, uint64_t start, uint64_t end);
/* What is there gets these rights, and the key. 0 or -errno; some of it may have them then. */
LYCH_HIDDEN int arena_tag(struct library *l, uint64_t start, uint64_t end, uint32_t prot);
/* Fresh zeroed memory in place of whatever is there: 0, or -ENOMEM; *lost then says that what was there is gone. */
LYCH_HIDDEN int arena_fresh(struct library *l, uint64_t start, uint64_t end, uint32_t prot, bool *lost);
/* The same with pages of a file. */
LYCH_HIDDEN int arena_fresh_file(struct library *l, uint64_t start, uint64_t end, uint32_t prot, long fd,
				 uint64_t offset, bool *lost);
/* May one more call make mappings? To be asked for each that might; munmap's are in the table (arena_count.c). */
LYCH_HIDDEN bool arena_has_room(struct library *l);
/* A place for bytes, in reach of code or for anonymous memory. 0: none. */
LYCH_HIDDEN uint64_t arena_find(const struct arena *a, uint64_t bytes, bool reach);

/* snapshot.c: for arena_free. */
LYCH_HIDDEN void snapshot_free(struct library *l);

#endif /* LYCH_ARENA_PARTS_H */
