/* SPDX-License-Identifier: Apache-2.0 */
/* expect: types of this callback are not those */
#include <lychgate/gate.h>

int compare(const void *, const void *);
#ifdef CONTROL
LYCH_CALLBACK(compare, int, (const void *, const void *));
#else
LYCH_CALLBACK(compare, long, (const void *, const void *));
#endif
