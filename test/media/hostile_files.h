// SPDX-License-Identifier: Apache-2.0
// The sample's hostile files as strings.
#ifndef LYCH_MEDIA_HOSTILE_FILES_H
#define LYCH_MEDIA_HOSTILE_FILES_H

#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" {
#include "hostile.h"
}

// Takes the file over.
inline std::string made(uint8_t *file, size_t bytes)
{
	std::string out(reinterpret_cast<char *>(file), bytes);
	free(file);
	return out;
}

// CVE-2023-45681
inline std::string cve()
{
	size_t bytes = 0;
	uint8_t *file = hostile_vorbis(&bytes);
	return made(file, bytes);
}

#endif // LYCH_MEDIA_HOSTILE_FILES_H
