/* SPDX-License-Identifier: Apache-2.0 */
/* expect: copy constructor, destructor */
#include <lychgate/gate.h>

struct owner {
	long a, b, c;
	~owner() {}
};
int take(owner);
int take_at(owner *);
#ifdef CONTROL
LYCH_BIND(d, take_at, int, (owner *));
#else
LYCH_BIND(d, take, int, (owner));
#endif
