/* SPDX-License-Identifier: Apache-2.0 */
/* expect: read-only|const-qualified */
#include <lychgate/region.h>

void set(struct lych_region *region);

void set(struct lych_region *region)
{
#ifdef CONTROL
	LYCH_WRITE(unsigned char, key, region) {
#else
	LYCH_READ(unsigned char, key, region) {
#endif
		key[5] = 1;
	}
}
