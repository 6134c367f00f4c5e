/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libnettle8: sm3_compress, by nettle_sm3_digest. Two instructions in the rounds hold it, `rol $15` and
 * `add %ebp,%edi`. RIPEMD-160 is asked, too.
 */
#include "program.h"

static void hash(void *library, const char *name, const void *bytes, size_t len, uint8_t *digest, size_t digest_len)
{
	char function[64];
	void (*init)(void *);
	void (*update)(void *, size_t, const void *);
	void (*finish)(void *, size_t, uint8_t *);
	uint64_t context[64];

	snprintf(function, sizeof(function), "nettle_%s_init", name);
	init = symbol(library, function);
	snprintf(function, sizeof(function), "nettle_%s_update", name);
	update = symbol(library, function);
	snprintf(function, sizeof(function), "nettle_%s_digest", name);
	finish = symbol(library, function);
	init(context);
	update(context, len, bytes);
	finish(context, digest_len, digest);
}

/* of its authors, Dobbertin, Bosselaers and Preneel */
static const char *const ripemd160[][2] = {
	{"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"},
	{"a", "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe"},
	{"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"},
	{"message digest", "5d0689ef49d2fae572b881b123a85ffa21595f36"},
	{"abcdefghijklmnopqrstuvwxyz", "f71c27109c692c1b56bbdceb5b9d2865b3708dbc"},
};

static void calls(void *library)
{
	uint8_t digest[32], text[512];

	/* GB/T 32905-2016, Appendix A */
	hash(library, "sm3", "abc", 3, digest, 32);
	known_answer("SM3 of abc", digest, 32, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
	hash(library, "sm3", "abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd", 64, digest, 32);
	known_answer("SM3 of 16 times abcd", digest, 32,
		     "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732");
	for (size_t i = 0; i < sizeof(ripemd160) / sizeof(ripemd160[0]); i++) {
		hash(library, "ripemd160", ripemd160[i][0], strlen(ripemd160[i][0]), digest, 20);
		known_answer("RIPEMD-160", digest, 20, ripemd160[i][1]);
	}
	for (int i = 0; i < 500; i++) {
		size_t len = random_number() % sizeof(text);

		random_bytes(text, len);
		hash(library, "sm3", text, len, digest, 32);
		answer(digest, 32);
		hash(library, "ripemd160", text, len, digest, 20);
		answer(digest, 20);
	}
}

const struct program program = {.calls = calls};
