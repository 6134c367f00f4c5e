// SPDX-License-Identifier: Apache-2.0
// Frames by the tables of this program: right where these are, and at an end where they were spoiled.
#include <gtest/gtest.h>
#include <unwind.h>
#include <link.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "frames.h"
#include "object.h"

namespace {

// This process, with some of it replaced.
struct World {
	uint64_t start = 0;
	std::vector<uint8_t> instead;
	size_t reads = 0;

	static bool Read(void *ctx, void *to, uint64_t at, size_t bytes)
	{
		auto *world = static_cast<World *>(ctx);
		iovec local = {to, bytes}, remote = {reinterpret_cast<void *>(at), bytes};

		world->reads++;
		if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != static_cast<ssize_t>(bytes)) {
			return false;
		}
		for (size_t i = 0; i < bytes; i++) {
			if (at + i - world->start < world->instead.size()) {
				static_cast<uint8_t *>(to)[i] = world->instead[at + i - world->start];
			}
		}
		return true;
	}
};

struct Program {
	uint64_t header = 0, bytes = 0, elf = 0;
};

int Find(dl_phdr_info *info, size_t, void *ctx)
{
	auto *out = static_cast<Program *>(ctx);

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) &ph = info->dlpi_phdr[i];
		if (ph.p_type == PT_GNU_EH_FRAME) {
			out->header = info->dlpi_addr + ph.p_vaddr;
		}
		if (ph.p_type == PT_LOAD && ph.p_offset == 0) {
			out->elf = info->dlpi_addr + ph.p_vaddr;
		}
		if (ph.p_type == PT_LOAD && out->header != 0 && out->header - info->dlpi_addr - ph.p_vaddr < ph.p_memsz) {
			out->bytes = info->dlpi_addr + ph.p_vaddr + ph.p_memsz - out->header;
		}
	}
	if (out->bytes == 0) { // its segment comes first
		for (int i = 0; i < info->dlpi_phnum; i++) {
			const ElfW(Phdr) &ph = info->dlpi_phdr[i];
			if (ph.p_type == PT_LOAD && out->header - info->dlpi_addr - ph.p_vaddr < ph.p_memsz) {
				out->bytes = info->dlpi_addr + ph.p_vaddr + ph.p_memsz - out->header;
			}
		}
	}
	return 1; // the first is the program
}

struct Walk {
	frames first;
	void *expected[32];
	int nexpected;
};

// The frames are there only as long as nobody has returned.
__attribute__((noipa)) void Capture(const std::function<void(const Walk &)> &then)
{
	ucontext_t context;
	const greg_t *r = context.uc_mcontext.gregs;
	Walk walk;

	walk.nexpected = 0;
	/* Not backtrace(3), which sanitizers take the place of. */
	_Unwind_Backtrace(
		[](_Unwind_Context *frame, void *to) {
			auto *w = static_cast<Walk *>(to);
			if (w->nexpected < 32) {
				w->expected[w->nexpected++] = reinterpret_cast<void *>(_Unwind_GetIP(frame));
			}
			return _URC_NO_REASON;
		},
		&walk);
	getcontext(&context);
	const greg_t order[] = {r[REG_RAX], r[REG_RDX], r[REG_RCX], r[REG_RBX], r[REG_RSI], r[REG_RDI], r[REG_RBP], r[REG_RSP], r[REG_R8],
				r[REG_R9],  r[REG_R10], r[REG_R11], r[REG_R12], r[REG_R13], r[REG_R14], r[REG_R15], r[REG_RIP]};
	for (size_t i = 0; i < FRAMES_REGISTERS; i++) {
		walk.first.reg[i] = static_cast<uint64_t>(order[i]);
	}
	walk.first.exact = true;
	then(walk);
}

__attribute__((noipa)) void Deeper(int depth, const std::function<void(const Walk &)> &then)
{
	volatile int after = depth;

	if (depth == 0) {
		Capture(then);
	} else {
		Deeper(depth - 1, then);
	}
	after = after + 1;
}

TEST(Frames, AreThoseOfTheUnwinder)
{
	Program program;
	World world;
	const frames_memory memory = {World::Read, &world};
	frames f = {};

	dl_iterate_phdr(Find, &program);
	Deeper(6, [&](const Walk &walk) {
		f = walk.first;
		ASSERT_GE(walk.nexpected, 10);
		for (int i = 1; i < 9; i++) {
			ASSERT_TRUE(frames_step(&f, &memory, program.header)) << i;
			EXPECT_EQ(f.reg[FRAMES_RIP], reinterpret_cast<uint64_t>(walk.expected[i])) << i;
			EXPECT_FALSE(f.exact);
		}
	});
	f.reg[FRAMES_RIP] = 16;
	EXPECT_FALSE(frames_step(&f, &memory, program.header)) << "no function's";
	EXPECT_FALSE(frames_step(&f, &memory, 8)) << "no table";
}

TEST(Frames, AreAtAnEndSoonWhereTablesAreSpoiled)
{
	Program program;
	World world;
	const frames_memory memory = {World::Read, &world};
	std::mt19937 random(5);
	size_t steps = 0;

	dl_iterate_phdr(Find, &program);
	ASSERT_GT(program.bytes, 100u);
	world.start = program.header;
	std::vector<uint8_t> good(program.bytes);
	ASSERT_TRUE(World::Read(&world, good.data(), program.header, good.size()));
	Deeper(3, [&](const Walk &walk) {
		for (int round = 0; round < 3000; round++) {
			static const uint8_t odd[] = {0x0f, 0x10, 0x16, 0x0a, 0x0b, 0x7f, 0x80, 0xff, 0x00, 0x06, 0x70};
			world.instead = good;
			for (size_t n = 0, most = 1 + random() % (good.size() / 8); n < most; n++) {
				size_t at = round % 3 == 0 ? random() % good.size() : 12 + random() % (good.size() - 12);
				world.instead[at] = random() % 2 == 0 ? odd[random() % sizeof(odd)] : static_cast<uint8_t>(random());
			}
			frames f = walk.first;
			for (int i = 0; i < 32; i++) {
				world.reads = 0;
				if (!frames_step(&f, &memory, program.header)) {
					break;
				}
				steps++;
			}
			ASSERT_LT(world.reads, 2500u) << "a table of 2^31 entries is 31 deep, and no record is longer than 4 KiB";
		}
	});
	EXPECT_GT(steps, 100u);
}

TEST(Objects, AreFoundByTheirHeadersAndNameTheirFunctions)
{
	Program program;
	World world;
	const frames_memory memory = {World::Read, &world};
	char name[OBJECT_NAME_BYTES];
	uint64_t into = 0;
	object o;

	dl_iterate_phdr(Find, &program);
	auto here = reinterpret_cast<uint64_t>(&Capture);
	ASSERT_TRUE(object_at(&o, &memory, program.elf, here));
	EXPECT_TRUE(o.code);
	EXPECT_EQ(o.eh_header, program.header);
	EXPECT_FALSE(object_at(&o, &memory, program.elf, 16)) << "not there";
	EXPECT_FALSE(object_at(&o, &memory, program.header, here)) << "no header";
	link_map *map = _r_debug.r_map; // a library of the process: the last, the loader or the C library
	for (; map->l_next != nullptr; map = map->l_next) {
		if (strstr(map->l_name, "libc.so.6") != nullptr) {
			break;
		}
	}
	auto function = reinterpret_cast<uint64_t>(&gethostid);
	ASSERT_TRUE(object_at(&o, &memory, map->l_addr, function));
	ASSERT_TRUE(object_symbol(&o, &memory, function + 3, name, &into));
	EXPECT_STREQ(name, "gethostid");
	EXPECT_EQ(into, 3u);
}

} // namespace
