/* SPDX-License-Identifier: Apache-2.0 */
/* expect: types of this binding are not those */
#include <lychgate/gate.h>

int print(const char *, ...);
#ifdef CONTROL
LYCH_BIND_VARIADIC(d, print_i, print, int, (const char *), (int));
#else
LYCH_BIND(d, print, int, (const char *, int));
#endif
