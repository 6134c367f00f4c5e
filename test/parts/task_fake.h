/* SPDX-License-Identifier: Apache-2.0 */
/* What task.c asks of its neighbours. */
#ifndef TASK_FAKE_H
#define TASK_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void fake_ready(bool ready);
void fake_unattachable(int err); /* what thread_self gives */
extern char fake_log[256]; /* what was called, a letter each; 'P' 'p' 'c', and '!' for a signal not blocked then */
uint64_t fake_gs(void);
uint64_t fake_refused(void);

#ifdef __cplusplus
}
#endif
#endif
