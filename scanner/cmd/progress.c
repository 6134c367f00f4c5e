/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "inputs.h"
#include "progress.h"
#include "walk.h"

#define FIRST_MS 1000
#define EVERY_MS 200
#define BAR_WIDTH 24

struct progress {
	const struct scan_options *opts;
	pthread_t drawer;
	pthread_t counter;
	bool counting; /* the counter runs */
	atomic_uint_fast64_t files;
	atomic_uint_fast64_t bytes;
	atomic_uint_fast64_t total; /* bytes there are, as far as counted */
	atomic_bool counted;        /* total is complete */
	atomic_bool ended;
	struct timespec start;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool drawn;
	bool paused;
};

/* ---- how much there is to do ---------------------------------------------------------------- */

static int count_file(void *ctx, struct walk_dir *dir, const char *path, size_t name_len)
{
	struct progress *progress = ctx;
	struct stat st;
	size_t len = 0;

	while (path[len] != '\0') {
		len++;
	}
	if (fstatat(dir->fd, path + len - name_len, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode)) {
		atomic_fetch_add(&progress->total, (uint64_t)st.st_size);
	}
	return atomic_load(&progress->ended);
}

static void ignore_event(void *ctx, enum walk_event event, const char *path, int err)
{
	(void)ctx;
	(void)event;
	(void)path;
	(void)err;
}

static bool count_excluded(void *ctx, const char *path, const char *name)
{
	const struct progress *progress = ctx;

	return inputs_excluded(progress->opts, path, name);
}

static void *count(void *arg)
{
	static const struct walk_ops ops = {count_file, ignore_event, count_excluded};
	struct progress *progress = arg;
	const struct strings *paths = &progress->opts->paths;

	for (size_t i = 0; i < paths->n && !atomic_load(&progress->ended); i++) {
		struct stat st;

		if (stat(paths->v[i], &st) != 0) {
			continue;
		}
		if (S_ISDIR(st.st_mode)) {
			if (walk_tree(paths->v[i], &ops, progress) != 0) {
				return NULL;
			}
		} else if (S_ISREG(st.st_mode)) {
			atomic_fetch_add(&progress->total, (uint64_t)st.st_size);
		}
	}
	atomic_store(&progress->counted, true);
	return NULL;
}

/* ---- drawing -------------------------------------------------------------------------------- */

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void erase(struct progress *progress)
{
	if (progress->drawn) {
		fputs("\r\033[K", stderr);
		progress->drawn = false;
	}
}

static void draw(struct progress *progress)
{
	double elapsed = seconds_since(&progress->start);
	double bytes = (double)atomic_load(&progress->bytes);
	double total = (double)atomic_load(&progress->total);
	uint64_t files = atomic_load(&progress->files);
	double rate = bytes / elapsed;

	fputs("\r\033[K", stderr);
	if (atomic_load(&progress->counted) && total > 0) {
		double part = bytes < total ? bytes / total : 1;
		int full = (int)(part * BAR_WIDTH);
		double left = rate > 0 ? (total - total * part) / rate : 0;

		fputc('[', stderr);
		for (int i = 0; i < BAR_WIDTH; i++) {
			fputc(i < full ? '#' : '.', stderr);
		}
		fprintf(stderr, "] %3.0f %%  %.1f MB/s  ETA ", part * 100, rate / 1e6);
		if (rate > 0) {
			fprintf(stderr, "%" PRIu64 ":%02u", (uint64_t)left / 60,
				(unsigned)((uint64_t)left % 60));
		} else {
			fputs("unknown", stderr);
		}
	} else {
		fprintf(stderr, "%" PRIu64 " files  %.0f MB  %.0f MB/s", files, bytes / 1e6,
			rate / 1e6);
	}
	fflush(stderr);
	progress->drawn = true;
}

static void *drawer(void *arg)
{
	struct progress *progress = arg;

	pthread_mutex_lock(&progress->lock);
	while (!atomic_load(&progress->ended)) {
		struct timespec when;

		clock_gettime(CLOCK_MONOTONIC, &when);
		when.tv_nsec += EVERY_MS * 1000000L;
		when.tv_sec += when.tv_nsec / 1000000000L;
		when.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&progress->wake, &progress->lock, &when);
		if (!progress->paused && !atomic_load(&progress->ended) &&
		    seconds_since(&progress->start) * 1000 >= FIRST_MS) {
			draw(progress);
		}
	}
	erase(progress);
	pthread_mutex_unlock(&progress->lock);
	return NULL;
}

struct progress *progress_new(const struct scan_options *opts)
{
	struct progress *progress;
	pthread_condattr_t attr;
	sigset_t all;
	sigset_t old;

	if (opts->quiet || opts->no_progress || !isatty(STDERR_FILENO)) {
		return NULL;
	}
	progress = calloc(1, sizeof(*progress));
	if (progress == NULL) {
		return NULL;
	}
	progress->opts = opts;
	clock_gettime(CLOCK_MONOTONIC, &progress->start);
	pthread_mutex_init(&progress->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&progress->wake, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	if (pthread_create(&progress->drawer, NULL, drawer, progress) != 0) {
		pthread_cond_destroy(&progress->wake);
		pthread_mutex_destroy(&progress->lock);
		free(progress);
		progress = NULL;
	} else if (opts->lists.n + opts->deps.n + opts->npids == 0) {
		/* Only then does counting beforehand see all there is. */
		progress->counting = pthread_create(&progress->counter, NULL, count, progress) == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return progress;
}

void progress_free(struct progress *progress)
{
	if (progress == NULL) {
		return;
	}
	atomic_store(&progress->ended, true);
	pthread_mutex_lock(&progress->lock);
	pthread_cond_signal(&progress->wake);
	pthread_mutex_unlock(&progress->lock);
	pthread_join(progress->drawer, NULL);
	if (progress->counting) {
		pthread_join(progress->counter, NULL);
	}
	pthread_cond_destroy(&progress->wake);
	pthread_mutex_destroy(&progress->lock);
	free(progress);
}

void progress_add(struct progress *progress, uint64_t bytes)
{
	if (progress != NULL) {
		atomic_fetch_add(&progress->bytes, bytes);
	}
}

void progress_file(struct progress *progress, uint64_t bytes)
{
	if (progress != NULL) {
		atomic_fetch_add(&progress->files, 1);
		atomic_fetch_add(&progress->bytes, bytes);
	}
}

void progress_pause(struct progress *progress)
{
	if (progress != NULL) {
		pthread_mutex_lock(&progress->lock);
		erase(progress);
		progress->paused = true;
		pthread_mutex_unlock(&progress->lock);
	}
}

void progress_resume(struct progress *progress)
{
	if (progress != NULL) {
		pthread_mutex_lock(&progress->lock);
		progress->paused = false;
		pthread_mutex_unlock(&progress->lock);
	}
}
