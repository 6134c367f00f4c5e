// SPDX-License-Identifier: Apache-2.0
// Headers, notes, dynamic flags, sections and symbols of files made for the purpose.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "elf_builder.h"
extern "C" {
#include "elf.h"
#include "range.h"
}

namespace
{

constexpr uint32_t RX = PF_R | PF_X;
using Bytes = std::vector<uint8_t>;

struct Opened {
	Bytes file;
	elf e = {};
	const char *why = nullptr;
	int rc;

	explicit Opened(Bytes bytes) : file(std::move(bytes))
	{
		source src = source_from_memory(file.data(), file.size());
		rc = elf_open(&e, &src, &why);
	}
	~Opened()
	{
		elf_close(&e);
	}
	Opened(const Opened &) = delete;
	struct elf_where where(uint64_t vaddr)
	{
		struct elf_where w;
		elf_where(&e, vaddr, &w);
		return w;
	}
	std::string symbol(uint64_t vaddr)
	{
		return where(vaddr).symbol;
	}
	std::string section(uint64_t vaddr)
	{
		return where(vaddr).section;
	}
	std::string ranges() const
	{
		range_list list;
		unsigned flags;
		std::string out;
		if (range_of_segments(&list, &flags, e.phdrs, e.nphdrs, file.size()) != 0) {
			return "refused";
		}
		for (size_t i = 0; i < list.count; i++) {
			out += std::to_string(list.items[i].vaddr) + "+" +
			       std::to_string(list.items[i].len) + " ";
		}
		range_free(&list);
		return out;
	}
};

ElfBuilder Library()
{
	ElfBuilder b;
	b.segment(PF_R, 0, 0, 0x1000);
	b.segment(RX, 0x1000, 0x1000, 0x800);
	b.segment(PF_R | PF_W, 0x3000, 0x2000, 0x100);
	b.reserve(0x2100);
	b.section(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, 0x1000, 0x700);
	b.section(".rodata", SHT_PROGBITS, SHF_ALLOC, 0x1700, 0x1700, 0x100);
	b.symbol("first", 0x1010, 0x20);
	b.symbol("second", 0x1100, 0);
	return b;
}

// ---- headers ------------------------------------------------------------------------------------

struct HeaderRow {
	const char *name;
	std::function<void(Elf64_Ehdr &)> lie;
	int rc;
};

class Headers : public testing::TestWithParam<HeaderRow>
{
};

TEST_P(Headers, AreRefusedWithAReasonOnlyWhenEveryLoaderDoes)
{
	ElfBuilder b = Library();
	b.lie = GetParam().lie;
	Opened f(b.build());
	EXPECT_EQ(f.rc, GetParam().rc) << f.why;
	EXPECT_EQ(f.rc == 0, f.why[0] == '\0') << f.why;
	EXPECT_TRUE(f.rc == 0 || f.e.phdrs == nullptr);
}

INSTANTIATE_TEST_SUITE_P(
	Elf, Headers,
	testing::Values(
		HeaderRow{"Good", [](Elf64_Ehdr &) {}, 0},
		HeaderRow{"TheKernelDoesNotLookAtVersions",
			  [](Elf64_Ehdr &h) { h.e_version = 7, h.e_ident[EI_VERSION] = 9; }, 0},
		HeaderRow{"NorAtTheAbi",
			  [](Elf64_Ehdr &h) { h.e_ident[EI_OSABI] = ELFOSABI_OPENBSD; }, 0},
		HeaderRow{"NorAtTheHeaderSize", [](Elf64_Ehdr &h) { h.e_ehsize = 1; }, 0},
		HeaderRow{"NoSegments", [](Elf64_Ehdr &h) { h.e_phnum = 0, h.e_phentsize = 0; }, 0},
		HeaderRow{"SegmentsOfAnotherSize", [](Elf64_Ehdr &h) { h.e_phentsize = 57; },
			  -EBADMSG},
		HeaderRow{"TypeNone", [](Elf64_Ehdr &h) { h.e_type = ET_NONE; }, -EBADMSG},
		HeaderRow{"TypeCore", [](Elf64_Ehdr &h) { h.e_type = ET_CORE; }, -EBADMSG},
		HeaderRow{"TypeUnknown", [](Elf64_Ehdr &h) { h.e_type = 0xff01; }, -EBADMSG},
		HeaderRow{"OtherMachine", [](Elf64_Ehdr &h) { h.e_machine = EM_386; }, -EBADMSG},
		HeaderRow{"SegmentsBeyondTheFile", [](Elf64_Ehdr &h) { h.e_phoff = 1 << 20; },
			  -ENODATA},
		HeaderRow{"TooManySegmentsForTheFile", [](Elf64_Ehdr &h) { h.e_phnum = 0xffff; },
			  -ENODATA},
		HeaderRow{"OffsetOfSegmentsWraps",
			  [](Elf64_Ehdr &h) { h.e_phoff = UINT64_MAX - 10; }, -EBADMSG},
		HeaderRow{"NoSectionHeaders", [](Elf64_Ehdr &h) { h.e_shoff = 0; }, 0},
		HeaderRow{"SectionHeadersBeyondTheFile",
			  [](Elf64_Ehdr &h) { h.e_shoff = UINT64_MAX - 1; }, 0},
		HeaderRow{"SectionHeadersOfAnotherSize", [](Elf64_Ehdr &h) { h.e_shentsize = 63; },
			  0},
		HeaderRow{"TooManySectionHeaders", [](Elf64_Ehdr &h) { h.e_shnum = 60000; }, 0},
		HeaderRow{"ObjectWithoutSectionHeaders",
			  [](Elf64_Ehdr &h) { h.e_type = ET_REL, h.e_shoff = 0; }, -EBADMSG},
		HeaderRow{"ObjectWithStrangeSectionHeaders",
			  [](Elf64_Ehdr &h) { h.e_type = ET_REL, h.e_shentsize = 1; }, -EBADMSG},
		HeaderRow{"ObjectWithSectionHeadersBeyondTheFile",
			  [](Elf64_Ehdr &h) { h.e_type = ET_REL, h.e_shoff = 1 << 20; }, -ENODATA}),
	[](const testing::TestParamInfo<HeaderRow> &row) { return row.param.name; });

TEST(Elf, ATruncatedFileIsToldWhereverItEnds)
{
	Bytes whole = Library().build();
	for (size_t len : {0, 4, 19, 63, 64, 100, 231}) {
		Opened f(Bytes(whole.begin(), whole.begin() + static_cast<long>(len)));
		EXPECT_EQ(f.rc, -ENODATA) << len;
		EXPECT_STRNE(f.why, "") << len;
	}
	Opened enough(Bytes(whole.begin(), whole.begin() + 64 + 3 * 56));
	EXPECT_EQ(enough.rc, 0);
}

TEST(Elf, SegmentAddressesThatWrapAreRefused)
{
	ElfBuilder b = Library();
	b.segment(RX, UINT64_MAX - 0xfff, 0, 0x1000);
	Opened f(b.build());
	EXPECT_EQ(f.rc, -EBADMSG);
	EXPECT_STREQ(f.why, "the addresses of a segment wrap");
}

// ld.so knows no PN_XNUM: it maps 65535 headers.
TEST(Elf, SixtyFiveThousandSegmentsAreTakenAsTheyStand)
{
	ElfBuilder b;
	b.section_headers = false;
	for (uint64_t i = 0; i < PN_XNUM; i++) {
		b.segment(RX, (PN_XNUM - i) * 0x2000, 0, 0x10);
	}
	Opened f(b.build());
	ASSERT_EQ(f.rc, 0) << f.why;
	EXPECT_EQ(f.e.nphdrs, 65535u);
	EXPECT_EQ(f.e.nloads, 65535u);
	EXPECT_EQ(elf_vaddr_to_off(&f.e, 0x2005), 5u);
}

TEST(Elf, SectionHeadersMakeNoDifferenceToRanges)
{
	ElfBuilder b = Library();
	std::string ranges = Opened(b.build()).ranges();
	EXPECT_EQ(ranges, "4096+4096 ");
	b.lie_sections = [](std::vector<Elf64_Shdr> &shdrs) {
		for (auto &shdr : shdrs) {
			shdr.sh_flags ^= SHF_EXECINSTR | SHF_ALLOC;
			shdr.sh_offset = UINT64_MAX - shdr.sh_size / 2;
			shdr.sh_addr = 0x1000;
		}
	};
	EXPECT_EQ(Opened(b.build()).ranges(), ranges);
	b.section_headers = false;
	EXPECT_EQ(Opened(b.build()).ranges(), ranges);
}

TEST(Elf, AddressesBecomeOffsetsAsLoadersMapThem)
{
	Opened f(Library().build());
	ASSERT_EQ(f.rc, 0);
	EXPECT_EQ(elf_vaddr_to_off(&f.e, 0x1000), 0x1000u);
	EXPECT_EQ(elf_vaddr_to_off(&f.e, 0x1fff), 0x1fffu); // behind p_filesz, in its page
	EXPECT_EQ(elf_vaddr_to_off(&f.e, 0x2000), LYCH_NO_OFFSET);
	EXPECT_EQ(elf_vaddr_to_off(&f.e, 0x3001), 0x2001u);
	EXPECT_EQ(elf_vaddr_to_off(&f.e, 0x3fff), LYCH_NO_OFFSET); // beyond the file
	uint8_t buf[0x2000];
	EXPECT_EQ(elf_read_vaddr(&f.e, 0xf00, buf, sizeof(buf)),
		  0x1100u); // two segments, then a gap
	EXPECT_EQ(elf_read_vaddr(&f.e, 0x2500, buf, sizeof(buf)), 0u);
}

TEST(Elf, ObjectsHaveNoAddresses)
{
	ElfBuilder b = Library();
	b.type = ET_REL;
	Opened f(b.build());
	ASSERT_EQ(f.rc, 0);
	EXPECT_EQ(f.e.nphdrs, 0u);
	EXPECT_EQ(elf_vaddr_to_off(&f.e, 0x1000), LYCH_NO_OFFSET);
}

// ---- sections and symbols -----------------------------------------------------------------------

TEST(Elf, SectionsAreFoundByAddress)
{
	Opened f(Library().build());
	auto text = f.where(0x1000);
	EXPECT_TRUE(text.in_section);
	EXPECT_TRUE(text.section_is_code);
	EXPECT_STREQ(text.section, ".text");
	EXPECT_EQ(text.section_start, 0x1000u);
	EXPECT_EQ(text.section_end, 0x1700u);
	auto data = f.where(0x17ff);
	EXPECT_STREQ(data.section, ".rodata");
	EXPECT_FALSE(data.section_is_code);
	EXPECT_FALSE(f.where(0x1800).in_section);
	EXPECT_STREQ(f.where(0x1800).section, "");
}

TEST(Elf, ThreadLocalZerosAreNoPlace)
{
	ElfBuilder b = Library();
	b.section(".tbss", SHT_NOBITS, SHF_ALLOC | SHF_TLS | SHF_WRITE, 0x1000, 0x1000, 0x1000);
	EXPECT_EQ(Opened(b.build()).section(0x1000), ".text");
}

TEST(Elf, ExtendedSectionNumbersAreFollowed)
{
	ElfBuilder b = Library();
	size_t count = 0;
	b.lie_sections = [&](std::vector<Elf64_Shdr> &shdrs) {
		count = shdrs.size();
		shdrs[0].sh_size = count;
		shdrs[0].sh_link = static_cast<uint32_t>(count - 1);
	};
	b.lie = [](Elf64_Ehdr &h) { h.e_shnum = 0, h.e_shstrndx = SHN_XINDEX; };
	Opened f(b.build());
	ASSERT_EQ(f.rc, 0);
	EXPECT_EQ(f.e.nshdrs, count);
	EXPECT_EQ(f.section(0x1000), ".text");
	EXPECT_EQ(f.symbol(0x1010), "first");
}

TEST(Elf, TheNearestSymbolBelowIsNamed)
{
	Opened f(Library().build());
	EXPECT_FALSE(f.where(0x100f).has_symbol);
	EXPECT_EQ(f.where(0x100f).next_symbol, 0x1010u);
	auto w = f.where(0x10ff); // behind the end of first: still the nearest, its size tells
	EXPECT_TRUE(w.has_symbol);
	EXPECT_STREQ(w.symbol, "first");
	EXPECT_EQ(w.symbol_start, 0x1010u);
	EXPECT_EQ(w.symbol_size, 0x20u);
	EXPECT_EQ(w.symbol_type, STT_FUNC);
	EXPECT_EQ(w.next_symbol, 0x1100u);
	EXPECT_STREQ(f.where(0x1100).symbol, "second");
	EXPECT_EQ(f.where(0x1100).next_symbol, UINT64_MAX);
}

TEST(Elf, OfSymbolsAtOneAddressTheBestIsNamed)
{
	ElfBuilder b = Library();
	b.symbol("label", 0x1200, 0, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE));
	b.symbol("local_function", 0x1200, 4, ELF64_ST_INFO(STB_LOCAL, STT_FUNC));
	b.symbol("object", 0x1200, 4, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT));
	b.symbol("weak", 0x1300, 4, ELF64_ST_INFO(STB_WEAK, STT_FUNC));
	b.symbol("global", 0x1300, 4, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC));
	b.symbol("local", 0x1300, 4, ELF64_ST_INFO(STB_LOCAL, STT_FUNC));
	b.symbol("resolver", 0x1400, 4, ELF64_ST_INFO(STB_LOCAL, STT_GNU_IFUNC));
	b.symbol("data", 0x1400, 4, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT));
	Opened f(b.build());
	EXPECT_EQ(f.symbol(0x1200), "local_function");
	EXPECT_EQ(f.symbol(0x1300), "global");
	EXPECT_EQ(f.symbol(0x1400), "resolver");
	EXPECT_EQ(f.where(0x1200).next_symbol, 0x1300u);
}

TEST(Elf, WhatNamesNoPlaceInCodeIsNoSymbol)
{
	ElfBuilder b = Library();
	b.symbol("undefined", 0x1201, 4, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), SHN_UNDEF);
	b.symbol("absolute", 0x1202, 4, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), SHN_ABS);
	b.symbol("section", 0x1203, 4, ELF64_ST_INFO(STB_LOCAL, STT_SECTION));
	b.symbol("file", 0x1204, 4, ELF64_ST_INFO(STB_LOCAL, STT_FILE));
	b.symbol("tls", 0x1205, 4, ELF64_ST_INFO(STB_GLOBAL, STT_TLS));
	b.symbol("", 0x1206, 4);
	b.symbol("in_data", 0x3000, 4);
	b.symbol("nowhere", 0x9000, 4);
	Opened f(b.build());
	EXPECT_EQ(f.symbol(0x1300), "second");
	EXPECT_EQ(f.where(0x1300).next_symbol, UINT64_MAX);
}

TEST(Elf, NamesFromTheFileAreCleaned)
{
	ElfBuilder b = Library();
	b.symbol("evil\033[31m\nname", 0x1200, 4);
	b.symbol(std::string(1000, 'x'), 0x1300, 4);
	Opened f(b.build());
	EXPECT_EQ(f.symbol(0x1200), "evil?[31m?name");
	EXPECT_EQ(f.symbol(0x1300), std::string(255, 'x'));
}

TEST(Elf, InObjectsEverythingIsAFileOffset)
{
	ElfBuilder b;
	b.type = ET_REL;
	b.reserve(0x400);
	uint16_t text = b.section(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, 0x100, 0x80);
	uint16_t cold = b.section(".text.unlikely", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0,
				  0x200, 0x80);
	uint16_t data = b.section(".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, 0x300, 0x80);
	uint16_t bss = b.section(".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, 0, 0x100, 0x80);
	b.symbol("f", 0x10, 4, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), text);
	b.symbol("g", 0x10, 4, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), cold);
	b.symbol("d", 0x10, 4, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), data);
	b.symbol("z", 0x10, 4, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), bss);
	b.symbol("lies", 0x81, 4, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), text);
	Opened f(b.build());
	ASSERT_EQ(f.rc, 0) << f.why;
	EXPECT_EQ(f.section(0x100), ".text");
	EXPECT_EQ(f.section(0x27f), ".text.unlikely");
	EXPECT_EQ(f.section(0x300), ".data");
	EXPECT_EQ(f.symbol(0x115), "f");
	EXPECT_EQ(f.where(0x115).symbol_start, 0x110u);
	EXPECT_EQ(f.where(0x115).next_symbol, 0x210u);
	EXPECT_EQ(f.symbol(0x215), "g");
	EXPECT_FALSE(f.where(0x115).has_fdes);
}

TEST(Elf, ExtendedSectionNumbersOfSymbolsAreFollowed)
{
	ElfBuilder b;
	b.type = ET_REL;
	b.reserve(0x400);
	uint16_t text = b.section(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, 0x100, 0x80);
	uint32_t extended[2] = {0, text};
	b.put(0x300, extended, sizeof(extended));
	b.section(".symtab_shndx", SHT_SYMTAB_SHNDX, 0, 0, 0x300, sizeof(extended));
	b.symbol("f", 0x10, 4, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), SHN_XINDEX);
	EXPECT_EQ(Opened(b.build()).symbol(0x115), "f");
}

// The answers must not depend on how much fits into memory.
TEST(Elf, OverBudgetTheAnswersAreTheSame)
{
	const unsigned seed = 99;
	std::mt19937 random(seed);
	RecordProperty("seed", static_cast<int>(seed));
	ElfBuilder b;
	b.segment(RX, 0x1000, 0x1000, 0x4000);
	b.segment(PF_R, 0x5000, 0x5000, 0x1000);
	b.reserve(0x6000);
	const uint8_t types[] = {STT_NOTYPE, STT_FUNC, STT_OBJECT, STT_GNU_IFUNC, STT_FILE};
	for (int i = 0; i < 9000; i++) {
		b.symbol("s" + std::to_string(i), 0x1000 + random() % 0x5000, random() % 4,
			 static_cast<uint8_t>(ELF64_ST_INFO(random() % 3, types[random() % 5])));
	}
	Opened indexed(b.build());
	Opened streamed(b.build());
	streamed.e.symbol_budget = 1000;
	for (int i = 0; i < 400; i++) {
		uint64_t vaddr = 0xf00 + random() % 0x5400;
		auto x = indexed.where(vaddr);
		auto y = streamed.where(vaddr);
		ASSERT_EQ(memcmp(&x, &y, sizeof(x)), 0) << std::hex << vaddr << " " << x.symbol
							<< " " << y.symbol << " seed " << seed;
	}
	EXPECT_GT(indexed.e.nsymbols, 1000u);
	EXPECT_TRUE(streamed.e.symbols_streamed);
	EXPECT_EQ(streamed.e.symbols, nullptr);
	// Neighbouring questions cost one pass, and the sum of all passes is limited.
	uint64_t left = streamed.e.stream_left;
	uint64_t first = streamed.where(0x3000).symbol_start;
	streamed.where(first);
	streamed.where(0x3000);
	EXPECT_GE(streamed.e.stream_left, left - 9001 * sizeof(Elf64_Sym));
	streamed.e.stream_left = 0;
	EXPECT_FALSE(streamed.where(0x1400).has_symbol);
	EXPECT_TRUE(streamed.where(0x3000).has_symbol);
}

// ---- notes and PT_DYNAMIC -----------------------------------------------------------------------

void Note(ElfBuilder &b, uint64_t *off, const std::string &owner, uint32_t type, const Bytes &desc,
	  uint64_t align = 4)
{
	b.value(*off, Elf64_Nhdr{static_cast<uint32_t>(owner.size()),
				 static_cast<uint32_t>(desc.size()), type});
	b.put(*off + 12, owner.data(), owner.size());
	uint64_t at = (*off + 12 + owner.size() + align - 1) & ~(align - 1);
	b.bytes(at, desc);
	*off = (at + desc.size() + align - 1) & ~(align - 1);
	b.reserve(*off);
}

std::vector<std::string> Notes(const elf &e, int stop = 0)
{
	struct Collect {
		std::vector<std::string> out;
		int stop;
	} collect{{}, stop};
	int rc = elf_notes(
		&e,
		[](void *ctx, const char *owner, size_t owner_len, uint32_t type,
		   const uint8_t *desc, size_t desc_len, uint64_t vaddr) {
			char buf[64];
			snprintf(buf, sizeof(buf), ":%u:%zu@%lx", type, desc_len, vaddr);
			auto *c = static_cast<Collect *>(ctx);
			c->out.push_back(std::string(owner, owner_len) + buf +
					 (desc_len > 0 ? "=" + std::to_string(desc[0]) : ""));
			return c->stop;
		},
		&collect);
	EXPECT_EQ(rc, collect.out.empty() ? 0 : stop);
	return collect.out;
}

TEST(Elf, NotesAreGivenWithTheirAddresses)
{
	ElfBuilder b = Library();
	uint64_t off = 0x400;
	Note(b, &off, std::string("GNU\0", 4), NT_GNU_BUILD_ID, Bytes(20, 0xab));
	Note(b, &off, std::string("Lychgate\0", 9), 1, {1, 2, 3, 4, 5});
	Note(b, &off, "", 7, {});
	b.program_header(PT_NOTE, PF_R, 0x400, 0x400, off - 0x400, off - 0x400).p_align = 4;
	uint64_t wide = 0x600;
	Note(b, &wide, std::string("GNU\0", 4), 5, Bytes(12, 9), 8);
	Note(b, &wide, "odd", 6, {8}, 8);
	b.program_header(PT_NOTE, PF_R, 0x600, 0x600, wide - 0x600, wide - 0x600).p_align = 8;
	Opened f(b.build());
	ASSERT_EQ(f.rc, 0);
	EXPECT_EQ(Notes(f.e),
		  (std::vector<std::string>{"GNU:3:20@410=171", "Lychgate:1:5@43c=1", ":7:0@450",
					    "GNU:5:12@610=9", "odd:6:1@630=8"}));
	EXPECT_EQ(f.e.build_id_len, 20);
	EXPECT_EQ(f.e.build_id[19], 0xab);
	EXPECT_EQ(Notes(f.e, -ECANCELED).size(), 1u);
}

TEST(Elf, NotesThatLieEndTheList)
{
	ElfBuilder b = Library();
	uint64_t off = 0x400;
	Note(b, &off, std::string("GNU\0", 4), 1, {1, 2, 3, 4});
	b.value(off, Elf64_Nhdr{4, 0xfffffff0, 3});
	b.value(off + 12, uint32_t{0x00554e47});
	b.program_header(PT_NOTE, PF_R, 0x400, 0x400, UINT64_MAX, 0x100).p_align = 4;
	b.program_header(PT_NOTE, PF_R, 0x400, UINT64_MAX, 0x100, 0x100);
	Opened f(b.build());
	ASSERT_EQ(f.rc, 0);
	EXPECT_EQ(Notes(f.e), (std::vector<std::string>{"GNU:1:4@410=1"}));
	EXPECT_EQ(f.e.build_id_len, 0);
}

TEST(Elf, LongBuildIdsAreCut)
{
	ElfBuilder b = Library();
	uint64_t off = 0x400;
	Note(b, &off, std::string("GNU\0", 4), NT_GNU_BUILD_ID, Bytes(100, 0xcd));
	b.program_header(PT_NOTE, PF_R, 0x400, 0x400, off - 0x400, 0);
	EXPECT_EQ(Opened(b.build()).e.build_id_len, LYCH_BUILD_ID_MAX);
}

TEST(Elf, NotesOfObjectsAreInSections)
{
	ElfBuilder b;
	b.type = ET_REL;
	uint64_t off = 0x100;
	Note(b, &off, std::string("Lychgate\0", 9), 1, {1, 2, 3, 4});
	b.section(".note.lychgate", SHT_NOTE, SHF_ALLOC, 0, 0x100, off - 0x100);
	EXPECT_EQ(Notes(Opened(b.build()).e), (std::vector<std::string>{"Lychgate:1:4@118=1"}));
}

bool Textrel(const std::vector<Elf64_Dyn> &entries)
{
	ElfBuilder b = Library();
	for (size_t i = 0; i < entries.size(); i++) {
		b.value(0x2000 + i * sizeof(Elf64_Dyn), entries[i]);
	}
	// As ld.so: by address, whatever offset and sizes say.
	b.program_header(PT_DYNAMIC, PF_R, 0x3000, 0x77, 0, 0);
	Opened f(b.build());
	EXPECT_EQ(f.rc, 0);
	return f.e.textrel;
}

TEST(Elf, TextRelocationsAreTold)
{
	EXPECT_FALSE(Textrel({{DT_FLAGS, {DF_BIND_NOW}}, {DT_NULL, {0}}}));
	EXPECT_TRUE(Textrel({{DT_FLAGS, {DF_TEXTREL | DF_BIND_NOW}}, {DT_NULL, {0}}}));
	EXPECT_TRUE(Textrel({{DT_TEXTREL, {0}}, {DT_NULL, {0}}}));
	EXPECT_FALSE(Textrel({{DT_NULL, {0}}, {DT_TEXTREL, {0}}}));
	EXPECT_FALSE(Textrel({}));
}

} // namespace
