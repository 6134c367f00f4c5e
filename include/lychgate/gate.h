/* SPDX-License-Identifier: Apache-2.0 */
/* Calls across a gate: bindings, calls, typed pointers, callbacks. */
#ifndef LYCHGATE_GATE_H
#define LYCHGATE_GATE_H

#include <lychgate/domain.h>
#include <lychgate/fault.h>

LYCH_BEGIN_DECLS

/*
 * What the gate has to know of a signature. Made by LYCH_BIND at compile time; offsets are part of the
 * assembly (gate/core/gate_asm.h).
 */
struct lych_binding {
	void (*fn)(void);
	uint32_t extra;
	uint8_t skip;
	uint8_t ngpr;
	uint8_t nvec;
	uint8_t result;
	uint16_t words;
	uint8_t narrow;
	uint8_t align;
	uint32_t widths;
	uint64_t fault_value[4];
	const char *name;
};

/* First argument of the call as the compiler sees it: passed in memory, so it displaces no register. */
struct lych_hidden {
	struct lych_domain *domain;
	const struct lych_binding *binding;
	int *status;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
};

/* The gate. Never called but through the macros of this header. */
LYCH_API void lych_gate(void);

LYCH_END_DECLS

#endif /* LYCHGATE_GATE_H */
