/* SPDX-License-Identifier: Apache-2.0 */
/* libpng, by its simple interface. It also writes the PNGs that the server answers with. */
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

LYCH_SYM(png, png_image_begin_read_from_memory, int, (png_imagep, png_const_voidp, size_t));
LYCH_SYM(png, png_image_finish_read, int, (png_imagep, png_const_colorp, void *, png_int_32, void *));
LYCH_SYM(png, png_image_write_to_memory, int,
	 (png_imagep, void *, png_alloc_size_t *, int, const void *, png_int_32, const void *));
LYCH_SYM(png, png_image_free, void, (png_imagep));

int png_begin(struct lych_domain *png)
{
	int rc = LYCH_SYM_FIND(png, png_image_begin_read_from_memory);

	rc = rc != 0 ? rc : LYCH_SYM_FIND(png, png_image_finish_read);
	rc = rc != 0 ? rc : LYCH_SYM_FIND(png, png_image_write_to_memory);
	return rc != 0 ? rc : LYCH_SYM_FIND(png, png_image_free);
}

/* What libpng says in the structure, which lies in its own memory. */
static int refused(struct job *job, png_imagep in)
{
	png_image image;

	if (job_take(job, &image, in, sizeof(image)) != 0) {
		return -EPROTO;
	}
	image.message[sizeof(image.message) - 1] = '\0';
	job_print(job->result->why, sizeof(job->result->why), image.message, sizeof(image.message));
	return -EBADMSG;
}

static int pixels(struct job *job, struct lych_domain *png, png_imagep in)
{
	const uint32_t width = job->result->width, height = job->result->height;
	uint8_t *rgba = job_alloc(job, 4 * (size_t)width * height);
	int ok = 0;

	if (rgba == NULL) {
		return -ENOMEM;
	}
	/* The pixels go where the host says and are as many as it has checked, whatever the structure says by then. */
	int rc = JOB_CALL(job, png, &ok, png_image_finish_read, in, NULL, rgba, (png_int_32)(4 * width), NULL);
	if (rc == 0 && ok == 0) {
		return refused(job, in);
	}
	return rc != 0 ? rc : picture_from(job, rgba, width, height);
}

int png_read(struct job *job)
{
	struct lych_domain *png = job->domain;
	png_imagep in = job_alloc(job, sizeof(*in));
	void *file = job_file(job);
	png_image image = {.version = PNG_IMAGE_VERSION};
	int ok = 0;

	if (in == NULL || file == NULL) {
		return -ENOMEM;
	}
	int rc = job_give(job, in, &image, sizeof(image));
	rc = rc != 0 ? rc : JOB_CALL(job, png, &ok, png_image_begin_read_from_memory, in, file, job->bytes);
	if (rc == 0 && ok == 0) {
		rc = refused(job, in);
	}
	rc = rc != 0 ? rc : job_take(job, &image, in, sizeof(image));
	rc = rc != 0 ? rc : picture_size(job, image.width, image.height);
	if (rc == 0 && job->wish == MEDIA_PICTURE) {
		image.format = PNG_FORMAT_RGBA;
		rc = job_give(job, in, &image, sizeof(image));
		rc = rc != 0 ? rc : pixels(job, png, in);
	}
	if (rc == 0 || rc == -EBADMSG || rc == -EFBIG) {
		int freed = JOB_CALL(job, png, LYCH_NOTHING, png_image_free, in);
		rc = freed != 0 ? freed : rc;
	}
	return rc;
}

int png_write(struct job *job)
{
	struct lych_domain *png = job->domain;
	const size_t bytes = 4 * (size_t)job->width * job->height, room = bytes + bytes / 8 + 4096;
	png_image image = {
		.version = PNG_IMAGE_VERSION, .width = job->width, .height = job->height, .format = PNG_FORMAT_RGBA};
	png_imagep in = lych_copy_in(png, &image, sizeof(image));
	void *rgba = lych_copy_in(png, job->picture, bytes), *out = lych_alloc(png, room);
	png_alloc_size_t *length = lych_copy_in(png, &room, sizeof(room)), written = 0;
	int ok = 0, rc = -ENOMEM;

	if (in != NULL && rgba != NULL && out != NULL && length != NULL) {
		rc = JOB_CALL(job, png, &ok, png_image_write_to_memory, in, out, length, 0, rgba, (png_int_32)(4 * job->width), NULL);
	}
	if (rc == 0 && ok == 0) {
		rc = refused(job, in);
	}
	rc = rc != 0 ? rc : job_take(job, &written, length, sizeof(written));
	if (rc == 0 && (written < 8 || written > room)) {
		rc = -EPROTO;
	}
	if (rc == 0) {
		job->result->out = malloc(written);
		job->result->out_bytes = written;
		rc = job->result->out == NULL ? -ENOMEM : job_take(job, job->result->out, out, written);
	}
	if (rc == 0 && memcmp(job->result->out, "\x89PNG\r\n\x1a\n", 8) != 0) {
		rc = -EPROTO;
	}
	(void)lych_free(png, length);
	(void)lych_free(png, out);
	(void)lych_free(png, rgba);
	(void)lych_free(png, in);
	return rc;
}
