/* SPDX-License-Identifier: Apache-2.0 */
/* Times, and waiting in slices: of the mediators of both kinds of domains. Async-signal-safe. */
#ifndef LYCH_WAITING_H
#define LYCH_WAITING_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#include "../core/asm.h"

#define SECOND_NS 1000000000LL

static inline int64_t now_ns(int clock)
{
	struct timespec ts = {0};

	sys2(SYS_clock_gettime, clock, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

static inline struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

/* A time that code in a domain gave, in ns; at most some centuries. 0 or -EINVAL. */
static inline long time_ns(const struct timespec *ts, int64_t *ns)
{
	if (ts->tv_sec < 0 || ts->tv_nsec < 0 || ts->tv_nsec >= SECOND_NS) {
		return -EINVAL;
	}
	*ns = ts->tv_sec >= INT64_MAX / SECOND_NS / 2 ? INT64_MAX / 2 : ts->tv_sec * SECOND_NS + ts->tv_nsec;
	return 0;
}

/* Where a wait from now until end (INT64_MAX: for ever) has to look up. */
static inline int64_t slice_end(int64_t now, int64_t end, int64_t slice_ns)
{
	return end - now > slice_ns ? now + slice_ns : end;
}

static inline int64_t after(int64_t now, int64_t ns)
{
	return ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

/*
 * Writes to standard error what kernel and caller may read. First without waiting, which not every file can do; of
 * the others a poll says whether there is room. Only who takes that room before us can make the write itself wait.
 * over says whether to give up, with -EINTR; it is asked every slice_ns. SIGPIPE is blocked: no such signal is left
 * over.
 */
LYCH_HIDDEN long write_stderr(const void *from, size_t bytes, int64_t slice_ns, bool (*over)(const void *ctx),
			      const void *ctx);

/* SIGPIPE and SIGXFSZ of what is written in between are nobody's: blocked, and dropped when result says so. */
struct quiet {
	uint64_t mask, pending;
};
LYCH_HIDDEN void quiet_begin(struct quiet *q);
LYCH_HIDDEN void quiet_end(const struct quiet *q, long result);

#endif /* LYCH_WAITING_H */
