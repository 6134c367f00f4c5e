/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds gate/memory/ in the runtime, made small, so that tests reach it alone: attaching, keys, the ledger,
 * monitor memory, domains without a gate. Where there are protection keys it uses them (through libc), elsewhere PKRU
 * is a number of each thread's. For C++, which cannot read the runtime's own headers.
 */
#ifndef LYCH_TEST_FAKE_RUNTIME_H
#define LYCH_TEST_FAKE_RUNTIME_H

#include <lychgate/domain.h>
#include <lychgate/region.h>

LYCH_BEGIN_DECLS

/* Once per process; later calls change nothing. */
void fake_start(enum lych_backend backend);
bool fake_has_keys(void);

/* A domain with a key and memory; NULL with *err set, which may be NULL. */
struct lych_domain *fake_domain_new(const struct lych_domain_opts *opts, int *err);
void fake_domain_free(struct lych_domain *d);
int fake_domain_reset(struct lych_domain *d);
void fake_domain_poison(struct lych_domain *d);

struct fake_stack {
	uint64_t sp, low, top;
	uint64_t id, domain_id;
	uint64_t resume; /* where the resume block lies */
};
/* The calling thread's stack in d. */
int fake_stack_new(struct lych_domain *d, struct fake_stack *out);
bool fake_is_stack_guard(struct lych_domain *d, uint64_t at);

/* Takes and returns the lock of a heap, as a thread that is stopped in between. */
void fake_heap_lock(struct lych_domain *d);
void fake_heap_unlock(struct lych_domain *d);

/* The calling thread's PKRU, or the number that stands for it. */
uint32_t fake_pkru(void);
/* Key and protection that the ledger has for at; -1: it is not in there. */
int fake_ledger_key(const void *at);
int fake_ledger_prot(const void *at);
size_t fake_ledger_ranges(void);
/* ledger_remove of the range that at lies in keeps what is there, as an int, before it unmaps it. */
void fake_watch(const int *at);
int fake_watched(void);
int fake_keys_held(void);
/* The next so many calls that map or protect succeed, the one after them fails, once. -1: none fails. */
void fake_fail_after(int calls);
/* How the monitor's own functions see the calling thread. */
void fake_detach(void);
void fake_refuse_attach(int err);

/* Of gate/memory/, as the runtime's own headers declare them. */
void *heap_alloc(struct lych_domain *d, size_t align, size_t bytes);
int heap_free(struct lych_domain *d, void *block);
size_t heap_size_of(struct lych_domain *d, const void *block);
int backend_mprotect_enter(struct lych_domain *domain);
void backend_mprotect_leave(void);
bool backend_mprotect_retry(uint64_t at, uint64_t error);
const char *backend_mprotect_refuses(enum lych_kind kind);

LYCH_END_DECLS

#endif /* LYCH_TEST_FAKE_RUNTIME_H */
