/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring what one call costs in a loop that is then subtracted. */
#ifndef LYCH_BENCH_CALLS_H
#define LYCH_BENCH_CALLS_H

#include <inttypes.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bench_steps.h"

#define FUNCTION __attribute__((noinline, noclone, noipa))

/* Reads the time-stamp counter with nothing before or behind it in flight. */
static inline uint64_t ticks_now(void)
{
	uint64_t ticks;

	_mm_lfence();
	ticks = __rdtsc();
	_mm_lfence();
	return ticks;
}

/* One thing to measure: loop_NAME(rounds) gives the ticks of so many, once_NAME does it for a single-stepper. */
#define MEASURED(name, ...)                                                                        \
	FUNCTION __attribute__((unused)) static void once_##name(void *ctx)                         \
	{                                                                                          \
		(void)ctx;                                                                         \
		__VA_ARGS__; /* whatever happens the first time only */                            \
		STEP_BEGIN();                                                                      \
		__VA_ARGS__;                                                                       \
		STEP_END();                                                                        \
	}                                                                                          \
                                                                                                   \
	FUNCTION __attribute__((unused)) static uint64_t loop_##name(unsigned int rounds)           \
	{                                                                                          \
		uint64_t begin = ticks_now();                                                      \
                                                                                                   \
		for (unsigned int i = 0; i < rounds; i++) {                                        \
			__VA_ARGS__;                                                               \
			__asm__ volatile("" ::: "memory");                                         \
		}                                                                                  \
		return ticks_now() - begin;                                                        \
	}

MEASURED(nothing, (void)0)

/*
 * MXCSR while something is measured. It is a question of one's past: a flag stays in it after the first inexact operation,
 * and then the gate has to put the caller's away.
 */
#define MXCSR_FRESH 0x1f80
#define MXCSR_INEXACT 0x1fa0
static unsigned int caller_mxcsr = MXCSR_FRESH;

/* The least of so many runs is what the code costs; what is above it is interrupts and other programs. */
static inline uint64_t least(uint64_t (*loop)(unsigned int), unsigned int rounds, unsigned int runs)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int i = 0; i < runs; i++) {
		uint64_t ticks;

		_mm_setcsr(caller_mxcsr);
		ticks = loop(rounds);
		best = ticks < best ? ticks : best;
	}
	return best;
}

/* Ticks of one round, the empty loop's taken off. */
static inline double cost_of(uint64_t (*loop)(unsigned int), unsigned int rounds, unsigned int runs)
{
	double all = (double)least(loop, rounds, runs), empty = (double)least(loop_nothing, rounds, runs);

	return all > empty ? (all - empty) / rounds : 0;
}

FUNCTION static void callee_empty(void)
{
	__asm__ volatile("");
}

FUNCTION static long callee_six(long a, long b, long c, long d, long e, long f)
{
	__asm__ volatile("" ::"r"(a), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f));
	return a;
}

static void (*volatile plain_empty)(void) = callee_empty;
static long (*volatile plain_six)(long, long, long, long, long, long) = callee_six;

MEASURED(plain_empty, plain_empty())
MEASURED(plain_six, plain_six(1, 2, 3, 4, 5, 6))
MEASURED(getpid, syscall(SYS_getpid))

#endif /* LYCH_BENCH_CALLS_H */
