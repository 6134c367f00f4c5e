/* SPDX-License-Identifier: Apache-2.0 */
/* expect: incompatible */
/* expect-c++: cannot convert|no matching function */
#include <lychgate/gate.h>

void start(void);
LYCH_BIND(d, start, void, (void));
int use(struct lych_domain *d);
int use(struct lych_domain *d)
{
	int n = 0;

	(void)n;
#ifdef CONTROL
	return LYCH_CALL(d, LYCH_NOTHING, start);
#else
	return LYCH_CALL(d, &n, start);
#endif
}
