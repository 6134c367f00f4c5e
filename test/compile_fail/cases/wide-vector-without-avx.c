/* SPDX-License-Identifier: Apache-2.0 */
/* expect: need -mavx */
#include <lychgate/gate.h>

typedef double wide __attribute__((vector_size(32)));
int take(wide *);
#ifdef CONTROL
LYCH_BIND(d, take, int, (wide *));
#else
#pragma GCC diagnostic ignored "-Wpsabi"
int take_value(wide);
LYCH_BIND(d, take_value, int, (wide));
#endif
