// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

extern "C" {
#include "range.h"
}

namespace
{

constexpr uint64_t kHuge = uint64_t{1} << 40;

struct Ranges {
	range_list list = {};
	unsigned flags = 0;
	int rc = 0;

	Ranges(const std::vector<Elf64_Phdr> &phdrs, uint64_t file_size)
	{
		rc = range_of_segments(&list, &flags, phdrs.data(), phdrs.size(), file_size);
	}
	Ranges(const std::vector<Elf64_Shdr> &shdrs, uint64_t file_size)
	{
		rc = range_of_sections(&list, &flags, shdrs.data(), shdrs.size(), file_size);
	}
	~Ranges()
	{
		range_free(&list);
	}
	Ranges(const Ranges &) = delete;
	// "vaddr<off+len" with w for writable, j for joins
	std::string text() const
	{
		std::string out;
		char buf[100];
		for (size_t i = 0; i < list.count; i++) {
			const range &r = list.items[i];
			snprintf(buf, sizeof(buf), "%s%lx<%lx+%lx%s%s", i > 0 ? " " : "", r.vaddr,
				 r.off, r.len, r.writable ? "w" : "", r.joins ? "j" : "");
			out += buf;
		}
		return out;
	}
};

Elf64_Phdr Load(uint32_t flags, uint64_t vaddr, uint64_t off, uint64_t filesz)
{
	return {PT_LOAD, flags, off, vaddr, vaddr, filesz, filesz, 0x1000};
}

const Elf64_Phdr kStack = {PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
constexpr uint32_t RX = PF_R | PF_X;
constexpr uint32_t RW = PF_R | PF_W;

struct Row {
	const char *name;
	std::vector<Elf64_Phdr> phdrs;
	uint64_t file_size;
	std::string ranges;
	unsigned flags;
};

class Layout : public testing::TestWithParam<Row>
{
};

TEST_P(Layout, IsWhatLoadersMap)
{
	std::vector<Elf64_Phdr> phdrs = GetParam().phdrs;
	phdrs.push_back(kStack);
	Ranges r(phdrs, GetParam().file_size);
	ASSERT_EQ(r.rc, 0);
	EXPECT_EQ(r.text(), GetParam().ranges);
	EXPECT_EQ(r.flags, GetParam().flags);
}

INSTANTIATE_TEST_SUITE_P(
	Range, Layout,
	testing::Values(
		Row{"NothingExecutable", {Load(RW, 0x1000, 0x1000, 0x1000)}, 0x10000, "", 0},
		Row{"NoSegments", {}, 0x10000, "", 0},
		Row{"WholePages",
		    {Load(RX, 0x401000, 0x1000, 0x2000)},
		    0x10000,
		    "401000<1000+2000",
		    0},
		Row{"BytesBeforeAndBehindTheSegmentInItsPages",
		    {Load(RX, 0x401234, 0x1234, 0x10)},
		    0x10000,
		    "401000<1000+1000",
		    0},
		Row{"OneByteIntoTheNextPageTakesAllOfIt",
		    {Load(RX, 0x401000, 0x1000, 0x1001)},
		    0x10000,
		    "401000<1000+2000",
		    0},
		Row{"NoFileBytesAtAPageBorderMapNothing",
		    {Load(RX, 0x401000, 0x1000, 0)},
		    0x10000,
		    "",
		    0},
		Row{"NoFileBytesWithinAPageMapThatPage",
		    {Load(RX, 0x401800, 0x1800, 0)},
		    0x10000,
		    "401000<1000+1000",
		    0},
		Row{"LastPageEndsWithTheFile",
		    {Load(RX, 0x401000, 0x1000, 0x800)},
		    0x1900,
		    "401000<1000+900",
		    0},
		Row{"BeyondTheFileIsClippedAndSaid",
		    {Load(RX, 0x401000, 0x1000, 0x5000)},
		    0x2800,
		    "401000<1000+1800",
		    RANGE_TRUNCATED},
		Row{"WhollyBeyondTheFile",
		    {Load(RX, 0x401000, 0x9000, 0x1000)},
		    0x2800,
		    "",
		    RANGE_TRUNCATED},
		Row{"HugeFileSizeIsClipped",
		    {Load(RX, 0x400000, 0, uint64_t{1} << 62)},
		    0x3000,
		    "400000<0+3000",
		    RANGE_TRUNCATED},
		Row{"OffsetsThatWrapAreBeyondTheFile",
		    {Load(RX, 0x400000, UINT64_MAX - 0xfff, 0x3000)},
		    0x3000,
		    "",
		    RANGE_TRUNCATED},
		Row{"NeighboursJoin",
		    {Load(RX, 0x401000, 0x1000, 0x1000), Load(RX, 0x402000, 0x8000, 0x1000)},
		    0x10000,
		    "401000<1000+1000 402000<8000+1000j",
		    0},
		Row{"NeighboursJoinInWhateverOrder",
		    {Load(RX, 0x402000, 0x8000, 0x1000), Load(RX, 0x401000, 0x1000, 0x1000)},
		    0x10000,
		    "401000<1000+1000 402000<8000+1000j",
		    0},
		Row{"PageTailsJoin",
		    {Load(RX, 0x401000, 0x1000, 0x10), Load(RX, 0x402ff0, 0x2ff0, 0x10)},
		    0x10000,
		    "401000<1000+1000 402000<2000+1000j",
		    0},
		Row{"APageBetweenParts",
		    {Load(RX, 0x401000, 0x1000, 0x1000), Load(RX, 0x403000, 0x2000, 0x1000)},
		    0x10000,
		    "401000<1000+1000 403000<2000+1000",
		    0},
		Row{"ARangeThatTheFileEndsDoesNotJoin",
		    {Load(RX, 0x401000, 0x7000, 0x1000), Load(RX, 0x402000, 0x1000, 0x1000)},
		    0x7800,
		    "401000<7000+800 402000<1000+1000",
		    RANGE_TRUNCATED},
		Row{"ALaterSegmentLiesOverAnEarlierOne",
		    {Load(RX, 0x401000, 0x1000, 0x3000), Load(RX, 0x402000, 0x8000, 0x1000)},
		    0x10000,
		    "401000<1000+1000 402000<8000+1000j 403000<3000+1000j",
		    RANGE_OVERLAP},
		Row{"AnEarlierSegmentLiesUnderALaterOne",
		    {Load(RX, 0x402000, 0x8000, 0x1000), Load(RX, 0x401000, 0x1000, 0x3000)},
		    0x10000,
		    "401000<1000+3000",
		    RANGE_OVERLAP},
		Row{"DataOverCodeTakesItAway",
		    {Load(RX, 0x401000, 0x1000, 0x3000), Load(RW, 0x402000, 0x8000, 0x1000)},
		    0x10000,
		    "401000<1000+1000 403000<3000+1000",
		    RANGE_OVERLAP},
		Row{"CodeOverDataCounts",
		    {Load(RW, 0x401000, 0x1000, 0x3000), Load(RX, 0x402000, 0x8000, 0x1000)},
		    0x10000,
		    "402000<8000+1000",
		    RANGE_OVERLAP},
		Row{"AByteOfDataTakesAPageOfCode",
		    {Load(RX, 0x401000, 0x1000, 0x1000), Load(RW, 0x401fff, 0x8fff, 1)},
		    0x10000,
		    "",
		    RANGE_OVERLAP},
		Row{"SamePagesTwice",
		    {Load(RX, 0x401000, 0x1000, 0x1000), Load(RX, 0x401000, 0x3000, 0x1000)},
		    0x10000,
		    "401000<3000+1000",
		    RANGE_OVERLAP},
		Row{"ZerosBehindDataDoNotTakeCodeAway",
		    {Load(RX, 0x402000, 0x2000, 0x1000),
		     {PT_LOAD, RW, 0x1000, 0x401000, 0, 0x1000, 0x9000, 0x1000}},
		    0x10000,
		    "402000<2000+1000",
		    0},
		Row{"WritableCode",
		    {Load(RX | PF_W, 0x401000, 0x1000, 0x1000)},
		    0x10000,
		    "401000<1000+1000w",
		    RANGE_WRITABLE},
		Row{"ExecuteOnly",
		    {Load(PF_X, 0x401000, 0x1000, 0x1000)},
		    0x10000,
		    "401000<1000+1000",
		    0},
		Row{"MisalignedIsScannedAsItStands",
		    {Load(RX, 0x401800, 0x2100, 0x100)},
		    0x10000,
		    "401000<1900+1000",
		    RANGE_MISALIGNED},
		Row{"MisalignedBeforeTheFileBegins",
		    {Load(RX, 0x401800, 0x100, 0x100)},
		    0x10000,
		    "401700<0+900",
		    RANGE_MISALIGNED},
		Row{"ExecutableStack",
		    {{PT_GNU_STACK, RX | PF_W, 0, 0, 0, 0, 0, 16}},
		    0x10000,
		    "",
		    RANGE_EXEC_STACK},
		Row{"HighHalfAddresses",
		    {Load(RX, 0xffffffff80000000, 0x1000, 0x1000)},
		    0x10000,
		    "ffffffff80000000<1000+1000",
		    0}),
	[](const testing::TestParamInfo<Row> &row) { return row.param.name; });

TEST(Range, AMissingStackHeaderIsSaid)
{
	Ranges r({Load(RX, 0x1000, 0x1000, 0x10)}, 0x10000);
	EXPECT_EQ(r.rc, 0);
	EXPECT_EQ(r.flags, unsigned{RANGE_NO_STACK_HEADER});
}

TEST(Range, AddressesThatWrapAreRefused)
{
	for (const Elf64_Phdr &bad :
	     {Load(RX, UINT64_MAX - 0xfff, 0, 0x2000), Load(RX, UINT64_MAX - 0xfff, 0, 0x1000),
	      Load(RX, UINT64_MAX, 0, 0), Load(RW, 0x1000, 0, UINT64_MAX),
	      Load(RX, 0x1000, 0, UINT64_MAX - 0x1001)}) {
		Ranges r({Load(RX, 0x1000, 0, 0x1000), bad}, kHuge);
		EXPECT_EQ(r.rc, -EBADMSG) << std::hex << bad.p_vaddr << " " << bad.p_filesz;
		EXPECT_EQ(r.list.items, nullptr);
	}
}

TEST(Range, MoreSegmentsThanAHeaderCanCountAreRefused)
{
	std::vector<Elf64_Phdr> phdrs(65536, kStack);
	EXPECT_EQ(Ranges(phdrs, 0x1000).rc, -EBADMSG);
	phdrs.pop_back();
	EXPECT_EQ(Ranges(phdrs, 0x1000).rc, 0);
}

TEST(Range, EndlessCopiesOfAFileAreRefused)
{
	std::vector<Elf64_Phdr> phdrs;
	for (uint64_t i = 0; i < 2000; i++) {
		phdrs.push_back(Load(RX, i << 30, 0, 16 << 20));
	}
	Ranges r(phdrs, 16 << 20);
	EXPECT_EQ(r.rc, -EBADMSG);
	EXPECT_TRUE(r.flags & RANGE_REPEATED);
	phdrs.resize(16);
	EXPECT_EQ(Ranges(phdrs, 16 << 20).rc, 0);
	// Nor can a small one become large. Many segments in one page are no offence.
	for (uint64_t size : {UINT64_C(4) << 10, UINT64_C(64) << 10}) {
		phdrs.clear();
		for (uint64_t i = 0; i < (1 << 20) / size + 1; i++) {
			phdrs.push_back(Load(RX, i << 20, 0, size));
		}
		EXPECT_EQ(Ranges(phdrs, size).rc, -EBADMSG) << size;
		phdrs.pop_back();
		EXPECT_EQ(Ranges(phdrs, size).rc, 0) << size;
	}
	// A large file once is not a repetition.
	Ranges once({Load(RX, 0, 0, kHuge)}, kHuge);
	EXPECT_EQ(once.rc, 0);
	EXPECT_EQ(once.list.items[0].len, kHuge);
}

// The definition, page by page.
std::map<uint64_t, uint32_t> Pages(const std::vector<Elf64_Phdr> &phdrs)
{
	std::map<uint64_t, uint32_t> pages;
	for (uint32_t i = 0; i < phdrs.size(); i++) {
		uint64_t end = (phdrs[i].p_vaddr + phdrs[i].p_filesz + 4095) / 4096;
		for (uint64_t page = phdrs[i].p_vaddr / 4096; page < end; page++) {
			pages[page] = i;
		}
	}
	return pages;
}

TEST(Range, RandomSegmentsAgreeWithAPageTable)
{
	const unsigned seed = 20240501;
	std::mt19937_64 random(seed);
	RecordProperty("seed", static_cast<int>(seed));
	for (int round = 0; round < 3000; round++) {
		std::vector<Elf64_Phdr> phdrs;
		uint64_t file_size = random() % 0x20000;
		for (size_t i = 0, n = random() % 12; i < n; i++) {
			uint64_t vaddr = 0x400000 + random() % 0x20000;
			uint64_t off = (random() % 0x18 << 12) + (vaddr & 0xfff);
			phdrs.push_back(
				Load(random() % 3 ? RX : RW, vaddr, off, random() % 0x6000));
		}
		std::map<uint64_t, uint64_t>
			expected; // address of an executable byte -> file offset, per page
		for (auto [page, i] : Pages(phdrs)) {
			uint64_t off = phdrs[i].p_offset + (page * 4096 - phdrs[i].p_vaddr);
			if (phdrs[i].p_flags & PF_X && off < file_size) {
				expected[page * 4096] = off;
			}
		}
		Ranges r(phdrs, file_size);
		ASSERT_EQ(r.rc, 0);
		std::map<uint64_t, uint64_t> got;
		for (size_t i = 0; i < r.list.count; i++) {
			const range &range = r.list.items[i];
			ASSERT_GT(range.len, 0u);
			ASSERT_LE(range.off + range.len, file_size);
			if (i > 0) {
				const auto &before = r.list.items[i - 1];
				ASSERT_LE(before.vaddr + before.len, range.vaddr);
				ASSERT_EQ(range.joins, before.vaddr + before.len == range.vaddr);
			}
			for (uint64_t at = 0; at < range.len; at += 4096) {
				got[range.vaddr + at] = range.off + at;
				ASSERT_TRUE(range.len - at >= 4096 ||
					    range.off + range.len == file_size);
			}
		}
		ASSERT_EQ(got, expected) << "round " << round << " seed " << seed;
	}
}

// Each covers the next ones: what a page-by-page or pair-by-pair method takes hours for.
TEST(Range, SixtyFiveThousandNestedSegmentsAreQuick)
{
	std::vector<Elf64_Phdr> phdrs;
	for (uint64_t i = 0; i < 65535; i++) {
		phdrs.push_back(Load(i % 2 ? RW : RX, i * 4096, 0, (131070 - 2 * i) * 4096));
	}
	Ranges nested(phdrs, kHuge);
	ASSERT_EQ(nested.rc, 0);
	EXPECT_EQ(nested.list.count, 65535u);
	std::reverse(phdrs.begin(), phdrs.end());
	Ranges covered(phdrs, kHuge);
	ASSERT_EQ(covered.rc, 0);
	EXPECT_EQ(covered.list.count, 1u);
	for (auto &phdr : phdrs) {
		phdr = Load(RX, 0x1000, 0x1000, uint64_t{1} << 46);
	}
	Ranges same(phdrs, kHuge);
	ASSERT_EQ(same.rc, 0);
	EXPECT_EQ(same.list.count, 1u);
}

Elf64_Shdr Section(uint64_t flags, uint64_t off, uint64_t size, uint32_t type = SHT_PROGBITS)
{
	Elf64_Shdr shdr = {};
	shdr.sh_type = type;
	shdr.sh_flags = flags;
	shdr.sh_offset = off;
	shdr.sh_size = size;
	return shdr;
}

TEST(Range, CodeSectionsOfAnObjectStandByThemselves)
{
	Ranges r({Section(SHF_EXECINSTR, 0x80, 0x10),
		  Section(SHF_EXECINSTR | SHF_WRITE, 0x90, 0x10), Section(SHF_ALLOC, 0xa0, 0x10),
		  Section(SHF_EXECINSTR, 0x40, 0x10),
		  Section(SHF_EXECINSTR, 0xb0, 0x10, SHT_NOBITS), Section(SHF_EXECINSTR, 0xc0, 0)},
		 0x1000);
	ASSERT_EQ(r.rc, 0);
	EXPECT_EQ(r.text(), "40<40+10 80<80+10 90<90+10w");
	EXPECT_EQ(r.flags, unsigned{RANGE_WRITABLE});
}

TEST(Range, SectionsThatLieOverEachOtherGoOnIntoEachOther)
{
	Ranges r({Section(SHF_EXECINSTR, 0x80, 0x20), Section(SHF_EXECINSTR, 0x90, 0x20)}, 0x1000);
	ASSERT_EQ(r.rc, 0);
	EXPECT_EQ(r.text(), "80<80+10 90<90+20j");
	EXPECT_EQ(r.flags, unsigned{RANGE_OVERLAP});
}

TEST(Range, SectionsBeyondTheFileAreClippedAndSaid)
{
	Ranges r({Section(SHF_EXECINSTR, 0x80, UINT64_MAX), Section(SHF_EXECINSTR, UINT64_MAX, 5)},
		 0x100);
	ASSERT_EQ(r.rc, 0);
	EXPECT_EQ(r.text(), "80<80+80");
	EXPECT_EQ(r.flags, unsigned{RANGE_TRUNCATED});
}

TEST(Range, TwoHundredThousandSectionsAreQuick)
{
	std::vector<Elf64_Shdr> shdrs;
	for (uint64_t i = 0; i < ELF_MAX_SECTIONS; i++) {
		shdrs.push_back(Section(SHF_EXECINSTR, i, 2 * (ELF_MAX_SECTIONS - i)));
	}
	Ranges r(shdrs, kHuge);
	ASSERT_EQ(r.rc, 0);
	EXPECT_EQ(r.list.count, 2 * size_t{ELF_MAX_SECTIONS} - 1);
}

} // namespace
