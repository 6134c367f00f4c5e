// SPDX-License-Identifier: Apache-2.0
// Code for lych_code_admit: from files or written down, and addresses reserved for it.
#ifndef LYCH_TEST_CODE_COPY_H
#define LYCH_TEST_CODE_COPY_H

#include <elf.h>
#include <gtest/gtest.h>
#include <lychgate/scan.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" {
#include "../../gate/code/code.h"
}

using Bytes = std::vector<uint8_t>;

constexpr size_t kPage = 4096;

inline size_t whole(size_t bytes)
{
	return (bytes + kPage - 1) & ~(kPage - 1);
}

inline Bytes slurp_bytes(const std::string &path)
{
	std::ifstream in(path, std::ios::binary);
	return {std::istreambuf_iterator<char>(in), {}};
}

struct Told {
	std::string path, symbol, what, done, why;
	uint64_t address, offset;
};

// One copy of code and the addresses around it: room for trampolines, then free pages, the code, free pages.
class Copy {
public:
	static constexpr size_t kAround = 1 << 20, kRoom = 256 << 10;

	explicit Copy(Bytes content, int key = -1, size_t room = kRoom) : content_(std::move(content))
	{
		content_.resize(whole(content_.size()), 0xcc);
		original_ = content_;
		reserved_ = 2 * kAround + content_.size();
		base_ = reinterpret_cast<uint64_t>(
			mmap(nullptr, reserved_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
		EXPECT_NE(base_, reinterpret_cast<uint64_t>(MAP_FAILED));
		if (key >= 0) {
			EXPECT_EQ(syscall(SYS_pkey_mprotect, base_, reserved_, PROT_NONE, key), 0);
		}
		arg.at = base_ + kAround;
		arg.bytes = content_.size();
		arg.content = content_.data();
		arg.name = "";
		arg.classes = LYCH_POLICY_DOMAIN;
		arg.key = key;
		arg.room = room != 0 ? base_ : 0;
		arg.room_bytes = room;
		arg.mode = LYCH_CODE_REPAIR;
		arg.tell = tell;
		arg.ctx = this;
	}
	Copy(const Copy &) = delete;
	Copy &operator=(const Copy &) = delete;
	~Copy()
	{
		munmap(reinterpret_cast<void *>(base_), reserved_);
	}

	int admit()
	{
		told.clear();
		return lych_code_admit(&arg);
	}
	uint8_t *at(size_t off = 0) const
	{
		return reinterpret_cast<uint8_t *>(arg.at + off);
	}
	const Bytes &original() const
	{
		return original_;
	}
	uint64_t base() const
	{
		return base_;
	}
	// Executable code without a break right before the copy, or behind it.
	void plant(uint64_t where, const Bytes &page) const
	{
		void *to = reinterpret_cast<void *>(where);
		EXPECT_EQ(mprotect(to, kPage, PROT_READ | PROT_WRITE), 0);
		memset(to, 0xcc, kPage);
		memcpy(to, page.data(), page.size());
		EXPECT_EQ(mprotect(to, kPage, PROT_READ | PROT_EXEC), 0);
	}
	void plant_before(const Bytes &end) const
	{
		Bytes page(kPage, 0x90);
		std::copy_backward(end.begin(), end.end(), page.end());
		plant(arg.at - kPage, page);
	}
	void plant_behind(const Bytes &start) const
	{
		plant(arg.at + arg.bytes, start);
	}

	struct lych_code_copy arg = {};
	std::vector<Told> told;

private:
	static void tell(const struct lych_code_item *item, void *ctx)
	{
		static_cast<Copy *>(ctx)->told.push_back(
			{item->path, item->symbol, item->what, item->done, item->why, item->address, item->offset});
	}

	Bytes content_, original_;
	uint64_t base_;
	size_t reserved_;
};

// The executable segment of a library as ld.so maps it.
struct FileCopy {
	std::string path;
	Bytes file;
	uint64_t off = 0, vaddr = 0;
	Bytes text;

	explicit FileCopy(std::string name) : path(std::move(name)), file(slurp_bytes(path))
	{
		if (file.size() < sizeof(Elf64_Ehdr)) {
			return;
		}
		const auto *ehdr = reinterpret_cast<const Elf64_Ehdr *>(file.data());
		const auto *phdr = reinterpret_cast<const Elf64_Phdr *>(file.data() + ehdr->e_phoff);
		for (int i = 0; i < ehdr->e_phnum; i++) {
			if (phdr[i].p_type == PT_LOAD && (phdr[i].p_flags & PF_X) != 0) {
				off = phdr[i].p_offset & ~(kPage - 1);
				vaddr = phdr[i].p_vaddr & ~(kPage - 1);
				size_t end = std::min(whole(phdr[i].p_offset + phdr[i].p_filesz), file.size());
				text.assign(file.begin() + static_cast<ptrdiff_t>(off), file.begin() + static_cast<ptrdiff_t>(end));
				text.resize(whole(text.size()));
			}
		}
	}
	void describe(Copy &copy) const
	{
		copy.arg.name = path.c_str();
		copy.arg.off = off;
		copy.arg.file = file.data();
		copy.arg.file_bytes = file.size();
	}
};

// A mapping as /proc/self/smaps has it.
struct Seen {
	uint64_t start, end;
	std::string perms, path;
	int key;
};

inline std::vector<Seen> mappings_in(uint64_t start, uint64_t end)
{
	std::ifstream in("/proc/self/smaps");
	std::vector<Seen> out;
	Seen now = {};
	for (std::string line; std::getline(in, line);) {
		unsigned long from, to;
		char perms[8];
		int at = 0;
		if (sscanf(line.c_str(), "%lx-%lx %7s %*s %*s %*s %n", &from, &to, perms, &at) >= 3) {
			now = {from, to, perms, line.substr(static_cast<size_t>(at)), 0};
			if (from < end && to > start) {
				out.push_back(now);
			}
		} else if (line.compare(0, 14, "ProtectionKey:") == 0 && !out.empty() && out.back().start == now.start) {
			out.back().key = atoi(line.c_str() + 14);
		}
	}
	return out;
}

#endif
