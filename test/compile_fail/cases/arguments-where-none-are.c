/* SPDX-License-Identifier: Apache-2.0 */
/* expect: types of this binding are not those */
#include <lychgate/gate.h>

int version(void);
#ifdef CONTROL
LYCH_BIND(d, version, int, (void));
#else
LYCH_BIND(d, version, int, (int));
#endif
