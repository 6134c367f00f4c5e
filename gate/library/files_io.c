/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading, writing, waiting. What a domain gives as a buffer lies wholly in the arena, and so is its own whatever
 * becomes of it meanwhile: the kernel copies there, and from there, itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "../memory/memory.h"
#include "files_parts.h"

#define MOST 0x7ffff000ULL /* that the kernel moves at once */
#define AT_ONCE (256ULL << 10) /* of a file */
#define STDERR_MOST 4096   /* a pipe that has room has room for that */

/* ---- waiting -------------------------------------------------------------------------------- */

/* What the call points at is not the domain's memory but a copy of ours, whose parts were checked. */
static bool by_copy(long nr)
{
	switch (nr) {
	case SYS_readv:
	case SYS_preadv:
	case SYS_writev:
	case SYS_pwritev:
	case SYS_sendmsg:
	case SYS_recvmsg:
		return true;
	default:
		return false;
	}
}

static long call_by_copy(const struct answer *a, const long call[7])
{
	uint32_t before = vault_open(a->l->domain);
	long rc = sys6(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);

	vault_close(a->l->domain, before);
	return rc;
}

long arena_call(const struct answer *a, long nr, long p0, long p1, long p2, long p3, long p4, long p5)
{
	const long call[7] = {nr, p0, p1, p2, p3, p4, p5};

	for (;;) {
		long rc = by_copy(nr) ? call_by_copy(a, call) : view_call(call);

		if (rc != -EINTR || answer_interrupted(a->l, a->t)) {
			return rc;
		}
	}
}

long file_wait(const struct answer *a, const struct file *f, short events, int64_t end)
{
	while (!answer_interrupted(a->l, a->t)) {
		int64_t now = now_ns(CLOCK_MONOTONIC);
		struct pollfd p = {.fd = f->real, .events = events};
		struct timespec wait = to_timespec(slice_end(now, end > now ? end : now, ANSWER_SLICE_NS) - now);
		long rc = sys5(SYS_ppoll, &p, 1, &wait, NULL, 0);

		if (rc > 0) {
			return 1;
		}
		if (rc != 0 && rc != -EINTR) {
			return rc;
		}
		if (now_ns(CLOCK_MONOTONIC) >= end) {
			return 0;
		}
	}
	return -EINTR;
}

long file_call(const struct answer *a, struct file *f, short events, long nr, long p1, long p2, long p3, long p4,
	       long p5)
{
	for (;;) {
		long rc = arena_call(a, nr, f->real, p1, p2, p3, p4, p5);
		if (rc != -EAGAIN || !f->waits || atomic_load(&f->nonblock)) {
			return rc;
		}
		rc = file_wait(a, f, events, INT64_MAX);
		if (rc < 0) {
			return rc;
		}
	}
}

static bool over(const void *ctx)
{
	const struct answer *a = ctx;

	return answer_interrupted(a->l, a->t);
}

/* ---- reading and writing -------------------------------------------------------------------- */

long vector_read(const struct answer *a, struct iovec iov[PIECES], uint64_t at, uint64_t count, uint64_t *bytes)
{
	int n = low_int(count);

	*bytes = 0;
	if (n < 0 || n > IOV_MAX) {
		return -EINVAL;
	}
	n = n > PIECES ? PIECES : n;
	long rc = n > 0 ? inside_read(a->l, iov, at, sizeof(iov[0]) * (size_t)n) : 0;
	if (rc != 0) {
		return rc;
	}
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len > MOST) {
			return -EINVAL;
		}
		if (outside(a, (uintptr_t)iov[i].iov_base, iov[i].iov_len)) {
			return -EFAULT;
		}
		if (iov[i].iov_len == 0) {
			iov[i].iov_base = NULL;
		}
		*bytes += iov[i].iov_len;
	}
	return n;
}

static long write_error(const struct answer *a, uint64_t at, uint64_t bytes)
{
	if (bytes == 0) {
		return 0;
	}
	uint32_t before = vault_open(a->l->domain);
	long n = write_stderr((const void *)(uintptr_t)at, bytes < STDERR_MOST ? bytes : STDERR_MOST, ANSWER_SLICE_NS,
			      over, a);
	vault_close(a->l->domain, before);
	return n;
}

/* What has no descriptor behind it. */
static long transfer_made_up(const struct answer *a, const struct file *f, bool write, const struct iovec *iov, int n,
			     uint64_t bytes)
{
	if (f->kind == FILE_NULL) {
		return write ? (long)(bytes < MOST ? bytes : MOST) : 0;
	}
	if (!write) {
		return -EBADF;
	}
	long written = 0;
	/* All of it: the C library's last words are one call in many pieces, and it makes no second one. */
	for (int i = 0; i < n; i++) {
		long rc = write_error(a, (uintptr_t)iov[i].iov_base, iov[i].iov_len);

		if (rc < 0) {
			return written > 0 ? written : rc;
		}
		written += rc;
		if ((uint64_t)rc < iov[i].iov_len) {
			break;
		}
	}
	return written;
}

/* The same for a single buffer. */
static long of_one(long nr)
{
	switch (nr) {
	case SYS_readv:
		return SYS_read;
	case SYS_preadv:
		return SYS_pread64;
	case SYS_writev:
		return SYS_write;
	case SYS_pwritev:
		return SYS_pwrite64;
	default:
		return nr;
	}
}

/*
 * Of a file: in pieces, between which it is looked whether the call is to end. While the kernel reads or writes a file it hears of
 * nothing but what kills the process, and how long 2 GiB take is for a disk to say. What is done counts.
 */
static long in_pieces(const struct answer *a, const struct file *f, bool write, long nr, const struct iovec *iov, int n, long offset)
{
	bool from = nr == SYS_pread64 || nr == SYS_preadv || nr == SYS_pwrite64 || nr == SYS_pwritev;
	long done = 0;

	nr = write ? (from ? SYS_pwrite64 : SYS_write) : from ? SYS_pread64 : SYS_read;
	for (int i = 0; i < n; i++) {
		for (uint64_t at = 0; at < iov[i].iov_len && (uint64_t)done < MOST;) {
			uint64_t bytes = iov[i].iov_len - at < AT_ONCE ? iov[i].iov_len - at : AT_ONCE;
			struct quiet q;
			long rc;

			quiet_begin(&q);
			rc = arena_call(a, nr, f->real, (long)iov[i].iov_base + (long)at, (long)bytes, from ? offset + done : 0, 0, 0);
			quiet_end(&q, rc);
			if (rc < 0) {
				return done > 0 ? done : rc;
			}
			done += rc;
			at += (uint64_t)rc;
			if ((uint64_t)rc < bytes || answer_interrupted(a->l, a->t)) {
				return done;
			}
		}
	}
	return done;
}

static long transfer(const struct answer *a, struct file *f, bool write, long nr, struct iovec *iov, int n,
		     uint64_t bytes, long offset)
{
	if (f->real < 0) {
		return nr == SYS_pread64 || nr == SYS_pwrite64 || nr == SYS_preadv || nr == SYS_pwritev
			       ? -ESPIPE
			       : transfer_made_up(a, f, write, iov, n, bytes);
	}
	if (bytes > AT_ONCE && (f->kind == FILE_REGULAR || f->kind == FILE_DEVICE)) {
		return in_pieces(a, f, write, nr, iov, n, offset);
	}
	nr = n == 1 ? of_one(nr) : nr;
	bool one = nr == SYS_read || nr == SYS_write || nr == SYS_pread64 || nr == SYS_pwrite64;
	long p1 = one ? (long)iov[0].iov_base : (long)iov, p2 = one ? (long)iov[0].iov_len : n;
	if (!write) {
		return file_call(a, f, POLLIN, nr, p1, p2, offset, 0, 0);
	}
	if (f->kind == FILE_SOCKET) { /* no SIGPIPE */
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
		if (one) {
			return file_call(a, f, POLLOUT, SYS_sendto, p1, p2, MSG_NOSIGNAL, 0, 0);
		}
		return file_call(a, f, POLLOUT, SYS_sendmsg, (long)&msg, MSG_NOSIGNAL, 0, 0, 0);
	}
	struct quiet q;
	for (;;) {
		quiet_begin(&q);
		long rc = arena_call(a, nr, f->real, p1, p2, offset, 0, 0);
		quiet_end(&q, rc);
		if (rc != -EAGAIN || !f->waits || atomic_load(&f->nonblock)) {
			return rc;
		}
		rc = file_wait(a, f, POLLOUT, INT64_MAX);
		if (rc < 0) {
			return rc;
		}
	}
}

static long do_transfer(const struct answer *a, bool write, bool vector)
{
	const uint64_t *arg = a->call->arg;
	struct iovec iov[PIECES];
	uint64_t bytes;
	long n = 1;

	if (vector) {
		n = vector_read(a, iov, arg[1], arg[2], &bytes);
		if (n < 0) {
			return n;
		}
	} else {
		bytes = arg[2] < MOST ? arg[2] : MOST;
		if (outside(a, arg[1], bytes)) {
			return -EFAULT;
		}
		iov[0] = (struct iovec){bytes != 0 ? (void *)(uintptr_t)arg[1] : NULL, bytes};
	}
	struct file *f = file_hold(a->l, arg[0]);
	if (f == NULL) {
		return -EBADF;
	}
	long rc = transfer(a, f, write, a->call->nr, iov, (int)n, bytes, (long)arg[3]);
	file_drop(a->l, f);
	return rc;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static long do_ioctl(const struct answer *a, struct file *f)
{
	uint64_t to = a->call->arg[2];
	int value = 0;
	long rc;

	switch ((uint32_t)a->call->arg[1]) {
	case FIONREAD:
		rc = f->real >= 0 ? sys3(SYS_ioctl, f->real, FIONREAD, &value) : 0;
		return rc == 0 ? inside_write(a->l, to, &value, sizeof(value)) : rc;
	case FIONBIO:
		rc = inside_read(a->l, &value, to, sizeof(value));
		if (rc == 0) {
			atomic_store(&f->nonblock, value != 0);
		}
		return rc;
	case FIOCLEX:
	case FIONCLEX:
		atomic_store(&a->l->files->numbers[(uint32_t)a->call->arg[0]].cloexec,
			     (uint32_t)a->call->arg[1] == FIOCLEX);
		return 0;
	case TCGETS:
	case TIOCGWINSZ:
	case TIOCGPGRP:
		return -ENOTTY; /* is it a terminal? No */
	default:
		mediator_refused(a->l->domain, a->call);
		return -ENOTTY;
	}
}

/* A wait for another's lock on the file is a try in each slice. */
static long do_flock(const struct answer *a, const struct file *f)
{
	int how = low_int(a->call->arg[1]);

	for (;;) {
		long rc = f->kind == FILE_REGULAR ? sys2(SYS_flock, f->real, how | LOCK_NB) : -EINVAL;
		if (rc != -EAGAIN || (how & LOCK_NB)) {
			return rc;
		}
		if (answer_interrupted(a->l, a->t)) {
			return -EINTR;
		}
		struct timespec wait = {.tv_nsec = 10000000};
		sys4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &wait, NULL);
	}
}

/* Rights and times of a file that is open for writing: bits beyond the nine are not the domain's to give. */
static long do_change(const struct answer *a, const struct file *f)
{
	const uint64_t *arg = a->call->arg;
	struct timespec times[2];
	long flags = f->kind == FILE_REGULAR ? sys3(SYS_fcntl, f->real, F_GETFL, 0) : O_RDONLY, rc = 0;

	if ((flags & O_ACCMODE) == O_RDONLY) {
		mediator_refused(a->l->domain, a->call);
		return -EPERM;
	}
	if (a->call->nr == SYS_fchmod) {
		return sys2(SYS_fchmod, f->real, arg[1] & 0777);
	}
	if (arg[1] != 0 || low_int(arg[3]) != 0) {
		return -EINVAL; /* by a path */
	}
	if (arg[2] != 0) {
		rc = inside_read(a->l, times, arg[2], sizeof(times));
	}
	return rc != 0 ? rc : sys4(SYS_utimensat, f->real, NULL, arg[2] != 0 ? times : NULL, 0);
}

/* Calls with a descriptor and numbers, and one with a buffer. */
static long do_plain(const struct answer *a, struct file *f)
{
	const uint64_t *arg = a->call->arg;
	struct quiet q;
	long rc;

	if (a->call->nr == SYS_ioctl) {
		return do_ioctl(a, f);
	}
	if (f->real < 0) {
		return a->call->nr == SYS_lseek ? (f->kind == FILE_NULL ? 0 : -ESPIPE) : -EINVAL;
	}
	switch (a->call->nr) {
	case SYS_getdents64: {
		uint64_t bytes = (uint32_t)arg[2];
		if (outside(a, arg[1], bytes)) {
			return -EFAULT;
		}
		return arena_call(a, SYS_getdents64, f->real, (long)arg[1], (long)bytes, 0, 0, 0);
	}
	case SYS_flock:
		return do_flock(a, f);
	case SYS_fallocate:
		if (low_int(arg[1]) != 0) {
			return -EOPNOTSUPP;
		}
		break;
	case SYS_fadvise64:
		return 0;
	case SYS_fchmod:
	case SYS_utimensat:
		return do_change(a, f);
	default:
		break;
	}
	quiet_begin(&q);
	rc = arena_call(a, a->call->nr, f->real, (long)arg[1], (long)arg[2], (long)arg[3], 0, 0);
	quiet_end(&q, rc);
	return rc;
}

static long make_two(const struct answer *a, uint64_t to, int flags)
{
	int real[2], numbers[2] = {-1, -1};

	if (flags & ~(O_CLOEXEC | O_NONBLOCK)) {
		return -EINVAL;
	}
	long rc = sys2(SYS_pipe2, real, O_CLOEXEC | O_NONBLOCK);
	if (rc != 0) {
		return rc;
	}
	rc = file_new(a->l, real[0], FILE_PIPE, NULL, flags);
	if (rc < 0) {
		sys1(SYS_close, real[1]);
		return rc;
	}
	numbers[0] = (int)rc;
	rc = file_new(a->l, real[1], FILE_PIPE, NULL, flags);
	numbers[1] = (int)rc;
	rc = rc < 0 ? rc : inside_write(a->l, to, numbers, sizeof(numbers));
	for (int i = 0; rc < 0 && i < 2; i++) {
		(void)number_take_away(a->l, (uint32_t)numbers[i]);
	}
	return rc;
}

static long make_event(const struct answer *a, uint64_t value, int flags)
{
	if (flags & ~(O_CLOEXEC | O_NONBLOCK | 1)) { /* EFD_SEMAPHORE */
		return -EINVAL;
	}
	long real = sys2(SYS_eventfd2, (uint32_t)value, O_CLOEXEC | O_NONBLOCK | (flags & 1));
	return real < 0 ? real : file_new(a->l, (int)real, FILE_EVENT, NULL, flags);
}

bool io_call(const struct answer *a, long *result)
{
	const uint64_t *arg = a->call->arg;

	switch (a->call->nr) {
	case SYS_read:
	case SYS_pread64:
		*result = do_transfer(a, false, false);
		return true;
	case SYS_write:
	case SYS_pwrite64:
		*result = do_transfer(a, true, false);
		return true;
	case SYS_readv:
	case SYS_preadv:
		*result = do_transfer(a, false, true);
		return true;
	case SYS_writev:
	case SYS_pwritev:
		*result = do_transfer(a, true, true);
		return true;
	case SYS_pipe:
		*result = make_two(a, arg[0], 0);
		return true;
	case SYS_pipe2:
		*result = make_two(a, arg[0], low_int(arg[1]));
		return true;
	case SYS_eventfd:
		*result = make_event(a, arg[0], 0);
		return true;
	case SYS_eventfd2:
		*result = make_event(a, arg[0], low_int(arg[1]));
		return true;
	case SYS_ioctl:
	case SYS_lseek:
	case SYS_getdents64:
	case SYS_flock:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_fchmod:
	case SYS_utimensat:
	case SYS_fadvise64: {
		struct file *f = file_hold(a->l, arg[0]);
		*result = -EBADF;
		if (f != NULL) {
			*result = do_plain(a, f);
			file_drop(a->l, f);
		}
		return true;
	}
	default:
		return false;
	}
}
