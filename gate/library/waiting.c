/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#include "waiting.h"

#define RWF_NOWAIT_FLAG 8
#define SIGNAL_BIT(sig) (1ULL << ((sig) - 1))
#define QUIET (SIGNAL_BIT(SIGPIPE) | SIGNAL_BIT(SIGXFSZ))

void quiet_begin(struct quiet *q)
{
	const uint64_t block = QUIET;

	q->mask = q->pending = 0;
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &block, &q->mask, sizeof(block));
	sys2(SYS_rt_sigpending, &q->pending, sizeof(q->pending));
}

void quiet_end(const struct quiet *q, long result)
{
	const uint64_t made = QUIET & ~q->pending;
	struct timespec zero = {0};

	if (made != 0 && (result == -EPIPE || result == -EFBIG)) {
		lych_syscall(SYS_rt_sigtimedwait, (long)&made, 0, (long)&zero, sizeof(made), 0, 0);
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &q->mask, NULL, sizeof(q->mask));
}

/* Has fd 2 room, or an error to tell, within ns? */
static bool writable(int64_t ns)
{
	struct pollfd p = {.fd = 2, .events = POLLOUT};
	struct timespec wait = to_timespec(ns);

	return sys5(SYS_ppoll, &p, 1, &wait, NULL, 0) != 0;
}

long write_stderr(const void *from, size_t bytes, int64_t slice_ns, bool (*over)(const void *ctx), const void *ctx)
{
	struct iovec iov = {(void *)(uintptr_t)from, bytes};
	struct quiet q;

	for (;;) {
		quiet_begin(&q);
		long n = lych_syscall(SYS_pwritev2, 2, (long)&iov, 1, -1, -1, RWF_NOWAIT_FLAG);
		bool done = n >= 0 || n == -EPIPE || n == -EFAULT;
		if (!done && writable(0)) {
			n = sys3(SYS_write, 2, from, bytes);
			done = n != -EINTR && n != -EAGAIN;
		}
		quiet_end(&q, n);
		if (done) {
			return n;
		}
		if (over(ctx)) {
			return -EINTR;
		}
		(void)writable(slice_ns);
	}
}
