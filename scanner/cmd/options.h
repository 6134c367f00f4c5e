/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `lychgate scan`, checked. */
#ifndef LYCHGATE_CMD_OPTIONS_H
#define LYCHGATE_CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cmd.h"

enum format { FORMAT_TEXT, FORMAT_JSONL, FORMAT_SARIF };

/* Most threads that -j takes; the pool's window and with it the open files follow from it. */
#define SCAN_THREADS_MAX 256

struct strings {
	const char **v; /* point into argv */
	size_t n;
};

struct scan_options {
	struct strings paths;
	struct strings lists; /* --files-from */
	struct strings deps;
	struct strings excludes;
	pid_t *pids;
	size_t npids;
	const char *library_path;
	const char *baseline;
	bool update_baseline;

	uint32_t classes; /* searched for, fail_on included */
	uint32_t fail_on;
	uint32_t flags; /* LYCH_SCAN_* */
	uint64_t base;
	uint64_t max_bytes;
	uint32_t timeout_ms;
	unsigned threads;

	enum format format;
	enum cmd_color_mode color;
	bool null_separated;
	bool assume_runtime;
	bool skip_unreadable;
	bool summary;
	bool quiet;
	bool verbose;
	bool no_progress;
};

/*
 * Reads and checks the command line. Wrong usage, --help and --version end the process with the
 * exit code they have. Returns 0 or -ENOMEM; strings in *out are argv's own.
 */
int scan_options_parse(struct scan_options *out, int argc, char **argv);
void scan_options_free(struct scan_options *opts);

#endif /* LYCHGATE_CMD_OPTIONS_H */
