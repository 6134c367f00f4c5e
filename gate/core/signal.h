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
			uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
			uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
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

/* What the kernel notes behind the FXSAVE part of an image (struct _fpx_sw_bytes). */
struct frame_sw {
	uint32_t magic1;
	uint32_t extended_bytes; /* image and its second magic number */
	uint64_t xfeatures;
	uint32_t xstate_bytes;
	uint32_t padding[7];
};

/* One signal put aside while a handler of the host runs. In monitor memory, its frames behind it. */
struct signal_level {
	uint32_t sig;
	uint32_t domain_context; /* the selector was BLOCK */
	struct record *top;      /* of the thread, then */
	void (*handler)(int, siginfo_t *, void *); /* with mprotect, of a domain's context: soft_handler runs it */
	uint64_t handler_rsp;    /* where its handler was started */
	uint64_t handler_low, handler_top; /* bounds of the stack it runs on, when it is the host's alternate one */
	uint64_t mask;           /* the handler's, for the kernel */
	uint64_t host_mask;      /* thread.host_mask, pkru and the rest as they were before */
	struct slot *slot;       /* of the domain that was interrupted, or is being called: goes on with slot_sp. NULL: none */
	uint64_t slot_sp;
	stack_t host_altstack;
	uint32_t pkru;
	uint32_t soft_pkru;
	uint32_t not_host;       /* of the gate page, then */
	uint32_t answered;       /* enum mediated_end: it was a system call of the domain, answered like a handler */
	struct frame_sw sw;      /* sizes of the frame's image, before a handler saw it */
	struct sigframe *frame;  /* the copy: the truth */
	struct sigframe *shown;  /* what the handler gets: the copy, or one made up behind it for a domain's context */
};

/* What a thread's signals need beyond struct thread: behind thread.levels, in monitor memory. */
struct signal_state {
	uint64_t pending;               /* of the six: came while the host had them blocked */
	uint64_t stack_low, stack_high; /* of the thread itself; 0: unknown */
	uint64_t level_bytes;           /* from one level to the next */
	struct frame_sw sw;             /* what the kernel's frames say of their image: learned before any domain */
	uint32_t learning;              /* sw is to be learned, and thread.sig_rsp where it is fixed */
	uint32_t marked;                /* a handler of one of the six was started with SIGNAL_MARK blocked */
};

/* The synchronous six. Never blocked: what the host wants for them is remembered in thread.host_mask. */
#define SIGNAL_BIT(sig) (1ull << ((sig) - 1))
#define SIGNALS_SIX (SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) | \
		     SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGSYS))
#define SIGNAL_CANCEL 32 /* of glibc */
/* Blocked while a handler of the six runs. siglongjmp, which alone can unblock it, shows in that way that the handler
 * was left: the kernel's mask says nothing of the six. */
#define SIGNAL_MARK SIGNAL_CANCEL
#define SIGNAL_KICK 33   /* glibc's SIGSETXID, and our kick: no program can block it */
#define SIGNAL_LAST 64

/*
 * At lych_init, with the root page still writable, ROOT.frame_bytes, xsave_pkru, frames_whole, kick and kick_cookie
 * filled in, and the calling thread's rights to monitor memory: our entry for the synchronous six and the kick, the
 * wrappers for what was installed before (handlers.h). Starts threads that end at once. -ENOMEM.
 */
LYCH_HIDDEN int signals_start(void);
LYCH_HIDDEN void signals_stop(void); /* when lych_init fails later: everything as it was */
/*
 * For the calling thread, which has all signals blocked: its levels and its alternate stack (from AREA_SIGNALS on;
 * before 6.12 the stack is ordinary memory), the six never blocked; learns where the kernel writes. Needs gs, the
 * selector and sig_stack in place, and lych_tls set. *mask is what the thread had blocked: what it may not have is
 * taken out, and kept in thread.host_mask. -ENOMEM, -EOPNOTSUPP: *mask as it was.
 */
LYCH_HIDDEN int signals_attach(struct area *area, uint64_t *mask);
/* What it has told the kernel, and what rt_sigreturn must leave so: the thread's alternate stack. */
LYCH_HIDDEN void signals_own_stack(const struct thread *t, stack_t *out);
/* The kernel gets the host's alternate stack back, *mask the host's wishes; what signals_attach made is freed. */
LYCH_HIDDEN void signals_detach(struct area *area, uint64_t *mask);
/* In a child, after fork: locks that other threads held are free again. */
LYCH_HIDDEN void signals_fork_child(struct area *area);

/*
 * Turns frame, whose context is that of the top record's domain, into one that returns to the caller of that call with
 * status. Inside lych_signal only. The top record must be a CALL.
 */
LYCH_HIDDEN void signal_end_call(struct area *area, struct sigframe *frame, int status);

/*
 * Levels whose handlers were left by siglongjmp are free again, and calls they had interrupted are off the record
 * stack. rsp: the host's, now. Called by lych_signal, and by the gate's slow way when there is no room for a record.
 * Host rights, signals blocked or a handler that cannot be left meanwhile. Returns how many records went.
 */
LYCH_HIDDEN unsigned int signals_reclaim(struct thread *t, uint64_t rsp);

/* The same for the calling thread, which is attached and in a function of the runtime whose return address is at rsp: how many
 * calls it had left behind. One that the same function of the host had made has left its own there. */
LYCH_HIDDEN unsigned int signals_forget_left(uint64_t rsp);
#define RETURN_AT ((uint64_t)__builtin_frame_address(0) + 8)

/* sigprocmask and sigaltstack of the host, for the interposers: kernel-format masks; rsp is their caller's.
 * 0 or -errno. */
LYCH_HIDDEN int signals_mask(int how, const uint64_t *set, uint64_t *old, uint64_t rsp);
LYCH_HIDDEN int signals_altstack(const stack_t *set, stack_t *old, uint64_t rsp);

#endif /* LYCH_SIGNAL_H */
