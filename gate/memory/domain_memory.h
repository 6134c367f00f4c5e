/* SPDX-License-Identifier: Apache-2.0 */
/* What gate/memory/ keeps of a domain, in monitor memory. */
#ifndef LYCH_DOMAIN_MEMORY_H
#define LYCH_DOMAIN_MEMORY_H

#include "../core/runtime.h"
#include "backend_mprotect.h"
#include "blocks.h"
#include "memory.h"
#include "guarded.h"

#define STACK_RESERVED 256 /* above the first frame: the resume block at the very end */

struct domain_memory {
	_Atomic uint32_t lock; /* of the block table (short_lock.h) */
	unsigned int flags;    /* RANGE_* of all ranges */
	bool zero_on_free;
	uint8_t *heap;
	size_t heap_bytes;
	struct blocks *blocks;
	uint64_t life; /* under lock: how often the table was made new */
	size_t stack_bytes;
	struct soft_range *soft; /* of the heap; NULL with pku */
	_Atomic uint64_t stacks[THREADS_MAX]; /* lowest address, by thread_index; 0: none */
};

/* Position of a thread's area, which t lies in, in the arena. THREADS_MAX: out of range, no attached thread's. */
static inline size_t thread_index(const struct thread *t)
{
	size_t index = ((uint64_t)(uintptr_t)t - ROOT.arena) >> AREA_SHIFT;

	return index < THREADS_MAX ? index : THREADS_MAX;
}

/* range_map and range_unmap for heap and stacks of d: in a library domain they lie in its arena. With monitor->lock. */
LYCH_HIDDEN int memory_range_map(struct lych_domain *d, void **out, size_t bytes, unsigned int flags);
LYCH_HIDDEN void memory_range_unmap(struct lych_domain *d, void *at, size_t bytes);

/* Copies, reading each byte exactly once. */
LYCH_HIDDEN void copy_once(void *dst, const void *src, size_t bytes);
/* heap_alloc with the reason: -ENOMEM, -EINVAL, -EAGAIN. *life, unless NULL: the heap's at that moment. */
LYCH_HIDDEN int heap_take(struct lych_domain *d, size_t align, size_t bytes, void **out, uint64_t *life);
/*
 * Copies bytes from the block to dst, unless that is NULL, and frees it: 0; -ECANCELED, and nothing is touched: the
 * heap's life is not this one any more; -EINVAL: no block can start there, or be that long; -EAGAIN.
 */
LYCH_HIDDEN int heap_fetch(struct lych_domain *d, void *block, uint64_t life, void *dst, size_t bytes);
/* The live block becomes smaller, in place: 0; -EINVAL (not live); -E2BIG: it is not that long; -EAGAIN. */
LYCH_HIDDEN int heap_shrink(struct lych_domain *d, void *block, size_t bytes);
/* Like heap_size_of, but 0, -EINVAL or -EAGAIN, the size in *bytes. */
LYCH_HIDDEN int heap_measure(struct lych_domain *d, const void *block, size_t *bytes);
LYCH_HIDDEN bool heap_lock(struct domain_memory *m);
LYCH_HIDDEN void heap_unlock(struct domain_memory *m);

/* stack.c, with monitor->lock */
LYCH_HIDDEN void stacks_free(struct lych_domain *d, struct domain_memory *m);
/* region.c, with monitor->lock: the thread at this index has no scopes any more; of all but keep. */
LYCH_HIDDEN void regions_forget(size_t index);
LYCH_HIDDEN void regions_forget_others(size_t keep);

#endif /* LYCH_DOMAIN_MEMORY_H */
