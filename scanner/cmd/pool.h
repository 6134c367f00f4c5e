/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads whose results come out in the order in which jobs went in, in bounded memory: a
 * limited number of jobs is under way, and when their results together grow large, workers wait
 * until it is their job's turn.
 */
#ifndef LYCHGATE_CMD_POOL_H
#define LYCHGATE_CMD_POOL_H

#include "report.h"
#include "walk.h"

enum job_kind {
	JOB_MESSAGE, /* its result is there already */
	JOB_FILE,
	JOB_PROCESS,
};

struct job {
	enum job_kind kind;
	struct walk_dir *dir; /* JOB_FILE: where name is; NULL: path is opened */
	char *path;
	size_t name_len; /* the last bytes of path that are the name in dir */
	bool by_name;    /* given on the command line */
	struct result result;

	/* The pool's own. */
	uint64_t number;
	size_t accounted;
	bool done;
};

struct job *job_new(enum job_kind kind, const char *path); /* NULL: no memory */
void job_free(struct job *job);

struct pool_ops {
	void (*work)(void *ctx, struct job *job);
	/*
	 * Writes the text that result holds and empties it; one caller at a time, in order.
	 * complete is false when more of the same job will follow. Anything but 0 stops the pool.
	 */
	int (*emit)(void *ctx, struct result *result, bool complete);
};

struct pool;

/* 0, -ENOMEM, or -EAGAIN when no thread at all can be started. */
int pool_new(struct pool **out, unsigned threads, const struct pool_ops *ops, void *ctx);

/* Hands a job over, also on failure; waits while many are under way. 0 or -ECANCELED. */
int pool_submit(struct pool *pool, struct job *job);

/*
 * A worker calls it when it has added to its job's result; it may write and empty it. 0, or
 * -ECANCELED: the pool is stopped, give up.
 */
int pool_grown(struct pool *pool, struct job *job);

/* Waits for all jobs, ends the threads and frees the pool. 0 or what emit returned. */
int pool_finish(struct pool *pool);

#endif /* LYCHGATE_CMD_POOL_H */
