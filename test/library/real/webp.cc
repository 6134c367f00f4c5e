// SPDX-License-Identifier: Apache-2.0
// libwebp: lossless, which is exact; lossy, with a thread of its own on both sides, and the host's writer.
#include "world.h"

#include <stdlib.h>

// Offsets of WebPConfig (116 bytes), WebPPicture (256) and WebPDecoderConfig (240) are those of libwebp.so.7.
extern "C" {
size_t WebPEncodeLosslessRGBA(const uint8_t *, int, int, int, uint8_t **);
uint8_t *WebPDecodeRGBA(const uint8_t *, size_t, int *, int *);
int WebPGetInfo(const uint8_t *, size_t, int *, int *);
void WebPFree(void *);
int WebPConfigInitInternal(void *, int, float, int);
int WebPPictureInitInternal(void *, int);
int WebPPictureImportRGBA(void *, const uint8_t *, int);
int WebPEncode(const void *, void *);
void WebPPictureFree(void *);
int WebPInitDecoderConfigInternal(void *, int);
int WebPDecode(const uint8_t *, size_t, void *);
void WebPFreeDecBuffer(void *);
size_t WebPEncodeRGBA(const uint8_t *, int, int, int, float, uint8_t **);
}

namespace
{

std::string file;
int write(const uint8_t *at, size_t n, const void *)
{
	file.append(reinterpret_cast<const char *>(at), n);
	return 1;
}
LYCH_CALLBACK(write, int, (const uint8_t *, size_t, const void *));

} // namespace

void work_webp(World &w)
{
	const int width = 160, height = 128;
	const std::vector<uint8_t> picture = sample_picture(width, height);
	uint8_t *pixels = w.copy(picture), **out = w.one<uint8_t *>();
	int *size = w.array<int>(2);

	size_t n = CALL(WebPEncodeLosslessRGBA, w, pixels, width, height, width * 4, out);
	w.check(n > 0, "WebPEncodeLosslessRGBA");
	w.note("lossless", *out, n);
	w.check(memcmp(*out, "RIFF", 4) == 0 && memcmp(*out + 8, "WEBPVP8L", 8) == 0, "its beginning");
	uint8_t *back = CALL(WebPDecodeRGBA, w, *out, n, size, size + 1);
	w.check(back != nullptr && size[0] == width && size[1] == height, "its size");
	w.check(memcmp(back, picture.data(), picture.size()) == 0, "the same again");
	CALL(WebPFree, w, back);
	(*out)[12] ^= 0xff;
	w.check(CALL(WebPGetInfo, w, *out, n, size, size + 1) == 0, "what is none is refused");
	CALL(WebPFree, w, *out);

	const int encoder_abi = 0x20f, decoder_abi = 0x209;
	void *config = w.bytes(116), *p = w.bytes(256), *d = w.bytes(240);
	w.check(CALL(WebPConfigInitInternal, w, config, 0, 80.f, encoder_abi) == 1, "WebPConfigInit");
	member<int>(config, 84) = 1; // thread_level
	w.check(CALL(WebPPictureInitInternal, w, p, encoder_abi) == 1, "WebPPictureInit");
	member<int>(p, 8) = width;
	member<int>(p, 12) = height;
	w.check(CALL(WebPPictureImportRGBA, w, p, pixels, width * 4) == 1, "WebPPictureImportRGBA");
	file.clear();
	member<int (*)(const uint8_t *, size_t, const void *)>(p, 96) = CALLBACK(w, write);
	w.check(CALL(WebPEncode, w, config, p) == 1, "WebPEncode");
	CALL(WebPPictureFree, w, p);
	w.note("lossy", file);

	w.check(CALL(WebPInitDecoderConfigInternal, w, d, decoder_abi) == 1, "WebPInitDecoderConfig");
	member<int>(d, 40) = 1;	 // RGBA
	member<int>(d, 200) = 1; // use_threads
	w.check(CALL(WebPDecode, w, reinterpret_cast<uint8_t *>(w.text(file)), file.size(), d) == 0, "WebPDecode");
	const uint8_t *rgba = member<uint8_t *>(d, 56);
	long difference = 0;
	for (size_t i = 0; i < picture.size(); i++) {
		difference += abs(rgba[i] - picture[i]);
	}
	w.note("difference", difference);
	w.check(difference / static_cast<long>(picture.size()) < 5, "near");
	CALL(WebPFreeDecBuffer, w, static_cast<char *>(d) + 40);
}

Load load_webp(World &w)
{
	const int width = 512, height = 512;
	uint8_t *pixels = w.copy(load_picture(width, height)), **out = w.one<uint8_t *>(), *back = w.array<uint8_t>(width * height * 4);
	int *size = w.array<int>(2);
	const size_t bytes = CALL(WebPEncodeRGBA, w, pixels, width, height, width * 4, 75.f, out);
	const uint8_t *in = *out;
	w.check(bytes > 0, "WebPEncodeRGBA");
	auto decode = FUNCTION(w, WebPDecodeRGBA);
	auto free = FUNCTION(w, WebPFree);
	return {[=, &w] {
			uint8_t *rgba = decode(in, bytes, size, size + 1);
			w.check(rgba != nullptr, "WebPDecodeRGBA");
			memcpy(back, rgba, width * height * 4);
			free(rgba);
		},
		[=, &w] { w.note("pixels", back, width * height * 4); }};
}
