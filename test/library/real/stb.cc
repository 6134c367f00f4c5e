// SPDX-License-Identifier: Apache-2.0
// libstb: pictures written by way of the host's function and read by way of three, Vorbis that libvorbis has made in the same
// domain, noise.
#include "world.h"

#include <math.h>
#include <stdlib.h>

extern "C" {
struct stbi_io_callbacks {
	int (*read)(void *, char *, int);
	void (*skip)(void *, int);
	int (*eof)(void *);
};
int stbi_write_png_to_func(void (*)(void *, void *, int), void *, int, int, int, const void *, int);
int stbi_write_bmp_to_func(void (*)(void *, void *, int), void *, int, int, int, const void *);
uint8_t *stbi_load_from_memory(const uint8_t *, int, int *, int *, int *, int);
uint8_t *stbi_load_from_callbacks(const stbi_io_callbacks *, void *, int *, int *, int *, int);
void stbi_image_free(void *);
const char *stbi_failure_reason(void);
int stb_vorbis_decode_memory(const uint8_t *, int, int *, int *, short **);
float stb_perlin_noise3(float, float, float, int, int, int);
}

namespace
{

std::string file;
size_t at;

void write(void *, void *from, int n) { file.append(static_cast<char *>(from), static_cast<size_t>(n)); }
int read(void *, char *to, int room)
{
	size_t n = std::min(static_cast<size_t>(room), file.size() - at);
	memcpy(to, file.data() + at, n);
	at += n;
	return static_cast<int>(n);
}
void skip(void *, int n) { at = std::min(file.size(), at + static_cast<size_t>(n)); }
int at_end(void *) { return at == file.size(); }
LYCH_CALLBACK(write, void, (void *, void *, int));
LYCH_CALLBACK(read, int, (void *, char *, int));
LYCH_CALLBACK(skip, void, (void *, int));
LYCH_CALLBACK(at_end, int, (void *));

} // namespace

void work_stb(World &w)
{
	const int width = 80, height = 60;
	const std::vector<uint8_t> picture = sample_picture(width, height);
	uint8_t *pixels = w.copy(picture);
	int *size = w.array<int>(3);
	auto writer = CALLBACK(w, write);

	file.clear();
	w.check(CALL(stbi_write_png_to_func, w, writer, nullptr, width, height, 4, pixels, width * 4) != 0, "stbi_write_png_to_func");
	w.note("PNG", file);
	w.check(file.substr(0, 8) == "\x89PNG\r\n\x1a\n", "its beginning");
	uint8_t *in = reinterpret_cast<uint8_t *>(w.text(file));
	uint8_t *back = CALL(stbi_load_from_memory, w, in, static_cast<int>(file.size()), size, size + 1, size + 2, 4);
	w.check(back != nullptr && size[0] == width && size[1] == height && size[2] == 4, "its size");
	w.check(memcmp(back, picture.data(), picture.size()) == 0, "the same again");
	CALL(stbi_image_free, w, back);

	file.clear();
	w.check(CALL(stbi_write_bmp_to_func, w, writer, nullptr, width, height, 4, pixels) != 0, "stbi_write_bmp_to_func");
	stbi_io_callbacks *io = w.one<stbi_io_callbacks>();
	io->read = CALLBACK(w, read);
	io->skip = CALLBACK(w, skip);
	io->eof = CALLBACK(w, at_end);
	at = 0;
	back = CALL(stbi_load_from_callbacks, w, io, nullptr, size, size + 1, size + 2, 4);
	w.check(back != nullptr && memcmp(back, picture.data(), picture.size()) == 0, "by way of callbacks");
	CALL(stbi_image_free, w, back);
	w.check(CALL(stbi_load_from_memory, w, in, 50, size, size + 1, size + 2, 4) == nullptr, "half a file is refused");
	w.note("error", CALL(stbi_failure_reason, w));

	w.load("libvorbisenc.so.2");
	w.load("libvorbis.so.0");
	w.load("libogg.so.0");
	const std::vector<float> tone = sample_tone(11025, 22050);
	const std::string ogg = encode_vorbis(w, tone);
	short **samples = w.one<short *>();
	int n = CALL(stb_vorbis_decode_memory, w, reinterpret_cast<uint8_t *>(w.text(ogg)), static_cast<int>(ogg.size()), size, size + 1,
		     samples);
	w.check(n == 11025 && size[0] == 1 && size[1] == 22050, "as many samples");
	double difference = 0;
	for (int i = 0; i < n; i++) {
		difference += fabs((*samples)[i] / 32768.0 - static_cast<double>(tone[static_cast<size_t>(i)]));
	}
	w.check(difference / n < 0.03, "near");
	w.note("samples", *samples, static_cast<size_t>(n) * 2);

	// At the points of its lattice this noise is 0.
	w.check(CALL(stb_perlin_noise3, w, 3.f, 4.f, 5.f, 0, 0, 0) == 0.f, "noise");
	w.note("noise in millionths", static_cast<long>(CALL(stb_perlin_noise3, w, 0.3f, 0.7f, 1.1f, 0, 0, 0) * 1e6f));
}

Load load_stb(World &w)
{
	const int width = 512, height = 512;
	uint8_t *pixels = w.copy(load_picture(width, height)), *back = w.array<uint8_t>(width * height * 4);
	int *size = w.array<int>(3);
	file.clear();
	w.check(CALL(stbi_write_png_to_func, w, CALLBACK(w, write), nullptr, width, height, 4, pixels, width * 4) != 0, "PNG");
	const uint8_t *in = reinterpret_cast<uint8_t *>(w.text(file));
	const int bytes = static_cast<int>(file.size());
	auto load = FUNCTION(w, stbi_load_from_memory);
	auto free = FUNCTION(w, stbi_image_free);
	return {[=, &w] {
			uint8_t *rgba = load(in, bytes, size, size + 1, size + 2, 4);
			w.check(rgba != nullptr, "stbi_load_from_memory");
			memcpy(back, rgba, width * height * 4);
			free(rgba);
		},
		[=, &w] {
			w.note("pixels", back, width * height * 4);
			w.check(memcmp(back, pixels, width * height * 4) == 0, "the same again");
		}};
}
