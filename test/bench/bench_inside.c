/* SPDX-License-Identifier: Apache-2.0 */
/* The library that bench_library.c opens: bench_inside.so. */
#include "bench_inside.h"

void bench_empty(void)
{
	__asm__ volatile("");
}

long bench_system_calls(long nr, long a, long b, long n)
{
	long rc = 0;

	for (long i = 0; i < n; i++) {
		__asm__ volatile("syscall" : "=a"(rc) : "a"(nr), "D"(a), "S"(b), "d"(0L) : "rcx", "r11", "memory");
	}
	return rc;
}

void bench_abort(void)
{
	__builtin_trap();
}
