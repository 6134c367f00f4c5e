/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: areas, attaching, ending, fork; what reaches other threads. */
#ifndef LYCH_THREAD_H
#define LYCH_THREAD_H

#include "runtime.h"

/* Room for one alternate stack where it cannot lie in the area. */
#define STACK_OLD_BYTES 0x8000

/* The calling thread, attached if need be. 0 or -ENOMEM, -EPERM (a task that shares its area), -ENOSYS before
 * lych_init. Not async-signal-safe. */
LYCH_HIDDEN int thread_self(struct thread **out);
LYCH_HIDDEN struct thread *thread_attached(void); /* NULL when it is not */
/* The calling thread, if it is attached and may use its area; NULL: not attached, or a task that shares the area or has
 * been left with an empty one. Async-signal-safe. */
LYCH_HIDDEN struct thread *thread_here(void);

LYCH_HIDDEN int threads_start(void); /* lych_init: arena, fork handlers, key destructor */
LYCH_HIDDEN void threads_stop(void);

/*
 * Fork handlers (task.c): the pages of areas are wiped in a child; these put aside and rebuild those of the calling
 * thread. prepare takes monitor->lock, the other two release it. In the child every other thread is forgotten.
 */
LYCH_HIDDEN void threads_fork_prepare(void);
LYCH_HIDDEN void threads_fork_parent(void);
LYCH_HIDDEN void threads_fork_child(void);

/* gs base of a task that must not use any gate (vfork, CLONE_VM): thread_self gives -EPERM. */
LYCH_HIDDEN extern const union lych_root_page lych_refused_page;

/* All live threads, under monitor->lock. fn returns 0 to go on. */
LYCH_HIDDEN int threads_each(int (*fn)(struct thread *t, void *ctx), void *ctx);

/* Sends the kick to a thread: it enters the monitor, follows view_epoch, and ends calls whose record says so or
 * whose domain is poisoned. Async-signal-safe. */
LYCH_HIDDEN void thread_kick(struct thread *t);

/*
 * No task of this process has a right to key any more: attached threads (the caller, too) are kicked and waited for,
 * and so are those that never attached. Called with monitor->lock. false: one could not be reached (for some seconds it
 * has blocked every signal, or been stopped), or tasks cannot be listed (no /proc): the key must not get another owner.
 */
LYCH_HIDDEN LYCH_MUST_CHECK bool threads_shoot_down(int key);
LYCH_HIDDEN bool strangers_deny(int key); /* its second half: strangers.c */
LYCH_HIDDEN bool strangers_ended(int tid); /* for good, though the kernel still knows it */
/* How often each key was; and bits that deny those it has happened to since. */
LYCH_HIDDEN void threads_shot_down(uint32_t counts[KEYS]);
LYCH_HIDDEN uint32_t threads_shot_down_since(const uint32_t counts[KEYS]);
/*
 * For a thread that could not attach, with all signals blocked: PKRU := view, in a frame that it returns from. By a
 * fault of its own, which needs nothing that could be used up. strangers_asked: was the signal of an unattached
 * thread that?
 */
struct kernel_ucontext;
LYCH_HIDDEN void strangers_restore(uint32_t view);
/*
 * For a thread that is not attached: PKRU := (PKRU & ~clear) | set, by the same way. -EINVAL: a bit of clear is one of a
 * key of ours. Async-signal-safe.
 */
LYCH_HIDDEN int strangers_choose(uint32_t clear, uint32_t set);
LYCH_HIDDEN bool strangers_asked(int sig, struct kernel_ucontext *uc);
/* PKRU in the kernel's own frame on the stack of a thread that is not attached. */
LYCH_HIDDEN uint32_t strangers_rights(const struct kernel_ucontext *uc);
LYCH_HIDDEN void strangers_set_rights(struct kernel_ucontext *uc, uint32_t pkru);
/*
 * A thread that is not attached has touched memory of a key: it may be older than the key, which the host's view holds.
 * Attaches it, so that it goes on with that view when the handler whose frame uc is has returned; what it touched is then
 * there, or the next fault is that of an attached thread. false: it could not be.
 */
LYCH_HIDDEN bool thread_attach_at_fault(struct kernel_ucontext *uc);
/* In a thread that is not attached, for a signal that carries the kick's proof: was it that? */
LYCH_HIDDEN bool strangers_kicked(const siginfo_t *info, void *context);
/*
 * Frames that wait below a handler of the host lose nothing by a kick that interrupts the handler: so each thread counts how
 * often it lost each key while it was not attached. lose counts for keys that bits deny; since gives bits that deny what
 * was lost since then.
 */
LYCH_HIDDEN void strangers_lost(uint32_t counts[KEYS]);
LYCH_HIDDEN void strangers_lose(uint32_t bits);
LYCH_HIDDEN uint32_t strangers_lost_since(const uint32_t counts[KEYS]);

/*
 * The opposite, for the key of a new domain: every attached thread, the caller included, has all rights to key in its
 * host view before this returns. Called with monitor->lock. Threads that attach later take keys_host_view(). false: one
 * could not be reached, and has not got them yet.
 */
LYCH_HIDDEN LYCH_MUST_CHECK bool threads_allow(int key);

/*
 * What the last changes of keys make of a view of the host. thread_follow applies it to everything the thread keeps
 * (gate page, records) but the PKRU in force: that is in the signal frame (and in the levels below it), and whoever
 * handles the signal applies thread_view there. Only then it says so, to those who wait, by thread_followed with what
 * thread_follow gave: earlier, and the bits that are to be denied could be gone before the frame has lost them.
 * Async-signal-safe.
 */
LYCH_HIDDEN void thread_pkru_update(uint32_t clear, uint32_t set); /* PKRU of the calling thread (asm.h), by backend */
LYCH_HIDDEN uint32_t thread_view(uint32_t view);
LYCH_HIDDEN uint32_t thread_view_less(uint32_t view); /* without what is denied: for a context that is to get nothing */
LYCH_HIDDEN uint64_t thread_follow(struct thread *t);
LYCH_HIDDEN void thread_followed(struct thread *t, uint64_t epoch);

/* The thread's timer, made when it attaches, fires (the kick, SI_TIMER) at deadline_ns, CLOCK_MONOTONIC; 0 stops it. */
LYCH_HIDDEN void thread_timer(struct thread *t, uint64_t deadline_ns);

/* Every thread has it but one that fork could not make one for: makes it. 0, or -ENOMEM: no call may be made. The caller's. */
LYCH_HIDDEN LYCH_MUST_CHECK int thread_has_timer(struct thread *t);

/* CLOCK_MONOTONIC, not by the vDSO: its data is ordinary memory. Async-signal-safe. */
LYCH_HIDDEN uint64_t monotonic_ns(void);

/*
 * On a kick: marks the calls below a callback whose deadline has passed, and sets the timer to what comes next: the
 * earliest deadline, or a moment when a call is to end that is only just being made. in_domain: the top record's
 * domain was interrupted. Async-signal-safe.
 */
LYCH_HIDDEN void deadlines_follow(struct thread *t, bool in_domain);

/*
 * Calls of the thread in domains that lych_domain_cancel has asked about (thread.cancel_asked) get their mark. By the thread
 * itself: on a kick, or when it is the one that cancels. Async-signal-safe.
 */
LYCH_HIDDEN void cancels_follow(struct thread *t);
_Static_assert(DOMAINS_MAX <= 64, "a bit for each");
static inline uint64_t domain_bit(const struct lych_domain *domain)
{
	return 1ull << (domain - ROOT.monitor->domains);
}

/* Any record (CALL or CALLBACK) of any thread in domain? self: of the calling thread only. */
LYCH_HIDDEN bool threads_inside(const struct lych_domain *domain, bool self);

/* Orders a store before against what other threads do next (membarrier). */
LYCH_HIDDEN void threads_barrier(void);

#endif /* LYCH_THREAD_H */
