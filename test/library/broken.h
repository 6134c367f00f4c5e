/* SPDX-License-Identifier: Apache-2.0 */
/* What broken.so has for the tests of reports: ways to a fault, each with the names that the report is to have. */
#ifndef LYCH_TEST_LIBRARY_BROKEN_H
#define LYCH_TEST_LIBRARY_BROKEN_H

#ifdef __cplusplus
extern "C" {
#endif

void broken_abort(void);                /* abort */
int broken_null(int depth);             /* broken_null calls itself that often, then a function that is not exported */
int broken_jump(void (*to)(void));      /* calls it */
int broken_apply(int (*fn)(int), int n);/* calls back, then faults when fn gave 0 */
int broken_in_qsort(void);              /* a null pointer in a comparison that qsort calls */
int broken_thread(int overflow);        /* in a thread of its own: broken_abort, or endless recursion */
int broken_recurse(int depth);
int broken_tables(int how);             /* spoils its own tables for unwinding, then as broken_null */
int broken_frame_pointer(int how);      /* with rbp, or rsp, that lead nowhere or in a circle */
int broken_memory(int how);             /* asks for memory until there is none: new[] (0), malloc (1), which it then writes to */
int broken_names(void);                 /* spoils its own symbols, then as broken_null */

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_LIBRARY_BROKEN_H */
