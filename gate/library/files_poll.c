/* SPDX-License-Identifier: Apache-2.0 */
/* poll and select, over the domain's own numbers. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "files_parts.h"

#define POLLED 128 /* descriptors looked at by one call */
#define ALWAYS_READY (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM)

/*
 * The number of those that are ready, revents filled; what the domain named by number is polled by what stands behind
 * it. end: on CLOCK_MONOTONIC.
 */
static long poll_files(const struct answer *a, struct pollfd *polled, int n, int64_t end)
{
	struct pollfd real[POLLED];
	struct file *held[POLLED];
	long ready = 0, rc;

	for (int i = 0; i < n; i++) {
		struct file *f = polled[i].fd >= 0 ? file_hold(a->l, (uint32_t)polled[i].fd) : NULL;
		held[i] = f;
		polled[i].revents = 0;
		real[i] = (struct pollfd){.fd = f != NULL ? f->real : -1, .events = polled[i].events};
		if (polled[i].fd >= 0 && f == NULL) {
			polled[i].revents = POLLNVAL;
		} else if (f != NULL && f->real < 0) {
			polled[i].revents = polled[i].events & ALWAYS_READY;
		}
		ready += polled[i].revents != 0;
	}
	do {
		int64_t now = now_ns(CLOCK_MONOTONIC);
		bool at_once = ready != 0 || end <= now || answer_interrupted(a->l, a->t);
		int64_t wait_ns = at_once ? 0 : slice_end(now, end, ANSWER_SLICE_NS) - now;
		struct timespec wait = to_timespec(wait_ns);

		rc = sys5(SYS_ppoll, real, n, &wait, NULL, 0);
		if ((rc == 0 || rc == -EINTR) && answer_interrupted(a->l, a->t)) {
			rc = -EINTR;
			break;
		}
		rc = rc == -EINTR ? 0 : rc;
	} while (rc == 0 && ready == 0 && now_ns(CLOCK_MONOTONIC) < end);
	for (int i = 0; i < n; i++) {
		if (rc > 0 && real[i].fd >= 0 && real[i].revents != 0) {
			polled[i].revents = real[i].revents;
			ready++;
		}
		if (held[i] != NULL) {
			file_drop(a->l, held[i]);
		}
	}
	return rc < 0 ? rc : ready;
}

/* Time that is left to wait; 0 as pointer: for ever. */
static long end_of(const struct answer *a, uint64_t at, bool micro, int64_t *end)
{
	struct timespec ts;
	int64_t ns;

	*end = INT64_MAX;
	if (at == 0) {
		return 0;
	}
	long rc = inside_read(a->l, &ts, at, sizeof(ts));
	if (rc == 0 && micro) {
		ts.tv_sec += ts.tv_nsec > 0 && ts.tv_sec < INT64_MAX / 2 ? ts.tv_nsec / 1000000 : 0;
		ts.tv_nsec = ts.tv_nsec > 0 ? ts.tv_nsec % 1000000 * 1000 : ts.tv_nsec;
	}
	rc = rc == 0 ? time_ns(&ts, &ns) : rc;
	if (rc == 0) {
		*end = after(now_ns(CLOCK_MONOTONIC), ns);
	}
	return rc;
}

static long do_poll(const struct answer *a, int64_t end)
{
	struct pollfd polled[POLLED];
	uint64_t at = a->call->arg[0], n = (uint32_t)a->call->arg[1];

	if (n > POLLED) {
		return -EINVAL;
	}
	long rc = n > 0 ? inside_read(a->l, polled, at, n * sizeof(polled[0])) : 0;
	if (rc != 0) {
		return rc;
	}
	long ready = poll_files(a, polled, (int)n, end);
	rc = ready >= 0 && n > 0 ? inside_write(a->l, at, polled, n * sizeof(polled[0])) : 0;
	return rc != 0 ? rc : ready;
}

/* What each of the three sets of select waits for, and what of it counts as that. */
static const struct {
	short ask, says;
} sets[3] = {
	{POLLIN, POLLIN | POLLRDNORM | POLLHUP | POLLERR},
	{POLLOUT, POLLOUT | POLLWRNORM | POLLERR},
	{POLLPRI, POLLPRI},
};

static long do_select(const struct answer *a, int64_t end)
{
	const uint64_t *arg = a->call->arg;
	int n = low_int(arg[0]), used = 0;
	uint64_t in[3][FD_SETSIZE / 64] = {{0}}, bytes;
	struct pollfd polled[POLLED];
	long rc = 0;

	if (n < 0 || n > FD_SETSIZE) {
		return -EINVAL;
	}
	bytes = (uint64_t)(n + 63) / 64 * 8;
	for (int k = 0; rc == 0 && k < 3; k++) {
		rc = arg[1 + k] != 0 && n > 0 ? inside_read(a->l, in[k], arg[1 + k], bytes) : 0;
	}
	for (int i = 0; rc == 0 && i < n; i++) {
		short events = 0;
		for (int k = 0; k < 3; k++) {
			events = (short)(events | (in[k][i / 64] >> (i % 64) & 1 ? sets[k].ask : 0));
		}
		if (events != 0 && used == POLLED) {
			return -EINVAL;
		}
		if (events != 0) {
			polled[used++] = (struct pollfd){.fd = i, .events = events};
		}
	}
	rc = rc == 0 ? poll_files(a, polled, used, end) : rc;
	if (rc < 0) {
		return rc;
	}
	uint64_t out[3][FD_SETSIZE / 64] = {{0}};
	rc = 0;
	for (int i = 0; i < used; i++) {
		if (polled[i].revents & POLLNVAL) {
			return -EBADF;
		}
		for (int k = 0; k < 3; k++) {
			int fd = polled[i].fd;
			bool is = (in[k][fd / 64] >> (fd % 64) & 1) && (polled[i].revents & sets[k].says);
			out[k][fd / 64] |= (uint64_t)is << (fd % 64);
			rc += is;
		}
	}
	for (int k = 0; k < 3; k++) {
		if (arg[1 + k] != 0 && n > 0 && inside_write(a->l, arg[1 + k], out[k], bytes) != 0) {
			return -EFAULT;
		}
	}
	return rc;
}

bool poll_call(const struct answer *a, long *result)
{
	int64_t end = INT64_MAX, ms = low_int(a->call->arg[2]);

	switch (a->call->nr) {
	case SYS_poll:
		*result = do_poll(a, ms < 0 ? end : after(now_ns(CLOCK_MONOTONIC), ms * 1000000));
		return true;
	case SYS_ppoll: /* there are no signals inside, so the mask does not matter */
		*result = end_of(a, a->call->arg[2], false, &end);
		break;
	case SYS_select:
	case SYS_pselect6:
		*result = end_of(a, a->call->arg[4], a->call->nr == SYS_select, &end);
		break;
	default:
		return false;
	}
	if (*result == 0) {
		*result = a->call->nr == SYS_ppoll ? do_poll(a, end) : do_select(a, end);
	}
	return true;
}
