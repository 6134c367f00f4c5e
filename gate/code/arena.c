/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "parts.h"

/* What hostile files can make a planner keep is bounded far below; where that is too much to ask for, less. */
#define MOST (UINT64_C(1) << 30)
#define LEAST (UINT64_C(1) << 24)
#define ALIGN 16u
#define SLICE_NS 100000000 /* between two looks whether it is over */

static struct {
	char *start, *at, *end;
} arena;

/* Who has the lock, as a process id: what a child of fork finds locked by a thread of its parent is free. */
#define WAITED (UINT32_C(1) << 31)
static uint32_t owner;

bool arena_lock(bool (*over)(const void *ctx), const void *ctx)
{
	const struct timespec slice = {.tv_nsec = SLICE_NS};
	uint32_t self = (uint32_t)sys0(SYS_getpid), seen = 0, mine = self;

	for (;;) {
		if ((seen & ~WAITED) != self) {
			if (__atomic_compare_exchange_n(&owner, &seen, mine, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
				return true;
			}
			continue;
		}
		if (over != NULL && over(ctx)) {
			return false;
		}
		mine = self | WAITED; /* there may be others that wait */
		if (seen == mine || __atomic_compare_exchange_n(&owner, &seen, mine, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
			sys4(SYS_futex, &owner, FUTEX_WAIT_PRIVATE, mine, over != NULL ? &slice : NULL);
			seen = __atomic_load_n(&owner, __ATOMIC_RELAXED);
		}
	}
}

void arena_unlock(void)
{
	if ((__atomic_exchange_n(&owner, 0, __ATOMIC_RELEASE) & WAITED) != 0) {
		sys3(SYS_futex, &owner, FUTEX_WAKE_PRIVATE, 1);
	}
}

/* After mlockall(MCL_FUTURE) all of what is mapped would be there at once: so it is unlocked before it can be. NULL: no memory. */
static char *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED) {
		return NULL;
	}
	munlock(at, bytes);
	/* Little of it is used: a huge page would be zeroed for the first byte, and copied for a child's. It may not be known. */
	sys3(SYS_madvise, at, bytes, MADV_NOHUGEPAGE);
	if (mprotect(at, bytes, PROT_READ | PROT_WRITE) != 0) {
		munmap(at, bytes);
		return NULL;
	}
	return at;
}

int arena_begin(void)
{
	for (size_t bytes = MOST; bytes >= LEAST; bytes /= 4) {
		char *at = map(bytes);

		if (at != NULL) {
			arena.start = arena.at = at;
			arena.end = at + bytes;
			return 0;
		}
	}
	return -ENOMEM;
}

void arena_end(void)
{
	munmap(arena.start, (size_t)(arena.end - arena.start));
	arena.start = arena.at = arena.end = NULL;
}

void *arena_take(size_t bytes)
{
	char *at = arena.at;

	if (bytes > (size_t)(arena.end - at) - ALIGN) {
		return NULL;
	}
	arena.at += (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	return at;
}

void *arena_rest(size_t *bytes)
{
	*bytes = (size_t)(arena.end - arena.at) - ALIGN;
	return arena.at;
}

/*
 * What the scanner's files call instead of malloc and its kin (gate/CMakeLists.txt). Before each block stands its
 * size, for realloc; the last block is given back or grown in place, which is what their arrays mostly ask for.
 */
void *arena_malloc(size_t bytes);
void arena_free(void *block);
void *arena_realloc(void *block, size_t bytes);
void *arena_calloc(size_t n, size_t bytes);
void *arena_reallocarray(void *block, size_t n, size_t bytes);
void arena_qsort(void *items, size_t n, size_t bytes, int (*compare)(const void *, const void *));

static size_t *size_of(void *block)
{
	return (size_t *)((char *)block - ALIGN);
}

static bool is_last(void *block)
{
	return (char *)block + ((*size_of(block) + ALIGN - 1) & ~(size_t)(ALIGN - 1)) == arena.at;
}

void *arena_malloc(size_t bytes)
{
	size_t *at = bytes > SIZE_MAX / 2 ? NULL : arena_take(ALIGN + bytes);

	if (at == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	*at = bytes;
	return (char *)at + ALIGN;
}

void arena_free(void *block)
{
	if (block != NULL && is_last(block)) {
		/* What is taken next expects zeros. */
		memset(size_of(block), 0, ALIGN + *size_of(block));
		arena.at = (char *)size_of(block);
	}
}

void *arena_realloc(void *block, size_t bytes)
{
	void *more;

	if (block == NULL) {
		return arena_malloc(bytes);
	}
	if (bytes <= *size_of(block)) {
		return block;
	}
	if (is_last(block) && bytes < (size_t)(arena.end - (char *)block) - ALIGN) {
		*size_of(block) = bytes;
		arena.at = (char *)block + ((bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1));
		return block;
	}
	more = arena_malloc(bytes);
	if (more != NULL) {
		memcpy(more, block, *size_of(block));
	}
	return more;
}

void *arena_calloc(size_t n, size_t bytes)
{
	size_t all;

	if (__builtin_mul_overflow(n, bytes, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return arena_malloc(all);
}

void *arena_reallocarray(void *block, size_t n, size_t bytes)
{
	size_t all;

	if (__builtin_mul_overflow(n, bytes, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return arena_realloc(block, all);
}

static void swap(char *a, char *b, size_t bytes)
{
	while (bytes > 0) {
		char part[64];
		size_t n = bytes < sizeof(part) ? bytes : sizeof(part);

		memcpy(part, a, n);
		memcpy(a, b, n);
		memcpy(b, part, n);
		a += n;
		b += n;
		bytes -= n;
	}
}

static void sift(char *items, size_t from, size_t n, size_t bytes, int (*compare)(const void *, const void *))
{
	for (size_t child = 2 * from + 1; child < n; child = 2 * from + 1) {
		if (child + 1 < n && compare(items + child * bytes, items + (child + 1) * bytes) < 0) {
			child++;
		}
		if (compare(items + from * bytes, items + child * bytes) >= 0) {
			return;
		}
		swap(items + from * bytes, items + child * bytes, bytes);
		from = child;
	}
}

static void heapsort(void *items, size_t n, size_t bytes, int (*compare)(const void *, const void *))
{
	for (size_t i = n / 2; i > 0; i--) {
		sift(items, i - 1, n, bytes, compare);
	}
	for (size_t end = n; end > 1; end--) {
		swap(items, (char *)items + (end - 1) * bytes, bytes);
		sift(items, 0, end - 1, bytes, compare);
	}
}

/* Sorted [from, middle) and [middle, to) become one in out. */
static void merge(char *out, const char *from, const char *middle, const char *to, size_t bytes,
		  int (*compare)(const void *, const void *))
{
	const char *left = from, *right = middle;

	while (left < middle || right < to) {
		const char **next = right == to || (left < middle && compare(left, right) <= 0) ? &left : &right;

		memcpy(out, *next, bytes);
		out += bytes;
		*next += bytes;
	}
}

/* Mergesort, in place where there is no room for a copy. glibc's asks malloc. */
void arena_qsort(void *items, size_t n, size_t bytes, int (*compare)(const void *, const void *))
{
	char *from = items, *to = arena_malloc(n * bytes), *room = to;

	if (room == NULL) {
		heapsort(items, n, bytes, compare);
		return;
	}
	for (size_t run = 1; run < n; run *= 2) {
		for (size_t i = 0; i < n; i += 2 * run) {
			size_t middle = i + run < n ? i + run : n, end = i + 2 * run < n ? i + 2 * run : n;

			merge(to + i * bytes, from + i * bytes, from + middle * bytes, from + end * bytes, bytes, compare);
		}
		char *other = from;

		from = to;
		to = other;
	}
	if (from != items) {
		memcpy(items, from, n * bytes);
	}
	arena_free(room);
}
