/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A system call of code in a domain, on a real processor without protection keys: Syscall User Dispatch, the runtime's way
 * in, its answer, and its way back are what they are with keys, but where WRPKRU stands is a store to memory and, as
 * BENCH_REPLACED says, another instruction. The domain is one of the mprotect backend, which changes no protection while a
 * call is inside.
 *
 * Beside it, in the same run and in turns: the same call of a process that has no runtime, and the least that a handler of
 * Syscall User Dispatch can do. Only what they are to each other is printed: the median of many turns.
 */
#include <lychgate/lychgate.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bench_common.h"
#include "bench_inside.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define ROUNDS 500
#define TURNS 501

LYCH_BIND(domain, bench_system_calls, long, (long, long, long, long));

static struct lych_domain *domain;
static volatile char selector;

static void must(const char *what, int rc)
{
	if (rc != 0) {
		(void)fprintf(stderr, "bench_dispatch: %s: %s: %s\n", what, lych_strerror(rc), lych_why());
		exit(1);
	}
}

static uint64_t ticks_of_native(long nr, long a, long b)
{
	uint64_t start = __rdtsc();

	(void)bench_system_calls(nr, a, b, ROUNDS);
	return __rdtsc() - start;
}

static void dispatched(int sig)
{
	(void)sig;
	selector = 0;
}

static uint64_t ticks_of_bare(long nr, long a, long b)
{
	uint64_t start = __rdtsc();

	for (unsigned int i = 0; i < ROUNDS; i++) {
		selector = 1;
		(void)bench_system_calls(nr, a, b, 1);
	}
	return __rdtsc() - start;
}

static uint64_t ticks_of_domain(long nr, long a, long b)
{
	uint64_t start = __rdtsc();

	must("system calls", LYCH_CALL(domain, NULL, bench_system_calls, nr, a, b, ROUNDS));
	return __rdtsc() - start;
}

/* A process that measures when it is asked to: what another has done to its threads changes what a system call costs. */
struct helper {
	int ask, answer;
};

static void help(bool bare, int asked, int answer)
{
	struct timespec ts;
	long which[2];

	signal(SIGSYS, dispatched);
	if (bare && prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) != 0) {
		perror("bench_dispatch: PR_SET_SYSCALL_USER_DISPATCH");
		_exit(1);
	}
	while (read(asked, which, sizeof(which)) == (ssize_t)sizeof(which)) {
		uint64_t ticks = (bare ? ticks_of_bare : ticks_of_native)(which[0], which[1], (long)&ts);

		selector = 0;
		if (write(answer, &ticks, sizeof(ticks)) != (ssize_t)sizeof(ticks)) {
			_exit(1);
		}
	}
	_exit(0);
}

static struct helper start_helper(bool bare)
{
	int asked[2], answer[2];

	if (pipe(asked) != 0 || pipe(answer) != 0) {
		perror("bench_dispatch: pipe");
		exit(1);
	}
	pid_t child = fork();
	if (child == 0) {
		(void)close(asked[1]);
		(void)close(answer[0]);
		help(bare, asked[0], answer[1]);
	}
	(void)close(asked[0]);
	(void)close(answer[1]);
	return (struct helper){asked[1], answer[0]};
}

static double ticks_of_helper(const struct helper *h, long nr, long a)
{
	long which[2] = {nr, a};
	uint64_t ticks = 0;

	if (write(h->ask, which, sizeof(which)) != (ssize_t)sizeof(which) ||
	    read(h->answer, &ticks, sizeof(ticks)) != (ssize_t)sizeof(ticks)) {
		(void)fprintf(stderr, "bench_dispatch: a helper has ended\n");
		exit(1);
	}
	return (double)ticks;
}

static void row(const char *name, const struct helper *plain, const struct helper *bare, long nr, long a, long b)
{
	double dispatch[TURNS], emulated[TURNS], against[TURNS];

	for (unsigned int i = 0; i < TURNS; i++) {
		double native = ticks_of_helper(plain, nr, a), least = ticks_of_helper(bare, nr, a);
		double ours = (double)ticks_of_domain(nr, a, b);

		dispatch[i] = least / native;
		emulated[i] = ours / native;
		against[i] = ours / least;
	}
	printf("  %-32s %10.1f %10.1f %10.2f\n", name, median_of(dispatch, TURNS), median_of(emulated, TURNS),
	       median_of(against, TURNS));
}

int main(void)
{
	struct helper plain = start_helper(false), bare = start_helper(true);
	struct lych_init_opts opts = {.size = sizeof(opts), .backend = LYCH_MPROTECT};
	struct timespec *ts;

	must("lych_init", lych_init(&opts));
	must("a domain", lych_domain_new(&domain, NULL));
	ts = lych_alloc(domain, sizeof(*ts));
	must("memory of it", ts != NULL ? 0 : -1);
	printf("WRPKRU replaced by a store and %s: medians of %d turns of %d system calls\n", BENCH_REPLACED, TURNS, ROUNDS);
	print_machine(stdout);
	printf("  %-32s %10s %10s %10s\n", "", "bare SUD", "domain's", "domain's");
	printf("  %-32s %10s %10s %10s\n", "", "/ native", "/ native", "/ bare");
	row("getpid", &plain, &bare, SYS_getpid, 0, 0);
	row("clock_gettime, into its memory", &plain, &bare, SYS_clock_gettime, CLOCK_MONOTONIC, (long)ts);
	return 0;
}
