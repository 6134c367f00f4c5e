/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What answers a domain's system calls (G5). Pure policy (policy.c: call number and arguments in, decision out) apart
 * from what carries it out (mediator.c). For in-image domains a closed default; library domains come later.
 */
#ifndef LYCH_MEDIATOR_H
#define LYCH_MEDIATOR_H

#include "../core/runtime.h"

struct mediated {
	long nr;
	uint64_t arg[6];
	uint32_t arch; /* AUDIT_ARCH_*; anything but x86-64 is refused */
};

enum mediated_end {
	MEDIATED_RESULT,  /* *result goes to rax, the domain goes on */
	MEDIATED_EXIT,    /* exit, exit_group: the call ends (LYCH_FAULT_EXIT) */
	MEDIATED_ABORT,   /* it sent itself a deadly signal: the call ends (LYCH_FAULT_ABORT) */
	MEDIATED_ALLOC,   /* lych_inside_alloc: done, *result */
};

/* Runs inside lych_signal: monitor's stack, all signals blocked, selector ALLOW. */
LYCH_HIDDEN enum mediated_end mediator_call(struct lych_domain *d, struct thread *t, const struct mediated *call,
					    long *result);

/* At lych_init / first domain: the inherited seccomp floor (libseccomp), on all threads. 0 or -EOPNOTSUPP. */
LYCH_HIDDEN int floor_start(void);
/* For a thread: Syscall User Dispatch with an empty range; again after fork. */
LYCH_HIDDEN int dispatch_arm(struct area *area);
LYCH_HIDDEN void dispatch_disarm(void); /* of the calling thread */

/* Number of the private call behind lych_inside_alloc: never a real one. */
#define LYCH_SYS_INSIDE 0x6c796368

#endif /* LYCH_MEDIATOR_H */
