/* SPDX-License-Identifier: Apache-2.0 */
/* expect: a callback cannot return it */
#include <lychgate/gate.h>

struct big { long a[4]; };
struct big make(int);
void make_at(struct big *, int);
#ifdef CONTROL
LYCH_CALLBACK(make_at, void, (struct big *, int));
#else
LYCH_CALLBACK(make, struct big, (int));
#endif
