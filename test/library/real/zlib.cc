// SPDX-License-Identifier: Apache-2.0
// zlib: one shot, streamed with an allocator of the host's, check sums.
#include "world.h"

extern "C" {
struct z_stream {
	const uint8_t *next_in;
	unsigned avail_in;
	unsigned long total_in;
	uint8_t *next_out;
	unsigned avail_out;
	unsigned long total_out;
	const char *msg;
	void *state;
	void *(*zalloc)(void *, unsigned, unsigned);
	void (*zfree)(void *, void *);
	void *opaque;
	int data_type;
	unsigned long adler, reserved;
};
int compress2(uint8_t *, unsigned long *, const uint8_t *, unsigned long, int);
int uncompress(uint8_t *, unsigned long *, const uint8_t *, unsigned long);
unsigned long crc32(unsigned long, const uint8_t *, unsigned);
unsigned long adler32(unsigned long, const uint8_t *, unsigned);
int deflateInit2_(z_stream *, int, int, int, int, int, const char *, int);
int deflate(z_stream *, int);
int deflateEnd(z_stream *);
int inflateInit2_(z_stream *, int, const char *, int);
int inflate(z_stream *, int);
int inflateEnd(z_stream *);
}

namespace
{

World *current;
int live;

void *allocate(void *, unsigned items, unsigned size)
{
	live++;
	return current->bytes(static_cast<size_t>(items) * size);
}
void release(void *, void *) { live--; }

LYCH_CALLBACK(allocate, void *, (void *, unsigned, unsigned));
LYCH_CALLBACK(release, void, (void *, void *));

} // namespace

void work_zlib(World &w)
{
	static const uint8_t hello[] = {0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06, 0x2c, 0x02, 0x15};
	const std::string text = sample_text(100000);
	char *in = w.text(text);
	uint8_t *out = w.array<uint8_t>(200000), *back = w.array<uint8_t>(200000);
	unsigned long *length = w.one<unsigned long>();

	w.check(CALL(crc32, w, 0, reinterpret_cast<uint8_t *>(w.text("123456789")), 9) == 0xcbf43926, "crc32");
	w.check(CALL(adler32, w, 1, reinterpret_cast<uint8_t *>(w.text("Wikipedia")), 9) == 0x11e60398, "adler32");
	*length = 100;
	w.check(CALL(uncompress, w, back, length, w.copy(std::vector<uint8_t>(hello, hello + sizeof(hello))), sizeof(hello)) == 0,
		"uncompress");
	w.check(*length == 5 && memcmp(back, "hello", 5) == 0, "hello");

	*length = 200000;
	w.check(CALL(compress2, w, out, length, reinterpret_cast<uint8_t *>(in), text.size(), 9) == 0, "compress2");
	w.note("compressed", out, *length);
	unsigned long compressed = *length;
	*length = 200000;
	w.check(CALL(uncompress, w, back, length, out, compressed) == 0, "uncompress");
	w.check(*length == text.size() && memcmp(back, text.data(), text.size()) == 0, "the same again");
	out[compressed / 2] ^= 0x55;
	*length = 200000;
	w.check(CALL(uncompress, w, back, length, out, compressed) == -3, "a broken stream is refused");

	// Streamed, as gzip, in small pieces.
	current = &w;
	z_stream *z = w.one<z_stream>();
	char *version = w.text("1.2.13");
	z->zalloc = CALLBACK(w, allocate);
	z->zfree = CALLBACK(w, release);
	w.check(CALL(deflateInit2_, w, z, 6, 8, 15 + 16, 8, 0, version, static_cast<int>(sizeof(*z))) == 0, "deflateInit2");
	w.check(live > 0, "its allocator is called");
	z->next_out = out;
	z->avail_out = 200000;
	for (size_t at = 0; at < text.size(); at += 4096) {
		z->next_in = reinterpret_cast<uint8_t *>(in) + at;
		z->avail_in = static_cast<unsigned>(std::min<size_t>(4096, text.size() - at));
		w.check(CALL(deflate, w, z, at + 4096 >= text.size() ? 4 : 0) >= 0, "deflate");
	}
	compressed = z->total_out;
	w.check(CALL(deflateEnd, w, z) == 0 && live == 0, "deflateEnd");
	w.note("gzip", out, compressed);
	w.check(out[0] == 0x1f && out[1] == 0x8b, "magic of gzip");
	z->next_in = out;
	z->avail_in = static_cast<unsigned>(compressed);
	w.check(CALL(inflateInit2_, w, z, 15 + 32, version, static_cast<int>(sizeof(*z))) == 0, "inflateInit2");
	z->next_out = back;
	z->avail_out = 200000;
	w.check(CALL(inflate, w, z, 4) == 1, "inflate");
	w.check(z->total_out == text.size() && memcmp(back, text.data(), text.size()) == 0, "the same again");
	w.check(CALL(inflateEnd, w, z) == 0 && live == 0, "inflateEnd");
}

Load load_zlib(World &w)
{
	const size_t bytes = 256 << 10, room = bytes + 4096;
	const uint8_t *in = reinterpret_cast<uint8_t *>(w.text(sample_text(bytes)));
	uint8_t *out = w.array<uint8_t>(room), *back = w.array<uint8_t>(room);
	unsigned long *n = w.array<unsigned long>(2);
	auto compress = FUNCTION(w, compress2);
	auto expand = FUNCTION(w, uncompress);
	return {[=, &w] {
			n[0] = n[1] = room;
			w.check(compress(out, n, in, bytes, 6) == 0, "compress2");
			w.check(expand(back, n + 1, out, n[0]) == 0, "uncompress");
		},
		[=, &w] {
			w.note("compressed", out, n[0]);
			w.check(n[1] == bytes && memcmp(in, back, bytes) == 0, "the same again");
		}};
}
