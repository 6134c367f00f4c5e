// SPDX-License-Identifier: Apache-2.0
// The checker believes nobody: each way in which a plan can be wrong is seen, and the same plan without it passes.
#include <sys/mman.h>

#include <algorithm>
#include <functional>

#include "repair_world.h"

namespace
{

constexpr uint64_t kBase = 0x10000000000;

struct Wrong {
	const char *name, *code;
	std::function<void(World &, std::vector<repair_edit> &, std::vector<repair_trampoline> &)> spoil;
	const char *why;
};

std::ostream &operator<<(std::ostream &os, const Wrong &w)
{
	return os << w.name;
}

#define SPOIL                                                                                                          \
	[]([[maybe_unused]] World & w, [[maybe_unused]] std::vector<repair_edit> & edits,                              \
	   [[maybe_unused]] std::vector<repair_trampoline> & trampolines)

void lead(uint8_t *at, uint64_t from, uint64_t to)
{
	int32_t rel = static_cast<int32_t>(to - from);
	memcpy(at, &rel, 4);
}

// mov rcx, [rip + ..]; add edi, ebp behind rol; ret
const char kCode[] = "488b0d0fae6d01 c1c70f 01ef e80fae2800 c3";

const Wrong kWrong[] = {
	{"EmptyEdit", kCode, SPOIL { edits[0].len = 0; },
	 "edits are empty, too long, out of order or lie over each other"},
	{"EditTooLong", kCode, SPOIL { edits[0].len = 21; },
	 "edits are empty, too long, out of order or lie over each other"},
	{"EditsOutOfOrder", kCode, SPOIL { std::swap(edits[0], edits[1]); },
	 "edits are empty, too long, out of order or lie over each other"},
	{"EditsOverEachOther", kCode, SPOIL { edits.insert(edits.begin(), edits[0]); },
	 "edits are empty, too long, out of order or lie over each other"},
	{"EditOutsideTheCode", kCode, SPOIL { edits[2].vaddr += 0x1000; }, "an edit is not within the code"},
	{"EditAcrossTheEndOfTheCode", kCode, SPOIL { edits[2].vaddr += 4; }, "an edit is not within the code"},
	{"CodeIsNotWhatItWas", kCode, SPOIL { edits[0].old_bytes[0] ^= 1; },
	 "the code is not what the edit says it was"},
	{"EditChangesNothing", kCode, SPOIL { memcpy(edits[1].new_bytes, edits[1].old_bytes, 2); },
	 "an edit changes nothing, or bytes that are not one instruction"},
	{"EditIsNoInstruction", kCode, SPOIL { edits[1].new_bytes[0] = 0x06; },
	 "an edit is not made of whole instructions"},
	{"EditEndsWithinAnInstruction", kCode, SPOIL { edits[1].new_bytes[0] = 0xb8; },
	 "an edit is not made of whole instructions"},
	{"JumpLeadsElsewhere", kCode, SPOIL { lead(edits[0].new_bytes + 1, kBase + 5, kBase + 0x10); },
	 "a branch in an edit leads somewhere else than to a trampoline"},
	{"JumpLeadsIntoATrampoline", kCode,
	 SPOIL { lead(edits[0].new_bytes + 1, kBase + 5, trampolines[0].vaddr + 1); },
	 "a branch in an edit leads somewhere else than to a trampoline"},
	{"EmptyTrampoline", kCode, SPOIL { trampolines[0].len = 0; },
	 "trampolines are empty, outside their area, out of order or next to each other"},
	{"TrampolineOutsideTheArea", kCode, SPOIL { w.options.areas[0].start = trampolines[1].vaddr + 1; },
	 "trampolines are empty, outside their area, out of order or next to each other"},
	{"TrampolinesNextToEachOther", kCode,
	 SPOIL { trampolines[0].len = static_cast<uint8_t>(trampolines[1].vaddr - trampolines[0].vaddr); },
	 "trampolines are empty, outside their area, out of order or next to each other"},
	{"TrampolineForAnInstructionThatStays", kCode, SPOIL { trampolines[0].site = kBase + 7; },
	 "a trampoline stands for no instruction that an edit changes"},
	{"TrampolineGoesOnElsewhere", kCode, SPOIL { trampolines[0].resume++; },
	 "a trampoline does not go on behind its instruction"},
	{"TrampolineJumpsElsewhere", kCode,
	 SPOIL { lead(trampolines[0].code + 8, trampolines[0].vaddr + 12, kBase + 1); },
	 "a trampoline leads somewhere that its instruction did not"},
	{"TrampolineReadsElsewhere", kCode, SPOIL { trampolines[0].code[3] ^= 1; },
	 "a trampoline leads somewhere that its instruction did not"},
	{"TrampolineCallsElsewhere", kCode, SPOIL { trampolines[1].code[1] ^= 1; },
	 "a trampoline leads somewhere that its instruction did not"},
	{"TrampolineIsNoInstruction", kCode, SPOIL { trampolines[0].code[0] = 0x06; },
	 "a trampoline is not made of whole instructions"},
	{"TrampolineEndsWithinAnInstruction", kCode, SPOIL { trampolines[1].len = 4; },
	 "a trampoline is not made of whole instructions"},
	{"TrampolineToAnAddressThatNobodyAllowed", kCode,
	 SPOIL {
		 Bytes jump = hex("ff2500000000 8877665544332211");
		 trampolines[0].absolute = 0x1122334455667788;
		 memcpy(trampolines[0].code, jump.data(), jump.size());
		 trampolines[0].len = 14;
	 },
	 "a trampoline leads to an address that nobody allowed"},
	{"EditOverTwoInstructions", "90909090 31c0 c3", SPOIL {
		 edits.push_back({kBase, 5, {0x90, 0x90, 0x90, 0x90, 0x31}, {0x0f, 0x1f, 0x44, 0x00, 0x31}});
	 }, "an edit changes nothing, or bytes that are not one instruction"},
	{"EditOverInt3AndAnInstruction", "cc90 31c0 c3", SPOIL {
		 edits.push_back({kBase, 2, {0xcc, 0x90}, {0x31, 0xc0}});
	 }, "an edit changes nothing, or bytes that are not one instruction"},
	{"EditMakesASequence", "0f1f4000 31c0 c3", SPOIL {
		 edits.push_back({kBase, 4, {0x0f, 0x1f, 0x40, 0x00}, {0x48, 0x0f, 0x01, 0xef}});
	 }, "a sequence is in what an edit makes"},
	{"EditMakesASequenceWithItsNeighbour", "b010 01ef c3", SPOIL {
		 edits.push_back({kBase, 2, {0xb0, 0x10}, {0xb0, 0x0f}});
	 }, "a sequence is in what an edit makes"},
	{"TrampolineHoldsASequence", kCode, SPOIL {
		 Bytes wrpkru = hex("0f01ef");
		 memcpy(trampolines[1].code + 5, wrpkru.data(), 3);
		 trampolines[1].len = 8;
	 }, "a sequence is in a trampoline"},
	{"TrampolineRestoresUnchecked", "0fae6c2440 c3", SPOIL {
		 memset(trampolines[0].code + 17, 0x90, 5); // the test of EAX
	 }, "a sequence is in a trampoline"},
};

} // namespace

class RepairCheck : public testing::TestWithParam<Wrong>
{
};

TEST_P(RepairCheck, SeesWhatIsWrong)
{
	const Wrong &c = GetParam();
	World w(kBase, hex(c.code));
	w.begin();
	for (const hit &h : w.hits(w.bytes)) {
		ASSERT_NE(w.plan_hit(h).kind, REPAIR_REFUSED);
	}
	ASSERT_EQ(w.check(), nullptr) << "the control: " << w.check();
	std::vector<repair_edit> edits(w.plan.edits, w.plan.edits + w.plan.nedits);
	std::vector<repair_trampoline> trampolines(w.plan.trampolines, w.plan.trampolines + w.plan.ntrampolines);
	c.spoil(w, edits, trampolines);
	repair_plan plan = repair_plan_of(&w.plan);
	plan.edits = edits.data();
	plan.nedits = edits.size();
	plan.trampolines = trampolines.data();
	plan.ntrampolines = trampolines.size();
	plan.areas = w.options.areas;
	uint64_t at = 0;
	EXPECT_STREQ(repair_check(&plan, &w.reader, &at), c.why);
}

INSTANTIATE_TEST_SUITE_P(Plans, RepairCheck, testing::ValuesIn(kWrong),
			 [](const auto &test) { return std::string(test.param.name); });

TEST(RepairCheckPages, AreWholeAndHoldNoEdit)
{
	World w(kBase, hex("41c1c70f 01ef c3"));
	w.begin();
	ASSERT_EQ(w.plan_hit(w.hits(w.bytes)[0]).kind, REPAIR_REENCODED);
	repair_plan plan = repair_plan_of(&w.plan);
	uint64_t at;
	repair_area pages = {kBase + 0x1000, kBase + 0x2000};
	plan.no_exec = &pages;
	plan.nno_exec = 1;
	EXPECT_EQ(repair_check(&plan, &w.reader, &at), nullptr);
	pages.start = kBase;
	EXPECT_STREQ(repair_check(&plan, &w.reader, &at), "an edit is on a page that is to lose the right to execute");
	pages = {kBase + 0x1000, kBase + 0x1800};
	EXPECT_STREQ(repair_check(&plan, &w.reader, &at), "what is to lose the right to execute is not whole pages");
	const repair_area twice[] = {{kBase + 0x1000, kBase + 0x3000}, {kBase + 0x2000, kBase + 0x3000}};
	plan.no_exec = twice;
	plan.nno_exec = 2;
	EXPECT_STREQ(repair_check(&plan, &w.reader, &at),
		     "pages that are to lose the right to execute are out of order or named twice");
}

// ---- what the planner makes of several sequences, and of what is no code ------------------------------------------

TEST(RepairPlan, SequenceGoneWithTheRepairOfAnotherIsSaidToBe)
{
	// an immediate that holds two
	World w(kBase, hex("48b80f01ef0f01ef0000 c3"));
	auto hits = w.hits(w.bytes);
	ASSERT_EQ(hits.size(), 2u);
	EXPECT_EQ(w.plan_hit(hits[0]).kind, REPAIR_SPLIT);
	EXPECT_EQ(w.plan_hit(hits[1]).kind, REPAIR_GONE);
	EXPECT_EQ(w.plan.nedits, 1u);
}

TEST(RepairPlan, DisplacementAndImmediateAreSplitTogether)
{
	World w(kBase, hex("81830fae28000f01ef00 c3"));
	auto hits = w.hits(w.bytes);
	ASSERT_EQ(hits.size(), 2u);
	EXPECT_EQ(w.plan_hit(hits[0]).kind, REPAIR_SPLIT);
	EXPECT_EQ(w.plan_hit(hits[1]).kind, REPAIR_GONE);
	EXPECT_EQ(w.check(), nullptr);
}

TEST(RepairPlan, CheckedXrstorIsAccepted)
{
	World w(kBase, hex("0fae6c2440 a900020000 7501 c3 0f0b"));
	auto hits = w.hits(w.bytes);
	ASSERT_EQ(hits.size(), 1u);
	EXPECT_EQ(w.plan_hit(hits[0]).kind, REPAIR_ACCEPTED);
	EXPECT_EQ(w.plan.nedits, 0u);
}

TEST(RepairPlan, DataLosesExecuteOnlyWhereItsPagesHoldNoCode)
{
	Bytes bytes(0x3000, 0);
	Bytes pattern = hex("0f01ef");
	std::copy(pattern.begin(), pattern.end(), bytes.begin() + 0x1ffe);
	World w(kBase, bytes);
	repair_stray stray = {};
	repair_outcome out = {};
	w.begin();
	stray.hit = {kBase + 0x1ffe, kBase + 0x1ffe, 3, LYCH_WRPKRU};
	stray.placement = LYCH_PLACE_DATA;
	stray.pages_hold_code = true;
	ASSERT_EQ(repair_add(&w.plan, &stray, &out), 0);
	EXPECT_EQ(out.kind, REPAIR_REFUSED);
	EXPECT_STREQ(out.why, "data on a page that also holds code");
	stray.pages_hold_code = false;
	ASSERT_EQ(repair_add(&w.plan, &stray, &out), 0);
	EXPECT_EQ(out.kind, REPAIR_NO_EXEC);
	EXPECT_EQ(out.page_start, kBase + 0x1000);
	EXPECT_EQ(out.page_end, kBase + 0x3000);
	EXPECT_EQ(w.check(), nullptr);
}

TEST(RepairPlan, DataAmongCodeIsLeftWhenTold)
{
	World w(kBase, hex("0f01ef"));
	w.options.leave_data = true;
	EXPECT_EQ(w.plan_placed(w.hits(w.bytes)[0], LYCH_PLACE_DATA, kBase).kind, REPAIR_LEFT);
}

TEST(RepairPlan, UndecidedIsRefusedWithItsReason)
{
	World w(kBase, hex("0f01ef"));
	repair_outcome o = w.plan_placed(w.hits(w.bytes)[0], LYCH_PLACE_UNDECIDED, kBase);
	EXPECT_EQ(o.kind, REPAIR_REFUSED);
	EXPECT_STREQ(o.why, "undecided here");
}

TEST(RepairPlan, WithoutRoomForTrampolinesSaysSo)
{
	World w(kBase, hex("b80fae2800 c3"));
	w.options.nareas = 0;
	repair_outcome o = w.plan_hit(w.hits(w.bytes)[0]);
	EXPECT_EQ(o.kind, REPAIR_REFUSED);
	EXPECT_STREQ(o.why, "needs a trampoline, and there is no room for one");
}

// Where the area is, the distance itself can spell a sequence: another slot is taken.
TEST(RepairPlan, PlaceIsChosenSoThatNoDistanceHoldsASequence)
{
	for (uint64_t distance : {UINT64_C(0x28ae0f), UINT64_C(0x2fae0f), UINT64_C(0x6cae0f)}) {
		for (uint64_t shift = 0; shift < 64; shift++) {
			World w(kBase, hex("b80fae2800 c3"));
			w.options.nareas = 1;
			w.options.areas[0] = {kBase + 5 + distance - 16 - shift, kBase + 5 + distance + 0x1000};
			repair_outcome o = w.plan_hit(w.hits(w.bytes)[0]);
			EXPECT_EQ(o.kind, REPAIR_SPLIT);
			EXPECT_EQ(w.check(), nullptr);
			EXPECT_TRUE(w.hits(w.repaired()).empty());
		}
	}
}

// add r15, r13 with REX2, which no disassembler here knows
TEST(RepairPlan, Rex2OperandsChangePlacesWithAllTheirBits)
{
	World w(kBase, hex("d50f01ef c3"));
	auto hits = w.hits(w.bytes);
	ASSERT_EQ(hits.size(), 1u);
	EXPECT_EQ(w.plan_placed(hits[0], LYCH_PLACE_INSIDE, kBase).kind, REPAIR_REENCODED);
	EXPECT_EQ(w.repaired(), hex("d50f03fd c3"));
	// R4 and R3: its twin has B4 and B3
	spot at = {};
	uint8_t out[ENCODINGS_MAX][LYCH_SEQUENCE_MAX];
	Bytes code = hex("d54401ef");
	memcpy(at.bytes, code.data(), code.size());
	ASSERT_TRUE(insn_decode(&at.in, code.data(), code.size()));
	ASSERT_EQ(repair_encodings(out, &at), 1u);
	EXPECT_EQ(Bytes(out[0], out[0] + 4), hex("d51103fd"));
}

// For the unwinder: how much lower rsp is than the program knows, where a register is saved, and from where on the
// instruction is done.
TEST(RepairPlan, StepsSayWhereTheStackPointerIs)
{
	World w(kBase, hex("050fae2800 c3"));
	const repair_trampoline &t = w.plan_hit(w.hits(w.bytes)[0]).trampoline;
	ASSERT_EQ(t.nsteps, 5u);
	const uint32_t down[] = {0, 144, 144, 144, 0};
	const bool after[] = {false, false, false, true, true}, saved[] = {false, false, true, true, false};
	const char *const next[] = {"lea rsp, [rsp - 0x90]", "mov qword ptr [rsp + 8], r9", "mov r9d, 0xffd751f0",
				    "mov r9, qword ptr [rsp + 8]", "jmp 0x10000000005"};
	for (size_t i = 0; i < 5; i++) {
		EXPECT_EQ(t.steps[i].rsp_down, down[i]) << i;
		EXPECT_EQ(t.steps[i].after, after[i]) << i;
		ASSERT_EQ(t.steps[i].nheld, saved[i] ? 1 : 0) << i;
		if (saved[i]) {
			EXPECT_EQ(t.steps[i].held[0].reg, R9) << i;
			EXPECT_TRUE(t.steps[i].held[0].saved) << i;
			EXPECT_EQ(t.steps[i].held[0].by, 8) << i;
		}
		std::string text = w.text(t.vaddr + t.steps[i].off, t.code + t.steps[i].off, t.len - t.steps[i].off);
		EXPECT_EQ(text.substr(0, text.find(';')), next[i]);
	}
}

struct GlibcRow {
	const char *name, *code;
};

const GlibcRow kGlibc[] = {
#include "glibc_code.inc"
};

// All of glibc's functions that are known: pkey_set leads elsewhere when the caller says where, and the XRSTOR of the
// others is checked.
TEST(RepairPlan, WhatIsGlibcsOwnIsReplacedOrChecked)
{
	for (const GlibcRow &row : kGlibc) {
		SCOPED_TRACE(row.name);
		const bool pkey_set = std::string(row.name).find("PkeySet") != std::string::npos;
		for (uint64_t target : {UINT64_C(0), UINT64_C(0x7f0123456789)}) {
			World w(kBase, hex(row.code));
			w.options.pkey_set = target;
			auto hits = w.hits(w.bytes);
			ASSERT_EQ(hits.size(), 1u);
			repair_outcome o = w.plan_placed(hits[0], LYCH_PLACE_INSTRUCTION, hits[0].vaddr);
			EXPECT_EQ(o.kind, !pkey_set ? REPAIR_CHECKED : target != 0 ? REPAIR_REPLACED : REPAIR_TRAPPED);
			EXPECT_EQ(w.check(), nullptr) << w.check();
			EXPECT_TRUE(w.hits(w.repaired()).empty());
			if (o.kind == REPAIR_REPLACED) {
				// cmp at the entry, wrpkru, and the NOP behind the first return: one instruction each
				const std::pair<uint64_t, uint8_t> where[] = {{0, 3}, {0x32, 3}, {0x38, 8}};
				ASSERT_EQ(w.plan.nedits, 3u);
				for (size_t i = 0; i < 3; i++) {
					EXPECT_EQ(w.plan.edits[i].vaddr, kBase + where[i].first);
					EXPECT_EQ(w.plan.edits[i].len, where[i].second);
				}
				EXPECT_EQ(o.trampoline.absolute, target);
			}
			if (o.kind == REPAIR_CHECKED) {
				// entered at the XRSTOR itself, the check comes next
				struct code after = {repair_read, &w.plan};
				hit moved = {0, 0, 3, LYCH_XRSTOR};
				const repair_trampoline &t = o.trampoline;
				const uint8_t xrstor[] = {0x0f, 0xae};
				auto at = std::search(t.code, t.code + t.len, xrstor, xrstor + 2);
				moved.vaddr = moved.core = t.vaddr + static_cast<uint64_t>(at - t.code);
				const char *why = "";
				EXPECT_EQ(verdict_of(&moved, nullptr, 0, &after, &why), LYCH_VERDICT_CHECKED) << why;
			}
		}
	}
}

TEST(RepairPlan, PkeySetLeadsNowhereThatTheCallerDidNotName)
{
	World w(kBase, hex(kGlibc[0].code));
	w.options.pkey_set = 0x7f0123456789;
	ASSERT_EQ(w.plan_placed(w.hits(w.bytes)[0], LYCH_PLACE_INSTRUCTION, w.hits(w.bytes)[0].vaddr).kind,
		  REPAIR_REPLACED);
	repair_plan plan = repair_plan_of(&w.plan);
	uint64_t at;
	EXPECT_EQ(repair_check(&plan, &w.reader, &at), nullptr);
	plan.pkey_set = 0;
	EXPECT_STREQ(repair_check(&plan, &w.reader, &at), "a trampoline leads to an address that nobody allowed");
}

// All pkey_set that are known, really repaired and called: what arrives is what was passed, and its result comes back.
TEST(RepairPlan, PkeySetLeadsToTheOtherWithItsArguments)
{
	static int key;
	static unsigned rights;
	int (*other)(int, unsigned) = [](int k, unsigned r) {
		key = k;
		rights = r;
		return 4711;
	};
	for (const GlibcRow &row : kGlibc) {
		SCOPED_TRACE(row.name);
		if (std::string(row.name).find("PkeySet") == std::string::npos) {
			continue;
		}
		const size_t room = 0x4000;
		auto *at = static_cast<uint8_t *>(mmap(nullptr, room, PROT_READ | PROT_WRITE | PROT_EXEC,
						       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		ASSERT_NE(static_cast<void *>(at), MAP_FAILED);
		World w(reinterpret_cast<uint64_t>(at), hex(row.code));
		w.options.pkey_set = reinterpret_cast<uint64_t>(other);
		w.options.nareas = 1;
		w.options.areas[0] = {w.base + 0x1000, w.base + room};
		auto hits = w.hits(w.bytes);
		ASSERT_EQ(w.plan_placed(hits[0], LYCH_PLACE_INSTRUCTION, hits[0].vaddr).kind, REPAIR_REPLACED);
		ASSERT_EQ(w.check(), nullptr);
		Bytes code = w.repaired();
		memcpy(at, code.data(), code.size());
		ASSERT_EQ(w.plan.ntrampolines, 1u);
		memcpy(at + (w.plan.trampolines[0].vaddr - w.base), w.plan.trampolines[0].code, w.plan.trampolines[0].len);
		key = 0;
		rights = 0;
		EXPECT_EQ(reinterpret_cast<int (*)(int, unsigned)>(at)(-7, 0x12345678), 4711);
		EXPECT_EQ(key, -7);
		EXPECT_EQ(rights, 0x12345678u);
		munmap(at, room);
	}
}

TEST(RepairPlan, HostileCodeCannotMakeItTryForEver)
{
	Bytes bytes;
	Bytes pattern = hex("b0d5 8001ef b0d5 8001ef f0818424");
	for (int i = 0; i < 20000; i++) {
		bytes.insert(bytes.end(), pattern.begin(), pattern.end());
	}
	World w(kBase, bytes);
	size_t refused = 0;
	auto hits = w.hits(bytes);
	ASSERT_GT(hits.size(), 30000u);
	for (const hit &h : hits) {
		refused += w.plan_placed(h, LYCH_PLACE_SPANNING, h.vaddr - 1).kind == REPAIR_REFUSED;
	}
	EXPECT_LE(w.plan.work, WORK_OF_PLAN + (UINT64_C(1) << 22));
	EXPECT_EQ(w.check(), nullptr);
	EXPECT_GT(refused, 0u);
}
