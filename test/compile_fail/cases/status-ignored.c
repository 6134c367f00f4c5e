/* SPDX-License-Identifier: Apache-2.0 */
/* expect: unused-result|unused-value */
#include <lychgate/gate.h>

int parse(const char *);
LYCH_BIND(d, parse, int, (const char *));
int use(struct lych_domain *d);
int use(struct lych_domain *d)
{
	int n = 0;
#ifdef CONTROL
	if (LYCH_CALL(d, &n, parse, "x") != 0) {
		return -1;
	}
#else
	LYCH_CALL(d, &n, parse, "x");
#endif
	return n;
}
