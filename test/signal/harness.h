/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads, gate and signals of the runtime as they are, in the form without protection keys; domains, memory and
 * mediator reduced to what they need. So nothing here says that memory is protected, and everything what becomes of a
 * signal.
 */
#ifndef LYCH_TEST_SIGNAL_HARNESS_H
#define LYCH_TEST_SIGNAL_HARNESS_H

#include <lychgate/lychgate.h>
#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Once per process; later calls do nothing. How the program had SIGUSR2 before is kept. */
void harness_start(void);
struct lych_domain *harness_domain(enum lych_kind kind);
void harness_reset(struct lych_domain *domain);
/* 0 and *result, or the status the call ended with. */
int harness_call(struct lych_domain *domain, long (*fn)(long), long arg, long *result, uint64_t deadline_ns);
/* The guard page below the calling thread's stack in domain. */
char *harness_guard(struct lych_domain *domain);
int harness_attached(void);
unsigned int harness_level(void); /* of signals put aside on this thread */
unsigned int harness_depth(void); /* records */
void harness_cancel(struct lych_domain *domain, int tid);
/* As when a deadline is noticed just before a domain is entered. */
void harness_time_out(struct lych_domain *domain, int tid);
void harness_kick(int tid);
uint64_t harness_now(void);
unsigned int harness_poisoned(void); /* how often a domain was */

/* sigframe.h */
size_t frame_copy_bytes(size_t frame_bytes);
int frame_copy(void *to, size_t to_bytes, const void *from, uint64_t low, uint64_t high);
uint32_t frame_pkru(const void *frame, uint32_t off);
void frame_set_pkru(void *frame, uint32_t off, uint32_t pkru);
void frame_reset_image(void *frame);
size_t frame_fixed_bytes(void);
size_t frame_fpstate_off(void);

/* handlers.h */
uint64_t handler_mask(uint64_t flags, uint64_t mask, int sig, uint64_t interrupted, uint64_t *wanted);

bool fault_mapping_line(const char *line, uint64_t address, char *out, size_t bytes);
void backtrace_of(struct lych_fault *fault, uint64_t low, uint64_t high);

#ifdef __cplusplus
}
#endif

#endif
