/* SPDX-License-Identifier: Apache-2.0 */
/* What a process asks about itself and the machine it runs on. Nothing here waits. */
#include <errno.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>

#include "calls_parts.h"

#define SIGNALS 64
#define STACK_BYTES (2ULL << 20) /* of threads that code inside makes without saying how large */
#define CPU_BYTES 1024           /* 8192 processors, the most that Linux knows */
#define RANDOM_MAX 256           /* getrandom is never cut short below that */
#define RANDOM_FLAGS 7U
#define RANDOM_NONBLOCK 1U
#define NAME "lych-library"

/* Stores a struct that was made here. */
static long store(const struct answer *a, uint64_t at, const void *from, uint64_t bytes, long result)
{
	if (result < 0) {
		return result;
	}
	long rc = inside_write(a->l, at, from, bytes);
	return rc != 0 ? rc : result;
}

/* There are no handlers: what is set is forgotten, and what was set is the default. */
static long do_sigaction(const struct answer *a)
{
	const uint64_t *arg = a->call->arg, none[4] = {0};
	int sig = low_int(arg[0]);

	if (sig < 1 || sig > SIGNALS || arg[3] != 8) {
		return -EINVAL;
	}
	if (arg[1] != 0 && (outside(a, arg[1], sizeof(none)) || sig == SIGKILL || sig == SIGSTOP)) {
		return outside(a, arg[1], sizeof(none)) ? -EFAULT : -EINVAL;
	}
	return arg[2] != 0 ? store(a, arg[2], none, sizeof(none), 0) : 0;
}

static long do_sigmask(const struct answer *a)
{
	const uint64_t *arg = a->call->arg, none = 0;

	if (arg[3] != 8 || (arg[1] != 0 && (low_int(arg[0]) < 0 || low_int(arg[0]) > 2))) {
		return -EINVAL;
	}
	if (arg[1] != 0 && outside(a, arg[1], 8)) {
		return -EFAULT;
	}
	return arg[2] != 0 ? store(a, arg[2], &none, sizeof(none), 0) : 0;
}

static long do_sigaltstack(const struct answer *a)
{
	const stack_t none = {.ss_flags = SS_DISABLE};

	if (a->call->arg[0] != 0 && outside(a, a->call->arg[0], sizeof(none))) {
		return -EFAULT;
	}
	return a->call->arg[1] != 0 ? store(a, a->call->arg[1], &none, sizeof(none), 0) : 0;
}

static struct rlimit limit_of(const struct library *l, uint64_t what)
{
	rlim_t value = RLIM_INFINITY;

	switch (what) {
	case RLIMIT_STACK:
		value = STACK_BYTES;
		break;
	case RLIMIT_NOFILE:
		value = files_limit(l);
		break;
	case RLIMIT_CORE:
	case RLIMIT_MEMLOCK:
	case RLIMIT_RTPRIO:
	case RLIMIT_NICE:
	case RLIMIT_MSGQUEUE:
		value = 0;
		break;
	default:
		break;
	}
	return (struct rlimit){value, value};
}

static bool is_itself(const struct answer *a, uint64_t pid)
{
	return (uint32_t)pid == 0 || low_int(pid) == (int)sys0(SYS_getpid) || low_int(pid) == context_tid(a->l, a->t);
}

static long do_limit(const struct answer *a)
{
	const uint64_t *arg = a->call->arg;
	bool modern = a->call->nr == SYS_prlimit64;
	uint64_t what = (uint32_t)arg[modern ? 1 : 0], to = arg[modern ? 3 : 1];
	const struct rlimit limit = limit_of(a->l, what);

	if (what >= RLIM_NLIMITS) {
		return -EINVAL;
	}
	if (modern && !is_itself(a, arg[0])) {
		return -EPERM;
	}
	if (modern && arg[2] != 0) {
		mediator_refused(a->l->domain, a->call);
		return -EPERM;
	}
	return modern && to == 0 ? 0 : store(a, to, &limit, sizeof(limit), 0);
}

static long do_affinity(const struct answer *a)
{
	uint8_t cpus[CPU_BYTES] = {0};
	uint64_t bytes = (uint32_t)a->call->arg[1];

	if (!is_itself(a, a->call->arg[0])) {
		return -ESRCH;
	}
	if (bytes % 8 != 0) {
		return -EINVAL;
	}
	long n = sys3(SYS_sched_getaffinity, 0, bytes < CPU_BYTES ? bytes : CPU_BYTES, cpus);
	return n > 0 ? store(a, a->call->arg[2], cpus, (uint64_t)n, n) : n;
}

static long do_prctl(const struct answer *a)
{
	char name[16] = NAME;

	switch (low_int(a->call->arg[0])) {
	case PR_SET_NAME: /* threads of the process keep theirs */
		return inside_read(a->l, name, a->call->arg[1], 1);
	case PR_GET_NAME:
		return store(a, a->call->arg[1], name, sizeof(name), 0);
	case PR_GET_DUMPABLE:
		return 0;
	case 0x53564d41: /* PR_SET_VMA: a kernel may not have it */
		return -EINVAL;
	default:
		mediator_refused(a->l->domain, a->call);
		return -EPERM;
	}
}

static long do_names(const struct answer *a)
{
	struct utsname u;
	long rc;

	memset(&u, 0, sizeof(u));
	rc = sys1(SYS_uname, &u);
	memset(u.nodename, 0, sizeof(u.nodename));
	memcpy(u.nodename, NAME, sizeof(NAME));
	memset(u.domainname, 0, sizeof(u.domainname));
	return store(a, a->call->arg[0], &u, sizeof(u), rc);
}

static long do_cpu(const struct answer *a)
{
	uint32_t cpu = 0, node = 0;
	long rc = sys3(SYS_getcpu, &cpu, &node, NULL);

	if (rc == 0 && a->call->arg[0] != 0) {
		rc = inside_write(a->l, a->call->arg[0], &cpu, sizeof(cpu));
	}
	return rc == 0 && a->call->arg[1] != 0 ? inside_write(a->l, a->call->arg[1], &node, sizeof(node)) : rc;
}

static long do_usage(const struct answer *a)
{
	struct rusage usage;
	int who = low_int(a->call->arg[0]);

	memset(&usage, 0, sizeof(usage));
	long rc = who == RUSAGE_SELF || who == 1 /* RUSAGE_THREAD */ ? sys2(SYS_getrusage, who, &usage)
		  : who == RUSAGE_CHILDREN			     ? 0
								     : -EINVAL;
	return store(a, a->call->arg[1], &usage, sizeof(usage), rc);
}

/* As many as it never waits for; more is for who may take longer. The kernel stores them itself. */
static bool do_random(const struct answer *a, long *result)
{
	const uint64_t *arg = a->call->arg;

	if (arg[1] > RANDOM_MAX) {
		return false;
	}
	if ((uint32_t)arg[2] & ~RANDOM_FLAGS) {
		*result = -EINVAL;
	} else if (outside(a, arg[0], arg[1])) {
		*result = -EFAULT;
	} else {
		/* nothing could interrupt the wait for a machine that has just started */
		const long call[7] = {SYS_getrandom, (long)arg[0], (long)arg[1], (uint32_t)arg[2] | RANDOM_NONBLOCK};
		*result = arg[1] == 0 ? 0 : view_call(call);
	}
	return true;
}

/* A struct, or a number, that the kernel has for everybody. */
static bool machine_call(const struct answer *a, long *result)
{
	const uint64_t *arg = a->call->arg, none = 0;

	switch (a->call->nr) {
	case SYS_uname:
		*result = do_names(a);
		return true;
	case SYS_sysinfo: {
		struct sysinfo info;
		memset(&info, 0, sizeof(info));
		*result = sys1(SYS_sysinfo, &info);
		*result = store(a, arg[0], &info, sizeof(info), *result);
		return true;
	}
	case SYS_times: {
		struct tms times = {0};
		*result = sys1(SYS_times, &times);
		if (arg[0] != 0) {
			*result = store(a, arg[0], &times, sizeof(times), *result);
		}
		return true;
	}
	case SYS_getrusage:
		*result = do_usage(a);
		return true;
	case SYS_getcpu:
		*result = do_cpu(a);
		return true;
	case SYS_sched_getaffinity:
		*result = do_affinity(a);
		return true;
	case SYS_sched_getparam:
		*result = is_itself(a, arg[0]) ? store(a, arg[1], &none, sizeof(int), 0) : -ESRCH;
		return true;
	case SYS_sched_getscheduler:
		*result = is_itself(a, arg[0]) ? 0 : -ESRCH;
		return true;
	case SYS_sched_get_priority_max:
	case SYS_sched_get_priority_min:
		*result = sys1(a->call->nr, (uint32_t)arg[0]);
		return true;
	case SYS_getrandom:
		return do_random(a, result);
	default:
		return false;
	}
}

static bool signals_call(const struct answer *a, long *result)
{
	const uint64_t none = 0;

	switch (a->call->nr) {
	case SYS_rt_sigaction:
		*result = do_sigaction(a);
		return true;
	case SYS_rt_sigprocmask:
		*result = do_sigmask(a);
		return true;
	case SYS_rt_sigpending:
		*result = a->call->arg[1] <= 8 ? store(a, a->call->arg[0], &none, a->call->arg[1], 0) : -EINVAL;
		return true;
	case SYS_sigaltstack:
		*result = do_sigaltstack(a);
		return true;
	default:
		return false;
	}
}

bool self_call(const struct answer *a, long *result)
{
	switch (a->call->nr) {
	case SYS_getpid:
	case SYS_getuid:
	case SYS_geteuid:
	case SYS_getgid:
	case SYS_getegid:
	case SYS_sched_yield:
		*result = sys0(a->call->nr);
		return true;
	case SYS_getppid: /* who is outside is no concern of it */
		*result = 1;
		return true;
	case SYS_getpgrp:
		*result = sys0(SYS_getpid);
		return true;
	case SYS_gettid:
		*result = context_tid(a->l, a->t);
		return true;
	case SYS_set_robust_list: /* at the end of a thread nothing is looked at */
		*result = a->call->arg[1] == 24 ? 0 : -EINVAL;
		return true;
	case SYS_prctl:
		*result = do_prctl(a);
		return true;
	case SYS_getrlimit:
	case SYS_prlimit64:
		*result = do_limit(a);
		return true;
	case SYS_umask:
		*result = files_umask(a->l, (uint32_t)a->call->arg[0]);
		return true;
	default:
		return signals_call(a, result) || machine_call(a, result);
	}
}
