/* SPDX-License-Identifier: Apache-2.0 */
/* Between signal.c and signal_host.c: the signal being dealt with, on the monitor's stack, all signals blocked. */
#ifndef LYCH_SIGNAL_CONTEXT_H
#define LYCH_SIGNAL_CONTEXT_H

#include "../library/policy.h"
#include "signal_levels.h"

struct context {
	struct area *area;
	struct thread *thread;
	struct signal_state *state;
	struct signal_level *level; /* free, its copy of the frame filled */
	struct sigframe *frame;     /* level->frame */
	int sig;
	bool domain; /* the context is that of the top record's domain */
};

/* The state of the monitor contradicts itself. SIGILL is blocked: the kernel ends the process. */
static inline _Noreturn void signal_broken(void)
{
	__builtin_trap();
}

/* What a dispatched system call asks for. */
static inline struct mediated signal_asked(const struct sigframe *frame)
{
	const struct kernel_sigcontext *mc = &frame->uc.mc;

	return (struct mediated){.nr = frame->info.si_syscall,
				 .arg = {mc->rdi, mc->rsi, mc->rdx, mc->r10, mc->r8, mc->r9},
				 .arch = frame->info.si_arch,
				 .rip = mc->rip,
				 .mask = frame->uc.mask};
}

static inline struct record *signal_top_call(const struct thread *t)
{
	return t->top != NULL && t->top->kind == KIND_CALL ? t->top : NULL;
}

/* Whatever the signal was, it has been dealt with. */
LYCH_HIDDEN _Noreturn void signal_go_on(struct context *c);
/* To the host: its handler, or the default action. fault: it was not sent by anybody. */
LYCH_HIDDEN _Noreturn void signal_deliver(struct context *c, bool fault);
/*
 * A system call of a library domain that may wait, or needs locks: answered like a handler of the host, on the stack of whoever
 * made the call, and signals come as they would come to the domain. Returns when no level is free.
 */
LYCH_HIDDEN void signal_answer(struct context *c);
/* How the call goes on, or ends, when its system call was answered: mc->rax has the result. */
LYCH_HIDDEN _Noreturn void signal_answered(struct context *c, int end);
/* Levels were freed below the one the frame was copied to: c goes there. */
LYCH_HIDDEN void signal_settle_level(struct context *c);
/* A shoot-down reaches the contexts that wait for a handler to return, too. */
LYCH_HIDDEN void signal_follow(struct context *c);
/* The host's context has no rights to keys that were taken away meanwhile; nor, where frames can be forged, to vaults
 * but one that this thread is just filling. */
LYCH_HIDDEN void signal_host_rights(const struct thread *t, struct sigframe *frame);

#endif /* LYCH_SIGNAL_CONTEXT_H */
