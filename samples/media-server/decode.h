/* SPDX-License-Identifier: Apache-2.0 */
/* What the decoders share. Each knows one library, and believes nothing that comes back from it. */
#ifndef DECODE_H
#define DECODE_H

#include <errno.h>

#include "media.h"

#define JOB_BLOCKS 8

struct job {
	struct lych_domain *domain; /* the one of the library */
	const uint8_t *file;        /* the host's */
	size_t bytes, at;           /* at: how far a reader of the host's has come */
	enum media_wish wish;
	uint64_t ends_ns; /* CLOCK_MONOTONIC */
	struct media_result *result;
	uint8_t *picture; /* RGBA, malloc'ed: what becomes of it */
	uint32_t width, height;
	void *blocks[JOB_BLOCKS]; /* of the domain's heap, freed with the job */
	unsigned int nblocks;
};

/*
 * All decoders return 0, what a call returned, or
 *	-EBADMSG  the library says that the file is broken (result->why says how)
 *	-EFBIG    it is larger than is done here
 *	-EPROTO   what the library gave back cannot be: it is not what it was any more
 */
int png_read(struct job *job);
int jpeg_read(struct job *job);
int webp_read(struct job *job);
int gif_read(struct job *job);
int vorbis_read(struct job *job);
/* job->picture becomes result->out, a PNG. */
int png_write(struct job *job);
/* Looks every function up that the decoder calls, so that none of them is looked for in a domain that is not what it was any more. */
int png_begin(struct lych_domain *domain);
int jpeg_begin(struct lych_domain *domain);
int webp_begin(struct lych_domain *domain);
int gif_begin(struct lych_domain *domain);
int vorbis_begin(struct lych_domain *domain);

/* What is left of the job's time, at least 1. */
uint32_t job_left_ms(const struct job *job);
/* Memory of the domain that lives as long as the job: zeroed, or a copy of the whole file. NULL: none is left. */
void *job_alloc(struct job *job, size_t bytes);
void *job_file(struct job *job);
void job_free_blocks(struct job *job);
/* lych_copy_out; a pointer that leads elsewhere is -EPROTO. */
int job_take(struct job *job, void *to, const void *from, size_t bytes);
/* lych_copy_to, into memory that code inside has named; what leads elsewhere, or cannot be written, is -EPROTO. */
int job_give(struct job *job, void *to, const void *from, size_t bytes);
/* -EBADMSG, with what the library says: a string in the domain; NULL or no string of it: then other. */
int job_refuse(struct job *job, const char *said, const char *other);
/* text, of at most max bytes, as printable ASCII in out. */
void job_print(char *out, size_t size, const char *text, size_t max);

/* Is a picture of this size one that is done here? 0, -EFBIG, or -EPROTO for one without pixels. Notes it in the result. */
int picture_size(struct job *job, uint64_t width, uint64_t height);
/*
 * Makes job->picture, at most MEDIA_EDGE wide and high, of width x height RGBA pixels in the domain, taken row by row: no pixel is read
 * twice, and the host keeps no more than one row.
 */
int picture_from(struct job *job, const uint8_t *pixels, uint32_t width, uint32_t height);
/* The same of the host's memory: result->frames frames of result->channels samples become a wave. */
int picture_of_wave(struct job *job, const int16_t *samples);
int sound_to_wav(struct job *job, const int16_t *samples);

#define JOB_CALL(job, domain, result, ...) LYCH_CALL_TIMEOUT(domain, job_left_ms(job), result, __VA_ARGS__)

#endif
