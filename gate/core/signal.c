/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a signal (signal.h).
 *
 * Everything here runs on the monitor's stack, with all rights and all signals blocked: a fault in this file ends the
 * process, as the kernel does not deliver a blocked synchronous signal. Nothing is read through the kernel's frame but by
 * sigframe_copy; what decides is the copy, the selector, and the records.
 */
#include "signal.h"

#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "../library/mediator.h"
#include "../memory/memory.h"
#include "handlers.h"
#include "keys.h"
#include "sigframe.h"
#include "signal_levels.h"
#include "thread.h"

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif
#define RED_ZONE 128

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
static _Noreturn void broken(void)
{
	__builtin_trap();
}

static bool within(uint64_t at, const char *start, const char *end)
{
	return at >= (uint64_t)start && at < (uint64_t)end;
}

static bool is_pku(void)
{
	return ROOT.backend == LYCH_PKU;
}

static struct record *top_call(const struct thread *t)
{
	return t->top != NULL && t->top->kind == KIND_CALL ? t->top : NULL;
}

static uint64_t now_ns(void)
{
	struct timespec ts = {0};

	sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct slot *slot_of(struct area *area, const struct lych_domain *domain)
{
	return (struct slot *)((char *)area + domain->slot);
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
	struct record *call = top_call(&area->thread);

	if (call == NULL) {
		broken();
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
static int must_end(struct area *area, struct record *call)
{
	int canceled = atomic_load(&call->cancel);

	if (atomic_load(&call->domain->id) != call->call_id) {
		return -ECANCELED; /* poisoned: what happened was noted by whoever did it */
	}
	if (canceled != 0) {
		fault_note(area, NULL, LYCH_FAULT_CANCELED);
		return canceled;
	}
	if (call->deadline_ns != 0 && now_ns() >= call->deadline_ns) {
		fault_note(area, NULL, LYCH_FAULT_DEADLINE);
		domain_poison(call->domain, atomic_load(&area->thread.tid));
		return -ETIMEDOUT;
	}
	return 0;
}

/* The domain's context goes on with the domain's rights: the registers that lych_resume needs for itself travel in memory of
 * the domain, the others in the frame. */
static void resume_domain(struct context *c)
{
	struct record *call = top_call(c->thread);
	struct kernel_sigcontext *mc = &c->frame->uc.mc;
	struct resume_block *block;

	if (call == NULL) {
		broken();
	}
	block = memory_resume_block(call->domain, c->thread);
	if (block == NULL) {
		broken();
	}
	*block = (struct resume_block){.rcx = mc->rcx, .rdx = mc->rdx, .rax = mc->rax, .rip = mc->rip, .cs = mc->cs,
				       .rflags = mc->rflags, .rsp = mc->rsp, .ss = FRAME_SS};
	mc->rax = (uint64_t)block;
	mc->rip = (uint64_t)(is_pku() ? lych_resume_pku : lych_resume_soft);
	mc->rcx = mc->rdx = 0;
	mc->rflags = FRAME_RFLAGS;
	mc->cs = FRAME_CS;
	mc->ss = FRAME_SS;
	sigframe_set_pkru(c->frame, ROOT.xsave_pkru, 0);
	area_of_thread(c->thread)->gate.soft_pkru = 0;
}

/* Whatever the signal was, it has been dealt with. */
static _Noreturn void go_on(struct context *c)
{
	if (c->domain) {
		struct record *call = top_call(c->thread);
		int status;

		if (call == NULL) {
			broken();
		}
		status = must_end(c->area, call);
		if (status != 0) {
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
	struct record *call = top_call(c->thread);

	if (call == NULL) {
		broken();
	}
	fault_note(c->area, c->frame, kind);
	domain_poison(call->domain, atomic_load(&c->thread->tid));
	signal_end_call(c->area, c->frame, -EFAULT);
	lych_sigreturn(c->frame);
}

/* ---- rights of contexts put aside ------------------------------------------------------------ */

/* Rights to vaults are never the host's: before 6.12 a frame can be forged that says otherwise. */
static uint32_t never_of_host(void)
{
	uint32_t bits = 0;

	for (int i = 0; i < DOMAINS_MAX; i++) {
		const struct lych_domain *d = &ROOT.monitor->domains[i];

		if (d->kind == LYCH_KIND_VAULT && atomic_load(&d->state) != DOMAIN_FREE) {
			bits |= VIEW_BITS(d->key);
		}
	}
	return bits;
}

static void host_rights(struct sigframe *frame, uint32_t more)
{
	if (ROOT.xsave_pkru != 0) {
		sigframe_set_pkru(frame, ROOT.xsave_pkru,
				  thread_view(sigframe_pkru(frame, ROOT.xsave_pkru)) | more);
	}
}

/* A shoot-down reaches the contexts that wait for a handler to return, too. */
static void follow(struct context *c)
{
	thread_follow(c->thread);
	if (!c->domain) {
		host_rights(c->frame, 0);
	}
	for (uint32_t i = 0; i < c->thread->level; i++) {
		struct signal_level *level = level_at(c->thread, i);

		if (!level->domain_context) {
			host_rights(level->frame, 0);
			level->pkru = thread_view(level->pkru);
		}
	}
}

/* ---- the host's handlers ---------------------------------------------------------------------- */

static void send_again(struct context *c)
{
	sys3(SYS_tgkill, sys0(SYS_getpid), sys0(SYS_gettid), c->sig);
}

static void append(char *line, size_t *length, const char *text)
{
	while (*text != '\0' && *length < 150) {
		line[(*length)++] = *text++;
	}
}

static void append_number(char *line, size_t *length, uint64_t value, unsigned int base)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	append(line, length, base == 16 ? "0x" : "");
	append(line, length, digits + at);
}

static void report_host_fault(const struct context *c)
{
	char line[160];
	size_t length = 0;

	append(line, &length, "lychgate: signal ");
	append_number(line, &length, (uint64_t)c->sig, 10);
	append(line, &length, " in the host, at instruction ");
	append_number(line, &length, c->frame->uc.mc.rip, 16);
	append(line, &length, ", address ");
	append_number(line, &length, (uint64_t)c->frame->info.si_addr, 16);
	line[length++] = '\n';
	sys3(SYS_write, 2, line, length);
}

/* The kernel's default action, which for the six ends the process. A fault that starts again when its instruction does
 * happens once more, so that a core file shows it where it was. */
static _Noreturn void by_default(struct context *c, bool fault, bool ignored)
{
	uint64_t bit = SIGNAL_BIT(c->sig);

	if (!fault && ignored) {
		go_on(c);
	}
	if ((bit & SIGNALS_SIX) != 0 || c->sig == SIGNAL_KICK) { /* the kernel has our entry, not the default */
		handlers_default_in_kernel(c->sig);
	}
	if (!fault || c->sig == SIGTRAP || c->sig == SIGSYS) {
		send_again(c);
	}
	if (fault) {
		c->frame->uc.mask &= ~bit;
	}
	go_on(c);
}

/* As if interrupted where the caller called the gate: nothing in it is the domain's. */
static void show_the_call(struct signal_level *level, const struct record *call, uint64_t mask)
{
	struct sigframe *shown = level->shown;
	struct kernel_sigcontext *mc = &shown->uc.mc;

	sigframe_make(shown, &level->frame->info, call->fcw, call->mxcsr);
	mc->rip = *(const uint64_t *)call->rsp;
	mc->rsp = call->rsp + 8;
	mc->rbx = call->rbx;
	mc->rbp = call->rbp;
	mc->r12 = call->r12;
	mc->r13 = call->r13;
	mc->r14 = call->r14;
	mc->r15 = call->r15;
	shown->uc.mask = mask;
}

/* Calls that the handler makes into the domain it interrupted must not land on that domain's frames. */
static void save_domain_stack(struct context *c, const struct record *call)
{
	struct slot *slot = slot_of(c->area, call->domain);
	uint64_t below = (c->frame->uc.mc.rsp - RED_ZONE) & ~15ull;

	c->level->slot_sp = slot->sp;
	if (c->frame->uc.mc.rsp > slot->low + RED_ZONE && below < slot->sp) {
		slot->sp = below;
	}
}

static bool on_stack(const stack_t *stack, uint64_t rsp)
{
	return stack->ss_size != 0 && rsp > (uint64_t)stack->ss_sp && rsp - (uint64_t)stack->ss_sp <= stack->ss_size;
}

static void choose_stack(struct context *c, const struct host_action *action, uint64_t rsp)
{
	struct signal_level *level = c->level;
	stack_t *alt = &c->thread->host_altstack;
	bool on = on_stack(alt, rsp);

	rsp -= RED_ZONE;
	level->handler_low = level->handler_top = 0;
	if ((action->flags & SA_ONSTACK) != 0 && alt->ss_size != 0 && !on) {
		rsp = (uint64_t)alt->ss_sp + alt->ss_size;
		on = true;
	}
	if (on) {
		level->handler_low = (uint64_t)alt->ss_sp;
		level->handler_top = (uint64_t)alt->ss_sp + alt->ss_size;
		if (((unsigned int)alt->ss_flags & SS_AUTODISARM_BIT) != 0) {
			memset(alt, 0, sizeof(*alt));
		}
	}
	level->handler_rsp = rsp & ~15ull;
}

static _Noreturn void run_handler(struct context *c, const struct host_action *action)
{
	struct signal_level *level = c->level;
	struct thread *t = c->thread;
	struct record *call = c->domain ? top_call(t) : NULL;
	uint64_t interrupted = c->frame->uc.mask | t->host_mask;
	uint64_t wanted;
	uint64_t rsp = c->frame->uc.mc.rsp;
	struct handler_run run;

	if (c->domain && call == NULL) {
		broken();
	}
	level->sig = (uint32_t)c->sig;
	level->domain_context = c->domain;
	level->top = t->top;
	level->host_mask = t->host_mask;
	level->host_altstack = t->host_altstack;
	level->pkru = sigframe_pkru(c->frame, ROOT.xsave_pkru);
	if (c->domain) {
		rsp = call->rsp;
		level->shown = (struct sigframe *)((uint8_t *)level->frame + level_frame_bytes());
		show_the_call(level, call, interrupted);
		save_domain_stack(c, call);
	} else {
		level->shown = level->frame;
		level->frame->uc.mask = interrupted;
	}
	level->shown->uc.stack = t->host_altstack;
	level->mask = handlers_mask(action, c->sig, interrupted, &wanted);
	t->host_mask = wanted & SIGNALS_SIX;
	if (t->level + 1 >= t->nlevels) {
		/* No other signal can be put aside: only what a fault makes comes before this handler is done. */
		level->mask = ~SIGNALS_SIX;
	}
	if ((SIGNAL_BIT(c->sig) & SIGNALS_SIX) != 0) {
		level->mask |= SIGNAL_BIT(SIGNAL_MARK);
		c->state->marked = 1;
	}
	choose_stack(c, action, rsp);
	if ((action->flags & SA_RESETHAND) != 0) {
		handlers_reset(c->sig, action->handler);
	}
	t->level++;
	/* The kernel has disarmed the stack; it must be armed before anything is unblocked. */
	signals_arm(t);
	run = (struct handler_run){.handler = (void (*)(int, siginfo_t *, void *))(void (*)(void))action->handler,
				   .sig = c->sig,
				   .info = &level->shown->info,
				   .context = &level->shown->uc,
				   .rsp = level->handler_rsp,
				   .mask = &level->mask};
	if (is_pku()) {
		lych_handler_run_pku(&run);
	}
	lych_handler_run_soft(&run);
}

/* Levels were freed below the one the frame was copied to. */
static void settle_level(struct context *c)
{
	struct signal_level *level = level_at(c->thread, c->thread->level);

	if (level != c->level) {
		uint32_t soft = c->level->soft_pkru;

		sigframe_copy(level->frame, level_frame_bytes(), c->frame, (uint64_t)c->frame,
			      (uint64_t)c->frame + level_frame_bytes());
		c->level = level;
		c->frame = level->frame;
		level->soft_pkru = soft;
		level->sw = sigframe_sw(c->frame);
		signals_frame_stack(c->thread, c->frame);
	}
}

static _Noreturn void deliver(struct context *c, bool fault)
{
	struct host_action action;
	uint64_t bit = SIGNAL_BIT(c->sig);
	bool none;

	handlers_get(ROOT.monitor->handlers, c->sig, &action);
	none = action.handler == SIG_DFL || action.handler == SIG_IGN;
	if (fault && ROOT.report_host_faults) {
		report_host_fault(c);
	}
	if (!fault && (bit & SIGNALS_SIX & c->thread->host_mask) != 0) {
		c->state->pending |= bit;
		go_on(c);
	}
	if (none || (fault && (bit & c->thread->host_mask) != 0)) {
		by_default(c, fault, action.handler == SIG_IGN);
	}
	if (c->thread->level >= c->thread->nlevels && !c->domain) {
		signals_reclaim_suspects(c->thread, c->frame->uc.mask);
		settle_level(c);
	}
	if (c->thread->level >= c->thread->nlevels) {
		if (fault) {
			by_default(c, true, false);
		}
		/* Unblocked by a handler that was to run with everything blocked: it waits for that one's end. */
		send_again(c);
		c->frame->uc.mask = ~SIGNALS_SIX;
		go_on(c);
	}
	run_handler(c, &action);
}

/* A handler may change the context it interrupted, but neither what holds the frame together, nor rights to keys of ours. */
static void take_changes(struct thread *t, struct signal_level *level, const struct frame_sw *sw)
{
	struct sigframe *frame = level->frame;
	uint32_t pkru;

	sigframe_repair(frame, sw);
	t->host_mask = frame->uc.mask & SIGNALS_SIX;
	frame->uc.mask &= ~SIGNALS_SIX & ~SIGNAL_BIT(SIGNAL_KICK);
	pkru = sigframe_pkru(frame, ROOT.xsave_pkru);
	for (int key = 0; key < KEYS && pkru != level->pkru; key++) {
		char owner[32] = "";

		if ((pkru ^ level->pkru) & VIEW_BITS(key)) {
			keys_owner_name(key, owner, sizeof(owner));
			if (key != 0 && owner[0] != '\0') {
				pkru = (pkru & ~VIEW_BITS(key)) | (level->pkru & VIEW_BITS(key));
			}
		}
	}
	sigframe_set_pkru(frame, ROOT.xsave_pkru, pkru);
	host_rights(frame, 0);
}

_Noreturn void lych_signal_done(struct area *area, uint64_t rsp)
{
	struct thread *t = &area->thread;
	struct signal_level *level = NULL;
	struct context c;

	/* Levels above were left by siglongjmp. */
	while (t->level > 0) {
		level = level_at(t, t->level - 1);
		t->level--;
		if (level->handler_rsp == rsp) {
			break;
		}
		level = NULL;
	}
	if (level == NULL) {
		broken();
	}
	c = (struct context){.area = area, .thread = t, .state = state_of(t), .level = level, .frame = level->frame,
			     .sig = (int)level->sig, .domain = level->domain_context};
	t->host_altstack = level->host_altstack;
	if (c.domain) {
		if (t->top != level->top || top_call(t) == NULL) {
			broken();
		}
		slot_of(area, t->top->domain)->sp = level->slot_sp;
		t->host_mask = level->host_mask;
	} else {
		take_changes(t, level, &level->sw);
	}
	signals_frame_stack(t, c.frame);
	signals_raise_pending(t);
	go_on(&c);
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
	struct record *call = top_call(c->thread);
	struct resume_block *block;

	if (!within(mc->rip, lych_resume_pku, lych_resume_pku_end) &&
	    !within(mc->rip, lych_resume_soft, lych_resume_soft_end)) {
		return false;
	}
	block = call != NULL ? memory_resume_block(call->domain, c->thread) : NULL;
	if (block == NULL) {
		return false;
	}
	mc->rcx = block->rcx;
	mc->rdx = block->rdx;
	mc->rax = block->rax;
	mc->rip = block->rip;
	mc->cs = (uint16_t)block->cs;
	mc->rflags = block->rflags;
	mc->rsp = block->rsp;
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

static _Noreturn void mediate(struct context *c)
{
	struct record *call = top_call(c->thread);
	struct kernel_sigcontext *mc = &c->frame->uc.mc;
	struct mediated asked;
	long result = -ENOSYS;

	if (call == NULL) {
		broken();
	}
	asked = (struct mediated){.nr = c->frame->info.si_syscall,
				  .arg = {mc->rdi, mc->rsi, mc->rdx, mc->r10, mc->r8, mc->r9},
				  .arch = c->frame->info.si_arch,
				  .rip = mc->rip,
				  .mask = c->frame->uc.mask};
	switch (mediator_call(call->domain, c->thread, &asked, &result)) {
	case MEDIATED_EXIT:
		end_with_fault(c, LYCH_FAULT_EXIT);
	case MEDIATED_ABORT:
		end_with_fault(c, LYCH_FAULT_ABORT);
	case MEDIATED_RESULT:
	case MEDIATED_ALLOC:
		break;
	}
	mc->rax = (uint64_t)result;
	go_on(c);
}

/* A ud2 of the gate: somebody arrived at a site with a view that is not in force there. */
static bool is_forged(const struct context *c)
{
	const struct thread *t = c->thread;

	if (c->sig != SIGILL || !gate_is_trap(c->frame->uc.mc.rip) || top_call(t) == NULL) {
		return false;
	}
	/* A handler of the host above an interrupted call is the host's. */
	return c->domain || t->level == 0 || level_at(t, t->level - 1)->top != t->top ||
	       !level_at(t, t->level - 1)->domain_context;
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

	if (top_call(c->thread) == NULL) {
		broken();
	}
	c->sig = SIGILL;
	c->domain = true;
	/* A whole frame of the kernel's, by which sigreturn knows what there is to restore: the first level has had one
	 * since the thread attached. */
	if (c->level != first && sigframe_copy(c->frame, level_frame_bytes(), first->frame, (uint64_t)first->frame,
					       (uint64_t)first->frame + level_frame_bytes()) != 0) {
		broken();
	}
	c->frame->info = info;
	c->frame->uc.mask = 0;
	signals_frame_stack(c->thread, c->frame);
	end_with_fault(c, LYCH_FAULT_GATE);
}

/* No kernel writes such a frame. Before 6.12 another thread of the domain that was interrupted can: that ends its call. The
 * host's context cannot be had back. */
static _Noreturn void destroyed(struct context *c)
{
	if (ROOT.frames_whole || !c->domain) {
		broken();
	}
	end_jumper(c);
}

_Noreturn void lych_signal(struct area *area, struct sigframe *kernel_frame, uint32_t selector)
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
	if (sigframe_copy(c.frame, level_frame_bytes(), kernel_frame, t->altstack, t->altstack + t->altstack_bytes) != 0) {
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
	}
	if (!c.domain && is_entry(c.frame->uc.mc.rip)) {
		end_jumper(&c);
	}
	info = &c.frame->info;
	c.sig = info->si_signo;
	if (c.sig < 1 || c.sig > SIGNAL_LAST) {
		destroyed(&c);
	}
	signals_frame_stack(t, c.frame);
	resuming = leave_resume(&c);
	c.domain = c.domain || resuming;
	if (c.domain) {
		if (top_call(t) == NULL) {
			broken();
		}
		if (!resuming) {
			leave_window(c.frame);
		}
		signals_reclaim_levels(t, top_call(t)->rsp);
	} else {
		start_again(c.frame);
		if (!ROOT.frames_whole) {
			host_rights(c.frame, never_of_host());
		}
		signals_reclaim(t, c.frame->uc.mc.rsp);
		signals_notice_left(t, c.frame->uc.mask);
	}
	c.level->soft_pkru = area->gate.soft_pkru;
	c.level->sw = sigframe_sw(c.frame);
	settle_level(&c);
	info = &c.frame->info;

	if (is_kick(info)) {
		follow(&c);
		deadlines_follow(t, c.domain);
		go_on(&c);
	}
	if (c.domain && c.sig == SIGSYS && info->si_code == SYS_USER_DISPATCH) {
		mediate(&c);
	}
	if (is_forged(&c)) {
		end_with_fault(&c, LYCH_FAULT_GATE);
	}
	bool fault = (SIGNAL_BIT(c.sig) & SIGNALS_SIX) != 0 && info->si_code > 0;
	if (c.domain && (SIGNAL_BIT(c.sig) & SIGNALS_SIX) != 0 && (fault || !ROOT.frames_whole)) {
		/* Below 6.12 the domain may have changed what the frame says of the sender. */
		end_with_fault(&c, LYCH_FAULT_NONE);
	}
	deliver(&c, fault);
}
