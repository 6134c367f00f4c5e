/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/mman.h>

#include "../core/asm.h"
#include "../library/library.h"
#include "domain_memory.h"

_Static_assert(sizeof(struct resume_block) <= STACK_RESERVED && STACK_RESERVED % 16 == 0, "");

int memory_stack_new(struct lych_domain *d, struct thread *t)
{
	struct domain_memory *m = d->memory;
	size_t index = thread_index(t);
	struct slot *slot = &t->slots[d->key];
	uint64_t id = d->id & ~(uint64_t)1; /* odd: always by the slow way, so a slot must not equal it */
	uint64_t low;

	if (id == 0) {
		return -EOWNERDEAD;
	}
	if (index == THREADS_MAX) {
		return -ENOMEM;
	}
	low = m->stacks[index];
	if (low == 0) {
		void *at;
		int err = memory_range_map(d, &at, m->stack_bytes, m->flags);

		if (err != 0) {
			return err;
		}
		low = (uintptr_t)at;
		m->stacks[index] = low;
		slot->sp = 0;
	}
	/* A stack that is in use, by a call below this one, keeps its position. */
	if (slot->low != low || slot->id != id || slot->sp == 0) {
		slot->low = low;
		slot->top = low + m->stack_bytes;
		slot->sp = slot->top - STACK_RESERVED;
	}
	if (d->library == NULL) {
		slot->fs = 0;
	}
	/* The last: from here on a handler can call. */
	__atomic_store_n(&slot->id, id, __ATOMIC_SEQ_CST);
	return 0;
}

static void drop(struct lych_domain *d, struct domain_memory *m, size_t index)
{
	uint64_t low = m->stacks[index];

	if (low != 0) {
		m->stacks[index] = 0;
		memory_range_unmap(d, (void *)(uintptr_t)low, m->stack_bytes);
	}
}

void stacks_free(struct lych_domain *d, struct domain_memory *m)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		drop(d, m, i);
	}
}

void memory_stacks_of_thread_free(struct thread *t)
{
	size_t index = thread_index(t);

	if (index == THREADS_MAX) {
		return;
	}
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct lych_domain *d = &ROOT.monitor->domains[i];

		if (d->library != NULL) {
			contexts_forget(d->library, t);
		}
		if (d->memory != NULL && d->memory->stacks[index] != 0) {
			t->slots[d->key] = (struct slot){.id = SLOT_NOBODY};
			drop(d, d->memory, index);
		}
	}
	regions_forget(index);
	soft_forget(index);
}

static uint64_t stack_of(const struct domain_memory *m, const struct thread *t)
{
	size_t index = thread_index(t);

	return index == THREADS_MAX ? 0 : m->stacks[index];
}

struct resume_block *memory_resume_block(struct lych_domain *d, struct thread *t)
{
	struct domain_memory *m = d->memory;
	uint64_t low = m == NULL ? 0 : stack_of(m, t);

	return low == 0 ? NULL : (struct resume_block *)(uintptr_t)(low + m->stack_bytes) - 1;
}

bool memory_is_stack_guard(struct lych_domain *d, uint64_t at)
{
	struct domain_memory *m = d->memory;

	for (size_t i = 0; m != NULL && i < THREADS_MAX; i++) {
		uint64_t low = m->stacks[i];

		if (low != 0 && (at - (low - RANGE_GUARD) < RANGE_GUARD || at - (low + m->stack_bytes) < RANGE_GUARD)) {
			return true;
		}
	}
	return false;
}

/* Of what the domain cannot unmap. */
static uint64_t steady_room(struct lych_domain *d, struct thread *t, uint64_t at)
{
	struct domain_memory *m = d->memory;
	uint64_t heap, stack;

	if (m == NULL) {
		return 0;
	}
	heap = (uintptr_t)m->heap;
	if (at - heap < m->heap_bytes) {
		return m->heap_bytes - (at - heap);
	}
	stack = stack_of(m, t);
	if (stack != 0 && at - stack < m->stack_bytes) {
		return m->stack_bytes - (at - stack);
	}
	return 0;
}

uint64_t memory_room(struct lych_domain *d, struct thread *t, uint64_t at)
{
	const struct library *l = d->library;

	if (l != NULL && d->memory != NULL) {
		return library_holds(l, at, 1) ? l->end - at : 0;
	}
	return steady_room(d, t, at);
}

bool memory_is_steady(struct lych_domain *d, struct thread *t, uint64_t at, uint64_t bytes)
{
	return (bytes == 0 ? 1 : bytes) <= steady_room(d, t, at);
}

bool memory_contains(struct lych_domain *d, struct thread *t, uint64_t at, uint64_t bytes)
{
	return (bytes == 0 ? 1 : bytes) <= memory_room(d, t, at);
}
