/* SPDX-License-Identifier: Apache-2.0 */
/* Starting with signals, what each thread needs for them, and its mask and alternate stack as the host sees them. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../memory/backend_mprotect.h"
#include "handlers.h"
#include "keys.h"
#include "sigframe.h"
#include "signal_levels.h"
#include "thread.h"

#define MASK_BYTES 8
#define LEVELS_MOST 16 /* one of them for what cannot wait */
#define LEVELS_LEAST 8
#define SMALLEST_ALTSTACK 2048 /* MINSIGSTKSZ of the kernel */

_Static_assert(sizeof(struct signal_state) <= LEVELS_START, "levels start behind it");

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) / to * to;
}

size_t level_frame_bytes(void)
{
	return sigframe_copy_bytes(ROOT.frame_bytes);
}

/* ---- start ------------------------------------------------------------------------------------ */

int signals_start(void)
{
	return handlers_start();
}

void signals_stop(void)
{
	handlers_stop();
}

/* ---- threads ---------------------------------------------------------------------------------- */

void signals_own_stack(const struct thread *t, stack_t *out)
{
	out->ss_sp = (void *)t->altstack;
	out->ss_flags = (int)SS_AUTODISARM_BIT;
	out->ss_size = t->altstack_bytes;
}

void signals_arm(struct thread *t)
{
	stack_t ours = {0};

	signals_own_stack(t, &ours);
	sys2(SYS_sigaltstack, &ours, NULL);
}

void signals_raise_pending(struct thread *t)
{
	struct signal_state *s = state_of(t);

	for (int sig = 1; sig < 32; sig++) {
		uint64_t bit = SIGNAL_BIT(sig);

		if ((s->pending & bit) != 0 && (t->host_mask & bit) == 0) {
			s->pending &= ~bit;
			sys3(SYS_tgkill, sys0(SYS_getpid), sys0(SYS_gettid), sig);
		}
	}
}

/* The stack the thread was started on: a handler there was left when rsp is above it. */
static void find_stack(struct signal_state *s)
{
	pthread_attr_t attr;
	void *low;
	size_t bytes;

	s->stack_low = s->stack_high = 0;
	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		if (pthread_attr_getstack(&attr, &low, &bytes) == 0) {
			s->stack_low = (uint64_t)low;
			s->stack_high = (uint64_t)low + bytes;
		}
		pthread_attr_destroy(&attr);
	}
}

static size_t altstack_bytes(void)
{
	/* Twice: before it takes a stack, the kernel wants to see that the largest frame fits, and alignment. */
	return round_up(2 * (size_t)ROOT.frame_bytes + 1024, LYCH_PAGE);
}

static int make_levels(struct thread *t)
{
	size_t header = round_up(sizeof(struct signal_level), FRAME_ALIGN);
	size_t copy = level_frame_bytes();
	size_t each = header + copy + round_up(SIGFRAME_SHOWN_BYTES, FRAME_ALIGN);
	size_t room = AREA_SIZE - AREA_SIGNALS - altstack_bytes() - LEVELS_START;
	size_t count = room / each < LEVELS_MOST ? room / each : LEVELS_MOST;
	struct signal_state *s;

	if (count < LEVELS_LEAST) {
		return -EOPNOTSUPP; /* frames of a processor that saves more than any we know */
	}
	t->levels = (uint64_t)t->area + AREA_SIGNALS;
	s = state_of(t);
	memset(s, 0, sizeof(*s));
	s->level_bytes = each;
	t->nlevels = (uint32_t)count - 1;
	t->level = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct signal_level *level = level_at(t, i);

		level->frame = (struct sigframe *)((uint8_t *)level + header);
	}
	return 0;
}

static int make_altstack(struct thread *t)
{
	size_t bytes = altstack_bytes();

	if (ROOT.frames_whole) {
		t->altstack = t->area_end - bytes;
	} else {
		/* The frame is written with the rights of whoever is interrupted: ordinary memory. */
		if (bytes > STACK_OLD_BYTES) {
			return -EOPNOTSUPP;
		}
		t->altstack = ROOT.stacks + ((uint64_t)t->area - ROOT.arena) / AREA_SIZE * STACK_OLD_BYTES;
	}
	t->altstack_bytes = bytes;
	return 0;
}

/* One kick to oneself: lych_signal notes what frames are like and, from 6.12 on, where the kernel wrote this one. It
 * always writes there: the top of the stack is fixed, and so is what it saves. The first level has a whole frame from
 * then on. */
static int learn(struct thread *t)
{
	siginfo_t info = {.si_signo = SIGNAL_KICK, .si_code = SI_QUEUE};
	uint64_t kick = SIGNAL_BIT(SIGNAL_KICK);
	uint64_t blocked = 0;

	info.si_pid = (pid_t)sys0(SYS_getpid);
	info.si_uid = (uid_t)sys0(SYS_getuid);
	info.si_value.sival_ptr = (void *)ROOT.kick_cookie;
	state_of(t)->learning = 1;
	if (sys4(SYS_rt_tgsigqueueinfo, info.si_pid, sys0(SYS_gettid), SIGNAL_KICK, &info) != 0) {
		return -ENOMEM; /* RLIMIT_SIGPENDING */
	}
	sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &kick, &blocked, MASK_BYTES);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL, MASK_BYTES);
	/* Without that the entry could not tell where frames lie. */
	return state_of(t)->learning == 0 ? 0 : -EOPNOTSUPP;
}

int signals_attach(struct area *area, uint64_t *mask)
{
	struct thread *t = &area->thread;
	stack_t was = {0};
	uint64_t unused = 0;
	int rc = make_levels(t);

	if (rc == 0) {
		rc = make_altstack(t);
	}
	if (rc != 0) {
		t->levels = 0;
		return rc;
	}
	find_stack(state_of(t));
	sys2(SYS_sigaltstack, NULL, &was);
	memset(&t->host_altstack, 0, sizeof(t->host_altstack));
	if ((was.ss_flags & SS_DISABLE) == 0) {
		t->host_altstack.ss_sp = was.ss_sp;
		t->host_altstack.ss_size = was.ss_size;
		t->host_altstack.ss_flags = was.ss_flags & (int)SS_AUTODISARM_BIT;
	}
	signals_arm(t);
	rc = learn(t);
	if (rc != 0) {
		signals_detach(area, &unused);
		return rc;
	}
	t->host_mask = *mask & SIGNALS_SIX;
	*mask &= ~SIGNALS_SIX & ~SIGNAL_BIT(SIGNAL_KICK);
	return 0;
}

void signals_detach(struct area *area, uint64_t *mask)
{
	struct thread *t = &area->thread;
	stack_t back = t->host_altstack;

	if (t->levels == 0) {
		return;
	}
	if (back.ss_size == 0) {
		back.ss_flags = SS_DISABLE;
	}
	sys2(SYS_sigaltstack, &back, NULL);
	*mask |= t->host_mask;
	t->altstack = t->altstack_bytes = t->sig_rsp = 0;
	t->level = t->nlevels = 0;
	t->levels = 0;
}

void signals_fork_child(struct area *area)
{
	atomic_store(&ROOT.monitor->handlers->lock, 0);
	for (int i = 0; i < DOMAINS_MAX; i++) {
		atomic_store(&ROOT.monitor->handlers->faults[i].reporter, 0);
	}
	if (area != NULL && area->thread.levels != 0) {
		state_of(&area->thread)->pending = 0;
	}
}

/* ---- levels that are not needed any more -------------------------------------------------------- */

static bool on_own_stack(const struct signal_state *s, uint64_t rsp)
{
	return rsp > s->stack_low && rsp <= s->stack_high;
}

/* Its handler was left: the host is above the place where it was started, on the same stack; or not any more on the
 * alternate stack. A handler on a stack of the program's own making is never taken for one that was left. */
static bool was_left(const struct thread *t, const struct signal_level *level, uint64_t rsp)
{
	const struct signal_state *s = state_of(t);

	if (level->handler_top != 0) {
		return rsp > level->handler_rsp || rsp <= level->handler_low;
	}
	return rsp > level->handler_rsp && on_own_stack(s, rsp) && on_own_stack(s, level->handler_rsp);
}

static void drop_record(struct thread *t)
{
	struct record *r = t->top;
	struct gate_page *gate = &area_of_thread(t)->gate;

	if (r->kind == KIND_CALLBACK) {
		((struct slot *)((char *)area_of_thread(t) + r->domain->slot))->sp = r->slot_sp;
	}
	gate->not_view = r->not_view;
	gate->not_caller = r->not_caller;
	r->kind = KIND_NONE;
	t->top = r - 1;
}

static struct record *topmost_call(const struct thread *t)
{
	struct record *r = t->top;

	while (r != NULL && r->kind == KIND_CALLBACK) {
		r--;
	}
	return r != NULL && r->kind == KIND_CALL ? r : NULL;
}

void signals_reclaim_levels(struct thread *t, uint64_t rsp)
{
	while (t->level > 0 && was_left(t, level_at(t, t->level - 1), rsp)) {
		struct signal_level *level = level_at(t, t->level - 1);

		t->host_mask = level->host_mask;
		t->host_altstack = level->host_altstack;
		if (level->slot != NULL && level->top <= t->top && level->top->kind != KIND_BOTTOM) {
			level->slot->sp = level->slot_sp;
		}
		t->level--;
	}
}

unsigned int signals_reclaim(struct thread *t, uint64_t rsp)
{
	const struct signal_state *s = state_of(t);
	unsigned int dropped = 0;
	struct record *call;

	signals_reclaim_levels(t, rsp);
	/* The host runs above the frame that made the call: nothing will return there. */
	while ((call = topmost_call(t)) != NULL && call->rsp < rsp && on_own_stack(s, call->rsp) &&
	       on_own_stack(s, rsp)) {
		do {
			dropped++;
			drop_record(t);
		} while (t->top >= call);
	}
	return dropped;
}

unsigned int signals_forget_left(uint64_t rsp)
{
	struct thread *t = &lych_tls->thread;
	uint64_t all = ~0ull;
	uint64_t mask;
	unsigned int dropped;

	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, MASK_BYTES);
	dropped = signals_reclaim(t, rsp + 1);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES);
	return dropped;
}

int lych_gate_too_deep(uint64_t rsp)
{
	return signals_forget_left(rsp) != 0 ? 0 : -EXFULL;
}

void signals_notice_left(struct thread *t, uint64_t mask)
{
	if (!state_of(t)->marked || (mask & SIGNAL_BIT(SIGNAL_MARK)) != 0) {
		return;
	}
	state_of(t)->marked = 0;
	for (uint32_t i = 0; i < t->level; i++) {
		const struct signal_level *level = level_at(t, i);

		if ((SIGNAL_BIT(level->sig) & SIGNALS_SIX) != 0) {
			t->host_mask = level->host_mask;
			return;
		}
	}
}

void signals_reclaim_suspects(struct thread *t, uint64_t mask)
{
	while (t->level > 0) {
		const struct signal_level *level = level_at(t, t->level - 1);
		uint64_t bit = SIGNAL_BIT(level->sig);

		if ((bit & SIGNALS_SIX) != 0) {
			bit = SIGNAL_BIT(SIGNAL_MARK);
		}
		if ((level->mask & bit) == 0 || (mask & bit) != 0) {
			return;
		}
		t->host_mask = level->host_mask;
		t->level--;
	}
}

/* ---- what the host sees ------------------------------------------------------------------------- */

static uint64_t changed_mask(int how, uint64_t mask, uint64_t set)
{
	switch (how) {
	case SIG_BLOCK:
		return mask | set;
	case SIG_UNBLOCK:
		return mask & ~set;
	default:
		return set;
	}
}

int signals_mask(int how, const uint64_t *set, uint64_t *old, uint64_t rsp)
{
	struct thread *t = &lych_tls->thread;
	uint64_t all = ~0ull;
	uint64_t kernel = 0;
	uint64_t mark;
	uint64_t host;

	if (set != NULL && how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK) {
		return -EINVAL;
	}
	/* Blocked meanwhile: a handler in between would leave the two halves of the mask from different times. */
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &kernel, MASK_BYTES);
	signals_reclaim(t, rsp);
	signals_notice_left(t, kernel);
	mark = kernel & SIGNAL_BIT(SIGNAL_MARK);
	host = (kernel & ~mark) | t->host_mask;
	if (old != NULL) {
		*old = host;
	}
	if (set != NULL) {
		host = changed_mask(how, host, *set);
		t->host_mask = host & SIGNALS_SIX;
		kernel = (host & ~SIGNALS_SIX) | mark;
	}
	signals_raise_pending(t);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &kernel, NULL, MASK_BYTES);
	return 0;
}

int signals_altstack(const stack_t *set, stack_t *old, uint64_t rsp)
{
	stack_t *host = &lych_tls->thread.host_altstack;
	bool on = host->ss_size != 0 && rsp > (uint64_t)host->ss_sp && rsp - (uint64_t)host->ss_sp <= host->ss_size &&
		  ((unsigned int)host->ss_flags & SS_AUTODISARM_BIT) == 0;
	stack_t to = {0};

	if (set != NULL) {
		unsigned int mode = (unsigned int)set->ss_flags & ~SS_AUTODISARM_BIT;

		to = *set;
		to.ss_flags = (int)((unsigned int)set->ss_flags & SS_AUTODISARM_BIT);
		if (on) {
			return -EPERM;
		}
		if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE) {
			return -EINVAL;
		}
		if (mode == SS_DISABLE) {
			to.ss_sp = NULL;
			to.ss_size = 0;
		} else if (to.ss_size < SMALLEST_ALTSTACK) {
			return -ENOMEM;
		}
	}
	if (old != NULL) {
		memset(old, 0, sizeof(*old));
		old->ss_sp = host->ss_sp;
		old->ss_size = host->ss_size;
		old->ss_flags = host->ss_flags | (host->ss_size == 0 ? SS_DISABLE : on ? SS_ONSTACK : 0);
	}
	if (set != NULL) {
		*host = to;
	}
	return 0;
}

/* ---- threads that are not attached ---------------------------------------------------------------- */

/* What a handler has interrupted goes on, with what the thread has become meanwhile: attached (t, else NULL), or poorer.
 * lost: as it was before the handler. All signals are blocked. */
static void behind_handler(struct kernel_ucontext *uc, struct thread *t, const uint32_t lost[KEYS])
{
	if (t != NULL) {
		if ((uc->stack.ss_flags & SS_DISABLE) == 0) {
			t->host_altstack = uc->stack;
		}
		t->host_mask = uc->mask & SIGNALS_SIX;
		uc->mask &= ~SIGNALS_SIX & ~SIGNAL_BIT(SIGNAL_KICK);
		signals_own_stack(t, &uc->stack);
	}
	if (ROOT.xsave_pkru != 0 && ROOT.backend == LYCH_PKU) {
		uint32_t rights = strangers_rights(uc) | strangers_lost_since(lost);

		strangers_set_rights(uc, t != NULL ? keys_host_view(rights) : rights);
	}
}

void lych_signal_unattached(int sig, siginfo_t *info, void *context)
{
	struct kernel_ucontext *uc = context;
	struct kernel_sigaction kernel = {.handler = SIG_DFL, .flags = SA_RESTORER, .restorer = lych_restorer};
	struct host_action action;
	bool attached = thread_attached() != NULL; /* the child of a bare fork */
	uint64_t all = ~0ull;
	uint64_t wanted;
	uint64_t mask;
	uint32_t lost[KEYS];

	if (sig < 1 || sig > SIGNAL_LAST || ROOT.handlers_seen == NULL) {
		return;
	}
	if (strangers_asked(sig, uc)) {
		return;
	}
	if (sig == SIGNAL_KICK && info->si_value.sival_ptr == (void *)ROOT.kick_cookie &&
	    strangers_kicked(info, context)) {
		return;
	}
	if (sig == SIGSEGV && info->si_code == SEGV_PKUERR && thread_attach_at_fault(uc)) {
		return;
	}
	if (sig == SIGSEGV && ROOT.backend == LYCH_MPROTECT && info->si_code == SEGV_ACCERR &&
	    backend_mprotect_retry((uint64_t)info->si_addr, uc->mc.err)) {
		return;
	}
	action = ROOT.handlers_seen[sig];
	if (action.handler == SIG_IGN && info->si_code <= 0) {
		return;
	}
	if (action.handler == SIG_DFL || action.handler == SIG_IGN) {
		if (sig == SIGNAL_KICK) {
			return; /* a kick that came late, for a thread that has detached */
		}
		sys4(SYS_rt_sigaction, sig, &kernel, NULL, MASK_BYTES);
		if (info->si_code <= 0 || sig == SIGTRAP || sig == SIGSYS) {
			sys3(SYS_tgkill, sys0(SYS_getpid), sys0(SYS_gettid), sig);
		}
		return;
	}
	if (sig == SIGNAL_KICK && info->si_value.sival_ptr == (void *)ROOT.kick_cookie && info->si_code != SI_TKILL) {
		return;
	}
	if ((action.flags & SA_RESETHAND) != 0 && (SIGNAL_BIT(sig) & SIGNALS_SIX) == 0) {
		sys4(SYS_rt_sigaction, sig, &kernel, NULL, MASK_BYTES); /* handlers_action will notice */
	}
	handlers_mask(&action, sig, uc->mask, &wanted);
	mask = wanted & ~SIGNAL_BIT(SIGNAL_KICK); /* no domain runs here: the host may block the six */
	strangers_lost(lost);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES);
	((void (*)(int, siginfo_t *, void *))(void (*)(void))action.handler)(sig, info, context);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, MASK_BYTES);
	behind_handler(uc, attached ? NULL : thread_attached(), lost);
}
