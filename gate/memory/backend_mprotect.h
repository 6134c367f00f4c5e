/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mprotect backend: the same API on machines without keys, process-wide and slow.
 *
 * The ranges it opens and closes are the heaps of domains and the regions. Rules, for the whole process:
 *
 *	nobody is in a domain   heaps are open; a region is as far open as the scope of any thread asks
 *	somebody is in one      the heaps of the domains that somebody is in are open; everything else is closed
 *
 * So all threads see what one of them has opened; and while any thread is in a domain, host code on other threads
 * loses the regions it has open and the heaps of other domains. What it touches then faults and waits
 * (backend_mprotect_retry) until nobody is in a domain; a system call that is given such memory fails with EFAULT.
 * Stacks of domains and all ordinary memory stay open. In a callback nobody is in the domain: everything is as if it
 * had not been entered, which includes regions that the caller of the domain has open.
 */
#ifndef LYCH_BACKEND_MPROTECT_H
#define LYCH_BACKEND_MPROTECT_H

#include "../core/runtime.h"

struct soft_range;

/* Why there is no such domain with this backend, one sentence; NULL: there is. */
LYCH_HIDDEN const char *backend_mprotect_refuses(enum lych_kind kind);

/*
 * The calling thread, which is attached, is in domain from now on, and in no other. Takes monitor->lock: it must not
 * be held. Doing it twice is doing it once. 0; -ENOMEM: the kernel refused to close something, and the thread is
 * where it was. enter before rights would be dropped (lych_gate_slow; again when a callback returns).
 */
LYCH_HIDDEN int backend_mprotect_enter(struct lych_domain *domain);
/* The calling thread is in no domain. Takes monitor->lock. Doing it twice is doing it once. */
LYCH_HIDDEN void backend_mprotect_leave(void);

/*
 * For a SIGSEGV of the host's, SEGV_ACCERR, error the fault's error code: true when at is closed only because some
 * thread is in a domain, or was until now. It has yielded the processor: the access is to be tried again. Takes no
 * lock. Async-signal-safe.
 */
LYCH_HIDDEN bool backend_mprotect_retry(uint64_t at, uint64_t error);

/* ---- for gate/memory/ only; all with monitor->lock ------------------------------------------ */

/* Puts a range, in the ledger with prot, under the rules. heap_of: whose heap; NULL: a region. 0 or -ENOMEM. */
LYCH_HIDDEN int soft_add(struct soft_range **out, void *at, size_t bytes, int prot, struct lych_domain *heap_of);
/* Takes it out, as it is. NULL: nothing. */
LYCH_HIDDEN void soft_remove(struct soft_range *range);
/* A scope of a region. open: 0 or -ENOMEM, then nothing has changed. */
LYCH_HIDDEN int soft_open(struct soft_range *range, bool write);
LYCH_HIDDEN void soft_close(struct soft_range *range, bool write);
/* The thread at this index has ended, all but the one at keep are not in this process. */
LYCH_HIDDEN void soft_forget(size_t index);
LYCH_HIDDEN void soft_forget_others(size_t keep);

/* A heap is open between the two, for what the runtime itself does there. They take the lock. 0 or -ENOMEM. */
LYCH_HIDDEN int soft_hold(struct soft_range *range);
LYCH_HIDDEN void soft_release(struct soft_range *range);

#endif /* LYCH_BACKEND_MPROTECT_H */
