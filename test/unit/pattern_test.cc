// SPDX-License-Identifier: Apache-2.0
//
// What counts as a sequence: a table of encodings, exhaustive counts, and a second definition.
#include "pattern_forms.h"

namespace {

// ---- encodings ------------------------------------------------------------------------------------

struct Encoding {
	const char *name;
	const char *bytes;
	std::vector<Hit> hits;
};

void PrintTo(const Encoding &e, std::ostream *os)
{
	*os << e.bytes;
}

class Encodings : public testing::TestWithParam<Encoding> {
};

TEST_P(Encodings, AreFoundAtEveryOffsetByEveryImplementation)
{
	const Bytes bytes = bytes_of(GetParam().bytes);

	EXPECT_EQ(hits_by_forms(bytes, LYCH_ALL_CLASSES), GetParam().hits) << "the test's own definition";
	for (pattern_impl impl : usable_impls()) {
		for (size_t before = 0; before < 300; before++) {
			for (size_t after : {0, 1, 2, 3, 300}) {
				Bytes buf(before, 0x90);
				std::vector<Hit> expected = GetParam().hits;

				buf.insert(buf.end(), bytes.begin(), bytes.end());
				buf.insert(buf.end(), after, 0x90);
				for (Hit &h : expected) {
					h.off += before;
					h.core += before;
				}
				ASSERT_EQ(scan(impl, buf, LYCH_ALL_CLASSES), expected)
					<< pattern_impl_name(impl) << ", " << before << " bytes before, " << after
					<< " after";
			}
		}
	}
}

TEST_P(Encodings, CutShortAreNotFound)
{
	const Bytes bytes = bytes_of(GetParam().bytes);

	for (pattern_impl impl : usable_impls()) {
		for (size_t len = 0; len < bytes.size(); len++) {
			std::vector<Hit> expected;
			for (const Hit &h : GetParam().hits) {
				if (h.off + h.len <= len) {
					expected.push_back(h);
				}
			}
			// Right at the end of the allocation, so that a sanitizer sees a read beyond it.
			Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(len));
			EXPECT_EQ(scan(impl, cut, LYCH_ALL_CLASSES), expected) << pattern_impl_name(impl) << " " << len;
		}
	}
}

TEST_P(Encodings, AreReportedOnlyForTheirClass)
{
	const Bytes bytes = bytes_of(GetParam().bytes);

	for (uint32_t classes = 0; classes <= LYCH_ALL_CLASSES; classes++) {
		std::vector<Hit> expected;
		for (const Hit &h : GetParam().hits) {
			if (classes & LYCH_CLASS_BIT(h.cls)) {
				expected.push_back(h);
			}
		}
		ASSERT_EQ(scan(PATTERN_PLAIN, bytes, classes), expected) << classes;
	}
}

const Encoding encodings[] = {
	// What writes PKRU (SDM Vol. 2, WRPKRU and XRSTOR; APX specification, REX2).
	{"Wrpkru", "0f 01 ef", {{0, 0, 3, LYCH_WRPKRU}}},
	{"WrpkruRex2FirstPayload", "d5 80 01 ef", {{0, 0, 4, LYCH_WRPKRU_REX2}}},
	{"WrpkruRex2WithW", "d5 88 01 ef", {{0, 0, 4, LYCH_WRPKRU_REX2}}},
	{"WrpkruRex2WithB4", "d5 90 01 ef", {{0, 0, 4, LYCH_WRPKRU_REX2}}},
	{"WrpkruRex2LastPayload", "d5 ff 01 ef", {{0, 0, 4, LYCH_WRPKRU_REX2}}},
	{"Rex2OfTheOtherMapIsNotWrpkru", "d5 7f 01 ef", {}},
	{"Rex2WithPayloadZeroIsNotWrpkru", "d5 00 01 ef", {}},
	{"Xrstor", "0f ae 28", {{0, 0, 3, LYCH_XRSTOR}}},
	{"Xrstor64", "48 0f ae 28", {{1, 1, 3, LYCH_XRSTOR}}},
	{"XrstorOfTheResolver", "0f ae 6c 24 40", {{0, 0, 3, LYCH_XRSTOR}}},
	{"XrstorDisp32", "0f ae a9 00 01 00 00", {{0, 0, 3, LYCH_XRSTOR}}},
	{"XrstorRipRelative", "0f ae 2d 00 00 00 00", {{0, 0, 3, LYCH_XRSTOR}}},
	{"XrstorWithRex2IsUndefined", "d5 80 ae 28", {}},
	{"XrstorsIsForTheKernel", "0f c7 18", {}},
	{"FxrstorHasNoPkru", "0f ae 08", {}},
	{"Enclu", "0f 01 d7", {{0, 0, 3, LYCH_ENCLU}}},
	{"EncluRex2FirstPayload", "d5 80 01 d7", {{0, 0, 4, LYCH_ENCLU}}},
	{"EncluRex2LastPayload", "d5 ff 01 d7", {{0, 0, 4, LYCH_ENCLU}}},
	{"StuiHoldsWrpkru", "f3 0f 01 ef", {{1, 1, 3, LYCH_WRPKRU}}},
	// No VEX, EVEX or XOP form exists.
	{"Vex2Of01Ef", "c5 f8 01 ef", {}},
	{"Vex3Of01Ef", "c4 e1 78 01 ef", {}},
	{"Vex2OfAe28", "c5 f8 ae 28", {}},
	{"EvexOf01Ef", "62 f1 7c 08 01 ef", {}},
	{"EvexOfAe28", "62 f1 7c 08 ae 28", {}},
	{"EvexMap4OfAe28", "62 f4 7c 08 ae 28", {}},
	{"XopOf01Ef", "8f e9 78 01 ef", {}},
	// What is near and harmless.
	{"RdpkruOnlyReads", "0f 01 ee", {}},
	{"Uiret", "f3 0f 01 ec", {}},
	{"Senduipi", "f3 0f c7 f0", {}},
	{"Eretu", "f3 0f 01 ca", {}},
	{"Erets", "f2 0f 01 ca", {}},
	{"Wrmsr", "0f 30", {}},
	{"Wrmsrns", "0f 01 c6", {}},
	{"Uwrmsr", "f3 0f 38 f8 c1", {}},
	{"Rstorssp", "f3 0f 01 28", {}},
	{"Vmfunc", "0f 01 d4", {}},
	{"Xsetbv", "0f 01 d1", {}},
	{"Xbegin", "c7 f8 00 00 00 00", {}},
	{"Encls", "0f 01 cf", {}},
	{"Enclv", "0f 01 c0", {}},
	{"Ldmxcsr", "0f ae 10", {}},
	{"Stmxcsr", "0f ae 18", {}},
	{"Xsave", "0f ae 20", {}},
	{"Xsaveopt", "0f ae 30", {}},
	{"Clwb", "66 0f ae 30", {}},
	{"Clrssbsy", "f3 0f ae 30", {}},
	{"Ptwrite", "f3 0f ae 20", {}},
	{"LfenceIsNotXrstor", "0f ae e8", {}},
	{"LfenceAliasIsNotXrstor", "0f ae ef", {}},
	{"MfenceIsNotXrstor", "0f ae f0", {}},
	{"Incsspd", "f3 0f ae e8", {}},
	{"Incsspq", "f3 48 0f ae e8", {}},
	{"OpsizeLfenceIsUndefined", "66 0f ae e8", {}},
	{"RepneLfenceIsUndefined", "f2 0f ae e8", {}},
	{"Rdfsbase", "f3 0f ae c0", {}},
	{"Rdgsbase", "f3 0f ae cf", {}},
	// The bases.
	{"WrfsbaseFirstRegister", "f3 0f ae d0", {{0, 1, 4, LYCH_WRFSBASE}}},
	{"WrfsbaseLastRegister", "f3 0f ae d7", {{0, 1, 4, LYCH_WRFSBASE}}},
	{"WrgsbaseFirstRegister", "f3 0f ae d8", {{0, 1, 4, LYCH_WRGSBASE}}},
	{"WrgsbaseLastRegister", "f3 0f ae df", {{0, 1, 4, LYCH_WRGSBASE}}},
	{"Wrfsbase64", "f3 48 0f ae d0", {{0, 2, 5, LYCH_WRFSBASE}}},
	{"Wrgsbase64OfR15", "f3 49 0f ae df", {{0, 2, 5, LYCH_WRGSBASE}}},
	{"WrgsbaseRex2", "f3 d5 80 ae d8", {{0, 1, 5, LYCH_WRGSBASE}}},
	{"WrfsbaseRex2LastPayload", "f3 d5 ff ae d7", {{0, 1, 5, LYCH_WRFSBASE}}},
	{"WrfsbaseRex2WithSegment", "f3 64 d5 90 ae d0", {{0, 2, 6, LYCH_WRFSBASE}}},
	{"WrfsbaseRex2WithoutF3", "d5 80 ae d0", {}},
	{"WrfsbaseRex2OfTheOtherMap", "f3 d5 7f ae d0", {}},
	{"WithoutF3ItIsNotWrgsbase", "0f ae d8", {}},
	{"WithF2ItIsNotWrgsbase", "f2 0f ae d8", {}},
	{"F3BehindAnotherInstructionDoesNotCount", "f3 90 0f ae d8", {}},
	{"TheNearestF3Starts", "f3 f3 2e f3 48 0f ae d8", {{3, 5, 5, LYCH_WRGSBASE}}},
	{"TwelvePrefixesFit", "f3 66 67 f2 f0 2e 36 3e 26 64 65 40 0f ae d8", {{0, 12, 15, LYCH_WRGSBASE}}},
	{"ThirteenPrefixesAreTooLong", "f3 66 67 f2 f0 2e 36 3e 26 64 65 40 4f 0f ae d8", {}},
	{"ElevenPrefixesFitBeforeRex2", "f3 66 67 f2 f0 2e 36 3e 26 64 65 d5 80 ae d0", {{0, 11, 15, LYCH_WRFSBASE}}},
	{"TwelvePrefixesAreTooLongBeforeRex2", "f3 66 67 f2 f0 2e 36 3e 26 64 65 40 d5 80 ae d0", {}},
	// System calls.
	{"Syscall", "0f 05", {{0, 0, 2, LYCH_SYSCALL}}},
	{"SyscallRex2", "d5 80 05", {{0, 0, 3, LYCH_SYSCALL}}},
	{"SyscallRex2OfTheOtherMap", "d5 7f 05", {}},
	{"Sysret", "0f 07", {}},
	{"Sysenter", "0f 34", {{0, 0, 2, LYCH_SYSENTER}}},
	{"SysenterHasNoRex2Form", "d5 80 34", {}},
	{"Sysexit", "0f 35", {}},
	{"Int80", "cd 80", {{0, 0, 2, LYCH_INT80}}},
	{"Int81", "cd 81", {}},
	// Neighbours, and sequences inside others.
	{"TwoAdjacent", "0f 01 ef 0f 01 ef", {{0, 0, 3, LYCH_WRPKRU}, {3, 3, 3, LYCH_WRPKRU}}},
	{"AdjacentOfTwoClasses", "0f ae 28 0f 01 ef", {{0, 0, 3, LYCH_XRSTOR}, {3, 3, 3, LYCH_WRPKRU}}},
	{"AdjacentRex2", "0f 01 ef d5 80 01 ef", {{0, 0, 3, LYCH_WRPKRU}, {3, 3, 4, LYCH_WRPKRU_REX2}}},
	{"AfterHalfOfOne", "0f 0f 01 ef", {{1, 1, 3, LYCH_WRPKRU}}},
	{"AfterTwoThirdsOfOne", "0f 01 0f 01 ef", {{2, 2, 3, LYCH_WRPKRU}}},
	{"AfterHalfOfAnXrstor", "0f ae 0f ae 28", {{2, 2, 3, LYCH_XRSTOR}}},
	{"Rex2AsPayloadOfRex2", "d5 d5 d5 01 ef", {{1, 1, 4, LYCH_WRPKRU_REX2}}},
	{"ModRmOfOneIsTheRex2OfAnother",
	 "f3 0f ae d5 80 01 ef",
	 {{0, 1, 4, LYCH_WRFSBASE}, {3, 3, 4, LYCH_WRPKRU_REX2}}},
	{"WrpkruAcrossARolAndAnAdd", "41 c1 c7 0f 01 ef", {{3, 3, 3, LYCH_WRPKRU}}},
};

INSTANTIATE_TEST_SUITE_P(Table, Encodings, testing::ValuesIn(encodings),
			 [](const auto &row) { return std::string(row.param.name); });

// ---- the definition, exhaustively -----------------------------------------------------------------

using Counts = std::map<lych_class, size_t>;

void count_at_zero(Counts &counts, const uint8_t *bytes, size_t len)
{
	size_t off, seq_len;
	lych_class cls;

	if (pattern_at(bytes, len, 0, LYCH_ALL_CLASSES, &off, &seq_len, &cls)) {
		counts[cls]++;
	}
}

TEST(PatternAt, AcceptsExactlyTheseOfAllThreeByteStrings)
{
	Counts counts;
	for (uint32_t n = 0; n < 1u << 24; n++) {
		const uint8_t bytes[] = {uint8_t(n >> 16), uint8_t(n >> 8), uint8_t(n)};
		count_at_zero(counts, bytes, sizeof(bytes));
	}
	EXPECT_EQ(counts, (Counts{{LYCH_WRPKRU, 1},
				  {LYCH_XRSTOR, 24},
				  {LYCH_ENCLU, 1},
				  {LYCH_SYSCALL, 256 + 128},
				  {LYCH_SYSENTER, 256},
				  {LYCH_INT80, 256}}));
}

TEST(PatternAt, AcceptsAll128PayloadsOfRex2AndNoOther)
{
	Counts low, high;
	for (uint32_t n = 0; n < 1u << 24; n++) {
		const uint8_t bytes[] = {0xd5, uint8_t(n >> 16), uint8_t(n >> 8), uint8_t(n)};
		count_at_zero(bytes[1] < 0x80 ? low : high, bytes, sizeof(bytes));
	}
	EXPECT_EQ(low, Counts());
	EXPECT_EQ(high, (Counts{{LYCH_WRPKRU_REX2, 128}, {LYCH_ENCLU, 128}, {LYCH_SYSCALL, 128 * 256}}));
}

TEST(PatternAt, AcceptsThe24ModRmValuesOfXrstorAndNoneOfTheOther232)
{
	size_t accepted = 0;
	for (unsigned modrm = 0; modrm < 256; modrm++) {
		const uint8_t bytes[] = {0x0f, 0xae, uint8_t(modrm)};
		bool memory = (modrm >> 6) != 3, slash5 = ((modrm >> 3) & 7) == 5;
		size_t off, len;
		lych_class cls;

		EXPECT_EQ(pattern_at(bytes, 3, 0, LYCH_ALL_CLASSES, &off, &len, &cls), memory && slash5) << modrm;
		accepted += memory && slash5;
	}
	EXPECT_EQ(accepted, 24u);
}

TEST(PatternAt, IsNotMisledByAnyByteBeforeTheSequence)
{
	for (const char *text : {"0f 01 ef", "d5 80 01 ef", "0f ae 28", "0f 01 d7", "0f 05", "0f 34", "cd 80"}) {
		for (unsigned before = 0; before < 256; before++) {
			Bytes bytes = bytes_of(text);
			size_t off = 99, len = 99;
			lych_class cls;

			bytes.insert(bytes.begin(), uint8_t(before));
			ASSERT_TRUE(pattern_at(bytes.data(), bytes.size(), 1, LYCH_ALL_CLASSES, &off, &len, &cls))
				<< hex(bytes);
			EXPECT_EQ(off, 1u);
			EXPECT_EQ(len, bytes.size() - 1);
		}
	}
}

TEST(PatternAt, KnowsWhichBytesMayStandBetweenF3AndTheOpcode)
{
	const Set prefixes = set_of("66,67,f2,f3,f0,2e,36,3e,26,64,65,40-4f");
	for (unsigned between = 0; between < 256; between++) {
		const uint8_t bytes[] = {0xf3, uint8_t(between), 0x0f, 0xae, 0xd8};
		size_t off, len;
		lych_class cls;

		EXPECT_EQ(pattern_at(bytes, 5, 2, LYCH_ALL_CLASSES, &off, &len, &cls), prefixes[between]) << between;
	}
}

TEST(PatternAt, RefusesCoresAtAndBehindTheEnd)
{
	const uint8_t bytes[] = {0x0f, 0x01, 0xef};
	size_t off, len;
	lych_class cls;

	for (size_t core : {size_t(3), size_t(4), SIZE_MAX - 1, SIZE_MAX}) {
		EXPECT_FALSE(pattern_at(bytes, 3, core, LYCH_ALL_CLASSES, &off, &len, &cls)) << core;
	}
	EXPECT_FALSE(pattern_at(nullptr, 0, 0, LYCH_ALL_CLASSES, &off, &len, &cls));
}

TEST(Pattern, PlainScanAgreesWithTheSecondDefinition)
{
	std::mt19937_64 random(99);
	for (const Bytes &alphabet : alphabets()) {
		for (int round = 0; round < 300; round++) {
			Bytes bytes = random_bytes(random, alphabet, random() % 200);
			uint32_t classes = uint32_t(random()) & LYCH_ALL_CLASSES;
			ASSERT_EQ(scan(PATTERN_PLAIN, bytes, LYCH_ALL_CLASSES), hits_by_forms(bytes, LYCH_ALL_CLASSES))
				<< hex(bytes);
			ASSERT_EQ(scan(PATTERN_PLAIN, bytes, classes), hits_by_forms(bytes, classes)) << hex(bytes);
		}
	}
}

} // namespace
