/* SPDX-License-Identifier: Apache-2.0 */
/* expect: too few arguments */
/* expect-c++: too few arguments|no matching function */
#include <lychgate/gate.h>

int parse(const char *, int);
LYCH_BIND(d, parse, int, (const char *, int));
int use(struct lych_domain *d, int *n);
int use(struct lych_domain *d, int *n)
{
#ifdef CONTROL
	return LYCH_CALL(d, n, parse, "x", 1);
#else
	return LYCH_CALL(d, n, parse, "x");
#endif
}
