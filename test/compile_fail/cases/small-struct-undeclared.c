/* SPDX-License-Identifier: Apache-2.0 */
/* expect: say how with LYCH_STRUCT */
#include <lychgate/gate.h>

struct point { double x, y; };
double length(struct point);
#ifdef CONTROL
LYCH_BIND(d, length, double, (LYCH_STRUCT(struct point, SS)));
#else
LYCH_BIND(d, length, double, (struct point));
#endif
