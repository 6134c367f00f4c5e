/* SPDX-License-Identifier: Apache-2.0 */
/* expect: what a typed pointer returns must fit */
#include <lychgate/gate.h>

struct big { long a[4]; };
struct big make(int);
void make_at(struct big *, int);
#ifdef CONTROL
LYCH_BIND_POINTER(d, make_at, void, (struct big *, int), LYCH_NOTHING);
#else
LYCH_BIND_POINTER(d, make, struct big, (int), {{0}});
#endif
