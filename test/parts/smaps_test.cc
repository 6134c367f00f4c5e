/* SPDX-License-Identifier: Apache-2.0 */
// What is read from the kernel's text, and what is found to differ. Also with text nobody should write.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <random>
#include <string>
#include <vector>

#include "smaps.h"

namespace
{

const char kFields[] = "Size:                  4 kB\n"
		       "KernelPageSize:        4 kB\n"
		       "Rss:                   0 kB\n"
		       "THPeligible:           0\n";

std::string Mapping(const char *first, int key)
{
	std::string text = std::string(first) + "\n" + kFields;

	if (key >= 0) {
		text += "ProtectionKey:         " + std::to_string(key) + "\n";
	}
	return text + "VmFlags: rd wr mr mw me ac sd \n";
}

struct Parsed {
	int rc;
	std::vector<smaps_mapping> mappings;
};

Parsed Parse(const std::string &text, size_t piece = 4096)
{
	Parsed result = {0, {}};
	smaps_parser parser;

	smaps_begin(
		&parser,
		[](const smaps_mapping *m, void *ctx) { static_cast<Parsed *>(ctx)->mappings.push_back(*m); },
		&result);
	for (size_t at = 0; at < text.size() && result.rc == 0; at += piece) {
		result.rc = smaps_feed(&parser, text.data() + at, std::min(piece, text.size() - at));
	}
	if (result.rc == 0) {
		result.rc = smaps_end(&parser);
	}
	return result;
}

TEST(Smaps, SpecialMappingsAreKnownByTheirFlags)
{
	const std::string line = "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n";
	const struct {
		const char *flags;
		bool special;
	} rows[] = {
		{"VmFlags: rd wr mr mw me ac sd \n", false}, {"VmFlags: rd wr mr mw me gd ac \n", true},
		{"VmFlags: gd\n", true},                     {"VmFlags: rd ht \n", true},
		{"VmFlags: rd io pf de dd \n", true},        {"VmFlags: rd pf\n", true},
		{"VmFlags: rd gdx xht \n", false},           {"Name: gd \n", false},
		{"VmFlags:\n", false},
	};

	for (const auto &row : rows) {
		Parsed got = Parse(line + row.flags);
		ASSERT_EQ(got.rc, 0) << row.flags;
		ASSERT_EQ(got.mappings.size(), 1u);
		EXPECT_EQ(got.mappings[0].special, row.special) << row.flags;
	}
	Parsed two = Parse(line + "VmFlags: gd \n7f0000001000-7f0000002000 rw-p 00000000 00:00 0 \n");
	ASSERT_EQ(two.mappings.size(), 2u);
	EXPECT_TRUE(two.mappings[0].special);
	EXPECT_FALSE(two.mappings[1].special);
}

TEST(Smaps, EveryPieceLengthGivesTheSame)
{
	std::string text = Mapping("7f0000000000-7f0000001000 rw-p 00000000 00:00 0 ", 5) +
			   Mapping("7f0000001000-7f0000003000 r-xs 00001000 08:01 1234      /usr/lib/x.so", 0) +
			   Mapping("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]", -1);

	for (size_t piece = 1; piece < 80; piece++) {
		Parsed got = Parse(text, piece);
		ASSERT_EQ(got.rc, 0);
		ASSERT_EQ(got.mappings.size(), 3u);
		EXPECT_EQ(got.mappings[0].at, 0x7f0000000000u);
		EXPECT_EQ(got.mappings[0].end, 0x7f0000001000u);
		EXPECT_EQ(got.mappings[0].prot, PROT_READ | PROT_WRITE);
		EXPECT_EQ(got.mappings[0].key, 5);
		EXPECT_FALSE(got.mappings[0].shared);
		EXPECT_FALSE(got.mappings[0].file);
		EXPECT_EQ(got.mappings[1].prot, PROT_READ | PROT_EXEC);
		EXPECT_EQ(got.mappings[1].key, 0);
		EXPECT_TRUE(got.mappings[1].shared);
		EXPECT_TRUE(got.mappings[1].file);
		EXPECT_EQ(got.mappings[2].at, 0xffffffffff600000u);
		EXPECT_EQ(got.mappings[2].key, -1);
	}
}

TEST(Smaps, ALongNameIsNotLookedAt)
{
	std::string name(5000, 'x');
	Parsed got = Parse(Mapping(("1000-2000 rw-p 00000000 08:01 77 /" + name).c_str(), 3));

	ASSERT_EQ(got.rc, 0);
	ASSERT_EQ(got.mappings.size(), 1u);
	EXPECT_EQ(got.mappings[0].key, 3);
}

TEST(Smaps, ANameThatLooksLikeAKeyOrAMappingIsAName)
{
	// The kernel writes a line feed in a name as \012.
	Parsed got = Parse(Mapping("1000-2000 rw-p 00000000 08:01 77 /x\\012ProtectionKey: 9\\0123000-4000 rw-p", 3));

	ASSERT_EQ(got.rc, 0);
	ASSERT_EQ(got.mappings.size(), 1u);
	EXPECT_EQ(got.mappings[0].key, 3);
}

struct Bad {
	const char *name;
	std::string text;
};

class BadSmaps : public ::testing::TestWithParam<Bad> {};

TEST_P(BadSmaps, IsRefused)
{
	EXPECT_EQ(Parse(GetParam().text).rc, -EBADMSG);
	EXPECT_EQ(Parse(GetParam().text, 1).rc, -EBADMSG);
}

const char kGood[] = "1000-2000 rw-p 00000000 00:00 0 ";

INSTANTIATE_TEST_SUITE_P(
	Text, BadSmaps,
	::testing::Values(
		Bad{"AFieldBeforeAnyMapping", "ProtectionKey: 1\n"},
		Bad{"TheSameKeyTwice", Mapping(kGood, 3) + "ProtectionKey: 3\n"},
		Bad{"KeySixteen", Mapping(kGood, 16)},
		Bad{"KeyThatOverflows", std::string(kGood) + "\nProtectionKey: 18446744073709551617\n"},
		Bad{"KeyWithTail", std::string(kGood) + "\nProtectionKey: 1x\n"},
		Bad{"KeyEmpty", std::string(kGood) + "\nProtectionKey: \n"},
		Bad{"KeyNegative", std::string(kGood) + "\nProtectionKey: -1\n"},
		Bad{"EndBeforeStart", Mapping("2000-1000 rw-p 00000000 00:00 0 ", 1)},
		Bad{"Empty", Mapping("1000-1000 rw-p 00000000 00:00 0 ", 1)},
		Bad{"OutOfOrder", Mapping("3000-4000 rw-p 00000000 00:00 0 ", 1) + Mapping(kGood, 1)},
		Bad{"Overlapping", Mapping(kGood, 1) + Mapping("1800-3000 rw-p 00000000 00:00 0 ", 1)},
		Bad{"AddressThatOverflows", Mapping("1000-12345678123456789 rw-p 00000000 00:00 0 ", 1)},
		Bad{"NoRights", Mapping("1000-2000 00000000 00:00 0 ", 1)},
		Bad{"UnknownRight", Mapping("1000-2000 rq-p 00000000 00:00 0 ", 1)},
		Bad{"UpperCase", Mapping("1000-200F rw-p 00000000 00:00 0 ", 1)},
		Bad{"NoInode", Mapping("1000-2000 rw-p 00000000 00:00", 1)},
		Bad{"InodeWithTail", Mapping("1000-2000 rw-p 00000000 00:00 0x", 1)},
		Bad{"AnEmptyLine", Mapping(kGood, 1) + "\n"},
		Bad{"ALineOfNothingKnown", Mapping(kGood, 1) + "hello\n"},
		Bad{"ANulByte", Mapping(kGood, 1) + std::string("Size:\0 4\n", 9)},
		Bad{"CutOffInALine", Mapping(kGood, 1) + "Rss: "}),
	[](const auto &row) { return std::string(row.param.name); });

TEST(Smaps, RandomBytesNeverGiveAMappingThatIsEmptyOrOutOfOrder)
{
	std::mt19937 random(1);
	const std::string seed = Mapping(kGood, 3) + Mapping("3000-5000 r--p 00000000 00:00 0 ", 2);

	for (int round = 0; round < 20000; round++) {
		std::string text = seed;
		for (unsigned int i = random() % 6; i > 0; i--) {
			text[random() % text.size()] = static_cast<char>(random());
		}
		uint64_t upto = 0;
		for (const smaps_mapping &m : Parse(text, 1 + random() % 64).mappings) {
			ASSERT_LT(m.at, m.end);
			ASSERT_GE(m.at, upto);
			ASSERT_LE(m.key, 15);
			upto = m.end;
		}
	}
}

// ---- comparing ----

smaps_mapping Is(uint64_t at, uint64_t end, int key, int prot = PROT_READ | PROT_WRITE)
{
	return {at, end, prot, key, false, false, false};
}

key_range Want(uint64_t at, uint64_t end, int key, int prot = PROT_READ | PROT_WRITE)
{
	return {at, end, key, prot};
}

std::vector<std::string> Compare(const std::vector<key_range> &ranges, const std::vector<smaps_mapping> &mappings,
				 bool keys = true, uint32_t ours = 0x3e)
{
	std::vector<std::string> lines;
	smaps_check check = {};

	check.ranges = ranges.data();
	check.count = ranges.size();
	check.has_keys = keys;
	check.our_keys = ours;
	check.ctx = &lines;
	check.found = [](const difference *d, void *ctx) {
		char text[DIFFERENCE_TEXT];
		static_cast<std::vector<std::string> *>(ctx)->push_back(
			difference_text(d, "host", "monitor", text));
	};
	for (const smaps_mapping &m : mappings) {
		smaps_check_mapping(&m, &check);
	}
	smaps_check_end(&check);
	return lines;
}

using Lines = std::vector<std::string>;

TEST(LedgerCheck, NothingIsWrongWhereBothAgreeHoweverTheyAreCut)
{
	EXPECT_EQ(Compare({Want(0x1000, 0x3000, 1), Want(0x3000, 0x4000, 2)},
			  {Is(0x1000, 0x2000, 1), Is(0x2000, 0x3000, 1), Is(0x3000, 0x4000, 2)}),
		  Lines{});
	// two ranges the kernel has in one mapping, and host memory around
	EXPECT_EQ(Compare({Want(0x2000, 0x3000, 1), Want(0x5000, 0x6000, 1)},
			  {Is(0x1000, 0x2000, 0), Is(0x2000, 0x3000, 1), Is(0x3000, 0x5000, 0), Is(0x5000, 0x6000, 1)}),
		  Lines{});
}

TEST(LedgerCheck, NamesWhatIsNotMapped)
{
	EXPECT_EQ(Compare({Want(0x1000, 0x5000, 1)}, {Is(0x2000, 0x3000, 1)}),
		  (Lines{"0x1000-0x2000 of monitor: not mapped", "0x3000-0x5000 of monitor: not mapped"}));
	EXPECT_EQ(Compare({Want(0x1000, 0x2000, 1), Want(0x3000, 0x4000, 2)}, {}),
		  (Lines{"0x1000-0x2000 of monitor: not mapped", "0x3000-0x4000 of monitor: not mapped"}));
}

TEST(LedgerCheck, NamesAnotherKeyAndOtherRights)
{
	EXPECT_EQ(Compare({Want(0x1000, 0x4000, 1)}, {Is(0x1000, 0x2000, 1), Is(0x2000, 0x3000, 0),
						       Is(0x3000, 0x4000, 1, PROT_READ)}),
		  (Lines{"0x2000-0x3000 of monitor: key 0 (host) instead of 1",
			 "0x3000-0x4000 of monitor: r-- instead of rw-"}));
}

TEST(LedgerCheck, OfARangeWithAnyRightsOnlyTheKeyCounts)
{
	smaps_mapping file = Is(0x3000, 0x4000, 1, PROT_READ), shared = Is(0x5000, 0x6000, 1);
	file.file = true;
	shared.shared = true;

	EXPECT_EQ(Compare({Want(0x1000, 0x5000, 1, RANGE_ANY)},
			  {Is(0x1000, 0x2000, 1, PROT_NONE), Is(0x2000, 0x3000, 1), file, Is(0x4000, 0x5000, 1, PROT_READ)}),
		  Lines{});
	EXPECT_EQ(Compare({Want(0x1000, 0x7000, 1, RANGE_ANY)},
			  {Is(0x1000, 0x2000, 1), Is(0x2000, 0x3000, 0, PROT_NONE), Is(0x3000, 0x4000, 1), shared,
			   Is(0x6000, 0x8000, 1)}),
		  (Lines{"0x2000-0x3000 of monitor: key 0 (host) instead of 1", "0x4000-0x5000 of monitor: not mapped",
			 "0x5000-0x6000 of monitor: a shared mapping", "0x7000-0x8000 not of the runtime: key 1 (host)"}));
}

TEST(LedgerCheck, NamesOnlyThePartOfAMappingThatIsInTheList)
{
	EXPECT_EQ(Compare({Want(0x2000, 0x3000, 1)}, {Is(0x1000, 0x9000, 0)}),
		  (Lines{"0x2000-0x3000 of monitor: key 0 (host) instead of 1"}));
}

TEST(LedgerCheck, NamesMemoryWithAKeyOfOursThatIsNotInTheList)
{
	EXPECT_EQ(Compare({Want(0x2000, 0x3000, 1)}, {Is(0x1000, 0x4000, 1)}),
		  (Lines{"0x1000-0x2000 not of the runtime: key 1 (host)",
			 "0x3000-0x4000 not of the runtime: key 1 (host)"}));
	EXPECT_EQ(Compare({}, {Is(0x1000, 0x4000, 9)}), Lines{}); // control: somebody else's
}

TEST(LedgerCheck, NamesSharedMemoryAndFiles)
{
	smaps_mapping shared = Is(0x1000, 0x2000, 1), file = Is(0x2000, 0x3000, 1);

	shared.shared = true;
	shared.file = true;
	file.file = true;
	EXPECT_EQ(Compare({Want(0x1000, 0x3000, 1)}, {shared, file}),
		  (Lines{"0x1000-0x2000 of monitor: a shared mapping", "0x2000-0x3000 of monitor: a file's pages"}));
}

TEST(LedgerCheck, WithoutKeysOnlyTheRestIsCompared)
{
	EXPECT_EQ(Compare({Want(0x1000, 0x2000, 1)}, {Is(0x1000, 0x2000, -1), Is(0x3000, 0x4000, -1)}, false), Lines{});
	EXPECT_EQ(Compare({Want(0x1000, 0x2000, 1)}, {Is(0x1000, 0x2000, -1)}, true),
		  (Lines{"0x1000-0x2000 of monitor: key -1 (host) instead of 1"})); // control
}

// Random lists and mappings against a page at a time.
TEST(LedgerCheck, FindsAsMuchAsLookingAtEveryPage)
{
	for (unsigned int seed = 0; seed < 2000; seed++) {
		std::mt19937 random(seed);
		std::vector<key_range> ranges;
		std::vector<smaps_mapping> mappings;
		int want[24] = {}, is[24] = {};
		auto cut = [&random](int *pages, auto add) {
			for (unsigned int at = 0; at < 24;) {
				unsigned int end = std::min(24u, at + 1 + static_cast<unsigned int>(random() % 4));
				int key = static_cast<int>(random() % 4);
				std::fill(pages + at, pages + end, key);
				if (key != 0) {
					add(at * 0x1000u, end * 0x1000u, key);
				}
				at = end;
			}
		};
		cut(want, [&](uint64_t at, uint64_t end, int key) { ranges.push_back(Want(at, end, key)); });
		cut(is, [&](uint64_t at, uint64_t end, int key) { mappings.push_back(Is(at, end, key)); });
		uint64_t pages = 0, expected = 0;
		for (int i = 0; i < 24; i++) {
			expected += want[i] != is[i] ? 1 : 0;
		}
		smaps_check check = {};
		check.ranges = ranges.data();
		check.count = ranges.size();
		check.has_keys = true;
		check.our_keys = 0xe;
		check.ctx = &pages;
		check.found = [](const difference *d, void *ctx) {
			*static_cast<uint64_t *>(ctx) += (d->end - d->at) / 0x1000;
		};
		for (const smaps_mapping &m : mappings) {
			smaps_check_mapping(&m, &check);
		}
		smaps_check_end(&check);
		ASSERT_EQ(pages, expected) << "seed " << seed;
	}
}

} // namespace
