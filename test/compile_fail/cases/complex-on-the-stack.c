/* SPDX-License-Identifier: Apache-2.0 */
/* only: clang, which puts one half into the last register: gcc does as the ABI says */
/* expect: double _Complex on the stack: clang breaks the ABI */
#include <lychgate/gate.h>

__extension__ typedef double _Complex z;
#ifdef CONTROL
double last(z, z, z, z);
LYCH_BIND(d, last, double, (z, z, z, z));
#else
double last(double, z, z, z, z);
LYCH_BIND(d, last, double, (double, z, z, z, z));
#endif
