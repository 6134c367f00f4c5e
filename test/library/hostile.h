/* SPDX-License-Identifier: Apache-2.0 */
/* What hostile.so has for hostile_test.cc. */
#ifndef LYCH_TEST_LIBRARY_HOSTILE_H
#define LYCH_TEST_LIBRARY_HOSTILE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A thread of the domain's own enters callback with rsp in a mapping of its own that has prot. 1: it came back from there. */
int hostile_jump_to_callback(void (*callback)(void), int prot);
long hostile_eight(long a, long b, long c, long d, long e, long f, long g, long h);
/* Uses 32 KiB of stack. */
int hostile_fill(int n);
/* Sleeps until hostile_fill has been called 20 times: how many bytes of its locals are others then. */
int hostile_sleep_with_locals(void);
/* exit does not come to its end before it is told to. */
int hostile_wait_at_exit(void);
int hostile_exit_while_leaving(void);
/* From now on a thread of the host that is new to the domain is not let in. 0: done. */
int hostile_spawn_hangs(void);
int hostile_spawn_calls_back(void (*callback)(void));
int hostile_hit(void);
/* How many threads of its own run from now on. */
int hostile_threads_stay(int n);
int hostile_make_thread(void);
/* Code is mapped by one thread and unmapped by another at the same address. */
void *hostile_code_room(void);
int hostile_map_code(void *at, int rounds);
int hostile_unmap_meanwhile(void *at);
int hostile_unmap(void *at);
int hostile_stray(void); /* 0xef010f */
/* callback(a) + 1, or -1: the fs base was not what it had been afterwards. */
long hostile_step(long (*callback)(long), long a);
uint64_t hostile_fs(void);
void hostile_linger(void);
/* Sends n bytes through a pipe: what came out, summed; -errno. */
long hostile_pipe(int n);
/* Calls about threads with addresses of the host: 0, or which one was answered otherwise than by an error. */
int hostile_wrong_call(uint64_t host);
/* A thread that has the word at host cleared when it ends. */
int hostile_thread_with_word(uint64_t host);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_LIBRARY_HOSTILE_H */
