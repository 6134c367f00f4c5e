/* SPDX-License-Identifier: Apache-2.0 */
/* `lychgate scan`: sets up one run, writes results in order, and decides on the exit code. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inputs.h"
#include "work.h"

/* One caller at a time (pool.h): the only one that writes while the scan runs. */
static int emit(void *ctx, struct result *result, bool complete)
{
	struct scan *scan = ctx;
	size_t skip = 0;
	int rc = 0;

	if (result_failed(result)) {
		return -ENOMEM;
	}
	if (result->out.len != 0 || result->err.len != 0) {
		progress_pause(scan->progress);
		if (result->out.len != 0) {
			/* What separates a result from the one before is not for the first. */
			skip = scan->report.any ? 0 : strlen(scan->report.ops->separator);
			scan->report.any = true;
			rc = cmd_write(result->out.data + skip, result->out.len - skip);
		}
		if (result->err.len != 0) {
			fwrite(result->err.data, 1, result->err.len, stderr);
		}
		progress_resume(scan->progress);
	}
	if (rc == 0 && result->notes.len != 0) {
		if (scan->report.notes == NULL) {
			scan->report.notes = tmpfile();
		}
		if (scan->report.notes == NULL || fwrite(result->notes.data, 1, result->notes.len,
							 scan->report.notes) != result->notes.len) {
			rc = scan->report.notes == NULL ? -errno : -EIO;
			cmd_error("temporary file: %s", cmd_strerror(rc));
		}
	}
	if (rc == 0 && result->keys.len != 0) {
		rc = baseline_collect(scan->baseline, &result->keys);
	}
	result_free(result);
	if (complete) {
		tally_add(&scan->total, &result->tally);
	}
	return rc;
}

static int exit_code_of(const struct scan *scan)
{
	if (scan->total.findings[STANDING_FAILS] != 0) {
		return EXIT_FINDINGS;
	}
	return scan->total.unreadable != 0 && !scan->opts->skip_unreadable ? EXIT_USAGE
									   : EXIT_CLEAN;
}

/* Returns the exit code, which counts what is in the new baseline as known. */
static int update_baseline(struct scan *scan)
{
	const char *path = scan->opts->baseline;
	uint64_t nameless;
	size_t count;
	int rc;

	if (atomic_load(&scan->baseline_scanned)) {
		cmd_error("%s was itself scanned: not overwritten", path);
		return EXIT_USAGE;
	}
	if (scan->total.unreadable != 0 && !scan->opts->skip_unreadable) {
		cmd_error(
			"%s: not updated, because not everything could be read (--skip-unreadable)",
			path);
		return exit_code_of(scan);
	}
	rc = baseline_write(scan->baseline, &count);
	if (rc != 0) {
		cmd_error("%s: baseline not written: %s", path, cmd_strerror(rc));
		return rc == -ENOMEM ? EXIT_INTERNAL : EXIT_USAGE;
	}
	if (!scan->opts->quiet) {
		cmd_error("%s: %zu %s written", path, count, count == 1 ? "finding" : "findings");
	}
	nameless = scan->total.nameless;
	if (nameless != 0) {
		cmd_error("%llu findings in memory that belongs to no file cannot be listed in a "
			  "baseline",
			  (unsigned long long)nameless);
		return EXIT_FINDINGS;
	}
	return EXIT_CLEAN;
}

static int finish(struct scan *scan, int rc)
{
	struct buf buf = {0};
	int exit_code;

	if (rc == -ENOMEM) {
		cmd_error("out of memory");
		return EXIT_INTERNAL;
	}
	if (rc == -EFBIG) {
		cmd_error("%s: too many findings for a baseline", scan->opts->baseline);
		return EXIT_INTERNAL;
	}
	if (rc != 0) {
		return EXIT_INTERNAL; /* main says that output was lost */
	}
	exit_code = scan->opts->update_baseline ? update_baseline(scan) : exit_code_of(scan);
	scan->report.ops->end(&scan->report, &buf, &scan->total, exit_code);
	rc = report_write(&buf);
	if (!scan->opts->quiet) {
		buf_str(&buf, "lychgate: ");
		tally_sentence(&buf, &scan->total, scan->opts->verbose);
		buf_str(&buf, "\n");
		fwrite(buf.data, 1, buf.len, stderr);
	}
	buf_free(&buf);
	return rc == 0 ? exit_code : EXIT_INTERNAL;
}

static int run(struct scan *scan)
{
	static const struct pool_ops ops = {.work = work_run, .emit = emit};
	struct buf head = {0};
	int submitted;
	int rc;

	scan->report.ops->begin(&scan->report, &head);
	rc = report_write(&head);
	buf_free(&head);
	if (rc != 0) {
		return finish(scan, rc);
	}
	rc = pool_new(&scan->pool, scan->opts->threads, &ops, scan);
	if (rc == -EAGAIN) {
		cmd_error("threads cannot be started: %s", cmd_strerror(rc));
		return EXIT_INTERNAL;
	}
	if (rc != 0) {
		return finish(scan, rc);
	}
	scan->progress = progress_new(scan->opts);
	submitted = inputs_submit(scan);
	rc = pool_finish(scan->pool);
	progress_free(scan->progress);
	return finish(scan, rc != 0 ? rc : submitted);
}

int cmd_scan(int argc, char **argv)
{
	static const struct report_ops *const formats[] = {
		[FORMAT_TEXT] = &report_text,
		[FORMAT_JSONL] = &report_jsonl,
		[FORMAT_SARIF] = &report_sarif,
	};
	struct scan_options opts;
	struct scan scan = {.opts = &opts};
	char *cwd = NULL;
	int rc;

	if (scan_options_parse(&opts, argc, argv) != 0) {
		cmd_error("out of memory");
		return EXIT_INTERNAL;
	}
	if (opts.npids > 0 && access("/proc/self/maps", R_OK) != 0) {
		cmd_error("--pid needs /proc, which is not mounted here");
		rc = EXIT_PLATFORM;
		goto out;
	}
	if (opts.baseline != NULL) {
		rc = baseline_load(&scan.baseline, opts.baseline, opts.update_baseline);
		if (rc != 0) {
			rc = rc == -ENOMEM ? EXIT_INTERNAL : EXIT_USAGE;
			goto out;
		}
	}
	json_object_seed(0); /* before there are threads */
	cwd = getcwd(NULL, 0);
	scan.report.ops = formats[opts.format];
	scan.report.opts = &opts;
	scan.report.cwd = cwd != NULL && cwd[0] == '/' ? cwd : NULL;
	scan.report.color = cmd_color_enabled(STDOUT_FILENO, opts.color);
	scan.color_err = cmd_color_enabled(STDERR_FILENO, opts.color);
	rc = run(&scan);
	if (scan.report.notes != NULL) {
		fclose(scan.report.notes);
	}
out:
	baseline_free(scan.baseline);
	free(cwd);
	scan_options_free(&opts);
	return rc;
}
