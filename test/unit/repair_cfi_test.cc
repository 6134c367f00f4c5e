// SPDX-License-Identifier: Apache-2.0
// Unwind information of trampolines, as libdw reads it, against the steps that it was made from. That the steps are
// right is shown where trampolines run (repair_semantics_test, unwind_trampoline_test).
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>

#include <map>
#include <random>

#include "elf_builder.h"
#include "repair_world.h"

extern "C" {
#include "repair_cfi.h"
}

namespace
{

constexpr uint64_t kFrames = UINT64_C(0x7f1234560000), kSite = UINT64_C(0x555555551234);
// What registers hold, by their number in DWARF, rip included.
using Registers = std::map<unsigned, uint64_t>;
constexpr unsigned kRsp = 7, kRip = 16;

unsigned in_dwarf(unsigned reg)
{
	const unsigned low[] = {0, 2, 1, 3, 7, 6, 4, 5};
	return reg < 8 ? low[reg] : reg;
}

struct Section {
	Bytes bytes;
	std::vector<uint32_t> fdes;
	Bytes file;
	Elf *elf = nullptr;
	Dwarf_CFI *cfi = nullptr;

	Section(const std::vector<repair_trampoline> &t, repair_cfi_reader reader)
	{
		bytes.resize(REPAIR_CFI_BYTES(t.size()));
		fdes.resize(t.size());
		bytes.resize(repair_cfi(bytes.data(), bytes.size(), kFrames, reader, t.data(), t.size(), fdes.data()));
		ElfBuilder builder;
		builder.segment(PF_R, kFrames, 0x1000, bytes.size());
		builder.bytes(0x1000, bytes);
		builder.section(".eh_frame", SHT_PROGBITS, SHF_ALLOC, kFrames, 0x1000, bytes.size());
		file = builder.build();
		elf_version(EV_CURRENT);
		elf = elf_memory(reinterpret_cast<char *>(file.data()), file.size());
		cfi = dwarf_getcfi_elf(elf);
	}
	Section(const Section &) = delete;
	Section &operator=(const Section &) = delete;
	~Section()
	{
		dwarf_cfi_end(cfi);
		elf_end(elf);
	}

	// A word of the section, or what a test's stack holds: the complement of its address.
	uint64_t load(uint64_t at) const
	{
		uint64_t word = ~at;
		if (at >= kFrames && at - kFrames + 8 <= bytes.size()) {
			memcpy(&word, &bytes[at - kFrames], 8);
		}
		return word;
	}

	uint64_t evaluate(const Dwarf_Op *ops, size_t n, const Registers &now, uint64_t cfa) const
	{
		std::vector<uint64_t> stack;
		bool value = false;
		for (size_t i = 0; i < n; i++) {
			const Dwarf_Op &op = ops[i];
			if (op.atom >= DW_OP_breg0 && op.atom <= DW_OP_breg31) {
				stack.push_back(now.at(op.atom - DW_OP_breg0) + op.number);
			} else if (op.atom == DW_OP_addr) {
				stack.push_back(op.number);
			} else if (op.atom == DW_OP_call_frame_cfa) {
				stack.push_back(cfa);
			} else if (op.atom == DW_OP_plus_uconst) {
				stack.back() += op.number;
			} else if (op.atom == DW_OP_stack_value) {
				value = true;
			} else {
				ADD_FAILURE() << "operation " << static_cast<int>(op.atom);
			}
		}
		return value ? stack.back() : load(stack.back());
	}

	// The registers of the frame that pc was entered from.
	Registers unwind(uint64_t pc, const Registers &now, bool *signal) const
	{
		Registers out;
		Dwarf_Frame *frame = nullptr;
		Dwarf_Op *ops, mem[3];
		size_t n;
		int rc = dwarf_cfi_addrframe(cfi, pc, &frame);
		EXPECT_EQ(rc, 0) << dwarf_errmsg(-1);
		if (rc != 0) {
			return out;
		}
		EXPECT_EQ(dwarf_frame_info(frame, nullptr, nullptr, signal), static_cast<int>(kRip));
		EXPECT_EQ(dwarf_frame_cfa(frame, &ops, &n), 0);
		EXPECT_EQ(n, 1u);
		EXPECT_EQ(ops[0].atom, DW_OP_bregx);
		EXPECT_EQ(ops[0].number, kRsp);
		uint64_t cfa = now.at(kRsp) + ops[0].number2;
		for (unsigned reg = 0; reg <= kRip; reg++) {
			EXPECT_EQ(dwarf_frame_register(frame, static_cast<int>(reg), mem, &ops, &n), 0);
			// nothing said, or the same value
			out[reg] = n == 0 ? now.at(reg) : evaluate(ops, n, now, cfa);
		}
		out[kRsp] = cfa;
		free(frame);
		return out;
	}
};

// Any steps that make sense.
repair_trampoline any_trampoline(std::mt19937_64 &random, uint64_t vaddr)
{
	repair_trampoline t = {};
	t.vaddr = vaddr;
	t.site = kSite + random() % 4096;
	t.resume = t.site + 1 + random() % 15;
	t.len = static_cast<uint8_t>(1 + random() % REPAIR_CODE_BYTES);
	t.nsteps = static_cast<uint8_t>(1 + random() % REPAIR_STEPS);
	for (unsigned i = 1; i < t.nsteps; i++) {
		t.steps[i].off = static_cast<uint8_t>(std::min(t.steps[i - 1].off + random() % 20, t.len - UINT64_C(1)));
	}
	for (unsigned i = 0; i < t.nsteps; i++) {
		repair_step &step = t.steps[i];
		step.after = (i > 0 && step.off > 0 && t.steps[i - 1].after) || random() % 4 == 0;
		step.rsp_down = random() % 2 ? static_cast<uint32_t>(random()) : 144;
		step.nheld = static_cast<uint8_t>(random() % 3);
		for (unsigned k = 0; k < step.nheld; k++) {
			do {
				step.held[k].reg = static_cast<uint8_t>(random() % 16);
			} while (step.held[k].reg == RSP || (k > 0 && step.held[1].reg == step.held[0].reg));
			step.held[k].saved = static_cast<uint8_t>(random() % 2);
			step.held[k].by = static_cast<int32_t>(random() % 2 ? random() : random() % 100);
		}
	}
	return t;
}

TEST(RepairCfi, TellsLibdwOfEachByteOfCodeWhatTheStepsSay)
{
	std::mt19937_64 random(19);
	for (int round = 0; round < 60; round++) {
		std::vector<repair_trampoline> all;
		uint64_t vaddr = kSite + 0x1000000;
		for (unsigned i = 0, n = 1 + static_cast<unsigned>(random() % 6); i < n; i++) {
			all.push_back(any_trampoline(random, vaddr));
			vaddr += all.back().len + 1 + random() % 64;
		}
		const auto reader = static_cast<repair_cfi_reader>(round % 2);
		Section section(all, reader);
		ASSERT_NE(section.cfi, nullptr);
		Registers now;
		for (unsigned reg = 0; reg <= kRip; reg++) {
			now[reg] = random() >> 8;
		}
		for (const repair_trampoline &t : all) {
			ASSERT_TRUE(repair_steps_valid(&t));
			for (uint64_t off = 0; off < t.len; off++) {
				const repair_step *step;
				Registers expected = now;
				bool signal = false;
				expected[kRip] = repair_step_at(&t, off, &step) + (reader == REPAIR_CFI_EXCEPTIONS);
				ASSERT_EQ(expected[kRip], (step->after ? t.resume : t.site) + (reader == REPAIR_CFI_EXCEPTIONS));
				expected[kRsp] = now[kRsp] + step->rsp_down;
				for (unsigned k = 0; k < step->nheld; k++) {
					const repair_held &held = step->held[k];
					const uint64_t by = static_cast<uint64_t>(static_cast<int64_t>(held.by));
					const unsigned reg = in_dwarf(held.reg);
					expected[reg] = held.saved ? ~(now[kRsp] + by) : now[reg] + by;
				}
				EXPECT_EQ(section.unwind(t.vaddr + off, now, &signal), expected) << round << " +" << off;
				EXPECT_EQ(signal, reader == REPAIR_CFI_DEBUGGERS);
			}
			Dwarf_Frame *frame = nullptr;
			EXPECT_NE(dwarf_cfi_addrframe(section.cfi, t.vaddr + t.len, &frame), 0);
			EXPECT_NE(dwarf_cfi_addrframe(section.cfi, t.vaddr - 1, &frame), 0);
		}
	}
}

repair_trampoline simple()
{
	repair_trampoline t = {};
	t.vaddr = 0x10203040;
	t.site = 0x50607080;
	t.resume = 0x50607087;
	t.len = 40;
	t.nsteps = 4;
	t.steps[1] = {.off = 8, .after = 0, .nheld = 1, .rsp_down = 144, .held = {{R9, 1, 8}}};
	t.steps[2] = {.off = 20, .after = 1, .nheld = 1, .rsp_down = 144, .held = {{RBX, 0, -16}}};
	t.steps[3] = {.off = 30, .after = 1, .nheld = 0, .rsp_down = 0, .held = {}};
	return t;
}

TEST(RepairCfi, IsTheseBytes)
{
	const char *const fde =
		"64000000 1c000000 4030201000000000 2800000000000000 17 00000000000000"
		"8070605000000000 8770605000000000" // site, resume
		"0e00 1010 09 03 3800563412 7f0000"  // 0: DW_CFA_def_cfa_offset 0, DW_CFA_expression rip [DW_OP_addr]
		"0208 0e9001 1009 02 7708"          // 8: 144, r9 at rsp + 8
		"020c 1010 09 03 4000563412 7f0000"  // 20: the other address
		"0809 1603 02 7370"                 //     r9 itself, rbx is 16 less
		"020a 0e00 0803"                    // 30
		"0000000000";
	const repair_trampoline t = simple();
	uint8_t out[REPAIR_CFI_BYTES(1)];
	uint32_t at;
	Bytes cie = hex("14000000 00000000 01 7a525300 01 78 10 01 00 0c0700 0000000000");
	cie.resize(24);

	size_t len = repair_cfi(out, sizeof(out), kFrames, REPAIR_CFI_DEBUGGERS, &t, 1, &at);
	EXPECT_EQ(at, REPAIR_CFI_CIE_BYTES);
	EXPECT_EQ(to_hex(out, REPAIR_CFI_CIE_BYTES), to_hex(cie.data(), cie.size()));
	Bytes expected = hex(fde), end(4);
	expected.insert(expected.end(), end.begin(), end.end());
	EXPECT_EQ(to_hex(out + at, len - at), to_hex(expected.data(), expected.size()));

	// For exceptions: no S, and the addresses one more.
	len = repair_cfi(out, sizeof(out), kFrames, REPAIR_CFI_EXCEPTIONS, &t, 1, &at);
	EXPECT_EQ(to_hex(out + 8, 4), "01 7a 52 00");
	expected[32]++;
	expected[40]++;
	EXPECT_EQ(to_hex(out + at, len - at), to_hex(expected.data(), expected.size()));
}

TEST(RepairCfi, LeavesOutATrampolineWhoseStepsMakeNoSense)
{
	std::vector<repair_trampoline> all(3, simple());
	all[1].vaddr += 64;
	all[2].vaddr += 128;
	const std::vector<std::pair<const char *, void (*)(repair_trampoline &)>> wrong = {
		{"no code", [](repair_trampoline &t) { t.len = 0; }},
		{"too long", [](repair_trampoline &t) { t.len = REPAIR_CODE_BYTES + 1; }},
		{"beyond the end of addresses", [](repair_trampoline &t) { t.vaddr = UINT64_MAX - 10; }},
		{"no steps", [](repair_trampoline &t) { t.nsteps = 0; }},
		{"too many steps", [](repair_trampoline &t) { t.nsteps = REPAIR_STEPS + 1; }},
		{"the start is not described", [](repair_trampoline &t) { t.steps[0].off = 1; }},
		{"backwards", [](repair_trampoline &t) { t.steps[3].off = 19; }},
		{"behind the end", [](repair_trampoline &t) { t.steps[3].off = 40; }},
		{"undone", [](repair_trampoline &t) { t.steps[3].after = 0; }},
		{"more than done", [](repair_trampoline &t) { t.steps[3].after = 2; }},
		{"more than saved", [](repair_trampoline &t) { t.steps[1].held[0].saved = 2; }},
		{"too many registers", [](repair_trampoline &t) { t.steps[1].nheld = 3; }},
		{"no such register", [](repair_trampoline &t) { t.steps[1].held[0].reg = 16; }},
		{"rsp is not one of them", [](repair_trampoline &t) { t.steps[1].held[0].reg = RSP; }},
		{"one twice", [](repair_trampoline &t) { t.steps[1].nheld = 2, t.steps[1].held[1].reg = R9; }},
	};
	for (const auto &[name, spoil] : wrong) {
		SCOPED_TRACE(name);
		std::vector<repair_trampoline> some = all;
		spoil(some[1]);
		EXPECT_FALSE(repair_steps_valid(&some[1]));
		Section section(some, REPAIR_CFI_DEBUGGERS);
		EXPECT_NE(section.fdes[0], 0u);
		EXPECT_EQ(section.fdes[1], 0u);
		EXPECT_NE(section.fdes[2], 0u);
		Dwarf_Frame *frame = nullptr;
		ASSERT_EQ(dwarf_cfi_addrframe(section.cfi, all[2].vaddr, &frame), 0);
		free(frame);
		EXPECT_NE(dwarf_cfi_addrframe(section.cfi, all[1].vaddr, &frame), 0);
	}
}

TEST(RepairCfi, WritesNothingBehindItsRoom)
{
	std::vector<repair_trampoline> all(4, simple());
	for (repair_trampoline &t : all) { // as much as one can need
		t.nsteps = REPAIR_STEPS;
		for (unsigned i = 0; i < REPAIR_STEPS; i++) {
			t.steps[i] = {.off = static_cast<uint8_t>(2 * i), .after = static_cast<uint8_t>(i > 3), .nheld = 2,
				      .rsp_down = UINT32_MAX - i,
				      .held = {{static_cast<uint8_t>(8 + i % 2 * 4), static_cast<uint8_t>(i % 3 == 0), INT32_MIN},
					       {static_cast<uint8_t>(9 + i % 2 * 4), static_cast<uint8_t>(i % 3 == 1), INT32_MAX}}};
		}
		ASSERT_TRUE(repair_steps_valid(&t));
	}
	size_t full = 0;
	for (size_t room = 0; room <= REPAIR_CFI_BYTES(4); room += room < REPAIR_CFI_BYTES(4) - 64 ? 37 : 1) {
		Bytes out(room + 64, 0xa5);
		size_t len = repair_cfi(out.data(), room, kFrames, REPAIR_CFI_EXCEPTIONS, all.data(), 4, nullptr);
		EXPECT_LE(len, room);
		for (size_t i = len == 0 ? room : len; i < out.size(); i++) {
			ASSERT_EQ(out[i], 0xa5) << room << " " << i;
		}
		full += len != 0;
	}
	EXPECT_GT(full, 0u);
	EXPECT_EQ(repair_cfi(nullptr, SIZE_MAX, kFrames, REPAIR_CFI_EXCEPTIONS, all.data(), SIZE_MAX / 2, nullptr), 0u);
}

} // namespace
