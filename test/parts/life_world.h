/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads, domains, keys, ledger, memory, poison and faults of the runtime as they are, below a gate and a signal entry
 * written in C, so that ThreadSanitizer sees everything that several threads do to one another. Signals do not
 * interrupt: a kick sets a flag, and the thread looks at it where it waits, where it is in the host (life_rest), and
 * after each turn that it works inside a domain.
 *
 * The thread that starts and stops this is not attached, so that nobody waits for it.
 */
#ifndef LYCH_TEST_LIFE_WORLD_H
#define LYCH_TEST_LIFE_WORLD_H

#include <lychgate/domain.h>
#include <lychgate/fault.h>

LYCH_BEGIN_DECLS

/* -ENODEV: this processor does not let a program read its gs base, without which there is no thread. */
int life_start(void (*on_fault)(const struct lych_fault *fault, void *ctx), void *ctx);
void life_stop(void);

/* What code inside does. All of it uses its stack and its heap, and finds there what it wrote. */
enum life_way {
	LIFE_RETURN,
	LIFE_CALL_BACK, /* once, in the middle */
	LIFE_FAULT,     /* SIGSEGV, and then whatever ends such a call */
	LIFE_STAY,      /* until it is ended */
};

/* A call; timeout_ms 0: none. What LYCH_CALL would give. */
int life_call(struct lych_domain *domain, enum life_way way, uint64_t timeout_ms, void (*callback)(void *ctx),
	      void *ctx);
/* Where the host waits for other threads: kicks arrive here, and others get on. */
void life_rest(void);

/*
 * From now on the calling thread takes its time between changing what it keeps of a key, as it follows a change, and
 * what it goes on with. life_hurry ends that for all: true when one of them was just there.
 */
void life_slow(bool slow);
bool life_hurry(void);
/* Has the calling thread, in the host, the rights to a key? */
bool life_may_touch(int key);

/* While the report of a fault is made, and the domain's memory looked at. NULL: nothing more. */
void life_while_reporting(void (*fn)(void));
/* A millisecond, in which kicks do not arrive. */
void life_nap(void);

/* The table of what the host wants done with signals: action n of signal sig says n three times. */
void life_action_put(int sig, uint64_t n);
/* false: what was read was never put there. */
bool life_action_get(int sig, uint64_t *n);

/* How often a stack or a block was not what its owner had written, or a block could not be freed. */
int life_spoiled(void);
int life_kicks(void);
/* Key of a domain, whatever the backend. */
int life_key(const struct lych_domain *domain);
/* What is there of domains: places, keys, ranges with such a key. */
int life_domains(void);
int life_keys(void);
int life_ranges(void);
int life_threads(void);

LYCH_END_DECLS

#endif
