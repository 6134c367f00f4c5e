/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of signals, as the kernel writes and rt_sigreturn reads them. Pure: memory in, memory out.
 *
 * Before Linux 6.12 a frame lies in memory that code in a domain may write at any time. So each word is read once,
 * and what decides how much is read next is taken from the copy.
 */
#ifndef LYCH_SIGFRAME_H
#define LYCH_SIGFRAME_H

#include "signal.h"

#define FRAME_ALIGN 64
#define XSAVE_LEGACY 512   /* FXSAVE's part */
#define XSAVE_HEADER 64
#define XSAVE_MIN (XSAVE_LEGACY + XSAVE_HEADER)
#define XSAVE_BV 512       /* u64: components that are not in their initial state */
#define XSAVE_XCOMP 520    /* u64: 0, the standard format */
#define XSAVE_MXCSR 24
#define XSAVE_FCW 0
#define XSAVE_SW 464       /* struct frame_sw */
#define XFEATURE_PKRU (1ull << 9)
#define FRAME_MAGIC1 0x46505853u
#define FRAME_MAGIC2 0x46505845u

#define FRAME_HAS_XSAVE 1ull /* UC_FP_XSTATE */
#define FRAME_SS_SAVED 2ull  /* UC_SIGCONTEXT_SS */
#define FRAME_SS_STRICT 4ull /* UC_STRICT_RESTORE_SS */

#define FRAME_CS 0x33
#define FRAME_SS 0x2b
#define FRAME_RFLAGS 0x202

/* Bytes a copy takes whose kernel frame takes at most frame_bytes (AT_MINSIGSTKSZ). */
LYCH_HIDDEN size_t sigframe_copy_bytes(size_t frame_bytes);

/*
 * Copies the frame at from, which claims to lie in [low, high), to to, which has to_bytes and is FRAME_ALIGN-aligned.
 * Only bytes of [low, high) are read. In the copy fpstate points into the copy, the image is in standard format, says
 * nothing that XRSTOR refuses, and ends in the second magic number. 0 or -EFAULT: no kernel wrote that; *to is as it
 * was.
 */
LYCH_HIDDEN int sigframe_copy(struct sigframe *to, size_t to_bytes, const struct sigframe *from, uint64_t low,
			      uint64_t high);

/* PKRU in a copy's image; off is its offset, 0: there are no keys. Without one, get gives 0, and set does nothing. A
 * component in its initial state is 0: everything open. */
LYCH_HIDDEN uint32_t sigframe_pkru(const struct sigframe *frame, uint32_t off);
LYCH_HIDDEN void sigframe_set_pkru(struct sigframe *frame, uint32_t off, uint32_t pkru);

/* All registers of the image to their initial state, PKRU too (set it afterwards). */
LYCH_HIDDEN void sigframe_reset_image(struct sigframe *frame);

/* Repairs what a handler of the host may have changed in a copy so that rt_sigreturn takes it: where the image lies,
 * its sizes and reserved bits. image, bytes and xfeatures are what they were before. */
LYCH_HIDDEN void sigframe_repair(struct sigframe *frame, const struct frame_sw *sw);
LYCH_HIDDEN struct frame_sw sigframe_sw(const struct sigframe *frame);

/* A frame with nothing in it but what the arguments say, and an image of FXSAVE's part alone: to show to a handler. to
 * has room for SIGFRAME_SHOWN_BYTES. */
#define SIGFRAME_SHOWN_BYTES (sizeof(struct sigframe) + FRAME_ALIGN + XSAVE_MIN)
LYCH_HIDDEN void sigframe_make(struct sigframe *to, const siginfo_t *info, uint16_t fcw, uint32_t mxcsr);

#endif /* LYCH_SIGFRAME_H */
