/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: areas, attaching, ending, fork; what reaches other threads. */
#ifndef LYCH_THREAD_H
#define LYCH_THREAD_H

#include "runtime.h"

/* The calling thread, attached if need be. 0 or -ENOMEM, -EPERM (a task that shares its area), -ENOSYS before
 * lych_init. Not async-signal-safe. */
LYCH_HIDDEN int thread_self(struct thread **out);
LYCH_HIDDEN struct thread *thread_attached(void); /* NULL when it is not */

LYCH_HIDDEN int threads_start(void); /* lych_init: arena, fork handlers, key destructor */
LYCH_HIDDEN void threads_stop(void);

/* All live threads, under monitor->lock. fn returns 0 to go on. */
LYCH_HIDDEN int threads_each(int (*fn)(struct thread *t, void *ctx), void *ctx);

/* Sends the kick to a thread: it enters the monitor, follows view_epoch, and ends calls whose record says so or
 * whose domain is poisoned. Async-signal-safe. */
LYCH_HIDDEN void thread_kick(struct thread *t);

/* The calling thread follows view_epoch: inside lych_signal, for a kick. */
LYCH_HIDDEN void thread_follow(struct thread *t);

/*
 * Every attached thread but the caller loses all rights to key before this returns: kicks them and waits. The
 * caller loses them, too. Called with monitor->lock. Threads that never attached have none.
 */
LYCH_HIDDEN void threads_shoot_down(int key);

/* Any record (CALL or CALLBACK) of any thread in domain? self: of the calling thread only. */
LYCH_HIDDEN bool threads_inside(const struct lych_domain *domain, bool self);

/* Orders a store before against what other threads do next (membarrier). */
LYCH_HIDDEN void threads_barrier(void);

#endif /* LYCH_THREAD_H */
