/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Baselines: findings that are known and do not fail. A text file, one finding a line, sorted:
 *
 *	# lychgate baseline 1
 *	xrstor 0x1de66d build-id:3f2a...<TAB>/usr/lib/x86_64-linux-gnu/libcrypto.so.3
 *
 * What stands before the tab is the identity: class, file offset, and build-id, or the path where
 *there is none. What stands behind it is for the reader. A baseline is for files one trusts not to
 *lie: who can write a file can also give it a build-id.
 */
#ifndef LYCHGATE_CMD_BASELINE_H
#define LYCHGATE_CMD_BASELINE_H

#include <sys/stat.h>

#include <lychgate/scan.h>

#include "buf.h"

struct baseline;

/*
 * Adds the identity of a finding; nothing when it has none: memory that belongs to no file, whose
 * address is another the next time.
 */
void baseline_key(struct buf *out, const struct lych_finding *finding);

/*
 * Reads the file at path, which the caller keeps. With may_be_missing a file that does not exist is
 * an empty one. On failure says on stderr why. Returns 0, -ENOMEM, -EBADMSG (not a baseline), or
 * another negative errno value.
 */
int baseline_load(struct baseline **out, const char *path, bool may_be_missing);
void baseline_free(struct baseline *baseline); /* may be NULL */

bool baseline_knows(const struct baseline *baseline, const char *key);

/* Whether a file is the baseline file itself. */
bool baseline_is(const struct baseline *baseline, const struct stat *st);

/* Remembers lines for baseline_write. 0, -ENOMEM, or -EFBIG: more than a baseline can hold. */
int baseline_collect(struct baseline *baseline, const struct buf *lines);

/*
 * Replaces the file by what was collected, by way of a temporary file beside it. Returns 0 and the
 * number of findings in *count, or a negative errno value.
 */
int baseline_write(struct baseline *baseline, size_t *count);

#endif /* LYCHGATE_CMD_BASELINE_H */
