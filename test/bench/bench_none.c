/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a library domain of LYCH_NONE, and opening it again, which is what a reset is there, against a helper process that
 * loads the same library and ends: by fork and exec, on any machine. It says what the interface costs, and nothing of what
 * isolation does: that is counted by bench_library, in the machine with keys. In turns, by the processor time of both
 * processes, and only what they are to each other is printed: the median of many.
 */
#include <dlfcn.h>
#include <lychgate/lychgate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_common.h"

#define TURNS 201
#define LIBRARY "libz.so.1"

unsigned long crc32(unsigned long, const unsigned char *, unsigned int);
LYCH_SYM(domain, crc32, unsigned long, (unsigned long, const unsigned char *, unsigned int));

static struct lych_domain *domain;

static void must(const char *what, int rc)
{
	if (rc != 0) {
		(void)fprintf(stderr, "bench_none: %s: %s: %s\n", what, lych_strerror(rc), lych_why());
		exit(1);
	}
}

static void use(void)
{
	unsigned long sum = 0;
	unsigned char *in = lych_calloc(domain, 1, 16);

	must("memory of the domain", in != NULL ? 0 : -1);
	must("crc32", LYCH_CALL(domain, &sum, crc32, 0, in, 16));
	must("what it computes", sum == 0xecbb4b55 ? 0 : -1);
}

/* Of this process and of those it has waited for; what others do meanwhile does not count. */
static double spent(void)
{
	struct rusage children;
	struct timespec own;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
	getrusage(RUSAGE_CHILDREN, &children);
	return (double)own.tv_sec + (double)own.tv_nsec * 1e-9 + (double)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) +
	       (double)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1e-6;
}

/* fork and exec of this program, which loads the library when it has to. */
static double helper(const char *name)
{
	char *const argv[] = {(char *)(uintptr_t)name, NULL};
	double start = spent();
	int status = 1;
	pid_t child = fork();

	if (child == 0) {
		execv("/proc/self/exe", argv);
		_exit(1);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
		(void)fprintf(stderr, "bench_none: the helper has failed\n");
		exit(1);
	}
	return spent() - start;
}

static int help(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_GLOBAL);
	unsigned char in[16] = {0};
	unsigned long (*sum)(unsigned long, const unsigned char *, unsigned int) = NULL;

	if (library != NULL) {
		*(void **)&sum = dlsym(library, "crc32");
	}
	return sum != NULL && sum(0, in, 16) == 0xecbb4b55 ? 0 : 1;
}

static double opened(void)
{
	double start = spent();

	must("lych_open", lych_open(&domain, LIBRARY, NULL));
	use();
	return spent() - start;
}

static double opened_again(void)
{
	double start = spent();

	must("lych_domain_free", lych_domain_free(domain));
	must("lych_open", lych_open(&domain, LIBRARY, NULL));
	use();
	return spent() - start;
}

int main(int argc, char **argv)
{
	struct lych_init_opts opts = {.size = sizeof(opts), .backend = LYCH_NONE};
	double empty[TURNS], open[TURNS], again[TURNS];

	(void)argc;
	if (strcmp(argv[0], "helper") == 0) {
		return help();
	}
	if (strcmp(argv[0], "nothing") == 0) {
		return 0;
	}
	must("lych_init", lych_init(&opts));
	for (unsigned int i = 0; i < TURNS; i++) {
		double process = helper("helper");

		empty[i] = helper("nothing") / process;
		/* What fork has left to be copied of this process is not what opening costs. */
		(void)opened();
		must("lych_domain_free", lych_domain_free(domain));
		open[i] = opened() / process;
		again[i] = opened_again() / process;
		must("lych_domain_free", lych_domain_free(domain));
	}
	printf("backend none, " LIBRARY ", each with one call: medians of %d turns\n", TURNS);
	print_machine(stdout);
	printf("  %-56s %8.3f\n", "fork and exec of a helper that loads the library", 1.0);
	printf("  %-56s %8.3f\n", "... of one that ends at once", median_of(empty, TURNS));
	printf("  %-56s %8.3f\n", "lych_open", median_of(open, TURNS));
	printf("  %-56s %8.3f\n", "lych_domain_free and lych_open, in a reset's place", median_of(again, TURNS));
	return 0;
}
