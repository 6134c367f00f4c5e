/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that name a path. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "files_parts.h"

#define OPEN_FLAGS \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | \
	 0100000 /* O_LARGEFILE */ | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME)

/* -EACCES: something that nobody may open, which is closed. */
static long kind_of(long real, enum file_kind *kind)
{
	if (path_kind(real, kind)) {
		return 0;
	}
	sys1(SYS_close, real);
	return -EACCES;
}

static long do_open(const struct answer *a, uint64_t dirfd, uint64_t at, uint64_t flags, uint64_t mode)
{
	char path[RULES_PATH_BYTES], place[RULES_PATH_BYTES];
	uint64_t access = flags & O_ACCMODE;
	struct want want = {.write = access != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0};
	enum file_kind kind;
	bool slash;

	if (flags & ~(uint64_t)OPEN_FLAGS || access == O_ACCMODE) {
		return -EINVAL;
	}
	long rc = path_read(a, dirfd, at, path, &slash);
	if (rc != 0) {
		return rc;
	}
	memcpy(place, path, strlen(path) + 1);
	want.last = (flags & O_NOFOLLOW) || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
	mode = flags & O_CREAT ? mode & 0777 & ~(uint64_t)atomic_load(&a->l->files->mask) : 0;
	/* O_NONBLOCK: what was put there just now, and would wait, is refused anyway */
	uint64_t real_flags = (flags & ~(uint64_t)(O_NOFOLLOW | O_NOATIME)) | O_NOCTTY | O_NONBLOCK | O_CLOEXEC |
			      (slash ? O_DIRECTORY : 0);
	long real = path_follow(a, path, real_flags, mode, &want);
	if (real == -ELOOP && (flags & O_EXCL)) {
		return -EEXIST;
	}
	if (real < 0) {
		return real;
	}
	if (kind_of(real, &kind) != 0) {
		return path_refused(a, path);
	}
	return file_new(a->l, (int)real, kind, kind == FILE_DIR ? place : NULL, (int)flags);
}

static long do_openat2(const struct answer *a)
{
	const uint64_t *arg = a->call->arg;
	struct open_how_64 how;

	if (arg[3] != sizeof(how)) {
		return arg[3] < sizeof(how) ? -EINVAL : -E2BIG;
	}
	long rc = inside_read(a->l, &how, arg[2], sizeof(how));
	if (rc != 0) {
		return rc;
	}
	return how.resolve != 0 ? -EINVAL : do_open(a, arg[0], arg[1], how.flags, how.mode);
}

/* struct stat of what has no descriptor behind it: like /dev/null, or a pipe. */
static void stat_made_up(const struct file *f, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = f->kind == FILE_NULL ? S_IFCHR | 0666 : S_IFIFO | 0200;
	st->st_rdev = f->kind == FILE_NULL ? makedev(1, 3) : 0;
	st->st_nlink = 1;
	st->st_blksize = LYCH_PAGE;
}

static long stat_file(const struct answer *a, uint64_t fd, uint64_t to)
{
	struct file *f = file_hold(a->l, fd);
	struct stat st;
	long rc;

	if (f == NULL) {
		return -EBADF;
	}
	if (f->real < 0) {
		stat_made_up(f, &st);
		rc = inside_write(a->l, to, &st, sizeof(st));
	} else {
		rc = outside(a, to, sizeof(st)) ? -EFAULT : arena_call(a, SYS_fstat, f->real, (long)to, 0, 0, 0, 0);
	}
	file_drop(a->l, f);
	return rc;
}

/* Is the path empty, and meant so? Then dirfd itself is looked at. */
static bool means_itself(const struct answer *a, uint64_t at, uint64_t flags)
{
	char c;

	return (flags & AT_EMPTY_PATH) && (at == 0 || (inside_read(a->l, &c, at, 1) == 0 && c == '\0'));
}

static long do_stat(const struct answer *a, uint64_t dirfd, uint64_t at, uint64_t to, uint64_t flags)
{
	struct stat st;

	if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) {
		return -EINVAL;
	}
	if (means_itself(a, at, flags) && low_int(dirfd) != AT_FDCWD) {
		return stat_file(a, dirfd, to);
	}
	long real = path_look(a, dirfd, at, flags & AT_SYMLINK_NOFOLLOW, false);
	if (real < 0) {
		return real;
	}
	long rc = sys2(SYS_fstat, real, &st);
	sys1(SYS_close, real);
	return rc == 0 ? inside_write(a->l, to, &st, sizeof(st)) : rc;
}

static long do_statx(const struct answer *a)
{
	const uint64_t *arg = a->call->arg, flags = arg[2];
	struct statx stx;
	struct file *f = NULL;
	long real, rc;

	if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE)) {
		return -EINVAL;
	}
	if (means_itself(a, arg[1], flags) && low_int(arg[0]) != AT_FDCWD) {
		f = file_hold(a->l, arg[0]);
		if (f == NULL) {
			return -EBADF;
		}
		real = f->real;
	} else {
		real = path_look(a, arg[0], arg[1], flags & AT_SYMLINK_NOFOLLOW, false);
		if (real < 0) {
			return real;
		}
	}
	memset(&stx, 0, sizeof(stx));
	if (real < 0) {
		struct stat st;
		stat_made_up(f, &st);
		stx.stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK;
		stx.stx_mode = (uint16_t)st.st_mode;
		stx.stx_nlink = 1;
		stx.stx_blksize = LYCH_PAGE;
		rc = 0;
	} else {
		rc = sys5(SYS_statx, real, "", AT_EMPTY_PATH | (flags & AT_STATX_SYNC_TYPE), (uint32_t)arg[3], &stx);
	}
	if (f != NULL) {
		file_drop(a->l, f);
	} else {
		sys1(SYS_close, real);
	}
	return rc == 0 ? inside_write(a->l, arg[4], &stx, sizeof(stx)) : rc;
}

static long do_access(const struct answer *a, uint64_t dirfd, uint64_t at, uint64_t mode, uint64_t flags)
{
	if (mode & ~7ULL || flags & ~(uint64_t)(AT_EACCESS | AT_SYMLINK_NOFOLLOW)) {
		return -EINVAL;
	}
	long real = path_look(a, dirfd, at, flags & AT_SYMLINK_NOFOLLOW, mode & 2);
	if (real < 0) {
		return real;
	}
	long rc = sys4(SYS_faccessat2, real, "", mode, AT_EMPTY_PATH | (flags & AT_EACCESS));
	sys1(SYS_close, real);
	return rc;
}

static long do_readlink(const struct answer *a, uint64_t dirfd, uint64_t at, uint64_t to, uint64_t bytes)
{
	char target[RULES_PATH_BYTES];

	if (low_int(bytes) <= 0) {
		return -EINVAL;
	}
	long real = path_look(a, dirfd, at, true, false);
	if (real < 0) {
		return real;
	}
	long n = sys4(SYS_readlinkat, real, "", target, bytes < sizeof(target) ? bytes : sizeof(target));
	sys1(SYS_close, real);
	n = n == -ENOENT ? -EINVAL : n; /* what the kernel says of a descriptor that is no link */
	long rc = n > 0 ? inside_write(a->l, to, target, (uint64_t)n) : n;
	return rc < 0 ? rc : n;
}

/* What changes a directory: the last component is a name in its parent, and no link there is followed. */
struct entry {
	long parent; /* O_PATH */
	char name[NAME_MAX + 1];
};

static long entry_open(const struct answer *a, uint64_t dirfd, uint64_t at, struct entry *e)
{
	char path[RULES_PATH_BYTES];
	struct want want = {.write = true};
	bool slash;
	long rc = path_read(a, dirfd, at, path, &slash);

	if (rc != 0) {
		return rc;
	}
	char *last = strrchr(path, '/');
	size_t bytes = strlen(last + 1);
	if (bytes == 0) {
		return -EBUSY; /* "/" */
	}
	if (bytes > NAME_MAX) {
		return -ENAMETOOLONG;
	}
	memcpy(e->name, last + 1, bytes + 1);
	last[last == path] = '\0';
	e->parent = path_follow(a, path, LOOK | O_DIRECTORY, 0, &want);
	return e->parent < 0 ? e->parent : 0;
}

static long do_unlink(const struct answer *a, uint64_t dirfd, uint64_t at, uint64_t flags)
{
	struct entry e;
	long rc = flags & ~(uint64_t)AT_REMOVEDIR ? -EINVAL : entry_open(a, dirfd, at, &e);

	if (rc == 0) {
		rc = sys3(SYS_unlinkat, e.parent, e.name, flags);
		sys1(SYS_close, e.parent);
	}
	return rc;
}

static long do_mkdir(const struct answer *a, uint64_t dirfd, uint64_t at, uint64_t mode)
{
	struct entry e;
	long rc = entry_open(a, dirfd, at, &e);

	if (rc == 0) {
		rc = sys3(SYS_mkdirat, e.parent, e.name, mode & 0777 & ~(uint64_t)atomic_load(&a->l->files->mask));
		sys1(SYS_close, e.parent);
	}
	return rc;
}

static long do_rename(const struct answer *a, uint64_t from_dir, uint64_t from, uint64_t to_dir, uint64_t to,
		      uint64_t flags)
{
	struct entry old, new;
	long rc = flags & ~3ULL ? -EINVAL : entry_open(a, from_dir, from, &old); /* RENAME_NOREPLACE, RENAME_EXCHANGE */

	if (rc != 0) {
		return rc;
	}
	rc = entry_open(a, to_dir, to, &new);
	if (rc == 0) {
		rc = sys5(SYS_renameat2, old.parent, old.name, new.parent, new.name, flags);
		sys1(SYS_close, new.parent);
	}
	sys1(SYS_close, old.parent);
	return rc;
}

static long do_truncate(const struct answer *a)
{
	char path[RULES_PATH_BYTES];
	struct want want = {.write = true};
	enum file_kind kind;
	bool slash;
	long rc = path_read(a, (uint32_t)AT_FDCWD, a->call->arg[0], path, &slash);

	if (rc != 0) {
		return rc;
	}
	long real = path_follow(a, path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0, &want);
	if (real < 0) {
		return real;
	}
	if (kind_of(real, &kind) != 0) {
		return -EINVAL;
	}
	struct quiet q;
	quiet_begin(&q);
	rc = sys2(SYS_ftruncate, real, a->call->arg[1]);
	quiet_end(&q, rc);
	sys1(SYS_close, real);
	return rc;
}

static long do_getcwd(const struct answer *a)
{
	if (a->call->arg[1] < 2) {
		return -ERANGE;
	}
	long rc = inside_write(a->l, a->call->arg[0], "/", 2);
	return rc == 0 ? 2 : rc;
}

bool path_call(const struct answer *a, long *result)
{
	const uint64_t *arg = a->call->arg, here = (uint32_t)AT_FDCWD;

	switch (a->call->nr) {
	case SYS_open:
		*result = do_open(a, here, arg[0], (uint32_t)arg[1], arg[2]);
		break;
	case SYS_creat:
		*result = do_open(a, here, arg[0], O_CREAT | O_WRONLY | O_TRUNC, arg[1]);
		break;
	case SYS_openat:
		*result = do_open(a, arg[0], arg[1], (uint32_t)arg[2], arg[3]);
		break;
	case SYS_openat2:
		*result = do_openat2(a);
		break;
	case SYS_stat:
		*result = do_stat(a, here, arg[0], arg[1], 0);
		break;
	case SYS_lstat:
		*result = do_stat(a, here, arg[0], arg[1], AT_SYMLINK_NOFOLLOW);
		break;
	case SYS_fstat:
		*result = stat_file(a, arg[0], arg[1]);
		break;
	case SYS_newfstatat:
		*result = do_stat(a, arg[0], arg[1], arg[2], (uint32_t)arg[3]);
		break;
	case SYS_statx:
		*result = do_statx(a);
		break;
	case SYS_access:
		*result = do_access(a, here, arg[0], (uint32_t)arg[1], 0);
		break;
	case SYS_faccessat:
		*result = do_access(a, arg[0], arg[1], (uint32_t)arg[2], 0);
		break;
	case SYS_faccessat2:
		*result = do_access(a, arg[0], arg[1], (uint32_t)arg[2], (uint32_t)arg[3]);
		break;
	case SYS_readlink:
		*result = do_readlink(a, here, arg[0], arg[1], arg[2]);
		break;
	case SYS_readlinkat:
		*result = do_readlink(a, arg[0], arg[1], arg[2], arg[3]);
		break;
	case SYS_unlink:
		*result = do_unlink(a, here, arg[0], 0);
		break;
	case SYS_rmdir:
		*result = do_unlink(a, here, arg[0], AT_REMOVEDIR);
		break;
	case SYS_unlinkat:
		*result = do_unlink(a, arg[0], arg[1], (uint32_t)arg[2]);
		break;
	case SYS_mkdir:
		*result = do_mkdir(a, here, arg[0], arg[1]);
		break;
	case SYS_mkdirat:
		*result = do_mkdir(a, arg[0], arg[1], arg[2]);
		break;
	case SYS_rename:
		*result = do_rename(a, here, arg[0], here, arg[1], 0);
		break;
	case SYS_renameat:
		*result = do_rename(a, arg[0], arg[1], arg[2], arg[3], 0);
		break;
	case SYS_renameat2:
		*result = do_rename(a, arg[0], arg[1], arg[2], arg[3], (uint32_t)arg[4]);
		break;
	case SYS_truncate:
		*result = do_truncate(a);
		break;
	case SYS_getcwd:
		*result = do_getcwd(a);
		break;
	default:
		return false;
	}
	return true;
}
