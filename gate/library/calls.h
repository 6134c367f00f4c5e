/* SPDX-License-Identifier: Apache-2.0 */
/* What answers the system calls of library domains, but for those that are about its threads (answer.c). */
#ifndef LYCH_LIBRARY_CALLS_H
#define LYCH_LIBRARY_CALLS_H

#include "arena.h"
#include "library.h"
#include "mediator.h"

/*
 * calls_quick: in lych_signal, all signals blocked, on the monitor's stack, of which it takes less than 4 KiB.
 * Neither waits nor takes monitor->lock. false: the call is not one of those, nothing was done, and calls_answer is
 * to be asked. true: *result goes to rax and the domain goes on.
 */
LYCH_HIDDEN bool calls_quick(struct library *l, struct thread *t, const struct mediated *call, long *result);

/*
 * calls_answer: like a handler of the host, on the stack of the host's caller (of which it takes less than 16 KiB),
 * with signals unblocked; it may wait. It answers the quick ones, too.
 *
 * A kick that arrives while a system call waits ends that with EINTR. One that arrives just before is not noticed by
 * it: so nothing waits longer than ANSWER_SLICE_NS at a time, and answer_interrupted is asked before each. What can
 * wait is a futex, a sleep, and ppoll: pipes, sockets and event descriptors are never blocking ones for the kernel,
 * even where the domain sees them so.
 *
 * Left by siglongjmp out of a handler of the host it leaves no lock held; a file may stay open until the domain's
 * next reset.
 */
LYCH_HIDDEN enum mediated_end calls_answer(struct library *l, struct thread *t, const struct mediated *call,
					   long *result);
#define ANSWER_SLICE_NS 100000000LL

/*
 * code.c. What asks for memory to be executable: mmap's arguments, real_fd -1 or a regular file that stays open
 * meanwhile; or, with LIBRARY_CODE_PROTECT in flags, mprotect's. All arguments are the domain's. An address, 0, or
 * -errno. Of a file that is mapped from the beginning of a segment of code on, no more than that segment becomes code:
 * what is behind it is mapped to be read.
 */
LYCH_HIDDEN long library_code(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags,
			      long real_fd, uint64_t offset);
#define LIBRARY_CODE_PROTECT (1ULL << 32)

#endif /* LYCH_LIBRARY_CALLS_H */
