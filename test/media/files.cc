// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <gif_lib.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <webp/encode.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

static void must(bool ok, const char *what)
{
	if (!ok) {
		throw std::runtime_error(what);
	}
}

static std::vector<uint8_t> pixels(int width, int height)
{
	std::vector<uint8_t> out;
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			out.insert(out.end(), {static_cast<uint8_t>(x * 255 / width), static_cast<uint8_t>(y * 255 / height),
					       static_cast<uint8_t>((x / 8 + y / 8) % 2 * 255), 255});
		}
	}
	return out;
}

std::string png_file(int width, int height)
{
	png_image image = {};
	png_alloc_size_t bytes = 0;
	const std::vector<uint8_t> rgba = pixels(width, height);

	image.version = PNG_IMAGE_VERSION;
	image.width = static_cast<png_uint_32>(width);
	image.height = static_cast<png_uint_32>(height);
	image.format = PNG_FORMAT_RGBA;
	must(png_image_write_to_memory(&image, nullptr, &bytes, 0, rgba.data(), 0, nullptr) != 0, "png");
	std::string out(bytes, '\0');
	must(png_image_write_to_memory(&image, out.data(), &bytes, 0, rgba.data(), 0, nullptr) != 0, "png");
	return out;
}

std::string jpeg_file(int width, int height)
{
	const std::vector<uint8_t> rgba = pixels(width, height);
	unsigned char *file = nullptr;
	unsigned long bytes = 0;
	tjhandle handle = tjInitCompress();

	must(tjCompress2(handle, rgba.data(), width, 0, height, TJPF_RGBA, &file, &bytes, TJSAMP_420, 80, 0) == 0, "jpeg");
	std::string out(reinterpret_cast<char *>(file), bytes);
	tjFree(file);
	tjDestroy(handle);
	return out;
}

std::string webp_file(int width, int height)
{
	const std::vector<uint8_t> rgba = pixels(width, height);
	uint8_t *file = nullptr;
	size_t bytes = WebPEncodeRGBA(rgba.data(), width, height, 4 * width, 75, &file);

	must(bytes > 0, "webp");
	std::string out(reinterpret_cast<char *>(file), bytes);
	WebPFree(file);
	return out;
}

static int append(GifFileType *gif, const GifByteType *from, int n)
{
	static_cast<std::string *>(gif->UserData)->append(reinterpret_cast<const char *>(from), static_cast<size_t>(n));
	return n;
}

std::string gif_file(int width, int height)
{
	std::string out;
	GifColorType colors[16];
	int error = 0;
	std::vector<GifPixelType> line(static_cast<size_t>(width));
	GifFileType *gif = EGifOpen(&out, append, &error);

	for (int i = 0; i < 16; i++) {
		colors[i] = {static_cast<uint8_t>(i * 16), static_cast<uint8_t>(255 - i * 16), 128};
	}
	ColorMapObject *map = GifMakeMapObject(16, colors);
	must(gif != nullptr && EGifPutScreenDesc(gif, width, height, 4, 0, map) == GIF_OK &&
		     EGifPutImageDesc(gif, 0, 0, width, height, false, nullptr) == GIF_OK,
	     "gif");
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			line[static_cast<size_t>(x)] = static_cast<GifPixelType>((x / 4 + y / 4) % 16);
		}
		must(EGifPutLine(gif, line.data(), width) == GIF_OK, "gif");
	}
	must(EGifCloseFile(gif, &error) == GIF_OK, "gif");
	GifFreeMapObject(map);
	return out;
}

std::string vorbis_file()
{
	std::ostringstream text;
	text << std::ifstream(MEDIA_TONE, std::ios::binary).rdbuf();
	must(text.str().size() > 1000, MEDIA_TONE);
	return text.str();
}

std::string damaged(std::string file, std::mt19937_64 &random)
{
	const size_t kept = 16;
	// Not by a distribution, which is another one in another C++ library.
	auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };

	if (random() % 4 == 0) {
		file.resize(kept + below(file.size() - kept));
	} else if (random() % 8 == 0) {
		size_t from = kept + below(file.size() - kept), n = below(file.size() - from) + 1;
		file.insert(kept + below(file.size() - kept), file.substr(from, n));
	}
	for (size_t n = 1 + below(12); n > 0 && file.size() > kept; n--) {
		// What stands early is what the rest is read by.
		size_t reach = random() % 2 == 0 ? std::min<size_t>(file.size(), 128) : file.size();
		file[kept + below(reach - kept)] = static_cast<char>(random());
	}
	return file;
}
