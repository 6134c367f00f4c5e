/* SPDX-License-Identifier: Apache-2.0 */
/* expect: read-only|const-qualified */
#include <lychgate/region.h>

struct secret {
	int value;
};

void set(struct lych_region *region, struct secret *elsewhere);

void set(struct lych_region *region, struct secret *elsewhere)
{
	LYCH_WRITE(struct secret, s, region) {
#ifdef CONTROL
		*s = *elsewhere;
#else
		s = elsewhere;
#endif
	}
}
