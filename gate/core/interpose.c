/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program calls to deal with signals, answered as POSIX and glibc have it, with our entry kept installed and the
 * synchronous six never blocked. Before lych_init, and inside a domain, these are the plain system calls: there the
 * mediator decides.
 *
 * Not interposed, and why: sigsuspend, ppoll, pselect and epoll_pwait set their mask only while they wait, and no
 * domain runs then; sigwait and its kin take signals that are blocked, which the six never are.
 */
#include <string.h>
#include <sys/syscall.h>

#include "handlers.h"
#include "thread.h"

#define MASK_BYTES 8
#define EXPORTED __attribute__((visibility("default")))
#define INTERNAL_SIGNALS (SIGNAL_BIT(SIGNAL_CANCEL) | SIGNAL_BIT(SIGNAL_KICK))

/* glibc leaves these out of its headers, or marks them as obsolete. */
int sigaction(int sig, const struct sigaction *new, struct sigaction *old);
__sighandler_t bsd_signal(int sig, __sighandler_t handler);
__sighandler_t __sysv_signal(int sig, __sighandler_t handler);
__sighandler_t ssignal(int sig, __sighandler_t handler);
__sighandler_t sigset(int sig, __sighandler_t handler);
int sighold(int sig);
int sigrelse(int sig);
int sigignore(int sig);
int siginterrupt(int sig, int interrupt);
int sigblock(int mask);
int sigsetmask(int mask);
int siggetmask(void);

static _Atomic uint64_t interrupted_by; /* signals siginterrupt was called for: signal() leaves SA_RESTART out */

static int failed(long rc)
{
	if (rc < 0) {
		errno = (int)-rc;
		return -1;
	}
	return 0;
}

/* In a domain nothing of the monitor can be read; the selector can. */
static bool plain(void)
{
	return ROOT.ready == 0 || (lych_tls != NULL && lych_tls->gate.selector == SELECTOR_BLOCK);
}

static int action_plain(int sig, const struct host_action *new, struct host_action *old)
{
	struct kernel_sigaction to = {0};
	struct kernel_sigaction was;
	long rc;

	if (new != NULL) {
		to = (struct kernel_sigaction){new->handler, new->flags | SA_RESTORER, lych_restorer, new->mask};
	}
	rc = sys4(SYS_rt_sigaction, sig, new != NULL ? &to : NULL, old != NULL ? &was : NULL, MASK_BYTES);
	if (rc == 0 && old != NULL) {
		*old = (struct host_action){was.handler, was.flags & ~(uint64_t)SA_RESTORER, was.mask};
	}
	return (int)rc;
}

static int action(int sig, const struct host_action *new, struct host_action *old)
{
	struct thread *self;
	int rc;

	if (sig == SIGNAL_CANCEL || sig == SIGNAL_KICK) {
		return -EINVAL;
	}
	if (plain()) {
		return action_plain(sig, new, old);
	}
	rc = thread_self(&self);
	return rc != 0 ? rc : handlers_action(sig, new, old);
}

/* Into the frame of who called the exported function. */
#define CALLERS_RSP ((uint64_t)__builtin_frame_address(0) + 16)

static int mask_change(int how, const uint64_t *set, uint64_t *old, uint64_t rsp)
{
	uint64_t kept;

	if (set != NULL) {
		kept = *set & ~INTERNAL_SIGNALS;
		set = &kept;
	}
	if (plain() || lych_tls == NULL) {
		return (int)sys4(SYS_rt_sigprocmask, how, set, old, MASK_BYTES);
	}
	return signals_mask(how, set, old, rsp);
}

EXPORTED int sigaction(int sig, const struct sigaction *new, struct sigaction *old)
{
	struct host_action to;
	struct host_action was;
	int rc;

	if (new != NULL) {
		to.handler = new->sa_handler;
		to.flags = (uint32_t)new->sa_flags & ~(uint32_t)SA_RESTORER;
		memcpy(&to.mask, &new->sa_mask, MASK_BYTES);
	}
	rc = action(sig, new != NULL ? &to : NULL, old != NULL ? &was : NULL);
	if (rc == 0 && old != NULL) {
		memset(old, 0, sizeof(*old));
		old->sa_handler = was.handler;
		old->sa_flags = (int)was.flags;
		memcpy(&old->sa_mask, &was.mask, MASK_BYTES);
	}
	return failed(rc);
}

static __sighandler_t install(int sig, __sighandler_t handler, uint64_t flags, uint64_t mask)
{
	struct host_action to = {handler, flags, mask};
	struct host_action was;
	int rc;

	if (handler == SIG_ERR || sig < 1 || sig > SIGNAL_LAST) {
		errno = EINVAL;
		return SIG_ERR;
	}
	rc = action(sig, &to, &was);
	return failed(rc) == 0 ? was.handler : SIG_ERR;
}

EXPORTED __sighandler_t signal(int sig, __sighandler_t handler)
{
	uint64_t restart = SA_RESTART;

	if (sig < 1 || sig > SIGNAL_LAST) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if ((atomic_load_explicit(&interrupted_by, memory_order_relaxed) & SIGNAL_BIT(sig)) != 0) {
		restart = 0;
	}
	return install(sig, handler, restart, SIGNAL_BIT(sig));
}

EXPORTED __sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

EXPORTED __sighandler_t ssignal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

EXPORTED __sighandler_t __sysv_signal(int sig, __sighandler_t handler)
{
	return install(sig, handler, (uint64_t)SA_RESETHAND | SA_NODEFER, 0);
}

EXPORTED __sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
	return __sysv_signal(sig, handler);
}

EXPORTED int siginterrupt(int sig, int interrupt)
{
	struct host_action now;
	int rc;

	if (sig < 1 || sig > SIGNAL_LAST) {
		errno = EINVAL;
		return -1;
	}
	rc = action(sig, NULL, &now);
	if (rc != 0) {
		return failed(rc);
	}
	if (interrupt) {
		atomic_fetch_or(&interrupted_by, SIGNAL_BIT(sig));
		now.flags &= ~(uint64_t)SA_RESTART;
	} else {
		atomic_fetch_and(&interrupted_by, ~SIGNAL_BIT(sig));
		now.flags |= SA_RESTART;
	}
	return failed(action(sig, &now, NULL));
}

static int set_mask(int how, const sigset_t *set, sigset_t *old, uint64_t rsp)
{
	uint64_t to = 0;
	uint64_t was = 0;
	int rc;

	if (set != NULL) {
		memcpy(&to, set, MASK_BYTES);
	}
	rc = mask_change(how, set != NULL ? &to : NULL, old != NULL ? &was : NULL, rsp);
	if (rc == 0 && old != NULL) {
		/* glibc leaves the rest of *old as it is, too. */
		memcpy(old, &was, MASK_BYTES);
	}
	return rc;
}

EXPORTED int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return -set_mask(how, set, old, CALLERS_RSP);
}

EXPORTED int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return failed(set_mask(how, set, old, CALLERS_RSP));
}

static int hold(int how, int sig, uint64_t rsp)
{
	uint64_t bit;

	if (sig < 1 || sig > SIGNAL_LAST) {
		errno = EINVAL;
		return -1;
	}
	bit = SIGNAL_BIT(sig);
	return failed(mask_change(how, &bit, NULL, rsp));
}

EXPORTED int sighold(int sig)
{
	return hold(SIG_BLOCK, sig, CALLERS_RSP);
}

EXPORTED int sigrelse(int sig)
{
	return hold(SIG_UNBLOCK, sig, CALLERS_RSP);
}

EXPORTED int sigignore(int sig)
{
	return install(sig, SIG_IGN, 0, 0) == SIG_ERR ? -1 : 0;
}

EXPORTED __sighandler_t sigset(int sig, __sighandler_t handler)
{
	struct host_action was;
	uint64_t bit;
	uint64_t mask;
	int rc;

	if (handler == SIG_ERR || sig < 1 || sig > SIGNAL_LAST) {
		errno = EINVAL;
		return SIG_ERR;
	}
	bit = SIGNAL_BIT(sig);
	if (handler == SIG_HOLD) {
		rc = mask_change(SIG_BLOCK, &bit, &mask, CALLERS_RSP);
		if (rc == 0 && (mask & bit) != 0) {
			return SIG_HOLD;
		}
		if (rc == 0) {
			rc = action(sig, NULL, &was);
		}
		return failed(rc) == 0 ? was.handler : SIG_ERR;
	}
	rc = action(sig, &(struct host_action){handler, 0, 0}, &was);
	if (rc == 0) {
		rc = mask_change(SIG_UNBLOCK, &bit, &mask, CALLERS_RSP);
	}
	if (rc != 0) {
		failed(rc);
		return SIG_ERR;
	}
	return (mask & bit) != 0 ? SIG_HOLD : was.handler;
}

/* The 32 signals of BSD's masks. */
static int bsd_mask(int how, const int *mask, uint64_t rsp)
{
	uint64_t to = mask != NULL ? (uint32_t)*mask : 0;
	uint64_t was = 0;

	return failed(mask_change(how, mask != NULL ? &to : NULL, &was, rsp)) == 0 ? (int)(uint32_t)was : -1;
}

EXPORTED int sigblock(int mask)
{
	return bsd_mask(SIG_BLOCK, &mask, CALLERS_RSP);
}

EXPORTED int sigsetmask(int mask)
{
	return bsd_mask(SIG_SETMASK, &mask, CALLERS_RSP);
}

EXPORTED int siggetmask(void)
{
	return bsd_mask(SIG_BLOCK, NULL, CALLERS_RSP);
}

EXPORTED int sigaltstack(const stack_t *new, stack_t *old)
{
	if (plain() || lych_tls == NULL) {
		return failed(sys2(SYS_sigaltstack, new, old));
	}
	return failed(signals_altstack(new, old, (uint64_t)__builtin_frame_address(0)));
}
