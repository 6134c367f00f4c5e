/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block table next to a model of it that is too simple to be wrong: an owner for each granule. What the table answers
 * is compared with the model at each step. For the unit test and the fuzz target; says what is wrong and aborts.
 */
#ifndef LYCH_TEST_BLOCKS_MODEL_H
#define LYCH_TEST_BLOCKS_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "../../gate/memory/blocks.h"
#ifdef __cplusplus
}
#endif

#define MODEL_MAX 2048

struct blocks_model {
	struct blocks *table;
	void *memory;
	uint32_t granules;
	uint32_t owner[MODEL_MAX]; /* number of the block plus 1; 0: free */
	uint32_t size[MODEL_MAX];  /* of the live block that starts here */
};

static inline void model_expect(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "block table: %s\n", what);
		abort();
	}
}

static inline void model_start(struct blocks_model *m, uint32_t granules)
{
	memset(m, 0, sizeof(*m));
	m->granules = granules;
	m->memory = calloc(1, blocks_table_bytes(granules));
	m->table = blocks_start(m->memory, granules);
}

static inline void model_stop(struct blocks_model *m)
{
	for (uint32_t i = 0; i < m->granules; i++) {
		if (m->size[i] != 0) {
			model_expect(blocks_give(m->table, i), "a live block cannot be given back at the end");
		}
	}
	model_expect(blocks_take(m->table, m->granules, 1, 0) == 0, "all was given back, but it is not one piece");
	free(m->memory);
}

/* What the table may refuse to find in a free stretch: it rounds up to the next size class. */
static inline uint64_t model_rounded(uint64_t size)
{
	uint64_t step = 1;

	while (size / step >= 32) {
		step *= 2;
	}
	return (size + step - 1) / step * step;
}

static inline uint32_t model_take(struct blocks_model *m, uint32_t size, uint64_t align, uint64_t skew)
{
	uint32_t first = blocks_take(m->table, size, align, skew);

	if (first == BLOCKS_NONE) {
		uint64_t stretch = 0;

		for (uint32_t i = 0; size != 0 && i < m->granules; i++) {
			stretch = m->owner[i] == 0 ? stretch + 1 : 0;
			model_expect(align > m->granules || stretch < model_rounded(size + align - 1),
				     "refused although there is room");
		}
		return first;
	}
	model_expect(size != 0, "a block of nothing");
	model_expect(first < m->granules && size <= m->granules - first, "a block beyond the end");
	model_expect((first + skew) % align == 0, "not aligned");
	for (uint32_t i = 0; i < size; i++) {
		model_expect(m->owner[first + i] == 0, "a block over another");
		m->owner[first + i] = first + 1;
	}
	m->size[first] = size;
	return first;
}

static inline void model_give(struct blocks_model *m, uint32_t first)
{
	uint32_t size = first < m->granules ? m->size[first] : 0;

	model_expect(blocks_size(m->table, first) == size, "another size before it is given back");
	model_expect(blocks_give(m->table, first) == (size != 0), "gave back what is not live, or not what is");
	model_expect(blocks_size(m->table, first) == 0, "live after it was given back");
	for (uint32_t i = 0; i < size; i++) {
		m->owner[first + i] = 0;
	}
	if (size != 0) {
		m->size[first] = 0;
	}
}

static inline void model_shrink(struct blocks_model *m, uint32_t first, uint32_t granules)
{
	uint32_t size = first < m->granules ? m->size[first] : 0;
	bool may = size != 0 && granules != 0 && granules <= size;

	model_expect(blocks_shrink(m->table, first, granules) == may, "shortened what it must not, or refused to");
	if (may) {
		for (uint32_t i = granules; i < size; i++) {
			m->owner[first + i] = 0;
		}
		m->size[first] = granules;
	}
}

/* All sizes, as seen from outside. */
static inline void model_compare(const struct blocks_model *m)
{
	for (uint32_t i = 0; i < m->granules; i++) {
		model_expect(blocks_size(m->table, i) == m->size[i], "another size");
	}
}

#endif /* LYCH_TEST_BLOCKS_MODEL_H */
