/* SPDX-License-Identifier: Apache-2.0 */
/* expect: unused.result */
#include <lychgate/region.h>

int start(struct lych_region **region);

int start(struct lych_region **region)
{
#ifdef CONTROL
	return lych_region_new(region, 32, NULL);
#else
	lych_region_new(region, 32, NULL);
	return 0;
#endif
}
