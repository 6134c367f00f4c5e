/* SPDX-License-Identifier: Apache-2.0 */
/* Opening files that somebody else chose the name of. */
#ifndef LYCH_FILE_H
#define LYCH_FILE_H

#include <sys/stat.h>

#include <lychgate/scan.h>

/* An errno value as one of error.h, negative. */
int file_error(int err);

/*
 * file_open opens a regular file for reading and fills *st (which may be NULL). Never opens a
 * device, waits for a FIFO, or becomes anybody's controlling terminal. Returns the descriptor, or
 * -ENOENT, -EACCES, -ELOOP, -EISDIR, -ENOTSUP, -ENOMEM, -EIO.
 */
LYCH_MUST_CHECK int file_open(int dirfd, const char *path, struct stat *st);

/* Copies a name for a report; control characters become '?'. Cut off to fit. Returns dst. */
const char *file_clean_name(char *dst, size_t size, const char *name);

#endif /* LYCH_FILE_H */
