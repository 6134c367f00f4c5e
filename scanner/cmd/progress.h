/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The progress bar: on standard error when that is a terminal, after the first second. Every
 * function takes NULL for "no progress bar". Thread-safe.
 */
#ifndef LYCHGATE_CMD_PROGRESS_H
#define LYCHGATE_CMD_PROGRESS_H

#include "options.h"

struct progress;

/* NULL when there is no terminal, the user does not want it, or it cannot be had. */
struct progress *progress_new(const struct scan_options *opts);
void progress_free(struct progress *progress);

/* So many bytes are done. */
void progress_add(struct progress *progress, uint64_t bytes);
/* A file is done, with so many bytes that were not added before. */
void progress_file(struct progress *progress, uint64_t bytes);

/* Takes the bar away and keeps it away until progress_resume: something else is printed. */
void progress_pause(struct progress *progress);
void progress_resume(struct progress *progress);

#endif /* LYCHGATE_CMD_PROGRESS_H */
