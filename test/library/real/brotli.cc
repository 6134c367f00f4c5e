// SPDX-License-Identifier: Apache-2.0
// brotli: two libraries in one domain, an encoder and a decoder with an allocator of the host's.
#include "world.h"

extern "C" {
struct BrotliDecoderState;
int BrotliEncoderCompress(int, int, int, size_t, const uint8_t *, size_t *, uint8_t *);
int BrotliDecoderDecompress(size_t, const uint8_t *, size_t *, uint8_t *);
BrotliDecoderState *BrotliDecoderCreateInstance(void *(*)(void *, size_t), void (*)(void *, void *), void *);
int BrotliDecoderDecompressStream(BrotliDecoderState *, size_t *, const uint8_t **, size_t *, uint8_t **, size_t *);
void BrotliDecoderDestroyInstance(BrotliDecoderState *);
}

namespace
{

World *current;
int live;

void *allocate(void *, size_t size)
{
	live++;
	return current->bytes(size);
}
void release(void *, void *at) { live -= at != nullptr; }

LYCH_CALLBACK(allocate, void *, (void *, size_t));
LYCH_CALLBACK(release, void, (void *, void *));

} // namespace

void work_brotli(World &w)
{
	const std::vector<uint8_t> hello = {0x0b, 0x02, 0x80, 'h', 'e', 'l', 'l', 'o', 0x03}; // a window, one uncompressed block
	const std::string text = sample_text(30000);
	uint8_t *in = reinterpret_cast<uint8_t *>(w.text(text)), *out = w.array<uint8_t>(50000), *back = w.array<uint8_t>(50000);
	size_t *n = w.array<size_t>(4);

	w.load("libbrotlidec.so.1");
	n[0] = 100;
	w.check(CALL(BrotliDecoderDecompress, w, hello.size(), w.copy(hello), n, back) == 1, "hello");
	w.check(n[0] == 5 && memcmp(back, "hello", 5) == 0, "hello");
	n[0] = 50000;
	w.check(CALL(BrotliEncoderCompress, w, 6, 18, 1, text.size(), in, n, out) == 1, "compress");
	w.note("compressed", out, n[0]);
	size_t compressed = n[0];
	n[0] = 50000;
	w.check(CALL(BrotliDecoderDecompress, w, compressed, out, n, back) == 1, "decompress");
	w.check(n[0] == text.size() && memcmp(back, text.data(), text.size()) == 0, "the same again");

	current = &w;
	BrotliDecoderState *s = CALL(BrotliDecoderCreateInstance, w, CALLBACK(w, allocate), CALLBACK(w, release), nullptr);
	w.check(s != nullptr && live > 0, "its allocator is called");
	const uint8_t **next_in = w.one<const uint8_t *>();
	uint8_t **next_out = w.one<uint8_t *>();
	memset(back, 0, 50000);
	*next_in = out;
	*next_out = back;
	n[1] = 50000;
	for (size_t at = 0; at < compressed; at += 1000) { // needs more input (2), or done (1)
		n[0] = std::min<size_t>(1000, compressed - at);
		w.check(CALL(BrotliDecoderDecompressStream, w, s, n, next_in, n + 1, next_out, n + 2) == (at + 1000 < compressed ? 2 : 1),
			"streamed");
	}
	w.check(n[2] == text.size() && memcmp(back, text.data(), text.size()) == 0, "the same again");
	CALL(BrotliDecoderDestroyInstance, w, s);
	w.check(live == 0, "and all is given back");
}

Load load_brotli(World &w)
{
	const size_t bytes = 256 << 10, room = bytes + 4096;
	w.load("libbrotlidec.so.1");
	uint8_t *in = reinterpret_cast<uint8_t *>(w.text(sample_text(bytes)));
	uint8_t *out = w.array<uint8_t>(room), *back = w.array<uint8_t>(room);
	size_t *n = w.array<size_t>(2);
	auto compress = FUNCTION(w, BrotliEncoderCompress);
	auto expand = FUNCTION(w, BrotliDecoderDecompress);
	return {[=, &w] {
			n[0] = n[1] = room;
			w.check(compress(5, 22, 1, bytes, in, n, out) == 1, "compress");
			w.check(expand(n[0], out, n + 1, back) == 1, "decompress");
		},
		[=, &w] {
			w.note("compressed", out, n[0]);
			w.check(n[1] == bytes && memcmp(in, back, bytes) == 0, "the same again");
		}};
}
