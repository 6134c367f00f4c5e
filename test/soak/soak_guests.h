/* SPDX-License-Identifier: Apache-2.0 */
// Of soak.cc: what runs in domains, and its bindings.
#ifndef LYCH_TEST_SOAK_GUESTS_H
#define LYCH_TEST_SOAK_GUESTS_H

#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include <lychgate/lychgate.h>

typedef long (*soak_callback)(long depth, long value);

struct soak_wide {
	long a, b, c, d;
};

extern "C" {
static long f0(void)
{
	return 42;
}
static long f1(long a)
{
	return a + 1;
}
static long f2(long a, int b)
{
	return a + 2 * b;
}
static double f3(double a, int b, double c)
{
	return a * b + c;
}
static long f4(long a, short b, unsigned char c, long d)
{
	return a + 2 * b + 3 * c + 4 * d;
}
static long f5(int a, int b, int c, int d, int e)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e;
}
static long f6(long a, long b, long c, long d, long e, long f)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f;
}
static double f7(long a, double b, long c, double d, long e, double f, long g)
{
	return (double)(a + c + e + g) + b * d * f;
}
static long f8(long a, long b, long c, long d, long e, long f, long g, long h)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h;
}
static struct soak_wide wide(long n)
{
	return soak_wide{n, n + 1, n + 2, n + 3};
}
static long sum(const unsigned char *at, size_t bytes)
{
	long total = 0;
	for (size_t i = 0; i < bytes; i++) {
		total += at[i];
	}
	return total;
}
static long work(long rounds)
{
	for (volatile long i = 0; i < rounds; i++) {
	}
	return rounds;
}
static long call_back(soak_callback fn, long depth, long value)
{
	return fn(depth, value) + 1;
}
static long alloc_inside(size_t bytes)
{
	void *block = lych_inside_alloc(bytes);
	long got = block != nullptr;
	lych_inside_free(block);
	return got;
}

// Until it is ended. Both are in the host's memory.
static void spin(int *started, int *all)
{
	*started = 1;
	__atomic_fetch_add(all, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		__asm__ volatile("pause");
	}
}

// RAISE: what abort() does, but for taking a lock of the C library. A call that is ended while it has that, by a
// cancel or by another thread's fault, leaves it taken, for everybody: domains inside the image share the C library.
// So abort() is called only where nobody else ends calls.
enum soak_fault { SEGV, TOUCH, ILL, FPE, TRAP, RAISE, EXIT, STACK, BUS, FAULTS, ABORT = FAULTS, DEADLINE, ROW };

static long deeper(volatile long *n)
{
	volatile char room[512];
	room[0] = (char)*n;
	*n = *n + 1;
	return *n < 0 ? 0 : deeper(n) + room[0];
}

// where: for TOUCH and BUS
static long stumble(int how, volatile char *where)
{
	volatile long n = 0;

	switch (how) {
	case SEGV:
		__asm__ volatile("movq $1, 8");
		break;
	case TOUCH:
	case BUS:
		*where = 1;
		break;
	case ILL:
		__asm__ volatile("ud2");
		break;
	case FPE:
		__asm__ volatile("xorl %%ecx, %%ecx; xorl %%edx, %%edx; movl $1, %%eax; idivl %%ecx"
				 ::: "eax", "ecx", "edx");
		break;
	case TRAP:
		__asm__ volatile("int3");
		break;
	case RAISE:
		raise(SIGABRT);
		break;
	case ABORT:
		abort();
	case EXIT:
		_exit(3);
	case STACK:
		return deeper(&n);
	}
	return 7;
}
}

LYCH_BIND(d, f0, long, (void));
LYCH_BIND(d, f1, long, (long));
LYCH_BIND(d, f2, long, (long, int));
LYCH_BIND(d, f3, double, (double, int, double));
LYCH_BIND(d, f4, long, (long, short, unsigned char, long));
LYCH_BIND(d, f5, long, (int, int, int, int, int));
LYCH_BIND(d, f6, long, (long, long, long, long, long, long));
LYCH_BIND(d, f7, double, (long, double, long, double, long, double, long));
LYCH_BIND(d, f8, long, (long, long, long, long, long, long, long, long));
LYCH_BIND_POINTER(d, f8, long, (long, long, long, long, long, long, long, long), -77);
LYCH_BIND(d, wide, struct soak_wide, (long));
LYCH_BIND(d, sum, long, (const unsigned char *, size_t));
LYCH_BIND(d, work, long, (long));
LYCH_BIND(d, call_back, long, (soak_callback, long, long));
LYCH_BIND(d, alloc_inside, long, (size_t));
LYCH_BIND(d, spin, void, (int *, int *));
LYCH_BIND(d, stumble, long, (int, volatile char *));

extern "C" long soak_called(long depth, long value);
LYCH_CALLBACK(soak_called, long, (long, long));

#endif // LYCH_TEST_SOAK_GUESTS_H
