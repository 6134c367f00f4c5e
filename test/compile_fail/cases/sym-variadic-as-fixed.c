/* SPDX-License-Identifier: Apache-2.0 */
/* expect: types of this binding are not those */
#include <lychgate/library.h>

int say(const char *, ...);
#ifdef CONTROL
LYCH_SYM_VARIADIC(d, say_n, say, int, (const char *), (int));
#else
LYCH_SYM(d, say, int, (const char *, int));
#endif
