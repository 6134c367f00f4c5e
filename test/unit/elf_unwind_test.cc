// SPDX-License-Identifier: Apache-2.0
// Unwind tables made by hand: the encodings that this machine's linker does not use, and lies.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "elf_builder.h"
extern "C" {
#include "elf.h"
}

namespace
{

using Bytes = std::vector<uint8_t>;
constexpr uint64_t kFrame = 0x800; // .eh_frame, address and offset
constexpr uint64_t kHeader = 0x700;

// Appends to .eh_frame.
struct Frame {
	Bytes out;

	template <typename T> void put(T value)
	{
		const auto *from = reinterpret_cast<const uint8_t *>(&value);
		out.insert(out.end(), from, from + sizeof(value));
	}
	uint64_t here() const
	{
		return kFrame + out.size();
	}
	void finish(size_t at)
	{
		out.resize((out.size() + 3) & ~size_t{3});
		auto length = static_cast<uint32_t>(out.size() - at - 4);
		memcpy(&out[at], &length, 4);
	}
	size_t cie(const std::string &augmentation, const Bytes &data, uint8_t version = 1)
	{
		size_t at = out.size();
		put(uint32_t{0});
		put(uint32_t{0});
		put(version);
		out.insert(out.end(), augmentation.c_str(),
			   augmentation.c_str() + augmentation.size() + 1);
		if (version == 4) {
			put(uint16_t{8});
		}
		put(uint8_t{1});
		put(uint8_t{0x78});
		put(uint8_t{16});
		if (augmentation[0] == 'z') {
			put(static_cast<uint8_t>(data.size()));
		}
		out.insert(out.end(), data.begin(), data.end());
		finish(at);
		return at;
	}
	void fde(size_t cie, uint8_t encoding, uint64_t start, uint64_t bytes)
	{
		size_t at = out.size();
		put(uint32_t{0});
		put(static_cast<uint32_t>(here() - (kFrame + cie)));
		pointer(encoding, start - ((encoding & 0x70) == 0x10 ? here() : 0));
		pointer(encoding, bytes);
		put(uint8_t{0});
		finish(at);
	}
	void pointer(uint8_t encoding, uint64_t value)
	{
		static const size_t sizes[16] = {8, 0, 2, 4, 8, 0, 0, 0, 0, 0, 2, 4, 8};
		const auto *from = reinterpret_cast<const uint8_t *>(&value);
		out.insert(out.end(), from, from + sizes[encoding & 15]);
	}
};

struct Opened {
	Bytes file;
	elf e = {};

	Opened(const Frame &frame, const Bytes &header = {}, bool said = true)
	{
		ElfBuilder b;
		b.segment(PF_R, 0, 0, 0x1000);
		b.segment(PF_R | PF_X, 0x1000, 0x1000, 0x1000);
		b.reserve(0x2000);
		b.bytes(kFrame, frame.out);
		b.bytes(kHeader, header);
		if (!header.empty()) {
			b.program_header(PT_GNU_EH_FRAME, PF_R, kHeader, kHeader, header.size(),
					 header.size());
		}
		if (said) {
			b.section(".eh_frame", SHT_PROGBITS, SHF_ALLOC, kFrame, kFrame,
				  frame.out.size());
		}
		file = b.build();
		source src = source_from_memory(file.data(), file.size());
		const char *why;
		EXPECT_EQ(elf_open(&e, &src, &why), 0) << why;
	}
	~Opened()
	{
		elf_close(&e);
	}
	Opened(const Opened &) = delete;
	std::string where(uint64_t vaddr)
	{
		struct elf_where w;
		char buf[100];
		elf_where(&e, vaddr, &w);
		if (!w.has_fdes) {
			return "nothing";
		}
		snprintf(buf, sizeof(buf), "%s %lx-%lx next %lx", w.in_fde ? "in" : "out",
			 w.fde_start, w.fde_end, w.next_fde);
		return buf;
	}
};

struct Row {
	const char *name;
	std::string augmentation;
	Bytes data;
	uint8_t version;
	uint8_t encoding;
	bool known;
};

class Encodings : public testing::TestWithParam<Row>
{
};

TEST_P(Encodings, AreReadOrPassedOver)
{
	const Row &row = GetParam();
	Frame frame;
	size_t cie = frame.cie(row.augmentation, row.data, row.version);
	frame.fde(cie, row.encoding, 0x1400, 0x20);
	frame.fde(cie, row.encoding, 0x1100, 0x30);
	frame.put(uint32_t{0});
	Opened f(frame);
	EXPECT_EQ(f.where(0x1110), row.known ? "in 1100-1130 next 1400" : "nothing");
	EXPECT_EQ(f.where(0x1130), row.known ? "out 1100-1130 next 1400" : "nothing");
	EXPECT_EQ(f.where(0x141f), row.known ? "in 1400-1420 next ffffffffffffffff" : "nothing");
	EXPECT_EQ(f.where(0x1050), row.known ? "out 0-0 next 1100" : "nothing");
}

INSTANTIATE_TEST_SUITE_P(
	Unwind, Encodings,
	testing::Values(
		Row{"PcrelSdata4", "zR", {0x1b}, 1, 0x1b, true},
		Row{"PcrelSdata8", "zR", {0x1c}, 1, 0x1c, true},
		Row{"PcrelAbsptr", "zR", {0x10}, 1, 0x10, true},
		Row{"Absptr", "zR", {0x00}, 1, 0x00, true},
		Row{"Udata2", "zR", {0x02}, 1, 0x02, true},
		Row{"Udata4", "zR", {0x03}, 1, 0x03, true},
		Row{"Udata8", "zR", {0x04}, 1, 0x04, true},
		Row{"Sdata2", "zR", {0x0a}, 1, 0x0a, true},
		Row{"NoAugmentation", "", {}, 1, 0x00, true},
		Row{"AugmentationWithoutEncoding", "z", {}, 1, 0x00, true},
		Row{"PersonalityBefore", "zPLR", {0x9b, 1, 2, 3, 4, 0x1b, 0x1b}, 1, 0x1b, true},
		Row{"WidePersonalityBefore",
		    "zPR",
		    {0, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b},
		    1,
		    0x1b,
		    true},
		Row{"SignalFrame", "zSR", {0x1b}, 1, 0x1b, true},
		Row{"Version3", "zR", {0x1b}, 3, 0x1b, true},
		Row{"Version4", "zR", {0x1b}, 4, 0x1b, true},
		Row{"Version2IsUnknown", "zR", {0x1b}, 2, 0x1b, false},
		Row{"IndirectIsUnknown", "zR", {0x9b}, 1, 0x1b, false},
		Row{"OmittedIsUnknown", "zR", {0xff}, 1, 0x1b, false},
		Row{"UnknownLetter", "zXR", {0x1b}, 1, 0x1b, false},
		Row{"OldAugmentation", "eh", {0x1b}, 1, 0x1b, false},
		Row{"EncodingBeyondTheCie", "zPLR", {0x9b}, 1, 0x1b, false}),
	[](const testing::TestParamInfo<Row> &row) { return row.param.name; });

Frame TwoFunctions()
{
	Frame frame;
	size_t cie = frame.cie("zR", {0x1b});
	frame.fde(cie, 0x1b, 0x1100, 0x30);
	frame.fde(cie, 0x1b, 0x1400, 0x20);
	frame.put(uint32_t{0});
	return frame;
}

Bytes Header(uint8_t table_encoding, uint32_t count, std::vector<int32_t> table)
{
	Frame h;
	h.out = {1, 0x1b, 0x03, table_encoding};
	h.put(static_cast<int32_t>(kFrame - kHeader - 4));
	h.put(count);
	for (int32_t value : table) {
		h.put(value);
	}
	return h.out;
}

constexpr int32_t R(uint64_t vaddr)
{
	return static_cast<int32_t>(vaddr - kHeader);
}

TEST(Unwind, TheSearchTableIsUsed)
{
	Opened f(TwoFunctions(),
		 Header(0x3b, 2, {R(0x1100), R(kFrame + 20), R(0x1400), R(kFrame + 40)}));
	EXPECT_EQ(f.where(0x1110), "in 1100-1130 next 1400");
	EXPECT_EQ(f.where(0x1420), "out 1400-1420 next ffffffffffffffff");
	EXPECT_EQ(f.where(0x10ff), "out 0-0 next 1100");
	EXPECT_EQ(f.e.fde_count, 2u);
	EXPECT_EQ(f.e.fdes, nullptr);
}

TEST(Unwind, AnEntryThatItsFdeContradictsIsNotBelieved)
{
	Opened f(TwoFunctions(),
		 Header(0x3b, 2, {R(0x1100), R(kFrame + 40), R(0x1400), R(0x7fff0000)}));
	EXPECT_EQ(f.where(0x1110), "out 1100-1100 next 1400");
	EXPECT_EQ(f.where(0x1410), "out 1400-1400 next ffffffffffffffff");
}

TEST(Unwind, WithoutAUsableTableTheFramesAreWalked)
{
	for (const Bytes &header :
	     {Header(0xff, 0, {}), Header(0x1b, 2, {0, 0, 0, 0}), Header(0x3b, 0, {}),
	      Header(0x3b, 0x40000000, {}), Bytes{2, 0x1b, 3, 0x3b}}) {
		Opened f(TwoFunctions(), header);
		EXPECT_EQ(f.where(0x1110), "in 1100-1130 next 1400");
	}
	// The header alone says where they are, too.
	EXPECT_EQ(Opened(TwoFunctions(), Header(0xff, 0, {}), false).where(0x1110),
		  "in 1100-1130 next 1400");
	EXPECT_EQ(Opened(TwoFunctions(), {}, false).where(0x1110), "nothing");
}

TEST(Unwind, DiscardedFunctionsAreNoFunctions)
{
	Frame frame;
	size_t cie = frame.cie("zR", {0x00});
	frame.fde(cie, 0x00, 0, 0x5000);
	frame.fde(cie, 0x00, 0x1100, 0);
	frame.fde(cie, 0x00, UINT64_MAX - 5, 0x30);
	frame.fde(cie, 0x00, 0x1200, 0x30);
	EXPECT_EQ(Opened(frame).where(0x1150), "out 0-0 next 1200");
}

TEST(Unwind, OverBudgetNothingIsSaidRatherThanHalf)
{
	Opened f(TwoFunctions());
	f.e.unwind_budget = 2 * sizeof(elf_fde);
	EXPECT_EQ(f.where(0x1110), "nothing");
	Opened enough(TwoFunctions());
	enough.e.unwind_budget = 4 * sizeof(elf_fde);
	EXPECT_EQ(enough.where(0x1110), "in 1100-1130 next 1400");
}

// Everything at once: any byte of the file may be wrong.
TEST(Unwind, MutationsNeverCrash)
{
	const unsigned seed = 31337;
	std::mt19937 random(seed);
	RecordProperty("seed", static_cast<int>(seed));
	Opened with(TwoFunctions(),
		    Header(0x3b, 2, {R(0x1100), R(kFrame + 20), R(0x1400), R(kFrame + 40)}));
	Opened without(TwoFunctions());
	for (int round = 0; round < 20000; round++) {
		Bytes bad = round % 2 ? with.file : without.file;
		const size_t interesting[] = {0, kHeader, kFrame, bad.size() - 0x180};
		for (int i = 0, n = 1 + random() % 5; i < n; i++) {
			size_t at = interesting[random() % 4] + random() % 0x180;
			bad[at % bad.size()] = random() % 3 ? static_cast<uint8_t>(random()) : 0xff;
		}
		bad.resize(bad.size() - (random() % 4 ? 0 : random() % bad.size()));
		source src = source_from_memory(bad.data(), bad.size());
		elf e;
		const char *why;
		if (elf_open(&e, &src, &why) != 0) {
			ASSERT_EQ(e.phdrs, nullptr);
			continue;
		}
		for (uint64_t vaddr : {0x0ul, 0x1110ul, 0x1420ul, UINT64_MAX}) {
			struct elf_where w;
			elf_where(&e, vaddr, &w);
			ASSERT_TRUE(!w.in_fde || (w.fde_start <= vaddr && vaddr < w.fde_end));
			ASSERT_GT(w.next_fde, w.next_fde == UINT64_MAX ? 0 : vaddr);
		}
		elf_close(&e);
	}
}

} // namespace
