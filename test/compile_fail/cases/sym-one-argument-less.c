/* SPDX-License-Identifier: Apache-2.0 */
/* expect: types of this binding are not those */
#include <lychgate/library.h>

int parse(const char *, size_t);
#ifdef CONTROL
LYCH_SYM(d, parse, int, (const char *, size_t));
#else
LYCH_SYM(d, parse, int, (const char *));
#endif
