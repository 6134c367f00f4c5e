/* SPDX-License-Identifier: Apache-2.0 */
/* What answers the system calls of library domains, but for those that end a call or are about its threads (answer.c). */
#ifndef LYCH_LIBRARY_CALLS_H
#define LYCH_LIBRARY_CALLS_H

#include "library.h"
#include "mediator.h"

/*
 * calls_quick: in lych_signal, all signals blocked, on the monitor's stack, of which it takes less than 4 KiB. Neither waits nor
 * takes monitor->lock. false: the call is not one of those, nothing was done, and calls_answer is to be asked. true: *result
 * goes to rax and the domain goes on.
 */
LYCH_HIDDEN bool calls_quick(struct library *l, struct thread *t, const struct mediated *call, long *result);

/*
 * calls_answer: like a handler of the host, on the stack of the host's caller (of which it takes less than 16 KiB), with signals
 * unblocked; it may wait. It answers the quick ones, too.
 *
 * A kick that arrives while a system call waits ends that with EINTR. One that arrives just before is not noticed by it: so
 * nothing waits longer than ANSWER_SLICE_NS at a time, and answer_interrupted is asked in between. What can wait is a
 * futex, a sleep, and ppoll: pipes, sockets and event descriptors are never blocking ones for the kernel, even where the
 * domain sees them so.
 *
 * Left by siglongjmp out of a handler of the host it leaves no lock held; a file may stay open until the domain's next
 * reset.
 */
LYCH_HIDDEN enum mediated_end calls_answer(struct library *l, struct thread *t, const struct mediated *call,
					   long *result);
#define ANSWER_SLICE_NS 100000000LL

/*
 * What calls.c has from others. arena.h and library.h say more of these; what asks for memory to be executable goes to
 * library_code: mmap's arguments, real_fd -1 or a regular file that stays open meanwhile; or, with LIBRARY_CODE_PROTECT
 * in flags, mprotect's. All arguments are the domain's. An address, 0, or -errno.
 */
LYCH_HIDDEN long library_code(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags, long real_fd,
			      uint64_t offset);
#define LIBRARY_CODE_PROTECT (1ULL << 32)

LYCH_HIDDEN int context_tid(struct library *l, const struct thread *t);
LYCH_HIDDEN bool answer_interrupted(struct library *l, struct thread *t);

LYCH_HIDDEN long arena_mmap(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags, long fd,
			    uint64_t offset);
LYCH_HIDDEN long arena_munmap(struct library *l, uint64_t at, uint64_t bytes);
LYCH_HIDDEN long arena_mprotect(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot);
LYCH_HIDDEN long arena_mremap(struct library *l, uint64_t at, uint64_t old_bytes, uint64_t new_bytes, uint64_t flags,
			      uint64_t new_at);
LYCH_HIDDEN long arena_madvise(struct library *l, uint64_t at, uint64_t bytes, uint64_t advice);
LYCH_HIDDEN long arena_brk(struct library *l, uint64_t at);
LYCH_HIDDEN long arena_mincore(struct library *l, uint64_t at, uint64_t bytes, uint64_t vec);
LYCH_HIDDEN long arena_msync(struct library *l, uint64_t at, uint64_t bytes, uint64_t flags);
LYCH_HIDDEN long arena_mlock(struct library *l, uint64_t at, uint64_t bytes);
LYCH_HIDDEN long arena_munlock(struct library *l, uint64_t at, uint64_t bytes);

#endif /* LYCH_LIBRARY_CALLS_H */
