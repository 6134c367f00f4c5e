/* SPDX-License-Identifier: Apache-2.0 */
/* Turns what the user named into jobs. */
#ifndef LYCHGATE_CMD_INPUTS_H
#define LYCHGATE_CMD_INPUTS_H

#include "options.h"

struct scan;

/* Whether --exclude leaves out a file or directory, by its path as shown or its last name. */
bool inputs_excluded(const struct scan_options *opts, const char *path, const char *name);

/*
 * Submits a job for each file and process: paths, --files-from, --deps, --pid, each in the order
 * given. Returns 0, -ECANCELED when the pool was stopped, or -ENOMEM.
 */
int inputs_submit(struct scan *scan);

#endif /* LYCHGATE_CMD_INPUTS_H */
