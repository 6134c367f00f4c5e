/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of `lychgate attack`: what one says, and how it ends, is never taken for "stopped" but when it says that. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "cmd.h"

#define SAID_MAX 8192
#define TICK_MS 10
#define NOT_HERE 3 /* scanner/attack/main.c */

int attack_find(struct attack_paths *paths)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0) {
		return -ENOENT;
	}
	self[n] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	if (snprintf(paths->program, PATH_MAX, "%s/" LYCH_ATTACK_FOLDER "/attack", self) >= PATH_MAX ||
	    snprintf(paths->library, PATH_MAX, "%s/" LYCH_ATTACK_FOLDER "/hostile.so", self) >= PATH_MAX) {
		return -ENAMETOOLONG;
	}
	return access(paths->program, X_OK) == 0 && access(paths->library, R_OK) == 0 ? 0 : -errno;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- one process --------------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	remove(path);
	return 0;
}

/* In the child. It is the only one of its group: what it sends to that stays there. */
static _Noreturn void become(const struct attack_paths *paths, const char *how, const char *name, const char *base, int say, int parent)
{
	const struct rlimit none = {0, 0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || setpgid(0, 0) != 0 || dup2(null, STDIN_FILENO) < 0 || dup2(say, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
		_exit(EXIT_INTERNAL);
	}
	setrlimit(RLIMIT_CORE, &none);
	if (name == NULL) {
		execl(paths->program, "attack", how, paths->library, NULL);
	} else {
		execl(paths->program, "attack", how, name, paths->library, base, NULL);
	}
	_exit(EXIT_INTERNAL);
}

/* 0 or -errno. name is NULL for a probe. */
static int start(struct attack_child *c, const struct attack_paths *paths, const char *how, const char *name, unsigned int timeout_s)
{
	int say[2], parent = getpid(), rc;

	*c = (struct attack_child){.fd = -1};
	if (name != NULL) {
		strcpy(c->base, "/tmp/lych-attack-XXXXXX");
		if (mkdtemp(c->base) == NULL) {
			return -errno;
		}
	}
	if (pipe2(say, O_CLOEXEC) != 0) {
		return -errno;
	}
	c->pid = fork();
	if (c->pid == 0) {
		become(paths, how, name, c->base, say[1], parent);
	}
	rc = c->pid < 0 ? -errno : 0;
	close(say[1]);
	if (rc != 0) {
		c->pid = 0;
		close(say[0]);
		return rc;
	}
	fcntl(say[0], F_SETFL, O_NONBLOCK);
	c->fd = say[0];
	c->ends_ms = now_ms() + 1000L * timeout_s;
	return 0;
}

static void drain(struct attack_child *c)
{
	char chunk[1024];
	ssize_t n;

	while ((n = read(c->fd, chunk, sizeof(chunk))) > 0) {
		if (c->said.len < SAID_MAX) {
			buf_add(&c->said, chunk, (size_t)n);
		}
	}
}

/* Looks whether it has ended. What it started may live on, and hold its end of the pipe: that is killed. */
static void look(struct attack_child *c)
{
	pid_t ended = waitpid(c->pid, &c->status, WNOHANG);

	drain(c);
	if (ended == 0 && now_ms() >= c->ends_ms) {
		c->late = true;
		kill(c->pid, SIGKILL);
		ended = waitpid(c->pid, &c->status, 0);
	}
	if (ended == 0) {
		return;
	}
	kill(-c->pid, SIGKILL);
	drain(c);
	close(c->fd);
	c->fd = -1;
	c->pid = 0;
	c->done = true;
	buf_add(&c->said, "", 1);
	if (c->base[0] != '\0') {
		nftw(c->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
}

static bool ends_with_verdict(const struct attack_child *c)
{
	static const char last[] = "= stopped\n";
	size_t n = sizeof(last) - 1;

	return !c->said.failed && c->said.len > n && memcmp(c->said.data + c->said.len - 1 - n, last, n) == 0;
}

/* Its first complaint. "": there is none. */
static void complaint(const struct attack_child *c, char *out, size_t bytes)
{
	const char *line = c->said.failed ? NULL : strstr(c->said.data, "- ");

	out[0] = '\0';
	if (line != NULL) {
		snprintf(out, bytes, "%.*s", (int)strcspn(line + 2, "\n"), line + 2);
	}
}

static void how_it_ended(const struct attack_child *c, char *out, size_t bytes)
{
	if (c->late) {
		snprintf(out, bytes, "it takes longer than --timeout allows");
	} else if (WIFSIGNALED(c->status)) {
		snprintf(out, bytes, "the process was ended by signal %d (%s)", WTERMSIG(c->status), sigdescr_np(WTERMSIG(c->status)));
	} else {
		snprintf(out, bytes, "the process ended with status %d and without a word", WEXITSTATUS(c->status));
	}
}

static void judge(struct attack_row *row)
{
	const struct attack *a = row->attack;
	char told[128];

	row->stopped = !row->inside.late && WIFEXITED(row->inside.status) && WEXITSTATUS(row->inside.status) == 0 &&
		       ends_with_verdict(&row->inside);
	if (!row->stopped) {
		complaint(&row->inside, row->why, sizeof(row->why));
		if (row->why[0] == '\0' || row->inside.late) {
			how_it_ended(&row->inside, row->why, sizeof(row->why));
		}
	}
	row->control = !row->bare.late && attack_had_effect(a, row->bare.status);
	if (!row->control) {
		complaint(&row->bare, told, sizeof(told));
		if (attack_may_lack(a, row->bare.status) && !row->bare.late) {
			snprintf(row->why_not, sizeof(row->why_not), "%s", a->lacks);
		} else if (told[0] != '\0') {
			snprintf(row->why_not, sizeof(row->why_not), "it has no effect here without protection either: %s", told);
		} else {
			how_it_ended(&row->bare, row->why_not, sizeof(row->why_not));
		}
	}
}

/* ---- all of them ----------------------------------------------------------------------------------------------------------- */

int attack_probe(const struct attack_paths *paths, char *why, size_t bytes)
{
	struct attack_child c;
	int rc = start(&c, paths, "probe", NULL, 120);

	why[0] = '\0';
	if (rc != 0) {
		snprintf(why, bytes, "%s", cmd_strerror(rc));
		return EXIT_INTERNAL;
	}
	while (!c.done) {
		poll(NULL, 0, TICK_MS);
		look(&c);
	}
	complaint(&c, why, bytes);
	if (c.late || !WIFEXITED(c.status) || (WEXITSTATUS(c.status) != 0 && WEXITSTATUS(c.status) != NOT_HERE)) {
		how_it_ended(&c, why, bytes);
		rc = EXIT_INTERNAL;
	} else {
		rc = WEXITSTATUS(c.status) == 0 ? EXIT_CLEAN : EXIT_PLATFORM;
	}
	buf_free(&c.said);
	return rc;
}

/* The nth process of all: of each row first the attack, then its control. */
static struct attack_child *child_of(struct attack_row *rows, size_t nth)
{
	return nth % 2 == 0 ? &rows[nth / 2].inside : &rows[nth / 2].bare;
}

static void kill_all(struct attack_row *rows, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct attack_child *c = child_of(rows, i);

		if (c->pid != 0) {
			c->ends_ms = 0;
			look(c);
		}
		buf_free(&c->said);
	}
}

int attack_run(const struct attack_paths *paths, struct attack_row *rows, size_t n, unsigned int jobs, unsigned int timeout_s,
	       int (*done)(const struct attack_row *row, void *ctx), void *ctx)
{
	size_t first = 0, next = 0, told = 0; /* processes from first to next may run; rows below told are told */
	unsigned int running = 0;
	int rc = 0;

	while (told < n && rc == 0) {
		while (rc == 0 && running < jobs && next < 2 * n) {
			rc = start(child_of(rows, next), paths, next % 2 == 0 ? "inside" : "bare", rows[next / 2].attack->name, timeout_s);
			running += rc == 0;
			next += rc == 0;
		}
		poll(NULL, 0, TICK_MS);
		running = 0;
		for (size_t i = first; i < next; i++) {
			struct attack_child *c = child_of(rows, i);

			if (!c->done) {
				look(c);
			}
			running += !c->done;
			first += i == first && c->done;
		}
		for (; rc == 0 && told < n && rows[told].inside.done && rows[told].bare.done; told++) {
			judge(&rows[told]);
			rc = done(&rows[told], ctx);
		}
	}
	kill_all(rows, 0, next);
	return rc;
}
