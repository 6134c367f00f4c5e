/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "span.h"

#define FREE UINT32_MAX

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The index of a value that is known to be there. */
static uint32_t cut_index(const uint64_t *cuts, size_t ncuts, uint64_t value)
{
	size_t lo = 0;
	size_t hi = ncuts;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (cuts[mid] <= value) {
			lo = mid;
		} else {
			hi = mid;
		}
	}
	return (uint32_t)lo;
}

/* The first cell at or after k that nobody took; halving the path keeps the sum of all calls small.
 */
static uint32_t next_free(uint32_t *next, uint32_t k)
{
	while (next[k] != k) {
		next[k] = next[next[k]];
		k = next[k];
	}
	return k;
}

static size_t collect_cuts(uint64_t *cuts, const struct span *in, size_t n)
{
	size_t count = 0;
	size_t unique = 0;

	for (size_t i = 0; i < n; i++) {
		cuts[count++] = in[i].start;
		cuts[count++] = in[i].end;
	}
	qsort(cuts, count, sizeof(*cuts), compare_u64);
	for (size_t i = 0; i < count; i++) {
		if (unique == 0 || cuts[unique - 1] != cuts[i]) {
			cuts[unique++] = cuts[i];
		}
	}
	return unique;
}

/*
 * All borders cut the addresses into cells. From the last interval to the first each takes the
 * cells in it that are still free, so that every cell is taken once.
 */
int span_flatten(struct span **out, size_t *nout, const struct span *in, size_t n)
{
	uint64_t *cuts = NULL;
	uint32_t *next = NULL;
	uint32_t *taken = NULL;
	size_t ncuts;
	size_t count = 0;
	int rc = -ENOMEM;

	*out = NULL;
	*nout = 0;
	if (n == 0) {
		return 0;
	}
	if (n >= FREE / 2) {
		return -ENOMEM;
	}
	cuts = malloc(2 * n * sizeof(*cuts));
	next = malloc(2 * n * sizeof(*next));
	taken = malloc(2 * n * sizeof(*taken));
	if (cuts == NULL || next == NULL || taken == NULL) {
		goto out;
	}
	ncuts = collect_cuts(cuts, in, n);
	for (uint32_t k = 0; k < ncuts; k++) {
		next[k] = k;
		taken[k] = FREE;
	}
	for (size_t i = n; i-- > 0;) {
		uint32_t end = cut_index(cuts, ncuts, in[i].end);
		uint32_t k = cut_index(cuts, ncuts, in[i].start);

		/* The cell at the last cut is never taken: end is at most that. */
		for (k = next_free(next, k); k < end; k = next_free(next, k)) {
			taken[k] = (uint32_t)i;
			next[k] = k + 1;
		}
	}

	for (size_t k = 0; k < ncuts; k++) {
		count += taken[k] != FREE && (k == 0 || taken[k] != taken[k - 1]);
	}
	if (count > 0) {
		*out = malloc(count * sizeof(**out));
		if (*out == NULL) {
			goto out;
		}
	}
	for (size_t k = 0; k < ncuts; k++) {
		if (taken[k] == FREE) {
			continue;
		}
		if (k == 0 || taken[k] != taken[k - 1]) {
			(*out)[*nout].start = cuts[k];
			(*out)[*nout].owner = in[taken[k]].owner;
			(*nout)++;
		}
		(*out)[*nout - 1].end = cuts[k + 1];
	}
	rc = 0;
out:
	free(taken);
	free(next);
	free(cuts);
	return rc;
}

const struct span *span_find(const struct span *spans, size_t n, uint64_t at)
{
	size_t lo = 0;
	size_t hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (spans[mid].end <= at) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo < n && spans[lo].start <= at ? &spans[lo] : NULL;
}
