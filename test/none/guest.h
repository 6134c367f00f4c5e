/* SPDX-License-Identifier: Apache-2.0 */
/* A library for lych_open: the tests have its declarations, and are not linked with it. */
#ifndef NONE_GUEST_H
#define NONE_GUEST_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct pair {
	double first, second;
};
struct big {
	long a[9];
};

extern long guest_loads, guest_number;
long sum0(void);
long sum1(long a);
long sum6(long a, int b, short c, signed char d, unsigned char e, unsigned int f);
long sum10(int a, int b, int c, int d, int e, int f, int g, short h, signed char i, long j);
double mixed(double a, long b, float c, long double d, double e, double f, double g, double h, double i, double j, int k);
long double half(long double a);
struct pair swap(struct pair p);
struct big grow(struct big b, int by);
double total(int n, ...);
bool is_odd(int n);
int call_back(int (*fn)(int), int n);
double call_back_wide(double (*fn)(long, double, struct pair, int, int, int, int, short, long double), double d);
void *allocate_inside(unsigned long bytes);
void free_inside(void *block);
int overflow(char *block, int at);
int nowhere(int); /* declared, and in no library */
/* thrower.cc, in the same library */
int throw_and_catch(int n);
void throw_out(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* NONE_GUEST_H */
