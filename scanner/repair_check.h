/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at a plan without believing who made it: the bytes that it changes are those that are there, edits and
 * trampolines are whole instructions, branches lead only where they should, and no sequence is in what comes out.
 *
 * What this does not prove: that a repaired instruction does what the original did. It keeps a wrong plan from giving
 * anybody rights, not from breaking the program that it is for.
 */
#ifndef LYCH_REPAIR_CHECK_H
#define LYCH_REPAIR_CHECK_H

#include "repair.h"

struct repair_plan {
	const struct repair_edit *edits;
	size_t nedits;
	const struct repair_trampoline *trampolines;
	size_t ntrampolines;
	const struct repair_area *no_exec; /* whole pages, ascending, disjoint */
	size_t nno_exec;
	const struct repair_area *areas; /* where trampolines may be */
	size_t nareas;
	uint32_t classes;
	uint64_t pkey_set; /* the one absolute address that a trampoline may lead to; 0: none */
};

/* What r holds, as long as it holds it. */
struct repair_plan repair_plan_of(const struct repair *r);

/*
 * repair_check reads code as it is without the plan. Returns NULL, or what is wrong as a static clause, with the
 * address in *at. Sequences that were there before and that no edit touches are not its concern.
 */
const char *repair_check(const struct repair_plan *plan, const struct code *code, uint64_t *at);

#endif /* LYCH_REPAIR_CHECK_H */
