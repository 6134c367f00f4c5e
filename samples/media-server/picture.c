/* SPDX-License-Identifier: Apache-2.0 */
/* The server's own: small pictures of large ones and of sounds. Numbers come from files, so all of them are checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

int picture_size(struct job *job, uint64_t width, uint64_t height)
{
	if (width == 0 || height == 0) {
		return -EPROTO;
	}
	if (width > MEDIA_PIXELS || height > MEDIA_PIXELS || width * height > MEDIA_PIXELS) {
		(void)snprintf(job->result->why, sizeof(job->result->why), "%llu x %llu pixels are too many",
			       (unsigned long long)width, (unsigned long long)height);
		return -EFBIG;
	}
	job->result->width = (uint32_t)width;
	job->result->height = (uint32_t)height;
	return 0;
}

/* One row of the small picture: sums of what falls into each of its pixels. */
struct sums {
	uint64_t channel[MEDIA_EDGE][4];
	uint32_t count[MEDIA_EDGE];
};

/* The first of width pixels that falls into pixel at of small ones. */
static uint32_t first_of(uint32_t at, uint32_t width, uint32_t small)
{
	return (uint32_t)(((uint64_t)at * width + small - 1) / small);
}

static void add_row(struct sums *sums, const uint8_t *row, uint32_t width, uint32_t small)
{
	for (uint32_t at = 0, x = 0; at < small; at++) {
		const uint32_t begin = x, end = first_of(at + 1, width, small);
		uint64_t r = 0, g = 0, b = 0, a = 0;

		for (; x < end; x++) {
			r += row[4 * (size_t)x];
			g += row[4 * (size_t)x + 1];
			b += row[4 * (size_t)x + 2];
			a += row[4 * (size_t)x + 3];
		}
		sums->channel[at][0] += r;
		sums->channel[at][1] += g;
		sums->channel[at][2] += b;
		sums->channel[at][3] += a;
		sums->count[at] += end - begin;
	}
}

static void end_row(struct sums *sums, uint8_t *out, uint32_t small)
{
	for (uint32_t x = 0; x < small; x++) {
		for (unsigned int c = 0; c < 4; c++) {
			out[4 * (size_t)x + c] = (uint8_t)(sums->channel[x][c] / (sums->count[x] != 0 ? sums->count[x] : 1));
		}
	}
	memset(sums, 0, sizeof(*sums));
}

int picture_from(struct job *job, const uint8_t *pixels, uint32_t width, uint32_t height)
{
	uint32_t longer = width > height ? width : height;
	uint32_t w = longer <= MEDIA_EDGE ? width : (uint32_t)((uint64_t)width * MEDIA_EDGE / longer);
	uint32_t h = longer <= MEDIA_EDGE ? height : (uint32_t)((uint64_t)height * MEDIA_EDGE / longer);
	struct sums *sums = calloc(1, sizeof(*sums));
	uint8_t *row = malloc(4 * (size_t)width);
	int rc = -ENOMEM;

	w = w != 0 ? w : 1;
	h = h != 0 ? h : 1;
	job->picture = calloc((size_t)w * h, 4);
	job->width = w;
	job->height = h;
	if (sums == NULL || row == NULL || job->picture == NULL) {
		goto out;
	}
	for (uint32_t y = 0, to = 0; y < height; y++) {
		rc = job_take(job, row, pixels + 4 * (size_t)width * y, 4 * (size_t)width);
		if (rc != 0) {
			goto out;
		}
		add_row(sums, row, width, w);
		if (y + 1 == first_of(to + 1, height, h)) {
			end_row(sums, job->picture + 4 * (size_t)w * to++, w);
		}
	}
out:
	free(row);
	free(sums);
	return rc;
}

int picture_of_wave(struct job *job, const int16_t *samples)
{
	const uint64_t n = job->result->frames * job->result->channels;

	job->width = MEDIA_EDGE;
	job->height = MEDIA_EDGE / 2;
	job->picture = malloc((size_t)job->width * job->height * 4);
	if (job->picture == NULL) {
		return -ENOMEM;
	}
	memset(job->picture, 255, (size_t)job->width * job->height * 4);
	for (uint32_t x = 0; x < job->width; x++) {
		int loudest = 0;

		for (uint64_t i = n * x / job->width; i < n * (x + 1) / job->width; i++) {
			int loud = samples[i] < 0 ? -(int)samples[i] : samples[i];
			loudest = loud > loudest ? loud : loudest;
		}
		uint32_t reach = (uint32_t)loudest * (job->height / 2 - 1) / 32768;
		for (uint32_t y = job->height / 2 - reach; y <= job->height / 2 + reach; y++) {
			memset(job->picture + 4 * ((size_t)y * job->width + x), 40, 3);
		}
	}
	return 0;
}

static void put_number(uint8_t *to, uint32_t n, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++) {
		to[i] = (uint8_t)(n >> 8 * i);
	}
}

int sound_to_wav(struct job *job, const int16_t *samples)
{
	struct media_result *r = job->result;
	const size_t bytes = (size_t)(r->frames * r->channels) * sizeof(*samples);
	uint8_t *out = malloc(44 + bytes);

	if (out == NULL) {
		return -ENOMEM;
	}
	memcpy(out, "RIFF    WAVEfmt ", 16);
	put_number(out + 4, (uint32_t)(36 + bytes), 4);
	put_number(out + 16, 16, 4);
	put_number(out + 20, 1, 2);
	put_number(out + 22, r->channels, 2);
	put_number(out + 24, r->rate, 4);
	put_number(out + 28, r->rate * r->channels * 2, 4);
	put_number(out + 32, r->channels * 2, 2);
	put_number(out + 34, 16, 2);
	memcpy(out + 36, "data", 4);
	put_number(out + 40, (uint32_t)bytes, 4);
	memcpy(out + 44, samples, bytes);
	r->out = out;
	r->out_bytes = 44 + bytes;
	return 0;
}
