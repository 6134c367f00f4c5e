/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>

#include "policy.h"

#define X32_BIT 0x40000000L
#define CLOCK_LAST 11 /* CLOCK_TAI. Negative ones name processes, threads and devices */
#define GETRANDOM_FLAGS 7U
#define SIGNAL_LAST 64
#define BIT(n) (1ULL << (n))

/* The whole of what is answered. Whatever is not here is refused. */
static const struct row {
	uint16_t nr;
	uint8_t action;
} table[] = {
	{SYS_write, POLICY_WRITE},
	{SYS_writev, POLICY_WRITEV},
	{SYS_brk, POLICY_BREAK},
	{SYS_rt_sigprocmask, POLICY_MASK},
	{SYS_sched_yield, POLICY_ASK},
	{SYS_getpid, POLICY_ASK},
	{SYS_gettid, POLICY_ASK},
	{SYS_getuid, POLICY_ASK},
	{SYS_geteuid, POLICY_ASK},
	{SYS_getgid, POLICY_ASK},
	{SYS_getegid, POLICY_ASK},
	{SYS_exit, POLICY_EXIT},
	{SYS_exit_group, POLICY_EXIT},
	{SYS_kill, POLICY_ABORT},
	{SYS_tkill, POLICY_ABORT},
	{SYS_tgkill, POLICY_ABORT},
	{SYS_gettimeofday, POLICY_CLOCK},
	{SYS_time, POLICY_CLOCK},
	{SYS_clock_gettime, POLICY_CLOCK},
	{SYS_clock_getres, POLICY_CLOCK},
	{SYS_getrandom, POLICY_RANDOM},
	{SYS_futex, POLICY_FUTEX},
	{SYS_nanosleep, POLICY_SLEEP},
	{SYS_clock_nanosleep, POLICY_SLEEP},
	{SYS_getrusage, POLICY_TELL},
	{SYS_sysinfo, POLICY_TELL},
	{SYS_uname, POLICY_TELL},
	{SYS_times, POLICY_TELL},
	{SYS_getcpu, POLICY_TELL},
};

static enum policy_action find(long nr)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].nr == nr) {
			return table[i].action;
		}
	}
	return POLICY_REFUSE;
}

bool policy_openable(long nr)
{
	return find(nr) >= POLICY_SLEEP;
}

bool policy_foreign(const struct mediated *call)
{
	return call->arch != AUDIT_ARCH_X86_64 || (call->nr >= 0 && (call->nr & X32_BIT));
}

static struct policy_decision refuse(int err)
{
	return (struct policy_decision){.action = POLICY_REFUSE, .err = err};
}

/* A number that some kernel has: refused as forbidden, not as unknown. */
static bool known(long nr)
{
	return (nr >= 0 && nr <= 334) || (nr >= 424 && nr <= 470);
}

bool policy_deadly(int sig)
{
	const uint64_t others = BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(22) | BIT(23) | BIT(28) |
				BIT(32) | BIT(33); /* CHLD CONT STOP TSTP TTIN TTOU URG WINCH */

	return sig == SIGNAL_LAST || (sig > 0 && sig < SIGNAL_LAST && !(others & BIT(sig)));
}

/* The kernel takes int arguments from the low half of a register. */
static int low(uint64_t arg)
{
	return (int)(uint32_t)arg;
}

static struct policy_decision decide_kill(const struct mediated *call, const struct policy_self *self)
{
	bool itself;
	int sig;

	switch (call->nr) {
	case SYS_kill:
		itself = low(call->arg[0]) == self->pid;
		sig = low(call->arg[1]);
		break;
	case SYS_tkill:
		itself = low(call->arg[0]) == self->tid;
		sig = low(call->arg[1]);
		break;
	default:
		itself = low(call->arg[0]) == self->pid && low(call->arg[1]) == self->tid;
		sig = low(call->arg[2]);
		break;
	}
	if (!itself) {
		return refuse(EPERM);
	}
	if (sig == 0) {
		return (struct policy_decision){.action = POLICY_ZERO};
	}
	if (sig < 0 || sig > SIGNAL_LAST) {
		return refuse(EINVAL);
	}
	return policy_deadly(sig) ? (struct policy_decision){.action = POLICY_ABORT, .err = sig} : refuse(EPERM);
}

/* Waiting and waking on private words: the rest (requeue, PI, lists of words) has effects elsewhere. */
static bool futex_allowed(int op)
{
	int flags = FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME;
	int cmd = op & ~flags;

	if (!(op & FUTEX_PRIVATE_FLAG)) {
		return false;
	}
	return cmd == FUTEX_WAIT || cmd == FUTEX_WAKE || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_WAKE_BITSET;
}

/* What of the arguments can be judged without looking at memory; 0 or the errno. */
static int check(const struct mediated *call)
{
	int first = low(call->arg[0]);

	switch (call->nr) {
	case SYS_write:
	case SYS_writev:
		return first == 2 ? 0 : EPERM;
	case SYS_clock_gettime:
	case SYS_clock_getres:
		return first >= 0 && first <= CLOCK_LAST ? 0 : EINVAL;
	case SYS_getrandom:
		return ((uint32_t)call->arg[2] & ~GETRANDOM_FLAGS) == 0 ? 0 : EINVAL;
	case SYS_futex:
		return futex_allowed(low(call->arg[1])) ? 0 : EPERM;
	case SYS_rt_sigprocmask:
		return call->arg[3] == 8 && (call->arg[1] == 0 || (first >= 0 && first <= 2)) ? 0 : EINVAL;
	case SYS_clock_nanosleep: /* flags: TIMER_ABSTIME is not answered */
		return (first == CLOCK_REALTIME || first == CLOCK_MONOTONIC) && low(call->arg[1]) == 0 ? 0 : EINVAL;
	case SYS_getrusage: /* RUSAGE_SELF, RUSAGE_THREAD; children are not its own */
		return first == 0 || first == 1 ? 0 : EINVAL;
	default:
		return 0;
	}
}

struct policy_decision policy_decide(const struct mediated *call, const struct policy_self *self, const uint64_t *open)
{
	if (policy_foreign(call)) {
		return refuse(EPERM);
	}
	if (call->nr == LYCH_SYS_INSIDE) {
		return call->arg[0] <= INSIDE_FREE ? (struct policy_decision){.action = POLICY_INSIDE} : refuse(EINVAL);
	}

	enum policy_action action = find(call->nr);
	if (action >= POLICY_SLEEP && (open == NULL || !(open[call->nr / 64] & BIT(call->nr % 64)))) {
		action = POLICY_REFUSE;
	}
	if (action == POLICY_REFUSE) {
		return refuse(known(call->nr) ? EPERM : ENOSYS);
	}
	if (action == POLICY_ABORT) {
		return decide_kill(call, self);
	}
	int err = check(call);
	return err != 0 ? refuse(err) : (struct policy_decision){.action = action};
}
