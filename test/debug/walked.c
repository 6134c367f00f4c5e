/* SPDX-License-Identifier: Apache-2.0 */
/* For a debugger: main calls outer, which calls inside_domain in a domain, which calls back to inside_callback. */
#include <lychgate/lychgate.h>
#include <stdio.h>

#define FUNCTION __attribute__((noinline, noclone))

FUNCTION static int inside_callback(int a)
{
	__asm__ volatile("" : "+r"(a));
	return a + 1;
}

FUNCTION static int inside_domain(int (*back)(int), int a)
{
	int b = back(a);

	__asm__ volatile("" : "+r"(b));
	return b + 1;
}

LYCH_BIND(domain, inside_domain, int, (int (*)(int), int));
LYCH_CALLBACK(inside_callback, int, (int));

FUNCTION static int outer(struct lych_domain *domain, int a)
{
	int (*back)(int);
	int result = 0, rc = lych_callback(&back, domain, inside_callback, NULL);

	if (rc == 0) {
		rc = LYCH_CALL(domain, &result, inside_domain, back, a);
	}
	if (rc != 0) {
		(void)fprintf(stderr, "%s\n", lych_strerror(rc));
	}
	return rc == 0 ? result : -1;
}

/* Without keys, which a debugger's machine need not have. test/live/unwind_test walks the same frames with them. */
int main(void)
{
	struct lych_domain *domain;
	int rc = lych_init(LYCH_OPTS(struct lych_init_opts, .backend = LYCH_MPROTECT));

	if (rc == 0) {
		rc = lych_domain_new(&domain, NULL);
	}
	if (rc != 0) {
		(void)fprintf(stderr, "%s: %s\n", lych_strerror(rc), lych_why());
		return 2;
	}
	printf("result %d\n", outer(domain, 40));
	return lych_domain_free(domain) != 0;
}
