/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a job, in and out of the domain. */
#include "decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint32_t job_left_ms(const struct job *job)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	uint64_t now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	return now + 1000000 < job->ends_ns ? (uint32_t)((job->ends_ns - now) / 1000000) : 1;
}

static void *keep(struct job *job, void *block)
{
	if (block != NULL) {
		job->blocks[job->nblocks++] = block;
	}
	return block;
}

void *job_alloc(struct job *job, size_t bytes)
{
	return job->nblocks < JOB_BLOCKS ? keep(job, lych_alloc(job->domain, bytes)) : NULL;
}

void *job_file(struct job *job)
{
	return job->nblocks < JOB_BLOCKS ? keep(job, lych_copy_in(job->domain, job->file, job->bytes)) : NULL;
}

void job_free_blocks(struct job *job)
{
	while (job->nblocks > 0) {
		(void)lych_free(job->domain, job->blocks[--job->nblocks]);
	}
}

int job_take(struct job *job, void *to, const void *from, size_t bytes)
{
	int rc = lych_copy_out(job->domain, to, from, bytes);

	return rc == -EFAULT ? -EPROTO : rc;
}

int job_give(struct job *job, void *to, const void *from, size_t bytes)
{
	int rc = lych_copy_to(job->domain, to, from, bytes);

	return rc == -EFAULT ? -EPROTO : rc;
}

void job_print(char *out, size_t size, const char *text, size_t max)
{
	size_t n = 0;

	for (; n + 1 < size && n < max && text[n] != '\0'; n++) {
		out[n] = text[n];
		if (text[n] < ' ' || text[n] > '~') {
			out[n] = '?';
		}
	}
	out[n] = '\0';
}

int job_refuse(struct job *job, const char *said, const char *other)
{
	char *copy = NULL;

	if (said != NULL && lych_strndup_out(job->domain, &copy, said, sizeof(job->result->why)) == 0) {
		other = copy;
	}
	job_print(job->result->why, sizeof(job->result->why), other, sizeof(job->result->why));
	free(copy);
	return -EBADMSG;
}
