/* SPDX-License-Identifier: Apache-2.0 */
/* libnettle8: sm3_compress, by nettle_sm3_digest. Two instructions in the rounds, `rol $15` and `add %ebp,%edi`. */
#include "program.h"

static void hash(void *library, const void *bytes, size_t len, uint8_t digest[32])
{
	void (*init)(void *) = symbol(library, "nettle_sm3_init");
	void (*update)(void *, size_t, const void *) = symbol(library, "nettle_sm3_update");
	void (*finish)(void *, size_t, uint8_t *) = symbol(library, "nettle_sm3_digest");
	uint64_t context[64];

	init(context);
	update(context, len, bytes);
	finish(context, 32, digest);
}

static void calls(void *library)
{
	uint8_t digest[32], text[512];

	/* GB/T 32905-2016, Appendix A */
	hash(library, "abc", 3, digest);
	known_answer("SM3 of abc", digest, 32, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
	hash(library, "abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd", 64, digest);
	known_answer("SM3 of 16 times abcd", digest, 32,
		     "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732");
	for (int i = 0; i < 500; i++) {
		size_t len = random_number() % sizeof(text);

		random_bytes(text, len);
		hash(library, text, len, digest);
		answer(digest, sizeof(digest));
	}
}

const struct program program = {.calls = calls};
