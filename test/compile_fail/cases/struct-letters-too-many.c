/* SPDX-License-Identifier: Apache-2.0 */
/* expect: letters of LYCH_STRUCT do not fit */
#include <lychgate/gate.h>

struct small { int a, b; };
int sum(struct small);
#ifdef CONTROL
LYCH_BIND(d, sum, int, (LYCH_STRUCT(struct small, I)));
#else
LYCH_BIND(d, sum, int, (LYCH_STRUCT(struct small, II)));
#endif
