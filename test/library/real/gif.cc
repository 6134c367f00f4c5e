// SPDX-License-Identifier: Apache-2.0
// giflib: the file that each explanation of the format begins with, by way of the host's reader; one written and read back.
#include "world.h"

extern "C" {
struct GifColorMap;
struct GifFile { // the beginning and what is looked at
	int width, height, resolution, background;
	uint8_t aspect;
	GifColorMap *colors;
	int images, image[7];
	void *map;
	char *saved; // 56 bytes each: width at 8, height at 12, pixels at 32
};
using gif_io = int (*)(GifFile *, uint8_t *, int);
GifFile *DGifOpen(void *, gif_io, int *);
int DGifSlurp(GifFile *);
int DGifCloseFile(GifFile *, int *);
GifFile *EGifOpen(void *, gif_io, int *);
GifColorMap *GifMakeMapObject(int, const uint8_t *);
void GifFreeMapObject(GifColorMap *);
int EGifPutScreenDesc(GifFile *, int, int, int, int, const GifColorMap *);
int EGifPutImageDesc(GifFile *, int, int, int, int, bool, const GifColorMap *);
int EGifPutLine(GifFile *, uint8_t *, int);
int EGifCloseFile(GifFile *, int *);
const char *GifErrorString(int);
}

namespace
{

std::string file;
size_t at;

int read(GifFile *, uint8_t *to, int n)
{
	size_t got = std::min(static_cast<size_t>(n), file.size() - at);
	load_callbacks++;
	memcpy(to, file.data() + at, got);
	at += got;
	return static_cast<int>(got);
}
int write(GifFile *, uint8_t *from, int n)
{
	file.append(reinterpret_cast<char *>(from), static_cast<size_t>(n));
	return n;
}
LYCH_CALLBACK(read, int, (GifFile *, uint8_t *, int));
LYCH_CALLBACK(write, int, (GifFile *, uint8_t *, int));

} // namespace

void work_gif(World &w)
{
	static const uint8_t first[] = {0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 0x0a, 0x00, 0x0a, 0x00, 0x91, 0x00, 0x00, 0xff,
					0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0x00, 0x00, 0x00, 0x21, 0xf9, 0x04,
					0x00, 0x00, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x0a, 0x00,
					0x00, 0x02, 0x16, 0x8c, 0x2d, 0x99, 0x87, 0x2a, 0x1c, 0xdc, 0x33, 0xa0, 0x02, 0x75,
					0xec, 0x95, 0xfa, 0xa8, 0xde, 0x60, 0x8c, 0x04, 0x91, 0x4c, 0x01, 0x00, 0x3b};
	int *error = w.one<int>();
	auto reader = CALLBACK(w, read);

	file.assign(reinterpret_cast<const char *>(first), sizeof(first));
	at = 0;
	GifFile *gif = CALL(DGifOpen, w, nullptr, reader, error);
	w.check(gif != nullptr && CALL(DGifSlurp, w, gif) == 1, "DGifSlurp");
	w.check(gif->width == 10 && gif->height == 10 && gif->images == 1, "its size");
	const uint8_t *pixels = member<uint8_t *>(gif->saved, 32);
	w.check(memcmp(pixels, "\1\1\1\1\1\2\2\2\2\2", 10) == 0 && memcmp(pixels + 30, "\1\1\1\0\0\0\0\2\2\2", 10) == 0, "its pixels");
	w.note("pixels", pixels, 100);
	w.check(CALL(DGifCloseFile, w, gif, error) == 1, "DGifCloseFile");

	const int width = 120, height = 90;
	const std::vector<uint8_t> indices = [] {
		std::vector<uint8_t> out(static_cast<size_t>(width * height));
		for (size_t i = 0; i < out.size(); i++) {
			out[i] = static_cast<uint8_t>((i / 7 + i / width) % 16);
		}
		return out;
	}();
	GifColorMap *map = CALL(GifMakeMapObject, w, 16, w.copy(sample_bytes(48, 3)));
	file.clear();
	gif = CALL(EGifOpen, w, nullptr, CALLBACK(w, write), error);
	w.check(gif != nullptr && CALL(EGifPutScreenDesc, w, gif, width, height, 4, 0, map) == 1, "EGifPutScreenDesc");
	w.check(CALL(EGifPutImageDesc, w, gif, 0, 0, width, height, false, nullptr) == 1, "EGifPutImageDesc");
	uint8_t *line = w.array<uint8_t>(width);
	for (int y = 0; y < height; y++) {
		memcpy(line, &indices[static_cast<size_t>(y * width)], width);
		w.check(CALL(EGifPutLine, w, gif, line, width) == 1, "EGifPutLine");
	}
	w.check(CALL(EGifCloseFile, w, gif, error) == 1, "EGifCloseFile");
	CALL(GifFreeMapObject, w, map);
	w.note("file", file);
	at = 0;
	gif = CALL(DGifOpen, w, nullptr, reader, error);
	w.check(gif != nullptr && CALL(DGifSlurp, w, gif) == 1, "read back");
	w.check(memcmp(member<uint8_t *>(gif->saved, 32), indices.data(), indices.size()) == 0, "the same again");
	CALL(DGifCloseFile, w, gif, error);

	file[3] = '7';
	file[0] = 'X';
	at = 0;
	w.check(CALL(DGifOpen, w, nullptr, reader, error) == nullptr, "what is none is refused");
	w.note("error", CALL(GifErrorString, w, *error));
}

Load load_gif(World &w)
{
	const int width = 512, height = 512;
	int *error = w.one<int>();
	uint8_t *line = w.array<uint8_t>(width), *back = w.array<uint8_t>(width * height);
	const std::vector<uint8_t> picture = load_picture(width, height);
	GifColorMap *colors = CALL(GifMakeMapObject, w, 256, w.copy(sample_bytes(768, 3)));
	file.clear();
	GifFile *gif = CALL(EGifOpen, w, nullptr, CALLBACK(w, write), error);
	w.check(gif != nullptr && CALL(EGifPutScreenDesc, w, gif, width, height, 8, 0, colors) == 1, "EGifPutScreenDesc");
	w.check(CALL(EGifPutImageDesc, w, gif, 0, 0, width, height, false, nullptr) == 1, "EGifPutImageDesc");
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			line[x] = static_cast<uint8_t>(picture[static_cast<size_t>(y * width + x) * 4] & 0xfc);
		}
		w.check(CALL(EGifPutLine, w, gif, line, width) == 1, "EGifPutLine");
	}
	w.check(CALL(EGifCloseFile, w, gif, error) == 1, "EGifCloseFile");
	auto open = FUNCTION(w, DGifOpen);
	auto slurp = FUNCTION(w, DGifSlurp);
	auto close = FUNCTION(w, DGifCloseFile);
	auto reader = CALLBACK(w, read);
	return {[=, &w] {
			at = 0;
			GifFile *g = open(nullptr, reader, error);
			w.check(g != nullptr && slurp(g) == 1, "DGifSlurp");
			memcpy(back, member<uint8_t *>(g->saved, 32), width * height);
			w.check(close(g, error) == 1, "DGifCloseFile");
		},
		[=, &w] { w.note("pixels", back, width * height); }};
}
