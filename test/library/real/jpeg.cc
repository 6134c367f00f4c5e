// SPDX-License-Identifier: Apache-2.0
// libjpeg-turbo: grey, which is exact, colour, which is near, and a file that ends too early.
#include "world.h"

#include <stdlib.h>

// Offsets are those of the ABI 62: jpeg_compress_struct has 520 bytes, jpeg_decompress_struct 632, jpeg_error_mgr 168.
extern "C" {
void *jpeg_std_error(void *);
void jpeg_CreateCompress(void *, int, size_t);
void jpeg_mem_dest(void *, uint8_t **, unsigned long *);
void jpeg_set_defaults(void *);
void jpeg_set_quality(void *, int, int);
void jpeg_start_compress(void *, int);
unsigned jpeg_write_scanlines(void *, uint8_t **, unsigned);
void jpeg_finish_compress(void *);
void jpeg_destroy_compress(void *);
void jpeg_CreateDecompress(void *, int, size_t);
void jpeg_mem_src(void *, const uint8_t *, unsigned long);
int jpeg_read_header(void *, int);
int jpeg_start_decompress(void *);
unsigned jpeg_read_scanlines(void *, uint8_t **, unsigned);
int jpeg_finish_decompress(void *);
void jpeg_destroy_decompress(void *);
}

namespace
{

int warnings;
void warn(void *) { warnings++; }
LYCH_CALLBACK(warn, void, (void *));

std::string compress(World &w, const std::vector<uint8_t> &pixels, int width, int height, int components, void *errors)
{
	void *c = w.bytes(520);
	uint8_t **out = w.one<uint8_t *>(), **row = w.one<uint8_t *>();
	unsigned long *n = w.one<unsigned long>();
	uint8_t *in = w.copy(pixels);
	member<void *>(c, 0) = CALL(jpeg_std_error, w, errors);
	CALL(jpeg_CreateCompress, w, c, 62, 520);
	CALL(jpeg_mem_dest, w, c, out, n);
	member<int>(c, 48) = width;
	member<int>(c, 52) = height;
	member<int>(c, 56) = components;
	member<int>(c, 60) = components == 1 ? 1 : 2;
	CALL(jpeg_set_defaults, w, c);
	CALL(jpeg_set_quality, w, c, 90, 1);
	CALL(jpeg_start_compress, w, c, 1);
	for (int y = 0; y < height; y++) {
		*row = in + y * width * components;
		w.check(CALL(jpeg_write_scanlines, w, c, row, 1) == 1, "jpeg_write_scanlines");
	}
	CALL(jpeg_finish_compress, w, c);
	std::string file(reinterpret_cast<char *>(*out), *n);
	CALL(jpeg_destroy_compress, w, c);
	return file;
}

std::vector<uint8_t> decompress(World &w, const std::string &file, void *errors, void (*on_warning)(void *))
{
	void *d = w.bytes(632);
	uint8_t **row = w.one<uint8_t *>();
	member<void *>(d, 0) = CALL(jpeg_std_error, w, errors);
	member<void (*)(void *)>(errors, 16) = on_warning;
	CALL(jpeg_CreateDecompress, w, d, 62, 632);
	CALL(jpeg_mem_src, w, d, reinterpret_cast<uint8_t *>(w.text(file)), file.size());
	w.check(CALL(jpeg_read_header, w, d, 1) == 1, "jpeg_read_header");
	w.check(CALL(jpeg_start_decompress, w, d) == 1, "jpeg_start_decompress");
	size_t stride = static_cast<size_t>(member<int>(d, 136) * member<int>(d, 148));
	std::vector<uint8_t> out;
	*row = w.array<uint8_t>(stride);
	for (int y = 0; y < member<int>(d, 140); y++) {
		w.check(CALL(jpeg_read_scanlines, w, d, row, 1) == 1, "jpeg_read_scanlines");
		out.insert(out.end(), *row, *row + stride);
	}
	CALL(jpeg_finish_decompress, w, d);
	CALL(jpeg_destroy_decompress, w, d);
	return out;
}

} // namespace

void work_jpeg(World &w)
{
	void *errors = w.bytes(168);
	auto on_warning = CALLBACK(w, warn);
	const std::vector<uint8_t> grey(64 * 48, 128), picture = sample_picture(160, 120);
	std::vector<uint8_t> colour;
	for (size_t i = 0; i < picture.size(); i += 4) {
		colour.insert(colour.end(), &picture[i], &picture[i + 3]);
	}

	// All coefficients of this grey are 0: each decoder gives the same.
	std::string file = compress(w, grey, 64, 48, 1, errors);
	w.note("grey", file);
	w.check(file.substr(0, 3) == "\xff\xd8\xff" && file.substr(6, 4) == "JFIF", "its beginning");
	w.check(decompress(w, file, errors, on_warning) == grey, "grey again");

	file = compress(w, colour, 160, 120, 3, errors);
	w.note("colour", file);
	std::vector<uint8_t> back = decompress(w, file, errors, on_warning);
	w.check(back.size() == colour.size(), "its size");
	long difference = 0;
	for (size_t i = 0; i < back.size(); i++) {
		difference += abs(back[i] - colour[i]);
	}
	w.note("difference", difference);
	w.check(difference / static_cast<long>(back.size()) < 4, "near");

	warnings = 0;
	file.resize(file.size() / 2);
	back = decompress(w, file, errors, on_warning);
	w.check(warnings > 0 && back.size() == colour.size(), "half a file is told of");
	w.note("half", back.data(), back.size());
}

Load load_jpeg(World &w)
{
	const int width = 512, height = 512;
	const std::vector<uint8_t> picture = load_picture(width, height);
	std::vector<uint8_t> colour;
	for (size_t i = 0; i < picture.size(); i += 4) {
		colour.insert(colour.end(), &picture[i], &picture[i + 3]);
	}
	void *errors = w.bytes(168), *d = w.bytes(632);
	const std::string file = compress(w, colour, width, height, 3, errors);
	const uint8_t *in = reinterpret_cast<uint8_t *>(w.text(file));
	uint8_t **row = w.one<uint8_t *>(), *back = w.array<uint8_t>(colour.size());
	const size_t bytes = file.size(), out = colour.size();
	auto standard = FUNCTION(w, jpeg_std_error);
	auto create = FUNCTION(w, jpeg_CreateDecompress);
	auto source = FUNCTION(w, jpeg_mem_src);
	auto header = FUNCTION(w, jpeg_read_header);
	auto start = FUNCTION(w, jpeg_start_decompress);
	auto lines = FUNCTION(w, jpeg_read_scanlines);
	auto finish = FUNCTION(w, jpeg_finish_decompress);
	auto destroy = FUNCTION(w, jpeg_destroy_decompress);
	return {[=, &w] {
			member<void *>(d, 0) = standard(errors);
			create(d, 62, 632);
			source(d, in, bytes);
			w.check(header(d, 1) == 1 && start(d) == 1, "its header");
			for (int y = 0; y < height; y++) {
				*row = back + y * width * 3;
				w.check(lines(d, row, 1) == 1, "jpeg_read_scanlines");
			}
			finish(d);
			destroy(d);
		},
		[=, &w] { w.note("pixels", back, out); }};
}
