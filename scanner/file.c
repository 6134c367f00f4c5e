/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "file.h"

int file_error(int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
		return -EACCES;
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
		return -ENOENT;
	case EISDIR:
	case ELOOP:
	case ENOMEM:
	case ESRCH:
		return -err;
	case EMFILE:
	case ENFILE:
		return -ENOMEM;
	case ENXIO:
	case ENODEV:
		return -ENOTSUP;
	default:
		return -EIO;
	}
}

static int check_regular(const struct stat *st)
{
	if (S_ISDIR(st->st_mode)) {
		return -EISDIR;
	}
	return S_ISREG(st->st_mode) ? 0 : -ENOTSUP;
}

int file_open(int dirfd, const char *path, struct stat *st)
{
	struct stat local;
	int fd, rc;

	if (st == NULL) {
		st = &local;
	}
	/* Looked at before: opening a device can already do something. Looked at again after: it
	 * may have been replaced in between. */
	if (fstatat(dirfd, path, st, 0) < 0) {
		return file_error(errno);
	}
	rc = check_regular(st);
	if (rc < 0) {
		return rc;
	}
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		return file_error(errno);
	}
	rc = fstat(fd, st) < 0 ? file_error(errno) : check_regular(st);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

const char *file_clean_name(char *dst, size_t size, const char *name)
{
	size_t i = 0;

	for (; i + 1 < size && name[i] != '\0'; i++) {
		unsigned char c = (unsigned char)name[i];

		dst[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	dst[i] = '\0';
	return dst;
}
