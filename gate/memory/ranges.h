/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted lists of address ranges with a key and a protection. Pure. */
#ifndef LYCH_RANGES_H
#define LYCH_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "../core/hidden.h"

#ifdef __cplusplus
extern "C" {
#endif

struct key_range {
	uint64_t at, end; /* end: first byte behind */
	int32_t key;
	int32_t prot; /* PROT_*, or RANGE_ANY */
};

#define RANGE_GONE (-1) /* as key: no range */
#define RANGE_ANY (-1)  /* as prot: only the key counts. Each page has rights of its own and may be a file's */

/*
 * Writes to out what in[0..count) becomes when [at, end) has key and prot, or is no range (RANGE_GONE). Sorted, no
 * overlaps, neighbours that agree are one range; in is that, too. out has room for count + 2 and is another array;
 * it is written with atomic stores, for readers that check afterwards whether what they read was torn. Returns how
 * many.
 */
LYCH_HIDDEN size_t ranges_set(struct key_range *out, const struct key_range *in, size_t count, uint64_t at,
			      uint64_t end, int key, int prot);

/* Index of the range at lies in, or of the first one behind it. Reads with atomic loads. */
LYCH_HIDDEN size_t ranges_find(const struct key_range *ranges, size_t count, uint64_t at);

/* The one key of all of [at, end); -1 when a byte of it is in no range or there is more than one key. */
LYCH_HIDDEN int ranges_key_of(const struct key_range *ranges, size_t count, uint64_t at, uint64_t end);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_RANGES_H */
