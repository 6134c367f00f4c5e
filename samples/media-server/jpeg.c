/* SPDX-License-Identifier: Apache-2.0 */
/* libjpeg-turbo, by its simple interface. */
#include <turbojpeg.h>

#include "decode.h"

LYCH_SYM(jpeg, tjInitDecompress, tjhandle, (void));
LYCH_SYM(jpeg, tjDecompressHeader3, int, (tjhandle, const unsigned char *, unsigned long, int *, int *, int *, int *));
LYCH_SYM(jpeg, tjDecompress2, int, (tjhandle, const unsigned char *, unsigned long, unsigned char *, int, int, int, int, int));
LYCH_SYM(jpeg, tjGetErrorStr2, char *, (tjhandle));
LYCH_SYM(jpeg, tjDestroy, int, (tjhandle));

int jpeg_begin(struct lych_domain *jpeg)
{
	int rc = LYCH_SYM_FIND(jpeg, tjInitDecompress);

	rc = rc != 0 ? rc : LYCH_SYM_FIND(jpeg, tjDecompressHeader3);
	rc = rc != 0 ? rc : LYCH_SYM_FIND(jpeg, tjDecompress2);
	rc = rc != 0 ? rc : LYCH_SYM_FIND(jpeg, tjGetErrorStr2);
	return rc != 0 ? rc : LYCH_SYM_FIND(jpeg, tjDestroy);
}

static int refused(struct job *job, struct lych_domain *jpeg, tjhandle handle)
{
	char *said = NULL;
	int rc = JOB_CALL(job, jpeg, &said, tjGetErrorStr2, handle);

	return rc != 0 ? rc : job_refuse(job, said, "broken");
}

static int decompress(struct job *job, struct lych_domain *jpeg, tjhandle handle)
{
	unsigned char *file = job_file(job), *rgba;
	int *numbers = job_alloc(job, 4 * sizeof(int)), size[2], failed = 0;

	if (file == NULL || numbers == NULL) {
		return -ENOMEM;
	}
	int rc = JOB_CALL(job, jpeg, &failed, tjDecompressHeader3, handle, file, job->bytes, numbers, numbers + 1, numbers + 2,
			  numbers + 3);
	if (rc == 0 && failed != 0) {
		rc = refused(job, jpeg, handle);
	}
	rc = rc != 0 ? rc : job_take(job, size, numbers, sizeof(size));
	if (rc == 0) {
		rc = size[0] > 0 && size[1] > 0 ? picture_size(job, (uint64_t)size[0], (uint64_t)size[1]) : -EPROTO;
	}
	if (rc != 0 || job->wish != MEDIA_PICTURE) {
		return rc;
	}
	rgba = job_alloc(job, 4 * (size_t)size[0] * (size_t)size[1]);
	if (rgba == NULL) {
		return -ENOMEM;
	}
	rc = JOB_CALL(job, jpeg, &failed, tjDecompress2, handle, file, job->bytes, rgba, size[0], 4 * size[0], size[1], TJPF_RGBA, 0);
	if (rc == 0 && failed != 0) {
		rc = refused(job, jpeg, handle);
	}
	return rc != 0 ? rc : picture_from(job, rgba, (uint32_t)size[0], (uint32_t)size[1]);
}

int jpeg_read(struct job *job)
{
	struct lych_domain *jpeg = job->domain;
	tjhandle handle = NULL;
	int rc = JOB_CALL(job, jpeg, &handle, tjInitDecompress), ignored = 0;

	if (rc == 0 && handle == NULL) {
		rc = -ENOMEM;
	}
	rc = rc != 0 ? rc : decompress(job, jpeg, handle);
	if (handle != NULL && (rc == 0 || rc == -EBADMSG || rc == -EFBIG)) {
		int destroyed = JOB_CALL(job, jpeg, &ignored, tjDestroy, handle);
		rc = destroyed != 0 ? destroyed : rc;
	}
	return rc;
}
