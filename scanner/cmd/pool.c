/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"

/* Text held back of all jobs together. */
#define BUFFERED_MAX ((size_t)16 << 20)
/* Results are accounted for in steps of this, to keep out of each other's way. */
#define BUFFERED_STEP ((size_t)64 << 10)

struct pool {
	const struct pool_ops *ops;
	void *ctx;
	pthread_t *threads;
	unsigned nthreads;

	pthread_mutex_t lock;
	pthread_cond_t work; /* a job came, or no more will come */
	pthread_cond_t room; /* a job left */
	pthread_cond_t turn; /* the first job changed */
	struct job **ring;   /* jobs first..end-1, at number % window */
	size_t window;
	uint64_t first; /* the next to be written */
	uint64_t next;  /* the next to be worked on */
	uint64_t end;   /* the next to come */
	size_t buffered;
	bool emitting; /* somebody writes the first job */
	bool closed;   /* no more will come */
	int status;
	atomic_bool stopped;
};

struct job *job_new(enum job_kind kind, const char *path)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job != NULL) {
		job->kind = kind;
		job->path = strdup(path);
		if (job->path == NULL) {
			free(job);
			job = NULL;
		}
	}
	return job;
}

void job_free(struct job *job)
{
	walk_dir_put(job->dir);
	result_free(&job->result);
	free(job->path);
	free(job);
}

static void stop(struct pool *pool, int status)
{
	if (pool->status == 0) {
		pool->status = status;
	}
	atomic_store(&pool->stopped, true);
	pthread_cond_broadcast(&pool->room);
	pthread_cond_broadcast(&pool->turn);
}

/* Writes the jobs at the head that are done. Called and returns with the lock held. */
static void drain(struct pool *pool)
{
	while (!pool->emitting && pool->first < pool->end &&
	       pool->ring[pool->first % pool->window]->done) {
		struct job *job = pool->ring[pool->first % pool->window];
		int rc = 0;

		pool->emitting = true;
		pthread_mutex_unlock(&pool->lock);
		if (!atomic_load(&pool->stopped)) {
			rc = pool->ops->emit(pool->ctx, &job->result, true);
		}
		pthread_mutex_lock(&pool->lock);
		pool->buffered -= job->accounted;
		pool->emitting = false;
		pool->first++;
		if (rc != 0) {
			stop(pool, rc);
		}
		pthread_cond_broadcast(&pool->turn);
		pthread_cond_signal(&pool->room);
		job_free(job);
	}
}

static void *worker(void *arg)
{
	struct pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct job *job;

		while (pool->next == pool->end && !pool->closed) {
			pthread_cond_wait(&pool->work, &pool->lock);
		}
		if (pool->next == pool->end) {
			break;
		}
		job = pool->ring[pool->next++ % pool->window];
		if (job->kind != JOB_MESSAGE && !atomic_load(&pool->stopped)) {
			pthread_mutex_unlock(&pool->lock);
			pool->ops->work(pool->ctx, job);
			pthread_mutex_lock(&pool->lock);
		}
		job->done = true;
		drain(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int pool_grown(struct pool *pool, struct job *job)
{
	size_t bytes = result_bytes(&job->result);
	bool first;
	int rc = 0;

	if (bytes - job->accounted < BUFFERED_STEP) {
		return atomic_load(&pool->stopped) ? -ECANCELED : 0;
	}
	pthread_mutex_lock(&pool->lock);
	pool->buffered += bytes - job->accounted;
	job->accounted = bytes;
	while (!atomic_load(&pool->stopped) && pool->buffered > BUFFERED_MAX &&
	       pool->first != job->number) {
		pthread_cond_wait(&pool->turn, &pool->lock);
	}
	/* The first job is not done, so nobody else can be writing. */
	first = pool->first == job->number;
	pthread_mutex_unlock(&pool->lock);
	if (first && !atomic_load(&pool->stopped)) {
		rc = pool->ops->emit(pool->ctx, &job->result, false);
		pthread_mutex_lock(&pool->lock);
		pool->buffered -= job->accounted;
		job->accounted = 0;
		if (rc != 0) {
			stop(pool, rc);
		}
		pthread_cond_broadcast(&pool->turn);
		pthread_mutex_unlock(&pool->lock);
	}
	return atomic_load(&pool->stopped) ? -ECANCELED : 0;
}

int pool_submit(struct pool *pool, struct job *job)
{
	pthread_mutex_lock(&pool->lock);
	while (pool->end - pool->first == pool->window && !atomic_load(&pool->stopped)) {
		pthread_cond_wait(&pool->room, &pool->lock);
	}
	if (atomic_load(&pool->stopped)) {
		pthread_mutex_unlock(&pool->lock);
		job_free(job);
		return -ECANCELED;
	}
	job->number = pool->end;
	pool->ring[pool->end++ % pool->window] = job;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	return 0;
}

static void pool_free(struct pool *pool)
{
	pthread_cond_destroy(&pool->turn);
	pthread_cond_destroy(&pool->room);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool->ring);
	free(pool);
}

int pool_new(struct pool **out, unsigned threads, const struct pool_ops *ops, void *ctx)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	sigset_t all;
	sigset_t old;

	*out = NULL;
	if (pool == NULL) {
		return -ENOMEM;
	}
	pool->ops = ops;
	pool->ctx = ctx;
	/* Enough that a large file holds nobody up, few enough for the usual 1024 descriptors. */
	pool->window = 64 + 2 * (size_t)threads;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->room, NULL);
	pthread_cond_init(&pool->turn, NULL);
	pool->ring = calloc(pool->window, sizeof(*pool->ring));
	pool->threads = calloc(threads, sizeof(*pool->threads));
	if (pool->ring == NULL || pool->threads == NULL) {
		pool_free(pool);
		return -ENOMEM;
	}
	/* Signals are the main thread's, except those that a thread causes itself, SIGPIPE among
	 * them. */
	sigfillset(&all);
	sigdelset(&all, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	while (pool->nthreads < threads &&
	       pthread_create(&pool->threads[pool->nthreads], NULL, worker, pool) == 0) {
		pool->nthreads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pool->nthreads == 0) {
		pool_free(pool);
		return -EAGAIN;
	}
	*out = pool;
	return 0;
}

int pool_finish(struct pool *pool)
{
	int status;

	pthread_mutex_lock(&pool->lock);
	pool->closed = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->nthreads; i++) {
		pthread_join(pool->threads[i], NULL);
	}
	status = pool->status;
	pool_free(pool);
	return status;
}
