/* SPDX-License-Identifier: Apache-2.0 */
/* New tasks: fork handlers, vfork, clone. */
#ifndef LYCH_TASK_H
#define LYCH_TASK_H

#include "runtime.h"

/* Pulls task.c, and with it the fork handlers and interposers, into programs linked with the static library. */
LYCH_HIDDEN void task_start(void);

#endif /* LYCH_TASK_H */
