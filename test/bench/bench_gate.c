/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call into a domain and back costs with protection keys, beside what one would do without. All numbers are of
 * one run; they are compared with each other.
 *
 * Meant for the PKU machine under instruction counting (./dev bench gate, ./dev vm --icount): there rdtsc counts what
 * is retired, in the kernel, too, so that the numbers are exact and the same each time. Beside it each thing is done
 * once more under a single-stepper, which sees every instruction of the program and so every WRPKRU, and says whose
 * they are. On a processor with keys the first column is ticks.
 */
#include <lychgate/lychgate.h>
#include <sys/mman.h>

#include "bench_calls.h"

#define RUNS 15
#define ROUNDS 200

static struct lych_domain *domain;
static struct lych_region *region;
static uint8_t *page;
static int key, to_other[2], from_other[2];
static char byte;

/* ---- without the runtime -------------------------------------------------------------------------------------- */

MEASURED(mprotect_pair, mprotect(page, 4096, PROT_READ | PROT_WRITE); mprotect(page, 4096, PROT_NONE))
MEASURED(pkey_set_pair, pkey_set(key, 0); pkey_set(key, PKEY_DISABLE_ACCESS))
MEASURED(pipe, (void)!write(to_other[1], &byte, 1); (void)!read(from_other[0], &byte, 1))

/* A process that sends back each byte it gets. */
static void other_start(void)
{
	if (pipe(to_other) != 0 || pipe(from_other) != 0) {
		perror("pipe");
		exit(1);
	}
	if (fork() == 0) {
		char c;

		(void)close(to_other[1]);
		while (read(to_other[0], &c, 1) == 1 && write(from_other[1], &c, 1) == 1) {
		}
		_exit(0);
	}
	(void)close(to_other[0]);
	(void)close(from_other[1]);
}

/* ---- with it ---------------------------------------------------------------------------------------------------- */

FUNCTION static void callback(void)
{
	__asm__ volatile("");
}

/* What code in the domain calls to get there. */
static void (*volatile back)(void);
MEASURED(callback_inside, back())

LYCH_BIND(domain, callee_empty, void, (void));
LYCH_BIND(domain, callee_six, long, (long, long, long, long, long, long));
LYCH_BIND(domain, loop_callback_inside, uint64_t, (unsigned int));
LYCH_BIND(domain, once_callback_inside, void, (void *));
LYCH_BIND_POINTER(domain, callee_empty, void, (void), LYCH_NOTHING);
LYCH_BIND_POINTER(domain, callee_six, long, (long, long, long, long, long, long), -1);
LYCH_CALLBACK(callback, void, (void));

static void must(const char *what, int rc)
{
	if (rc != 0) {
		(void)fprintf(stderr, "bench_gate: %s: %s%s%s\n", what, lych_strerror(rc), *lych_why() != '\0' ? ": " : "",
			      lych_why());
		exit(1);
	}
}

static uint64_t loop_callback(unsigned int rounds)
{
	uint64_t ticks = 0;

	must("callback", LYCH_CALL(domain, &ticks, loop_callback_inside, rounds));
	return ticks;
}

static void once_callback(void *ctx)
{
	must("callback", LYCH_CALL(domain, LYCH_NOTHING, once_callback_inside, ctx));
}

static void (*pointer_empty)(void);
static long (*pointer_six)(long, long, long, long, long, long);
static volatile int status;
static long result;

MEASURED(gate_empty, status = LYCH_CALL(domain, LYCH_NOTHING, callee_empty))
MEASURED(gate_six, status = LYCH_CALL(domain, &result, callee_six, 1, 2, 3, 4, 5, 6))
MEASURED(pointer_empty, pointer_empty())
MEASURED(pointer_six, pointer_six(1, 2, 3, 4, 5, 6))
MEASURED(region_read, LYCH_READ(uint8_t, at, region) { __asm__ volatile("" ::"r"(at)); })
MEASURED(region_write, LYCH_WRITE(uint8_t, at, region) { __asm__ volatile("" ::"r"(at)); })

/* ---- the table -------------------------------------------------------------------------------------------------- */

#define ROW(name, what) row(name, loop_##what, once_##what, "once_" #what)

static double plain_ticks;

static void row(const char *name, uint64_t (*loop)(unsigned int), void (*once)(void *), const char *caller)
{
	double ticks = cost_of(loop, ROUNDS, RUNS);
	struct step_count count;

	_mm_setcsr(caller_mxcsr);
	if (!step_counts(&count, once)) {
		exit(1);
	}
	printf("  %-40s %8.1f %9.1f %7u %6u   ", name, ticks, ticks / plain_ticks, count.instructions, count.wrpkru);
	step_print_parts(&count, caller);
	printf("\n");
}

int main(void)
{
	bool counted = getenv("LYCH_VM") != NULL;
	void (*registered)(void);

	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
	if (page == MAP_FAILED || key < 0) {
		(void)fprintf(stderr, "bench_gate: no protection keys here (./dev bench gate runs it where there are)\n");
		return 77;
	}
	other_start();
	plain_ticks = cost_of(loop_plain_empty, ROUNDS, RUNS);
	printf("%s, the kernel's included; instructions of the program alone and WRPKRU among them, single-stepped, and\n"
	       "whose they are.\n",
	       counted ? "Retired instructions" : "Ticks of the time-stamp counter");
	printf("  %-40s %8s %9s %7s %6s\n", "", counted ? "retired" : "ticks", "calls", "own", "WRPKRU");
	ROW("plain call through a pointer", plain_empty);
	ROW("plain call, 6 arguments", plain_six);
	ROW("getpid", getpid);
	ROW("a pair of pkey_set (ours)", pkey_set_pair);
	ROW("a pair of mprotect", mprotect_pair);
	ROW("one byte to another process and back", pipe);

	(void)pkey_free(key);
	must("lych_init", lych_init(LYCH_OPTS(struct lych_init_opts, .backend = LYCH_PKU)));
	must("lych_domain_new", lych_domain_new(&domain, LYCH_OPTS(struct lych_domain_opts, .name = "bench")));
	must("lych_region_new", lych_region_new(&region, 4096, NULL));
	must("lych_callback", lych_callback(&registered, domain, callback, NULL));
	back = registered;
	must("LYCH_POINTER", LYCH_POINTER(&pointer_empty, domain, callee_empty));
	must("LYCH_POINTER", LYCH_POINTER(&pointer_six, domain, callee_six));
	printf("with a domain:\n");
	ROW("call into it and back", gate_empty);
	ROW("... 6 arguments", gate_six);
	caller_mxcsr = MXCSR_INEXACT;
	ROW("... after an inexact operation", gate_empty);
	caller_mxcsr = MXCSR_FRESH;
	ROW("... through a typed pointer", pointer_empty);
	ROW("... through a typed pointer, 6 arguments", pointer_six);
	ROW("callback out of it and back", callback);
	ROW("a region opened for reading and closed", region_read);
	ROW("... for writing", region_write);
	ROW("getpid", getpid);
	return 0;
}
