/* SPDX-License-Identifier: Apache-2.0 */
/* libwebp. */
#include <webp/decode.h>

#include "decode.h"

LYCH_SYM(webp, WebPGetInfo, int, (const uint8_t *, size_t, int *, int *));
LYCH_SYM(webp, WebPDecodeRGBAInto, uint8_t *, (const uint8_t *, size_t, uint8_t *, size_t, int));

int webp_begin(struct lych_domain *webp)
{
	int rc = LYCH_SYM_FIND(webp, WebPGetInfo);

	return rc != 0 ? rc : LYCH_SYM_FIND(webp, WebPDecodeRGBAInto);
}

int webp_read(struct job *job)
{
	struct lych_domain *webp = job->domain;
	uint8_t *file = job_file(job), *rgba, *result = NULL;
	int *numbers = job_alloc(job, 2 * sizeof(int)), size[2], ok = 0;

	if (file == NULL || numbers == NULL) {
		return -ENOMEM;
	}
	int rc = JOB_CALL(job, webp, &ok, WebPGetInfo, file, job->bytes, numbers, numbers + 1);
	if (rc == 0 && ok == 0) {
		return job_refuse(job, NULL, "not a WebP that can be read");
	}
	rc = rc != 0 ? rc : job_take(job, size, numbers, sizeof(size));
	if (rc == 0) {
		rc = size[0] > 0 && size[1] > 0 ? picture_size(job, (uint64_t)size[0], (uint64_t)size[1]) : -EPROTO;
	}
	if (rc != 0 || job->wish != MEDIA_PICTURE) {
		return rc;
	}
	const size_t bytes = 4 * (size_t)size[0] * (size_t)size[1];
	rgba = job_alloc(job, bytes);
	if (rgba == NULL) {
		return -ENOMEM;
	}
	rc = JOB_CALL(job, webp, &result, WebPDecodeRGBAInto, file, job->bytes, rgba, bytes, 4 * size[0]);
	if (rc == 0 && result == NULL) {
		return job_refuse(job, NULL, "a broken WebP");
	}
	/* The pixels are read where the host has asked for them, not where the answer points. */
	return rc != 0 ? rc : picture_from(job, rgba, (uint32_t)size[0], (uint32_t)size[1]);
}
