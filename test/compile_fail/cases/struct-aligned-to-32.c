/* SPDX-License-Identifier: Apache-2.0 */
/* expect: aligned to more than 16 bytes does not fit */
#include <lychgate/gate.h>

struct __attribute__((aligned(32))) block { long a[8]; };
int take(struct block *);
int take_value(struct block);
#ifdef CONTROL
LYCH_BIND(d, take, int, (struct block *));
#else
LYCH_BIND(d, take_value, int, (LYCH_STRUCT(struct block, M)));
#endif
