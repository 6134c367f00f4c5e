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
 *	-EOPNOTSUPP  the kernel, or what stands before it, refuses what is needed
 * What was repaired stays so when starting the runtime fails later: it does what it did.
 */
LYCH_HIDDEN int lych_code_start(enum lych_code mode, uint32_t classes,
				void (*tell)(const struct lych_code_item *item, void *ctx), void *ctx);

/*
 * Is pc in a trampoline? Then *site is the address of the code that it stands for: the instruction that was moved there, or
 * the one behind it where that is done. A frame in a trampoline is no function's. Async-signal-safe.
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
