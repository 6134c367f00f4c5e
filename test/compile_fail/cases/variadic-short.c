/* SPDX-License-Identifier: Apache-2.0 */
/* expect: int for anything narrower */
#include <lychgate/gate.h>

int print(const char *, ...);
#ifdef CONTROL
LYCH_BIND_VARIADIC(d, print_s, print, int, (const char *), (int, const char *));
#else
LYCH_BIND_VARIADIC(d, print_s, print, int, (const char *), (short, const char *));
#endif
