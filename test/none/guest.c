/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <lychgate/lychgate.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

long guest_loads;
long guest_number = 42;

__attribute__((constructor)) static void loaded(void)
{
	guest_loads++;
}

long sum0(void)
{
	return 7;
}

long sum1(long a)
{
	return a;
}

long sum6(long a, int b, short c, signed char d, unsigned char e, unsigned int f)
{
	return a + b + c + d + e + (long)f;
}

long sum10(int a, int b, int c, int d, int e, int f, int g, short h, signed char i, long j)
{
	return a + 2L * b + 3L * c + 4L * d + 5L * e + 6L * f + 7L * g + 8L * h + 9L * i + 10L * j;
}

double mixed(double a, long b, float c, long double d, double e, double f, double g, double h, double i, double j, int k)
{
	return a + (double)b + (double)c + (double)d + e + f + g + h + i + 2 * j + k;
}

long double half(long double a)
{
	return a / 2;
}

struct pair swap(struct pair p)
{
	return (struct pair){p.second, p.first};
}

struct big grow(struct big b, int by)
{
	for (int i = 0; i < 9; i++) {
		b.a[i] += by;
	}
	return b;
}

double total(int n, ...)
{
	double sum = 0;
	va_list ap;

	va_start(ap, n);
	for (int i = 0; i < n; i++) {
		sum += va_arg(ap, double);
	}
	va_end(ap);
	return sum;
}

bool is_odd(int n)
{
	return n & 1;
}

int call_back(int (*fn)(int), int n)
{
	return fn(n) + 1;
}

double call_back_wide(double (*fn)(long, double, struct pair, int, int, int, int, short, long double), double d)
{
	return fn(1, d, (struct pair){2, 3}, 4, 5, 6, 7, -8, 9.5L) * 2;
}

void *allocate_inside(unsigned long bytes)
{
	char *block = lych_inside_alloc(bytes);

	if (block != NULL) {
		memset(block, 'i', bytes);
	}
	return block;
}

void free_inside(void *block)
{
	lych_inside_free(block);
}

int overflow(char *block, int at)
{
	block[at] = 1;
	return block[at];
}
