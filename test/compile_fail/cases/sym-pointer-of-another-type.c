/* SPDX-License-Identifier: Apache-2.0 */
/* expect: types of this binding are not those */
#include <lychgate/library.h>

int parse(const char *, size_t);
#ifdef CONTROL
LYCH_SYM_POINTER(d, parse, int, (const char *, size_t), -1);
#else
LYCH_SYM_POINTER(d, parse, int, (char *, size_t), -1);
#endif
