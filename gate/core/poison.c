/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains that have faulted, and calls that are to end: what the gate and the monitor ask.
 *
 * Nothing here takes a lock: it runs in the monitor, whose thread may have been interrupted anywhere.
 */
#include <time.h>
#include <sys/syscall.h>

#include "asm.h"
#include "keys.h"
#include "thread.h"

/* A call that was let in just before, and one that waits for its thread to come back from a callback. */
#define ASK_AGAIN_NS 1000000ull

struct poisoned {
	const struct lych_domain *domain;
	const struct thread *self;
};

static int kick_inside(struct thread *t, void *ctx)
{
	const struct poisoned *p = ctx;
	const struct record *top = thread_top(t);

	if (t == p->self) {
		return 0;
	}
	for (const struct record *r = &t->records[1]; r <= top && r < &t->records[DEPTH_MAX]; r++) {
		if (record_is_of(r, p->domain)) {
			thread_kick(t);
			break;
		}
	}
	return 0;
}

static void shut(struct lych_domain *d)
{
	struct poisoned p = {.domain = d, .self = thread_attached()};

	atomic_store(&d->id, 0);
	threads_barrier();
	threads_each(kick_inside, &p);
}

void domain_poison(struct lych_domain *d)
{
	uint32_t ready = DOMAIN_READY, paused = DOMAIN_PAUSED;

	/* One that is being reset is closed already, and whoever resets it sees to its calls. */
	if (atomic_compare_exchange_strong(&d->state, &ready, DOMAIN_POISONED) ||
	    atomic_compare_exchange_strong(&d->state, &paused, DOMAIN_POISONED)) {
		shut(d);
	}
}

void domain_open_again(struct lych_domain *d)
{
	uint32_t paused = DOMAIN_PAUSED;

	/* In this order for call_goes_on. */
	atomic_store(&d->id, d->next_id);
	if (!atomic_compare_exchange_strong(&d->state, &paused, DOMAIN_READY)) {
		shut(d);
	}
}

bool call_goes_on(const struct record *call)
{
	const struct lych_domain *d = call->domain;

	return atomic_load(&d->id) == call->call_id ||
	       (atomic_load(&d->state) == DOMAIN_PAUSED && d->next_id == call->call_id) ||
	       atomic_load(&d->id) == call->call_id; /* open again since */
}

/* In lych_signal, on a kick, or of the calling thread's own: nobody else changes the records. */
void cancels_follow(struct thread *t)
{
	uint64_t asked = atomic_load(&t->cancel_asked);

	for (struct record *r = &t->records[1]; asked != 0 && r <= t->top; r++) {
		int32_t none = 0;

		if (r->kind == KIND_CALL && (asked & domain_bit(r->domain)) != 0) {
			atomic_compare_exchange_strong(&r->cancel, &none, -ECANCELED);
		}
	}
	atomic_fetch_and(&t->cancel_asked, ~asked);
}

int lych_callback_refused(struct record *call)
{
	int32_t cancel = atomic_load(&call->cancel);

	/* What is cut in the middle in a library domain may hold locks of its C library. */
	if (cancel == -ETIMEDOUT || (cancel != 0 && call->domain->library != NULL)) {
		domain_poison(call->domain);
	}
	return cancel != 0 ? cancel : -ECANCELED;
}

/* ---- deadlines ---------------------------------------------------------------------------------- */

uint64_t monotonic_ns(void)
{
	struct timespec ts = {0};

	sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a == 0 || b < a ? b : a;
}

void deadlines_follow(struct thread *t, bool in_domain)
{
	uint64_t now = monotonic_ns(), next = 0;

	for (struct record *r = &t->records[1]; r <= t->top; r++) {
		bool waits = r != t->top || !in_domain;
		int32_t none = 0;

		if (r->kind != KIND_CALL) {
			continue;
		}
		if (r->deadline_ns != 0 && r->deadline_ns == t->armed_ns) {
			t->armed_ns = 0;
		}
		if (r->deadline_ns > now) {
			next = sooner(next, r->deadline_ns);
		} else if (r->deadline_ns != 0 && waits) {
			/* The way back from the callback looks at it. */
			atomic_compare_exchange_strong(&r->cancel, &none, -ETIMEDOUT);
		}
		if (r == t->top && waits &&
		    (atomic_load(&r->cancel) != 0 || atomic_load(&r->domain->id) != r->call_id)) {
			next = sooner(next, now + ASK_AGAIN_NS);
		}
	}
	if (t->armed_ns != 0) {
		/*
		 * The record of its call may come yet, however long that takes: arguments are evaluated, the thread does not run.
		 * Asked again after as long as it is late, it is noticed at most twice as late, and one whose call never comes
		 * costs fewer and fewer kicks.
		 */
		uint64_t late = now > t->armed_ns ? now - t->armed_ns : 0;
		next = sooner(next, late == 0 ? t->armed_ns : now + (late > ASK_AGAIN_NS ? late : ASK_AGAIN_NS));
	}
	thread_timer(t, next);
}

/* The earliest deadline of a call on record, and first, of which 0 is none. */
static uint64_t first_deadline(const struct thread *t, uint64_t first)
{
	for (const struct record *r = &t->records[1]; r <= t->top; r++) {
		if (r->kind == KIND_CALL && r->deadline_ns != 0) {
			first = sooner(first, r->deadline_ns);
		}
	}
	return first;
}

uint64_t lych_deadline_in(uint64_t timeout_ms, uint64_t *before)
{
	struct thread *self;
	uint64_t delta, ns = monotonic_ns(), armed;

	if (__builtin_mul_overflow(timeout_ms, 1000000, &delta) || __builtin_add_overflow(ns, delta, &ns) ||
	    ns > INT64_MAX) {
		ns = INT64_MAX;
	}
	if (NONE != NULL || thread_self(&self) != 0) {
		return ns; /* and the call will say why */
	}
	/* Only a handler can come between this and the gate; what is armed otherwise is of a call that was left. */
	armed = self->level > 0 ? self->armed_ns : 0;
	if (before != NULL) {
		*before = armed;
	}
	self->armed_ns = ns;
	thread_timer(self, first_deadline(self, armed != 0 ? sooner(ns, armed) : ns));
	return ns;
}

void lych_deadline_over(uint64_t before)
{
	struct thread *self = thread_here();

	if (self != NULL) {
		self->armed_ns = before;
		thread_timer(self, first_deadline(self, before));
	}
}
