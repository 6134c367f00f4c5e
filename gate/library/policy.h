/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a domain's system call. Pure: number, arguments and who makes it in, decision out. No memory a
 * pointer argument names is looked at here.
 */
#ifndef LYCH_POLICY_H
#define LYCH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "inside/stub.h"

struct mediated {
	long nr;
	uint64_t arg[6];
	uint32_t arch; /* AUDIT_ARCH_*; anything but x86-64 is refused */
	uint64_t rip;  /* after the instruction, for lych_refused */
	uint64_t mask; /* signals the interrupted context has blocked: others cut a blocking call short */
};

/*
 * LYCH_SYS_INSIDE (inside/stub.h) is the number of the private call behind lych_inside_alloc and lych_inside_free: never a
 * real one, and without the x32 bit, so that the kernel answers ENOSYS where nobody dispatches it.
 *	arg[0] = INSIDE_ALLOC, arg[1] = bytes     result: the block's address, or -ENOMEM
 *	arg[0] = INSIDE_FREE, arg[1] = the block  result: 0 or -EINVAL
 */
#define INSIDE_ALLOC 0
#define INSIDE_FREE 1

enum policy_action {
	POLICY_REFUSE, /* the result is -err */
	POLICY_ZERO,   /* the result is 0, nothing is done */
	POLICY_ASK,    /* the real call, which takes no argument */
	POLICY_BREAK,  /* brk: the break as it is, never moved */
	POLICY_WRITE,
	POLICY_WRITEV,
	POLICY_CLOCK,  /* clock_gettime, clock_getres, gettimeofday, time */
	POLICY_RANDOM,
	POLICY_FUTEX,
	POLICY_MASK,   /* rt_sigprocmask: nothing is changed, no signal is said to be blocked */
	POLICY_EXIT,
	POLICY_ABORT,  /* err is the signal */
	POLICY_INSIDE,
	POLICY_SLEEP,  /* from here on only when opened */
	POLICY_TELL,   /* a struct is filled: getrusage, sysinfo, uname, times, getcpu */
};

struct policy_decision {
	enum policy_action action;
	int err;
};

struct policy_self {
	int pid, tid;
};

#define POLICY_WORDS 8 /* a bit for each call number below 512 */

/* open: POLICY_WORDS words, what lych_domain_allow opened; NULL: nothing. */
struct policy_decision policy_decide(const struct mediated *call, const struct policy_self *self, const uint64_t *open);

/* May lych_domain_allow open it? */
bool policy_openable(long nr);

/* Ends a process by default, and is nobody's but the program's: 32 and 33 are the C library's and ours. */
bool policy_deadly(int sig);

/* Made as another architecture's? */
bool policy_foreign(const struct mediated *call);

#endif /* LYCH_POLICY_H */
