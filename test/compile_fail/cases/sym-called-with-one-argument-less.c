/* SPDX-License-Identifier: Apache-2.0 */
/* expect: too few arguments */
/* expect-c++: too few arguments|no matching function */
#include <lychgate/library.h>

int parse(const char *, size_t);
LYCH_SYM(d, parse, int, (const char *, size_t));
int use(struct lych_domain *d, int *n);
int use(struct lych_domain *d, int *n)
{
#ifdef CONTROL
	return LYCH_CALL(d, n, parse, "", 0);
#else
	return LYCH_CALL(d, n, parse, "");
#endif
}
