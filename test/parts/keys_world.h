/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds keys, ledger and domains in the runtime, made small: threads that are three areas, of which the first
 * is the caller's, system calls that can be made to fail, memory of domains that only counts. Where there are
 * protection keys they are real.
 *
 * For C++, which cannot read the runtime's own headers: the functions under test are declared here once more.
 */
#ifndef LYCH_TEST_KEYS_WORLD_H
#define LYCH_TEST_KEYS_WORLD_H

#include <lychgate/domain.h>

LYCH_BEGIN_DECLS

/* Starts monitor memory and keys. The caller has no rights to them with pku until world_open. */
int world_start(enum lych_backend backend, unsigned int max_keys);
void world_stop(void);
void world_open(void);
const char *world_why(void);
int world_monitor_key(void);
int world_gate_key(void);
uint32_t world_host_view(void);
uint32_t world_pkru(void);
/* How often all threads were made to lose, or get, the key. */
int world_shot_down(int key);
int world_allowed(int key);
/* After so many calls of nr so many of them give error (positive). Outlives world_start; -1 in nr: none does. */
void world_fail(long nr, int after, int times, int error);

/* Threads: 0 is the caller. */
#define WORLD_THREADS 3
void world_push(int thread, struct lych_domain *domain, bool callback);
void world_pop(int thread);
int world_depth(int thread);
int world_cancel_mark(int thread, int depth); /* of the record at that depth, 1 the first */
void world_mark(int thread, int depth, int error);
void world_stuck(int thread, int kicks); /* ignores so many of them */
int world_kicks(int thread);
int world_ended(int thread); /* status the last call ended with that a kick ended; 0: none */
uint64_t world_slot_id(int thread, int key);
/* The gate's slow way for thread 0 with a record on top that calls fn. */
int world_slow(struct lych_domain *domain, void (*fn)(void));
int world_slow_unattached(void);
/* What a callback of the call on top of a thread is told when it may not return to the domain. */
int world_callback_refused(int thread);
void world_refuse_attach(int error);

uint64_t world_id(const struct lych_domain *domain);
int world_key(const struct lych_domain *domain);
uint32_t world_view(const struct lych_domain *domain);
uint32_t world_callbacks(const struct lych_domain *domain);
/* As the signal monitor does it for thread. */
void world_poison(struct lych_domain *domain);
/* domain_pause, while a call of thread 1 begins that has been let in just before, and faults or not. goes_on: what it was told. */
int world_pause(struct lych_domain *domain, bool faults, bool *goes_on);
/* At the last barrier: the id that domain had; 1 when there was no barrier since world_start. */
uint64_t world_id_at_barrier(void);
void world_watch(struct lych_domain *domain);
int world_memories(void); /* domains that have memory */
int world_stacks_made(void);
void world_fail_memory(int new_error, int reset_error, int stack_error);

/* ---- gate/core/keys.h ---- */
#ifdef __cplusplus
enum { OF_DOMAIN = 3, OF_VAULT, OF_REGION };
int keys_take(int *key, unsigned int owner, const char *name);
void keys_give_back(int key);
uint32_t keys_ours(void);
void keys_owner_name(int key, char *out, size_t size);
uint32_t keys_host_view(uint32_t pkru);
int ledger_add(void *at, size_t bytes, int key, int prot);
int ledger_change(void *at, size_t bytes, int prot);
void ledger_remove(void *at, size_t bytes);
int ledger_key_of(const void *at);
void *monitor_alloc(size_t bytes);
void monitor_free(void *at, size_t bytes);
#endif
size_t world_ledger_count(void);

LYCH_END_DECLS

#endif
