/* SPDX-License-Identifier: Apache-2.0 */
/* expect: unused-result */
#include <lychgate/gate.h>

int parse(const char *);
LYCH_BIND_POINTER(d, parse, int, (const char *), -1);
int use(struct lych_domain *d, int (**p)(const char *));
int use(struct lych_domain *d, int (**p)(const char *))
{
#ifdef CONTROL
	return LYCH_POINTER(p, d, parse);
#else
	LYCH_POINTER(p, d, parse);
	return 0;
#endif
}
