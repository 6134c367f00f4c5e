/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans the repair of every sequence in a file, against the addresses it was linked for. Nothing is written. Not part
 * of the library's interface yet; the command uses it.
 */
#ifndef LYCH_REPAIR_FILE_H
#define LYCH_REPAIR_FILE_H

#include <lychgate/scan.h>

#include "repair.h"

/* Instructions of one edit or trampoline; one byte each at worst. */
#define REPAIR_TEXTS_MAX REPAIR_EDIT_BYTES

struct repair_text {
	struct lych_insn insns[REPAIR_TEXTS_MAX];
	size_t n;
};

/* One sequence and what is planned. All of it is valid until the callback returns. */
struct repair_item {
	const struct lych_finding *finding;
	const struct repair_outcome *outcome;
	const char *why; /* of a refusal */
	/* The edits' bytes as instructions, and the trampoline's (of an address in it: without its last 8 bytes). */
	struct repair_text before[3], after[3], trampoline;
};

/* What holds a sequence. */
enum repair_where { REPAIR_IN_CODE, REPAIR_IN_DATA, REPAIR_IN_UNDECIDED, REPAIR_WHERE_COUNT };

/* Sequences that something must be done about: not those that are checked, nor object files'. */
struct repair_tally {
	uint64_t found;
	uint64_t planned; /* neither refused nor left */
	uint64_t clean;   /* and not in a copy with all edits any more, or on pages that lose the right to execute */
};

struct repair_stats {
	struct lych_scan_stats scan;
	struct repair_tally table[REPAIR_WHERE_COUNT][LYCH_CLASS_COUNT];
	uint64_t kinds[REPAIR_KIND_COUNT][LYCH_CLASS_COUNT];
	uint64_t edits, trampolines, trampoline_bytes, no_exec_pages;
	/* Plans that repair_check refused, or that left something when carried out: none, unless the planner is wrong. */
	uint64_t wrong;
};

struct repair_file_opts {
	uint32_t classes;    /* 0: LYCH_POLICY_PKRU */
	uint32_t flags;      /* LYCH_SCAN_RAW, LYCH_SCAN_NO_GATES */
	uint64_t raw_vaddr;
	uint64_t max_bytes;
	bool leave_data;
	/* Addresses where the user says that an instruction starts, for sequences whose placement is undecided. */
	const uint64_t *told;
	size_t ntold;
	int (*planned)(void *ctx, const struct repair_item *item); /* not 0 ends it with -ECANCELED */
	void (*diag)(void *ctx, const struct lych_diag *diag);
	void *ctx;
};

/*
 * Returns as lych_scan_fd does; stats are added to. Each plan is looked at by repair_check, and a copy of the code with
 * all edits is scanned again: what that finds wrong is an error diagnostic.
 */
LYCH_MUST_CHECK int repair_fd(int fd, const char *name, const struct repair_file_opts *opts,
			      struct repair_stats *stats);

#endif /* LYCH_REPAIR_FILE_H */
