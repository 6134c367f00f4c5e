// SPDX-License-Identifier: Apache-2.0
// Files that are good, always the same, and such as have been damaged.
#ifndef LYCH_MEDIA_FILES_H
#define LYCH_MEDIA_FILES_H

#include <random>
#include <string>

// A picture of this size with some structure in it.
std::string png_file(int width, int height);
std::string jpeg_file(int width, int height);
std::string webp_file(int width, int height);
std::string gif_file(int width, int height);
// 4410 samples at 22050 Hz, 440 Hz, by libvorbis, with the comment "TITLE=a tone".
std::string vorbis_file();

// Some bytes of it are others, or it ends early, or a part of it stands there twice. Its first bytes, by which its format is known, stay.
std::string damaged(std::string file, std::mt19937_64 &random);

#endif
