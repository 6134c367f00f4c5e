// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "elf_builder.h"
extern "C" {
#include "loader_elf.h"
}

namespace
{

using ::testing::HasSubstr;
using Bytes = std::vector<uint8_t>;

struct Read {
	loader_elf elf;
	int rc;
	std::string why;
};

// In memory of exactly its size: AddressSanitizer sees a read behind it.
Read ReadOf(const Bytes &file)
{
	Read r;
	const char *why = nullptr;

	r.rc = loader_elf_read(&r.elf, &why, file.data(), file.size());
	r.why = why != nullptr ? why : "";
	return r;
}

// Headers, code, read-only data, data that is longer in memory.
struct Loader : ElfBuilder {
	Loader()
	{
		segment(PF_R, 0, 0, 0x500);
		segment(PF_R | PF_X, 0x1000, 0x1000, 0x234);
		segment(PF_R, 0x2000, 0x2000, 0x10);
		program_header(PT_LOAD, PF_R | PF_W, 0x3900, 0x2900, 0x300, 0x1800);
		program_header(PT_DYNAMIC, PF_R | PF_W, 0x3900, 0x2900, 0x100, 0x100);
		program_header(PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0);
		section_headers = false;
		bytes(0xfff, {0xee});
		bytes(0x1000, Bytes(0x234, 0xc3));
		bytes(0x1234, Bytes(0x100, 0xee));
		bytes(0x2000, Bytes(0x10, 0x22));
		bytes(0x2800, Bytes(0x100, 0xee));
		bytes(0x2900, Bytes(0x300, 0x33));
		bytes(0x2c00, Bytes(0x100, 0xee));
		lie = [](Elf64_Ehdr &h) { h.e_entry = 0x1010; };
	}
};

std::string WhyNot(const std::function<void(Loader &)> &change)
{
	Loader l;

	change(l);
	const Read r = ReadOf(l.build());
	EXPECT_EQ(r.rc, -ENOEXEC);
	return r.why;
}

std::string WhyNotHeader(const std::function<void(Elf64_Ehdr &)> &change)
{
	return WhyNot([&](Loader &l) {
		l.lie = [&](Elf64_Ehdr &h) {
			h.e_entry = 0x1010;
			change(h);
		};
	});
}

TEST(LoaderElf, SaysWhatGoesWhere)
{
	const Read r = ReadOf(Loader().build());

	ASSERT_EQ(r.rc, 0) << r.why;
	EXPECT_EQ(r.elf.count, 4u);
	EXPECT_EQ(r.elf.end, 0x6000u);
	EXPECT_EQ(r.elf.align, 0x1000u);
	EXPECT_EQ(r.elf.entry, 0x1010u);
	EXPECT_EQ(r.elf.phdr, sizeof(Elf64_Ehdr));
	EXPECT_EQ(r.elf.phnum, 6u);
	EXPECT_FALSE(r.elf.interpreted);
	const loader_segment &code = r.elf.segments[1], &data = r.elf.segments[3];
	EXPECT_TRUE(code.readable && code.executable && !code.writable);
	EXPECT_EQ(code.start, 0x1000u);
	EXPECT_EQ(code.end, 0x2000u);
	EXPECT_EQ(code.held, 0x1000u);
	EXPECT_TRUE(data.readable && !data.executable && data.writable);
	EXPECT_EQ(data.start, 0x3000u);
	EXPECT_EQ(data.held, 0x1000u);
	EXPECT_EQ(data.end, 0x6000u);
}

TEST(LoaderElf, PagesHoldTheSegmentAndZeros)
{
	const Bytes file = Loader().build();
	const Read r = ReadOf(file);

	ASSERT_EQ(r.rc, 0) << r.why;
	for (uint32_t i = 0; i < r.elf.count; i++) {
		const loader_segment &s = r.elf.segments[i];
		Bytes want(s.held), have(s.held, 0xaa);

		std::copy(file.begin() + static_cast<long>(s.file), file.begin() + static_cast<long>(s.file + s.bytes),
			  want.begin() + static_cast<long>(s.vaddr - s.start));
		loader_elf_fill(have.data(), &s, file.data());
		EXPECT_EQ(have, want) << i;
	}
	Bytes data(0x1000);
	loader_elf_fill(data.data(), &r.elf.segments[3], file.data());
	EXPECT_EQ(data[0x8ff], 0);
	EXPECT_EQ(data[0x900], 0x33);
	EXPECT_EQ(data[0xbff], 0x33);
	EXPECT_EQ(data[0xc00], 0) << "ld.so allocates from here to the end of the page";
}

TEST(LoaderElf, ASegmentMayHaveNothingInTheFile)
{
	Loader l;

	l.program_header(PT_LOAD, PF_R | PF_W, 0x6000, 0x6000 % 0x1000, 0, 0x1234);
	const Read r = ReadOf(l.build());
	ASSERT_EQ(r.rc, 0) << r.why;
	EXPECT_EQ(r.elf.segments[4].held, 0u);
	EXPECT_EQ(r.elf.end, 0x8000u);
	loader_elf_fill(nullptr, &r.elf.segments[4], nullptr);
}

TEST(LoaderElf, ReadsTheLoaderOfThisSystem)
{
	std::ifstream in("/lib64/ld-linux-x86-64.so.2", std::ios::binary);
	const Bytes file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
	const Read r = ReadOf(file);

	ASSERT_EQ(r.rc, 0) << r.why;
	EXPECT_FALSE(r.elf.interpreted);
	// Cut anywhere: refused, or cut behind all that is loaded.
	for (size_t len = 0; len < file.size(); len += 997) {
		const Bytes part(file.begin(), file.begin() + static_cast<long>(len));
		const Read cut = ReadOf(part);
		const loader_segment &last = r.elf.segments[r.elf.count - 1];
		EXPECT_EQ(cut.rc, len < last.file + last.bytes ? -ENOEXEC : 0) << len;
	}
}

TEST(LoaderElf, KnowsAProgramByItsInterpreter)
{
	Loader l;

	l.program_header(PT_INTERP, PF_R, 0x400, 0x400, 0x10, 0x10);
	const Read r = ReadOf(l.build());
	ASSERT_EQ(r.rc, 0) << r.why;
	EXPECT_TRUE(r.elf.interpreted);
}

TEST(LoaderElf, OtherFilesAreRefused)
{
	EXPECT_THAT(ReadOf({}).why, HasSubstr("not an ELF file"));
	EXPECT_THAT(ReadOf(Bytes(64)).why, HasSubstr("not an ELF file"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_ident[EI_CLASS] = ELFCLASS32; }), HasSubstr("another machine"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_ident[EI_DATA] = ELFDATA2MSB; }), HasSubstr("another machine"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_machine = EM_AARCH64; }), HasSubstr("another machine"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_ident[EI_OSABI] = ELFOSABI_FREEBSD; }), HasSubstr("another system"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_version = 2; }), HasSubstr("another system"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_type = ET_EXEC; }), HasSubstr("position-independent"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_phentsize = 32; }), HasSubstr("program headers"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_phnum = 0; }), HasSubstr("program headers"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_phnum = 65; }), HasSubstr("program headers"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_phoff = 1 << 20; }), HasSubstr("cut off"));
	EXPECT_THAT(WhyNotHeader([](Elf64_Ehdr &h) { h.e_phoff = ~uint64_t{0}; }), HasSubstr("cut off"));
	EXPECT_EQ(ReadOf(Loader().build()).rc, 0) << "the control";
}

TEST(LoaderElf, TheEntryPointIsInCode)
{
	for (uint64_t entry : {uint64_t{0}, uint64_t{0xfff}, uint64_t{0x1234}, uint64_t{0x2000}, ~uint64_t{0}}) {
		EXPECT_THAT(WhyNotHeader([&](Elf64_Ehdr &h) { h.e_entry = entry; }), HasSubstr("entry point")) << entry;
	}
}

TEST(LoaderElf, HeadersAreInMemory)
{
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[0].p_filesz = 0x50; }), HasSubstr("headers"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[0].p_flags = 0; }), HasSubstr("headers"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[0].p_offset = 0x1000; }), HasSubstr("headers"));
}

TEST(LoaderElf, ImpossibleSegmentsAreRefused)
{
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[0].p_vaddr = 0x10000; }), HasSubstr("address 0"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[2].p_vaddr = 0x1000; }), HasSubstr("over each other"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[1].p_memsz = l.phdrs[1].p_filesz = 0x1234; }),
		    HasSubstr("over each other"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_vaddr++; }), HasSubstr("cannot be mapped"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_memsz = l.phdrs[3].p_filesz = 0x100000; }), HasSubstr("cut off"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_offset = ~uint64_t{0} - 0x6ff; }), HasSubstr("cut off"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_memsz = 1; }), HasSubstr("impossible size"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_memsz = LOADER_IMAGE_MAX; }), HasSubstr("impossible size"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_memsz = ~uint64_t{0}; }), HasSubstr("impossible size"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_vaddr = ~uint64_t{0} - 0x6ff; }), HasSubstr("impossible size"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_align = 0x3000; }), HasSubstr("alignment"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_align = uint64_t{1} << 40; }), HasSubstr("alignment"));
	EXPECT_THAT(WhyNot([](Loader &l) {
		for (uint64_t i = 0; i < LOADER_SEGMENTS_MAX; i++) {
			l.program_header(PT_LOAD, PF_R, 0x10000 + i * 0x1000, 0, 1, 1);
		}
	}), HasSubstr("too many segments"));
}

TEST(LoaderElf, CodeIsNeverDataAndComesFromTheFile)
{
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[1].p_flags |= PF_W; }), HasSubstr("can be written"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[3].p_flags |= PF_X; }), HasSubstr("can be written"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[5].p_flags |= PF_X; }), HasSubstr("executable stack"));
	EXPECT_THAT(WhyNot([](Loader &l) {
		l.phdrs[3].p_flags = PF_R | PF_X;
	}), HasSubstr("not in the file"));
	EXPECT_THAT(WhyNot([](Loader &l) { l.phdrs[4].p_type = PT_NOTE; }), HasSubstr("nothing to load"));
}

TEST(LoaderElf, TheLargestAlignmentIsAskedFor)
{
	Loader l;

	l.phdrs[1].p_align = 0x200000;
	l.phdrs[2].p_align = 0;
	EXPECT_EQ(ReadOf(l.build()).elf.align, 0x200000u);
}

} // namespace
