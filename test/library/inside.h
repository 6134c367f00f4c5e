/* SPDX-License-Identifier: Apache-2.0 */
/* What inside.so has for the tests of library domains: a library as any other, that knows nothing of domains. */
#ifndef LYCH_TEST_LIBRARY_INSIDE_H
#define LYCH_TEST_LIBRARY_INSIDE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int inside_add(int a, int b);
double inside_mean(double a, double b, int n);
/* Thread-local: how often this thread has called it. */
int inside_count(void);
/* Of the whole library; set by a constructor to 41. */
extern int inside_value;
int inside_next_value(void);
/* malloc, filled, summed, freed. */
long inside_allocate(size_t bytes);
char *inside_text(const char *name);
int inside_apply(int (*fn)(int), int n);
int inside_sort(int *values, size_t n, int (*compare)(const void *, const void *));
int inside_errno_of_open(const char *path);
long inside_thread_sum(int threads, int n); /* -errno of pthread_create */
int inside_meet(int n); /* waits until n threads are in it; how often this one has called inside_count */
struct inside_large {
	long words[8];
};
struct inside_large inside_large_of(long first); /* and the seven after it */
/* Adds up what is at from, and stores it at to. */
void inside_sum_to(const unsigned char *from, size_t bytes, long *to);
int inside_cpp(int n);                        /* throws and catches n times */

/* What a call does not survive. */
int inside_peek(const volatile unsigned char *at);
void inside_poke(volatile unsigned char *at);
void inside_abort(void);
void inside_exit(int status);
int inside_recurse(int depth);
void inside_loop(void);
void inside_loop_from(int *here); /* which is 1 then */
void inside_loop_without_signals(void); /* with all blocked */
void inside_throw(void);
int inside_divide(int a, int b);
void inside_smash(size_t bytes);
long inside_syscall(long nr, long a, long b, long c, long d, long e, long f);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_LIBRARY_INSIDE_H */
