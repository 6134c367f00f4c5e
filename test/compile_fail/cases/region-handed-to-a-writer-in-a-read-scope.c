/* SPDX-License-Identifier: Apache-2.0 */
/* expect: discards */
/* expect-c++: invalid conversion|no matching function */
#include <lychgate/region.h>

struct secret {
	int value;
};

void change(struct secret *secret);
void look(const struct secret *secret);
void set(struct lych_region *region);

void set(struct lych_region *region)
{
	LYCH_READ(struct secret, s, region) {
#ifdef CONTROL
		look(s);
#else
		change(s);
#endif
	}
}
