// SPDX-License-Identifier: Apache-2.0
#include "broken.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#define NO_INLINE __attribute__((noinline, noclone, noipa))

namespace {

volatile int sink;

} // namespace

static NO_INLINE int not_exported(volatile int *at)
{
	*at = 1;
	return sink;
}

static NO_INLINE int compare(const void *a, const void *b)
{
	sink = not_exported(nullptr);
	return static_cast<const char *>(a) < static_cast<const char *>(b) ? -1 : 1;
}

static NO_INLINE void *thread_main(void *overflow)
{
	if (overflow != nullptr) {
		sink = broken_recurse(0);
	} else {
		broken_abort();
	}
	return nullptr;
}

// Of this file: where something of it is in memory.
static int find(dl_phdr_info *info, size_t, void *ctx)
{
	auto *out = static_cast<dl_phdr_info *>(ctx);

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) &ph = info->dlpi_phdr[i];
		if (ph.p_type == PT_LOAD &&
		    reinterpret_cast<uintptr_t>(not_exported) - info->dlpi_addr - ph.p_vaddr < ph.p_memsz) {
			*out = *info;
			return 1;
		}
	}
	return 0;
}

static uint8_t *segment(uint32_t type, size_t *bytes)
{
	dl_phdr_info info = {};

	dl_iterate_phdr(find, &info);
	for (int i = 0; i < info.dlpi_phnum; i++) {
		const ElfW(Phdr) &ph = info.dlpi_phdr[i];
		if (ph.p_type == type) {
			*bytes = ph.p_memsz;
			return reinterpret_cast<uint8_t *>(info.dlpi_addr + ph.p_vaddr);
		}
	}
	abort();
}

static void make_writable(void *at, size_t bytes)
{
	auto start = reinterpret_cast<uintptr_t>(at) & ~uintptr_t{4095};

	if (mprotect(reinterpret_cast<void *>(start), reinterpret_cast<uintptr_t>(at) + bytes - start, PROT_READ | PROT_WRITE) != 0) {
		_Exit(77);
	}
}

NO_INLINE void broken_abort()
{
	abort();
}

NO_INLINE int broken_memory(int how)
{
	for (;;) {
		auto *block = static_cast<volatile char *>(how == 0 ? new char[100000] : malloc(100000));
		block[0] = 1;
	}
}

NO_INLINE int broken_null(int depth)
{
	return (depth > 0 ? broken_null(depth - 1) : not_exported(nullptr)) + sink;
}

NO_INLINE int broken_jump(void (*to)())
{
	to();
	return sink;
}

NO_INLINE int broken_apply(int (*fn)(int), int n)
{
	return fn(n) == 0 ? not_exported(nullptr) + sink : 1;
}

NO_INLINE int broken_in_qsort()
{
	char text[] = "gate";

	qsort(text, 4, 1, compare);
	return text[0];
}

NO_INLINE int broken_thread(int overflow)
{
	pthread_t thread;
	int rc = pthread_create(&thread, nullptr, thread_main, overflow != 0 ? &thread : nullptr);

	return rc != 0 ? rc : pthread_join(thread, nullptr);
}

NO_INLINE int broken_recurse(int depth)
{
	volatile char room[512];

	room[depth % 512] = 1;
	return broken_recurse(depth + 1) + room[depth % 512];
}

NO_INLINE int broken_tables(int how)
{
	size_t bytes;
	uint8_t *header = segment(PT_GNU_EH_FRAME, &bytes);
	int32_t to_frames;
	uint32_t count = 0x7fffffff, seed = static_cast<uint32_t>(how);

	memcpy(&to_frames, header + 4, sizeof(to_frames));
	uint8_t *frames = header + 4 + to_frames;
	make_writable(header, bytes);
	make_writable(frames, 1);
	switch (how) {
	case 0: // far too many entries
		memcpy(header + 8, &count, sizeof(count));
		break;
	case 1: // no table at all
		memset(header, 0xff, bytes);
		break;
	case 2: // every record is endless, and of itself
		memset(frames, 0x00, 64);
		memset(frames, 0xfe, 4);
		break;
	case 3: // not mapped
		munmap(reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(header) & ~uintptr_t{4095}), 4096);
		break;
	default: // anything
		for (size_t i = 12 + static_cast<size_t>(how) % 64; i < bytes; i += 1 + static_cast<size_t>(how) % 7) {
			seed = seed * 1103515245 + 12345;
			header[i] = static_cast<uint8_t>(seed >> 16);
		}
		for (size_t i = 16; i + 1 < 1024 && (reinterpret_cast<uintptr_t>(frames + i + 1) & 4095) != 0;
		     i += 1 + static_cast<size_t>(how) % 5) {
			seed = seed * 1103515245 + 12345;
			frames[i] = static_cast<uint8_t>(seed >> 16);
		}
		break;
	}
	return broken_null(3);
}

NO_INLINE int broken_names()
{
	size_t bytes;
	auto *dynamic = reinterpret_cast<ElfW(Dyn) *>(segment(PT_DYNAMIC, &bytes));
	ElfW(Sym) *symbols = nullptr;
	char *strings = nullptr;
	size_t string_bytes = 0;

	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == DT_SYMTAB) {
			symbols = reinterpret_cast<ElfW(Sym) *>(dynamic->d_un.d_ptr);
		} else if (dynamic->d_tag == DT_STRTAB) {
			strings = reinterpret_cast<char *>(dynamic->d_un.d_ptr);
		} else if (dynamic->d_tag == DT_STRSZ) {
			string_bytes = dynamic->d_un.d_val;
		}
	}
	make_writable(strings, string_bytes);
	make_writable(symbols, 1);
	memset(strings, '\033', string_bytes);
	return broken_null(0);
}

// The frame of a function that has one is found by rbp; the fault is in the function itself.
NO_INLINE int broken_frame_pointer(int how)
{
	uint64_t circle[2] = {reinterpret_cast<uint64_t>(circle), reinterpret_cast<uint64_t>(broken_frame_pointer) + 16};

	switch (how) {
	case 0:
		__asm__ volatile("mov %0, %%rbp\n\tud2" : : "r"(circle) : "memory");
		break;
	case 1:
		__asm__ volatile("mov $-8, %%rbp\n\tud2" : : : "memory");
		break;
	case 2:
		__asm__ volatile("mov %0, %%rsp\n\tmov %0, %%rbp\n\tud2" : : "r"(circle) : "memory");
		break;
	default:
		__asm__ volatile("mov $0x7ffffffff000, %%rsp\n\tmov %%rsp, %%rbp\n\tud2" : : : "memory");
		break;
	}
	return sink;
}
