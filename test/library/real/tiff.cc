// SPDX-License-Identifier: Apache-2.0
// libtiff: files that the host keeps, written and read by way of seven callbacks and variadic functions, in two compressions.
#include "world.h"

extern "C" {
struct TIFF;
TIFF *TIFFClientOpen(const char *, const char *, void *, long (*)(void *, void *, long), long (*)(void *, void *, long),
		     uint64_t (*)(void *, uint64_t, int), int (*)(void *), uint64_t (*)(void *), int (*)(void *, void **, uint64_t *),
		     void (*)(void *, void *, uint64_t));
long TIFFWriteEncodedStrip(TIFF *, uint32_t, void *, long);
long TIFFReadEncodedStrip(TIFF *, uint32_t, void *, long);
uint32_t TIFFNumberOfStrips(TIFF *);
void TIFFClose(TIFF *);
void *TIFFSetErrorHandler(void *);
int TIFFReadRGBAImage(TIFF *, uint32_t, uint32_t, uint32_t *, int);
}

namespace
{

std::string file;
size_t at;
bool closed;

long read(void *, void *to, long n)
{
	size_t got = std::min(static_cast<size_t>(n), file.size() - std::min(at, file.size()));
	load_callbacks++;
	memcpy(to, file.data() + at, got);
	at += got;
	return static_cast<long>(got);
}
long write(void *, void *from, long n)
{
	size_t bytes = static_cast<size_t>(n);
	if (file.size() < at + bytes) {
		file.resize(at + bytes);
	}
	memcpy(&file[at], from, bytes);
	at += bytes;
	return n;
}
uint64_t seek(void *, uint64_t to, int whence)
{
	load_callbacks++;
	at = to + (whence == 1 ? at : whence == 2 ? file.size() : 0);
	return at;
}
int close(void *)
{
	closed = true;
	return 0;
}
uint64_t size(void *) { return file.size(); }
int map(void *, void **, uint64_t *) { return 0; }
void unmap(void *, void *, uint64_t) {}
LYCH_CALLBACK(read, long, (void *, void *, long));
LYCH_CALLBACK(write, long, (void *, void *, long));
LYCH_CALLBACK(seek, uint64_t, (void *, uint64_t, int));
LYCH_CALLBACK(close, int, (void *));
LYCH_CALLBACK(size, uint64_t, (void *));
LYCH_CALLBACK(map, int, (void *, void **, uint64_t *));
LYCH_CALLBACK(unmap, void, (void *, void *, uint64_t));

} // namespace

void work_tiff(World &w)
{
	const uint32_t wide = 256, high = 257, bits = 258, compression = 259, photometric = 262, samples = 277, rows = 278, planar = 284,
		       predictor = 317;
	const std::vector<uint8_t> picture = sample_picture(120, 80);
	std::vector<uint8_t> rgb;
	for (size_t i = 0; i < picture.size(); i += 4) {
		rgb.insert(rgb.end(), &picture[i], &picture[i + 3]);
	}
	uint8_t *in = w.copy(rgb), *back = w.array<uint8_t>(rgb.size());
	auto r = CALLBACK(w, read);
	auto wr = CALLBACK(w, write);
	auto s = CALLBACK(w, seek);
	auto c = CALLBACK(w, close);
	auto n = CALLBACK(w, size);
	auto m = CALLBACK(w, map);
	auto u = CALLBACK(w, unmap);
	auto open = [&](const char *mode) {
		at = 0;
		closed = false;
		return CALL(TIFFClientOpen, w, w.text("a file"), w.text(mode), w.bytes(1), r, wr, s, c, n, m, u);
	};
	CALL(TIFFSetErrorHandler, w, nullptr);
	for (int method : {5, 8, 32773}) { // LZW, Deflate, PackBits
		file.clear();
		TIFF *t = open("wl");
		w.check(t != nullptr, "TIFFClientOpen");
		auto set = [&](uint32_t tag, int value) {
			w.check(w.variadic<int>("TIFFSetField", t, tag, value) == 1, "TIFFSetField");
		};
		set(wide, 120);
		set(high, 80);
		set(bits, 8);
		set(samples, 3);
		set(photometric, 2);
		set(planar, 1);
		set(compression, method);
		set(rows, 20);
		if (method != 32773) {
			set(predictor, 2);
		}
		for (uint32_t strip = 0; strip < 4; strip++) {
			memcpy(back, in + strip * 7200, 7200);
			w.check(CALL(TIFFWriteEncodedStrip, w, t, strip, back, 7200) == 7200, "TIFFWriteEncodedStrip");
		}
		CALL(TIFFClose, w, t);
		w.check(closed && file.substr(0, 4) == std::string("II*\0", 4), "its beginning");
		w.note("file", file);
		t = open("r");
		w.check(t != nullptr && CALL(TIFFNumberOfStrips, w, t) == 4, "strips");
		uint32_t *value = w.one<uint32_t>();
		w.check(w.variadic<int>("TIFFGetField", t, wide, value) == 1 && *value == 120, "TIFFGetField");
		memset(back, 0, rgb.size());
		for (uint32_t strip = 0; strip < 4; strip++) {
			w.check(CALL(TIFFReadEncodedStrip, w, t, strip, back + strip * 7200, 7200) == 7200, "TIFFReadEncodedStrip");
		}
		w.check(memcmp(back, rgb.data(), rgb.size()) == 0, "the same again");
		uint32_t *rgba = w.array<uint32_t>(120 * 80);
		w.check(CALL(TIFFReadRGBAImage, w, t, 120, 80, rgba, 0) == 1, "TIFFReadRGBAImage");
		w.note("rgba", rgba, 120 * 80 * 4);
		CALL(TIFFClose, w, t);
	}
	file[0] = 'X';
	w.check(open("r") == nullptr, "what is none is refused");
}

Load load_tiff(World &w)
{
	const uint32_t wide = 256, high = 257, bits = 258, compression = 259, photometric = 262, samples = 277, rows = 278, planar = 284,
		       predictor = 317;
	const int width = 512, height = 512, strips = height / 16, strip_bytes = 16 * width * 3;
	const std::vector<uint8_t> picture = load_picture(width, height);
	uint8_t *strip = w.array<uint8_t>(static_cast<size_t>(strip_bytes));
	uint32_t *rgba = w.array<uint32_t>(width * height);
	char *name = w.text("a file"), *read_mode = w.text("r");
	void *handle = w.bytes(1);
	auto r = CALLBACK(w, read);
	auto wr = CALLBACK(w, write);
	auto s = CALLBACK(w, seek);
	auto c = CALLBACK(w, close);
	auto n = CALLBACK(w, size);
	auto m = CALLBACK(w, map);
	auto u = CALLBACK(w, unmap);
	file.clear();
	at = 0;
	TIFF *t = CALL(TIFFClientOpen, w, name, w.text("wl"), handle, r, wr, s, c, n, m, u);
	w.check(t != nullptr, "TIFFClientOpen");
	for (auto [tag, value] : {std::pair(wide, width), {high, height}, {bits, 8}, {samples, 3}, {photometric, 2}, {planar, 1},
				  {compression, 5}, {rows, 16}, {predictor, 2}}) {
		w.check(w.variadic<int>("TIFFSetField", t, tag, value) == 1, "TIFFSetField");
	}
	for (int i = 0; i < strips; i++) {
		for (int p = 0; p < 16 * width; p++) {
			memcpy(strip + p * 3, &picture[static_cast<size_t>(i * 16 * width + p) * 4], 3);
		}
		w.check(CALL(TIFFWriteEncodedStrip, w, t, static_cast<uint32_t>(i), strip, strip_bytes) == strip_bytes, "TIFFWriteEncodedStrip");
	}
	CALL(TIFFClose, w, t);
	auto open = FUNCTION(w, TIFFClientOpen);
	auto image = FUNCTION(w, TIFFReadRGBAImage);
	auto shut = FUNCTION(w, TIFFClose);
	return {[=, &w] {
			at = 0;
			TIFF *of = open(name, read_mode, handle, r, wr, s, c, n, m, u);
			w.check(of != nullptr && image(of, width, height, rgba, 0) == 1, "TIFFReadRGBAImage");
			shut(of);
		},
		[=, &w] { w.note("pixels", rgba, width * height * 4); }};
}
