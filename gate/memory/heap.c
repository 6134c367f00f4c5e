/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/short_lock.h"
#include "../library/arena.h"
#include "domain_memory.h"

#define HEAP_DEFAULT ((size_t)1 << 20)
#define STACK_DEFAULT ((size_t)256 << 10)
#define STACK_LEAST ((size_t)16 << 10)

bool heap_lock(struct domain_memory *m)
{
	return short_lock(&m->lock);
}

void heap_unlock(struct domain_memory *m)
{
	short_unlock(&m->lock);
}

static uint32_t granules_of(const struct domain_memory *m, size_t bytes)
{
	if (bytes > m->heap_bytes) {
		return BLOCKS_NONE; /* more than any table has */
	}
	return bytes == 0 ? 1 : (uint32_t)((bytes + GRANULE - 1) / GRANULE);
}

/* The granule at block; BLOCKS_NONE when no block can start there. */
static uint32_t granule_at(const struct domain_memory *m, const void *block)
{
	uint64_t offset = (uint64_t)(uintptr_t)block - (uint64_t)(uintptr_t)m->heap;

	return offset >= m->heap_bytes || offset % GRANULE != 0 ? BLOCKS_NONE : (uint32_t)(offset / GRANULE);
}

int heap_take(struct lych_domain *d, size_t align, size_t bytes, void **out, uint64_t *life)
{
	struct domain_memory *m = d->memory;
	uint32_t granules, first;

	if (align == 0 || (align & (align - 1)) != 0) {
		return -EINVAL;
	}
	granules = granules_of(m, bytes);
	if (!heap_lock(m)) {
		return -EAGAIN;
	}
	first = blocks_take(m->blocks, granules, align <= GRANULE ? 1 : align / GRANULE,
			    (uint64_t)(uintptr_t)m->heap / GRANULE);
	if (life != NULL) {
		*life = m->life;
	}
	heap_unlock(m);
	if (first == BLOCKS_NONE) {
		return -ENOMEM;
	}
	*out = m->heap + (size_t)first * GRANULE;
	/* Without the lock: the block is the caller's already. */
	memset(*out, 0, (size_t)granules * GRANULE);
	return 0;
}

void *heap_alloc(struct lych_domain *d, size_t align, size_t bytes)
{
	void *block = NULL;

	return heap_take(d, align, bytes, &block, NULL) == 0 ? block : NULL;
}

/*
 * Each byte of src is loaded exactly once: what another thread of the domain writes meanwhile can be in dst or not,
 * but never be seen both ways. memcpy does not promise that. The race is what it is for, so ThreadSanitizer is told.
 */
__attribute__((no_sanitize_thread)) void copy_once(void *dst, const void *src, size_t bytes)
{
	typedef uint64_t __attribute__((may_alias, aligned(1))) word;
	const volatile uint8_t *from = src;
	uint8_t *to = dst;

	for (; bytes >= sizeof(word); bytes -= sizeof(word)) {
		*(word *)to = *(const volatile word *)from;
		from += sizeof(word);
		to += sizeof(word);
	}
	for (; bytes > 0; bytes--) {
		*to++ = *from++;
	}
}

static void wipe(void *at, size_t bytes)
{
	memset(at, 0, bytes);
	__asm__ volatile("" : : "r"(at) : "memory"); /* it is not read again: keep the stores */
}

/* With the lock: nobody can take it before it is clean, nobody free it twice. */
static int give(struct domain_memory *m, void *block, uint32_t first)
{
	uint32_t size = blocks_size(m->blocks, first);

	if (size > 0 && m->zero_on_free) {
		wipe(block, (size_t)size * GRANULE);
	}
	blocks_give(m->blocks, first);
	return size > 0 ? 0 : -EINVAL;
}

int heap_free(struct lych_domain *d, void *block)
{
	struct domain_memory *m = d->memory;
	uint32_t first = granule_at(m, block);
	int err;

	if (first == BLOCKS_NONE) {
		return -EINVAL;
	}
	if (!heap_lock(m)) {
		return -EAGAIN;
	}
	err = give(m, block, first);
	heap_unlock(m);
	return err;
}

int heap_fetch(struct lych_domain *d, void *block, uint64_t life, void *dst, size_t bytes)
{
	struct domain_memory *m = d->memory;
	uint32_t first = granule_at(m, block);
	int err = 0;

	if (first == BLOCKS_NONE || bytes > m->heap_bytes - (size_t)first * GRANULE) {
		return -EINVAL;
	}
	if (!heap_lock(m)) {
		return -EAGAIN;
	}
	if (life != m->life) {
		err = -ECANCELED;
	} else {
		if (dst != NULL) {
			copy_once(dst, block, bytes);
		}
		/* The domain may have freed it before: that is its own affair. */
		(void)give(m, block, first);
	}
	heap_unlock(m);
	return err;
}

int heap_measure(struct lych_domain *d, const void *block, size_t *bytes)
{
	struct domain_memory *m = d->memory;
	uint32_t first = granule_at(m, block);

	if (first == BLOCKS_NONE) {
		return -EINVAL;
	}
	if (!heap_lock(m)) {
		return -EAGAIN;
	}
	*bytes = (size_t)blocks_size(m->blocks, first) * GRANULE;
	heap_unlock(m);
	return *bytes > 0 ? 0 : -EINVAL;
}

size_t heap_size_of(struct lych_domain *d, const void *block)
{
	size_t bytes;

	return heap_measure(d, block, &bytes) == 0 ? bytes : 0;
}

int heap_shrink(struct lych_domain *d, void *block, size_t bytes)
{
	struct domain_memory *m = d->memory;
	uint32_t first = granule_at(m, block);
	uint32_t granules = granules_of(m, bytes);
	uint32_t size;

	if (first == BLOCKS_NONE) {
		return -EINVAL;
	}
	if (!heap_lock(m)) {
		return -EAGAIN;
	}
	size = blocks_size(m->blocks, first);
	if (size >= granules) {
		if (m->zero_on_free) {
			wipe((uint8_t *)block + (size_t)granules * GRANULE, (size_t)(size - granules) * GRANULE);
		}
		blocks_shrink(m->blocks, first, granules);
	}
	heap_unlock(m);
	return size == 0 ? -EINVAL : size < granules ? -E2BIG : 0;
}

uint32_t vault_open(const struct lych_domain *d)
{
	if (d->kind != LYCH_KIND_VAULT || ROOT.backend != LYCH_PKU) {
		return 0;
	}
	/* Before the right and until after it: a signal in between must not take it for a forged one. */
	lych_tls->thread.vault_open = VIEW_BITS(d->key);
	return lych_pkru_update_pku(VIEW_BITS(d->key), 0) & VIEW_BITS(d->key);
}

void vault_close(const struct lych_domain *d, uint32_t before)
{
	if (before != 0) {
		lych_pkru_update_pku(VIEW_BITS(d->key), before);
		lych_tls->thread.vault_open = 0;
	}
}

int memory_range_map(struct lych_domain *d, void **out, size_t bytes, unsigned int flags)
{
	if (d->library != NULL) {
		return arena_guarded(d->library, out, bytes, flags);
	}
	return range_map(out, bytes, (int)d->key, PROT_READ | PROT_WRITE, flags);
}

void memory_range_unmap(struct lych_domain *d, void *at, size_t bytes)
{
	if (d->library != NULL) {
		arena_unguarded(d->library, at, bytes);
	} else {
		range_unmap(at, bytes);
	}
}

static struct blocks *table_new(size_t heap_bytes)
{
	uint32_t granules = (uint32_t)(heap_bytes / GRANULE);
	void *at = monitor_alloc(blocks_table_bytes(granules));

	return at == NULL ? NULL : blocks_start(at, granules);
}

static void table_free(struct blocks *blocks, size_t heap_bytes)
{
	monitor_free(blocks, blocks_table_bytes((uint32_t)(heap_bytes / GRANULE)));
}

int memory_new(struct lych_domain *d, const struct lych_domain_opts *opts)
{
	static const struct lych_domain_opts defaults;
	const struct lych_domain_opts *o = opts != NULL ? opts : &defaults;
	bool soft = ROOT.backend == LYCH_MPROTECT;
	struct domain_memory *m;
	size_t heap_bytes = range_round(o->heap_bytes != 0 ? o->heap_bytes : HEAP_DEFAULT);
	size_t stack_bytes = range_round(o->stack_bytes != 0 ? o->stack_bytes : STACK_DEFAULT);

	if (heap_bytes == 0 || heap_bytes / GRANULE > BLOCKS_MAX || stack_bytes == 0) {
		return -EINVAL;
	}
	if (soft && backend_mprotect_refuses(d->kind) != NULL) {
		return -EOPNOTSUPP;
	}
	m = monitor_alloc(sizeof(*m));
	if (m == NULL) {
		return -ENOMEM;
	}
	m->flags = o->lock_memory ? RANGE_LOCK : 0;
	m->zero_on_free = o->zero_on_free;
	m->heap_bytes = heap_bytes;
	m->stack_bytes = stack_bytes < STACK_LEAST ? STACK_LEAST : stack_bytes;
	m->blocks = table_new(heap_bytes);
	if (m->blocks == NULL) {
		goto no_table;
	}
	if (memory_range_map(d, (void **)&m->heap, heap_bytes, m->flags) != 0) {
		goto no_heap;
	}
	if (soft && soft_add(&m->soft, m->heap, heap_bytes, PROT_READ | PROT_WRITE, d) != 0) {
		goto no_rules;
	}
	d->memory = m;
	return 0;

no_rules:
	memory_range_unmap(d, m->heap, heap_bytes);
no_heap:
	table_free(m->blocks, heap_bytes);
no_table:
	monitor_free(m, sizeof(*m));
	return -ENOMEM;
}

void memory_free(struct lych_domain *d)
{
	struct domain_memory *m = d->memory;

	if (m == NULL) {
		return;
	}
	d->memory = NULL;
	stacks_free(d, m);
	soft_remove(m->soft);
	memory_range_unmap(d, m->heap, m->heap_bytes);
	table_free(m->blocks, m->heap_bytes);
	monitor_free(m, sizeof(*m));
}

/* The pages themselves go, so that what was in them cannot come back. Locked ones do not go, and the kernel locks
 * only what this thread has rights to. */
static int heap_empty(const struct lych_domain *d)
{
	struct domain_memory *m = d->memory;
	bool locked = m->flags & RANGE_LOCK;
	uint32_t before;
	int err;

	if (locked && sys2(SYS_munlock, m->heap, m->heap_bytes) != 0) {
		return -ENOMEM;
	}
	if (sys3(SYS_madvise, m->heap, m->heap_bytes, MADV_DONTNEED) != 0) {
		return -ENOMEM;
	}
	before = vault_open(d);
	err = locked && sys2(SYS_mlock, m->heap, m->heap_bytes) != 0 ? -ENOMEM : 0;
	vault_close(d, before);
	return err;
}

int memory_reset(struct lych_domain *d)
{
	struct domain_memory *m = d->memory;
	struct blocks *old = m->blocks;
	struct blocks *fresh = table_new(m->heap_bytes);

	if (fresh == NULL) {
		return -ENOMEM;
	}
	stacks_free(d, m);
	if (!heap_lock(m)) {
		table_free(fresh, m->heap_bytes);
		return -ENOMEM;
	}
	/* All three in one: who holds the lock sees a heap, its table and its life that belong together. */
	if (heap_empty(d) != 0) {
		heap_unlock(m);
		table_free(fresh, m->heap_bytes);
		return -ENOMEM;
	}
	m->blocks = fresh;
	m->life++;
	heap_unlock(m);
	table_free(old, m->heap_bytes);
	return 0;
}

void memory_fork_prepare(void)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct domain_memory *m = ROOT.monitor->domains[i].memory;

		while (m != NULL && !heap_lock(m)) {
		}
	}
}

void memory_fork_parent(void)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct domain_memory *m = ROOT.monitor->domains[i].memory;

		if (m != NULL) {
			heap_unlock(m);
		}
	}
}

void memory_fork_child(struct thread *self)
{
	size_t keep = self == NULL ? THREADS_MAX : thread_index(self);

	memory_fork_parent();
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct domain_memory *m = ROOT.monitor->domains[i].memory;

		for (size_t t = 0; m != NULL && t < THREADS_MAX; t++) {
			uint64_t low = t == keep ? 0 : m->stacks[t];

			if (low != 0) {
				m->stacks[t] = 0;
				memory_range_unmap(&ROOT.monitor->domains[i], (void *)(uintptr_t)low, m->stack_bytes);
			}
		}
	}
	regions_forget_others(keep);
	soft_forget_others(keep);
}
