// SPDX-License-Identifier: Apache-2.0
//
// The byte patterns: what counts as a sequence (a table of encodings, exhaustive counts, and a second
// definition written in another way), and that every implementation finds exactly that.
#include <gtest/gtest.h>

#include <sys/mman.h>

#include <algorithm>
#include <bitset>
#include <cerrno>
#include <cstring>
#include <functional>
#include <iomanip>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

extern "C" {
#include "pattern.h"
}

namespace {

using Bytes = std::vector<uint8_t>;

struct Hit {
	size_t off, core, len;
	lych_class cls;

	bool operator==(const Hit &o) const
	{
		return off == o.off && core == o.core && len == o.len && cls == o.cls;
	}
};

std::ostream &operator<<(std::ostream &os, const Hit &h)
{
	return os << lych_class_name(h.cls) << " at " << h.off << "+" << h.len << " core " << h.core;
}

std::string hex(const Bytes &bytes)
{
	std::ostringstream os;
	for (uint8_t b : bytes) {
		os << std::hex << std::setw(2) << std::setfill('0') << unsigned(b) << ' ';
	}
	return os.str();
}

int keep(void *ctx, size_t off, size_t core, size_t len, lych_class cls)
{
	static_cast<std::vector<Hit> *>(ctx)->push_back({off, core, len, cls});
	return 0;
}

std::vector<Hit> scan(pattern_impl impl, const uint8_t *buf, size_t len, uint32_t classes)
{
	std::vector<Hit> hits;
	EXPECT_EQ(pattern_scan_with(impl, buf, len, classes, keep, &hits), 0);
	return hits;
}

std::vector<Hit> scan(pattern_impl impl, const Bytes &bytes, uint32_t classes)
{
	return scan(impl, bytes.data(), bytes.size(), classes);
}

std::vector<pattern_impl> usable_impls()
{
	std::vector<pattern_impl> impls;
	for (int i = 0; i < PATTERN_IMPL_COUNT; i++) {
		if (pattern_impl_usable(static_cast<pattern_impl>(i))) {
			impls.push_back(static_cast<pattern_impl>(i));
		}
	}
	return impls;
}

// "0f ae 28" as bytes.
Bytes bytes_of(const std::string &text)
{
	std::istringstream in(text);
	Bytes out;
	unsigned value;
	while (in >> std::hex >> value) {
		out.push_back(static_cast<uint8_t>(value));
	}
	return out;
}

// ---- a second definition: every form spelt out as a list of sets of bytes -------------------------

using Set = std::bitset<256>;

struct Form {
	lych_class cls;
	size_t core;
	std::vector<Set> bytes;
};

// "28-2f,68" as a set.
Set set_of(const std::string &text)
{
	std::istringstream in(text);
	std::string range;
	Set set;
	while (std::getline(in, range, ',')) {
		size_t dash = range.find('-');
		unsigned low = std::stoul(range, nullptr, 16);
		unsigned high = dash == range.npos ? low : std::stoul(range.substr(dash + 1), nullptr, 16);
		for (unsigned b = low; b <= high; b++) {
			set.set(b);
		}
	}
	return set;
}

void add_form(std::vector<Form> &forms, lych_class cls, size_t core, const std::string &text)
{
	std::istringstream in(text);
	std::string token;
	Form form{cls, core, {}};
	while (in >> token) {
		form.bytes.push_back(set_of(token));
	}
	forms.push_back(form);
}

std::vector<Form> all_forms()
{
	const std::string prefix = "66,67,f2,f3,f0,2e,36,3e,26,64,65,40-4f ";
	std::vector<Form> forms;

	add_form(forms, LYCH_WRPKRU, 0, "0f 01 ef");
	add_form(forms, LYCH_WRPKRU_REX2, 0, "d5 80-ff 01 ef");
	add_form(forms, LYCH_XRSTOR, 0, "0f ae 28-2f,68-6f,a8-af");
	add_form(forms, LYCH_ENCLU, 0, "0f 01 d7");
	add_form(forms, LYCH_ENCLU, 0, "d5 80-ff 01 d7");
	add_form(forms, LYCH_SYSCALL, 0, "0f 05");
	add_form(forms, LYCH_SYSCALL, 0, "d5 80-ff 05");
	add_form(forms, LYCH_SYSENTER, 0, "0f 34");
	add_form(forms, LYCH_INT80, 0, "cd 80");
	std::string run = "f3 ";
	for (size_t n = 1; n + 3 <= 15; n++, run += prefix) {
		add_form(forms, LYCH_WRFSBASE, n, run + "0f ae d0-d7");
		add_form(forms, LYCH_WRGSBASE, n, run + "0f ae d8-df");
		if (n + 4 <= 15) {
			add_form(forms, LYCH_WRFSBASE, n, run + "d5 80-ff ae d0-d7");
			add_form(forms, LYCH_WRGSBASE, n, run + "d5 80-ff ae d8-df");
		}
	}
	return forms;
}

// Tries every form at every start. Of several starts with one core the last, the nearest F3, stays.
std::vector<Hit> hits_by_forms(const Bytes &bytes, uint32_t classes)
{
	static const std::vector<Form> forms = all_forms();
	std::map<size_t, Hit> by_core;

	for (size_t start = 0; start < bytes.size(); start++) {
		for (const Form &form : forms) {
			size_t len = form.bytes.size(), i = 0;

			if (len > bytes.size() - start) {
				continue;
			}
			while (i < len && form.bytes[i][bytes[start + i]]) {
				i++;
			}
			if (i < len) {
				continue;
			}
			auto known = by_core.find(start + form.core);
			if (known != by_core.end() && known->second.cls != form.cls) {
				ADD_FAILURE() << "two classes for one core: " << hex(bytes);
			}
			by_core[start + form.core] = {start, start + form.core, len, form.cls};
		}
	}
	std::vector<Hit> hits;
	for (const auto &entry : by_core) {
		if (classes & LYCH_CLASS_BIT(entry.second.cls)) {
			hits.push_back(entry.second);
		}
	}
	return hits;
}

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

// ---- each implementation --------------------------------------------------------------------------

class Impl : public testing::TestWithParam<pattern_impl> {
protected:
	void SetUp() override
	{
		if (!pattern_impl_usable(GetParam())) {
			GTEST_SKIP() << "this CPU or kernel has no " << pattern_impl_name(GetParam());
		}
	}
};

// A buffer between two pages that cannot be read.
class Guarded {
public:
	Guarded()
	{
		base_ = static_cast<uint8_t *>(
			mmap(nullptr, 3 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		if (base_ == MAP_FAILED || mprotect(base_ + kPage, kPage, PROT_READ | PROT_WRITE) != 0) {
			abort();
		}
	}
	~Guarded() { munmap(base_, 3 * kPage); }
	Guarded(const Guarded &) = delete;
	Guarded &operator=(const Guarded &) = delete;
	uint8_t *begin() { return base_ + kPage; }
	uint8_t *end() { return begin() + kPage; }
	void fill(uint8_t byte) { memset(begin(), byte, kPage); }
	static constexpr size_t kPage = 4096;

private:
	uint8_t *base_;
};

// Longer than the four widest vectors, one more and the reach of the loops.
constexpr size_t kLongEnough = 4 * 64 + 64 + 8;

const uint32_t kClassSets[] = {LYCH_POLICY_PKRU, LYCH_POLICY_HOST, LYCH_POLICY_DOMAIN, LYCH_ALL_CLASSES};

TEST_P(Impl, FindsFirstAndLastBytesAtEveryAlignmentAndLength)
{
	Guarded page;
	for (uint32_t classes : kClassSets) {
		for (size_t align = 0; align < 64; align++) {
			for (size_t len = 3; len < kLongEnough; len++) {
				uint8_t *buf = page.begin() + align;
				std::vector<Hit> expected = {{0, 0, 3, LYCH_WRPKRU}};

				page.fill(0x0f);
				memset(buf, 0x90, len);
				// Completed only outside the buffer: no hit.
				memcpy(buf + len - 2, "\x0f\x01\xef", 3);
				memcpy(buf, "\x0f\x01\xef", 3);
				ASSERT_EQ(scan(GetParam(), buf, len, classes), expected) << align << " " << len;
				if (len >= 6) {
					memcpy(buf + len - 3, "\x0f\xae\x28", 3);
					expected.push_back({len - 3, len - 3, 3, LYCH_XRSTOR});
				}
				ASSERT_EQ(scan(GetParam(), buf, len, classes), expected) << align << " " << len;
			}
		}
	}
}

TEST_P(Impl, ReadsNothingBeforeTheBufferAndNothingBehindIt)
{
	Guarded page;
	for (uint32_t classes : kClassSets) {
		for (size_t len = 0; len < kLongEnough; len++) {
			for (uint8_t byte : {0x90, 0x01, 0x0f, 0xae, 0xd0, 0xd5, 0xef, 0xf3, 0xcd}) {
				page.fill(byte);
				EXPECT_TRUE(scan(GetParam(), page.begin(), len, classes).empty()) << len;
				EXPECT_TRUE(scan(GetParam(), page.end() - len, len, classes).empty()) << len;
			}
		}
	}
}

TEST_P(Impl, LooksForF3OnlyInsideTheBuffer)
{
	const Bytes bytes = bytes_of("f3 48 0f ae d8");
	EXPECT_EQ(scan(GetParam(), bytes.data(), 5, LYCH_POLICY_HOST),
		  (std::vector<Hit>{{0, 2, 5, LYCH_WRGSBASE}}));
	EXPECT_TRUE(scan(GetParam(), bytes.data() + 1, 4, LYCH_POLICY_HOST).empty());
}

TEST_P(Impl, FindsASequenceAcrossEveryPositionOfEveryForm)
{
	// A form of every class at every offset of a buffer that holds nothing else.
	for (const Form &form : all_forms()) {
		Bytes sequence;
		for (const Set &set : form.bytes) {
			sequence.push_back(uint8_t(set._Find_first()));
		}
		for (size_t at = 0; at + sequence.size() <= kLongEnough; at++) {
			Bytes buf(kLongEnough, 0x90);
			std::copy(sequence.begin(), sequence.end(), buf.begin() + static_cast<std::ptrdiff_t>(at));
			std::vector<Hit> hits = scan(GetParam(), buf, LYCH_CLASS_BIT(form.cls));
			ASSERT_EQ(hits.size(), 1u) << hex(sequence) << at;
			EXPECT_EQ(hits[0].core, at + form.core);
			EXPECT_EQ(hits, scan(PATTERN_PLAIN, buf, LYCH_CLASS_BIT(form.cls)));
		}
	}
}

Bytes random_bytes(std::mt19937_64 &random, const Bytes &alphabet, size_t len)
{
	Bytes out(len);
	for (uint8_t &b : out) {
		b = alphabet[random() % alphabet.size()];
	}
	return out;
}

// Alphabets: the fewer bytes, the denser the sequences and the halves of sequences.
std::vector<Bytes> alphabets()
{
	std::vector<Bytes> out = {
		bytes_of("0f 01 ef ae d5 80 ff 28 d0 d8 d7 f3 48 66 05 34 cd 90 c0 68 a8 6f"),
		bytes_of("0f 01 ef"),
		bytes_of("0f ae 28 01 ef d5 80"),
		bytes_of("f3 0f ae d0 d8 48 66 d5 80"),
		bytes_of("f3 d5 ae d5 80 d0"),
		bytes_of("d5 80 ff 01 ef d7 05 34"),
		bytes_of("0f 05 34 cd 80 d5"),
		bytes_of("01 ef"),
		bytes_of("0f ae"),
	};
	Bytes every(256);
	for (unsigned b = 0; b < 256; b++) {
		every[b] = uint8_t(b);
	}
	out.push_back(every);
	return out;
}

TEST_P(Impl, AgreesWithThePlainOneOnRandomBytes)
{
	std::mt19937_64 random(20240501);
	size_t found = 0;

	for (const Bytes &alphabet : alphabets()) {
		for (int round = 0; round < 400; round++) {
			const size_t room = random() % 64;
			Bytes bytes = random_bytes(random, alphabet, room + random() % 1200);
			// Every set of classes counts: the policies, single ones, any mix.
			uint32_t sets[] = {LYCH_POLICY_PKRU, LYCH_POLICY_HOST, LYCH_POLICY_DOMAIN, LYCH_ALL_CLASSES,
					   LYCH_CLASS_BIT(round % LYCH_CLASS_COUNT), uint32_t(random()) & LYCH_ALL_CLASSES};
			for (uint32_t classes : sets) {
				const uint8_t *buf = bytes.data() + room;
				size_t len = bytes.size() - room;
				std::vector<Hit> hits = scan(GetParam(), buf, len, classes);
				ASSERT_EQ(hits, scan(PATTERN_PLAIN, buf, len, classes)) << classes << ": " << hex(bytes);
				found += hits.size();
			}
		}
	}
	EXPECT_GT(found, 100000u) << "the alphabets make too few sequences for the test to mean anything";
}

TEST_P(Impl, GivesEachCoreOnceAndInAscendingOrder)
{
	std::mt19937_64 random(7);
	for (const Bytes &alphabet : alphabets()) {
		Bytes bytes = random_bytes(random, alphabet, 100000);
		std::vector<Hit> hits = scan(GetParam(), bytes, LYCH_ALL_CLASSES);
		for (size_t i = 1; i < hits.size(); i++) {
			ASSERT_LT(hits[i - 1].core, hits[i].core);
		}
	}
}

TEST_P(Impl, StaysLinearOnInputMadeToBeSlow)
{
	// 8 MiB each. A look-behind without a limit would take hours on the prefixes.
	const struct {
		const char *unit;
		uint32_t classes;
		double per_unit;
	} rows[] = {
		{"01 ef", LYCH_ALL_CLASSES, 0},
		{"0f ae", LYCH_ALL_CLASSES, 0},
		{"0f 01 ef", LYCH_POLICY_PKRU, 1},
		{"f3", LYCH_ALL_CLASSES, 0},
		{"48 66 f3 0f ae d8", LYCH_ALL_CLASSES, 1},
		{"48 48 48 48 48 48 48 48 48 48 48 48 0f ae d8", LYCH_ALL_CLASSES, 0},
		{"d5 80 ae", LYCH_ALL_CLASSES, 0},
		{"cd 80", LYCH_ALL_CLASSES, 1},
	};
	for (const auto &row : rows) {
		const Bytes unit = bytes_of(row.unit);
		Bytes bytes;
		size_t units = (8u << 20) / unit.size();
		size_t count = 0;

		bytes.reserve(units * unit.size());
		for (size_t i = 0; i < units; i++) {
			bytes.insert(bytes.end(), unit.begin(), unit.end());
		}
		auto count_hit = [](void *ctx, size_t, size_t, size_t, lych_class) {
			++*static_cast<size_t *>(ctx);
			return 0;
		};
		EXPECT_EQ(pattern_scan_with(GetParam(), bytes.data(), bytes.size(), row.classes, count_hit, &count), 0);
		EXPECT_EQ(count, size_t(double(units) * row.per_unit)) << row.unit;
	}
}

struct StopAt {
	size_t calls, at;
};

TEST_P(Impl, StopsWhenTheCallbackSaysSoAndReturnsItsValue)
{
	Bytes bytes;
	for (int i = 0; i < 500; i++) {
		bytes.insert(bytes.end(), {0x90, 0x0f, 0x01, 0xef});
	}
	for (size_t at = 1; at <= 500; at++) {
		StopAt state = {0, at};
		auto stop = [](void *ctx, size_t, size_t, size_t, lych_class) {
			StopAt *s = static_cast<StopAt *>(ctx);
			return ++s->calls == s->at ? -ECANCELED : 0;
		};
		ASSERT_EQ(pattern_scan_with(GetParam(), bytes.data(), bytes.size(), LYCH_POLICY_PKRU, stop, &state),
			  -ECANCELED);
		ASSERT_EQ(state.calls, at);
	}
}

TEST_P(Impl, FindsNothingInNothingAndForNoClass)
{
	const Bytes bytes = bytes_of("0f 01 ef cd 80 0f 05");
	EXPECT_TRUE(scan(GetParam(), nullptr, 0, LYCH_ALL_CLASSES).empty());
	EXPECT_TRUE(scan(GetParam(), bytes, 0).empty());
	EXPECT_TRUE(scan(GetParam(), bytes, ~LYCH_ALL_CLASSES).empty()) << "bits that are no class";
}

// ORs the upper halves of ymm0 to ymm15 together.
__attribute__((noinline)) bool upper_halves_are_zero()
{
	alignas(16) uint8_t halves[16][16];
#define STORE(n) asm volatile("vextractf128 $1, %%ymm" #n ", %0" : "=m"(halves[n]));
	STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7)
	STORE(8) STORE(9) STORE(10) STORE(11) STORE(12) STORE(13) STORE(14) STORE(15)
#undef STORE
	return std::all_of(&halves[0][0], &halves[0][0] + sizeof(halves), [](uint8_t b) { return b == 0; });
}

TEST_P(Impl, LeavesNoVectorStateBehindThatWouldSlowDownTheCaller)
{
	if (!__builtin_cpu_supports("avx")) {
		GTEST_SKIP() << "this CPU or kernel has no AVX registers";
	}
	Bytes bytes(4096, 0x90);
	memcpy(&bytes[100], "\x0f\x01\xef", 3);
	bool clean_in_callback = false;
	auto look = [](void *ctx, size_t, size_t, size_t, lych_class) {
		*static_cast<bool *>(ctx) = upper_halves_are_zero();
		return 0;
	};
	for (uint32_t classes : kClassSets) {
		asm volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\tvinsertf128 $1, %%xmm0, %%ymm0, %%ymm0" ::: "xmm0");
		EXPECT_FALSE(upper_halves_are_zero()) << "the test must see what it looks for";
		asm volatile("vzeroupper");
		EXPECT_EQ(pattern_scan_with(GetParam(), bytes.data(), bytes.size(), classes, look, &clean_in_callback), 0);
		EXPECT_TRUE(upper_halves_are_zero()) << classes;
		EXPECT_TRUE(clean_in_callback) << classes;
	}
}

INSTANTIATE_TEST_SUITE_P(Each, Impl, testing::Values(PATTERN_PLAIN, PATTERN_SSE2, PATTERN_AVX2, PATTERN_AVX512),
			 [](const auto &row) { return std::string(pattern_impl_name(row.param)); });

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

TEST(Pattern, ChoosesAnImplementationThatThisCpuHas)
{
	const Bytes bytes = bytes_of("90 0f 01 ef");
	std::vector<Hit> hits;

	EXPECT_TRUE(pattern_impl_usable(pattern_impl_best()));
	EXPECT_NE(pattern_impl_best(), PATTERN_PLAIN) << "every x86-64 CPU has SSE2";
	EXPECT_EQ(pattern_scan(bytes.data(), bytes.size(), LYCH_POLICY_PKRU, keep, &hits), 0);
	EXPECT_EQ(hits, (std::vector<Hit>{{1, 1, 3, LYCH_WRPKRU}}));
}

TEST(Pattern, RefusesAnImplementationThatDoesNotExist)
{
	for (int impl : {int(PATTERN_IMPL_COUNT), 7}) { // 7: the last value that the enum can hold
		const auto bad = static_cast<pattern_impl>(impl);
		EXPECT_FALSE(pattern_impl_usable(bad));
		EXPECT_EQ(pattern_impl_name(bad), nullptr);
		EXPECT_EQ(pattern_scan_with(bad, nullptr, 0, LYCH_POLICY_PKRU, keep, nullptr), -ENOTSUP);
	}
}

} // namespace
