/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where bytes come from: memory, a part of a file, or a process. Random access, never mapped, so that
 * a file that shrinks or a process that exits gives an error instead of a signal. Sources are
 * values: copying one is allowed, nothing to free; what they point at belongs to the caller.
 */
#ifndef LYCH_SOURCE_H
#define LYCH_SOURCE_H

#include <lychgate/scan.h>

struct source {
	const uint8_t *mem; /* memory, when fd is -1 */
	int fd;             /* file or /proc/PID/mem, read with pread */
	uint64_t base;      /* offset of byte 0 of this source in fd */
	uint64_t size;      /* bytes in this source */
};

struct source source_from_memory(const void *mem, size_t len);
struct source source_from_fd(int fd, uint64_t base, uint64_t size);

/* A part of a source; off and len are clipped to it. */
struct source source_part(const struct source *src, uint64_t off, uint64_t len);

/*
 * source_read copies exactly len bytes at off. Returns 0; -ENODATA when off+len is beyond size;
 * -ESTALE when the file ends earlier than size says; -EIO, -ESRCH (process memory that is gone).
 */
LYCH_MUST_CHECK int source_read(const struct source *src, uint64_t off, void *buf, size_t len);

/* The same for as many bytes as there are; *got <= len. 0 bytes at or beyond the end is not an error. */
LYCH_MUST_CHECK int source_read_some(const struct source *src, uint64_t off, void *buf, size_t len,
				     size_t *got);

#endif /* LYCH_SOURCE_H */
