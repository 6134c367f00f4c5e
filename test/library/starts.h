/* SPDX-License-Identifier: Apache-2.0 */
/* What a library has whose constructor starts threads. */
#ifndef LYCH_TEST_LIBRARY_STARTS_H
#define LYCH_TEST_LIBRARY_STARTS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int starts_ask(void);                   /* how often the one that sleeps has been asked; -1: it does not answer */
long starts_sum(int jobs);              /* of 1 to jobs, by those that wait for work */
uint64_t starts_rounds(uint64_t more);  /* of the one that spins, when it has made so many more */
int starts_made(int more);              /* by the one that makes threads, when it has made so many more */
int starts_mapped(void);                /* has the one that maps code done so? */
int starts_wrong(void);                 /* what threads have seen that is not as it was */
void starts_fault(void);
void starts_loop(void);                 /* for ever */
void starts_wait(void);                 /* likewise, in a system call */

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_LIBRARY_STARTS_H */
