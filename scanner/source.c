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
	if (src->fd < 0) {
		part.mem = src->mem + off;
	}
	part.base = src->base + off;
	part.size = len;
	return part;
}

int source_read_some(const struct source *src, uint64_t off, void *buf, size_t len, size_t *got)
{
	size_t done = 0;

	*got = 0;
	if (off >= src->size) {
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
