/* SPDX-License-Identifier: Apache-2.0 */
/* expect: parse.*undeclared|parse.*not declared|use of undeclared identifier 'parse' */
#include <lychgate/library.h>

#ifdef CONTROL
int parse(const char *);
#endif
LYCH_SYM(d, parse, int, (const char *));
