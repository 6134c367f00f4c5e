/* SPDX-License-Identifier: Apache-2.0 */
/* The sites that a file lists in its note (lychgate/note.h). */
#include <string.h>

#include "place.h"

#define SITE_HEAD 8 /* bytes before an entry's code */

_Static_assert(sizeof(((struct site *)0)->bytes) >= 64 + 64, "nbefore and nafter have at most 64 each");

/* Reads the entry at desc[0..len). Returns its size, 0 when it is malformed. */
static size_t entry_parse(struct site *out, const uint8_t *desc, size_t len, uint64_t vaddr)
{
	int32_t distance;
	size_t nbytes, size;

	if (len < SITE_HEAD) {
		return 0;
	}
	memset(out, 0, sizeof(*out));
	memcpy(&distance, desc, sizeof(distance));
	out->vaddr = vaddr + (uint64_t)(int64_t)distance;
	out->kind = desc[4];
	out->nbefore = desc[5];
	out->nafter = desc[6];
	if ((out->kind != LYCH_SITE_GS && out->kind != LYCH_SITE_IMM) || out->nbefore < 3 || out->nbefore > 64 ||
	    out->nafter < 1 || out->nafter > 64 || desc[7] != 0) {
		return 0;
	}
	nbytes = (size_t)out->nbefore + out->nafter;
	size = SITE_HEAD + ((nbytes + 3) & ~(size_t)3);
	if (len < size) {
		return 0;
	}
	for (size_t i = SITE_HEAD + nbytes; i < size; i++) {
		if (desc[i] != 0) {
			return 0;
		}
	}
	memcpy(out->bytes, desc + SITE_HEAD, nbytes);
	return size;
}

size_t site_parse(struct site *out, size_t max, const uint8_t *desc, size_t desc_len, uint64_t desc_vaddr)
{
	size_t at = 0, count = 0;

	while (count < max && at < desc_len) {
		struct site site;
		size_t size = entry_parse(&site, desc + at, desc_len - at, desc_vaddr + at);

		if (size == 0) {
			break;
		}
		out[count++] = site;
		at += size;
	}
	return count;
}
