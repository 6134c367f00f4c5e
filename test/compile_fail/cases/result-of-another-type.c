/* SPDX-License-Identifier: Apache-2.0 */
/* expect: incompatible */
/* expect-c++: cannot convert|no matching function */
#include <lychgate/gate.h>

long count(void);
LYCH_BIND(d, count, long, (void));
int use(struct lych_domain *d);
int use(struct lych_domain *d)
{
#ifdef CONTROL
	long n;
#else
	int n;
#endif
	return LYCH_CALL(d, &n, count);
}
