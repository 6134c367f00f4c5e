/* SPDX-License-Identifier: Apache-2.0 */
/* expect: read-only|const-qualified */
#include <lychgate/region.h>

struct secret {
	int value;
};

void set(struct lych_region *region);

void set(struct lych_region *region)
{
#ifdef CONTROL
	LYCH_WRITE(struct secret, s, region) {
#else
	LYCH_READ(struct secret, s, region) {
#endif
		s->value = 1;
	}
}
