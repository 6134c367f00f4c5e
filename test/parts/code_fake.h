/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LYCH_TEST_CODE_FAKE_H
#define LYCH_TEST_CODE_FAKE_H

#include "../../gate/code/parts.h"

extern char fake_why[1024];
/* Changes a plan that is right, before it is looked at. NULL: nobody lies. */
extern void (*fake_lie)(struct plan *plan);

#endif
