/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host wants done with each signal. The kernel has our entry for every signal that has a handler, and for the
 * synchronous six always; SIG_DFL and SIG_IGN of the others are the kernel's business.
 */
#ifndef LYCH_HANDLERS_H
#define LYCH_HANDLERS_H

#include "fault_slot.h"
#include "signal.h"

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

/* As the host gave it. */
struct host_action {
	void (*handler)(int); /* or with three arguments; SIG_DFL, SIG_IGN */
	uint64_t flags;
	uint64_t mask;
};

struct kernel_sigaction {
	void (*handler)(int);
	uint64_t flags;
	void (*restorer)(void);
	uint64_t mask;
};

/*
 * A reader never waits, so that a signal that interrupts a writer can read: a write fills the slot not in use, then
 * turns it on. A reader that was overtaken by two writes finds another turn than before and reads again: what is in a
 * slot is stored after the turn that went before (release) and loaded before the turn is asked again (acquire).
 */
struct handler_entry {
	_Atomic uint64_t turn; /* slot[turn & 1] is valid */
	struct handler_slot { /* struct host_action */
		void (*_Atomic handler)(int);
		_Atomic uint64_t flags;
		_Atomic uint64_t mask;
	} slot[2];
};

/* In monitor memory. */
struct handler_table {
	_Atomic uint32_t lock; /* writers only, with all signals blocked */
	struct handler_entry entry[SIGNAL_LAST + 1];
	struct kernel_sigaction before[SIGNAL_LAST + 1]; /* for signals_stop */
	struct fault_slot faults[DOMAINS_MAX];
};

LYCH_HIDDEN void handlers_get(const struct handler_table *table, int sig, struct host_action *out);
LYCH_HIDDEN void handlers_put(struct handler_table *table, int sig, const struct host_action *in);

/* What the kernel gets for it. The six and the kick always get our entry. */
LYCH_HIDDEN struct kernel_sigaction handlers_for_kernel(int sig, const struct host_action *action);
/* Mask while action's handler runs for sig, interrupted being the mask before. wanted: with the six, as the host sees
 * it; the result is what the kernel gets. */
LYCH_HIDDEN uint64_t handlers_mask(const struct host_action *action, int sig, uint64_t interrupted, uint64_t *wanted);

LYCH_HIDDEN int handlers_start(void);
LYCH_HIDDEN void handlers_stop(void);
/* sigaction once the runtime is there; new and old may be NULL. 0, -EINVAL or -ENOMEM. Host rights.
 * Async-signal-safe. */
LYCH_HIDDEN int handlers_action(int sig, const struct host_action *new, struct host_action *old);
/* SA_RESETHAND: SIG_DFL, if it is still handler that is installed. */
LYCH_HIDDEN void handlers_reset(int sig, void (*handler)(int));
/* The kernel's own default from now on, also for the six: the process is about to end. */
LYCH_HIDDEN void handlers_default_in_kernel(int sig);

#endif /* LYCH_HANDLERS_H */
