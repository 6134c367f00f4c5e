/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What LYCH_SYM has found. An index, open addressing and at most half full, leads from the address of a reference to its
 * binding. Readers take no lock: an entry is published when it is whole, and a full index is replaced by a larger one and
 * kept until the end, as somebody may be looking at it.
 */
#include <errno.h>
#include <stdlib.h>

#include "../core/keys.h"
#include "../core/thread.h"
#include "../core/why.h"
#include "library.h"
#include "none.h"
#include "symbols.h"

struct found {
	const struct lych_symbol_ref *ref;
	struct lych_binding binding;
};

struct index {
	struct index *before; /* smaller ones */
	size_t bytes;
	uint64_t places; /* a power of two */
	struct found *_Atomic at[];
};

struct chunk {
	struct chunk *before;
	size_t used;
	struct found found[];
};

#define CHUNK_BYTES ((size_t)LYCH_PAGE)
#define CHUNK_ROOM ((CHUNK_BYTES - sizeof(struct chunk)) / sizeof(struct found))
#define PLACES_FIRST 256

struct symbols {
	struct index *_Atomic index;
	struct chunk *chunk;
	uint64_t count;
};

static void *take(size_t bytes)
{
	return NONE != NULL ? calloc(1, bytes) : monitor_alloc(bytes);
}

static void give(void *at, size_t bytes)
{
	if (NONE != NULL) {
		free(at);
	} else {
		monitor_free(at, bytes);
	}
}

static uint64_t place_of(const struct index *index, const struct lych_symbol_ref *ref)
{
	return ((uintptr_t)ref >> 3) * 0x9e3779b97f4a7c15ull >> 32 & (index->places - 1);
}

static inline const struct lych_binding *find(struct symbols *_Atomic *symbols, const struct lych_symbol_ref *ref)
{
	const struct symbols *s = atomic_load_explicit(symbols, memory_order_acquire);
	struct index *index;
	struct found *found;

	if (s == NULL) {
		return NULL;
	}
	index = atomic_load_explicit(&s->index, memory_order_acquire);
	for (uint64_t i = place_of(index, ref);; i = (i + 1) & (index->places - 1)) {
		found = atomic_load_explicit(&index->at[i], memory_order_acquire);
		if (found == NULL) {
			return NULL;
		}
		if (found->ref == ref) {
			return &found->binding;
		}
	}
}

const struct lych_binding *symbols_find(struct symbols *_Atomic *symbols, const struct lych_symbol_ref *ref)
{
	return find(symbols, ref);
}

static void index_put(struct index *index, struct found *found)
{
	uint64_t i = place_of(index, found->ref);

	while (atomic_load_explicit(&index->at[i], memory_order_relaxed) != NULL) {
		i = (i + 1) & (index->places - 1);
	}
	atomic_store_explicit(&index->at[i], found, memory_order_release);
}

static struct index *index_new(uint64_t places)
{
	size_t bytes = sizeof(struct index) + places * sizeof(struct found *);
	struct index *index = take(bytes);

	if (index != NULL) {
		index->bytes = bytes;
		index->places = places;
	}
	return index;
}

static struct symbols *symbols_new(void)
{
	struct symbols *s = take(sizeof(*s));
	struct index *index;

	if (s == NULL) {
		return NULL;
	}
	index = index_new(PLACES_FIRST);
	if (index == NULL) {
		give(s, sizeof(*s));
		return NULL;
	}
	atomic_store_explicit(&s->index, index, memory_order_relaxed);
	return s;
}

/* Room for one more: in the index, and in a chunk. */
static bool make_room(struct symbols *s)
{
	struct index *old = atomic_load_explicit(&s->index, memory_order_relaxed), *index;
	struct chunk *chunk;

	if (s->chunk == NULL || s->chunk->used == CHUNK_ROOM) {
		chunk = take(CHUNK_BYTES);
		if (chunk == NULL) {
			return false;
		}
		chunk->before = s->chunk;
		s->chunk = chunk;
	}
	if (2 * (s->count + 1) <= old->places) {
		return true;
	}
	index = index_new(2 * old->places);
	if (index == NULL) {
		return false;
	}
	for (uint64_t i = 0; i < old->places; i++) {
		struct found *found = atomic_load_explicit(&old->at[i], memory_order_relaxed);

		if (found != NULL) {
			index_put(index, found);
		}
	}
	index->before = old;
	atomic_store_explicit(&s->index, index, memory_order_release);
	return true;
}

const struct lych_binding *symbols_add(struct symbols *_Atomic *symbols, const struct lych_symbol_ref *ref, void *fn)
{
	const struct lych_binding *known = symbols_find(symbols, ref);
	struct symbols *s = atomic_load_explicit(symbols, memory_order_relaxed);
	struct found *found;

	if (known != NULL) {
		return known;
	}
	if (s == NULL) {
		s = symbols_new();
		if (s == NULL) {
			return NULL;
		}
		atomic_store_explicit(symbols, s, memory_order_release);
	}
	if (!make_room(s)) {
		return NULL;
	}
	found = &s->chunk->found[s->chunk->used];
	found->ref = ref;
	found->binding = ref->binding;
	found->binding.fn = (void (*)(void))(uintptr_t)fn;
	s->chunk->used++;
	s->count++;
	index_put(atomic_load_explicit(&s->index, memory_order_relaxed), found);
	return &found->binding;
}

void symbols_free(struct symbols *s)
{
	if (s == NULL) {
		return;
	}
	for (struct index *i = atomic_load(&s->index), *before; i != NULL; i = before) {
		before = i->before;
		give(i, i->bytes);
	}
	for (struct chunk *c = s->chunk, *before; c != NULL; c = before) {
		before = c->before;
		give(c, CHUNK_BYTES);
	}
	give(s, sizeof(*s));
}

/* ---- public ------------------------------------------------------------------------------------- */

/* NULL: domain is none of lych_open. The caller is attached, where there is something to be attached to. */
static struct symbols *_Atomic *symbols_of(struct lych_domain *domain)
{
	if (NONE != NULL) {
		return NONE->symbols(domain);
	}
	return domain->library != NULL ? &domain->library->symbols : NULL;
}

static void lock(void)
{
	if (NONE != NULL) {
		none_lock();
	} else {
		monitor_lock();
	}
}

static void unlock(void)
{
	if (NONE != NULL) {
		none_unlock();
	} else {
		monitor_unlock();
	}
}

static __attribute__((noinline)) const struct lych_binding *look_up(struct lych_domain *domain, const struct lych_symbol_ref *ref,
								   int *status)
{
	const struct lych_binding *binding = NULL;
	struct symbols *_Atomic *symbols = NULL;
	struct thread *self;
	void *fn = NULL;
	int rc = domain == NULL ? -EINVAL : NONE != NULL ? 0 : thread_self(&self);

	if (rc == 0) {
		symbols = symbols_of(domain);
		rc = symbols != NULL ? 0 : -EINVAL;
	}
	if (rc == 0) {
		binding = symbols_find(symbols, ref);
	}
	if (rc == 0 && binding == NULL) {
		rc = lych_symbol(domain, &fn, ref->binding.name, ref->version);
		if (rc == 0) {
			lock();
			binding = symbols_add(symbols, ref, fn);
			unlock();
			rc = binding != NULL ? 0 : -ENOMEM;
		}
	}
	if (rc != 0) {
		*status = rc;
	}
	return binding;
}

const struct lych_binding *lych_symbol_binding(struct lych_domain *domain, const struct lych_symbol_ref *ref, int *status)
{
	const struct lych_binding *binding = NULL;

	/* As all calls but the first. Without the runtime nobody is here. */
	if (domain != NULL && thread_here() != NULL && domain->library != NULL) {
		binding = find(&domain->library->symbols, ref);
	}
	return binding != NULL ? binding : look_up(domain, ref, status);
}
