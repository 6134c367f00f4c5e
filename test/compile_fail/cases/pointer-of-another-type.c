/* SPDX-License-Identifier: Apache-2.0 */
/* expect: incompatible */
/* expect-c++: invalid conversion|no matching function|cannot convert */
#include <lychgate/gate.h>

int parse(const char *);
LYCH_BIND_POINTER(d, parse, int, (const char *), -1);
int use(struct lych_domain *d);
int use(struct lych_domain *d)
{
#ifdef CONTROL
	int (*p)(const char *);
#else
	long (*p)(const char *);
#endif
	return LYCH_POINTER(&p, d, parse);
}
