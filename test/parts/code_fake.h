/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LYCH_TEST_CODE_FAKE_H
#define LYCH_TEST_CODE_FAKE_H

#include "../../gate/code/parts.h"

extern char fake_why[1024];
/* Changes a plan that is right, before it is looked at. NULL: nobody lies. */
extern void (*fake_lie)(struct plan *plan);

/* dl_iterate_phdr calls nobody, as some programs' own does. */
extern bool fake_lists_nothing;

#endif
