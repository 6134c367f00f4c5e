/* SPDX-License-Identifier: Apache-2.0 */
/* Where it is noted what happened in a domain. */
#ifndef LYCH_FAULT_SLOT_H
#define LYCH_FAULT_SLOT_H

#include "runtime.h"

struct sigframe;

/* In monitor memory, one for each domain there may be; never freed, so that a report may outlive its domain. */
struct fault_slot {
	_Atomic int reporter; /* the thread that noted it and has not reported it yet; 0: none */
	struct lych_fault fault;
	uint64_t secret_gpr[16]; /* of a vault, as fault.gpr, while there is a reporter: nobody else is told */
};

/* lych_domain_new calls it: nothing has happened here yet. Sets domain->fault. */
LYCH_HIDDEN void fault_clear(struct lych_domain *domain);

/* Nobody is inside domain any more: whoever was to report and has not never will, as siglongjmp took him away. */
LYCH_HIDDEN void fault_no_reporter(struct lych_domain *domain);

/*
 * Notes, inside lych_signal, that the thread's top call ends in this way. frame: the domain's context, also at a deadline or a cancel; NULL
 * for what the domain did not do itself. Of two threads that fault at once the first is noted, the other counted.
 */
LYCH_HIDDEN void fault_note(struct area *area, const struct sigframe *frame, enum lych_fault_kind kind);

/* What a signal means that code in domain caused: pure but for the ledger and the stacks. Fills kind, key, access,
 * address, signal, code. */
LYCH_HIDDEN void fault_classify(struct lych_fault *out, struct lych_domain *domain, const struct sigframe *frame);

/* The line of text (as in /proc/PID/maps) that holds address, without the addresses, to out. false: not that line. */
LYCH_HIDDEN bool fault_mapping_line(const char *line, uint64_t address, char *out, size_t bytes);

/* The same of that line of /proc/self/maps which holds it. */
LYCH_HIDDEN bool fault_mapping_of(uint64_t address, char *out, size_t bytes);

/*
 * Fills frames and nframes from the registers in fault, reading the stack only where contains says so, and tables of
 * loaded objects. Never on a hostile pointer: process_vm_readv. After the call, on the host's stack; allocates.
 */
LYCH_HIDDEN void fault_backtrace(struct lych_fault *fault, bool (*contains)(void *ctx, uint64_t at, uint64_t bytes),
				 void *ctx);

#endif /* LYCH_FAULT_SLOT_H */
