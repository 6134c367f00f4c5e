/* SPDX-License-Identifier: Apache-2.0 */
/* expect: gets double for float */
#include <lychgate/gate.h>

int print(const char *, ...);
#ifdef CONTROL
LYCH_BIND_VARIADIC(d, print_f, print, int, (const char *), (double));
#else
LYCH_BIND_VARIADIC(d, print_f, print, int, (const char *), (float));
#endif
