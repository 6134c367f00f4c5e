/* SPDX-License-Identifier: Apache-2.0 */
/* expect: say how with LYCH_STRUCT */
#include <lychgate/gate.h>

struct point { double x, y; };
struct point middle(void);
#ifdef CONTROL
LYCH_BIND(d, middle, LYCH_STRUCT(struct point, SS), (void));
#else
LYCH_BIND(d, middle, struct point, (void));
#endif
