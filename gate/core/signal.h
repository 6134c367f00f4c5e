/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals: which are ours, what interrupted contexts become, the host's handlers.
 *
 * G6. The kernel's frame is copied to a level of the thread's area (monitor memory) before anything else; sigreturn
 * always reads the copy. Whether the context was a domain's is told by the selector, which only the monitor writes;
 * a domain's context goes on with the domain's rights only (lych_resume), whatever the frame says.
 */
#ifndef LYCH_SIGNAL_H
#define LYCH_SIGNAL_H

#include <ucontext.h>

#include "asm.h"

/* struct rt_sigframe of the kernel (arch/x86/include/asm/sigframe.h), without the return address. */
struct sigframe {
	uint64_t restorer;
	/* The kernel's own: 304 bytes of ucontext with an 8-byte mask, then siginfo. */
	struct kernel_ucontext {
		uint64_t flags;
		struct kernel_ucontext *link;
		stack_t stack;
		struct kernel_sigcontext {
			uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
			uint16_t cs, gs, fs, ss;
			uint64_t err, trapno, oldmask, cr2;
			uint8_t *fpstate;
			uint64_t reserved[8];
		} mc;
		uint64_t mask;
	} uc;
	siginfo_t info;
	/* the XSAVE image follows in a copy, 64-byte aligned */
};

/* One signal put aside while a handler of the host runs. */
struct signal_level {
	uint32_t sig;
	uint32_t domain_context; /* the selector was BLOCK */
	struct record *top;      /* of the thread, then */
	uint64_t handler_rsp;    /* where its handler was started */
	uint64_t handler_low, handler_top; /* bounds of the stack it runs on, when it is the host's alternate one */
	struct sigframe *frame;  /* the copy: the truth */
	struct sigframe *shown;  /* what the handler gets: the copy itself, or one made up for a domain's context */
};

/* At lych_init: our entry for the synchronous six and the kick, the wrappers for what was installed before. */
LYCH_HIDDEN int signals_start(void);
LYCH_HIDDEN void signals_stop(void); /* when lych_init fails later */
/* For a thread: its levels, alternate stack, SIGSYS and the others never blocked; where the kernel writes. */
LYCH_HIDDEN int signals_attach(struct area *area);
LYCH_HIDDEN void signals_detach(struct area *area);

/*
 * End the call of the thread's top record from inside lych_signal: writes what happened to the domain's fault slot,
 * and turns frame into one that returns to the caller with status.
 */
LYCH_HIDDEN void signal_end_call(struct area *area, struct sigframe *frame, int status);

#endif /* LYCH_SIGNAL_H */
