/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of a heap are free. Pure: knows numbers of granules and never the memory they stand for, so nothing
 * that is written there can mislead it. Needs no lock and no system call; who uses it locks.
 *
 * Two-level segregated fit: free blocks in lists by size class (a power of two in 16 parts), a bitmap of lists that
 * are not empty, neighbours found through a tag for each granule. Taking and giving back are O(1).
 */
#ifndef LYCH_BLOCKS_H
#define LYCH_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LYCH_BLOCKS_API __attribute__((visibility("hidden")))

#define GRANULE 16
#define BLOCKS_NONE UINT32_MAX
#define BLOCKS_MAX ((1u << 30) - 1) /* granules of one heap: 16 GiB */

struct blocks; /* header and tables, one piece of memory */

/* Bytes of memory a table for so many granules (1..BLOCKS_MAX) takes: 12 for each, touched where used. */
LYCH_BLOCKS_API size_t blocks_table_bytes(uint32_t granules);

/* Makes zeroed memory at, of that size, into a table in which everything is free. 8-byte aligned. */
LYCH_BLOCKS_API struct blocks *blocks_start(void *at, uint32_t granules);

/*
 * A block of that many granules (at least 1): the number of its first one, a multiple of align (a power of two,
 * 1 for any) after skew was added. BLOCKS_NONE: there is no room. With align 1 a request fails only when no free
 * stretch of that length is found among the first 64 of its own size class and all of the larger ones.
 */
LYCH_BLOCKS_API uint32_t blocks_take(struct blocks *b, uint32_t granules, uint64_t align, uint64_t skew);

/* Makes the live block that starts at first free and joins it with free neighbours. false: no live block starts
 * there (never taken, given back, or the middle of one); nothing is changed. */
LYCH_BLOCKS_API bool blocks_give(struct blocks *b, uint32_t first);

/* Granules of the live block that starts at first; 0 when none does. */
LYCH_BLOCKS_API uint32_t blocks_size(const struct blocks *b, uint32_t first);

/* Shortens the live block at first to granules (1..its size); the rest becomes free. */
LYCH_BLOCKS_API bool blocks_shrink(struct blocks *b, uint32_t first, uint32_t granules);

#endif /* LYCH_BLOCKS_H */
