/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What answers a domain's system calls (G5). Pure policy (policy.c: call number and arguments in, decision out) apart
 * from what carries it out (mediator.c). For in-image domains a closed default; library domains come later.
 *
 * Memory a call names is touched like this:
 *
 *	results        go to the domain's own heap or stack only (memory_contains); else EFAULT. Own memory cannot
 *	               become somebody else's while the call lasts
 *	what is read   from there, or from memory without a key of ours that the domain's view may read: copied by the
 *	               kernel with the domain's rights, and the ledger asked before and after
 *	futex words    own memory, or memory the domain's view may write
 *
 * The result of a call is computed in the monitor and then stored, never by the kernel into the domain's memory.
 */
#ifndef LYCH_MEDIATOR_H
#define LYCH_MEDIATOR_H

#include "../core/runtime.h"
#include "policy.h"

enum mediated_end {
	MEDIATED_RESULT, /* *result goes to rax, the domain goes on */
	MEDIATED_EXIT,   /* exit, exit_group: the call ends (LYCH_FAULT_EXIT); *result is the status */
	MEDIATED_ABORT,  /* it sent itself a deadly signal: the call ends (LYCH_FAULT_ABORT); *result is the signal */
	MEDIATED_ALLOC,  /* lych_inside_alloc: done, *result goes to rax */
	MEDIATED_RETURN, /* the call ends as if its function had returned 0 (library domains) */
};

/*
 * Runs inside lych_signal: monitor's stack (4 KiB of it), all signals blocked, selector ALLOW, PKRU open. Takes no lock
 * but the heap's.
 *
 * Calls that wait (futex, nanosleep, write to a full pipe) wait in slices of 10 ms and give -EINTR as soon as a
 * signal is pending that call->mask does not block (the kick and the deadline timer are signals, too), the call was
 * canceled, its deadline is over, or the domain is poisoned. The signal is taken when the domain's context is resumed.
 */
LYCH_HIDDEN enum mediated_end mediator_call(struct lych_domain *d, struct thread *t, const struct mediated *call,
					    long *result);

/*
 * For lych_domain_new and lych_domain_free, with monitor->lock: fills and empties d->policy. -ENOMEM. While d->policy
 * is NULL nothing can be opened, and refusals are not written down. Kept by lych_domain_reset.
 */
LYCH_HIDDEN int mediator_domain_new(struct lych_domain *d);
LYCH_HIDDEN void mediator_domain_free(struct lych_domain *d);

/* Writes a refused call down, for lych_refused and the report of a fault. Async-signal-safe. */
LYCH_HIDDEN void mediator_refused(struct lych_domain *d, const struct mediated *call);
/* So many bytes more it cannot have. Async-signal-safe. */
LYCH_HIDDEN void mediator_no_memory(struct lych_domain *d, uint64_t bytes);

/*
 * The inherited floor, on all threads (G5): a call of another architecture or with the x32 bit kills the process,
 * everything else is allowed. For lych_domain_new, before the first domain's code can run: it cannot be taken back,
 * so lych_init leaves it alone. Sets no_new_privs. 0 however often it is called, or -EOPNOTSUPP with lych_why set.
 * Uses malloc: not with a lock held that malloc's user could want.
 */
LYCH_HIDDEN int floor_start(void);

/* For a thread: Syscall User Dispatch with an empty range; again after fork. 0 or -EOPNOTSUPP. */
LYCH_HIDDEN int dispatch_arm(struct area *area);
LYCH_HIDDEN void dispatch_disarm(void); /* of the calling thread */

#endif /* LYCH_MEDIATOR_H */
