/* SPDX-License-Identifier: Apache-2.0 */
/* expect: TOO_MANY */
#include <lychgate/gate.h>

int many(int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int);
int more(int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int);
#ifdef CONTROL
LYCH_BIND(d, many, int, (int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int));
#else
LYCH_BIND(d, more, int, (int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int));
#endif
