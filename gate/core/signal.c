/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a signal (signal.h).
 *
 * Everything here runs on the monitor's stack, with all rights and all signals blocked: a fault in this file ends the
 * process, as the kernel does not deliver a blocked synchronous signal. Nothing is read through the kernel's frame
 * but by sigframe_copy; what decides is the copy, the selector, and the records.
 */
#include "signal.h"

#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "../library/library.h"
#include "../library/mediator.h"
#include "../memory/backend_mprotect.h"
#include "../memory/memory.h"
#include "handlers.h"
#include "keys.h"
#include "sigframe.h"
#include "signal_context.h"
#include "thread.h"

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

static bool within(uint64_t at, const char *start, const char *end)
{
	return at >= (uint64_t)start && at < (uint64_t)end;
}

/* The general registers and flags of a context that nothing interrupted. */
static void clean_registers(struct sigframe *frame)
{
	struct kernel_sigcontext *mc = &frame->uc.mc;

	memset(mc, 0, offsetof(struct kernel_sigcontext, rflags));
	mc->rflags = FRAME_RFLAGS;
	mc->cs = FRAME_CS;
	mc->ss = FRAME_SS;
	mc->gs = mc->fs = 0;
}

void signal_end_call(struct area *area, struct sigframe *frame, int status)
{
	struct record *call = signal_top_call(&area->thread);

	if (call == NULL) {
		signal_broken();
	}
	clean_registers(frame);
	frame->uc.mc.rip = (uint64_t)(is_pku() ? lych_abort_pku : lych_abort_soft);
	frame->uc.mc.rax = (uint32_t)status;
	frame->uc.mc.rsp = call->rsp;
	sigframe_reset_image(frame);
	sigframe_set_pkru(frame, ROOT.xsave_pkru, ~area->gate.not_caller);
	area->gate.soft_pkru = ~area->gate.not_caller;
}

/* ---- going on ------------------------------------------------------------------------------- */

/* The status the domain's call has to end with now; 0: it goes on. */
static int must_end(const struct context *c, struct record *call)
{
	int canceled = atomic_load(&call->cancel);

	if (!call_goes_on(call)) {
		return -ECANCELED; /* poisoned: what happened was noted by whoever did it */
	}
	/* Either it has passed just now, or it was noticed while the gate was at work and the domain was let in
	 * since. */
	if (canceled == -ETIMEDOUT ||
	    (canceled == 0 && call->deadline_ns != 0 && monotonic_ns() >= call->deadline_ns)) {
		fault_note(c->area, c->frame, LYCH_FAULT_DEADLINE);
		domain_poison(call->domain);
		return -ETIMEDOUT;
	}
	if (canceled != 0) {
		fault_note(c->area, c->frame, LYCH_FAULT_CANCELED);
		if (call->domain->library != NULL) {
			domain_poison(call->domain); /* locks of its own C library may be held for good */
		}
		return canceled;
	}
	return 0;
}

/* The domain's context goes on with the domain's rights: the registers that lych_resume needs for itself travel in
 * memory of the domain, the others in the frame. */
static void resume_domain(struct context *c)
{
	struct record *call = signal_top_call(c->thread);
	struct kernel_sigcontext *mc = &c->frame->uc.mc;
	struct resume_block *block;
	uint32_t before;

	if (call == NULL) {
		signal_broken();
	}
	block = memory_resume_block(call->domain, c->thread);
	if (block == NULL) {
		signal_broken();
	}
	before = vault_open(call->domain);
	*block = (struct resume_block){.rcx = mc->rcx, .rdx = mc->rdx, .rax = mc->rax, .rip = mc->rip, .cs = mc->cs,
				       .rflags = mc->rflags, .rsp = mc->rsp, .ss = FRAME_SS};
	vault_close(call->domain, before);
	mc->rax = (uint64_t)block;
	mc->rip = (uint64_t)(is_pku() ? lych_resume_pku : lych_resume_soft);
	mc->rdx = ((const struct slot *)((const char *)c->area + call->domain->slot))->fs;
	mc->rcx = 0;
	mc->rflags = FRAME_RFLAGS;
	mc->cs = FRAME_CS;
	mc->ss = FRAME_SS;
	sigframe_set_pkru(c->frame, ROOT.xsave_pkru, 0);
	area_of_thread(c->thread)->gate.soft_pkru = 0;
}

_Noreturn void signal_go_on(struct context *c)
{
	if (c->domain) {
		struct record *call = signal_top_call(c->thread);
		int status;

		if (call == NULL) {
			signal_broken();
		}
		status = must_end(c, call);
		if (status != 0 || (call->domain->library != NULL && context_keep(call->domain->library, c->thread, c->frame))) {
			signal_end_call(c->area, c->frame, status);
		} else {
			resume_domain(c);
		}
	} else {
		c->area->gate.soft_pkru = c->level->soft_pkru;
	}
	lych_sigreturn(c->frame);
}

static _Noreturn void end_with_fault(struct context *c, enum lych_fault_kind kind)
{
	struct record *call = signal_top_call(c->thread);

	if (call == NULL) {
		signal_broken();
	}
	fault_note(c->area, c->frame, kind);
	domain_poison(call->domain);
	signal_end_call(c->area, c->frame, -EFAULT);
	lych_sigreturn(c->frame);
}

/* ---- a signal comes in ------------------------------------------------------------------------ */

/* Inside the gate with the selector at BLOCK: the context is the domain's, wherever rights stand just now. */
static void leave_window(struct sigframe *frame)
{
	struct kernel_sigcontext *mc = &frame->uc.mc;
	uint64_t target;
	unsigned int rsp_from;

	if (gate_window_find(mc->rip, &target, &rsp_from)) {
		mc->rip = target;
		if (rsp_from != 0) {
			mc->rsp = (&mc->r8)[rsp_from - 1];
		}
	}
}

static void start_again(struct sigframe *frame)
{
	uint64_t target;

	if (gate_restart_find(frame->uc.mc.rip, &target)) {
		frame->uc.mc.rip = target;
	}
}

/* Inside lych_resume: back to the context it was about to become. What the block says is the domain's own business. */
static bool leave_resume(struct context *c)
{
	struct kernel_sigcontext *mc = &c->frame->uc.mc;
	struct record *call = signal_top_call(c->thread);
	struct resume_block *block;
	uint32_t before;

	if (!within(mc->rip, lych_resume_pku, lych_resume_pku_end) &&
	    !within(mc->rip, lych_resume_soft, lych_resume_soft_end)) {
		return false;
	}
	block = call != NULL ? memory_resume_block(call->domain, c->thread) : NULL;
	if (block == NULL) {
		return false;
	}
	before = vault_open(call->domain);
	mc->rcx = block->rcx;
	mc->rdx = block->rdx;
	mc->rax = block->rax;
	mc->rip = block->rip;
	mc->cs = (uint16_t)block->cs;
	mc->rflags = block->rflags;
	mc->rsp = block->rsp;
	vault_close(call->domain, before);
	return true;
}

static bool is_kick(const siginfo_t *info)
{
	uint64_t value = (uint64_t)info->si_value.sival_ptr;

	if (info->si_signo != SIGNAL_KICK || value != ROOT.kick_cookie) {
		return false;
	}
	return info->si_code == SI_TIMER || (info->si_code == SI_QUEUE && info->si_pid == sys0(SYS_getpid));
}

_Noreturn void signal_answered(struct context *c, int end)
{
	switch ((enum mediated_end)end) {
	case MEDIATED_EXIT:
		end_with_fault(c, LYCH_FAULT_EXIT);
	case MEDIATED_ABORT:
		end_with_fault(c, LYCH_FAULT_ABORT);
	case MEDIATED_RETURN:
		signal_end_call(c->area, c->frame, 0);
		lych_sigreturn(c->frame);
	case MEDIATED_RESULT:
	case MEDIATED_ALLOC:
		break;
	}
	signal_go_on(c);
}

static _Noreturn void mediate(struct context *c)
{
	struct record *call = signal_top_call(c->thread);
	struct kernel_sigcontext *mc = &c->frame->uc.mc;
	enum mediated_end end = MEDIATED_RESULT;
	struct mediated asked;
	long result = -ENOSYS;

	if (call == NULL) {
		signal_broken();
	}
	asked = signal_asked(c->frame);
	if (call->domain->library == NULL) {
		end = mediator_call(call->domain, c->thread, &asked, &result);
	} else if (!library_quick(call->domain->library, c->thread, &asked, mc, &end, &result)) {
		signal_answer(c);
		result = -ENOMEM; /* too many handlers wait for each other */
	}
	mc->rax = (uint64_t)result;
	signal_answered(c, (int)end);
}

/* A ud2 of the gate: somebody arrived at a site with a view that is not in force there. */
static bool is_forged(const struct context *c)
{
	const struct thread *t = c->thread;

	if (c->sig != SIGILL || !gate_is_trap(c->frame->uc.mc.rip) || signal_top_call(t) == NULL) {
		return false;
	}
	/* A handler of the host above an interrupted call is the host's. */
	return c->domain || t->level == 0 || level_at(t, t->level - 1)->top != t->top ||
	       !level_at(t, t->level - 1)->domain_context;
}

/* The gate found no memory where a thread of a library domain's own has its stack (asm.h). */
static bool is_missing_stack(const struct context *c)
{
	const struct record *top = c->thread->top;
	uint64_t rip = c->frame->uc.mc.rip;

	return rip == (uint64_t)lych_call_word_pku ? top->kind == KIND_CALL
						   : rip == (uint64_t)lych_callback_word_pku && top->kind == KIND_CALLBACK;
}

static _Noreturn void miss_stack(struct context *c)
{
	struct kernel_sigcontext *mc = &c->frame->uc.mc;
	struct thread *t = c->thread;

	if (t->top->kind == KIND_CALL) {
		mc->rip = (uint64_t)lych_call_no_stack_pku;
		signal_go_on(c);
	}
	/* The callback was not begun: it is the domain that has faulted, where it called. */
	((struct slot *)((char *)c->area + t->top->domain->slot))->sp = t->top->slot_sp;
	mc->rsp = t->top->rsp;
	__atomic_store_n(&t->top, t->top - 1, __ATOMIC_SEQ_CST);
	c->domain = true;
	end_with_fault(c, LYCH_FAULT_NONE);
}

/* No signal finds the entry at work: all are blocked there. Only who jumped to it can be interrupted in it. */
static bool is_entry(uint64_t rip)
{
	return within(rip, (const char *)lych_signal_entry_pku, lych_signal_entry_end_pku) ||
	       within(rip, (const char *)lych_signal_entry_soft, lych_signal_entry_end_soft);
}

/* A domain jumped to the entry, on a kernel whose frames prove nothing: what lies there is not looked at. */
static _Noreturn void end_jumper(struct context *c)
{
	siginfo_t info = {.si_signo = SIGILL, .si_code = ILL_ILLOPN};
	struct signal_level *first = level_at(c->thread, 0);

	if (signal_top_call(c->thread) == NULL) {
		signal_broken();
	}
	c->sig = SIGILL;
	c->domain = true;
	/* A whole frame of the kernel's, by which sigreturn knows what there is to restore: the first level has had one
	 * since the thread attached. */
	if (c->level != first && sigframe_copy(c->frame, level_frame_bytes(), first->frame, (uint64_t)first->frame,
					       (uint64_t)first->frame + level_frame_bytes()) != 0) {
		signal_broken();
	}
	c->frame->info = info;
	c->frame->uc.mask = 0;
	signals_own_stack(c->thread, &c->frame->uc.stack);
	end_with_fault(c, LYCH_FAULT_GATE);
}

/* No kernel writes such a frame. Before 6.12 another thread of the domain that was interrupted can: that ends its
 * call. The host's context cannot be had back. */
static _Noreturn void destroyed(struct context *c)
{
	if (ROOT.frames_whole || !c->domain) {
		signal_broken();
	}
	sigframe_repair(c->frame, &c->state->sw);
	end_jumper(c);
}

/* Before 6.12 the mask of a frame can be forged, too. Who has the six blocked ends the process by a system call of a domain,
 * and a domain that has the kick blocked would hear of no deadline. */
static void keep_ours_unblocked(struct context *c)
{
	if (!ROOT.frames_whole) {
		c->frame->uc.mask &= ~SIGNALS_SIX & ~(c->domain ? SIGNAL_BIT(SIGNAL_KICK) : 0);
	}
}

_Noreturn void lych_signal(struct area *area, struct sigframe *kernel_frame, uint32_t selector, int sig)
{
	struct thread *t = &area->thread;
	struct context c = {.area = area, .thread = t, .state = state_of(t),
			    .domain = (selector & SELECTOR_BLOCK) != 0};
	siginfo_t *info;
	bool resuming;

	/* With nlevels in use there is one more, for what cannot wait. */
	c.level = level_at(t, t->level);
	c.frame = c.level->frame;
	if ((selector & SELECTOR_FORGED) != 0) {
		end_jumper(&c);
	}
	if (sigframe_copy(c.frame, level_frame_bytes(), kernel_frame, t->altstack, t->altstack + t->altstack_bytes) !=
	    0) {
		destroyed(&c);
	}
	if (c.state->learning) {
		t->sig_rsp = ROOT.frames_whole ? (uint64_t)kernel_frame : 0;
		c.state->sw = sigframe_sw(c.frame);
		c.state->learning = 0;
	}
	if (!ROOT.frames_whole) {
		struct frame_sw sw = sigframe_sw(c.frame);

		/* More would be registers of an earlier frame. */
		if (sw.xstate_bytes != c.state->sw.xstate_bytes) {
			destroyed(&c);
		}
		sigframe_repair(c.frame, &c.state->sw);
		c.frame->info.si_signo = sig;
	}
	if (!c.domain && is_entry(c.frame->uc.mc.rip)) {
		end_jumper(&c);
	}
	info = &c.frame->info;
	c.sig = info->si_signo;
	if (c.sig < 1 || c.sig > SIGNAL_LAST) {
		destroyed(&c);
	}
	signals_own_stack(t, &c.frame->uc.stack);
	resuming = leave_resume(&c);
	c.domain = c.domain || resuming;
	keep_ours_unblocked(&c);
	if (c.domain) {
		if (signal_top_call(t) == NULL) {
			signal_broken();
		}
		if (!resuming) {
			leave_window(c.frame);
		}
		signals_reclaim_levels(t, signal_top_call(t)->rsp);
	} else {
		start_again(c.frame);
		if (!ROOT.frames_whole) {
			signal_host_rights(t, c.frame);
		}
		signals_reclaim(t, c.frame->uc.mc.rsp);
		signals_notice_left(t, c.frame->uc.mask);
	}
	c.level->soft_pkru = area->gate.soft_pkru;
	c.level->sw = sigframe_sw(c.frame);
	signal_settle_level(&c);
	info = &c.frame->info;

	if (is_kick(info)) {
		signal_follow(&c);
		cancels_follow(t);
		deadlines_follow(t, c.domain);
		signal_go_on(&c);
	}
	if (c.domain && c.sig == SIGSYS && info->si_code == SYS_USER_DISPATCH) {
		mediate(&c);
	}
	if (is_forged(&c)) {
		end_with_fault(&c, LYCH_FAULT_GATE);
	}
	bool fault = (SIGNAL_BIT(c.sig) & SIGNALS_SIX) != 0 && info->si_code > 0;
	if (!c.domain && fault && (c.sig == SIGSEGV || c.sig == SIGBUS) && is_missing_stack(&c)) {
		miss_stack(&c);
	}
	if (!c.domain && ROOT.backend == LYCH_MPROTECT && c.sig == SIGSEGV && info->si_code == SEGV_ACCERR &&
	    backend_mprotect_retry((uint64_t)info->si_addr, c.frame->uc.mc.err)) {
		signal_go_on(&c); /* another thread is in a domain: what is closed meanwhile waits */
	}
	if (c.domain && (SIGNAL_BIT(c.sig) & SIGNALS_SIX) != 0 && (fault || !ROOT.frames_whole)) {
		/* Below 6.12 the domain may have changed what the frame says of the sender. */
		end_with_fault(&c, LYCH_FAULT_NONE);
	}
	signal_deliver(&c, fault);
}
