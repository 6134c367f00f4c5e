/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes unwinders go through trampolines. What each of them is told is in scanner/repair_cfi.h; this is how they learn:
 *
 *	libgcc     __register_frame_info: exceptions, pthread_cancel, backtrace(3)
 *	libunwind  _U_dyn_register, for unw_step in the process
 *	LLVM's     __unw_add_dynamic_fde, where the program has it
 *	gdb        the interface for JIT compilers: a small ELF image in memory, with a symbol for each trampoline
 *	our own    lych_code_site_of and lych_code_unwind_of (code.h): the report of a fault
 *
 * An unwinder that was linked into another library statically (-static-libgcc) is not reached: an exception that goes
 * through a trampoline ends there, in std::terminate. Exceptions that functions throw never go through one: a
 * trampoline calls nothing. It takes a signal handler that throws, or pthread_cancel with asynchronous cancelation.
 * LLVM's unwinder takes the address that a signal interrupted for a return address (LLVM 14), here as anywhere: at the
 * first instruction of a trampoline it finds nothing, behind others the row of the one before.
 *
 * gdb reads its list when it stops or attaches, and in cores (with anonymous memory in them). A frame in a trampoline
 * reads "<signal handler called>", and the next one is the function at its instruction; `info symbol $pc` names the
 * trampoline. step and next go through without stopping; "finish" out of a trampoline's frame before its instruction is
 * done waits at that instruction, which nobody comes to: finish the frame above it. Another JIT in the process does not
 * disturb: gdb looks at every library's list, and where LLVM is linked into the same file both use LLVM's
 * list. (Before gdb 11 it looks at one list only, whichever it finds.)
 *
 * perf takes symbols and tables from files, by the name of the mapping, and what came through the door is no file that
 * it can open. A trampoline shows as "memfd:lychgate:trampolines" with bare addresses, and so do all pages that were
 * copied: those with an edit, and whole libraries where the process could write their files (as root: all of them), under
 * the library's name. With --call-graph dwarf a sample ends there; frame pointers and LBR lead on. /tmp/perf-PID.map
 * does not help: perf reads it for anonymous memory, not for memfds (seen with 6.1). So none is written.
 */
#ifndef LYCH_CODE_UNWIND_H
#define LYCH_CODE_UNWIND_H

#include "../../scanner/repair.h"
#include "../core/hidden.h"

#define UNWIND_NAME_BYTES 160

/*
 * Tells all unwinders of n trampolines that are mapped, in ascending order, with nothing else between the first and
 * the last: one run of pages. They stay mapped for ever, and what is allocated here does, too. name fills in what
 * gdb calls a trampoline; NULL: "repair:" and the address of its site.
 *
 * A trampoline whose steps make no sense gets a name and nothing else. Not in a signal handler; takes locks of libgcc
 * and libunwind, and libgcc allocates. Returns 0, -EINVAL (none, or not ascending), -ENOMEM: nobody was told.
 */
int unwind_add(const struct repair_trampoline *trampolines, size_t n,
	       void (*name)(void *ctx, const struct repair_trampoline *t, char out[UNWIND_NAME_BYTES]), void *ctx);

/* ---- unwind_image.c: pure ------------------------------------------------------------------------------------- */

/* The parts of a block of memory, as offsets in it. */
struct unwind_layout {
	size_t image, image_bytes; /* ELF; its .eh_frame, for debuggers, at */
	size_t debug_frame, debug_frame_bytes;
	size_t exception_frame, exception_frame_bytes; /* an .eh_frame for exceptions */
	size_t table, table_entries; /* int32 start - the first trampoline, int32 FDE - debug_frame; ascending */
};

/* What unwind_image needs at most. */
size_t unwind_image_room(size_t n);

/*
 * Writes all that n trampolines need into out, which is at vaddr (a multiple of 8) and has room for it. names: n texts
 * of UNWIND_NAME_BYTES each, ended by NUL.
 */
void unwind_image(struct unwind_layout *layout, uint8_t *out, uint64_t vaddr, const struct repair_trampoline *trampolines,
		  size_t n, const char (*names)[UNWIND_NAME_BYTES]);

#endif /* LYCH_CODE_UNWIND_H */
