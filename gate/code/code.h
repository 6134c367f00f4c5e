/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code of the process: what is executable when the runtime starts is looked through for sequences that write PKRU or
 * the gs base, and made harmless (G3, G4).
 *
 *	maps.c   which mappings there are
 *	look.c   which sequences stand in them, byte by byte; nothing is interpreted
 *	plan.c   in a throw-away child: where they stand, and what to do about them (scanner/repair.h)
 *	start.c  the order of it, and what is believed of the child's answer
 *	carry.c  carrying it out, and looking again
 *	door.c   the only thing in the project that asks for PROT_EXEC
 *	unwind.c tells debuggers and unwinders of the trampolines
 *	admit.c  the same for code that a library domain maps, before it runs
 *	memo.c   plans for such code, kept for the next domain
 *
 * All of it, and the parts of the scanner it needs, is linked into one object that shows the names in this file only
 * (gate/CMakeLists.txt): a program may have liblychscan, too. malloc there is arena.c's.
 */
#ifndef LYCH_CODE_H
#define LYCH_CODE_H

#include <lychgate/domain.h>

#include "../core/hidden.h"

/*
 * Before there are keys, domains or attached threads; other threads may run. mode is not LYCH_CODE_AUTO. classes: set of
 * LYCH_CLASS_BIT. tell may be NULL.
 *
 * Returns 0, or, with a reason for lych_why,
 *	-ENOEXEC  something is left that mode does not allow: nothing was changed; or there is something after the repair that
 *	          was not there before
 *	-EAGAIN   code is loaded and unloaded all the time by other threads
 *	-ENOMEM
 *	-EINTR    over: nothing was changed
 *	-EOPNOTSUPP  the kernel, or what stands before it, refuses what is needed
 * What was repaired stays so when starting the runtime fails later: it does what it did.
 */
LYCH_HIDDEN int lych_code_start(enum lych_code mode, uint32_t classes,
				void (*tell)(const struct lych_code_item *item, void *ctx), void *ctx);

/* Pages without code among the code that lych_code_admit is given. */
#define LYCH_CODE_AREAS 16
struct lych_code_area {
	uint64_t start, end;
};

/*
 * What was planned, for the next copy of the same code of the same file. Zeroed but for take and give, which have zeroed memory
 * of the host that nobody else writes, as this is itself. Some tens of MiB at most; used by lych_code_admit only.
 */
struct lych_code_memo {
	void *(*take)(size_t bytes); /* NULL: none */
	void (*give)(void *at, size_t bytes);
	struct memo_plan *first; /* used last */
};

/* Code that is to run in a library domain. All addresses and sizes are whole pages. */
struct lych_code_copy {
	uint64_t at;         /* where it will run. What is mapped there is replaced at once */
	size_t bytes;
	const void *content; /* what is to run: memory of the host that nobody else writes. What is looked at is what runs */
	/* With NULL content: writes it to zeroed memory, once. Its error, if any, is lych_code_admit's. */
	int (*read)(void *to, size_t bytes, void *read_ctx);
	void *read_ctx;
	const char *name;    /* path, for messages and /proc/PID/maps; "": anonymous memory */
	uint64_t off;        /* of content in the file */
	const void *file;    /* all of the file, ELF or not, in such memory, too: it explains the code. NULL: nothing does */
	size_t file_bytes;
	uint32_t classes;    /* set of LYCH_CLASS_BIT */
	int key;             /* protection key that the pages get; -1: none */
	/* Addresses, none of them executable, that the caller keeps for trampolines: near, at most 2 GiB away. 0, 0: none. */
	uint64_t room, room_bytes;
	/* Asked again and again while it waits for others, or for a plan: true, and it gives up. NULL: it never does. */
	bool (*over)(const void *over_ctx);
	const void *over_ctx;
	struct lych_code_memo *memo; /* NULL: nothing is kept */
	enum lych_code mode; /* LYCH_CODE_REPAIR; LYCH_CODE_REFUSE: repair nothing but what is known of glibc */
	/* Each sequence and what was done, before anything is changed; must not call lych_code_admit. May be NULL. */
	void (*tell)(const struct lych_code_item *item, void *ctx);
	void *ctx;
	/* Set by lych_code_admit where it returns 0. */
	uint64_t room_used;  /* from the room's start on, whole pages: what is there from now on is the runtime's */
	struct lych_code_area no_exec[LYCH_CODE_AREAS]; /* parts of [at, at + bytes) that are readable, but not executable */
	size_t nno_exec;
};

/*
 * Makes a copy of code executable under the domain's key, with every sequence of the classes in it, and across the border
 * to executable memory right before and behind it, made harmless. Only the copy is changed. Nothing is executable before
 * it was looked at, or while it is written; WRPKRU on purpose traps, XRSTOR is followed by a check.
 *
 * No sequence counts as harmless for what stands on another page, so that what is mapped there later changes nothing. It
 * does for trampolines: what is in the room that was used must stay until the code is gone, whatever the domain asks for.
 *
 * The caller sees to it that no mapping that touches [at, at + bytes) or the room comes, goes or changes meanwhile; and that
 * memory of the domain becomes executable, or gets to another address while it is, by this function only.
 *
 * Returns 0, or, with a reason for lych_why,
 *	-ENOEXEC  something is left that mode does not allow: nothing was changed
 *	-EAGAIN   the caller did not see to it: what is there, or next to it, is other code meanwhile. Nobody has access to
 *	          [at, at + bytes) any more, and the addresses stay taken
 *	-ENOMEM
 *	-EINTR    over: nothing was changed
 *	-EOPNOTSUPP  the kernel, or what stands before it, refuses what is needed. After either nothing was changed, or it is
 *	          as after -EAGAIN
 *	-EINVAL   copy
 * Does not need lych_init. Costs a child process where there are sequences and copy->memo does not have the plan. Thread-safe: one copy at a time, the others
 * wait. Not async-signal-safe; signals may interrupt it.
 */
LYCH_HIDDEN int lych_code_admit(struct lych_code_copy *copy);

/* [start, end), code of the runtime's own, gets key, and nothing else changes. 0 or -ENOMEM. */
LYCH_HIDDEN int lych_code_show(uint64_t start, uint64_t end, int key);

/*
 * Is pc in a trampoline? Then *site is the address of the code that it stands for: the instruction that was moved there, or
 * the one behind it where that is done. Not those of lych_code_admit. A frame in a trampoline is no function's. Async-signal-safe.
 */
LYCH_HIDDEN bool lych_code_site_of(uint64_t pc, uint64_t *site);

/* How an unwinder that reads the tables itself goes from a trampoline to its site. */
struct lych_code_unwind {
	uint64_t start, end;     /* the trampolines */
	uint64_t memory, memory_bytes; /* all that it reads is here */
	uint64_t frame;          /* an .eh_frame */
	uint64_t table, entries; /* int32 start - this start, int32 FDE - frame; ascending */
};

/* false: pc is not among trampolines. Async-signal-safe. */
LYCH_HIDDEN bool lych_code_unwind_of(uint64_t pc, struct lych_code_unwind *out);

#endif /* LYCH_CODE_H */
