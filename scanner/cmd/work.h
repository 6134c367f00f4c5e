/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of one run of `lychgate scan` share, and what worker threads do with a job. */
#ifndef LYCHGATE_CMD_WORK_H
#define LYCHGATE_CMD_WORK_H

#include "baseline.h"
#include "pool.h"
#include "progress.h"
#include "report.h"

struct scan {
	const struct scan_options *opts;
	struct report report;
	bool color_err;
	struct baseline *baseline; /* NULL: none */
	struct pool *pool;
	struct progress *progress;    /* NULL: none */
	struct tally total;           /* written by emit only */
	atomic_bool baseline_scanned; /* the baseline file is among what was scanned */
};

/* Scans a job's file or process. */
void work_run(void *scan, struct job *job);

/*
 * Adds a diagnostic to a result: a line for standard error and what the format wants. Errors do not
 * count as unreadable by this.
 */
void work_diag(const struct scan *scan, struct result *result, const struct lych_diag *diag);

/* Says that something could not be read, and counts it. */
void work_unreadable(const struct scan *scan, struct result *result, const char *path, int err,
		     const char *message);

#endif /* LYCHGATE_CMD_WORK_H */
