/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, sleeping, futexes. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "../memory/memory.h"
#include "calls_parts.h"

#define CLOCK_LAST 11 /* CLOCK_TAI. Negative ones name processes, threads and devices */
#define OWN_THREAD_CLOCK (-2) /* what glibc's pthread_getcpuclockid has of the calling thread: ~0 << 3 | 6 */

/* ---- clocks --------------------------------------------------------------------------------- */

/* What is asked most: the kernel stores it itself. */
static long do_clock(const struct answer *a, int clock)
{
	uint64_t at = a->call->arg[1];

	if ((clock < 0 || clock > CLOCK_LAST) && clock != OWN_THREAD_CLOCK) {
		return -EINVAL;
	}
	if (outside(a, at, sizeof(struct timespec)) && (at != 0 || a->call->nr == SYS_clock_gettime)) {
		return -EFAULT;
	}
	const long call[7] = {a->call->nr, clock == OWN_THREAD_CLOCK ? CLOCK_THREAD_CPUTIME_ID : clock, (long)at};
	return view_call(call);
}

bool clocks_call(const struct answer *a, long *result)
{
	const uint64_t *arg = a->call->arg;
	struct timespec ts = {0};

	switch (a->call->nr) {
	case SYS_clock_gettime:
	case SYS_clock_getres:
		*result = do_clock(a, low_int(arg[0]));
		return true;
	case SYS_time:
		sys2(SYS_clock_gettime, CLOCK_REALTIME, &ts);
		*result = arg[0] != 0 ? inside_write(a->l, arg[0], &ts.tv_sec, sizeof(ts.tv_sec)) : 0;
		*result = *result == 0 ? ts.tv_sec : *result;
		return true;
	case SYS_gettimeofday: {
		const int32_t zone[2] = {0, 0};
		sys2(SYS_clock_gettime, CLOCK_REALTIME, &ts);
		const struct timeval tv = {ts.tv_sec, ts.tv_nsec / 1000};
		*result = arg[0] != 0 ? inside_write(a->l, arg[0], &tv, sizeof(tv)) : 0;
		if (*result == 0 && arg[1] != 0) {
			*result = inside_write(a->l, arg[1], zone, sizeof(zone));
		}
		return true;
	}
	default:
		return false;
	}
}

/* ---- futexes -------------------------------------------------------------------------------- */

/*
 * All are private ones: memory of the arena is shared with no other process. Also those of glibc's that are not meant
 * so, by which the end of a thread is waited for. What has effects on other words (requeue, wake_op) or on other
 * tasks (PI) is not there.
 */
static int futex_command(const struct answer *a)
{
	return low_int(a->call->arg[1]) & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
}

bool futex_quick(const struct answer *a, long *result)
{
	const uint64_t *arg = a->call->arg;
	int command = a->call->nr == SYS_futex ? futex_command(a) : -1;

	if (command != FUTEX_WAKE && command != FUTEX_WAKE_BITSET) {
		return false;
	}
	uint32_t bits = command == FUTEX_WAKE ? FUTEX_BITSET_MATCH_ANY : (uint32_t)arg[5];
	*result = -EFAULT;
	if (!outside(a, arg[0], 4)) {
		*result = lych_syscall(SYS_futex, (long)arg[0], FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, low_int(arg[2]),
				       0, 0, bits);
	}
	return true;
}

static long read_time(const struct answer *a, uint64_t at, int64_t *ns)
{
	struct timespec ts;
	long rc = inside_read(a->l, &ts, at, sizeof(ts));

	return rc == 0 ? time_ns(&ts, ns) : rc;
}

/*
 * Waits in slices. Between two of them nobody is there to be woken: who wakes has changed the word before, as users
 * of futexes do, and then the next slice ends at once with EAGAIN.
 */
static long futex_wait(const struct answer *a, int command)
{
	const uint64_t *arg = a->call->arg;
	uint32_t bits = command == FUTEX_WAIT ? FUTEX_BITSET_MATCH_ANY : (uint32_t)arg[5];
	int flag = low_int(arg[1]) & FUTEX_CLOCK_REALTIME;
	int clock = flag ? CLOCK_REALTIME : CLOCK_MONOTONIC;
	int64_t end = INT64_MAX;

	if (outside(a, arg[0], 4)) {
		return -EFAULT;
	}
	if (arg[3] != 0) {
		long rc = read_time(a, arg[3], &end);
		if (rc != 0) {
			return rc;
		}
		end = command == FUTEX_WAIT ? after(now_ns(clock), end) : end; /* a bitset's time is absolute */
	}
	while (!answer_interrupted(a->l, a->t)) {
		struct timespec until = to_timespec(slice_end(now_ns(clock), end, ANSWER_SLICE_NS));
		uint32_t before = vault_open(a->l->domain);
		long rc = lych_syscall(SYS_futex, (long)arg[0], FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | flag,
				       (uint32_t)arg[2], (long)&until, 0, bits);
		vault_close(a->l->domain, before);
		if (rc != -ETIMEDOUT && rc != -EINTR) {
			return rc;
		}
		if (now_ns(clock) >= end) {
			return -ETIMEDOUT;
		}
	}
	return -EINTR;
}

bool futex_call(const struct answer *a, long *result)
{
	if (a->call->nr != SYS_futex) {
		return false;
	}
	int command = futex_command(a);
	*result = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET ? futex_wait(a, command) : -ENOSYS;
	return true;
}

/* ---- sleeping ------------------------------------------------------------------------------- */

static long do_sleep(const struct answer *a)
{
	const uint64_t *arg = a->call->arg;
	bool plain = a->call->nr == SYS_nanosleep;
	int clock = plain ? CLOCK_MONOTONIC : low_int(arg[0]), flags = plain ? 0 : low_int(arg[1]);
	uint64_t rest_at = arg[plain ? 1 : 3];
	int64_t end, now;

	if ((flags & ~TIMER_ABSTIME) ||
	    (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)) {
		return -EINVAL;
	}
	long rc = read_time(a, arg[plain ? 0 : 2], &end);
	if (rc != 0) {
		return rc;
	}
	end = flags & TIMER_ABSTIME ? end : after(now_ns(clock), end);
	while ((now = now_ns(clock)) < end) {
		if (answer_interrupted(a->l, a->t)) {
			struct timespec rest = to_timespec(end - now);
			rc = rest_at != 0 && !(flags & TIMER_ABSTIME)
				     ? inside_write(a->l, rest_at, &rest, sizeof(rest))
				     : 0;
			return rc != 0 ? rc : -EINTR;
		}
		struct timespec until = to_timespec(slice_end(now, end, ANSWER_SLICE_NS));
		sys4(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &until, NULL);
	}
	return 0;
}

bool sleep_call(const struct answer *a, long *result)
{
	if (a->call->nr != SYS_nanosleep && a->call->nr != SYS_clock_nanosleep) {
		return false;
	}
	*result = do_sleep(a);
	return true;
}
