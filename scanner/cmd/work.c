/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "work.h"

struct work {
	struct scan *scan;
	struct job *job;
	struct buf key; /* kept between findings */
	bool said_why;  /* an error was reported */
	bool no_memory;
	bool stopped; /* output failed: nothing more is said */
	uint64_t moved; /* bytes that the progress bar knows of */
};

/* ---- what is said --------------------------------------------------------------------------- */

void work_diag(const struct scan *scan, struct result *result, const struct lych_diag *diag)
{
	static const struct {
		const char *word;
		const char *color;
	} severities[] = {
		[LYCH_DIAG_NOTE] = {"note", CMD_CYAN},
		[LYCH_DIAG_WARNING] = {"warning", CMD_YELLOW},
		[LYCH_DIAG_ERROR] = {"error", CMD_RED},
	};
	const struct scan_options *opts = scan->opts;

	if (diag->severity == LYCH_DIAG_NOTE && !opts->verbose) {
		return;
	}
	if (diag->severity == LYCH_DIAG_ERROR || !opts->quiet) {
		buf_str(&result->err, "lychgate: ");
		finding_name(&result->err, diag->path, diag->member, result->pid);
		buf_printf(&result->err, ": %s%s:%s ",
			   scan->color_err ? severities[diag->severity].color : "",
			   severities[diag->severity].word, scan->color_err ? CMD_RESET : "");
		buf_name(&result->err, diag->message);
		buf_str(&result->err, "\n");
	}
	if (scan->report.ops->diag != NULL) {
		scan->report.ops->diag(&scan->report, result, diag);
	}
}

void work_unreadable(const struct scan *scan, struct result *result, const char *path, int err,
		     const char *message)
{
	struct lych_diag diag = {
		.severity = LYCH_DIAG_ERROR,
		.err = err,
		.path = path,
		.member = "",
		.message = message,
	};

	work_diag(scan, result, &diag);
	result->tally.unreadable++;
}

/* Which errors only say that a file found in a directory is none for us. */
static bool not_for_us(int err, enum skip *skip)
{
	switch (err) {
	case -ENOEXEC:
		*skip = SKIP_NOT_CODE;
		return true;
	case -EPROTOTYPE:
		*skip = SKIP_FOREIGN;
		return true;
	case -ELIBBAD:
		*skip = SKIP_CORE;
		return true;
	default:
		return false;
	}
}

static void on_diag(void *ctx, const struct lych_diag *diag)
{
	struct work *work = ctx;
	struct lych_diag milder = *diag;
	enum skip skip;

	if (diag->severity == LYCH_DIAG_ERROR && !work->job->by_name &&
	    not_for_us(diag->err, &skip)) {
		if (skip == SKIP_NOT_CODE) {
			return;
		}
		milder.severity = LYCH_DIAG_NOTE;
	}
	work->said_why = work->said_why || milder.severity == LYCH_DIAG_ERROR;
	if (work->stopped) {
		return; /* nobody will read it */
	}
	work_diag(work->scan, &work->job->result, &milder);
	/* An archive can have millions of members, and something to say about each. */
	work->stopped = pool_grown(work->scan->pool, work->job) != 0;
}

static enum standing standing_of(const struct scan *scan, const struct lych_finding *finding,
				 const char *key)
{
	if (finding->verdict == LYCH_VERDICT_CHECKED || finding->verdict == LYCH_VERDICT_GATE ||
	    (finding->verdict == LYCH_VERDICT_RUNTIME && scan->opts->assume_runtime)) {
		return STANDING_ACCEPTED;
	}
	if ((scan->opts->fail_on & LYCH_CLASS_BIT(finding->cls)) == 0) {
		return STANDING_REPORTED;
	}
	if (scan->baseline != NULL && baseline_knows(scan->baseline, key)) {
		return STANDING_KNOWN;
	}
	return STANDING_FAILS;
}

static int on_finding(void *ctx, const struct lych_finding *finding)
{
	struct work *work = ctx;
	struct scan *scan = work->scan;
	struct result *result = &work->job->result;
	struct hit hit = {.finding = finding, .pid = result->pid};

	work->key.len = 0;
	baseline_key(&work->key, finding);
	buf_add(&work->key, "", 1);
	if (work->key.failed) {
		work->no_memory = true;
		return 1;
	}
	hit.key = work->key.data;
	hit.standing = standing_of(scan, finding, hit.key);
	result->tally.findings[hit.standing]++;
	result->tally.nameless += hit.standing == STANDING_FAILS && hit.key[0] == '\0';
	result->tally.count[hit.standing][finding->cls][finding->verdict][finding->placement]++;
	if (scan->opts->format != FORMAT_TEXT || !scan->opts->quiet) {
		scan->report.ops->finding(&scan->report, result, &hit);
	}
	if (scan->opts->update_baseline && hit.key[0] != '\0' &&
	    (hit.standing == STANDING_FAILS || hit.standing == STANDING_KNOWN)) {
		buf_str(&result->keys, hit.key);
		buf_str(&result->keys, "\t");
		finding_name(&result->keys, finding->path, finding->member, 0);
		buf_str(&result->keys, "\n");
	}
	return pool_grown(scan->pool, work->job);
}

/* ---- what is done --------------------------------------------------------------------------- */

static void on_progress(void *ctx, uint64_t bytes)
{
	struct work *work = ctx;

	work->moved += bytes;
	progress_add(work->scan->progress, bytes);
}

static struct lych_scan_opts library_options(struct work *work)
{
	const struct scan_options *opts = work->scan->opts;
	struct lych_scan_opts lib = LYCH_SCAN_OPTS_INIT;

	lib.classes = opts->classes;
	lib.flags = opts->flags;
	lib.raw_vaddr = opts->base;
	lib.max_bytes = opts->max_bytes;
	lib.timeout_ms = opts->timeout_ms;
	lib.finding = on_finding;
	lib.diag = on_diag;
	lib.ctx = work;
	lib.progress = on_progress;
	return lib;
}

static void skipped(struct work *work, enum skip skip, const char *message)
{
	struct lych_diag diag = {
		.severity = LYCH_DIAG_NOTE,
		.path = work->job->path,
		.member = "",
		.message = message,
	};

	work_diag(work->scan, &work->job->result, &diag);
	work->job->result.tally.skipped[skip]++;
}

/* Opens the job's file; negative, and said why, when it cannot be scanned. */
static int open_file(struct work *work, struct stat *st)
{
	struct job *job = work->job;
	const char *name =
		job->dir == NULL ? job->path : job->path + strlen(job->path) - job->name_len;
	int flags =
		O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | (job->dir != NULL ? O_NOFOLLOW : 0);
	int fd;
	int err;

	/* Opening a device can do something; what a directory lists as a file is looked at below.
	 */
	if (job->dir == NULL && stat(name, st) == 0 && !S_ISREG(st->st_mode)) {
		errno = ENOTSUP;
		fd = -1;
	} else {
		fd = openat(job->dir != NULL ? job->dir->fd : AT_FDCWD, name, flags);
	}
	if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode)) {
		return fd;
	}
	err = fd >= 0 ? ENOTSUP : errno;
	if (fd >= 0) {
		close(fd);
	}
	if (job->dir != NULL && err == ENOENT) {
		skipped(work, SKIP_VANISHED, "vanished meanwhile");
	} else if (!job->by_name &&
		   (err == ENOTSUP || (job->dir != NULL && (err == ELOOP || err == ENXIO)))) {
		skipped(work, SKIP_IRREGULAR, "not a regular file");
	} else {
		work_unreadable(work->scan, &job->result, job->path, -err, cmd_strerror(err));
	}
	return -1;
}

static void finish(struct work *work, int rc)
{
	struct job *job = work->job;
	struct tally *tally = &job->result.tally;
	bool scanned = rc == 0 || tally->stats.images != 0;
	enum skip skip;

	if (job->kind == JOB_PROCESS) {
		tally->processes += scanned;
	} else {
		tally->files += scanned;
	}
	if (rc == -ENOMEM) {
		work->no_memory = true;
	} else if (rc != 0 && !job->by_name && not_for_us(rc, &skip)) {
		/* An archive with some members for another machine was scanned, all the same. */
		tally->skipped[skip] += tally->stats.images == 0;
	} else if (rc != 0 && rc != -ECANCELED) {
		if (!work->said_why) {
			work_unreadable(work->scan, &job->result, job->path, rc, cmd_strerror(rc));
		} else {
			tally->unreadable++;
		}
	}
	if (work->scan->opts->verbose && work->scan->report.ops->file != NULL && scanned) {
		work->scan->report.ops->file(&work->scan->report, &job->result, job->path, rc);
	}
}

void work_run(void *ctx, struct job *job)
{
	struct scan *scan = ctx;
	struct work work = {.scan = scan, .job = job};
	struct lych_scan_opts lib = library_options(&work);
	struct stat st = {0};
	int fd;
	int rc;

	if (job->kind == JOB_PROCESS) {
		rc = lych_scan_process(job->result.pid, &lib, &job->result.tally.stats);
		finish(&work, rc);
	} else {
		fd = open_file(&work, &st);
		if (fd >= 0) {
			rc = lych_scan_fd(fd, job->path, &lib, &job->result.tally.stats);
			close(fd);
			if (rc != -ENOEXEC && scan->baseline != NULL &&
			    baseline_is(scan->baseline, &st)) {
				atomic_store(&scan->baseline_scanned, true);
			}
			finish(&work, rc);
		}
	}
	if (work.no_memory) {
		job->result.out.failed = true;
	}
	buf_free(&work.key);
	/* What is no code counts as done, too; what is mapped twice was counted twice. */
	progress_file(scan->progress,
		      (uint64_t)st.st_size > work.moved ? (uint64_t)st.st_size - work.moved : 0);
}
