/* SPDX-License-Identifier: Apache-2.0 */
/* What the host makes of a signal: its handlers, or the default action (signal_context.h). */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "../library/library.h"
#include "../library/mediator.h"
#include "../memory/backend_mprotect.h"
#include "handlers.h"
#include "keys.h"
#include "sigframe.h"
#include "signal_context.h"
#include "thread.h"

#define RED_ZONE 128

static struct slot *slot_of(struct area *area, const struct lych_domain *domain)
{
	return (struct slot *)((char *)area + domain->slot);
}

/* ---- rights of contexts put aside ------------------------------------------------------------ */

/* Rights to vaults are not the host's: before 6.12 a frame can be forged that says otherwise. */
static uint32_t bits_of_vaults(void)
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

/* A system call with a domain's rights: the host's are read anew behind it. */
static bool is_narrow(const struct sigframe *frame)
{
	uint64_t rip = frame->uc.mc.rip;

	return rip >= (uint64_t)lych_view_call_narrow && rip < (uint64_t)lych_view_call_narrow_end;
}

/* There no more are given. */
static uint32_t view_now(const struct sigframe *frame, uint32_t view)
{
	return is_narrow(frame) ? thread_view_less(view) : thread_view(view);
}

void signal_host_rights(const struct thread *t, struct sigframe *frame)
{
	if (ROOT.xsave_pkru != 0) {
		uint32_t never = ROOT.frames_whole ? 0 : bits_of_vaults() & ~t->vault_open;

		sigframe_set_pkru(frame, ROOT.xsave_pkru, view_now(frame, sigframe_pkru(frame, ROOT.xsave_pkru)) | never);
	}
}

void signal_follow(struct context *c)
{
	uint64_t epoch = thread_follow(c->thread);

	if (!c->domain) {
		signal_host_rights(c->thread, c->frame);
	}
	for (uint32_t i = 0; i < c->thread->level; i++) {
		struct signal_level *level = level_at(c->thread, i);

		if (!level->domain_context) {
			signal_host_rights(c->thread, level->frame);
			level->pkru = view_now(level->frame, level->pkru);
		}
	}
	thread_followed(c->thread, epoch);
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
		signal_go_on(c);
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
	signal_go_on(c);
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

	c->level->slot = slot;
	c->level->slot_sp = slot->sp;
	if (c->frame->uc.mc.rsp > slot->low + RED_ZONE && below < slot->sp) {
		slot->sp = below;
	}
}

/*
 * And so where the gate is at work: the words of a call's arguments are on the domain's stack before the domain is entered,
 * and while a callback is begun and ended, r10 is what rsp is in the domain.
 */
static void save_stack_at_work(struct context *c)
{
	struct thread *t = c->thread;
	struct record *call = t->top;
	struct slot *slot;
	uint64_t below, r10 = c->frame->uc.mc.r10, frames = (r10 - RED_ZONE) & ~15ull;

	if (call->kind == KIND_NONE && call > t->records) {
		call--;
	}
	if (call->kind != KIND_CALL || call->domain == NULL) {
		return;
	}
	slot = slot_of(c->area, call->domain);
	below = slot->sp;
	if (call == t->top) {
		below -= (((uint64_t)call->binding->words * 8 + 15) & ~15ull) + 16; /* of which the next frame takes the upper */
	}
	if (gate_holds(c->frame->uc.mc.rip) && r10 > slot->low + RED_ZONE && r10 <= slot->sp && frames < below) {
		below = frames;
	}
	if (below < slot->sp && below > slot->low) {
		c->level->slot = slot;
		c->level->slot_sp = slot->sp;
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

/*
 * With mprotect it is the process that a domain's heap is open for, and its calls that a region is closed for: while a
 * handler runs, as in a callback, its thread is in no domain. The backend's lock cannot be waited for inside
 * lych_signal, as who holds it may wait for this thread to answer a kick; so it is done around the handler, as the
 * host, with only the kick unblocked.
 */
static void soft_handler(int sig, siginfo_t *info, void *context)
{
	struct thread *t = thread_attached();
	const struct signal_level *level = level_at(t, t->level - 1);
	void (*handler)(int, siginfo_t *, void *) = level->handler;
	struct lych_domain *domain = level->top->domain;
	uint64_t most = ~SIGNALS_SIX & ~SIGNAL_BIT(SIGNAL_KICK), mask = 0;

	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &most, &mask, sizeof(mask));
	backend_mprotect_leave();
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	handler(sig, info, context);
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &most, NULL, sizeof(mask));
	/* When the kernel refuses, what the domain finds closed ends its call. */
	(void)backend_mprotect_enter(domain);
}

/* What has to be known when its handler is done. */
static void take_level(struct context *c)
{
	struct signal_level *level = c->level;
	const struct thread *t = c->thread;

	level->sig = (uint32_t)c->sig;
	level->domain_context = c->domain;
	level->top = t->top;
	level->host_mask = t->host_mask;
	level->host_altstack = t->host_altstack;
	level->not_host = c->area->gate.not_host;
	level->pkru = sigframe_pkru(c->frame, ROOT.xsave_pkru);
	level->slot = NULL;
	level->answered = MEDIATED_RESULT;
}

/* Runs as the host; its system calls are the host's own. */
static void answer(int sig, siginfo_t *info, void *at)
{
	struct signal_level *level = at;
	struct mediated asked = signal_asked(level->frame);
	int saved = errno;
	long result = -ENOSYS;

	(void)sig, (void)info;
	level->answered = (uint32_t)library_answer(level->top->domain->library, thread_attached(), &asked,
						   &level->frame->uc.mc, &result);
	level->frame->uc.mc.rax = (uint64_t)result;
	errno = saved;
}

void signal_answer(struct context *c)
{
	static const struct host_action plain;
	struct signal_level *level = c->level;
	struct thread *t = c->thread;
	struct handler_run run;

	/* One is for what cannot wait, and with the last one a handler would have to run with everything blocked. */
	if (t->level + 1 >= t->nlevels) {
		return;
	}
	take_level(c);
	level->shown = level->frame;
	level->mask = c->frame->uc.mask;
	save_domain_stack(c, t->top); /* for handlers that interrupt it and call the domain */
	choose_stack(c, &plain, t->top->rsp);
	t->level++;
	signals_arm(t);
	run = (struct handler_run){.handler = answer,
				   .sig = c->sig,
				   .context = level,
				   .rsp = level->handler_rsp,
				   .mask = &level->mask};
	if (is_pku()) {
		lych_handler_run_pku(&run);
	}
	lych_handler_run_soft(&run);
}

static _Noreturn void run_handler(struct context *c, const struct host_action *action)
{
	struct signal_level *level = c->level;
	struct thread *t = c->thread;
	struct record *call = c->domain ? signal_top_call(t) : NULL;
	uint64_t interrupted = c->frame->uc.mask | t->host_mask;
	uint64_t wanted;
	uint64_t rsp = c->frame->uc.mc.rsp;
	struct handler_run run;

	if (c->domain && call == NULL) {
		signal_broken();
	}
	take_level(c);
	if (c->domain) {
		rsp = call->rsp;
		level->shown = (struct sigframe *)((uint8_t *)level->frame + level_frame_bytes());
		show_the_call(level, call, interrupted);
		save_domain_stack(c, call);
	} else {
		level->shown = level->frame;
		level->frame->uc.mask = interrupted;
		save_stack_at_work(c);
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
	if (c->domain && ROOT.backend == LYCH_MPROTECT) {
		level->handler = run.handler;
		run.handler = soft_handler;
	}
	lych_handler_run_soft(&run);
}

void signal_settle_level(struct context *c)
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
		signals_own_stack(c->thread, &c->frame->uc.stack);
	}
}

_Noreturn void signal_deliver(struct context *c, bool fault)
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
		signal_go_on(c);
	}
	if (none || (fault && (bit & c->thread->host_mask) != 0)) {
		by_default(c, fault, action.handler == SIG_IGN);
	}
	if (c->thread->level >= c->thread->nlevels && !c->domain) {
		signals_reclaim_suspects(c->thread, c->frame->uc.mask);
		signal_settle_level(c);
	}
	if (c->thread->level >= c->thread->nlevels) {
		if (fault) {
			by_default(c, true, false);
		}
		/* Unblocked by a handler that was to run with everything blocked: it waits for that one's end. */
		send_again(c);
		c->frame->uc.mask = ~SIGNALS_SIX;
		signal_go_on(c);
	}
	run_handler(c, &action);
}

/* A handler may change the context it interrupted, but neither what holds the frame together, nor rights to keys of
 * ours. */
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
	signal_host_rights(t, frame);
}

/* What the handler chose for keys of the host ends with it; those of ours may have changed meanwhile. */
static void choice_back(struct gate_page *gate, uint32_t not_host)
{
	uint32_t chosen = ~atomic_load(keys_ours_bits()) & ~VIEW_BITS(0);

	gate->not_host = (gate->not_host & ~chosen) | (not_host & chosen);
}

/* A handler ran above a domain that goes on now. */
static void back_to_domain(const struct record *call)
{
	if (is_pku()) {
		/* The handler had the host's rights, and a vault's memory holds its resume block. */
		lych_pkru_update_pku(VIEW_BITS(call->domain->key), 0);
	}
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
		signal_broken();
	}
	c = (struct context){.area = area, .thread = t, .state = state_of(t), .level = level, .frame = level->frame,
			     .sig = (int)level->sig, .domain = level->domain_context};
	t->host_altstack = level->host_altstack;
	if (level->slot != NULL && t->top == level->top) {
		level->slot->sp = level->slot_sp;
	}
	if (c.domain) {
		if (t->top != level->top || signal_top_call(t) == NULL) {
			signal_broken();
		}
		t->host_mask = level->host_mask;
		back_to_domain(t->top);
	} else {
		take_changes(t, level, &level->sw);
	}
	if (is_pku()) {
		/* A domain's view says nothing of what the host has chosen. */
		choice_back(&area->gate, c.domain || is_narrow(c.frame) ? level->not_host
									 : ~sigframe_pkru(c.frame, ROOT.xsave_pkru));
	}
	signals_own_stack(t, &c.frame->uc.stack);
	signals_raise_pending(t);
	signal_answered(&c, (int)level->answered);
}
