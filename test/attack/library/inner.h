/* SPDX-License-Identifier: Apache-2.0 */
/* For hostile_*.c. */
#ifndef LYCH_TEST_ATTACK_INNER_H
#define LYCH_TEST_ATTACK_INNER_H

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "hostile.h"

#define L(pointer) ((long)(uintptr_t)(pointer))

/* By an instruction of its own: no libc, no errno. */
static inline __attribute__((always_inline)) long raw6(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc;
}
#define RAW7(nr, a, b, c, d, e, f, ...) raw6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define raw(...) RAW7(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

/* Looks whether the secret can be read now; where it cannot that is a fault. */
static inline long took(struct prey *p)
{
	p->taken = *(volatile uint64_t *)p->secret;
	return p->taken == PREY_SECRET ? ATTACK_DONE : -ENODATA;
}

static inline long done_if(long rc)
{
	return rc >= 0 ? ATTACK_DONE : rc;
}

/* Did what was read into own hold the secret? */
static inline long took_in_own(struct prey *p)
{
	memcpy(&p->taken, p->own, sizeof(p->taken));
	return p->taken == PREY_SECRET ? ATTACK_DONE : -ENODATA;
}

#endif /* LYCH_TEST_ATTACK_INNER_H */
