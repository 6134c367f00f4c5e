/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "source.h"

struct source source_from_memory(const void *mem, size_t len)
{
	return (struct source){.mem = mem, .fd = -1, .size = len};
}

struct source source_from_fd(int fd, uint64_t base, uint64_t size)
{
	return (struct source){.fd = fd, .base = base, .size = size};
}

struct source source_part(const struct source *src, uint64_t off, uint64_t len)
{
	struct source part = *src;

	off = off < src->size ? off : src->size;
	len = len < src->size - off ? len : src->size - off;
	if (src->fd < 0 && off > 0) {
		part.mem = src->mem + off; /* an empty source may have no memory at all */
	}
	part.base = src->base + off;
	part.size = len;
	return part;
}

int source_read_some(const struct source *src, uint64_t off, void *buf, size_t len, size_t *got)
{
	size_t done = 0;

	*got = 0;
	if (off >= src->size || len == 0) {
		return 0;
	}
	if (len > src->size - off) {
		len = src->size - off;
	}
	if (src->fd < 0) {
		memcpy(buf, src->mem + off, len);
		*got = len;
		return 0;
	}
	while (done < len) {
		ssize_t n = pread(src->fd, (uint8_t *)buf + done, len - done,
				  (off_t)(src->base + off + done));

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			*got = done;
			return errno == ESRCH ? -ESRCH : -EIO;
		}
		if (n == 0) {
			break;
		}
		done += (size_t)n;
	}
	*got = done;
	return 0;
}

int source_read(const struct source *src, uint64_t off, void *buf, size_t len)
{
	size_t got;
	int rc;

	if (off > src->size || len > src->size - off) {
		return -ENODATA;
	}
	rc = source_read_some(src, off, buf, len, &got);
	if (rc == 0 && got < len) {
		return -ESTALE;
	}
	return rc;
}

/* lseek, with the offset of the open file put back where it was. */
static off_t seek_data(int fd, off_t off, int whence)
{
	off_t before = lseek(fd, 0, SEEK_CUR);
	off_t found = lseek(fd, off, whence);
	int error = errno;

	if (before >= 0 && found >= 0) {
		(void)lseek(fd, before, SEEK_SET);
	}
	errno = error;
	return found;
}

int source_next_data(const struct source *src, uint64_t off, uint64_t *start, uint64_t *end)
{
	off_t found;

	if (off >= src->size) {
		return -ENODATA;
	}
	*start = off;
	*end = src->size;
	if (src->fd < 0 || src->base > INT64_MAX - off) {
		return 0;
	}
	found = seek_data(src->fd, (off_t)(src->base + off), SEEK_DATA);
	if (found < 0) {
		/* ENXIO: only a hole is left. Else no such thing as holes here: all is data. */
		return errno == ENXIO ? -ENODATA : 0;
	}
	if ((uint64_t)found < src->base + off) {
		return 0;
	}
	if ((uint64_t)found - src->base >= src->size) {
		return -ENODATA;
	}
	*start = (uint64_t)found - src->base;
	found = seek_data(src->fd, found, SEEK_HOLE);
	if (found > 0 && (uint64_t)found - src->base > *start &&
	    (uint64_t)found - src->base < src->size) {
		*end = (uint64_t)found - src->base;
	}
	return 0;
}
