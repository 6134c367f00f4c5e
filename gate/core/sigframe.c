/* SPDX-License-Identifier: Apache-2.0 */
/* Copying and changing signal frames (sigframe.h). Pure. */
#include "sigframe.h"

#include <stddef.h>
#include <string.h>

_Static_assert(sizeof(struct kernel_sigcontext) == 256, "struct sigcontext of the kernel");
_Static_assert(offsetof(struct sigframe, uc.mc) == 8 + 40, "struct ucontext of the kernel");
_Static_assert(offsetof(struct sigframe, info) == 8 + 304, "struct rt_sigframe of the kernel");
_Static_assert(offsetof(ucontext_t, uc_mcontext) == offsetof(struct kernel_ucontext, mc), "what libc shows of it");
_Static_assert(sizeof(struct frame_sw) == 48, "struct _fpx_sw_bytes of the kernel");

/* Of MXCSR: all other bits fault in XRSTOR. */
#define MXCSR_BITS 0xffffu

static uint64_t read64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void write64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint32_t read32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void write32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static size_t image_off(void)
{
	return (sizeof(struct sigframe) + FRAME_ALIGN - 1) & ~(size_t)(FRAME_ALIGN - 1);
}

/* Of a copy. Not fpstate: a handler of the host may have changed that. */
static uint8_t *image_of(const struct sigframe *frame)
{
	return (uint8_t *)frame + image_off();
}

size_t sigframe_copy_bytes(size_t frame_bytes)
{
	/* AT_MINSIGSTKSZ counts the fixed part and the image; the padding between them is ours. */
	return (image_off() + frame_bytes + FRAME_ALIGN - 1) & ~(size_t)(FRAME_ALIGN - 1);
}

struct frame_sw sigframe_sw(const struct sigframe *frame)
{
	struct frame_sw sw;

	memcpy(&sw, image_of(frame) + XSAVE_SW, sizeof(sw));
	return sw;
}

/* What XRSTOR and the kernel insist on. sw is not read from the image: whoever writes there does not decide. */
static void settle_image(uint8_t *image, const struct frame_sw *sw)
{
	memcpy(image + XSAVE_SW, sw, sizeof(*sw));
	write32(image + XSAVE_MXCSR, read32(image + XSAVE_MXCSR) & MXCSR_BITS);
	write64(image + XSAVE_BV, read64(image + XSAVE_BV) & sw->xfeatures);
	memset(image + XSAVE_XCOMP, 0, XSAVE_HEADER - 8);
	write32(image + sw->xstate_bytes, FRAME_MAGIC2);
}

/* Some kilobytes with each signal and system call of a domain, aligned: less than a string instruction takes to begin. */
static void image_copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
	typedef uint64_t block __attribute__((vector_size(16), may_alias));
	size_t i = 0;

	for (; bytes - i >= 4 * sizeof(block); i += 4 * sizeof(block)) {
		const block *source = (const block *)(const void *)(from + i);
		block *target = (block *)(void *)(to + i);
		block a = source[0], b = source[1], c = source[2], d = source[3];

		target[0] = a;
		target[1] = b;
		target[2] = c;
		target[3] = d;
	}
	memcpy(to + i, from + i, bytes - i);
}

int sigframe_copy(struct sigframe *to, size_t to_bytes, const struct sigframe *from, uint64_t low, uint64_t high)
{
	uint64_t at = (uint64_t)from;
	uint64_t image_at;
	uint8_t *image = (uint8_t *)to + image_off();
	struct frame_sw sw;
	struct sigframe head;

	if (at < low || at > high || high - at < sizeof(*to) || to_bytes < image_off() + XSAVE_MIN + 4) {
		return -EFAULT;
	}
	memcpy(&head, from, sizeof(head));
	image_at = (uint64_t)head.uc.mc.fpstate;
	if (image_at % FRAME_ALIGN != 0 || image_at < low || image_at > high || high - image_at < XSAVE_MIN + 4) {
		return -EFAULT;
	}
	memcpy(&sw, (const uint8_t *)image_at + XSAVE_SW, sizeof(sw));
	if (sw.magic1 != FRAME_MAGIC1 || sw.xstate_bytes < XSAVE_MIN || sw.extended_bytes < 4 ||
	    sw.extended_bytes - 4 != sw.xstate_bytes || sw.extended_bytes > high - image_at ||
	    sw.extended_bytes > to_bytes - image_off() ||
	    read32((const uint8_t *)image_at + sw.xstate_bytes) != FRAME_MAGIC2) {
		return -EFAULT;
	}
	memcpy(to, &head, sizeof(head));
	image_copy(image, (const uint8_t *)image_at, sw.xstate_bytes);
	settle_image(image, &sw);
	to->uc.mc.fpstate = image;
	to->uc.flags = FRAME_HAS_XSAVE | FRAME_SS_SAVED | FRAME_SS_STRICT;
	to->uc.link = NULL;
	return 0;
}

uint32_t sigframe_pkru(const struct sigframe *frame, uint32_t off)
{
	const uint8_t *image = image_of(frame);
	struct frame_sw sw = sigframe_sw(frame);

	if (off < XSAVE_MIN || off > sw.xstate_bytes - 4 || (read64(image + XSAVE_BV) & XFEATURE_PKRU) == 0) {
		return 0;
	}
	return read32(image + off);
}

void sigframe_set_pkru(struct sigframe *frame, uint32_t off, uint32_t pkru)
{
	uint8_t *image = image_of(frame);
	struct frame_sw sw = sigframe_sw(frame);

	if (off < XSAVE_MIN || off > sw.xstate_bytes - 4) {
		return;
	}
	/* Both masks: a component that one of them lacks goes back to its initial state, and that is 0. */
	sw.xfeatures |= XFEATURE_PKRU;
	memcpy(image + XSAVE_SW, &sw, sizeof(sw));
	write64(image + XSAVE_BV, read64(image + XSAVE_BV) | XFEATURE_PKRU);
	write32(image + off, pkru);
}

void sigframe_reset_image(struct sigframe *frame)
{
	uint8_t *image = image_of(frame);

	write64(image + XSAVE_BV, 0);
	/* MXCSR is loaded whatever XSAVE_BV says. */
	write32(image + XSAVE_MXCSR, MXCSR_DEFAULT);
	memset(image + XSAVE_LEGACY - 352, 0, 256); /* the xmm registers, so that nobody finds them in the copy */
}

void sigframe_repair(struct sigframe *frame, const struct frame_sw *sw)
{
	frame->uc.mc.fpstate = image_of(frame);
	frame->uc.flags = FRAME_HAS_XSAVE | FRAME_SS_SAVED | FRAME_SS_STRICT;
	frame->uc.link = NULL;
	settle_image(image_of(frame), sw);
}

void sigframe_make(struct sigframe *to, const siginfo_t *info, uint16_t fcw, uint32_t mxcsr)
{
	uint8_t *image = (uint8_t *)to + image_off();

	memset(to, 0, image_off() + XSAVE_MIN);
	to->uc.flags = FRAME_SS_SAVED | FRAME_SS_STRICT;
	to->uc.mc.cs = FRAME_CS;
	to->uc.mc.ss = FRAME_SS;
	to->uc.mc.rflags = FRAME_RFLAGS;
	to->uc.mc.fpstate = image;
	to->info = *info;
	memcpy(image + XSAVE_FCW, &fcw, sizeof(fcw));
	write32(image + XSAVE_MXCSR, mxcsr & MXCSR_BITS);
}
