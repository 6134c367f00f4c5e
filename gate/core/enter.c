/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate's slow way: into a domain in which the thread has no stack yet, and into vaults, which are entered at
 * registered functions only.
 */
#include <string.h>

#include "../library/library.h"
#include "../library/none.h"
#include "../memory/backend_mprotect.h"
#include "../memory/memory.h"
#include "asm.h"
#include "binding.h"
#include "keys.h"
#include "thread.h"

/* ---- vaults ------------------------------------------------------------------------------------- */

/* Functions a vault may be entered at. Only grows, until the domain is freed: read without a lock. */
#define VAULT_BYTES ((size_t)LYCH_PAGE)
#define VAULT_ROOM ((VAULT_BYTES - 8) / sizeof(void *))
struct vault_functions {
	_Atomic uint64_t count;
	void (*_Atomic fn[VAULT_ROOM])(void);
};
_Static_assert(sizeof(struct vault_functions) <= VAULT_BYTES, "");

struct vault_functions *vault_functions_new(void)
{
	return monitor_alloc(VAULT_BYTES);
}

void vault_functions_free(struct vault_functions *functions)
{
	monitor_free(functions, VAULT_BYTES);
}

static bool may_enter_at(struct vault_functions *functions, void (*fn)(void))
{
	uint64_t count = atomic_load(&functions->count);

	for (uint64_t i = 0; i < count; i++) {
		if (atomic_load(&functions->fn[i]) == fn) {
			return true;
		}
	}
	return false;
}

int lych_vault_allow(struct lych_domain *vault, void (*fn)(void))
{
	struct vault_functions *functions;
	struct thread *self;
	int rc;

	if (NONE != NULL) {
		return NONE->vault_allow(vault, fn);
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	if (vault == NULL || fn == NULL) {
		return -EINVAL;
	}
	monitor_lock();
	functions = domain_lives(vault) ? vault->functions : NULL;
	if (functions == NULL) {
		rc = -EINVAL;
	} else if (!may_enter_at(functions, fn)) {
		uint64_t count = atomic_load(&functions->count);

		if (count < VAULT_ROOM) {
			atomic_store(&functions->fn[count], fn);
			atomic_store(&functions->count, count + 1);
		} else {
			rc = -ENOMEM;
		}
	}
	monitor_unlock();
	return rc;
}

/* ---- the gate's slow way ------------------------------------------------------------------------ */

/* With the lock: the domain is ready, and this thread has a stack in it. */
static int prepare(struct lych_domain *d, struct thread *self, struct record *record)
{
	struct slot *slot;
	uint64_t id;
	int rc;

	if (!domain_lives(d)) {
		return -EINVAL;
	}
	id = atomic_load(&d->id);
	if (id == 0) {
		return atomic_load(&d->state) == DOMAIN_POISONED ? -EOWNERDEAD : -ECANCELED;
	}
	slot = &self->slots[d->key];
	/* The gate compares slot and id, and an odd one must never be equal: the slot has the even one below it. */
	if (slot->id != (id & ~1ULL)) {
		if (d->library != NULL) {
			return -ECANCELED; /* another one since library_enter */
		}
		rc = memory_stack_new(d, self);
		if (rc != 0) {
			return rc;
		}
		slot->id = id & ~1ULL;
	}
	record->call_id = id; /* it may have been reset since the gate looked */
	return 0;
}

/* The host's rights, which the gate has when it copies arguments, do not reach a vault's stack. The place is the
 * gate's; where there is no room the gate refuses. -EXFULL: where a thread of a library's own has its stack nothing is. */
static int words_to_vault(const struct lych_domain *d, const struct thread *self, struct record *record)
{
	const struct slot *slot = &self->slots[d->key];
	uint64_t bytes = record->binding->words * 8ULL;
	uint64_t to = (slot->sp - bytes) & ~15ULL;
	const void *from = (const void *)(uintptr_t)(record->rsp + record->args_off);
	uint32_t before;

	if (bytes == 0 || to < slot->low || to > slot->sp) {
		return 0;
	}
	if (d->library != NULL) {
		if (inside_write(d->library, to, from, bytes) != 0) {
			return -EXFULL;
		}
	} else {
		before = vault_open(d);
		memcpy((void *)(uintptr_t)to, from, bytes);
		vault_close(d, before);
	}
	record->flags |= RECF_WORDS;
	return 0;
}

int lych_gate_slow(struct lych_domain *d, struct record *record)
{
	struct thread *self;
	int rc = thread_self(&self);

	if (rc != 0 || record == NULL) {
		return rc;
	}
	rc = thread_has_timer(self);
	if (rc != 0) {
		return rc;
	}
	rc = atomic_load(&record->cancel);
	if (rc != 0) {
		return rc;
	}
	if (d->library != NULL) {
		rc = library_enter(d, self, record);
		if (rc != 0) {
			return rc;
		}
	}
	monitor_lock();
	rc = prepare(d, self, record);
	if (rc == 0 && d->functions != NULL && !may_enter_at(d->functions, record->binding->fn) &&
	    (d->library == NULL || !library_own_call(d->library, record->binding->fn))) {
		rc = -EACCES;
	}
	monitor_unlock();
	if (rc == 0 && d->functions != NULL) {
		rc = words_to_vault(d, self, record);
	}
	if (rc == 0 && ROOT.backend == LYCH_MPROTECT) {
		rc = backend_mprotect_enter(d);
	}
	return rc;
}
