// SPDX-License-Identifier: Apache-2.0
/*
 * Typed pointers and callbacks.
 *
 * A typed pointer is one of LYCH_THUNKS static stubs; what it stands for is in a table in monitor memory, next to its
 * own copy of the binding, which holds the value for faults. A callback is one of LYCH_CALLBACK_THUNKS stubs of its
 * backend; which function stub i reaches depends on the domain that runs: entry i of its table.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "../library/none.h"
#include "asm.h"
#include "binding.h"
#include "keys.h"
#include "thread.h"

#define THUNK_BYTES 16

/* The assembly finds thunks, at ROOT.thunks. */
struct thunk_table {
	struct thunk thunks[LYCH_THUNKS];
	struct lych_binding bindings[LYCH_THUNKS];
};
_Static_assert(offsetof(struct thunk_table, thunks) == 0, "ROOT.thunks is the table");

int bindings_start(void)
{
	struct thunk_table *table = monitor_alloc(sizeof(*table));

	if (!table) {
		return -ENOMEM;
	}
	ROOT.thunks = table->thunks;
	return 0;
}

void bindings_stop(void)
{
	if (ROOT.thunks) {
		monitor_free(ROOT.thunks, sizeof(struct thunk_table));
		ROOT.thunks = NULL;
	}
}

/* Index of a stub, or -1. */
static long stub_index(void (*pointer)(void), const char *stubs, unsigned int count)
{
	uint64_t off = (uint64_t)(uintptr_t)pointer - (uint64_t)(uintptr_t)stubs;

	if (off >= (uint64_t)count * THUNK_BYTES || off % THUNK_BYTES != 0) {
		return -1;
	}
	return (long)(off / THUNK_BYTES);
}

static void (*stub_at(const char *stubs, unsigned int index))(void)
{
	return (void (*)(void))(uintptr_t)(stubs + (size_t)index * THUNK_BYTES);
}

/* ---- typed pointers ---- */

void binding_fault_value(struct lych_binding *binding, const void *value, size_t bytes)
{
	int spec = (int)binding->result_spec;
	unsigned int integers = (unsigned int)spec & 3, vectors = (unsigned int)spec >> 2 & 3;
	bool vector_first = integers == 0 || LYCH_I_RESULT_FORM(spec) == 3;
	uint64_t word[2] = { 0, 0 };
	unsigned int gpr = 0, xmm = 2;

	memset(binding->values, 0, sizeof(binding->values));
	memcpy(word, value, bytes < sizeof(word) ? bytes : sizeof(word));
	if (LYCH_I_RESULT_FORM(spec) == 1) {
		memcpy(binding->values, word, sizeof(word)); /* st0: as it is in memory */
		return;
	}
	for (unsigned int i = 0; i < integers + vectors; i++) {
		bool vector = i == 0 ? vector_first : vectors == (vector_first ? 2u : 1u);

		binding->values[vector ? xmm++ : gpr++] = word[i];
	}
}

int lych_pointer_new(void (**out)(void), struct lych_domain *domain, const struct lych_binding *binding,
		     const void *value, size_t bytes)
{
	struct thunk_table *table;
	struct thread *self;
	int rc;

	if (!out) {
		return -EINVAL;
	}
	*out = NULL;
	if (!domain || !binding || (bytes && !value)) {
		return -EINVAL;
	}
	if (NONE != NULL) {
		return NONE->pointer_new(out, domain, binding);
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	table = (struct thunk_table *)ROOT.thunks;
	rc = -ENOSPC;
	monitor_lock();
	for (unsigned int i = 0; i < LYCH_THUNKS; i++) {
		struct thunk *thunk = &table->thunks[i];

		if (thunk->domain) {
			continue;
		}
		table->bindings[i] = *binding;
		binding_fault_value(&table->bindings[i], bytes ? value : "", bytes);
		thunk->binding = &table->bindings[i];
		__atomic_store_n(&thunk->domain, domain, __ATOMIC_RELEASE);
		*out = stub_at(lych_pointer_thunks, i);
		rc = 0;
		break;
	}
	monitor_unlock();
	return rc;
}

int lych_pointer_free(void (*pointer)(void))
{
	long index = stub_index(pointer, lych_pointer_thunks, LYCH_THUNKS);
	struct thread *self;
	int rc;

	if (!pointer) {
		return 0;
	}
	if (NONE != NULL) {
		return NONE->pointer_free(pointer);
	}
	if (index < 0 || !ROOT.ready) {
		return -EINVAL;
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	monitor_lock();
	if (ROOT.thunks[index].domain) {
		__atomic_store_n(&ROOT.thunks[index].domain, NULL, __ATOMIC_RELEASE);
	} else {
		rc = -EINVAL;
	}
	monitor_unlock();
	return rc;
}

void bindings_domain_gone(struct lych_domain *d)
{
	for (unsigned int i = 0; i < LYCH_THUNKS; i++) {
		if (ROOT.thunks[i].domain == d) {
			__atomic_store_n(&ROOT.thunks[i].domain, NULL, __ATOMIC_RELEASE);
		}
	}
}

/* ---- callbacks ---- */

static const char *callback_stubs(void)
{
	return ROOT.backend == LYCH_PKU ? lych_callback_thunks_pku : lych_callback_thunks_soft;
}

int lych_callback_new(void (**out)(void), struct lych_domain *domain, const struct lych_binding *binding, void *ctx)
{
	struct thread *self;
	uint32_t count;
	int rc;

	if (!out) {
		return -EINVAL;
	}
	*out = NULL;
	if (!domain || !binding) {
		return -EINVAL;
	}
	if (NONE != NULL) {
		return NONE->callback_new(out, domain, binding, ctx);
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	if (domain->kind == LYCH_KIND_VAULT && binding->words != 0) {
		return -EOPNOTSUPP; /* they would have to be read from its stack, with the host's rights */
	}
	rc = -ENOSPC;
	monitor_lock();
	count = domain->ncallbacks < LYCH_CALLBACK_THUNKS ? domain->ncallbacks : LYCH_CALLBACK_THUNKS;
	for (uint32_t i = 0; i < count; i++) {
		struct lych_callback_entry *entry = &domain->callbacks[i];

		if (entry->fn) {
			continue;
		}
		entry->binding = binding;
		entry->ctx = ctx;
		__atomic_store_n(&entry->fn, binding->fn, __ATOMIC_RELEASE); /* now the gate believes it */
		*out = stub_at(callback_stubs(), i);
		rc = 0;
		break;
	}
	monitor_unlock();
	return rc;
}

int lych_callback_free(struct lych_domain *domain, void (*pointer)(void))
{
	struct thread *self;
	long index;
	int rc;

	if (!pointer) {
		return 0;
	}
	if (NONE != NULL) {
		return NONE->callback_free(domain, pointer);
	}
	if (!domain || !ROOT.ready) {
		return -EINVAL;
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	index = stub_index(pointer, callback_stubs(), LYCH_CALLBACK_THUNKS);
	monitor_lock();
	if (index >= 0 && index < (long)domain->ncallbacks && domain->callbacks[index].fn) {
		__atomic_store_n(&domain->callbacks[index].fn, NULL, __ATOMIC_RELEASE);
	} else {
		rc = -EINVAL;
	}
	monitor_unlock();
	return rc;
}

void *lych_callback_ctx(void)
{
	struct thread *self = thread_attached();

	if (NONE != NULL) {
		return NONE->callback_ctx(NONE_AT);
	}
	if (!self || self->top->kind != KIND_CALLBACK) {
		return NULL;
	}
	return self->top->callback->ctx;
}
