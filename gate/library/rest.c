/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of a library domain's own that are there when a snapshot is taken: constructors have begun them.
 *
 * They are stopped wherever they are, by a kick: what has been interrupted then, all registers of it, is kept in monitor memory,
 * and the call that the thread is ends. A system call that waits ends without having done anything, and is to be made again: a
 * futex looks at its word again, a sleep begins anew. With all of them outside the memory of the domain changes no more, and
 * is what their registers belong to. Then they go on. A reset, which ends whatever runs, begins new threads of the host
 * that go on in the same way, from the same registers. Their stacks and thread-local storage are in the snapshot's memory.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/signal_levels.h"
#include "../core/thread.h"
#include "arena_parts.h"
#include "context_parts.h"
#include "files.h"
#include "snapshot.h"

#define REST_MS 10000 /* for threads to stop, at most */
#define PAUSE_FIRST_NS 100000
#define PAUSE_LAST_NS 10000000

static size_t kept_bytes(void)
{
	return KEPT_HEADER + level_frame_bytes();
}

static void kept_free(const struct kept *k)
{
	monitor_free((void *)(uintptr_t)k, kept_bytes());
}

/* ---- in lych_signal ------------------------------------------------------------------------------------------------- */

bool context_rests(const struct library *l, const struct thread *t)
{
	const struct inside_context *x;

	if (atomic_load(&l->contexts->resting) == 0) {
		return false;
	}
	x = context_of(l, t);
	return x != NULL && atomic_load(&x->use) == CONTEXT_OWN && x->call == t->top && atomic_load(&x->room) != NULL &&
	       !atomic_load(&x->never);
}

/* A frame that is larger than those of other threads holds what the thread has to ask the kernel for first. */
bool context_keep(struct library *l, struct thread *t, const struct sigframe *frame)
{
	const struct slot *slot = context_slot(l, t);
	struct inside_context *x;
	struct kept *k;

	if (!context_rests(l, t)) {
		return false;
	}
	x = context_of(l, t);
	k = atomic_load(&x->room);
	if (sigframe_sw(frame).xstate_bytes != state_of(t)->sw.xstate_bytes ||
	    sigframe_copy(kept_frame(k), level_frame_bytes(), frame, (uint64_t)frame, (uint64_t)frame + level_frame_bytes()) != 0) {
		atomic_store(&x->never, true);
		return false;
	}
	*k = (struct kept){.fs = slot->fs, .clear_tid = x->clear_tid, .sp = slot->sp, .tid = x->tid};
	x->again = k;
	return true;
}

bool kept_restore(struct sigframe *frame, const struct kept *k)
{
	const struct sigframe *from = kept_frame(k);
	const struct kernel_ucontext uc = frame->uc;
	const siginfo_t info = frame->info;

	if (sigframe_sw(from).xstate_bytes != sigframe_sw(frame).xstate_bytes ||
	    sigframe_copy(frame, level_frame_bytes(), from, (uint64_t)from, (uint64_t)from + level_frame_bytes()) != 0) {
		return false;
	}
	frame->uc.mask = uc.mask;
	frame->uc.stack = uc.stack;
	frame->info = info;
	return true;
}

/* ---- their side ------------------------------------------------------------------------------------------------------ */

bool own_stopped(struct library *l, struct inside_context *x)
{
	struct contexts *c = l->contexts;

	if (x->again == NULL) {
		return false;
	}
	x->call = NULL;
	context_slot(l, atomic_load(&x->thread))->sp = x->spare_sp; /* on its own there is what it goes on with */
	/* Who asks next must not take it for stopped when it has just seen that it may go on. */
	do {
		uint32_t resting;

		atomic_store(&x->stopped, true);
		while ((resting = atomic_load(&c->resting)) != 0) {
			sys4(SYS_futex, &c->resting, FUTEX_WAIT_PRIVATE, resting, NULL);
		}
		atomic_store(&x->stopped, false);
	} while (atomic_load(&c->resting) != 0);
	x->beginning = true;
	return true;
}

bool own_not_begun(struct library *l, const struct inside_context *x)
{
	struct contexts *c = l->contexts;
	uint32_t resting;

	if (!x->beginning) {
		return false;
	}
	while ((resting = atomic_load(&c->resting)) != 0) {
		sys4(SYS_futex, &c->resting, FUTEX_WAIT_PRIVATE, resting, NULL);
	}
	return atomic_load(&l->domain->id) == x->id; /* else it was ended or reset */
}

/* ---- who takes the snapshot ------------------------------------------------------------------------------------------ */

/* One round: 0 when all have stopped; -EAGAIN; -ENOTSUP: one cannot be; -ENOMEM; -EBUSY: somebody resets or frees the domain. */
static int stop(struct library *l)
{
	struct contexts *c = l->contexts;
	uint32_t stopped = 0, used = atomic_load(&c->used);
	int rc;

	monitor_lock(); /* of what it kicks no thread's area becomes another's */
	rc = l->domain->ending ? -EBUSY : 0;
	for (size_t i = FIRST; i < used && (rc == 0 || rc == -EAGAIN); i++) {
		struct inside_context *x = &c->at[i];
		struct thread *t;

		if (atomic_load(&x->use) != CONTEXT_OWN) {
			continue;
		}
		if (atomic_load(&x->stopped)) {
			stopped++;
			continue;
		}
		rc = atomic_load(&x->never) ? -ENOTSUP : -EAGAIN;
		if (atomic_load(&x->room) == NULL) {
			struct kept *room = monitor_alloc(kept_bytes());

			rc = room == NULL ? -ENOMEM : rc;
			atomic_store(&x->room, room);
		}
		t = atomic_load(&x->thread);
		if (t != NULL) {
			thread_kick(t);
		}
	}
	monitor_unlock();
	/* Those that are being begun have no context yet; those that have ended are to be gone. */
	return rc == 0 && atomic_load(&c->alive) != stopped ? -EAGAIN : rc;
}

bool contexts_resting(const struct library *l)
{
	const struct contexts *c = l->contexts;
	uint32_t stopped = 0, used = atomic_load(&c->used);

	for (size_t i = FIRST; i < used; i++) {
		stopped += atomic_load(&c->at[i].use) == CONTEXT_OWN && atomic_load(&c->at[i].stopped);
	}
	return atomic_load(&c->alive) == stopped;
}

void contexts_go_on(struct library *l)
{
	atomic_store(&l->contexts->resting, 0);
	sys3(SYS_futex, &l->contexts->resting, FUTEX_WAKE_PRIVATE, INT_MAX);
}

int contexts_rest(struct library *l, uint64_t end_ns)
{
	struct timespec pause = {.tv_nsec = PAUSE_FIRST_NS};
	struct contexts *c = l->contexts;
	uint32_t nobody = 0;
	bool mine = false;
	int rc = -EAGAIN;

	for (;;) {
		mine = mine || atomic_compare_exchange_strong(&c->resting, &nobody, 1);
		nobody = 0;
		rc = mine ? stop(l) : -EAGAIN; /* another thread is about to take one, too */
		if (rc != -EAGAIN || monotonic_ns() >= end_ns) {
			break;
		}
		sys2(SYS_nanosleep, &pause, NULL);
		pause.tv_nsec = pause.tv_nsec * 2 < PAUSE_LAST_NS ? pause.tv_nsec * 2 : PAUSE_LAST_NS;
	}
	if (rc != 0 && mine) {
		contexts_go_on(l);
	}
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

/* With monitor->lock, all have stopped, and a snapshot was taken: with these. */
static void kept(struct library *l)
{
	struct contexts *c = l->contexts;
	uint32_t used = atomic_load(&c->used);

	for (size_t i = FIRST; i < CONTEXTS; i++) {
		struct inside_context *x = &c->at[i];
		bool is = i < used && atomic_load(&x->use) == CONTEXT_OWN;

		/* It may not have gone on since the last one. */
		if (x->snapshot == NULL ? !is : is && x->again == x->snapshot) {
			continue;
		}
		kept_free(x->snapshot);
		x->snapshot = is ? atomic_exchange(&x->room, NULL) : NULL;
	}
}

void contexts_kept_free(struct library *l)
{
	for (size_t i = FIRST; i < CONTEXTS; i++) {
		kept_free(atomic_load(&l->contexts->at[i].room));
		kept_free(l->contexts->at[i].snapshot);
	}
}

static int keep(struct library *l, bool first)
{
	uint64_t limit_ms = l->open_ms < REST_MS ? l->open_ms : REST_MS;
	int rc;

	if (threads_inside(l->domain, true)) {
		return -EBUSY;
	}
	rc = contexts_rest(l, monotonic_ns() + limit_ms * 1000000);
	if (rc == -ETIMEDOUT || rc == -ENOTSUP) {
		l->restless = l->restless || first;
		return first ? 0 : -EBUSY;
	}
	if (rc != 0) {
		return rc;
	}
	monitor_lock();
	rc = !first ? domain_pause(l->domain) : atomic_load(&l->domain->id) == 0 ? -EOWNERDEAD : 0;
	if (rc == 0) {
		const struct snapshot *before = l->arena->snapshot;

		rc = snapshot_take(l);
		/* A reset goes back to all of them or to none. It may be there although memory ran out then. */
		if (l->arena->snapshot != before) {
			files_snapshot(l);
			kept(l);
			l->restless = false;
		}
		if (!first && rc == -ENOMEM) {
			/* In the midst of it, maybe: what is there then is nothing to go on with. */
			atomic_store(&l->domain->state, DOMAIN_POISONED);
		} else if (!first) {
			domain_open_again(l->domain);
		}
	}
	monitor_unlock();
	contexts_go_on(l);
	return rc;
}

int library_keep(struct lych_domain *d, bool first)
{
	struct library *l;
	int rc;

	monitor_lock();
	l = library_hold(d);
	monitor_unlock();
	if (l == NULL) {
		return -EINVAL; /* freed meanwhile */
	}
	rc = keep(l, first);
	monitor_lock();
	library_let_go(l);
	monitor_unlock();
	return rc;
}

/* ---- who goes back to it --------------------------------------------------------------------------------------------- */

void contexts_reset(struct library *l)
{
	struct contexts *c = l->contexts;
	uint32_t used = atomic_load(&c->used), now = FIRST;

	for (size_t i = FIRST; i < used; i++) {
		context_release(&c->at[i]);
	}
	for (size_t i = FIRST; i < CONTEXTS; i++) {
		struct inside_context *x = &c->at[i];

		if (x->snapshot == NULL) {
			continue;
		}
		context_clear(x);
		x->tid = x->snapshot->tid;
		x->again = x->snapshot;
		atomic_store(&x->use, CONTEXT_OWN);
		now = (uint32_t)i + 1;
		atomic_fetch_add(&c->own, 1);
		atomic_fetch_add(&c->alive, 1);
	}
	atomic_store(&c->used, now);
}

int contexts_again(struct library *l)
{
	struct contexts *c = l->contexts;
	int rc = 0;

	for (size_t i = FIRST; i < CONTEXTS; i++) {
		struct inside_context *x = &c->at[i];

		/* One that has a thread by now is none of those: places of reset are nobody's until then. */
		if (x->snapshot == NULL || x->again != x->snapshot) {
			continue;
		}
		if (rc == 0) {
			rc = own_again(l, x);
		} else {
			context_release(x);
			atomic_fetch_sub(&c->own, 1);
			atomic_fetch_sub(&c->alive, 1);
		}
	}
	return rc;
}
