// SPDX-License-Identifier: Apache-2.0
// Bytes as tests write them: "0f 01 ef".
#ifndef LYCH_TEST_HEX_H
#define LYCH_TEST_HEX_H

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

// Two digits a byte; white space is passed over.
inline std::vector<uint8_t> hex(const std::string &text)
{
	std::vector<uint8_t> bytes;
	std::string digits;
	for (char c : text) {
		if (!isspace(static_cast<unsigned char>(c))) {
			digits += c;
		}
	}
	for (size_t i = 0; i + 1 < digits.size(); i += 2) {
		bytes.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
	}
	return bytes;
}

inline std::string hex_of(const uint8_t *bytes, size_t len)
{
	std::string text;
	char digits[4];
	for (size_t i = 0; i < len; i++) {
		snprintf(digits, sizeof(digits), "%s%02x", i == 0 ? "" : " ", bytes[i]);
		text += digits;
	}
	return text;
}

#endif
