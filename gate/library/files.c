/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, and what stands behind them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "../core/keys.h"
#include "files_parts.h"

#define SPARE_FILES 64 /* closed ones that a call still holds */
#define EVENT_SEMAPHORE 1 /* EFD_SEMAPHORE */
#define HIGH 1024      /* above what select(2) of the process can name */

#ifndef F_OFD_SETLK /* Linux 3.15 */
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#endif

/* ---- files ---------------------------------------------------------------------------------- */

/* Adds a user to a file that has one. */
static bool file_use(struct file *f)
{
	uint32_t users = atomic_load(&f->users);

	while (users != 0) {
		if (atomic_compare_exchange_weak(&f->users, &users, users + 1)) {
			return true;
		}
	}
	return false;
}

void file_drop(struct library *l, struct file *f)
{
	uint32_t users = atomic_load(&f->users);

	(void)l;
	for (;;) {
		/* The only user: nobody writes to it. Without a user it can be another file at once. */
		int real = users == 1 ? f->real : -1;
		if (atomic_compare_exchange_weak(&f->users, &users, users - 1)) {
			if (real >= 0) {
				sys1(SYS_close, real);
			}
			return;
		}
	}
}

struct file *file_hold(struct library *l, uint64_t fd)
{
	struct files *files = l->files;
	uint32_t number = (uint32_t)fd;

	if (number >= files->nnumbers) {
		return NULL;
	}
	for (;;) {
		uint32_t index = atomic_load(&files->numbers[number].file);
		if (index == 0) {
			return NULL;
		}
		struct file *f = &files->files[index - 1];
		if (!file_use(f)) {
			continue; /* closed since: then the number says something else now */
		}
		if (atomic_load(&files->numbers[number].file) == index) {
			return f;
		}
		file_drop(l, f);
	}
}

int file_real(const struct file *f)
{
	return f->kind == FILE_REGULAR ? f->real : -ENODEV;
}

/* A free one, with one user. */
static struct file *file_claim(struct files *files)
{
	for (uint32_t i = 0; i < files->nfiles; i++) {
		uint32_t none = 0;
		if (atomic_compare_exchange_strong(&files->files[i].users, &none, 1)) {
			return &files->files[i];
		}
	}
	return NULL;
}

/* f's user becomes the number's. */
static long number_give(struct library *l, struct file *f, uint32_t lowest, bool cloexec)
{
	struct files *files = l->files;

	for (uint32_t i = lowest; i < files->nnumbers; i++) {
		uint32_t none = 0;
		if (atomic_compare_exchange_strong(&files->numbers[i].file, &none, (uint32_t)(f - files->files) + 1)) {
			atomic_store(&files->numbers[i].cloexec, cloexec);
			return i;
		}
	}
	file_drop(l, f);
	return -EMFILE;
}

static void number_clear(struct library *l, struct number *n)
{
	uint32_t index = atomic_exchange(&n->file, 0);

	if (index != 0) {
		file_drop(l, &l->files->files[index - 1]);
	}
}

long number_take_away(struct library *l, uint64_t fd)
{
	struct files *files = l->files;
	uint32_t number = (uint32_t)fd;
	uint32_t index = number < files->nnumbers ? atomic_exchange(&files->numbers[number].file, 0) : 0;

	if (index == 0) {
		return -EBADF;
	}
	file_drop(l, &files->files[index - 1]);
	return 0;
}

long file_new(struct library *l, int real, enum file_kind kind, const char *path, int flags)
{
	struct files *files = l->files;
	long high = sys3(SYS_fcntl, real, F_DUPFD_CLOEXEC, files->high);

	if (high >= 0) {
		sys1(SYS_close, real);
		real = (int)high;
	}
	struct file *f = file_claim(files);
	if (f == NULL) {
		sys1(SYS_close, real);
		return -ENFILE;
	}
	size_t bytes = path != NULL ? strlen(path) + 1 : 0;
	f->path[0] = '\0';
	if (bytes != 0 && bytes <= sizeof(f->path)) {
		memcpy(f->path, path, bytes);
	}
	f->real = real;
	f->kind = kind;
	f->semaphore = kind == FILE_EVENT && (flags & EVENT_SEMAPHORE);
	f->waits = kind == FILE_PIPE || kind == FILE_EVENT || kind == FILE_SOCKET;
	atomic_store(&f->nonblock, (flags & O_NONBLOCK) != 0);
	return number_give(l, f, 0, flags & O_CLOEXEC);
}

/* ---- a domain's life ------------------------------------------------------------------------ */

static void standard_files(struct library *l)
{
	static const enum file_kind kinds[] = {FILE_NULL, FILE_NULL, FILE_STDERR};

	for (uint32_t i = 0; i < 3; i++) {
		struct file *f = file_claim(l->files);
		f->real = -1;
		f->kind = kinds[i];
		(void)number_give(l, f, i, false);
	}
}

int files_new(struct library *l, unsigned int fds, const char *search, char *why, size_t why_bytes)
{
	uint32_t numbers = fds + 3, all = 2 * numbers + SPARE_FILES;
	size_t bytes = sizeof(struct files) + numbers * sizeof(struct number) + all * sizeof(struct file) +
		       numbers * sizeof(struct saved);
	struct rlimit limit = {0};

	bytes = (bytes + LYCH_PAGE - 1) & ~(size_t)(LYCH_PAGE - 1);
	struct files *files = monitor_alloc(bytes);
	if (files == NULL) {
		return -ENOMEM;
	}
	files->bytes = bytes;
	files->nnumbers = numbers;
	files->nfiles = all;
	files->files = (struct file *)(files + 1);
	files->saved = (struct saved *)(files->files + all);
	files->numbers = (struct number *)(files->saved + numbers);
	sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
	files->high = limit.rlim_cur >= 2 * HIGH ? HIGH : (int)(limit.rlim_cur / 2);
	atomic_store(&files->mask, 022);
	l->files = files;
	int rc = roots_open(l, search, why, why_bytes);
	if (rc != 0) {
		files_free(l);
		return rc;
	}
	standard_files(l);
	return 0;
}

/* Nobody is inside, so nobody is counted that still needs one. */
static void close_all(struct files *files)
{
	for (uint32_t i = 0; i < files->nnumbers; i++) {
		atomic_store(&files->numbers[i].file, 0);
	}
	for (uint32_t i = 0; i < files->nfiles; i++) {
		if (atomic_exchange(&files->files[i].users, 0) != 0 && files->files[i].real >= 0) {
			sys1(SYS_close, files->files[i].real);
		}
	}
}

void files_free(struct library *l)
{
	struct files *files = l->files;

	if (files != NULL) {
		close_all(files);
		roots_close(files);
		l->files = NULL;
		monitor_free(files, files->bytes);
	}
}

void files_loading(struct library *l, bool on)
{
	atomic_fetch_add(&l->files->loading, on ? 1U : -1U);
}

void files_fork_child(struct library *l, bool inside)
{
	/* Whoever is inside may be in a callback out of what is loaded. */
	if (l->files != NULL && !inside) {
		atomic_store(&l->files->loading, 0);
	}
}

static bool is_empty(const struct file *f)
{
	struct pollfd p = {.fd = f->real, .events = POLLIN};
	const struct timespec zero = {0};

	return (f->kind == FILE_PIPE || f->kind == FILE_EVENT) &&
	       (sys5(SYS_ppoll, &p, 1, &zero, NULL, 0) == 0 || !(p.revents & POLLIN));
}

static bool reads(const struct file *f)
{
	return (sys3(SYS_fcntl, f->real, F_GETFL, 0) & O_ACCMODE) == O_RDONLY;
}

/* Another pipe in place of the one that f reads from, also for who writes to it. */
static void fresh_pipe(struct files *files, const struct file *f)
{
	struct stat is, other;
	int two[2];

	if (!reads(f) || sys2(SYS_fstat, f->real, &is) != 0 || sys2(SYS_pipe2, two, O_CLOEXEC | O_NONBLOCK) != 0) {
		return;
	}
	for (uint32_t i = 0; i < files->nfiles; i++) {
		const struct file *g = &files->files[i];

		if (atomic_load(&g->users) != 0 && g->kind == FILE_PIPE && sys2(SYS_fstat, g->real, &other) == 0 &&
		    other.st_ino == is.st_ino && other.st_dev == is.st_dev) {
			sys3(SYS_dup3, two[!reads(g)], g->real, O_CLOEXEC);
		}
	}
	sys1(SYS_close, two[0]);
	sys1(SYS_close, two[1]);
}

/*
 * What was left there by what is undone would be read by what begins anew. They are made anew, and not read from: in a child of fork
 * they are the parent's, too. (Where no descriptor is free that does not succeed.)
 */
static void make_empty(struct files *files, const struct file *f)
{
	long fresh;

	if (f->kind == FILE_PIPE) {
		fresh_pipe(files, f);
		return;
	}
	fresh = sys2(SYS_eventfd2, 0, O_CLOEXEC | O_NONBLOCK | (f->semaphore ? EVENT_SEMAPHORE : 0));
	if (fresh >= 0) {
		sys3(SYS_dup3, fresh, f->real, O_CLOEXEC);
		sys1(SYS_close, fresh);
	}
}

/* -errno, or what the kernel does at each write. */
static long append_flag(const struct file *f)
{
	long flags = f->kind == FILE_REGULAR ? sys3(SYS_fcntl, f->real, F_GETFL, 0) : -EINVAL;

	return flags < 0 ? flags : flags & O_APPEND;
}

static void state_keep(struct saved *s, const struct file *f)
{
	s->nonblock = atomic_load(&f->nonblock);
	s->append = append_flag(f) == O_APPEND;
	s->empty = is_empty(f);
	s->offset = f->kind == FILE_REGULAR || f->kind == FILE_DIR ? sys3(SYS_lseek, f->real, 0, SEEK_CUR) : -1;
}

static void state_back(struct files *files, const struct saved *s, struct file *f)
{
	long append = append_flag(f);

	atomic_store(&f->nonblock, s->nonblock);
	if (append >= 0 && (append == O_APPEND) != s->append) {
		sys3(SYS_fcntl, f->real, F_SETFL, (sys3(SYS_fcntl, f->real, F_GETFL, 0) & ~O_APPEND) | (s->append ? O_APPEND : 0));
	}
	if (s->empty) {
		make_empty(files, f);
	}
	if (s->offset >= 0) {
		sys3(SYS_lseek, f->real, s->offset, SEEK_SET);
	}
}

void files_snapshot(struct library *l)
{
	struct files *files = l->files;

	for (uint32_t i = 0; i < files->nnumbers; i++) {
		struct saved *s = &files->saved[i];
		uint32_t before = s->file;

		s->file = 0;
		struct file *f = file_hold(l, i); /* the snapshot's */
		if (f != NULL) {
			s->file = (uint32_t)(f - files->files) + 1;
			s->cloexec = atomic_load(&files->numbers[i].cloexec);
			state_keep(s, f);
		}
		if (before != 0) {
			file_drop(l, &files->files[before - 1]);
		}
	}
}

void files_restore(struct library *l)
{
	struct files *files = l->files;

	for (uint32_t i = 0; i < files->nnumbers; i++) {
		number_clear(l, &files->numbers[i]);
	}
	for (uint32_t i = 0; i < files->nfiles; i++) {
		struct file *f = &files->files[i];
		uint32_t kept = 0;

		for (uint32_t k = 0; k < files->nnumbers; k++) {
			kept += files->saved[k].file == i + 1;
		}
		/* What a call that was left by siglongjmp still holds is nobody's. */
		uint32_t users = atomic_exchange(&f->users, 2 * kept); /* of the snapshot, and of the numbers */
		if (users != 0 && kept == 0 && f->real >= 0) {
			sys1(SYS_close, f->real);
		}
	}
	for (uint32_t i = 0; i < files->nnumbers; i++) {
		const struct saved *s = &files->saved[i];
		if (s->file == 0) {
			continue;
		}
		atomic_store(&files->numbers[i].cloexec, s->cloexec);
		atomic_store(&files->numbers[i].file, s->file);
		state_back(files, s, &files->files[s->file - 1]);
	}
	atomic_store(&files->mask, 022);
}

unsigned int files_limit(const struct library *l)
{
	return l->files->nnumbers;
}

unsigned int files_umask(struct library *l, unsigned int mask)
{
	return atomic_exchange(&l->files->mask, mask & 0777);
}

/* ---- the calls ------------------------------------------------------------------------------ */

static long duplicate(struct library *l, uint64_t fd, uint32_t lowest, bool cloexec)
{
	struct file *f = file_hold(l, fd);

	return f != NULL ? number_give(l, f, lowest, cloexec) : -EBADF;
}

static long duplicate_to(struct library *l, uint64_t from, uint64_t to, bool cloexec)
{
	struct files *files = l->files;
	uint32_t number = (uint32_t)to;
	struct file *f = file_hold(l, from);

	if (f == NULL) {
		return -EBADF;
	}
	if (number >= files->nnumbers) {
		file_drop(l, f);
		return -EBADF;
	}
	uint32_t before = atomic_exchange(&files->numbers[number].file, (uint32_t)(f - files->files) + 1);
	atomic_store(&files->numbers[number].cloexec, cloexec);
	if (before != 0) {
		file_drop(l, &files->files[before - 1]);
	}
	return number;
}

static long do_dup(struct library *l, const struct mediated *call)
{
	bool cloexec = call->nr == SYS_dup3 && (call->arg[2] & O_CLOEXEC);

	if (call->nr == SYS_dup) {
		return duplicate(l, call->arg[0], 0, false);
	}
	if (call->nr == SYS_dup3 && (low_int(call->arg[2]) & ~O_CLOEXEC)) {
		return -EINVAL;
	}
	if ((uint32_t)call->arg[0] == (uint32_t)call->arg[1]) {
		struct file *f = call->nr == SYS_dup2 ? file_hold(l, call->arg[0]) : NULL;
		if (f == NULL) {
			return call->nr == SYS_dup2 ? -EBADF : -EINVAL;
		}
		file_drop(l, f);
		return (uint32_t)call->arg[0];
	}
	return duplicate_to(l, call->arg[0], call->arg[1], cloexec);
}

/*
 * Locks of a file are the open file's, not the process's, with which they conflict as another process's would. (When
 * the domain closes a file, the process loses its own locks of it, as with each close of its own.) A wait is a try in
 * each slice.
 */
static long do_lock(const struct answer *a, struct file *f, int command)
{
	struct flock lock;
	long rc = inside_read(a->l, &lock, a->call->arg[2], sizeof(lock));

	if (rc != 0) {
		return rc;
	}
	if (f->kind != FILE_REGULAR) {
		return -EINVAL;
	}
	lock.l_pid = 0;
	if (command == F_GETLK || command == F_OFD_GETLK) {
		rc = sys3(SYS_fcntl, f->real, F_OFD_GETLK, &lock);
		return rc == 0 ? inside_write(a->l, a->call->arg[2], &lock, sizeof(lock)) : rc;
	}
	for (;;) {
		rc = sys3(SYS_fcntl, f->real, F_OFD_SETLK, &lock);
		if (rc != -EAGAIN || (command != F_SETLKW && command != F_OFD_SETLKW)) {
			return rc;
		}
		if (answer_interrupted(a->l, a->t)) {
			return -EINTR;
		}
		struct timespec wait = {.tv_nsec = 10000000};
		sys4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &wait, NULL);
	}
}

static long get_flags(const struct file *f)
{
	if (f->kind == FILE_NULL) {
		return O_RDWR;
	}
	if (f->kind == FILE_STDERR) {
		return O_WRONLY;
	}
	long flags = sys3(SYS_fcntl, f->real, F_GETFL, 0);
	return flags < 0 ? flags : (flags & ~O_NONBLOCK) | (atomic_load(&f->nonblock) ? O_NONBLOCK : 0);
}

/* O_NONBLOCK is ours; O_APPEND is the kernel's; nothing else can be set. */
static long set_flags(struct file *f, int flags)
{
	atomic_store(&f->nonblock, (flags & O_NONBLOCK) != 0);
	if (f->kind != FILE_REGULAR) {
		return 0;
	}
	long is = sys3(SYS_fcntl, f->real, F_GETFL, 0);
	return is < 0 ? is : sys3(SYS_fcntl, f->real, F_SETFL, (is & ~O_APPEND) | (flags & O_APPEND));
}

static long do_fcntl(const struct answer *a, struct file *f)
{
	struct number *n = &a->l->files->numbers[(uint32_t)a->call->arg[0]];
	int command = low_int(a->call->arg[1]), arg = low_int(a->call->arg[2]);

	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		if (arg < 0 || (uint32_t)arg >= a->l->files->nnumbers) {
			return -EINVAL;
		}
		return duplicate(a->l, a->call->arg[0], (uint32_t)arg, command == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return atomic_load(&n->cloexec) ? FD_CLOEXEC : 0;
	case F_SETFD:
		atomic_store(&n->cloexec, (arg & FD_CLOEXEC) != 0);
		return 0;
	case F_GETFL:
		return get_flags(f);
	case F_SETFL:
		return set_flags(f, arg);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return do_lock(a, f, command);
	default:
		return -EINVAL;
	}
}

bool numbers_call(const struct answer *a, long *result)
{
	switch (a->call->nr) {
	case SYS_close:
		*result = number_take_away(a->l, a->call->arg[0]);
		return true;
	case SYS_dup:
	case SYS_dup2:
	case SYS_dup3:
		*result = do_dup(a->l, a->call);
		return true;
	case SYS_fcntl: {
		struct file *f = file_hold(a->l, a->call->arg[0]);
		*result = -EBADF;
		if (f != NULL) {
			*result = do_fcntl(a, f);
			file_drop(a->l, f);
		}
		return true;
	}
	default:
		return false;
	}
}

bool files_call(struct library *l, struct thread *t, const struct mediated *call, long *result)
{
	const struct answer a = {l, t, call};

	return numbers_call(&a, result) || path_call(&a, result) || io_call(&a, result) || poll_call(&a, result) ||
	       sockets_call(&a, result);
}
