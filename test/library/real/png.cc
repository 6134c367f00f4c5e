// SPDX-License-Identifier: Apache-2.0
// libpng: a picture written by way of the host's writer, read in rows by way of its reader, and as it comes; a broken one.
#include "world.h"

extern "C" {
struct png_struct;
struct png_info;
using png_io = void (*)(png_struct *, uint8_t *, size_t);
const char *png_get_libpng_ver(const png_struct *);
png_struct *png_create_write_struct(const char *, void *, void *, void *);
png_struct *png_create_read_struct(const char *, void *, void *, void *);
png_info *png_create_info_struct(png_struct *);
void png_set_write_fn(png_struct *, void *, png_io, void (*)(png_struct *));
void png_set_read_fn(png_struct *, void *, png_io);
void png_set_IHDR(png_struct *, png_info *, uint32_t, uint32_t, int, int, int, int, int);
void png_write_info(png_struct *, const png_info *);
void png_write_row(png_struct *, const uint8_t *);
void png_write_end(png_struct *, png_info *);
void png_destroy_write_struct(png_struct **, png_info **);
void png_read_info(png_struct *, png_info *);
uint32_t png_get_image_width(const png_struct *, const png_info *);
uint32_t png_get_image_height(const png_struct *, const png_info *);
void png_read_row(png_struct *, uint8_t *, uint8_t *);
void png_read_end(png_struct *, png_info *);
void png_destroy_read_struct(png_struct **, png_info **, png_info **);
void png_set_progressive_read_fn(png_struct *, void *, void (*)(png_struct *, png_info *),
				 void (*)(png_struct *, uint8_t *, uint32_t, int), void (*)(png_struct *, png_info *));
void png_read_update_info(png_struct *, png_info *);
void png_process_data(png_struct *, png_info *, uint8_t *, size_t);
int png_image_begin_read_from_memory(void *, const void *, size_t);
int png_image_finish_read(void *, const void *, void *, int, void *);
void png_image_free(void *);
int png_image_write_to_memory(void *, void *, size_t *, int, const void *, int, const void *);
}

namespace
{

World *current;
std::string file, rows;
size_t at;

void write(png_struct *, uint8_t *bytes, size_t n) { file.append(reinterpret_cast<char *>(bytes), n); }
void flush(png_struct *) {}
void read(png_struct *, uint8_t *to, size_t n)
{
	memset(to, 0, n);
	memcpy(to, file.data() + std::min(at, file.size()), std::min(n, file.size() - std::min(at, file.size())));
	at += n;
}
void info(png_struct *png, png_info *of) { CALL(png_read_update_info, *current, png, of); }
void row(png_struct *, uint8_t *pixels, uint32_t, int) { rows.append(reinterpret_cast<char *>(pixels), 64 * 4); }
void end(png_struct *, png_info *) { rows += "end"; }
LYCH_CALLBACK(write, void, (png_struct *, uint8_t *, size_t));
LYCH_CALLBACK(flush, void, (png_struct *));
LYCH_CALLBACK(read, void, (png_struct *, uint8_t *, size_t));
LYCH_CALLBACK(info, void, (png_struct *, png_info *));
LYCH_CALLBACK(row, void, (png_struct *, uint8_t *, uint32_t, int));
LYCH_CALLBACK(end, void, (png_struct *, png_info *));

} // namespace

void work_png(World &w)
{
	const uint32_t width = 64, height = 48, stride = width * 4;
	const std::vector<uint8_t> picture = sample_picture(width, height);
	uint8_t *pixels = w.copy(picture), *line = w.array<uint8_t>(stride);
	png_struct **png = w.one<png_struct *>();
	png_info **of = w.one<png_info *>();
	char *version = w.text(CALL(png_get_libpng_ver, w, nullptr));

	current = &w;
	file.clear();
	*png = CALL(png_create_write_struct, w, version, nullptr, nullptr, nullptr);
	w.check(*png != nullptr, "png_create_write_struct");
	*of = CALL(png_create_info_struct, w, *png);
	CALL(png_set_write_fn, w, *png, nullptr, CALLBACK(w, write), CALLBACK(w, flush));
	CALL(png_set_IHDR, w, *png, *of, width, height, 8, 6, 0, 0, 0);
	CALL(png_write_info, w, *png, *of);
	for (uint32_t y = 0; y < height; y++) {
		CALL(png_write_row, w, *png, pixels + y * stride);
	}
	CALL(png_write_end, w, *png, *of);
	CALL(png_destroy_write_struct, w, png, of);
	w.note("file", file);
	// The signature, and the chunk that ends each file, with its check sum.
	w.check(file.substr(0, 8) == "\x89PNG\r\n\x1a\n", "the signature");
	w.check(file.substr(file.size() - 12) == std::string("\0\0\0\0IEND\xae\x42\x60\x82", 12), "the end");

	at = 0;
	*png = CALL(png_create_read_struct, w, version, nullptr, nullptr, nullptr);
	*of = CALL(png_create_info_struct, w, *png);
	CALL(png_set_read_fn, w, *png, nullptr, CALLBACK(w, read));
	CALL(png_read_info, w, *png, *of);
	w.check(CALL(png_get_image_width, w, *png, *of) == width && CALL(png_get_image_height, w, *png, *of) == height, "its size");
	for (uint32_t y = 0; y < height; y++) {
		CALL(png_read_row, w, *png, line, nullptr);
		w.check(memcmp(line, picture.data() + y * stride, stride) == 0, "a row");
	}
	CALL(png_read_end, w, *png, nullptr);
	CALL(png_destroy_read_struct, w, png, of, nullptr);

	rows.clear();
	*png = CALL(png_create_read_struct, w, version, nullptr, nullptr, nullptr);
	*of = CALL(png_create_info_struct, w, *png);
	CALL(png_set_progressive_read_fn, w, *png, nullptr, CALLBACK(w, info), CALLBACK(w, row), CALLBACK(w, end));
	uint8_t *in = reinterpret_cast<uint8_t *>(w.text(file));
	for (size_t i = 0; i < file.size(); i += 100) {
		CALL(png_process_data, w, *png, *of, in + i, std::min<size_t>(100, file.size() - i));
	}
	CALL(png_destroy_read_struct, w, png, of, nullptr);
	w.check(rows == std::string(picture.begin(), picture.end()) + "end", "as it comes");

	// The simplified API, whose errors are caught inside: struct png_image of 104 bytes.
	void *image = w.bytes(104);
	uint8_t *back = w.array<uint8_t>(picture.size());
	for (int broken = 0; broken < 2; broken++) {
		memset(image, 0, 104);
		member<uint32_t>(image, 8) = 1;
		in[file.size() / 2] = static_cast<uint8_t>(in[file.size() / 2] ^ (broken ? 0x10 : 0));
		w.check(CALL(png_image_begin_read_from_memory, w, image, in, file.size()) == 1, "begin");
		member<uint32_t>(image, 20) = 3;
		int rc = CALL(png_image_finish_read, w, image, nullptr, back, 0, nullptr);
		w.check(rc == !broken, "finish");
		w.note("said", &member<char>(image, 36));
		w.check(broken || memcmp(back, picture.data(), picture.size()) == 0, "the same again");
		CALL(png_image_free, w, image);
	}
}

Load load_png(World &w)
{
	const uint32_t width = 512, height = 512;
	const size_t pixel_bytes = width * height * 4, image_bytes = 104;
	const std::vector<uint8_t> picture = load_picture(width, height);
	void *image = w.bytes(image_bytes);
	uint8_t *in = w.array<uint8_t>(pixel_bytes * 2), *back = w.array<uint8_t>(pixel_bytes), *pixels = w.copy(picture);
	size_t *n = w.one<size_t>();
	auto begin = FUNCTION(w, png_image_begin_read_from_memory);
	auto finish = FUNCTION(w, png_image_finish_read);
	*n = pixel_bytes * 2;
	member<uint32_t>(image, 8) = 1; // version
	member<uint32_t>(image, 12) = width;
	member<uint32_t>(image, 16) = height;
	member<uint32_t>(image, 20) = 3; // RGBA
	w.check(CALL(png_image_write_to_memory, w, image, in, n, 0, pixels, 0, nullptr) == 1, "png_image_write_to_memory");
	return {[=, &w] {
			memset(image, 0, image_bytes);
			member<uint32_t>(image, 8) = 1;
			w.check(begin(image, in, *n) == 1, "begin");
			member<uint32_t>(image, 20) = 3;
			w.check(finish(image, nullptr, back, 0, nullptr) == 1, "finish");
		},
		[=, &w] {
			w.note("file", in, *n);
			w.check(memcmp(back, pixels, pixel_bytes) == 0, "the same again");
		}};
}
