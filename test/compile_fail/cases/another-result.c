/* SPDX-License-Identifier: Apache-2.0 */
/* expect: types of this binding are not those */
#include <lychgate/gate.h>

int parse(const char *, size_t);
#ifdef CONTROL
LYCH_BIND(d, parse, int, (const char *, size_t));
#else
LYCH_BIND(d, parse, long, (const char *, size_t));
#endif
