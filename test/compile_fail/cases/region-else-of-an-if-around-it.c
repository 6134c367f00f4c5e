/* SPDX-License-Identifier: Apache-2.0 */
/* A scope takes an else block; without braces it would take that of the if. */
/* expect: dangling.else */
#include <lychgate/region.h>

struct secret {
	int value;
};

int get(struct lych_region *region, int wanted);

int get(struct lych_region *region, int wanted)
{
	int value = 0;

#ifdef CONTROL
	if (wanted) {
		LYCH_READ(struct secret, s, region) {
			value = s->value;
		} else {
			value = -2;
		}
	} else {
		value = -1;
	}
#else
	if (wanted)
		LYCH_READ(struct secret, s, region) {
			value = s->value;
		}
	else
		value = -1;
#endif
	return value;
}
