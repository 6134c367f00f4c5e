/* SPDX-License-Identifier: Apache-2.0 */
/* expect: LYCH_I_DECLARED_IX */
#include <lychgate/gate.h>

struct two { long a, b; };
long sum(struct two);
#ifdef CONTROL
LYCH_BIND(d, sum, long, (LYCH_STRUCT(struct two, II)));
#else
LYCH_BIND(d, sum, long, (LYCH_STRUCT(struct two, IX)));
#endif
