/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "backend_mprotect.h"

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/thread.h"
#include "domain_memory.h"

/* 64 heaps, and no more regions than that. */
#define RANGES (2 * DOMAINS_MAX)

#define ERROR_WRITE 2u  /* page fault error code: the access was a write */
#define ERROR_FETCH 16u /* the access was an instruction fetch */

struct soft_range {
	_Atomic uint64_t at, end; /* end 0: unused */
	_Atomic int prot;         /* what it is now */
	_Atomic int host;         /* what it is when nobody is in a domain */
	struct lych_domain *domain; /* whose heap; NULL: a region */
	uint32_t inside;          /* threads in that domain */
	uint32_t holds;
	uint32_t readers, writers;
};

struct soft_state {
	_Atomic bool shut; /* from before the first range is closed for somebody inside, until all are open again */
	uint32_t inside;   /* threads in any domain */
	struct soft_range ranges[RANGES];
	struct lych_domain *in[THREADS_MAX]; /* by thread_index */
};

const char *backend_mprotect_refuses(enum lych_kind kind)
{
	switch (kind) {
	case LYCH_KIND_CONTAIN:
		return NULL;
	case LYCH_KIND_PURE:
		return "the mprotect backend is process-wide: ordinary memory cannot be read-only for one thread";
	case LYCH_KIND_LIBRARY:
		return "the mprotect backend is process-wide: the memory of the host cannot be taken from one thread; LYCH_NONE "
		       "runs library domains without isolation";
	case LYCH_KIND_VAULT:
		return "the mprotect backend is process-wide: what a vault has open, every thread could read";
	}
	return "no such kind of domain";
}

static struct soft_state *state(void)
{
	struct monitor *monitor = ROOT.monitor;

	if (monitor->soft == NULL) {
		monitor->soft = monitor_alloc(sizeof(struct soft_state));
	}
	return monitor->soft;
}

static int apply(struct soft_state *s, struct soft_range *range)
{
	int host = range->domain != NULL || range->writers > 0 ? PROT_READ | PROT_WRITE
		   : range->readers > 0			       ? PROT_READ
							       : PROT_NONE;
	int want = s->inside == 0 || range->inside > 0 || range->holds > 0 ? host : PROT_NONE;
	int err = 0;

	range->host = host;
	if (want != range->prot) {
		err = ledger_change((void *)(uintptr_t)range->at, range->end - range->at, want);
		if (err == 0) {
			range->prot = want;
		}
	}
	return err;
}

/* Everything as the counts say. Goes on after an error, and gives back the first. */
static int apply_all(struct soft_state *s)
{
	int first = 0;

	if (s->inside > 0) {
		s->shut = true;
	}
	for (size_t i = 0; i < RANGES; i++) {
		if (s->ranges[i].end != 0) {
			int err = apply(s, &s->ranges[i]);

			first = first != 0 ? first : err;
		}
	}
	if (s->inside == 0) {
		s->shut = false;
	}
	return first;
}

static void count(struct soft_state *s, const struct lych_domain *domain, uint32_t change)
{
	if (domain == NULL) {
		return;
	}
	s->inside += change;
	for (size_t i = 0; i < RANGES; i++) {
		if (s->ranges[i].end != 0 && s->ranges[i].domain == domain) {
			s->ranges[i].inside += change;
		}
	}
}

static int move(struct soft_state *s, size_t index, struct lych_domain *to)
{
	struct lych_domain *from = s->in[index];
	int err;

	if (from == to) {
		return 0;
	}
	count(s, from, (uint32_t)-1);
	count(s, to, 1);
	s->in[index] = to;
	err = apply_all(s);
	if (err != 0 && to != NULL) {
		count(s, to, (uint32_t)-1);
		count(s, from, 1);
		s->in[index] = from;
		apply_all(s);
		return err;
	}
	return 0;
}

int backend_mprotect_enter(struct lych_domain *domain)
{
	struct thread *t;
	struct soft_state *s;
	int err = thread_self(&t);

	if (err != 0) {
		return err;
	}
	monitor_lock();
	s = state();
	err = s == NULL || thread_index(t) == THREADS_MAX ? -ENOMEM : move(s, thread_index(t), domain);
	monitor_unlock();
	return err;
}

void backend_mprotect_leave(void)
{
	struct thread *t = thread_attached();

	if (t == NULL || thread_index(t) == THREADS_MAX) {
		return;
	}
	monitor_lock();
	if (ROOT.monitor->soft != NULL) {
		move(ROOT.monitor->soft, thread_index(t), NULL);
	}
	monitor_unlock();
}

void lych_gate_leave_soft(struct record *record)
{
	(void)record;
	backend_mprotect_leave();
}

int lych_gate_enter_soft(struct record *call)
{
	return backend_mprotect_enter(call->domain);
}

bool backend_mprotect_retry(uint64_t at, uint64_t error)
{
	struct soft_state *s = ROOT.monitor == NULL ? NULL : ROOT.monitor->soft;
	int need = error & ERROR_WRITE ? PROT_WRITE : PROT_READ;

	if (s == NULL || (error & ERROR_FETCH)) {
		return false;
	}
	for (size_t i = 0; i < RANGES; i++) {
		struct soft_range *range = &s->ranges[i];

		if (at < range->at || at >= range->end) {
			continue;
		}
		if (!(range->host & need)) {
			return false; /* closed for the host as well */
		}
		if (s->shut) {
			sys0(SYS_sched_yield);
			return true;
		}
		/* Opened since then; unless the kernel refused to. */
		return range->prot & need;
	}
	return false;
}

int soft_add(struct soft_range **out, void *at, size_t bytes, int prot, struct lych_domain *heap_of)
{
	struct soft_state *s = state();
	struct soft_range *range = NULL;
	int err;

	for (size_t i = 0; s != NULL && i < RANGES && range == NULL; i++) {
		range = s->ranges[i].end == 0 ? &s->ranges[i] : NULL;
	}
	if (range == NULL) {
		return -ENOMEM;
	}
	range->domain = heap_of;
	range->prot = prot;
	range->inside = range->holds = range->readers = range->writers = 0;
	range->at = (uintptr_t)at;
	range->end = (uintptr_t)at + bytes;
	err = apply(s, range);
	if (err != 0) {
		range->end = 0;
		return -ENOMEM;
	}
	*out = range;
	return 0;
}

void soft_remove(struct soft_range *range)
{
	if (range != NULL) {
		range->end = 0;
		range->domain = NULL;
	}
}

int soft_open(struct soft_range *range, bool write)
{
	uint32_t *scopes = write ? &range->writers : &range->readers;

	++*scopes;
	if (apply(ROOT.monitor->soft, range) != 0) {
		--*scopes;
		apply(ROOT.monitor->soft, range);
		return -ENOMEM;
	}
	return 0;
}

void soft_close(struct soft_range *range, bool write)
{
	--*(write ? &range->writers : &range->readers);
	apply(ROOT.monitor->soft, range);
}

int soft_hold(struct soft_range *range)
{
	int err;

	monitor_lock();
	range->holds++;
	err = apply(ROOT.monitor->soft, range);
	if (err != 0) {
		range->holds--;
		err = -ENOMEM;
	}
	monitor_unlock();
	return err;
}

void soft_release(struct soft_range *range)
{
	monitor_lock();
	range->holds--;
	apply(ROOT.monitor->soft, range);
	monitor_unlock();
}

void soft_forget(size_t index)
{
	if (ROOT.monitor->soft != NULL) {
		move(ROOT.monitor->soft, index, NULL);
	}
}

void soft_forget_others(size_t keep)
{
	struct soft_state *s = ROOT.monitor->soft;

	if (s == NULL) {
		return;
	}
	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (i != keep) {
			move(s, i, NULL);
		}
	}
	for (size_t i = 0; i < RANGES; i++) {
		s->ranges[i].holds = 0; /* they were other threads' */
		if (s->ranges[i].end != 0) {
			apply(s, &s->ranges[i]);
		}
	}
}
