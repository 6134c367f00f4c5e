/* SPDX-License-Identifier: Apache-2.0 */
/* stb_vorbis, as Debian's libstb0 has it: with CVE-2023-45681. */
#include <stdlib.h>
#include <string.h>
#define STB_VORBIS_HEADER_ONLY
#include <stb_vorbis.h>

#include "decode.h"

LYCH_SYM(vorbis, stb_vorbis_open_memory, stb_vorbis *, (const unsigned char *, int, int *, const stb_vorbis_alloc *));
LYCH_SYM(vorbis, stb_vorbis_get_info, stb_vorbis_info, (stb_vorbis *));
LYCH_SYM(vorbis, stb_vorbis_get_comment, stb_vorbis_comment, (stb_vorbis *));
LYCH_SYM(vorbis, stb_vorbis_stream_length_in_samples, unsigned int, (stb_vorbis *));
LYCH_SYM(vorbis, stb_vorbis_get_samples_short_interleaved, int, (stb_vorbis *, int, short *, int));
LYCH_SYM(vorbis, stb_vorbis_close, void, (stb_vorbis *));

#define CHUNK 8192 /* samples taken at a time */

int vorbis_begin(struct lych_domain *vorbis)
{
	int rc = LYCH_SYM_FIND(vorbis, stb_vorbis_open_memory);

	rc = rc != 0 ? rc : LYCH_SYM_FIND(vorbis, stb_vorbis_get_info);
	rc = rc != 0 ? rc : LYCH_SYM_FIND(vorbis, stb_vorbis_get_comment);
	rc = rc != 0 ? rc : LYCH_SYM_FIND(vorbis, stb_vorbis_stream_length_in_samples);
	rc = rc != 0 ? rc : LYCH_SYM_FIND(vorbis, stb_vorbis_get_samples_short_interleaved);
	return rc != 0 ? rc : LYCH_SYM_FIND(vorbis, stb_vorbis_close);
}

/* Rate and channels, and the first thing that the file says about itself. */
static int facts(struct job *job, struct lych_domain *vorbis, stb_vorbis *in)
{
	struct media_result *r = job->result;
	stb_vorbis_comment comment;
	stb_vorbis_info info;
	char *first = NULL, *text = NULL;
	int rc = JOB_CALL(job, vorbis, &info, stb_vorbis_get_info, in);

	if (rc == 0 && (info.channels < 1 || info.channels > 16 || info.sample_rate == 0 || info.sample_rate > 1000000)) {
		rc = job_refuse(job, NULL, "more than 16 channels, or at no rate that is played");
	}
	rc = rc != 0 ? rc : JOB_CALL(job, vorbis, &comment, stb_vorbis_get_comment, in);
	if (rc == 0 && comment.comment_list_length > 0) {
		rc = job_take(job, &first, comment.comment_list, sizeof(first));
		if (rc == 0 && lych_strndup_out(job->domain, &text, first, 4096) == 0) {
			job_print(r->text, sizeof(r->text), text, 4096);
			free(text);
		}
	}
	if (rc == 0) {
		r->rate = info.sample_rate;
		r->channels = (uint32_t)info.channels;
	}
	return rc;
}

static int samples(struct job *job, struct lych_domain *vorbis, stb_vorbis *in)
{
	struct media_result *r = job->result;
	short *chunk = job_alloc(job, CHUNK * sizeof(*chunk));
	int16_t *all = NULL, *more;
	int rc = chunk != NULL ? 0 : -ENOMEM, got = 0;
	size_t n = 0, room = 0;

	while (rc == 0) {
		rc = JOB_CALL(job, vorbis, &got, stb_vorbis_get_samples_short_interleaved, in, (int)r->channels, chunk, CHUNK);
		if (rc != 0 || got == 0) {
			break;
		}
		if (got < 0 || (uint64_t)got * r->channels > CHUNK) {
			rc = -EPROTO;
			break;
		}
		size_t count = (size_t)got * r->channels;
		if (n + count > MEDIA_SAMPLES) {
			(void)job_refuse(job, NULL, "it is too long");
			rc = -EFBIG;
			break;
		}
		if (n + count > room) {
			room = 2 * (n + count);
			more = realloc(all, room * sizeof(*all));
			if (more == NULL) {
				rc = -ENOMEM;
				break;
			}
			all = more;
		}
		rc = job_take(job, all + n, chunk, count * sizeof(*all));
		n += count;
	}
	if (rc == 0 && n == 0) {
		rc = job_refuse(job, NULL, "no sound in it");
	}
	if (rc == 0) {
		r->frames = n / r->channels;
		rc = job->wish == MEDIA_SOUND ? sound_to_wav(job, all) : picture_of_wave(job, all);
	}
	free(all);
	return rc;
}

int vorbis_read(struct job *job)
{
	struct lych_domain *vorbis = job->domain;
	const unsigned char *file = job_file(job);
	int *error = job_alloc(job, sizeof(*error));
	unsigned int frames = 0;
	stb_vorbis *in = NULL;

	if (file == NULL || error == NULL) {
		return -ENOMEM;
	}
	int rc = JOB_CALL(job, vorbis, &in, stb_vorbis_open_memory, file, (int)job->bytes, error, NULL);
	if (rc == 0 && in == NULL) {
		return job_refuse(job, NULL, "not a Vorbis file that can be read");
	}
	rc = rc != 0 ? rc : facts(job, vorbis, in);
	if (rc == 0 && job->wish == MEDIA_INSPECT) {
		rc = JOB_CALL(job, vorbis, &frames, stb_vorbis_stream_length_in_samples, in);
		job->result->frames = frames;
	} else if (rc == 0) {
		rc = samples(job, vorbis, in);
	}
	if (rc == 0 || rc == -EBADMSG || rc == -EFBIG) {
		int closed = JOB_CALL(job, vorbis, LYCH_NOTHING, stb_vorbis_close, in);
		rc = closed != 0 ? closed : rc;
	}
	return rc;
}
