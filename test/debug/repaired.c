/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a debugger: main calls outer, which calls reads_far, one instruction of which is repaired when the runtime starts:
 * the displacement in it holds the bytes of WRPKRU. The second time that instruction faults.
 */
#include <lychgate/lychgate.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FUNCTION __attribute__((noinline, noclone, aligned(64))) /* breakpoints apart from the instruction */
#define FAR 0xef010f

FUNCTION static long reads_far(const char *p)
{
	long got;

	__asm__ volatile("" ::: "memory");
	got = *(const volatile long *)(p + FAR); /* the instruction */
	__asm__ volatile("" : "+r"(got));
	return got + 1; /* behind it */
}

FUNCTION static long outer(const char *p)
{
	long got = reads_far(p);

	__asm__ volatile("" : "+r"(got));
	return got + 1;
}

static void on_fault(int sig)
{
	static const char text[] = "the handler ran\n";

	(void)sig;
	(void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
	_exit(0);
}

int main(void)
{
	char *far = calloc(1, FAR + sizeof(long));
	int rc;

	if (far == NULL) {
		return 2;
	}
	rc = lych_init(LYCH_OPTS(struct lych_init_opts, .backend = LYCH_MPROTECT, .code = LYCH_CODE_REPAIR));
	if (rc != 0) {
		(void)fprintf(stderr, "%s: %s\n", lych_strerror(rc), lych_why());
		return 2;
	}
	printf("result %ld\n", outer(far));
	(void)fflush(stdout);
	(void)signal(SIGSEGV, on_fault);
	return outer((const char *)16) != 0;
}
