/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"

#define PARTS_LOG 4
#define PARTS (1u << PARTS_LOG)
#define ROWS (30 - PARTS_LOG + 1)
#define SCAN_MAX 64

/*
 * A tag says what a granule is: kind and, unless it is inside of a block, the granules of its block. Only the last
 * granule of a free block of two or more is a tail; live blocks have none, so what frees a block asks the granule
 * before it whether a free block ends there.
 */
#define KIND(tag) ((tag) >> 30)
#define SIZE(tag) ((tag) & BLOCKS_MAX)
#define TAG(kind, size) ((uint32_t)(kind) << 30 | (size))
enum { INSIDE, FREE_HEAD, LIVE_HEAD, FREE_TAIL };

struct link {
	uint32_t next, prev; /* of the free block that starts here */
};

struct blocks {
	uint32_t granules;
	uint32_t rows;         /* bit r: parts[r] is not 0 */
	uint32_t parts[ROWS];  /* bit p: list[r][p] is not empty */
	uint32_t list[ROWS][PARTS];
	uint32_t *tag;
	struct link *link;
};

size_t blocks_table_bytes(uint32_t granules)
{
	return sizeof(struct blocks) + (size_t)granules * (sizeof(struct link) + sizeof(uint32_t));
}

struct class {
	uint32_t row, part;
};

static struct class class_of(uint32_t size)
{
	uint32_t log;

	if (size < PARTS) {
		return (struct class){0, size};
	}
	log = 31 - (uint32_t)__builtin_clz(size);
	return (struct class){log - PARTS_LOG + 1, (size >> (log - PARTS_LOG)) & (PARTS - 1)};
}

static void insert(struct blocks *b, uint32_t first, uint32_t size)
{
	struct class c = class_of(size);
	uint32_t head = b->list[c.row][c.part];

	b->tag[first] = TAG(FREE_HEAD, size);
	if (size > 1) {
		b->tag[first + size - 1] = TAG(FREE_TAIL, size);
	}
	b->link[first] = (struct link){head, BLOCKS_NONE};
	if (head != BLOCKS_NONE) {
		b->link[head].prev = first;
	}
	b->list[c.row][c.part] = first;
	b->parts[c.row] |= 1u << c.part;
	b->rows |= 1u << c.row;
}

/* Takes a free block out of its list; both of its tags say INSIDE then. */
static void extract(struct blocks *b, uint32_t first)
{
	uint32_t size = SIZE(b->tag[first]);
	struct class c = class_of(size);
	struct link link = b->link[first];

	if (link.next != BLOCKS_NONE) {
		b->link[link.next].prev = link.prev;
	}
	if (link.prev != BLOCKS_NONE) {
		b->link[link.prev].next = link.next;
	} else {
		b->list[c.row][c.part] = link.next;
		if (link.next == BLOCKS_NONE) {
			b->parts[c.row] &= ~(1u << c.part);
			if (b->parts[c.row] == 0) {
				b->rows &= ~(1u << c.row);
			}
		}
	}
	b->tag[first + size - 1] = 0;
	b->tag[first] = 0;
}

/* Makes [first, first + size) free, which no list has, joined with the free blocks on both sides. */
static void release(struct blocks *b, uint32_t first, uint32_t size)
{
	uint32_t after = first + size;

	if (first > 0) {
		uint32_t tag = b->tag[first - 1];

		/* A free block of one granule is its own tail. */
		if (KIND(tag) == FREE_TAIL || (KIND(tag) == FREE_HEAD && SIZE(tag) == 1)) {
			first -= SIZE(tag);
			size += SIZE(tag);
			extract(b, first);
		}
	}
	if (after < b->granules && KIND(b->tag[after]) == FREE_HEAD) {
		size += SIZE(b->tag[after]);
		extract(b, after);
	}
	insert(b, first, size);
}

struct blocks *blocks_start(void *at, uint32_t granules)
{
	struct blocks *b = at;

	b->granules = granules;
	b->link = (struct link *)(b + 1);
	b->tag = (uint32_t *)(b->link + granules);
	for (unsigned int row = 0; row < ROWS; row++) {
		for (unsigned int part = 0; part < PARTS; part++) {
			b->list[row][part] = BLOCKS_NONE;
		}
	}
	insert(b, 0, granules);
	return b;
}

/* The first block of the smallest class that has only blocks of size or more. */
static uint32_t find_above(const struct blocks *b, uint32_t size)
{
	uint32_t rounded = size;
	uint32_t parts;
	struct class c;

	if (size >= PARTS) {
		rounded += (1u << (31 - (uint32_t)__builtin_clz(size) - PARTS_LOG)) - 1;
	}
	c = class_of(rounded);
	if (c.row >= ROWS) {
		return BLOCKS_NONE;
	}
	parts = b->parts[c.row] & (~0u << c.part);
	if (parts == 0) {
		uint32_t rows = b->rows & (~0u << c.row << 1);

		if (rows == 0) {
			return BLOCKS_NONE;
		}
		c.row = (uint32_t)__builtin_ctz(rows);
		parts = b->parts[c.row];
	}
	return b->list[c.row][__builtin_ctz(parts)];
}

static uint32_t padding(uint32_t first, uint64_t align, uint64_t skew)
{
	return (uint32_t)((align - (first + skew) % align) % align);
}

static bool fits(const struct blocks *b, uint32_t first, uint32_t size, uint64_t align, uint64_t skew)
{
	uint64_t pad = (align - (first + skew) % align) % align;

	return pad + size <= SIZE(b->tag[first]);
}

static uint32_t find(const struct blocks *b, uint32_t size, uint64_t align, uint64_t skew)
{
	uint64_t most = size + (align - 1);
	uint32_t first;
	struct class c;

	if (most <= b->granules) {
		first = find_above(b, (uint32_t)most);
		if (first != BLOCKS_NONE) {
			return first;
		}
	}
	first = find_above(b, size);
	if (first != BLOCKS_NONE && fits(b, first, size, align, skew)) {
		return first;
	}
	/* The class of size itself: some of its blocks may be just long enough. */
	c = class_of(size);
	first = b->list[c.row][c.part];
	for (unsigned int i = 0; i < SCAN_MAX && first != BLOCKS_NONE; i++) {
		if (fits(b, first, size, align, skew)) {
			return first;
		}
		first = b->link[first].next;
	}
	return BLOCKS_NONE;
}

uint32_t blocks_take(struct blocks *b, uint32_t granules, uint64_t align, uint64_t skew)
{
	uint32_t first, pad, size;

	if (granules == 0 || granules > b->granules) {
		return BLOCKS_NONE;
	}
	/* An alignment beyond any address: no sum below may wrap. */
	if (align > 1ull << 60) {
		return BLOCKS_NONE;
	}
	skew %= align;
	first = find(b, granules, align, skew);
	if (first == BLOCKS_NONE) {
		return BLOCKS_NONE;
	}
	size = SIZE(b->tag[first]);
	pad = padding(first, align, skew);
	extract(b, first);
	if (pad > 0) {
		insert(b, first, pad);
	}
	if (size > pad + granules) {
		insert(b, first + pad + granules, size - pad - granules);
	}
	b->tag[first + pad] = TAG(LIVE_HEAD, granules);
	return first + pad;
}

uint32_t blocks_size(const struct blocks *b, uint32_t first)
{
	if (first >= b->granules || KIND(b->tag[first]) != LIVE_HEAD) {
		return 0;
	}
	return SIZE(b->tag[first]);
}

bool blocks_give(struct blocks *b, uint32_t first)
{
	uint32_t size = blocks_size(b, first);

	if (size == 0) {
		return false;
	}
	b->tag[first] = 0;
	release(b, first, size);
	return true;
}

bool blocks_shrink(struct blocks *b, uint32_t first, uint32_t granules)
{
	uint32_t size = blocks_size(b, first);

	if (size == 0 || granules == 0 || granules > size) {
		return false;
	}
	if (granules < size) {
		b->tag[first] = TAG(LIVE_HEAD, granules);
		release(b, first + granules, size - granules);
	}
	return true;
}
