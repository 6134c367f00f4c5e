/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What library domains cost, in instructions, the kernel's included: for the PKU machine under instruction counting
 * (./dev bench library), where rdtsc counts what is retired. All numbers are of one run and compared with each other.
 *
 *	bench_library BENCH_INSIDE.SO
 */
#include <lychgate/lychgate.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bench_inside.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define ROUNDS 200
#define RUNS 5
#define STARTS 3

LYCH_SYM(domain, bench_empty, void, (void));
LYCH_SYM(domain, bench_system_calls, long, (long, long, long, long));
LYCH_SYM(domain, bench_abort, void, (void));

static struct lych_domain *domain;
static const char *library;

static void must(const char *what, int rc)
{
	if (rc != 0) {
		(void)fprintf(stderr, "bench_library: %s: %s: %s\n", what, lych_strerror(rc), lych_why());
		exit(1);
	}
}

static uint64_t least(uint64_t (*run)(void), unsigned int runs)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int i = 0; i < runs; i++) {
		uint64_t n = run();
		best = n < best ? n : best;
	}
	return best;
}

/* ---- without the runtime ------------------------------------------------------------------------------------------ */

static uint64_t native(void)
{
	uint64_t start = __rdtsc();

	(void)bench_system_calls(SYS_getppid, 0, 0, ROUNDS);
	return (__rdtsc() - start) / ROUNDS;
}

static uint64_t native_fstat(void)
{
	struct stat st;
	uint64_t start = __rdtsc();

	(void)bench_system_calls(SYS_fstat, 2, (long)&st, ROUNDS);
	return (__rdtsc() - start) / ROUNDS;
}

static volatile char selector;

/* The least that a handler of Syscall User Dispatch can do. */
static void dispatched(int sig)
{
	(void)sig;
	selector = 0;
}

static uint64_t bare_dispatch(void)
{
	uint64_t start = __rdtsc();

	for (unsigned int i = 0; i < ROUNDS; i++) {
		selector = 1;
		(void)bench_system_calls(SYS_getppid, 0, 0, 1);
	}
	return (__rdtsc() - start) / ROUNDS;
}

/* In a child, which ends with it. */
static uint64_t dispatch_in_child(void)
{
	int ends[2];
	uint64_t n = 0;

	if (pipe(ends) != 0) {
		perror("bench_library: pipe");
		exit(1);
	}
	pid_t child = fork();
	if (child == 0) {
		signal(SIGSYS, dispatched);
		if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) == 0) {
			n = least(bare_dispatch, RUNS);
			selector = 0;
			(void)!write(ends[1], &n, sizeof(n));
		}
		_exit(0);
	}
	(void)close(ends[1]);
	(void)!read(ends[0], &n, sizeof(n));
	(void)close(ends[0]);
	(void)waitpid(child, NULL, 0);
	return n;
}

/* Another process, dynamically linked as this one. */
static uint64_t spawn_process(void)
{
	char *const argv[] = {(char *)"helper", NULL};
	uint64_t start = __rdtsc();
	pid_t child;
	int status = 1;

	if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, argv, NULL) != 0 || waitpid(child, &status, 0) != child || status != 0) {
		perror("bench_library: helper");
		exit(1);
	}
	return __rdtsc() - start;
}

/* ---- library domains ------------------------------------------------------------------------------------------------ */

static uint64_t call(void)
{
	uint64_t start = __rdtsc();

	for (unsigned int i = 0; i < ROUNDS; i++) {
		must("a call", LYCH_CALL(domain, LYCH_NOTHING, bench_empty));
	}
	return (__rdtsc() - start) / ROUNDS;
}

static uint64_t system_call(long nr, long a, long b)
{
	uint64_t start = __rdtsc();

	must("system calls", LYCH_CALL(domain, NULL, bench_system_calls, nr, a, b, ROUNDS));
	return (__rdtsc() - start) / ROUNDS;
}

static uint64_t quick(void)
{
	return system_call(SYS_getppid, 0, 0);
}

static void *inside_stat;
static uint64_t answered(void)
{
	return system_call(SYS_fstat, 2, (long)inside_stat);
}

static uint64_t reset(void)
{
	if (LYCH_CALL(domain, LYCH_NOTHING, bench_abort) != -EFAULT) {
		must("a fault", -EINVAL);
	}
	uint64_t start = __rdtsc();
	must("reset", lych_domain_reset(domain));
	uint64_t n = __rdtsc() - start;
	must("a call", LYCH_CALL(domain, LYCH_NOTHING, bench_empty));
	return n;
}

static uint64_t closed;
static uint64_t open_and_close(void)
{
	uint64_t start = __rdtsc();

	must("open", lych_open(&domain, library, NULL));
	uint64_t opened = __rdtsc();
	must("close", lych_domain_free(domain));
	closed = __rdtsc() - opened;
	return opened - start;
}

static void row(const char *what, uint64_t n, uint64_t base)
{
	printf("%-64s %12llu %10.1f\n", what, (unsigned long long)n, (double)n / (double)base);
}

int main(int argc, char **argv)
{
	if (strcmp(argv[0], "helper") == 0) {
		return 0;
	}
	if (argc != 2) {
		(void)fprintf(stderr, "usage: bench_library BENCH_INSIDE.SO\n");
		return 2;
	}
	library = argv[1];
	uint64_t plain = least(native, RUNS), plain_fstat = least(native_fstat, RUNS), bare = dispatch_in_child();
	uint64_t process = least(spawn_process, STARTS);

	must("lych_init", lych_init(NULL));
	uint64_t first = open_and_close(), opened = least(open_and_close, STARTS), close_one = closed;
	must("open", lych_open(&domain, library, NULL));
	inside_stat = lych_alloc(domain, sizeof(struct stat));

	printf("%-64s %12s %10s\n", "system call", "instructions", "ratio");
	row("getppid, native", plain, plain);
	row("getppid, dispatched to a handler that does nothing (bare SUD)", bare, plain);
	row("getppid, of a library domain, answered in the monitor", least(quick, RUNS), plain);
	row("fstat, native", plain_fstat, plain_fstat);
	row("fstat, of a library domain, answered as the host", least(answered, RUNS), plain_fstat);
	printf("\n%-64s %12s %10s\n", "life", "instructions", "ratio");
	row("another process: posix_spawn of this program, which ends at once", process, process);
	row("lych_open of a library that needs libc only, the first time", first, process);
	row("lych_open of it again", opened, process);
	row("lych_domain_reset after a fault", least(reset, STARTS), process);
	row("lych_domain_free", close_one, process);
	printf("\n%-64s %12s %10s\n", "call", "instructions", "ratio");
	row("LYCH_CALL of an empty function in a library domain", least(call, RUNS), plain);
	must("free", lych_domain_free(domain));
	return 0;
}
