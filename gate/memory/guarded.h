/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of keyed memory with inaccessible pages on both ends: heaps, stacks, regions. */
#ifndef LYCH_GUARDED_H
#define LYCH_GUARDED_H

#include "../core/runtime.h"

#define RANGE_GUARD ((size_t)16 * LYCH_PAGE)
#define RANGE_MAX ((size_t)1 << 34)

#define RANGE_LOCK 1 /* mlock: never in swap */
#define RANGE_DUMP 2 /* goes into core dumps */
#define RANGE_WIPE 4 /* MADV_WIPEONFORK: zero in a child */

/* Rounded up to pages; 0: more than RANGE_MAX. */
static inline size_t range_round(size_t bytes)
{
	return bytes > RANGE_MAX ? 0 : (bytes + LYCH_PAGE - 1) & ~(size_t)(LYCH_PAGE - 1);
}

/*
 * With monitor->lock. Maps bytes (a multiple of the page) of zeroed memory with RANGE_GUARD bytes that nobody can
 * touch on either side, and enters it in the ledger with key and prot. -ENOMEM: nothing is left.
 */
LYCH_HIDDEN int range_map(void **out, size_t bytes, int key, int prot, unsigned int flags);
/* With monitor->lock. Out of the ledger, unmapped, guards too. */
LYCH_HIDDEN void range_unmap(void *at, size_t bytes);

#endif /* LYCH_GUARDED_H */
