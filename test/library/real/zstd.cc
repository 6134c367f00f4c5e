// SPDX-License-Identifier: Apache-2.0
// zstd: a frame written by hand from the format's document, there and back, with threads of its own, with an allocator.
#include "world.h"

extern "C" {
struct ZSTD_CCtx;
struct ZSTD_DCtx;
struct ZSTD_customMem {
	void *(*alloc)(void *, size_t);
	void (*free)(void *, void *);
	void *opaque;
};
unsigned ZSTD_versionNumber(void);
size_t ZSTD_compressBound(size_t);
unsigned ZSTD_isError(size_t);
size_t ZSTD_compress(void *, size_t, const void *, size_t, int);
size_t ZSTD_decompress(void *, size_t, const void *, size_t);
ZSTD_CCtx *ZSTD_createCCtx(void);
size_t ZSTD_freeCCtx(ZSTD_CCtx *);
size_t ZSTD_CCtx_setParameter(ZSTD_CCtx *, int, int);
size_t ZSTD_compress2(ZSTD_CCtx *, void *, size_t, const void *, size_t);
ZSTD_DCtx *ZSTD_createDCtx_advanced(ZSTD_customMem);
size_t ZSTD_decompressDCtx(ZSTD_DCtx *, void *, size_t, const void *, size_t);
size_t ZSTD_freeDCtx(ZSTD_DCtx *);
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

void work_zstd(World &w)
{
	// One segment of 5 bytes, one raw block, the last.
	const std::vector<uint8_t> hello = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x05, 0x29, 0x00, 0x00, 'h', 'e', 'l', 'l', 'o'};
	const std::string text = sample_text(1500000);
	size_t room = text.size() + 100000;
	char *in = w.text(text), *out = w.array<char>(room), *back = w.array<char>(room);

	w.note("version", CALL(ZSTD_versionNumber, w));
	w.check(CALL(ZSTD_decompress, w, back, room, w.copy(hello), hello.size()) == 5 && memcmp(back, "hello", 5) == 0, "hello");

	size_t n = CALL(ZSTD_compress, w, out, room, in, 100000, 3);
	w.check(CALL(ZSTD_isError, w, n) == 0, "compress");
	w.note("compressed", out, n);
	w.check(CALL(ZSTD_decompress, w, back, room, out, n) == 100000 && memcmp(back, in, 100000) == 0, "the same again");
	out[n / 2] = static_cast<char>(out[n / 2] ^ 0x11);
	w.check(CALL(ZSTD_isError, w, CALL(ZSTD_decompress, w, back, 1000, out, n)) != 0, "a broken one is refused");

	ZSTD_CCtx *c = CALL(ZSTD_createCCtx, w);
	const int compression_level = 100, checksum = 201, workers = 400, job_size = 401;
	w.check(CALL(ZSTD_CCtx_setParameter, w, c, compression_level, 1) == 1, "level");
	CALL(ZSTD_CCtx_setParameter, w, c, checksum, 1);
	w.check(CALL(ZSTD_CCtx_setParameter, w, c, workers, 2) == 2, "two threads");
	CALL(ZSTD_CCtx_setParameter, w, c, job_size, 512 << 10);
	n = CALL(ZSTD_compress2, w, c, out, room, in, text.size());
	w.check(CALL(ZSTD_isError, w, n) == 0, "compress2");
	w.note("with threads", out, n);
	w.check(CALL(ZSTD_freeCCtx, w, c) == 0, "its threads end");

	current = &w;
	ZSTD_customMem memory = {CALLBACK(w, allocate), CALLBACK(w, release), nullptr};
	ZSTD_DCtx *d = CALL(ZSTD_createDCtx_advanced, w, memory);
	w.check(d != nullptr && live > 0, "its allocator is called");
	w.check(CALL(ZSTD_decompressDCtx, w, d, back, room, out, n) == text.size(), "decompress");
	w.check(memcmp(back, in, text.size()) == 0, "the same again");
	w.check(CALL(ZSTD_freeDCtx, w, d) == 0 && live == 0, "and all is given back");
}

Load load_zstd(World &w)
{
	const size_t bytes = 1 << 20, room = bytes + 4096;
	char *in = w.text(sample_text(bytes)), *out = w.array<char>(room), *back = w.array<char>(room);
	size_t *n = w.one<size_t>();
	auto compress = FUNCTION(w, ZSTD_compress);
	auto expand = FUNCTION(w, ZSTD_decompress);
	return {[=, &w] {
			*n = compress(out, room, in, bytes, 3);
			w.check(expand(back, room, out, *n) == bytes, "decompress");
		},
		[=, &w] {
			w.note("compressed", out, *n);
			w.check(memcmp(in, back, bytes) == 0, "the same again");
		}};
}
