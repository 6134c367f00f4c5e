/* SPDX-License-Identifier: Apache-2.0 */
/* LYCH_NONE: domains, typed pointers, callbacks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../core/asm.h"
#include "../core/name.h"
#include "../core/why.h"
#include "none.h"
#include "symbols.h"

#define STUB_BYTES 16
#define DEFAULT_HEAP ((size_t)1 << 20)
#define BYTES_MAX ((size_t)16 << 30)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct none_domain *all;
static unsigned int count, made;
/* Of callback i the entry, and whose it is. */
static struct lych_callback_entry callbacks[LYCH_NONE_CALLBACKS];
static struct none_domain *callback_owner[LYCH_NONE_CALLBACKS];
static struct thunk thunks[LYCH_THUNKS];
static struct lych_binding pointer_bindings[LYCH_THUNKS];
static pthread_key_t thread_end;

void none_lock(void)
{
	pthread_mutex_lock(&mutex);
}

void none_unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

struct none_domain *none_domain_of(const struct lych_domain *domain)
{
	for (struct none_domain *d = all; d != NULL; d = d->next) {
		if ((const void *)d == (const void *)domain) {
			return d;
		}
	}
	return NULL;
}

/* ---- threads ------------------------------------------------------------------------------------ */

static void thread_ends(void *entries)
{
	lych_none_tls = NULL;
	free(entries);
}

static int thread_begins(void)
{
	struct none_thread *t = calloc(1, sizeof(*t));

	if (t == NULL || pthread_setspecific(thread_end, t) != 0) {
		free(t);
		return -ENOMEM;
	}
	lych_none_tls = t;
	return 0;
}

/*
 * The last entry that longjmp has not left, NULL: none. at: where the return address lies of the public function that asks; its
 * caller's frame is above.
 */
static const struct none_entry *innermost(uint64_t at)
{
	const struct none_thread *t = lych_none_tls;

	for (size_t i = t != NULL ? t->used / NE_SIZE : 0; i > 0; i--) {
		if (t->entries[i - 1].level > at) {
			return &t->entries[i - 1];
		}
	}
	return NULL;
}

static struct lych_domain *inside(uint64_t at)
{
	const struct none_entry *e = innermost(at);

	return e != NULL ? e->domain : NULL;
}

static void *callback_ctx(uint64_t at)
{
	const struct none_entry *e = innermost(at);

	return e != NULL && e->callback != NULL ? e->callback->ctx : NULL;
}

static bool thread_is_inside(const struct none_domain *d, uint64_t at)
{
	const struct none_entry *e = innermost(at);

	for (; e != NULL && e >= lych_none_tls->entries; e--) {
		if ((const void *)e->domain == (const void *)d) {
			return true;
		}
	}
	return false;
}

/* What longjmp has left of d must not be taken for a domain that is made where it was. */
static void thread_forgets(const struct none_domain *d)
{
	struct none_thread *t = lych_none_tls;

	for (size_t i = 0; t != NULL && i < t->used / NE_SIZE; i++) {
		if ((const void *)t->entries[i].domain == (const void *)d) {
			t->entries[i].domain = NULL;
		}
	}
}

/* ---- domains ------------------------------------------------------------------------------------ */

int none_domain_make(struct none_domain **out, const struct lych_domain_opts *opts, const char *prefix)
{
	struct none_domain *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		return -ENOMEM;
	}
	name_copy(d->name, opts->name);
	d->kind = opts->kind;
	d->max_callbacks = opts->callbacks;
	d->zero_on_free = opts->zero_on_free;
	d->lock_memory = opts->lock_memory;
	d->heap_bytes = opts->heap_bytes != 0 ? opts->heap_bytes : DEFAULT_HEAP;
	none_lock();
	if (count == DOMAINS_MAX) {
		none_unlock();
		free(d);
		return -ENOSPC;
	}
	count++;
	made++;
	d->life = made;
	if (d->name[0] == '\0') {
		snprintf(d->name, sizeof(d->name), "%s-%u", prefix, made);
	}
	d->next = all;
	all = d;
	none_unlock();
	*out = d;
	return 0;
}

static int domain_new(struct lych_domain **out, const struct lych_domain_opts *checked)
{
	struct none_domain *d = NULL;
	int rc = checked->heap_bytes > BYTES_MAX || checked->stack_bytes > BYTES_MAX
			 ? -EINVAL
			 : none_domain_make(&d, checked, "domain");

	*out = (struct lych_domain *)d;
	return rc;
}

/* With the lock: nobody finds it any more. */
static void unlink_domain(struct none_domain *d)
{
	for (struct none_domain **at = &all; *at != NULL; at = &(*at)->next) {
		if (*at == d) {
			*at = d->next;
			count--;
			break;
		}
	}
	for (size_t i = 0; i < LYCH_THUNKS; i++) {
		if ((void *)thunks[i].domain == (void *)d) {
			__atomic_store_n(&thunks[i].domain, NULL, __ATOMIC_RELEASE);
		}
	}
	for (size_t i = 0; i < LYCH_NONE_CALLBACKS; i++) {
		if (callback_owner[i] == d) {
			callback_owner[i] = NULL;
			__atomic_store_n(&callbacks[i].fn, NULL, __ATOMIC_RELEASE);
		}
	}
}

static int domain_free(struct lych_domain *domain, uint64_t at)
{
	struct none_domain *d;

	none_lock();
	d = none_domain_of(domain);
	if (d == NULL || d->ending || thread_is_inside(d, at)) {
		none_unlock();
		return d == NULL ? -EINVAL : -EBUSY;
	}
	d->ending = true;
	if (d->library) {
		/* Destructors may use its heap and its callbacks. */
		none_unlock();
		none_close(d);
		none_lock();
	}
	thread_forgets(d);
	unlink_domain(d);
	none_blocks_free(d);
	none_unlock();
	symbols_free(d->symbols);
	free(d->blocks);
	free(d->search);
	free(d);
	return 0;
}

static int domain_reset(struct lych_domain *domain, uint64_t at)
{
	struct none_domain *d;
	int rc = 0;

	none_lock();
	d = none_domain_of(domain);
	if (d == NULL) {
		rc = -EINVAL;
	} else if (d->ending || thread_is_inside(d, at)) {
		rc = -EBUSY;
	} else if (d->library) {
		why_set("backend none: a library cannot be made as it was: close the domain and open it again");
		rc = -EOPNOTSUPP;
	} else {
		none_blocks_free(d);
		d->life++;
	}
	none_unlock();
	return rc;
}

static int domain_cancel(struct lych_domain *domain)
{
	bool known;

	none_lock();
	known = none_domain_of(domain) != NULL;
	none_unlock();
	if (!known) {
		return -EINVAL;
	}
	why_set("backend none: calls cannot be ended");
	return -EOPNOTSUPP;
}

static const char *domain_name(const struct lych_domain *domain)
{
	const struct none_domain *d;

	none_lock();
	d = none_domain_of(domain);
	none_unlock();
	return d != NULL ? d->name : "";
}

static int vault_allow(struct lych_domain *vault, void (*fn)(void))
{
	const struct none_domain *d;
	int rc;

	none_lock();
	d = none_domain_of(vault);
	rc = d != NULL && d->kind == LYCH_KIND_VAULT && fn != NULL ? 0 : -EINVAL;
	none_unlock();
	return rc;
}

static struct symbols *_Atomic *symbols_of(struct lych_domain *domain)
{
	struct none_domain *d;

	none_lock();
	d = none_domain_of(domain);
	none_unlock();
	return d != NULL && d->library ? &d->symbols : NULL;
}

/* ---- typed pointers, callbacks ------------------------------------------------------------------- */

static long stub_index(void (*pointer)(void), const char *stubs, unsigned int n)
{
	uint64_t off = (uint64_t)(uintptr_t)pointer - (uint64_t)(uintptr_t)stubs;

	return off < (uint64_t)n * STUB_BYTES && off % STUB_BYTES == 0 ? (long)(off / STUB_BYTES) : -1;
}

static int pointer_new(void (**out)(void), struct lych_domain *domain, const struct lych_binding *binding)
{
	int rc;

	none_lock();
	rc = none_domain_of(domain) != NULL ? -ENOSPC : -EINVAL;
	for (size_t i = 0; rc == -ENOSPC && i < LYCH_THUNKS; i++) {
		if (thunks[i].domain == NULL) {
			pointer_bindings[i] = *binding;
			thunks[i].binding = &pointer_bindings[i];
			__atomic_store_n(&thunks[i].domain, domain, __ATOMIC_RELEASE);
			*out = (void (*)(void))(uintptr_t)(lych_pointer_thunks + i * STUB_BYTES);
			rc = 0;
		}
	}
	none_unlock();
	return rc;
}

static int pointer_free(void (*pointer)(void))
{
	long i = stub_index(pointer, lych_pointer_thunks, LYCH_THUNKS);
	int rc = -EINVAL;

	none_lock();
	if (i >= 0 && thunks[i].domain != NULL) {
		__atomic_store_n(&thunks[i].domain, NULL, __ATOMIC_RELEASE);
		rc = 0;
	}
	none_unlock();
	return rc;
}

static int callback_new(void (**out)(void), struct lych_domain *domain, const struct lych_binding *binding, void *ctx)
{
	struct none_domain *d;
	int rc;

	none_lock();
	d = none_domain_of(domain);
	rc = d != NULL ? -ENOSPC : -EINVAL;
	if (d != NULL && d->kind == LYCH_KIND_VAULT && binding->words != 0) {
		rc = -EOPNOTSUPP; /* so it does not work here only */
	}
	for (size_t i = 0; rc == -ENOSPC && d->ncallbacks < d->max_callbacks && i < LYCH_NONE_CALLBACKS; i++) {
		if (callback_owner[i] == NULL) {
			callback_owner[i] = d;
			d->ncallbacks++;
			callbacks[i].binding = binding;
			callbacks[i].ctx = ctx;
			__atomic_store_n(&callbacks[i].fn, binding->fn, __ATOMIC_RELEASE);
			*out = (void (*)(void))(uintptr_t)(lych_callback_thunks_none + i * STUB_BYTES);
			rc = 0;
		}
	}
	none_unlock();
	return rc;
}

static int callback_free(struct lych_domain *domain, void (*pointer)(void))
{
	long i = stub_index(pointer, lych_callback_thunks_none, LYCH_NONE_CALLBACKS);
	struct none_domain *d;
	int rc = -EINVAL;

	none_lock();
	d = none_domain_of(domain);
	if (d != NULL && i >= 0 && callback_owner[i] == d) {
		callback_owner[i] = NULL;
		d->ncallbacks--;
		__atomic_store_n(&callbacks[i].fn, NULL, __ATOMIC_RELEASE);
		rc = 0;
	}
	none_unlock();
	return rc;
}

/* ---- starting ----------------------------------------------------------------------------------- */

static const struct none table = {
	.domain_new = domain_new,
	.domain_free = domain_free,
	.domain_reset = domain_reset,
	.domain_cancel = domain_cancel,
	.domain_name = domain_name,
	.vault_allow = vault_allow,
	.pointer_new = pointer_new,
	.pointer_free = pointer_free,
	.callback_new = callback_new,
	.callback_free = callback_free,
	.callback_ctx = callback_ctx,
	.alloc = none_alloc,
	.resize = none_resize,
	.free = none_free,
	.result_end = none_result_end,
	.verify_range = none_verify_range,
	.inside = inside,
	.region_new = none_region_new,
	.region_free = none_region_free,
	.region_address = none_region_address,
	.region_bytes = none_region_bytes,
	.scope_open = none_scope_open,
	.scope_close = none_scope_close,
	.open = none_open,
	.load = none_load,
	.symbol = none_symbol,
	.symbols = symbols_of,
};

/* A child that was forked while another thread had the lock gets it free, with what it guards whole. */
static int fork_handlers(void)
{
	return pthread_atfork(none_lock, none_unlock, none_unlock);
}

int none_start(void)
{
	if (pthread_key_create(&thread_end, thread_ends) != 0) {
		return -ENOMEM;
	}
	if (fork_handlers() != 0) {
		pthread_key_delete(thread_end);
		return -ENOMEM;
	}
	__builtin_cpu_init();
	ROOT.scrub = __builtin_cpu_supports("avx512f") ? SCRUB_AVX512 : __builtin_cpu_supports("avx") ? SCRUB_AVX : SCRUB_SSE;
	ROOT.thunks = thunks;
	ROOT.none_callbacks = callbacks;
	ROOT.none_attach = thread_begins;
	ROOT.none = &table;
	return 0;
}
