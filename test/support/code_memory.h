// SPDX-License-Identifier: Apache-2.0
// Executable memory made of bytes that a test writes down.
#ifndef LYCH_TEST_CODE_MEMORY_H
#define LYCH_TEST_CODE_MEMORY_H

#include <algorithm>
#include <cstring>
#include <vector>

#include "hex.h"

// elf.h has a struct and a function of one name, as C allows
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "place.h"
}
#pragma GCC diagnostic pop

class CodeMemory {
public:
	explicit CodeMemory(std::vector<uint8_t> bytes, uint64_t base = 0x10000) : bytes_(std::move(bytes)), base_(base)
	{
		bytes_.shrink_to_fit();
	}
	explicit CodeMemory(const std::string &text, uint64_t base = 0x10000) : CodeMemory(hex(text), base)
	{
	}

	struct code code()
	{
		return {read, this};
	}
	uint64_t base() const
	{
		return base_;
	}
	uint64_t end() const
	{
		return base_ + bytes_.size();
	}
	std::vector<uint8_t> &bytes()
	{
		return bytes_;
	}
	uint64_t reads = 0; // bytes asked for

private:
	static size_t read(void *ctx, uint64_t vaddr, void *buf, size_t len)
	{
		auto *memory = static_cast<CodeMemory *>(ctx);
		if (vaddr < memory->base_ || vaddr - memory->base_ >= memory->bytes_.size()) {
			return 0;
		}
		size_t off = vaddr - memory->base_;
		len = std::min(len, memory->bytes_.size() - off);
		memcpy(buf, memory->bytes_.data() + off, len);
		memory->reads += len;
		return len;
	}

	std::vector<uint8_t> bytes_;
	uint64_t base_;
};

// A hit of class cls whose first byte is at vaddr, core bytes before its opcode.
inline struct hit make_hit(uint64_t vaddr, enum lych_class cls, uint8_t len = 3, uint8_t core = 0)
{
	return {vaddr, vaddr + core, len, cls};
}

#endif
