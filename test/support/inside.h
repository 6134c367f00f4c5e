/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime hides, for tests: the calling thread's state. The headers of the runtime are C11 only. */
#ifndef LYCH_TEST_INSIDE_H
#define LYCH_TEST_INSIDE_H

#include <lychgate/lychgate.h>

#ifdef __cplusplus
extern "C" {
#endif

struct inside {
	uint64_t area; /* 0: not attached */
	uint64_t gs, fs;
	uint32_t pkru;
	uint32_t not_want, not_host, not_caller, not_view;
	uint32_t selector;
	uint64_t top;   /* index of the top record: 0 outside of calls */
	uint32_t level; /* signals put aside */
	uint64_t altstack, altstack_bytes; /* the monitor's */
	uint64_t sig_rsp, sig_stack, records;
	uint32_t mxcsr;
	uint32_t fcw;
	uint64_t hostile_flags; /* AC, NT, DF, TF */
	uint64_t kernel_mask;   /* of signals */
	uint32_t page_sound;    /* the gate page names itself */
	uint32_t frames_whole;
};

void inside_look(struct inside *out);
/* One line for each member that differs; "" none. The string is static. */
const char *inside_differences(const struct inside *before, const struct inside *after);

/* Has the handler that runs interrupted a domain? */
bool inside_interrupted_domain(void);
unsigned int inside_threads(void); /* attached */
/* Calls into domain that the thread with this area (inside.area), which stands still, has on record. */
unsigned int inside_calls(uint64_t area, const struct lych_domain *domain);
uint64_t inside_monitor_bytes(void);
/* Tables that decide, by name: thunks, callbacks of domain, domains, keys, ledger, handlers, areas. NULL: no more. */
struct inside_table {
	const char *name;
	void *at;
};
const struct inside_table *inside_tables(const struct lych_domain *domain);
uint32_t inside_view_of(const struct lych_domain *domain);
int inside_key_of(const struct lych_domain *domain); /* its number, also where there are no keys */
bool inside_rights(uint32_t pkru, int key); /* any */
uint32_t inside_keys(void); /* the runtime's, bit k for key k */
/* The runtime's lock, held by the test. And then: does thread tid wait for it, in order to attach? The key of a domain or
 * region gets another owner, as when it is freed and a region is made: its key, or a negative errno. */
void inside_lock(void);
void inside_unlock(void);
bool inside_attaching(int tid);
int inside_new_owner(int key);

/* Text of the gate, and what of it is thunks but for the first two of each table. */
uint64_t inside_gate_text(void);
uint64_t inside_gate_text_end(void);
uint64_t inside_view_call(void); /* a system call with a domain's rights, as the host */
bool inside_gate_thunks(uint64_t at);
/* Where a thread that has been kicked takes on what has become of its rights, and where it goes on from that. */
uint64_t inside_follow(void);
uint64_t inside_follow_end(void);
/* Stops the calling thread's timer: what was to be asked again of a call that has ended meanwhile. */
void inside_disarm(void);
/* Milliseconds until it fires; -1: it does not. */
int64_t inside_timer_ms(void);
bool inside_in_gate(uint64_t at); /* in either instance */
bool inside_in_entry(uint64_t at); /* of signals, in either instance */
uint64_t inside_resume(void);
uint64_t inside_resume_end(void);
uint64_t inside_entry(void);
void *inside_root_page(void);
uint64_t inside_trap(void); /* the ud2 of the sites */

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_INSIDE_H */
