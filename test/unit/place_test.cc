// SPDX-License-Identifier: Apache-2.0
// Where a sequence stands among the instructions: each part by name, each kind of anchor, and what is not told.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "code_memory.h"

namespace {

// ---- which part ----------------------------------------------------------------------------

struct Row {
	const char *name;
	const char *code; // < stands before the instruction that holds the hit, | before the hit
	enum lych_class cls;
	uint8_t len;
	enum lych_placement placement;
	enum lych_part first, last;
};

std::ostream &operator<<(std::ostream &os, const Row &row)
{
	return os << row.code;
}

#define INSN LYCH_PLACE_INSTRUCTION, LYCH_PART_NONE, LYCH_PART_NONE
#define SPAN LYCH_PLACE_SPANNING, LYCH_PART_NONE, LYCH_PART_NONE
#define IN(first, last) LYCH_PLACE_INSIDE, LYCH_PART_##first, LYCH_PART_##last

const Row rows[] = {
	{"Wrpkru", "90 <|0f01ef c3", LYCH_WRPKRU, 3, INSN},
	{"WrpkruRexW", "90 <48|0f01ef c3", LYCH_WRPKRU, 3, INSN},
	{"WrpkruSegmentAndAddressSize", "90 <2e67|0f01ef c3", LYCH_WRPKRU, 3, INSN},
	{"WrpkruBehind66", "90 <66|0f01ef c3", LYCH_WRPKRU, 3, INSN},
	{"Stui", "90 <f3|0f01ef c3", LYCH_WRPKRU, 3, INSN},
	{"WrpkruRex2", "90 <|d58001ef c3", LYCH_WRPKRU_REX2, 4, INSN},
	{"WrpkruRex2WithPrefix", "90 <2e|d5ff01ef c3", LYCH_WRPKRU_REX2, 4, INSN},
	{"Xrstor", "90 <|0fae28 c3", LYCH_XRSTOR, 3, INSN},
	{"Xrstor64", "90 <48|0fae6c2440 c3", LYCH_XRSTOR, 3, INSN},
	{"XrstorRipRelative", "90 <|0fae2d00000000 c3", LYCH_XRSTOR, 3, INSN},
	{"XrstorBehindF3", "90 <f3|0fae28 c3", LYCH_XRSTOR, 3, INSN},
	{"Enclu", "90 <|0f01d7 c3", LYCH_ENCLU, 3, INSN},
	{"EncluRex2", "90 <|d58001d7 c3", LYCH_ENCLU, 4, INSN},
	{"Wrfsbase", "90 <|f30faed0 c3", LYCH_WRFSBASE, 4, INSN},
	{"WrfsbaseRexW", "90 <|f3480faed0 c3", LYCH_WRFSBASE, 5, INSN},
	{"WrfsbaseBehind66", "90 <66|f30faed0 c3", LYCH_WRFSBASE, 4, INSN},
	{"WrgsbaseRex2", "90 <|f3d580aed8 c3", LYCH_WRGSBASE, 5, INSN},
	{"Syscall", "90 <|0f05 c3", LYCH_SYSCALL, 2, INSN},
	{"SyscallRex2", "90 <|d58005 c3", LYCH_SYSCALL, 3, INSN},
	{"Sysenter", "90 <|0f34 c3", LYCH_SYSENTER, 2, INSN},
	{"Int80", "90 <|cd80 c3", LYCH_INT80, 2, INSN},

	// one instruction, each part
	{"PrefixToModrm", "90 <d5|0f01ef c3", LYCH_WRPKRU, 3, IN(PREFIX, MODRM)},
	{"OpcodeToDisp", "90 <660f3a|0fae28000000 08 c3", LYCH_XRSTOR, 3, IN(OPCODE, DISP)},
	{"ModrmToImm", "90 <81|0f01ef0000 c3", LYCH_WRPKRU, 3, IN(MODRM, IMM)},
	{"SibToDisp", "90 <8b84|0f01ef0000 c3", LYCH_WRPKRU, 3, IN(MODRM, DISP)},
	{"Disp", "90 <8b80|0f01ef00 c3", LYCH_WRPKRU, 3, IN(DISP, DISP)},
	{"DispLastBytes", "90 <8b8000|0f01ef c3", LYCH_WRPKRU, 3, IN(DISP, DISP)},
	{"DispToImm", "90 <81800000|0f01ef000000 c3", LYCH_WRPKRU, 3, IN(DISP, IMM)},
	{"Moffs", "90 <48a3|0f01ef0000000000 c3", LYCH_WRPKRU, 3, IN(DISP, DISP)},
	{"RipRelative", "90 <8b05|0f01ef00 c3", LYCH_WRPKRU, 3, IN(RIPREL, RIPREL)},
	{"RipRelativeToImm", "90 <8105000000|0f01ef000000 c3", LYCH_WRPKRU, 3, IN(RIPREL, IMM)},
	{"Imm32", "90 <05|0f01ef00 c3", LYCH_WRPKRU, 3, IN(IMM, IMM)},
	{"Imm64", "90 <48b80000|0f01ef000000 c3", LYCH_WRPKRU, 3, IN(IMM, IMM)},
	{"Imm64Rex2Pattern", "90 <48b80000|d58001ef0000 c3", LYCH_WRPKRU_REX2, 4, IN(IMM, IMM)},
	{"CallRel32", "90 <e8|0f01ef00 c3", LYCH_WRPKRU, 3, IN(REL, REL)},
	{"JmpRel32", "90 <e900|0fae28 c3", LYCH_XRSTOR, 3, IN(REL, REL)},
	{"JzRel32", "90 <0f84|0fae2800 c3", LYCH_XRSTOR, 3, IN(REL, REL)},
	{"Rex2MovRegister", "90 <d50889|d58001ef c3", LYCH_WRPKRU_REX2, 4, SPAN},

	// across several
	{"TwoRolAndAdd", "90 <41c1c7|0f 01ef c3", LYCH_WRPKRU, 3, SPAN},
	{"TwoMovAndCall", "90 <4889|d5 e801efffff c3", LYCH_WRPKRU_REX2, 4, SPAN},
	{"TwoCallAndAdd", "90 <e80000000f 01ef c3", LYCH_WRPKRU, 3, SPAN},
	{"ThreeInstructions", "90 <c1c0|0f ae 28c0 c3", LYCH_XRSTOR, 3, SPAN},
	{"JumpAndNextFunction", "90 <eb|0f 01ef c3", LYCH_WRPKRU, 3, SPAN},
};

class Part : public testing::TestWithParam<Row> {
protected:
	void SetUp() override
	{
		std::string text = GetParam().code;
		size_t insn = text.find('<');
		size_t bar = text.find('|');
		if (bar == std::string::npos) {
			// TwoCallAndAdd: the last byte of the first instruction
			bar = text.find("0f 01ef");
		} else {
			text.erase(bar, 1);
		}
		text.erase(insn, 1);
		insn_off_ = hex(text.substr(0, insn)).size();
		hit_off_ = hex(text.substr(0, bar - 1)).size();
		code_ = hex(text);
	}
	void expect(const struct placement &placement, uint64_t base)
	{
		EXPECT_STREQ(lych_placement_name(placement.placement), lych_placement_name(GetParam().placement))
			<< placement.why;
		EXPECT_STREQ(lych_part_name(placement.first_part), lych_part_name(GetParam().first));
		EXPECT_STREQ(lych_part_name(placement.last_part), lych_part_name(GetParam().last));
		if (placement.placement != LYCH_PLACE_UNDECIDED) {
			EXPECT_EQ(placement.insn_vaddr, base + insn_off_);
		} else {
			EXPECT_EQ(placement.insn_vaddr, base + hit_off_);
			EXPECT_STRNE(placement.why, "");
		}
	}
	struct hit hit_at(uint64_t vaddr)
	{
		uint8_t core = 0;
		if (GetParam().cls == LYCH_WRFSBASE || GetParam().cls == LYCH_WRGSBASE) {
			while (code_[hit_off_ + core] != 0x0f && code_[hit_off_ + core] != 0xd5) {
				core++;
			}
		}
		return make_hit(vaddr, GetParam().cls, GetParam().len, core);
	}
	std::vector<uint8_t> code_;
	size_t insn_off_ = 0, hit_off_ = 0;
};

struct elf_where nowhere()
{
	struct elf_where where = {};
	where.next_symbol = UINT64_MAX;
	where.next_fde = UINT64_MAX;
	return where;
}

struct elf_where in_text(const CodeMemory &memory)
{
	struct elf_where where = nowhere();
	where.has_sections = true;
	where.in_section = true;
	where.section_is_code = true;
	where.section_start = memory.base();
	where.section_end = memory.end();
	return where;
}

struct elf_where in_function(const CodeMemory &memory, uint64_t start, uint64_t end)
{
	struct elf_where where = in_text(memory);
	where.has_fdes = true;
	where.in_fde = true;
	where.fde_start = start;
	where.fde_end = end;
	return where;
}

TEST_P(Part, FromAnFde)
{
	CodeMemory memory(code_);
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	struct hit hit = hit_at(memory.base() + hit_off_);
	struct code code = memory.code();
	struct placement placement;
	place_hit(&placement, &hit, &where, &code);
	expect(placement, memory.base());
}

TEST_P(Part, FromASymbolWithSize)
{
	CodeMemory memory(code_);
	struct elf_where where = in_text(memory);
	where.has_symbol = true;
	where.symbol_type = STT_FUNC;
	where.symbol_start = memory.base();
	where.symbol_size = memory.bytes().size();
	struct hit hit = hit_at(memory.base() + hit_off_);
	struct code code = memory.code();
	struct placement placement;
	place_hit(&placement, &hit, &where, &code);
	expect(placement, memory.base());
}

TEST_P(Part, FromTheSectionsStart)
{
	CodeMemory memory(code_);
	struct elf_where where = in_text(memory);
	struct hit hit = hit_at(memory.base() + hit_off_);
	struct code code = memory.code();
	struct placement placement;
	place_hit(&placement, &hit, &where, &code);
	expect(placement, memory.base());
}

TEST_P(Part, FromTheStartOfMemory)
{
	CodeMemory memory(code_);
	struct hit hit = hit_at(memory.base() + hit_off_);
	struct code code = memory.code();
	struct placement placement;
	place_hit(&placement, &hit, nullptr, &code);
	expect(placement, memory.base());
}

// Code as a compiler writes it, of no fixed instruction length.
std::vector<uint8_t> plain_code(size_t at_least)
{
	static const char *const insns[] = {"4889e5", "8b4508", "83c001", "4883ec20", "c745fc00000000", "eb00",
					    "488d3d10000000", "e800000000", "89c2", "4863d2", "0fb605a0000000"};
	std::vector<uint8_t> code;
	for (size_t i = 0; code.size() < at_least; i = (i * 7 + 3) % 11) {
		std::vector<uint8_t> insn = hex(insns[i]);
		code.insert(code.end(), insn.begin(), insn.end());
		i++;
	}
	return code;
}

TEST_P(Part, ByVoteInUnknownMemory)
{
	std::vector<uint8_t> before = plain_code(4000), all = before, after = plain_code(200);
	all.insert(all.end(), code_.begin(), code_.end());
	all.insert(all.end(), after.begin(), after.end());
	CodeMemory memory(all);
	uint64_t base = memory.base() + before.size();
	struct hit hit = hit_at(base + hit_off_);
	struct code code = memory.code();
	struct placement placement;
	place_hit(&placement, &hit, nullptr, &code);
	expect(placement, base);
	if (placement.placement != LYCH_PLACE_UNDECIDED) {
		EXPECT_EQ(placement.nbefore, 3);
		EXPECT_LT(placement.before[2], placement.insn_vaddr);
	}
}

INSTANTIATE_TEST_SUITE_P(Place, Part, testing::ValuesIn(rows),
			 [](const auto &row) { return std::string(row.param.name); });

// ---- anchors -------------------------------------------------------------------------------

struct placement place(CodeMemory &memory, const struct elf_where *where, uint64_t vaddr,
		       enum lych_class cls = LYCH_WRPKRU, uint8_t len = 3)
{
	struct hit hit = make_hit(vaddr, cls, len);
	struct code code = memory.code();
	struct placement placement;
	place_hit(&placement, &hit, where, &code);
	return placement;
}

TEST(Place, DecodingFromTheRightStartDecides)
{
	// 05 imm32 when entered at 0, add eax when entered at 1
	CodeMemory memory("05050f01ef c3");
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	EXPECT_EQ(place(memory, &where, memory.base() + 2).placement, LYCH_PLACE_INSIDE);
	CodeMemory later("90050f01ef00 c3");
	where = in_function(later, later.base(), later.end());
	EXPECT_EQ(place(later, &where, later.base() + 2).insn_vaddr, later.base() + 1);
}

TEST(Place, InstructionsBeforeAreTold)
{
	CodeMemory memory("55 4889e5 31c0 31c9 0f01ef c3");
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	struct placement placement = place(memory, &where, memory.base() + 8);
	ASSERT_EQ(placement.nbefore, 3);
	EXPECT_EQ(placement.before[0], memory.base() + 1);
	EXPECT_EQ(placement.before[1], memory.base() + 4);
	EXPECT_EQ(placement.before[2], memory.base() + 6);
	placement = place(memory, &where, memory.base() + 1);
	ASSERT_EQ(placement.nbefore, 1);
	EXPECT_EQ(placement.before[0], memory.base());
}

TEST(Place, DataByHeaders)
{
	CodeMemory memory("55 0f01ef c3");
	struct elf_where where = in_text(memory);
	where.section_is_code = false;
	struct placement placement = place(memory, &where, memory.base() + 1);
	EXPECT_EQ(placement.placement, LYCH_PLACE_DATA);
	EXPECT_STREQ(placement.why, "in a section that is not code");

	where = nowhere();
	where.has_sections = true;
	placement = place(memory, &where, memory.base() + 1);
	EXPECT_EQ(placement.placement, LYCH_PLACE_DATA);
	EXPECT_STREQ(placement.why, "outside every section");

	where = in_text(memory);
	where.has_symbol = true;
	where.symbol_type = STT_OBJECT;
	where.symbol_start = memory.base();
	where.symbol_size = 4;
	placement = place(memory, &where, memory.base() + 1);
	EXPECT_EQ(placement.placement, LYCH_PLACE_DATA);
	EXPECT_STREQ(placement.why, "in a data symbol");
	where.symbol_size = 1; // ends before the hit
	EXPECT_EQ(place(memory, &where, memory.base() + 1).placement, LYCH_PLACE_INSTRUCTION);
}

TEST(Place, UnwindInformationOutweighsLyingSections)
{
	CodeMemory memory("55 0f01ef c3");
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	where.section_is_code = false;
	EXPECT_EQ(place(memory, &where, memory.base() + 1).placement, LYCH_PLACE_INSTRUCTION);
	where.in_section = false;
	EXPECT_EQ(place(memory, &where, memory.base() + 1).placement, LYCH_PLACE_INSTRUCTION);
}

TEST(Place, NoSectionsAtAllIsNotData)
{
	CodeMemory memory("55 0f01ef c3");
	struct elf_where where = nowhere();
	struct placement placement = place(memory, &where, memory.base() + 1);
	EXPECT_EQ(placement.placement, LYCH_PLACE_INSTRUCTION);
	EXPECT_STREQ(placement.why, "no anchors: decoded from the start of this memory");
}

// The constant of a mov holds the sequence, and the memory ends within it: nobody put a WRPKRU there on purpose.
TEST(Place, InstructionThatTheEndOfTheMemoryCutsOffIsUndecided)
{
	std::vector<uint8_t> all = plain_code(4000);
	size_t start = all.size();
	for (uint8_t byte : {0xb8, 0x0f, 0x01, 0xef}) {
		all.push_back(byte);
	}
	CodeMemory memory(all);
	struct placement placement = place(memory, nullptr, memory.base() + start + 1);
	EXPECT_EQ(placement.placement, LYCH_PLACE_UNDECIDED) << placement.why;
}

TEST(Place, FdeThatBeginsInAnInstructionIsNotBelieved)
{
	// the FDE claims to start in the middle of mov $imm64; the function symbol is right
	CodeMemory memory("48b80606060606060606 0f01ef c3");
	struct elf_where where = in_function(memory, memory.base() + 4, memory.end());
	EXPECT_EQ(place(memory, &where, memory.base() + 10).placement, LYCH_PLACE_UNDECIDED);
	where.has_symbol = true;
	where.symbol_type = STT_FUNC;
	where.symbol_start = memory.base();
	where.symbol_size = memory.bytes().size();
	EXPECT_EQ(place(memory, &where, memory.base() + 10).placement, LYCH_PLACE_INSTRUCTION);
}

TEST(Place, TheSweepMustMeetSymbolsOnTheWay)
{
	// data behind the first jump swallows the function's entry
	CodeMemory memory("eb02 48b8 5531c05d5b5b5b5b 0f01ef c3");
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	EXPECT_EQ(place(memory, &where, memory.base() + 12).placement, LYCH_PLACE_INSTRUCTION);
	where.has_symbol = true;
	where.symbol_type = STT_NOTYPE;
	where.symbol_start = memory.base() + 4;
	struct placement placement = place(memory, &where, memory.base() + 12);
	EXPECT_EQ(placement.placement, LYCH_PLACE_UNDECIDED);
	EXPECT_STREQ(placement.why, "from the nearest known start on it does not decode to the end");
}

TEST(Place, JumpTableInAFunctionIsPassedByVote)
{
	std::vector<uint8_t> all = plain_code(600), table = hex("eb08 06060606 ffffffff"), hit = hex("0f01ef");
	std::vector<uint8_t> more = plain_code(400);
	all.insert(all.end(), table.begin(), table.end());
	all.insert(all.end(), more.begin(), more.end());
	size_t off = all.size();
	all.insert(all.end(), hit.begin(), hit.end());
	more = plain_code(100);
	all.insert(all.end(), more.begin(), more.end());
	CodeMemory memory(all);
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	struct placement placement = place(memory, &where, memory.base() + off);
	EXPECT_EQ(placement.placement, LYCH_PLACE_INSTRUCTION);
	EXPECT_STREQ(placement.why, "the function does not decode as a whole; decoding from many offsets agrees");
}

TEST(Place, BrokenBytesRightBeforeAreUndecided)
{
	std::vector<uint8_t> all = plain_code(600), broken = hex("0606 0f01ef c3");
	size_t off = all.size() + 2;
	all.insert(all.end(), broken.begin(), broken.end());
	CodeMemory memory(all);
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	struct placement placement = place(memory, &where, memory.base() + off);
	EXPECT_EQ(placement.placement, LYCH_PLACE_UNDECIDED);
	EXPECT_STREQ(placement.why, "bytes before it do not decode from any known start of code");
}

TEST(Place, GapThatDecodesWhollyIsCodeAndSaysSo)
{
	CodeMemory memory("c3 cccccc 00 55 4889e5 0f01ef 5d c3 000000 55c3");
	struct elf_where where = in_text(memory);
	where.has_fdes = true;
	where.fde_start = memory.base();
	where.fde_end = memory.base() + 1;
	where.next_fde = memory.base() + 17;
	struct placement placement = place(memory, &where, memory.base() + 9);
	EXPECT_EQ(placement.placement, LYCH_PLACE_INSTRUCTION);
	EXPECT_STREQ(placement.why, "no unwind information here; decodes as code");
}

TEST(Place, GapThatDoesNotEndWhereTheNextFunctionStartsIsUndecided)
{
	CodeMemory memory("c3 55 4889e5 0f01ef 5d c3 48b855c300000000");
	struct elf_where where = in_text(memory);
	where.has_fdes = true;
	where.fde_start = memory.base();
	where.fde_end = memory.base() + 1;
	where.next_fde = memory.base() + 12;
	struct placement placement = place(memory, &where, memory.base() + 5);
	EXPECT_EQ(placement.placement, LYCH_PLACE_UNDECIDED);
	EXPECT_STREQ(placement.why, "neither unwind information nor a clean decode: data or hand-written code");
}

TEST(Place, GapWithInstructionsNobodyCompilesIsUndecided)
{
	for (const char *odd : {"ec", "e6 10", "fa", "cb", "0f30", "0000", "ff28", "a0 0102030405060708", "cd 10"}) {
		CodeMemory memory(std::string("c3 55 4889e5 0f01ef 5d ") + odd + " c3");
		struct elf_where where = in_text(memory);
		where.has_fdes = true;
		where.fde_start = memory.base();
		where.fde_end = memory.base() + 1;
		EXPECT_EQ(place(memory, &where, memory.base() + 5).placement, LYCH_PLACE_UNDECIDED) << odd;
	}
}

TEST(Place, RandomDataIsNearlyAlwaysUndecided)
{
	const uint32_t seed = 7;
	std::mt19937 random(seed);
	int decided_gap = 0, decided_unknown = 0;
	const int rounds = 1000;
	for (int i = 0; i < rounds; i++) {
		std::vector<uint8_t> bytes(600);
		for (uint8_t &b : bytes) {
			b = static_cast<uint8_t>(random());
		}
		bytes[400] = 0x0f;
		bytes[401] = 0x01;
		bytes[402] = 0xef;
		CodeMemory memory(bytes);
		struct elf_where where = in_text(memory);
		where.has_fdes = true;
		decided_gap += place(memory, &where, memory.base() + 400).placement != LYCH_PLACE_UNDECIDED;
		decided_unknown += place(memory, nullptr, memory.base() + 400).placement != LYCH_PLACE_UNDECIDED;
	}
	printf("random data decided: %d in gaps, %d in unknown memory, of %d (seed %u)\n", decided_gap,
	       decided_unknown, rounds, seed);
	EXPECT_LE(decided_gap, rounds / 100);
	EXPECT_LE(decided_unknown, rounds / 100);
}

TEST(Place, PrefixThatMakesItUndefinedIsSaid)
{
	CodeMemory memory("90 f3 0f01ef c3");
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	EXPECT_STREQ(place(memory, &where, memory.base() + 2).why,
		     "STUI or undefined as it stands; entered behind its prefix it is WRPKRU");
	CodeMemory f2("90 f2 0fae28 c3");
	EXPECT_STREQ(place(f2, &where, f2.base() + 2, LYCH_XRSTOR).why,
		     "undefined as it stands; entered behind its prefix it runs");
}

TEST(Place, LabelWithoutSizeIsAnAnchorInHandWrittenCode)
{
	// what is before the label does not decode
	CodeMemory memory("06060648b8 0f01ef c3");
	struct elf_where where = in_text(memory);
	where.has_symbol = true;
	where.symbol_type = STT_NOTYPE;
	where.symbol_start = memory.base() + 5;
	EXPECT_EQ(place(memory, &where, memory.base() + 5).placement, LYCH_PLACE_INSTRUCTION);
	where.symbol_type = STT_FUNC;
	EXPECT_EQ(place(memory, &where, memory.base() + 5).placement, LYCH_PLACE_INSTRUCTION);
	where.has_symbol = false;
	EXPECT_EQ(place(memory, &where, memory.base() + 5).placement, LYCH_PLACE_UNDECIDED);
}

TEST(Place, TooFarFromAnyStartGoesByVote)
{
	std::vector<uint8_t> all = plain_code((4 << 20) + 4096), hit = hex("0f01ef"), after = plain_code(200);
	size_t off = all.size();
	all.insert(all.end(), hit.begin(), hit.end());
	all.insert(all.end(), after.begin(), after.end());
	CodeMemory memory(all);
	struct elf_where where = in_text(memory);
	struct placement placement = place(memory, &where, memory.base() + off);
	EXPECT_EQ(placement.placement, LYCH_PLACE_INSTRUCTION);
	EXPECT_STREQ(placement.why, "no anchors: decoding from many nearby offsets agrees");
	EXPECT_LT(memory.reads, 1u << 20);
}

TEST(Place, HitAtTheVeryStartAndEndOfMemory)
{
	CodeMemory memory("0f01ef");
	struct placement placement = place(memory, nullptr, memory.base());
	EXPECT_EQ(placement.placement, LYCH_PLACE_INSTRUCTION);
	EXPECT_EQ(placement.nbefore, 0);
	CodeMemory low("0f01ef", 0);
	EXPECT_EQ(place(low, nullptr, 0).placement, LYCH_PLACE_INSTRUCTION);
	CodeMemory high("900f01ef", UINT64_MAX - 4);
	EXPECT_EQ(place(high, nullptr, UINT64_MAX - 3).placement, LYCH_PLACE_INSTRUCTION);
	CodeMemory highest("900f01ef", UINT64_MAX - 3);
	(void)place(highest, nullptr, UINT64_MAX - 2);
}

TEST(Place, HeadersThatContradictThemselvesAreNoAnchors)
{
	CodeMemory memory("55 0f01ef c3");
	struct elf_where where = in_text(memory);
	where.section_start = memory.base() + 4; // above the hit
	where.has_symbol = true;
	where.symbol_type = STT_FUNC;
	where.symbol_start = memory.base() + 3;
	where.symbol_size = UINT64_MAX;
	where.has_fdes = true;
	where.in_fde = true;
	where.fde_start = memory.base() + 2;
	where.fde_end = memory.base();
	EXPECT_EQ(place(memory, &where, memory.base() + 1).placement, LYCH_PLACE_UNDECIDED);
	where = in_function(memory, memory.base(), UINT64_MAX);
	EXPECT_EQ(place(memory, &where, memory.base() + 1).placement, LYCH_PLACE_UNDECIDED);
}

TEST(Place, ManyHitsInOneFunctionCostOneDecodingOfIt)
{
	std::vector<uint8_t> all;
	for (int i = 0; i < 100000; i++) {
		std::vector<uint8_t> insns = hex("0f01ef 4889e5");
		all.insert(all.end(), insns.begin(), insns.end());
	}
	all.push_back(0xc3);
	CodeMemory memory(all);
	struct elf_where where = in_function(memory, memory.base(), memory.end());
	struct code code = memory.code();
	struct place_memo memo = {};
	for (uint64_t i = 0; i < 100000; i++) {
		struct hit hit = make_hit(memory.base() + i * 6, LYCH_WRPKRU);
		struct placement placement;
		place_hit_memo(&placement, &memo, &hit, &where, &code);
		ASSERT_EQ(placement.placement, LYCH_PLACE_INSTRUCTION) << i;
	}
	EXPECT_LT(memo.spent, 10 * all.size());

	// in any order the result is the same
	std::mt19937 random(1);
	for (int i = 0; i < 20; i++) {
		struct hit hit = make_hit(memory.base() + random() % 100000 * 6, LYCH_WRPKRU);
		struct placement with, without;
		place_hit_memo(&with, &memo, &hit, &where, &code);
		place_hit(&without, &hit, &where, &code);
		EXPECT_EQ(with.placement, without.placement);
		EXPECT_EQ(with.insn_vaddr, without.insn_vaddr);
		EXPECT_STREQ(with.why, without.why);
	}
}

TEST(Place, BeyondTheBudgetNothingIsDecodedAnyMore)
{
	CodeMemory memory("55 0f01ef c3");
	struct hit hit = make_hit(memory.base() + 1, LYCH_WRPKRU);
	struct code code = memory.code();
	struct place_memo memo = {};
	struct placement placement;
	memo.spent = PLACE_BUDGET + 1;
	place_hit_memo(&placement, &memo, &hit, nullptr, &code);
	EXPECT_EQ(placement.placement, LYCH_PLACE_UNDECIDED);
	EXPECT_STREQ(placement.why, "too many findings in one file to decode around each");
	EXPECT_EQ(memory.reads, 0u);
}

} // namespace
