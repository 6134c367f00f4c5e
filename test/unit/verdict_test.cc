// SPDX-License-Identifier: Apache-2.0
// Which sequences something makes safe. Each rule has its near misses beside it.
#include <gtest/gtest.h>

#include <string>

#include "code_memory.h"

namespace {

struct Judged {
	enum lych_verdict verdict;
	std::string why;
};

Judged judge(CodeMemory &memory, uint64_t vaddr, enum lych_class cls, const std::vector<site> &sites = {},
	     uint8_t len = 3)
{
	struct hit hit = make_hit(vaddr, cls, len);
	struct code code = memory.code();
	const char *why = nullptr;
	enum lych_verdict verdict = verdict_of(&hit, sites.data(), sites.size(), &code, &why);
	EXPECT_NE(why, nullptr);
	EXPECT_STRNE(why, "");
	return {verdict, why == nullptr ? "" : why};
}

// ---- XRSTOR --------------------------------------------------------------------------------

struct Row {
	const char *name;
	const char *code; // | stands before the hit
	enum lych_verdict verdict;
};

std::ostream &operator<<(std::ostream &os, const Row &row)
{
	return os << row.code;
}

std::string row_name(const testing::TestParamInfo<Row> &info)
{
	return info.param.name;
}

class Xrstor : public testing::TestWithParam<Row> {};

TEST_P(Xrstor, IsCheckedExactlyWhenTheTableSays)
{
	std::string text = GetParam().code;
	size_t bar = text.find('|');
	ASSERT_NE(bar, std::string::npos);
	size_t off = hex(text.substr(0, bar)).size();
	text.erase(bar, 1);
	CodeMemory memory(text);
	Judged judged = judge(memory, memory.base() + off, LYCH_XRSTOR);
	EXPECT_EQ(judged.verdict, GetParam().verdict) << judged.why;
}

#define CHECKED LYCH_VERDICT_CHECKED
#define STRAY LYCH_VERDICT_STRAY
const Row xrstor_rows[] = {
	{"TestEaxJzOverUd2", "|0fae28 a900020000 7402 0f0b c3", CHECKED},
	{"TestEaxJzRel32OverUd2", "|0fae28 a900020000 0f8402000000 0f0b c3", CHECKED},
	{"TestRmJzOverUd2", "|0fae28 f7c000020000 7402 0f0b c3", CHECKED},
	{"TestEaxJnzToUd2", "|0fae28 a900020000 7501 c3 0f0b", CHECKED},
	{"TestEaxJnzRel32ToUd2", "|0fae28 a900020000 0f8501000000 c3 0f0b", CHECKED},
	{"TestEaxJnzBackToUd2", "0f0b |0fae28 a900020000 75f4 c3", CHECKED},
	{"BtJncOverUd2", "|0fae28 0fbae009 7302 0f0b c3", CHECKED},
	{"BtJncRel32OverUd2", "|0fae28 0fbae009 0f8302000000 0f0b c3", CHECKED},
	{"BtJcToUd2", "|0fae28 0fbae009 7201 c3 0f0b", CHECKED},
	{"BtJcRel32ToUd2", "|0fae28 0fbae009 0f8201000000 c3 0f0b", CHECKED},
	{"WithSibAndDisp8", "|0fae6c2440 a900020000 7402 0f0b", CHECKED},
	{"WithDisp32", "|0faea800010000 a900020000 7402 0f0b", CHECKED},
	{"RipRelative", "|0fae2d01020304 a900020000 7402 0f0b", CHECKED},
	{"Xrstor64", "48 |0fae28 a900020000 7402 0f0b", CHECKED},
	{"SegmentPrefix", "65 |0fae28 a900020000 7402 0f0b", CHECKED},
	{"JzFartherAwayIsNoMatter", "|0fae28 a900020000 7410 0f0b", CHECKED},
	{"Prefix67FartherAway", "67 90 |0fae28 a900020000 7402 0f0b", CHECKED},

	{"NothingFollows", "|0fae28 c3", STRAY},
	{"MemoryEndsAtOnce", "|0fae28", STRAY},
	{"MemoryEndsInTheInstruction", "|0faea8 0001", STRAY},
	{"MemoryEndsInTheTest", "|0fae28 a9000200", STRAY},
	{"MemoryEndsInTheJump", "|0fae28 a900020000 74", STRAY},
	{"MemoryEndsInTheUd2", "|0fae28 a900020000 7402 0f", STRAY},
	{"Bit8", "|0fae28 a900010000 7402 0f0b", STRAY},
	{"Bit8ByBt", "|0fae28 0fbae008 7302 0f0b", STRAY},
	{"TwoBits", "|0fae28 a900030000 7402 0f0b", STRAY},
	{"TestOfEcx", "|0fae28 f7c100020000 7402 0f0b", STRAY},
	{"TestOfAx", "|0fae28 66a90002 7402 0f0b", STRAY},
	{"TestOfRax", "|0fae28 48a900020000 7402 0f0b", STRAY},
	{"BtOfEcx", "|0fae28 0fbae109 7302 0f0b", STRAY},
	{"BtsInsteadOfBt", "|0fae28 0fbae809 7302 0f0b", STRAY},
	{"TestOfMemory", "|0fae28 f70000020000 7402 0f0b", STRAY},
	{"MemoryAccessBetween", "|0fae28 8b00 a900020000 7402 0f0b", STRAY},
	{"NopBetween", "|0fae28 90 a900020000 7402 0f0b", STRAY},
	{"MoveOfEaxBetween", "|0fae28 31c0 a900020000 7402 0f0b", STRAY},
	{"NopBetweenTestAndJump", "|0fae28 a900020000 90 7402 0f0b", STRAY},
	{"JzToUd2IsTheWrongWay", "|0fae28 a900020000 7401 c3 0f0b", STRAY},
	{"JnzOverUd2IsTheWrongWay", "|0fae28 a900020000 7502 0f0b c3", STRAY},
	{"BtJcOverUd2IsTheWrongWay", "|0fae28 0fbae009 7202 0f0b c3", STRAY},
	{"BtWithJz", "|0fae28 0fbae009 7402 0f0b c3", STRAY},
	{"TestWithJnc", "|0fae28 a900020000 7302 0f0b c3", STRAY},
	{"JnzToSomethingElse", "|0fae28 a900020000 7501 c3 0f05", STRAY},
	{"JnzOutOfTheMemory", "|0fae28 a900020000 757f c3 0f0b", STRAY},
	{"JnzIntoTheMiddleOfUd2", "|0fae28 a900020000 7502 c3 0f0b", STRAY},
	{"JzOverInt3", "|0fae28 a900020000 7401 cc c3", STRAY},
	{"JzOverUd1", "|0fae28 a900020000 7403 0fb9c0 c3", STRAY},
	{"JumpAlways", "|0fae28 a900020000 eb02 0f0b", STRAY},
	{"Prefix67", "67 |0fae28 a900020000 7402 0f0b", STRAY},
	{"Prefix67AndRexW", "67 48 |0fae28 a900020000 7402 0f0b", STRAY},
	{"Prefix67BeforeOthers", "67 2e 3e 64 |0fae28 a900020000 7402 0f0b", STRAY},
	{"CheckedBeforeInsteadOfAfter", "a900020000 7402 0f0b |0fae28 c3", STRAY},
};
INSTANTIATE_TEST_SUITE_P(Verdict, Xrstor, testing::ValuesIn(xrstor_rows), row_name);

TEST(Verdict, JumpAcrossFourGigabytesIsNotACheck)
{
	// in compatibility mode it would wrap around to address 0
	std::string text = "0fae28 a900020000 7501 c3 0f0b";
	for (uint64_t off = 0; off < 16; off++) {
		CodeMemory memory(text, 0x100000000 - off);
		Judged judged = judge(memory, memory.base(), LYCH_XRSTOR);
		// the jump ends at offset 10, the ud2 is at 11
		EXPECT_EQ(judged.verdict, off == 11 ? STRAY : CHECKED) << off;
	}
}

// ---- gates ---------------------------------------------------------------------------------

struct site make_site(CodeMemory &memory, uint64_t vaddr, uint8_t kind, uint8_t nbefore, uint8_t nafter)
{
	struct site site = {};
	site.vaddr = vaddr;
	site.kind = kind;
	site.nbefore = nbefore;
	site.nafter = nafter;
	for (size_t i = 0; i < static_cast<size_t>(nbefore) + nafter; i++) {
		site.bytes[i] = memory.bytes()[vaddr - nbefore - memory.base() + i];
	}
	return site;
}

struct GateRow {
	const char *name;
	const char *code; // from the WRPKRU on, which is at offset 4
	uint8_t kind;
	enum lych_verdict verdict;
};

std::ostream &operator<<(std::ostream &os, const GateRow &row)
{
	return os << row.code;
}

class Gate : public testing::TestWithParam<GateRow> {};

TEST_P(Gate, WhenListedIsOneExactlyWhenTheTableSays)
{
	CodeMemory memory(std::string("31c931d2") + GetParam().code);
	struct site site = make_site(memory, memory.base() + 7, GetParam().kind, 7, 5);
	EXPECT_EQ(judge(memory, memory.base() + 4, LYCH_WRPKRU, {site}).verdict, GetParam().verdict);
}

TEST_P(Gate, IsNoneWithoutTheNote)
{
	CodeMemory memory(std::string("31c931d2") + GetParam().code);
	Judged judged = judge(memory, memory.base() + 4, LYCH_WRPKRU);
	EXPECT_EQ(judged.verdict, STRAY);
	if (GetParam().verdict == LYCH_VERDICT_GATE) {
		EXPECT_EQ(judged.why, "looks like a gate, but no accepted note lists it");
	}
}

#define GATE LYCH_VERDICT_GATE
const GateRow gate_rows[] = {
	{"GsJne8", "0f01ef f7d0653b042518000000 7501 c3 0f0b", LYCH_SITE_GS, GATE},
	{"GsJustBelow64KiB", "0f01ef f7d0653b0425ffff0000 7501 c3 0f0b", LYCH_SITE_GS, GATE},
	{"GsWhereMemoryCanBeWhenItsBaseIs0", "0f01ef f7d0653b042500000100 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"GsBelowItsBase", "0f01ef f7d0653b0425f0ffffff 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"GsJne32", "0f01ef f7d0653b042518000000 0f8501000000 c3 0f0b", LYCH_SITE_GS, GATE},
	{"ImmJne8", "0f01ef 3dfcffffff 7501 c3 0f0b", LYCH_SITE_IMM, GATE},
	{"ImmJne32", "0f01ef 3dfcffffff 0f8501000000 c3 0f0b", LYCH_SITE_IMM, GATE},
	{"KindSaysGsButImmFollows", "0f01ef 3dfcffffff 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"KindSaysImmButGsFollows", "0f01ef f7d0653b042518000000 7501 c3 0f0b", LYCH_SITE_IMM, STRAY},
	{"GsComparedAsItStandsWhereZeroMeansOpen", "0f01ef 653b042518000000 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"GsOtherRegisterComplemented", "0f01ef f7d1653b042518000000 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"GsComplementedIn64Bits", "0f01ef 48f7d0653b042518000000 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"GsNegated", "0f01ef f7d8653b042518000000 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"GsComplementedTwice", "0f01ef f7d0f7d0653b042518000000 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"ImmOfZero", "0f01ef 3d00000000 7501 c3 0f0b", LYCH_SITE_IMM, GATE},
	{"ImmOfZeroInTheShorterForm", "0f01ef 83f800 7501 c3 0f0b 9090", LYCH_SITE_IMM, STRAY},
	{"ImmComplemented", "0f01ef f7d03dfcffffff 7501 c3 0f0b", LYCH_SITE_IMM, STRAY},
	{"CompareWithoutSegment", "0f01ef f7d03b042518000000 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"CompareWithFs", "0f01ef f7d0643b042518000000 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"CompareWithRegister", "0f01ef 39c8 7501 c3 0f0b 90909090", LYCH_SITE_IMM, STRAY},
	{"CompareWithMemoryAtRegister", "0f01ef f7d0653b01 7501 c3 0f0b 90909090", LYCH_SITE_GS, STRAY},
	{"CompareOfEcx", "0f01ef f7d0653b0c2518000000 7501 c3 0f0b", LYCH_SITE_GS, STRAY},
	{"NopBetween", "0f01ef 90 3dfcffffff 7501 c3 0f0b", LYCH_SITE_IMM, STRAY},
	{"NoJump", "0f01ef 3dfcffffff c3 0f0b", LYCH_SITE_IMM, STRAY},
	{"JumpIfEqual", "0f01ef 3dfcffffff 7401 c3 0f0b", LYCH_SITE_IMM, STRAY},
	{"JumpIfEqualOverUd2IsNotTheFormOfTheNote", "0f01ef 3dfcffffff 7402 0f0b c3", LYCH_SITE_IMM, STRAY},
	{"JumpToSomethingElse", "0f01ef 3dfcffffff 7501 c3 0f05", LYCH_SITE_IMM, STRAY},
	{"JumpOutOfTheMemory", "0f01ef 3dfcffffff 757f c3 0f0b", LYCH_SITE_IMM, STRAY},
};

INSTANTIATE_TEST_SUITE_P(Verdict, Gate, testing::ValuesIn(gate_rows),
			 [](const auto &row) { return std::string(row.param.name); });

const char gate_text[] = "31c931d2 0f01ef 3dfcffffff 7501 c3 0f0b";

TEST(Verdict, ListedGateWithOtherBytesIsStray)
{
	CodeMemory memory(gate_text);
	for (size_t i = 0; i < 12; i++) {
		struct site site = make_site(memory, memory.base() + 7, LYCH_SITE_IMM, 7, 5);
		site.bytes[i] ^= 1;
		Judged judged = judge(memory, memory.base() + 4, LYCH_WRPKRU, {site});
		EXPECT_EQ(judged.verdict, STRAY) << i;
		EXPECT_EQ(judged.why, "listed in the note as a gate, but with other bytes") << i;
	}
}

TEST(Verdict, SiteElsewhereDoesNotMakeAGate)
{
	CodeMemory memory(gate_text);
	for (int64_t shift : {-1, 1, 3}) {
		struct site site = make_site(memory, memory.base() + 7 + shift, LYCH_SITE_IMM, 4, 2);
		EXPECT_EQ(judge(memory, memory.base() + 4, LYCH_WRPKRU, {site}).verdict, STRAY) << shift;
	}
}

TEST(Verdict, ListedBytesThatReachBeyondTheMemoryAreNotEqual)
{
	CodeMemory memory(gate_text);
	struct site site = make_site(memory, memory.base() + 7, LYCH_SITE_IMM, 7, 5);
	site.nafter = 64;
	EXPECT_EQ(judge(memory, memory.base() + 4, LYCH_WRPKRU, {site}).verdict, STRAY);
	site = make_site(memory, memory.base() + 7, LYCH_SITE_IMM, 7, 5);
	site.nbefore = 8;
	EXPECT_EQ(judge(memory, memory.base() + 4, LYCH_WRPKRU, {site}).verdict, STRAY);
}

TEST(Verdict, OneOfSeveralSitesSuffices)
{
	CodeMemory memory(gate_text);
	struct site right = make_site(memory, memory.base() + 7, LYCH_SITE_IMM, 7, 5);
	struct site wrong = right;
	wrong.bytes[0] ^= 1;
	EXPECT_EQ(judge(memory, memory.base() + 4, LYCH_WRPKRU, {wrong, right}).verdict, GATE);
}

TEST(Verdict, OtherClassesAreNeverGates)
{
	CodeMemory rex2("31c931d2 d58001ef 3dfcffffff 7501 c3 0f0b");
	struct site site = make_site(rex2, rex2.base() + 8, LYCH_SITE_IMM, 8, 5);
	EXPECT_EQ(judge(rex2, rex2.base() + 4, LYCH_WRPKRU_REX2, {site}, 4).verdict, STRAY);
	site = make_site(rex2, rex2.base() + 7, LYCH_SITE_IMM, 7, 5);
	EXPECT_EQ(judge(rex2, rex2.base() + 4, LYCH_WRPKRU_REX2, {site}, 4).verdict, STRAY);

	CodeMemory enclu("31c931d2 0f01d7 3dfcffffff 7501 c3 0f0b");
	site = make_site(enclu, enclu.base() + 7, LYCH_SITE_IMM, 7, 5);
	for (int cls = 0; cls < LYCH_CLASS_COUNT; cls++) {
		if (cls != LYCH_WRPKRU) {
			EXPECT_EQ(judge(enclu, enclu.base() + 4, static_cast<enum lych_class>(cls), {site}).verdict,
				  STRAY)
				<< cls;
		}
	}
}

// ---- glibc -------------------------------------------------------------------------------

struct GlibcRow {
	const char *name;
	const char *code;
};

std::ostream &operator<<(std::ostream &os, const GlibcRow &row)
{
	return os << row.name;
}

const GlibcRow glibc_rows[] = {
#include "glibc_code.inc"
};

class Glibc : public testing::TestWithParam<GlibcRow> {
protected:
	void SetUp() override
	{
		code_ = hex(GetParam().code);
		const bool pkey_set = std::string(GetParam().name).find("PkeySet") != std::string::npos;
		cls_ = pkey_set ? LYCH_WRPKRU : LYCH_XRSTOR;
		const std::vector<uint8_t> bytes = hex(pkey_set ? "0f01ef" : "0fae6c2440");
		auto found = std::search(code_.begin(), code_.end(), bytes.begin(), bytes.end());
		ASSERT_NE(found, code_.end());
		hit_ = static_cast<size_t>(found - code_.begin());
	}
	enum lych_verdict verdict(const std::vector<uint8_t> &code, size_t before = 0)
	{
		CodeMemory memory(code);
		return judge(memory, memory.base() + before + hit_, cls_).verdict;
	}
	std::vector<uint8_t> code_;
	enum lych_class cls_ = LYCH_WRPKRU;
	size_t hit_ = 0;
};

TEST_P(Glibc, IsKnown)
{
	CodeMemory memory(code_);
	Judged judged = judge(memory, memory.base() + hit_, cls_);
	EXPECT_EQ(judged.verdict, LYCH_VERDICT_RUNTIME);
	EXPECT_NE(judged.why.find("glibc's "), std::string::npos) << judged.why;
	EXPECT_NE(judged.why.find(", identified by its code"), std::string::npos) << judged.why;
}

TEST_P(Glibc, IsKnownWhereverItStands)
{
	std::vector<uint8_t> code = code_;
	code.insert(code.begin(), 77, 0xcc);
	code.insert(code.end(), 77, 0xcc);
	EXPECT_EQ(verdict(code, 77), LYCH_VERDICT_RUNTIME);
}

TEST_P(Glibc, IsUnknownWithAnyOtherByteButThoseTheLinkerFillsIn)
{
	size_t free_bytes = 0;
	for (size_t i = 0; i < code_.size(); i++) {
		std::vector<uint8_t> code = code_;
		code[i] ^= 0x40;
		free_bytes += verdict(code) == LYCH_VERDICT_RUNTIME;
	}
	EXPECT_EQ(free_bytes, cls_ == LYCH_WRPKRU ? 4u : 8u);
}

TEST_P(Glibc, IsUnknownWhenAByteIsMissingAtEitherEnd)
{
	std::vector<uint8_t> code = code_;
	code.pop_back();
	EXPECT_EQ(verdict(code), STRAY);
	CodeMemory memory(std::vector<uint8_t>(code_.begin() + 1, code_.end()));
	EXPECT_EQ(judge(memory, memory.base() + hit_ - 1, cls_).verdict, STRAY);
}

INSTANTIATE_TEST_SUITE_P(Verdict, Glibc, testing::ValuesIn(glibc_rows),
			 [](const auto &row) { return std::string(row.param.name); });

TEST(Verdict, GlibcsCodeOfAnotherClassOrPlaceIsNotKnown)
{
	std::vector<uint8_t> code = hex(glibc_rows[0].code);
	CodeMemory memory(code);
	// the same function, but the finding elsewhere in it
	for (uint64_t off = 0; off < code.size(); off++) {
		bool there = code[off] == 0x0f && code[off + 1] == 0x01 && code[off + 2] == 0xef;
		EXPECT_EQ(judge(memory, memory.base() + off, LYCH_WRPKRU).verdict,
			  there ? LYCH_VERDICT_RUNTIME : STRAY);
		EXPECT_EQ(judge(memory, memory.base() + off, LYCH_WRGSBASE).verdict, STRAY);
	}
}

// ---- the note ------------------------------------------------------------------------------

TEST(SiteParse, ReadsEntriesOneAfterTheOther)
{
	std::vector<uint8_t> note = hex("00010000 01 03 05 00 0f01ef3dfcffffff"
					"f0ffffff 02 04 01 00 900f01ef3d000000");
	struct site sites[4];
	ASSERT_EQ(site_parse(sites, 4, note.data(), note.size(), 0x5000), 2u);
	EXPECT_EQ(sites[0].vaddr, 0x5100u);
	EXPECT_EQ(sites[0].kind, LYCH_SITE_GS);
	EXPECT_EQ(sites[0].nbefore, 3);
	EXPECT_EQ(sites[0].nafter, 5);
	EXPECT_EQ(hex_of(sites[0].bytes, 8), "0f 01 ef 3d fc ff ff ff");
	EXPECT_EQ(sites[1].vaddr, 0x5010u - 0x10);
	EXPECT_EQ(sites[1].kind, LYCH_SITE_IMM);
	EXPECT_EQ(hex_of(sites[1].bytes, 5), "90 0f 01 ef 3d");
	EXPECT_EQ(site_parse(sites, 1, note.data(), note.size(), 0x5000), 1u);
	EXPECT_EQ(site_parse(sites, 0, note.data(), note.size(), 0x5000), 0u);
}

struct NoteRow {
	const char *name;
	const char *note;
};

std::ostream &operator<<(std::ostream &os, const NoteRow &row)
{
	return os << row.note;
}

class MalformedNote : public testing::TestWithParam<NoteRow> {};

TEST_P(MalformedNote, StopsThere)
{
	const std::string good = "00010000 01 03 05 00 0f01ef3dfcffffff";
	std::vector<uint8_t> note = hex(good + GetParam().note + good);
	struct site sites[4];
	EXPECT_EQ(site_parse(sites, 4, note.data(), note.size(), 0x5000), 1u);
}

const NoteRow note_rows[] = {
	{"KindZero", "00010000 00 03 05 00 0f01ef3dfcffffff"},
	{"KindUnknown", "00010000 03 03 05 00 0f01ef3dfcffffff"},
	{"BeforeTooShort", "00010000 01 02 06 00 01ef3dfcffffff00"},
	{"BeforeTooLong", "00010000 01 41 03 00 0f01ef3dfcffffff"},
	{"AfterZero", "00010000 01 08 00 00 0f01ef3dfcffffff"},
	{"AfterTooLong", "00010000 01 03 41 00 0f01ef3dfcffffff"},
	{"ZeroIsNot", "00010000 01 03 05 01 0f01ef3dfcffffff"},
	{"PaddingIsNotZero", "00010000 01 03 04 00 0f01ef3dfcffff 01"},
};

INSTANTIATE_TEST_SUITE_P(Verdict, MalformedNote, testing::ValuesIn(note_rows),
			 [](const auto &row) { return std::string(row.param.name); });

TEST(SiteParse, TruncatedEntryIsNotRead)
{
	std::vector<uint8_t> note = hex("00010000 01 03 04 00 0f01ef3dfcffff00");
	struct site sites[1];
	for (size_t len = 0; len < note.size(); len++) {
		std::vector<uint8_t> cut(note.begin(), note.begin() + len);
		cut.shrink_to_fit();
		EXPECT_EQ(site_parse(sites, 1, cut.data(), cut.size(), 0), 0u) << len;
	}
	EXPECT_EQ(site_parse(sites, 1, note.data(), note.size(), 0), 1u);
}

} // namespace
