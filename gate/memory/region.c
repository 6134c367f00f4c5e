/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/name.h"
#include "../core/signal.h"
#include "../core/thread.h"
#include "../library/none.h"
#include "domain_memory.h"

#define ONE_READER 1u
#define ONE_WRITER 0x10000u
#define READERS(scopes) ((scopes) & 0xffff)
#define WRITERS(scopes) ((scopes) >> 16)

struct lych_region { /* in monitor memory */
	struct lych_region *next;
	void *at;
	size_t bytes;
	int key;
	unsigned int flags; /* RANGE_* */
	bool keep_on_free;
	struct soft_range *soft; /* NULL with pku */
	char name[NAME_MAX_BYTES];
	/* Scopes of each thread, by thread_index: ONE_READER and ONE_WRITER for each. Only their thread adds. */
	_Atomic uint32_t scopes[THREADS_MAX];
};

/* What scope->state says. */
#define SCOPE_OPEN 1u
#define SCOPE_WRITE 2u

/* A copy of what the caller knows of the options; false: it asks for something this library does not know. */
static bool options(struct lych_region_opts *out, const struct lych_region_opts *opts)
{
	*out = (struct lych_region_opts){.size = sizeof(*out)};
	if (opts == NULL) {
		return true;
	}
	if (opts->size < sizeof(opts->size)) {
		return false;
	}
	for (size_t i = sizeof(*out); i < opts->size; i++) {
		if (((const char *)opts)[i] != 0) {
			return false;
		}
	}
	memcpy(out, opts, opts->size < sizeof(*out) ? opts->size : sizeof(*out));
	return true;
}

static int region_map(struct lych_region *r)
{
	bool soft = ROOT.backend == LYCH_MPROTECT;
	int prot = soft ? PROT_NONE : PROT_READ | PROT_WRITE;
	int err = range_map(&r->at, r->bytes, r->key, prot, r->flags);

	if (err == 0 && soft) {
		err = soft_add(&r->soft, r->at, r->bytes, prot, NULL);
		if (err != 0) {
			range_unmap(r->at, r->bytes);
		}
	}
	return err;
}

int lych_region_new(struct lych_region **out, size_t bytes, const struct lych_region_opts *opts)
{
	struct lych_region_opts o;
	struct lych_region *r;
	char name[NAME_MAX_BYTES];
	struct thread *t;
	int err;

	*out = NULL;
	if (bytes == 0 || range_round(bytes) == 0 || !options(&o, opts)) {
		return -EINVAL;
	}
	if (NONE != NULL) {
		return NONE->region_new(out, bytes, &o);
	}
	err = thread_self(&t);
	if (err != 0) {
		return err;
	}
	name_copy(name, o.name != NULL ? o.name : "unnamed");
	monitor_lock();
	r = monitor_alloc(sizeof(*r));
	if (r == NULL) {
		err = -ENOMEM;
		goto end;
	}
	r->bytes = range_round(bytes);
	r->flags = (o.lock_memory ? RANGE_LOCK : 0) | (o.dump ? RANGE_DUMP : 0) | (o.keep_on_fork ? 0 : RANGE_WIPE);
	r->keep_on_free = o.keep_on_free;
	memcpy(r->name, name, sizeof(r->name));
	err = keys_take(&r->key, OWNER_REGION, r->name);
	if (err != 0) {
		goto no_key;
	}
	err = region_map(r);
	if (err != 0) {
		goto no_memory;
	}
	r->next = ROOT.monitor->regions;
	ROOT.monitor->regions = r;
	*out = r;
	goto end;

no_memory:
	keys_give_back(r->key);
no_key:
	monitor_free(r, sizeof(*r));
end:
	monitor_unlock();
	return err;
}

static bool is_open(const struct lych_region *r)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (r->scopes[i] != 0) {
			return true;
		}
	}
	return false;
}

/* With the lock, before it is unmapped; nobody has it open. */
static int region_wipe(struct lych_region *r)
{
	if (ROOT.backend == LYCH_MPROTECT) {
		if (ledger_change(r->at, r->bytes, PROT_READ | PROT_WRITE) != 0) {
			return -ENOMEM;
		}
		explicit_bzero(r->at, r->bytes);
	} else {
		uint32_t before = lych_pkru_update_pku(VIEW_BITS(r->key), 0);

		explicit_bzero(r->at, r->bytes);
		lych_pkru_update_pku(VIEW_BITS(r->key), before & VIEW_BITS(r->key));
	}
	return 0;
}

int lych_region_free(struct lych_region *region)
{
	struct thread *t;
	int err;

	if (region == NULL) {
		return 0;
	}
	if (NONE != NULL) {
		return NONE->region_free(region);
	}
	err = thread_self(&t);
	if (err != 0) {
		return err;
	}
	monitor_lock();
	if (is_open(region) || (ROOT.backend == LYCH_PKU && domains_have(region->key))) {
		err = -EBUSY;
		goto end;
	}
	if (!region->keep_on_free) {
		err = region_wipe(region);
		if (err != 0) {
			goto end;
		}
	}
	soft_remove(region->soft);
	for (struct lych_region **at = &ROOT.monitor->regions; *at != NULL; at = &(*at)->next) {
		if (*at == region) {
			*at = region->next;
			break;
		}
	}
	range_unmap(region->at, region->bytes);
	keys_give_back(region->key);
	monitor_free(region, sizeof(*region));
end:
	monitor_unlock();
	return err;
}

int lych_region_grant(struct lych_region *region, struct lych_domain *domain, enum lych_grant grant)
{
	static const enum rights rights[] = {RIGHTS_NONE, RIGHTS_READ, RIGHTS_WRITE};
	struct thread *t;
	int err;

	if (region == NULL || domain == NULL || (unsigned int)grant > LYCH_GRANT_WRITE) {
		return -EINVAL;
	}
	if (NONE != NULL) {
		return 0;
	}
	err = thread_self(&t);
	if (err != 0) {
		return err;
	}
	if (ROOT.backend != LYCH_PKU) {
		return -EOPNOTSUPP;
	}
	signals_forget_left(RETURN_AT);
	return domain_grant(domain, region, rights[grant]);
}

int region_key(const struct lych_region *region, int *key)
{
	const struct lych_region *r = ROOT.monitor->regions;

	while (r != NULL && r != region) {
		r = r->next;
	}
	if (r == NULL) {
		return -EINVAL;
	}
	*key = r->key;
	return 0;
}

void *lych_region_address(struct lych_region *region)
{
	struct thread *t;
	int err;

	if (NONE != NULL) {
		return NONE->region_address(region);
	}
	err = thread_self(&t);
	if (err != 0) {
		errno = -err;
		return NULL;
	}
	return region->at;
}

size_t lych_region_bytes(const struct lych_region *region)
{
	struct thread *t;

	if (NONE != NULL) {
		return NONE->region_bytes(region);
	}
	return thread_self(&t) == 0 ? region->bytes : 0;
}

int lych_region_key(const struct lych_region *region)
{
	struct thread *t;

	return thread_self(&t) == 0 && ROOT.backend == LYCH_PKU ? region->key : -1;
}

/* Opens it for this thread, gives back the bits as they were. */
static uint32_t open_pku(const struct lych_region *r, bool write)
{
	uint32_t previous = lych_pkru_read_pku() & VIEW_BITS(r->key);
	uint32_t want = write ? 0 : VIEW_WD(r->key);

	if (previous != 0 && previous != want) {
		lych_pkru_update_pku(VIEW_BITS(r->key), want);
	}
	return previous;
}

static void close_pku(const struct lych_region *r, uint32_t previous)
{
	if ((lych_pkru_read_pku() & VIEW_BITS(r->key)) != previous) {
		lych_pkru_update_pku(VIEW_BITS(r->key), previous);
	}
}

/* The count is changed with the lock where it means something to others: a fork must not come in between. */
static int open_soft(struct lych_region *r, size_t index, bool write)
{
	int err;

	monitor_lock();
	err = soft_open(r->soft, write);
	if (err == 0) {
		r->scopes[index] += write ? ONE_WRITER : ONE_READER;
	}
	monitor_unlock();
	return err;
}

static void close_soft(struct lych_region *r, size_t index, bool write)
{
	monitor_lock();
	soft_close(r->soft, write);
	r->scopes[index] -= write ? ONE_WRITER : ONE_READER;
	monitor_unlock();
}

void *lych_scope_open(struct lych_scope *scope, struct lych_region *region, bool write)
{
	struct thread *t;
	size_t index;
	int err;

	*scope = (struct lych_scope){.region = region};
	if (NONE != NULL) {
		return NONE->scope_open(scope, write);
	}
	err = thread_self(&t);
	index = err == 0 ? thread_index(t) : THREADS_MAX;
	if (err == 0 && index == THREADS_MAX) {
		err = -ENOMEM;
	}
	if (err == 0 && ROOT.backend == LYCH_MPROTECT) {
		err = open_soft(region, index, write);
	} else if (err == 0) {
		region->scopes[index] += write ? ONE_WRITER : ONE_READER;
		scope->previous = open_pku(region, write);
	}
	if (err != 0) {
		errno = -err;
		return NULL;
	}
	scope->state = SCOPE_OPEN | (write ? SCOPE_WRITE : 0);
	scope->memory = region->at;
	return scope->memory;
}

void lych_scope_close(struct lych_scope *scope)
{
	struct lych_region *region = scope->region;
	bool write = scope->state & SCOPE_WRITE;
	struct thread *t;

	if (NONE != NULL) {
		NONE->scope_close(scope);
		return;
	}
	if (!(scope->state & SCOPE_OPEN) || thread_self(&t) != 0) {
		return;
	}
	scope->state = 0;
	scope->memory = NULL;
	if (ROOT.backend == LYCH_MPROTECT) {
		close_soft(region, thread_index(t), write);
	} else {
		/* Whatever stands there now: no other key's bits than this region's. */
		close_pku(region, scope->previous & VIEW_BITS(region->key));
		region->scopes[thread_index(t)] -= write ? ONE_WRITER : ONE_READER;
	}
}

/* mprotect: the region is open for the process, so what the thread has left open is closed for it. */
static void forget(struct lych_region *r, size_t index)
{
	uint32_t scopes = atomic_exchange(&r->scopes[index], 0);

	if (r->soft == NULL) {
		return;
	}
	for (uint32_t i = 0; i < READERS(scopes); i++) {
		soft_close(r->soft, false);
	}
	for (uint32_t i = 0; i < WRITERS(scopes); i++) {
		soft_close(r->soft, true);
	}
}

void regions_forget(size_t index)
{
	for (struct lych_region *r = ROOT.monitor->regions; r != NULL; r = r->next) {
		forget(r, index);
	}
}

void regions_forget_others(size_t keep)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (i != keep) {
			regions_forget(i);
		}
	}
}
