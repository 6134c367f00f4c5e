/* SPDX-License-Identifier: Apache-2.0 */
/* Intervals of addresses laid over each other, as mappings are: the later one counts. Pure. */
#ifndef LYCH_SPAN_H
#define LYCH_SPAN_H

#include <lychgate/base.h>

struct span {
	uint64_t start, end; /* [start, end) */
	uint32_t owner;      /* the caller's: what the interval stands for */
};

/*
 * span_flatten lays in[0..n) over each other, later ones on top, and stores in *out the ascending,
 * disjoint pieces that can be seen; a piece is as long as its interval allows. Empty intervals are
 * passed over. *out is the caller's to free; it has at most 2n-1 pieces. Time n log n whatever the
 * input. Returns 0, -ENOMEM.
 */
LYCH_MUST_CHECK int span_flatten(struct span **out, size_t *nout, const struct span *in, size_t n);

/* The piece that holds at, by binary search; NULL: none. */
const struct span *span_find(const struct span *spans, size_t n, uint64_t at);

#endif /* LYCH_SPAN_H */
