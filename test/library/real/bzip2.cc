// SPDX-License-Identifier: Apache-2.0
// bzip2: a file that another implementation's tests publish, and there and back, streamed with an allocator of the host's.
#include "world.h"

extern "C" {
struct bz_stream {
	char *next_in;
	unsigned avail_in, total_in_lo32, total_in_hi32;
	char *next_out;
	unsigned avail_out, total_out_lo32, total_out_hi32;
	void *state;
	void *(*bzalloc)(void *, int, int);
	void (*bzfree)(void *, void *);
	void *opaque;
};
int BZ2_bzBuffToBuffCompress(char *, unsigned *, char *, unsigned, int, int, int);
int BZ2_bzBuffToBuffDecompress(char *, unsigned *, char *, unsigned, int, int);
int BZ2_bzCompressInit(bz_stream *, int, int, int);
int BZ2_bzCompress(bz_stream *, int);
int BZ2_bzCompressEnd(bz_stream *);
const char *BZ2_bzlibVersion(void);
}

namespace
{

World *current;
int live;

void *allocate(void *, int items, int size)
{
	live++;
	return current->bytes(static_cast<size_t>(items) * static_cast<size_t>(size));
}
void release(void *, void *) { live--; }

LYCH_CALLBACK(allocate, void *, (void *, int, int));
LYCH_CALLBACK(release, void, (void *, void *));

} // namespace

void work_bzip2(World &w)
{
	static const uint8_t hello[] = {0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0x4e, 0xec, 0xe8,
					0x36, 0x00, 0x00, 0x02, 0x51, 0x80, 0x00, 0x10, 0x40, 0x00, 0x06, 0x44, 0x90,
					0x80, 0x20, 0x00, 0x31, 0x06, 0x4c, 0x41, 0x01, 0xa7, 0xa9, 0xa5, 0x80, 0xbb,
					0x94, 0x31, 0xf8, 0xbb, 0x92, 0x29, 0xc2, 0x84, 0x82, 0x77, 0x67, 0x41, 0xb0};
	const std::string text = sample_text(60000);
	char *in = w.text(text), *out = w.array<char>(100000), *back = w.array<char>(100000);
	unsigned *length = w.one<unsigned>();

	w.note("version", CALL(BZ2_bzlibVersion, w));
	*length = 100;
	char *vector = reinterpret_cast<char *>(w.copy(std::vector<uint8_t>(hello, hello + sizeof(hello))));
	w.check(CALL(BZ2_bzBuffToBuffDecompress, w, back, length, vector, sizeof(hello), 0, 0) == 0, "the published file");
	w.check(std::string(back, *length) == "hello world\n", "hello world");

	*length = 100000;
	w.check(CALL(BZ2_bzBuffToBuffCompress, w, out, length, in, static_cast<unsigned>(text.size()), 9, 0, 0) == 0, "compress");
	w.note("compressed", out, *length);
	unsigned compressed = *length;
	*length = 100000;
	w.check(CALL(BZ2_bzBuffToBuffDecompress, w, back, length, out, compressed, 1, 0) == 0, "decompress");
	w.check(std::string(back, *length) == text, "the same again");

	current = &w;
	bz_stream *s = w.one<bz_stream>();
	s->bzalloc = CALLBACK(w, allocate);
	s->bzfree = CALLBACK(w, release);
	w.check(CALL(BZ2_bzCompressInit, w, s, 1, 0, 0) == 0 && live > 0, "its allocator is called");
	s->next_in = in;
	s->avail_in = static_cast<unsigned>(text.size());
	s->next_out = out;
	s->avail_out = 100000;
	w.check(CALL(BZ2_bzCompress, w, s, 2) == 4, "to the end");
	w.note("streamed", out, s->total_out_lo32);
	w.check(CALL(BZ2_bzCompressEnd, w, s) == 0 && live == 0, "and all is given back");
}

Load load_bzip2(World &w)
{
	const unsigned bytes = 256 << 10, room = bytes + 4096;
	char *in = w.text(sample_text(bytes)), *out = w.array<char>(room), *back = w.array<char>(room);
	unsigned *n = w.array<unsigned>(2);
	auto compress = FUNCTION(w, BZ2_bzBuffToBuffCompress);
	auto expand = FUNCTION(w, BZ2_bzBuffToBuffDecompress);
	return {[=, &w] {
			n[0] = n[1] = room;
			w.check(compress(out, n, in, bytes, 9, 0, 0) == 0, "compress");
			w.check(expand(back, n + 1, out, n[0], 0, 0) == 0, "decompress");
		},
		[=, &w] {
			w.note("compressed", out, n[0]);
			w.check(n[1] == bytes && memcmp(in, back, bytes) == 0, "the same again");
		}};
}
