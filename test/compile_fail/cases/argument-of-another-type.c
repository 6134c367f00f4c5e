/* SPDX-License-Identifier: Apache-2.0 */
/* expect: int-conversion|incompatible */
/* expect-c++: invalid conversion|no matching function|cannot initialize */
#include <lychgate/gate.h>

int parse(const char *);
LYCH_BIND(d, parse, int, (const char *));
int use(struct lych_domain *d, int *n, long text);
int use(struct lych_domain *d, int *n, long text)
{
#ifdef CONTROL
	return LYCH_CALL(d, n, parse, (const char *)text);
#else
	return LYCH_CALL(d, n, parse, text);
#endif
}
