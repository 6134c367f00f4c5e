/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind information for trampolines: the bytes of an .eh_frame section. Pure.
 *
 * A trampoline is described as a frame of its own, with no function's tables copied: what it was entered from is the
 * original instruction, with the registers as they were there. An unwinder goes on with that instruction's address and
 * so by itself finds the function's own rows, its personality and its handlers, with the function's own start for what
 * counts from there; expressions that use rsp or rip get the right ones, and what has no tables stays what it was.
 * Nothing hostile is read: all of it follows from struct repair_step. The price is one more frame in backtraces.
 *
 * Each FDE holds, in its augmentation data, the two addresses that the return address is loaded from: not every
 * unwinder has registers with computed values in mind, all of them load.
 */
#ifndef LYCH_REPAIR_CFI_H
#define LYCH_REPAIR_CFI_H

#include "repair.h"

/*
 * What unwinding goes on with cannot be the same for everybody.
 *
 * A debugger must get the very address: it sets breakpoints there. The frame is marked as one that a signal makes (S),
 * so that nothing is subtracted from it, and while stepping gdb goes on until such a frame is left, which is what is
 * wanted here. In a backtrace it then says "<signal handler called>" where the trampoline's name would be.
 *
 * libgcc tells frames apart by the stack pointer, and by whether a signal's frame leads to them. When an exception
 * goes out from a signal handler in a trampoline that has not moved rsp, trampoline and function would
 * be the same to it, and it aborts on its way to a handler in that very function. So for exceptions the frame is an
 * ordinary one, and the return address one byte behind the instruction's start: all look up what is one byte before it.
 */
enum repair_cfi_reader {
	REPAIR_CFI_DEBUGGERS,
	REPAIR_CFI_EXCEPTIONS,
};

/* What n trampolines need at most. */
#define REPAIR_CFI_CIE_BYTES 24
#define REPAIR_CFI_FDE_BYTES 560
#define REPAIR_CFI_BYTES(n) (REPAIR_CFI_CIE_BYTES + (size_t)(n) * REPAIR_CFI_FDE_BYTES + 4)

/*
 * Writes a section that will be read at vaddr (a multiple of 8) for n trampolines whose addresses are final: one
 * CIE, an FDE for each, and the zero that ends the list. All addresses in it are absolute. fde_at may be NULL; else
 * fde_at[i] becomes the offset of the FDE of trampolines[i], 0 where its steps make no sense: it has none. Returns how
 * many bytes were written, 0 when they do not fit into room.
 */
LYCH_MUST_CHECK size_t repair_cfi(uint8_t *out, size_t room, uint64_t vaddr, enum repair_cfi_reader reader,
				  const struct repair_trampoline *trampolines, size_t n, uint32_t *fde_at);

/* Do the steps make sense: in order, within the code, from its start on, of general registers other than rsp? */
bool repair_steps_valid(const struct repair_trampoline *t);

/*
 * Where the code that t stands for would be, were rip at t->vaddr + off: t->site or t->resume. off is below t->len, the
 * steps are valid. *step, unless step is NULL, points into t.
 */
uint64_t repair_step_at(const struct repair_trampoline *t, uint64_t off, const struct repair_step **step);

#endif /* LYCH_REPAIR_CFI_H */
