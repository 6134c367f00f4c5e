// SPDX-License-Identifier: Apache-2.0
// libgnat-12, Ada: GNAT.Decode_UTF8_String.Decode_Wide_String. Where the result has no room for another character it
// calls Past_End, which raises Constraint_Error: that call holds it.
#include "program.h"

namespace
{

struct Bounds {
	int first, last;
};

// procedure Decode_Wide_String (S : String; Result : out Wide_String; Length : out Natural): Length is what it returns
using Decode = int(const char *, const Bounds *, uint16_t *, const Bounds *);

size_t encode(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = static_cast<char>(c);
		return 1;
	}
	if (c < 0x800) {
		out[0] = static_cast<char>(0xc0 | c >> 6);
		out[1] = static_cast<char>(0x80 | (c & 0x3f));
		return 2;
	}
	out[0] = static_cast<char>(0xe0 | c >> 12);
	out[1] = static_cast<char>(0x80 | (c >> 6 & 0x3f));
	out[2] = static_cast<char>(0x80 | (c & 0x3f));
	return 3;
}

// How many characters were decoded, or -1: Ada raised an exception.
int decode(Decode *function, const char *text, size_t len, uint16_t *result, int room)
{
	Bounds from = {1, static_cast<int>(len)}, to = {1, room};
	try {
		return function(text, &from, result, &to);
	} catch (...) {
		return -1;
	}
}

void calls(void *library)
{
	auto *function = ::function<Decode>(library, "gnat__decode_utf8_string__decode_wide_string__2");
	for (int i = 0; i < 300; i++) {
		char text[3 * 64];
		uint16_t expected[64], result[64] = {};
		size_t len = 0;
		int n = 2 + static_cast<int>(random_number() % 62);
		for (int at = 0; at < n; at++) {
			do {
				expected[at] = static_cast<uint16_t>(random_number() >> (random_number() % 16));
			} while (expected[at] >= 0xd800 && expected[at] < 0xe000);
			len += encode(text + len, expected[at]);
		}
		known_number("the length", static_cast<uint64_t>(decode(function, text, len, result, 64)), static_cast<uint64_t>(n));
		known_number("what was decoded", memcmp(result, expected, sizeof(*result) * static_cast<size_t>(n)) == 0, 1);
		// No room for the last ones: Constraint_Error.
		int room = static_cast<int>(random_number() % static_cast<uint64_t>(n));
		int got = decode(function, text, len, result, room);
		known_number("an exception", static_cast<uint64_t>(got), static_cast<uint64_t>(-1));
		known_number("what was decoded up to there",
			     memcmp(result, expected, sizeof(*result) * static_cast<size_t>(room)) == 0, 1);
	}
}

} // namespace

extern "C" const struct program program = {calls, nullptr, nullptr};
