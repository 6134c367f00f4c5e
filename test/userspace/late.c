/* SPDX-License-Identifier: Apache-2.0 */
/* Opened after the start: functions that are chosen when they are bound, calls into itself and into
 * another library. */
#include "values.h"

int late_constructed;
int late_calls_number(int x);
int late_calls_others(int x);
double late_sum(double a, double b);

__attribute__((constructor)) static void construct(void)
{
	late_constructed = 70 + (int)value_long_double_6(1, 0, 0);
}

static int number_plain(int x)
{
	return 1000 + x;
}

static int number_avx(int x)
{
	return x + 1000;
}

static int (*choose_number(void))(int)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx") ? number_avx : number_plain;
}

int late_number(int) __attribute__((ifunc("choose_number")));

int late_calls_number(int x)
{
	return late_number(x); /* through the table: it can be interposed */
}

int late_calls_others(int x)
{
	return x + (int)value_doubles_7(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
}

static double sum_plain(double a, double b)
{
	return a + b;
}

static double (*choose_sum(void))(double, double)
{
	return sum_plain;
}

/* Not to be interposed: relocated when the library is opened. */
static double sum(double, double) __attribute__((ifunc("choose_sum")));

double late_sum(double a, double b)
{
	return sum(a, b);
}
