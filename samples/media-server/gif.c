/* SPDX-License-Identifier: Apache-2.0 */
/*
 * giflib. It reads by way of a function of the host's, and what it has read is structures of pointers in its own memory: each of
 * them is copied out before it is looked at, and each number compared with what it may be.
 */
#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

LYCH_SYM(gif, DGifOpen, GifFileType *, (void *, InputFunc, int *));
LYCH_SYM(gif, DGifSlurp, int, (GifFileType *));
LYCH_SYM(gif, DGifCloseFile, int, (GifFileType *, int *));
LYCH_SYM(gif, GifErrorString, const char *, (int));

static struct job *reading; /* whose file is read: what the library hands the function may be anything */
static InputFunc reader;    /* what the library calls; stays through resets */

/* How much of the file is left, to where the library wants it: to and n are the library's word. */
static int read_on(GifFileType *file, GifByteType *to, int n)
{
	struct job *job = reading;

	(void)file;
	if (job == NULL || n <= 0) {
		return 0;
	}
	size_t left = job->bytes - job->at, got = (size_t)n < left ? (size_t)n : left;
	if (job_give(job, to, job->file + job->at, got) != 0) {
		return 0;
	}
	job->at += got;
	return (int)got;
}
LYCH_CALLBACK(read_on, int, (GifFileType *, GifByteType *, int));

int gif_begin(struct lych_domain *gif)
{
	int rc = lych_callback(&reader, gif, read_on, NULL);

	rc = rc != 0 ? rc : LYCH_SYM_FIND(gif, DGifOpen);
	rc = rc != 0 ? rc : LYCH_SYM_FIND(gif, DGifSlurp);
	rc = rc != 0 ? rc : LYCH_SYM_FIND(gif, DGifCloseFile);
	return rc != 0 ? rc : LYCH_SYM_FIND(gif, GifErrorString);
}

static int refused(struct job *job, struct lych_domain *gif, int error)
{
	const char *said = NULL;
	int rc = JOB_CALL(job, gif, &said, GifErrorString, error);

	return rc != 0 ? rc : job_refuse(job, said, "broken");
}

/* 256 colours, black where the map has none. */
static int colors(struct job *job, GifColorType *out, const ColorMapObject *from)
{
	ColorMapObject map;
	int rc = job_take(job, &map, from, sizeof(map));

	memset(out, 0, 256 * sizeof(*out));
	if (rc == 0 && (map.ColorCount < 1 || map.ColorCount > 256)) {
		rc = -EPROTO;
	}
	return rc != 0 ? rc : job_take(job, out, map.Colors, (size_t)map.ColorCount * sizeof(*out));
}

/* The first image, drawn where it stands on a canvas in the domain: what does not fall on it is left out. */
static int draw(struct job *job, const GifFileType *file, uint8_t *canvas)
{
	const uint64_t width = job->result->width, height = job->result->height;
	GifColorType map[256];
	SavedImage image;
	uint8_t *row = NULL, *line = NULL;
	int rc = job_take(job, &image, file->SavedImages, sizeof(image));
	const GifImageDesc *d = &image.ImageDesc;

	if (rc == 0 && (d->Left < 0 || d->Top < 0 || d->Width < 1 || d->Height < 1 || d->Left > 65535 || d->Top > 65535 ||
			d->Width > 65535 || d->Height > 65535)) {
		rc = -EPROTO;
	}
	if (rc == 0 && d->ColorMap == NULL && file->SColorMap == NULL) {
		rc = job_refuse(job, NULL, "no colours");
	}
	rc = rc != 0 ? rc : colors(job, map, d->ColorMap != NULL ? d->ColorMap : file->SColorMap);
	if (rc != 0) {
		return rc;
	}
	row = malloc((size_t)d->Width);
	line = malloc(4 * (size_t)d->Width);
	rc = row != NULL && line != NULL ? 0 : -ENOMEM;
	for (uint64_t y = 0; rc == 0 && y < (uint64_t)d->Height && y + (uint64_t)d->Top < height; y++) {
		uint64_t x = 0;

		rc = job_take(job, row, image.RasterBits + y * (uint64_t)d->Width, (size_t)d->Width);
		for (; rc == 0 && x < (uint64_t)d->Width && x + (uint64_t)d->Left < width; x++) {
			const GifColorType *c = &map[row[x]];
			memcpy(line + 4 * x, (uint8_t[4]){c->Red, c->Green, c->Blue, 255}, 4);
		}
		if (rc == 0 && x > 0) {
			rc = job_give(job, canvas + 4 * ((y + (uint64_t)d->Top) * width + (uint64_t)d->Left), line, 4 * x);
		}
	}
	free(line);
	free(row);
	return rc;
}

static int slurp(struct job *job, struct lych_domain *gif, GifFileType *in)
{
	GifFileType file;
	uint8_t *canvas;
	int ok = 0;
	int rc = job_take(job, &file, in, sizeof(file));

	if (rc == 0) {
		rc = file.SWidth > 0 && file.SHeight > 0 ? picture_size(job, (uint64_t)file.SWidth, (uint64_t)file.SHeight)
							 : job_refuse(job, NULL, "no size");
	}
	if (rc != 0 || job->wish != MEDIA_PICTURE) {
		return rc;
	}
	rc = JOB_CALL(job, gif, &ok, DGifSlurp, in);
	rc = rc != 0 ? rc : job_take(job, &file, in, sizeof(file));
	if (rc == 0 && ok != GIF_OK) {
		rc = refused(job, gif, file.Error);
	}
	if (rc == 0 && file.ImageCount < 1) {
		rc = job_refuse(job, NULL, "no image in it");
	}
	if (rc != 0) {
		return rc;
	}
	canvas = job_alloc(job, 4 * (size_t)job->result->width * job->result->height);
	rc = canvas != NULL ? draw(job, &file, canvas) : -ENOMEM;
	return rc != 0 ? rc : picture_from(job, canvas, job->result->width, job->result->height);
}

int gif_read(struct job *job)
{
	struct lych_domain *gif = job->domain;
	int *error = job_alloc(job, sizeof(*error)), number = 0;
	GifFileType *in = NULL;

	if (error == NULL) {
		return -ENOMEM;
	}
	reading = job;
	int rc = JOB_CALL(job, gif, &in, DGifOpen, NULL, reader, error);
	if (rc == 0 && in == NULL) {
		rc = job_take(job, &number, error, sizeof(number));
		rc = rc != 0 ? rc : refused(job, gif, number);
	}
	rc = rc != 0 ? rc : slurp(job, gif, in);
	if (in != NULL && (rc == 0 || rc == -EBADMSG || rc == -EFBIG)) {
		int closed = JOB_CALL(job, gif, &number, DGifCloseFile, in, error);
		rc = closed != 0 ? closed : rc;
	}
	reading = NULL;
	return rc;
}
