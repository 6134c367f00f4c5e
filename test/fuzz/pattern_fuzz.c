/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matcher: two bytes of classes, then code. Every implementation must find what the definition
 * (pattern_at) finds at each core; every sequence lies inside the code and is a sequence by itself.
 */
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct expected {
	const uint8_t *buf;
	size_t len;
	uint32_t classes;
	size_t next; /* the first core not accounted for */
};

static void require(bool condition)
{
	if (!condition) {
		abort();
	}
}

/* No core from expected->next to before end is a hit. */
static void require_none_before(const struct expected *expected, size_t end)
{
	size_t off, len;
	enum lych_class cls;

	for (size_t core = expected->next; core < end; core++) {
		require(!pattern_at(expected->buf, expected->len, core, expected->classes, &off,
				    &len, &cls));
	}
}

static int on_hit(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	struct expected *expected = ctx;
	size_t want_off, want_len, alone_off, alone_len;
	enum lych_class want_cls, alone_cls;
	uint8_t alone[LYCH_SEQUENCE_MAX];

	require(core >= expected->next && core < expected->len);
	require_none_before(expected, core);
	expected->next = core + 1;
	require(pattern_at(expected->buf, expected->len, core, expected->classes, &want_off,
			   &want_len, &want_cls));
	require(off == want_off && len == want_len && cls == want_cls);
	require((expected->classes & LYCH_CLASS_BIT(cls)) != 0);
	require(off <= core && len <= LYCH_SEQUENCE_MAX && len <= expected->len - off);
	require(len > core - off);

	/* Nothing around the sequence matters. */
	memcpy(alone, expected->buf + off, len);
	require(pattern_at(alone, len, core - off, LYCH_ALL_CLASSES, &alone_off, &alone_len,
			   &alone_cls));
	require(alone_off == 0 && alone_len == len && alone_cls == cls);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t classes;

	if (size < 2) {
		return 0;
	}
	classes = ((uint32_t)data[0] | (uint32_t)data[1] << 8) & LYCH_ALL_CLASSES;
	for (int impl = 0; impl < PATTERN_IMPL_COUNT; impl++) {
		struct expected expected = {.buf = data + 2, .len = size - 2, .classes = classes};

		if (pattern_impl_usable((enum pattern_impl)impl)) {
			require(pattern_scan_with((enum pattern_impl)impl, expected.buf,
						  expected.len, classes, on_hit, &expected) == 0);
			require_none_before(&expected, expected.len);
		}
	}
	return 0;
}
