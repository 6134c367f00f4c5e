/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where bytes come from: memory, a part of a file, or a process. Random access, never mapped, so
 * that a file that shrinks or a process that exits gives an error instead of a signal. Sources are
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

/* The same for as many bytes as there are; *got <= len. 0 bytes at or beyond the end is not an
 * error. */
LYCH_MUST_CHECK int source_read_some(const struct source *src, uint64_t off, void *buf, size_t len,
				     size_t *got);

/*
 * source_next_data gives the next stretch of data at or after off: *start >= off, *end > *start.
 * Between stretches the file has holes, which read as zeros. For memory, and where holes are not
 * known, it is all the rest. Returns 0, or -ENODATA: no data from off on.
 *
 * Asks lseek(2), which moves the offset of the open file; it is put back at once. Who shares that
 * open file with code that uses its offset meanwhile must not call this.
 */
LYCH_MUST_CHECK int source_next_data(const struct source *src, uint64_t off, uint64_t *start,
				     uint64_t *end);

#endif /* LYCH_SOURCE_H */
