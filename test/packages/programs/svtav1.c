/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsvtav1enc1: a video is encoded, in threads of the library's. One of them loads a constant by an instruction that
 * holds it. The same pictures must give the same stream.
 */
#include "program.h"

enum { WIDTH = 320, HEIGHT = 256, PICTURES = 8 };

struct buffer_header { /* EbBufferHeaderType */
	uint32_t size;
	uint8_t *buffer;
	uint32_t filled, alloc;
	void *app_private, *wrapper;
	uint32_t tick_count;
	int64_t dts, pts;
	uint32_t qp, picture_type;
	uint64_t sse[3];
	uint32_t flags;
	double ssim[3];
	void *metadata;
	uint8_t rest[256];
};

struct picture { /* EbSvtIOFormat */
	uint8_t *luma, *cb, *cr, *extensions[3];
	uint32_t y_stride, cr_stride, cb_stride, width, height, org_x, org_y, color, depth;
	uint8_t rest[64];
};

static uint8_t luma[WIDTH * HEIGHT], cb[WIDTH * HEIGHT / 4], cr[WIDTH * HEIGHT / 4];

static void draw(int n, uint64_t texture)
{
	for (int y = 0; y < HEIGHT; y++) {
		for (int x = 0; x < WIDTH; x++) {
			luma[y * WIDTH + x] = (uint8_t)((x + n) * 3 + y * 2 + (texture >> ((x + y) % 60) & 15));
		}
	}
	memset(cb, 100 + n, sizeof(cb));
	memset(cr, 120 - n, sizeof(cr));
}

static void encode(void *library, const char *preset)
{
	int (*open)(void **, void *, void *) = symbol(library, "svt_av1_enc_init_handle");
	int (*parse)(void *, const char *, const char *) = symbol(library, "svt_av1_enc_parse_parameter");
	int (*set)(void *, void *) = symbol(library, "svt_av1_enc_set_parameter");
	int (*init)(void *) = symbol(library, "svt_av1_enc_init");
	int (*send)(void *, struct buffer_header *) = symbol(library, "svt_av1_enc_send_picture");
	int (*receive)(void *, struct buffer_header **, uint8_t) = symbol(library, "svt_av1_enc_get_packet");
	void (*release)(struct buffer_header **) = symbol(library, "svt_av1_enc_release_out_buffer");
	int (*deinit)(void *) = symbol(library, "svt_av1_enc_deinit");
	int (*close)(void *) = symbol(library, "svt_av1_enc_deinit_handle");
	static const char *const parameters[][2] = {{"width", "320"}, {"height", "256"}, {"fps-num", "25"},
						    {"fps-denom", "1"}, {"lp", "1"}, {"input-depth", "8"},
						    {"keyint", "6"}};
	struct picture picture = {luma, cb, cr, {NULL}, WIDTH, WIDTH / 2, WIDTH / 2, WIDTH, HEIGHT, 0, 0, 1, 8, {0}};
	struct buffer_header in = {.size = sizeof(in), .buffer = (uint8_t *)&picture, .filled = WIDTH * HEIGHT * 3 / 2};
	uint64_t texture = random_number(), config[2048] = {0};
	uint8_t *stream = NULL;
	size_t len = 0;
	void *handle = NULL;
	int rc = open(&handle, NULL, config);

	for (size_t i = 0; rc == 0 && i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		rc = parse(config, parameters[i][0], parameters[i][1]);
	}
	if (rc != 0 || parse(config, "preset", preset) != 0 || set(handle, config) != 0 || init(handle) != 0) {
		unexpected("the encoder does not start");
	}
	for (int n = 0; n < PICTURES; n++) {
		draw(n, texture);
		in.pts = n;
		in.picture_type = 255; /* EB_AV1_INVALID_PICTURE: its choice */
		if (send(handle, &in) != 0) {
			unexpected("a picture is refused");
		}
	}
	in.buffer = NULL;
	in.filled = 0;
	in.flags = 1; /* EB_BUFFERFLAG_EOS */
	rc = send(handle, &in);
	for (bool more = rc == 0; more;) {
		struct buffer_header *out = NULL;

		if (receive(handle, &out, 1) != 0 || out == NULL) {
			unexpected("no packet");
		}
		more = (out->flags & 1) == 0;
		stream = realloc(stream, len + out->filled + 1);
		memcpy(stream + len, out->buffer, out->filled);
		len += out->filled;
		release(&out);
	}
	/* AV1, 5.3: a temporal delimiter begins the stream */
	known_answer("the beginning of the stream", stream, 2, "1200");
	answer(stream, len);
	free(stream);
	deinit(handle);
	close(handle);
}

static void calls(void *library)
{
	setenv("SVT_LOG", "1", 1); /* errors */
	for (int i = 0; i < 3; i++) {
		encode(library, i == 0 ? "10" : i == 1 ? "5" : "4");
	}
}

const struct program program = {.calls = calls};
