/* SPDX-License-Identifier: Apache-2.0 */
/* expect: types of this binding are not those */
#include <lychgate/gate.h>

void change(const char *);
#ifdef CONTROL
LYCH_BIND(d, change, void, (const char *));
#else
LYCH_BIND(d, change, void, (char *));
#endif
