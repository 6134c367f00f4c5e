/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains: made, ended, reset, canceled, paused. How a call gets into one that it has not been in is in enter.c.
 *
 * The gate pushes its record before it reads id. Whoever wants everybody out does it the other way round: state,
 * then id := 0, then a barrier in all threads, then the records: a call is either seen there or has seen the 0.
 */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "../library/library.h"
#include "../library/mediator.h"
#include "../library/none.h"
#include "../memory/backend_mprotect.h"
#include "../memory/memory.h"
#include "asm.h"
#include "binding.h"
#include "fault_slot.h"
#include "keys.h"
#include "name.h"
#include "signal.h"
#include "thread.h"
#include "why.h"

#define DEFAULT_CALLBACKS 64
/* How often calls that do not end are asked again, a millisecond apart, before somebody who is himself to be ended
 * stops waiting for them: they may be waiting for him. */
#define PATIENCE 100
/* How long threads of a library's own have to come out. */
#define REST_NS 1000000000ULL

bool domain_lives(const struct lych_domain *d)
{
	uintptr_t first = (uintptr_t)ROOT.monitor->domains, at = (uintptr_t)d;

	return at >= first && at < first + sizeof(ROOT.monitor->domains) && (at - first) % sizeof(*d) == 0 &&
	       atomic_load(&d->state) != DOMAIN_FREE;
}

/* ---- making one --------------------------------------------------------------------------------- */

static int options(struct lych_domain_opts *out, const struct lych_domain_opts *opts)
{
	memset(out, 0, sizeof(*out));
	if (opts != NULL) {
		const char *bytes = (const char *)opts;

		/* More than a page is not a newer version but an uninitialised struct; of a newer one only
		 * options that say "default". */
		if (opts->size < offsetof(struct lych_domain_opts, name) || opts->size > LYCH_PAGE) {
			return -EINVAL;
		}
		for (size_t i = sizeof(*opts); i < opts->size; i++) {
			if (bytes[i] != 0) {
				return -EINVAL;
			}
		}
		memcpy(out, opts, opts->size < sizeof(*out) ? opts->size : sizeof(*out));
	}
	out->size = sizeof(*out);
	if (out->kind != LYCH_KIND_CONTAIN && out->kind != LYCH_KIND_PURE && out->kind != LYCH_KIND_VAULT) {
		return -EINVAL;
	}
	if (out->callbacks > LYCH_CALLBACK_THUNKS) {
		return -EINVAL;
	}
	if (out->callbacks == 0) {
		out->callbacks = DEFAULT_CALLBACKS;
	}
	return 0;
}

/* Even, or odd where every call has to go the slow way; never used before. */
static uint64_t fresh_id(enum lych_kind kind)
{
	uint64_t id = atomic_fetch_add(&ROOT.monitor->ids, 2) + 2;

	return kind == LYCH_KIND_VAULT || ROOT.backend == LYCH_MPROTECT ? id | 1 : id;
}

static struct lych_domain *free_place(void)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		if (atomic_load(&ROOT.monitor->domains[i].state) == DOMAIN_FREE) {
			return &ROOT.monitor->domains[i];
		}
	}
	return NULL;
}

static size_t callback_bytes(const struct lych_domain *d)
{
	return d->ncallbacks * sizeof(struct lych_callback_entry);
}

/* What a domain has of monitor memory beside its place. */
static int tables_new(struct lych_domain *d, const struct lych_domain_opts *opts)
{
	d->ncallbacks = opts->callbacks;
	d->callbacks = monitor_alloc(callback_bytes(d));
	if (d->callbacks == NULL) {
		return -ENOMEM;
	}
	if (d->kind == LYCH_KIND_VAULT) {
		d->functions = vault_functions_new();
		if (d->functions == NULL) {
			return -ENOMEM;
		}
	}
	return 0;
}

static void tables_free(struct lych_domain *d)
{
	monitor_free(d->callbacks, callback_bytes(d));
	vault_functions_free(d->functions);
	d->callbacks = NULL;
	d->functions = NULL;
}

_Static_assert(sizeof(((struct lych_domain *)0)->name) == NAME_MAX_BYTES, "a name fits");

/* With the lock; d is a free place. On failure it is one again. */
static int domain_make(struct lych_domain *d, const struct lych_domain_opts *opts, const char *name,
		       struct library *library)
{
	int key, rc;

	memset(d, 0, sizeof(*d));
	d->kind = opts->kind;
	d->next_id = fresh_id(opts->kind);
	if (name[0] == '\0') {
		snprintf(d->name, sizeof(d->name), "domain-%llu", (unsigned long long)d->next_id / 2);
	} else {
		memcpy(d->name, name, sizeof(d->name));
	}
	rc = keys_take(&key, opts->kind == LYCH_KIND_VAULT ? OWNER_VAULT : OWNER_DOMAIN, d->name);
	if (rc != 0) {
		return rc;
	}
	d->key = (uint32_t)key;
	d->slot = MON_SLOTS + (uint32_t)key * SLOT_SIZE;
	/* A vault may read the host; a library that is one, too, may not. */
	d->not_view = ~view_of_domain(library != NULL ? LYCH_KIND_LIBRARY : opts->kind, key, (int)ROOT.gate_key);
	rc = opts->kind == LYCH_KIND_VAULT || threads_allow(key) ? tables_new(d, opts) : -EBUSY;
	if (rc == 0 && library != NULL) {
		rc = library_take(library, d);
	}
	if (rc != 0) {
		goto no_tables;
	}
	rc = memory_new(d, opts);
	if (rc != 0) {
		goto no_memory;
	}
	rc = mediator_domain_new(d);
	if (rc != 0) {
		goto no_policy;
	}
	fault_clear(d);
	atomic_store(&d->state, DOMAIN_READY);
	atomic_store(&d->id, d->next_id);
	return 0;

no_policy:
	memory_free(d);
no_memory:
	library_drop(d);
no_tables:
	tables_free(d);
	keys_give_back(key);
	return rc;
}

/*
 * Why this kind cannot be had here; NULL: it can. Before Linux 6.12 the kernel writes a signal's frame with the
 * rights of what was interrupted, so the stack for it lies in ordinary memory (ROOT.stacks), where every domain can
 * read.
 */
static const char *refusal(enum lych_kind kind)
{
	if (ROOT.backend == LYCH_MPROTECT) {
		return backend_mprotect_refuses(kind);
	}
	if (ROOT.frames_whole || kind == LYCH_KIND_CONTAIN) {
		return NULL;
	}
	if (kind == LYCH_KIND_LIBRARY) {
		return "kernel: before Linux 6.12 it writes a signal's frame with the rights of what was interrupted, "
		       "and a domain that can touch nothing of the process would end it at its first system call: use "
		       "6.12 or newer";
	}
	if (kind == LYCH_KIND_PURE) {
		return "kernel: before Linux 6.12 it writes a signal's frame with the rights of what was interrupted, "
		       "and a domain that cannot write ordinary memory would end the process at its first signal: "
		       "use 6.12 or newer";
	}
	return "kernel: before Linux 6.12 a signal leaves the registers of what was interrupted where every domain "
	       "can read them, those of a vault, too: use 6.12 or newer";
}

int domain_new(struct lych_domain **out, const struct lych_domain_opts *o, struct library *library)
{
	char name[NAME_MAX_BYTES];
	struct lych_domain *d;
	struct thread *self;
	int rc = thread_self(&self);

	*out = NULL;
	if (rc != 0) {
		return rc;
	}
	if (refusal(library != NULL ? LYCH_KIND_LIBRARY : o->kind) != NULL) {
		why_set("%s", refusal(library != NULL ? LYCH_KIND_LIBRARY : o->kind));
		return -EOPNOTSUPP;
	}
	rc = floor_start();
	if (rc != 0) {
		return rc;
	}
	name_copy(name, o->name);
	monitor_lock();
	d = free_place();
	rc = d != NULL ? domain_make(d, o, name, library) : -ENOSPC;
	monitor_unlock();
	if (rc == 0) {
		*out = d;
	}
	return rc;
}

int lych_domain_new(struct lych_domain **out, const struct lych_domain_opts *opts)
{
	struct lych_domain_opts o;
	int rc;

	if (out == NULL) {
		return -EINVAL;
	}
	*out = NULL;
	rc = options(&o, opts);
	if (rc != 0) {
		return rc;
	}
	return NONE != NULL ? NONE->domain_new(out, &o) : domain_new(out, &o, NULL);
}

/* ---- getting everybody out ---------------------------------------------------------------------- */

struct round {
	struct lych_domain *domain;
	struct thread *self;
	bool ask;          /* cancel: of calls that nobody wants to end yet, too */
	bool close;        /* id is 0: all of them are to end */
	bool others;       /* a call of another thread that is to end has not ended */
	bool self_is_to_end;
};

/*
 * The others go on meanwhile, so their records are only looked at: by the time a mark was written there, the record could
 * be that of another call, of another domain. A thread that is asked marks its own calls (cancels_follow). Those it
 * begins before it answers end, too: the cancel has not returned yet.
 */
static int round_of_thread(struct thread *t, void *ctx)
{
	struct round *round = ctx;
	struct record *top = thread_top(t);
	uint64_t bit = domain_bit(round->domain);
	bool inside = false, to_end = round->close;
	/* What a thread of a library domain's own does is nobody's call. */
	const struct record *own = !round->close && round->domain->library != NULL && context_is_own(round->domain->library, t)
					   ? &t->records[1]
					   : NULL;

	for (struct record *r = &t->records[1]; r <= top && r < &t->records[DEPTH_MAX]; r++) {
		if (__atomic_load_n(&r->kind, __ATOMIC_SEQ_CST) != KIND_CALL) {
			continue;
		}
		if (record_is_of(r, round->domain) && r != own) {
			inside = true;
			to_end = to_end || atomic_load(&r->cancel) != 0;
		}
		/* Whoever wants it to end may be the one that is waited for: it does not matter which domain it is in. */
		if (t == round->self &&
		    (atomic_load(&r->cancel) != 0 || atomic_load(&r->domain->state) == DOMAIN_RESETTING)) {
			round->self_is_to_end = true;
		}
	}
	if (inside && round->ask) {
		atomic_fetch_or(&t->cancel_asked, bit);
	} else if (!inside) {
		atomic_fetch_and(&t->cancel_asked, ~bit);
	}
	if (t == round->self) {
		cancels_follow(t);
	} else if (inside && (to_end || (atomic_load(&t->cancel_asked) & bit) != 0)) {
		round->others = true;
		thread_kick(t);
	}
	return 0;
}

/* A whole one: who waits here is kicked by those he waits for. */
static void one_millisecond(void)
{
	struct timespec pause = {.tv_nsec = 1000000};

	while (sys2(SYS_nanosleep, &pause, &pause) == -EINTR) {
	}
}

/*
 * Without the lock. Asks until the domain is empty: for calls that began just before id became 0, again and again.
 * -EBUSY: the caller is inside another call that somebody wants to end, which may be the one he waits for.
 */
static int wait_until_empty(struct lych_domain *d, struct thread *self)
{
	for (int tries = 0;; tries++) {
		struct round round = {.domain = d, .self = self, .close = true};
		bool inside;

		monitor_lock();
		threads_each(round_of_thread, &round);
		inside = threads_inside(d, false);
		monitor_unlock();
		if (!inside) {
			return 0;
		}
		if (round.self_is_to_end && tries >= PATIENCE) {
			return -EBUSY;
		}
		one_millisecond();
	}
}

/*
 * With the lock; gives it up while it waits. Nobody else ends or resets the domain until ending is false. -EBUSY: as
 * before, but when calls had to be waited for in vain: then it is poisoned.
 */
static int close_domain(struct lych_domain *d, struct thread *self)
{
	int rc;

	if (d->ending || threads_inside(d, true)) {
		return -EBUSY;
	}
	d->ending = true;
	atomic_store(&d->state, DOMAIN_RESETTING);
	atomic_store(&d->id, 0);
	threads_barrier();
	monitor_unlock();
	rc = wait_until_empty(d, self);
	monitor_lock();
	if (rc != 0) {
		atomic_store(&d->state, DOMAIN_POISONED);
		d->ending = false;
	}
	return rc;
}

int lych_domain_free(struct lych_domain *d)
{
	struct library *library = NULL;
	struct thread *self;
	int rc;

	if (d == NULL) {
		return 0;
	}
	if (NONE != NULL) {
		return NONE->domain_free(d, NONE_AT);
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	/* Calls the thread has left by siglongjmp do not keep it inside. */
	signals_forget_left(RETURN_AT);
	monitor_lock();
	rc = !domain_lives(d) ? -EINVAL : d->leaving || d->ending || threads_inside(d, true) ? -EBUSY : 0;
	if (rc != 0 || d->library == NULL) {
		goto close;
	}
	d->leaving = true;
	monitor_unlock();
	library_leave(d);
	monitor_lock();
	d->leaving = false;
close:
	rc = rc == 0 ? close_domain(d, self) : rc;
	if (rc == 0) {
		library_settle(d);
		library = d->library;
		bindings_domain_gone(d);
		mediator_domain_free(d);
		memory_free(d);
		library_drop(d);
		tables_free(d);
		keys_give_back((int)d->key);
		d->ending = false;
		atomic_store(&d->state, DOMAIN_FREE);
	}
	monitor_unlock();
	library_gone(library);
	return rc;
}

int domain_pause(struct lych_domain *d)
{
	if (d->ending || d->leaving || atomic_load(&d->state) != DOMAIN_READY) {
		return atomic_load(&d->state) == DOMAIN_POISONED ? -EOWNERDEAD : -EBUSY;
	}
	if (threads_inside(d, false)) {
		return -EBUSY;
	}
	atomic_store(&d->state, DOMAIN_PAUSED);
	atomic_store(&d->id, 0);
	threads_barrier();
	/* One that has begun just now; or a thread that a call has begun, which is on its way in. */
	if (threads_inside(d, false) || (d->library != NULL && !contexts_resting(d->library))) {
		domain_open_again(d);
		return -EBUSY;
	}
	return atomic_load(&d->state) == DOMAIN_PAUSED ? 0 : -EOWNERDEAD; /* it has faulted and ended already */
}

int lych_domain_reset(struct lych_domain *d)
{
	struct thread *self;
	int rc;

	if (NONE != NULL) {
		return NONE->domain_reset(d, NONE_AT);
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	signals_forget_left(RETURN_AT);
	monitor_lock();
	if (!domain_lives(d)) {
		rc = -EINVAL;
	} else if (d->library != NULL && d->library->restless) {
		why_set("library: a thread that its constructors began did not stop when its state was to be kept: close it, and "
			"open it again");
		rc = -EOPNOTSUPP;
	} else {
		rc = close_domain(d, self);
	}
	if (rc != 0) {
		goto out;
	}
	library_settle(d);
	fault_no_reporter(d);
	rc = memory_reset(d);
	if (rc == 0) {
		rc = library_reset(d);
	}
	if (rc != 0) {
		d->ending = false;
		atomic_store(&d->state, DOMAIN_POISONED);
		rc = -ENOMEM;
		goto out;
	}
	atomic_store(&d->no_memory, 0);
	atomic_store(&d->no_memory_bytes, 0);
	d->next_id = fresh_id(d->kind);
	atomic_store(&d->state, DOMAIN_READY);
	atomic_store(&d->id, d->next_id);
	if (d->library != NULL) {
		monitor_unlock();
		rc = library_again(d);
		monitor_lock();
	}
	d->ending = false;
	if (rc != 0) {
		why_set("library: no threads for those that its constructors began");
		domain_poison(d);
		rc = -ENOMEM;
	}
out:
	monitor_unlock();
	return rc;
}

/* What another thread of the parent's was about to do nobody does here: what it has begun is to be begun anew. */
void domains_fork_child(void)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct lych_domain *d = &ROOT.monitor->domains[i];

		if (d->ending && atomic_load(&d->state) == DOMAIN_RESETTING) {
			atomic_store(&d->state, DOMAIN_POISONED);
		}
		d->ending = false;
		d->leaving = d->leaving && threads_inside(d, true); /* a destructor's callback forks */
	}
}

int lych_domain_cancel(struct lych_domain *d)
{
	struct round round = {.domain = d, .ask = true};
	struct thread *self;
	int rc;

	if (NONE != NULL) {
		return NONE->domain_cancel(d);
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	round.self = self;
	for (int tries = 0;; tries++) {
		monitor_lock();
		if (!domain_lives(d)) {
			monitor_unlock();
			return tries == 0 ? -EINVAL : 0; /* freed meanwhile: they are gone */
		}
		round.others = false;
		threads_each(round_of_thread, &round);
		monitor_unlock();
		if (!round.others) {
			return 0;
		}
		if (round.self_is_to_end && tries >= PATIENCE) {
			return -EBUSY;
		}
		round.ask = false; /* calls that begin from now on are not meant */
		one_millisecond();
	}
}

/* With the lock. Nobody is inside but threads of a library's own that rest, and nobody gets in while the view changes. */
static int change_view(struct lych_domain *d, const struct lych_region *region, enum rights rights)
{
	int key, rc = region_key(region, &key);

	if (rc == 0) {
		rc = domain_pause(d);
	}
	if (rc == 0) {
		d->not_view = ~view_with(~d->not_view, key, rights);
		domain_open_again(d);
	} else if (rc == -EOWNERDEAD && !d->ending && !d->leaving && !threads_inside(d, false)) {
		d->not_view = ~view_with(~d->not_view, key, rights);
		rc = 0;
	} else if (rc == -EOWNERDEAD) {
		rc = -EBUSY;
	}
	return rc;
}

int domain_grant(struct lych_domain *d, const struct lych_region *region, enum rights rights)
{
	struct library *l;
	int rc;

	monitor_lock();
	rc = !domain_lives(d) ? -EINVAL : threads_inside(d, true) ? -EBUSY : 0;
	l = rc == 0 ? library_hold(d) : NULL;
	monitor_unlock();
	if (rc == 0 && l != NULL) {
		rc = contexts_rest(l, monotonic_ns() + REST_NS);
		rc = rc == -ETIMEDOUT || rc == -ENOTSUP ? -EBUSY : rc;
	}
	monitor_lock();
	if (rc == 0) {
		/* Without a hold on it it may have been freed. */
		rc = domain_lives(d) ? change_view(d, region, rights) : -EINVAL;
		if (l != NULL) {
			contexts_go_on(l);
		}
	}
	if (l != NULL) {
		library_let_go(l);
	}
	monitor_unlock();
	return rc;
}

bool domains_have(int key)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		const struct lych_domain *d = &ROOT.monitor->domains[i];

		if (atomic_load(&d->state) != DOMAIN_FREE && view_rights(~d->not_view, key) != RIGHTS_NONE) {
			return true;
		}
	}
	return false;
}

int lych_domain_key(const struct lych_domain *d)
{
	struct thread *self;

	if (d == NULL || thread_self(&self) != 0 || !domain_lives(d) || ROOT.backend != LYCH_PKU) {
		return -1;
	}
	return (int)d->key;
}

const char *lych_domain_name(const struct lych_domain *d)
{
	struct thread *self;

	if (NONE != NULL) {
		return NONE->domain_name(d);
	}
	if (d == NULL || thread_self(&self) != 0 || !domain_lives(d)) {
		return "";
	}
	return d->name;
}
