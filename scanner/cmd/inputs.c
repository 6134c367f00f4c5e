/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inputs.h"
#include "work.h"

/* Longer than any path that can be opened by name: 16 times PATH_MAX. */
#define LIST_NAME_MAX 65536

struct inputs {
	struct scan *scan;
	bool by_name; /* named on the command line, not in a list */
	void *deps;   /* tree of the paths that --deps gave already */
	int status;
};

bool inputs_excluded(const struct scan_options *opts, const char *path, const char *name)
{
	for (size_t i = 0; i < opts->excludes.n; i++) {
		if (fnmatch(opts->excludes.v[i], name, 0) == 0 ||
		    fnmatch(opts->excludes.v[i], path, 0) == 0) {
			return true;
		}
	}
	return false;
}

/* Messages go through the pool as well, so that they come in order. */
static struct job *message(struct inputs *inputs, const char *path)
{
	struct job *job = job_new(JOB_MESSAGE, path);

	if (job == NULL) {
		inputs->status = -ENOMEM;
	}
	return job;
}

static int submit(struct inputs *inputs, struct job *job)
{
	if (job == NULL) {
		inputs->status = -ENOMEM;
	} else if (pool_submit(inputs->scan->pool, job) != 0) {
		inputs->status = -ECANCELED;
	}
	return inputs->status;
}

static void unreadable(struct inputs *inputs, const char *path, int err, const char *text)
{
	struct job *job = message(inputs, path);

	if (job != NULL) {
		work_unreadable(inputs->scan, &job->result, path, err, text);
		submit(inputs, job);
	}
}

static void skip(struct inputs *inputs, const char *path, enum skip kind, const char *text)
{
	struct lych_diag diag = {
		.severity = LYCH_DIAG_NOTE, .path = path, .member = "", .message = text};
	struct job *job = message(inputs, path);

	if (job != NULL) {
		if (text != NULL) {
			work_diag(inputs->scan, &job->result, &diag);
		}
		job->result.tally.skipped[kind]++;
		submit(inputs, job);
	}
}

/* ---- directories ---------------------------------------------------------------------------- */

static int walked_file(void *ctx, struct walk_dir *dir, const char *path, size_t name_len)
{
	struct inputs *inputs = ctx;
	struct job *job = job_new(JOB_FILE, path);

	if (job != NULL) {
		job->dir = walk_dir_get(dir);
		job->name_len = name_len;
	}
	return submit(inputs, job);
}

static void walked_event(void *ctx, enum walk_event event, const char *path, int err)
{
	struct inputs *inputs = ctx;

	switch (event) {
	case WALK_IRREGULAR:
		skip(inputs, path, SKIP_IRREGULAR, NULL);
		break;
	case WALK_VANISHED:
		skip(inputs, path, SKIP_VANISHED, "vanished meanwhile");
		break;
	case WALK_PSEUDO:
		skip(inputs, path, SKIP_PSEUDO, "a pseudo file system is not entered");
		break;
	case WALK_ERROR:
		unreadable(inputs, path, err,
			   err == -ENAMETOOLONG ? "nested too deeply" : cmd_strerror(err));
		break;
	}
}

static bool walked_excluded(void *ctx, const char *path, const char *name)
{
	struct inputs *inputs = ctx;
	bool excluded = inputs_excluded(inputs->scan->opts, path, name);

	if (excluded) {
		skip(inputs, path, SKIP_EXCLUDED, NULL);
	}
	return excluded;
}

/* ---- one name ------------------------------------------------------------------------------- */

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static int take_path(struct inputs *inputs, const char *path)
{
	static const struct walk_ops ops = {walked_file, walked_event, walked_excluded};
	struct job *job;
	struct stat st;
	int rc;

	if (inputs_excluded(inputs->scan->opts, path, last_name(path))) {
		skip(inputs, path, SKIP_EXCLUDED, NULL);
		return inputs->status;
	}
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		rc = walk_tree(path, &ops, inputs);
		if (rc != 0) {
			inputs->status = rc;
		}
		return inputs->status;
	}
	/* What cannot be looked at is the worker's to report. */
	job = job_new(JOB_FILE, path);
	if (job != NULL) {
		job->by_name = inputs->by_name;
	}
	return submit(inputs, job);
}

/* ---- --files-from --------------------------------------------------------------------------- */

struct list {
	int fd;
	char *data; /* LIST_NAME_MAX bytes and a NUL */
	size_t pos;
	size_t len;
	bool ended;
	bool too_long; /* passing over the rest of a name that is too long */
	char delimiter;
};

/* Moves what is left to the front and reads until the buffer is full or the list ends. */
static int list_fill(struct list *list)
{
	ssize_t n;

	memmove(list->data, list->data + list->pos, list->len - list->pos);
	list->len -= list->pos;
	list->pos = 0;
	while (!list->ended && list->len < LIST_NAME_MAX) {
		n = read(list->fd, list->data + list->len, LIST_NAME_MAX - list->len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return -errno;
		}
		list->ended = n == 0;
		list->len += (size_t)n;
	}
	return 0;
}

/* The next name, or NULL at the end or on an error, which is in *rc: -ENAMETOOLONG and go on is
 * one. */
static const char *list_next(struct list *list, int *rc)
{
	for (*rc = 0;;) {
		char *name = list->data + list->pos;
		char *end = memchr(name, list->delimiter, list->len - list->pos);

		if (end == NULL && !list->ended && (list->pos > 0 || list->len < LIST_NAME_MAX)) {
			*rc = list_fill(list);
			if (*rc != 0) {
				return NULL;
			}
			continue;
		}
		if (end == NULL && !list->ended) {
			list->pos = list->len;
			list->too_long = true;
			continue;
		}
		if (end == NULL) {
			end = list->data + list->len;
			list->pos = list->len;
		} else {
			list->pos = (size_t)(end - list->data) + 1;
		}
		*end = '\0';
		if (list->too_long) {
			list->too_long = false;
			*rc = -ENAMETOOLONG;
			return NULL;
		}
		if (name[0] != '\0') {
			return name;
		}
		if (list->ended && list->pos == list->len) {
			return NULL;
		}
	}
}

static int take_list(struct inputs *inputs, const char *file)
{
	bool standard = strcmp(file, "-") == 0;
	struct list list = {.fd = standard ? STDIN_FILENO
					   : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY)};
	const char *shown = standard ? "standard input" : file;
	const char *name;
	int rc;

	if (list.fd < 0) {
		unreadable(inputs, file, -errno, cmd_strerror(errno));
		return inputs->status;
	}
	list.data = malloc(LIST_NAME_MAX + 1);
	rc = list.data == NULL ? -ENOMEM : list_fill(&list);
	/* A path never holds a NUL byte: where there is one, NUL separates. */
	if (rc == 0) {
		bool has_nul = memchr(list.data, '\0', list.len) != NULL;

		list.delimiter = inputs->scan->opts->null_separated || has_nul ? '\0' : '\n';
	}
	while (rc == 0 && inputs->status == 0) {
		name = list_next(&list, &rc);
		if (name != NULL) {
			take_path(inputs, name);
		} else if (rc == -ENAMETOOLONG) {
			unreadable(inputs, shown, rc, "a name in the list is too long");
			rc = 0;
		} else {
			break;
		}
	}
	if (rc == -ENOMEM) {
		inputs->status = rc;
	} else if (rc != 0) {
		unreadable(inputs, shown, rc, cmd_strerror(rc));
	}
	free(list.data);
	if (!standard) {
		close(list.fd);
	}
	return inputs->status;
}

/* ---- --deps --------------------------------------------------------------------------------- */

struct deps {
	struct inputs *inputs;
	struct job *message; /* diagnostics so far; NULL: none */
	bool said_why;
};

static int compare_paths(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int found_dependency(void *ctx, const char *path, const char *needed)
{
	struct deps *deps = ctx;
	struct inputs *inputs = deps->inputs;
	char *copy = strdup(path);
	char **node;

	(void)needed;
	if (copy == NULL) {
		inputs->status = -ENOMEM;
		return 1;
	}
	node = tsearch(copy, &inputs->deps, compare_paths);
	if (node == NULL || *node != copy) {
		free(copy); /* two programs share it */
		inputs->status = node == NULL ? -ENOMEM : 0;
		return inputs->status;
	}
	return take_path(inputs, path);
}

static void dependency_diag(void *ctx, const struct lych_diag *diag)
{
	struct deps *deps = ctx;

	if (deps->message == NULL) {
		deps->message = message(deps->inputs, diag->path);
	}
	if (deps->message != NULL) {
		work_diag(deps->inputs->scan, &deps->message->result, diag);
	}
	deps->said_why = deps->said_why || diag->severity == LYCH_DIAG_ERROR;
}

static int take_deps(struct inputs *inputs, const char *exe)
{
	struct deps deps = {.inputs = inputs};
	struct lych_deps_opts opts = {
		.size = sizeof(opts),
		.library_path = inputs->scan->opts->library_path,
		.diag = dependency_diag,
		.ctx = &deps,
	};
	int rc = lych_deps(exe, &opts, found_dependency, &deps);

	if (rc == -ENOMEM) {
		inputs->status = rc;
	}
	if (rc != 0 && inputs->status == 0 && deps.message == NULL) {
		deps.message = message(inputs, exe);
	}
	if (deps.message == NULL) {
		return inputs->status;
	}
	if (rc != 0) {
		if (deps.said_why) {
			deps.message->result.tally.unreadable++;
		} else {
			work_unreadable(inputs->scan, &deps.message->result, exe, rc,
					cmd_strerror(rc));
		}
	}
	if (inputs->status != 0) {
		job_free(deps.message);
		return inputs->status;
	}
	return submit(inputs, deps.message);
}

static int take_pid(struct inputs *inputs, pid_t pid)
{
	struct job *job = job_new(JOB_PROCESS, "");

	if (job != NULL) {
		job->by_name = true;
		job->result.pid = pid;
	}
	return submit(inputs, job);
}

int inputs_submit(struct scan *scan)
{
	struct inputs inputs = {.scan = scan, .by_name = true};
	const struct scan_options *opts = scan->opts;

	for (size_t i = 0; i < opts->paths.n && inputs.status == 0; i++) {
		take_path(&inputs, opts->paths.v[i]);
	}
	inputs.by_name = false;
	for (size_t i = 0; i < opts->lists.n && inputs.status == 0; i++) {
		take_list(&inputs, opts->lists.v[i]);
	}
	inputs.by_name = true;
	for (size_t i = 0; i < opts->deps.n && inputs.status == 0; i++) {
		take_deps(&inputs, opts->deps.v[i]);
	}
	for (size_t i = 0; i < opts->npids && inputs.status == 0; i++) {
		take_pid(&inputs, opts->pids[i]);
	}
	tdestroy(inputs.deps, free);
	return inputs.status;
}
