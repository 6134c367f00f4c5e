/* SPDX-License-Identifier: Apache-2.0 */
#include "ranges.h"

/* The list being written. Ranges arrive in order; last is kept here until it is known that the next does not extend it. */
struct writer {
	struct key_range *out;
	size_t count;
	struct key_range last;
	int have;
};

static void put_last(struct writer *w)
{
	struct key_range *r = &w->out[w->count];

	if (!w->have) {
		return;
	}
	__atomic_store_n(&r->at, w->last.at, __ATOMIC_RELAXED);
	__atomic_store_n(&r->end, w->last.end, __ATOMIC_RELAXED);
	__atomic_store_n(&r->key, w->last.key, __ATOMIC_RELAXED);
	__atomic_store_n(&r->prot, w->last.prot, __ATOMIC_RELAXED);
	w->count++;
	w->have = 0;
}

static void put(struct writer *w, uint64_t at, uint64_t end, int key, int prot)
{
	if (at >= end || key == RANGE_GONE) {
		return;
	}
	if (w->have && w->last.end == at && w->last.key == key && w->last.prot == prot) {
		w->last.end = end;
		return;
	}
	put_last(w);
	w->last.at = at;
	w->last.end = end;
	w->last.key = key;
	w->last.prot = prot;
	w->have = 1;
}

size_t ranges_set(struct key_range *out, const struct key_range *in, size_t count, uint64_t at, uint64_t end, int key,
		  int prot)
{
	struct writer w = {.out = out};
	size_t i = 0;

	for (; i < count && in[i].end <= at; i++) {
		put(&w, in[i].at, in[i].end, in[i].key, in[i].prot);
	}
	if (i < count && in[i].at < at) {
		put(&w, in[i].at, at, in[i].key, in[i].prot);
	}
	put(&w, at, end, key, prot);
	for (; i < count; i++) {
		put(&w, in[i].at < end ? end : in[i].at, in[i].end, in[i].key, in[i].prot);
	}
	put_last(&w);
	return w.count;
}

size_t ranges_find(const struct key_range *ranges, size_t count, uint64_t at)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (__atomic_load_n(&ranges[middle].end, __ATOMIC_RELAXED) <= at) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

int ranges_key_of(const struct key_range *ranges, size_t count, uint64_t at, uint64_t end)
{
	size_t i = ranges_find(ranges, count, at);
	int key = RANGE_GONE;

	for (uint64_t upto = at; upto < end; i++) {
		if (i == count || ranges[i].at > upto || (upto != at && ranges[i].key != key)) {
			return RANGE_GONE;
		}
		key = ranges[i].key;
		upto = ranges[i].end;
	}
	return key;
}
