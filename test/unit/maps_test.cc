// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <string>

extern "C" {
#include "maps.h"
}

namespace
{

bool parse(mapping *m, std::string *line)
{
	line->push_back('\0');
	return mapping_parse(m, line->data());
}

struct GoodLine {
	const char *name;
	const char *line;
	uint64_t start, end, off, inode;
	const char *perms;
	unsigned major, minor;
	const char *path;
	bool deleted;
};

class MapsLine : public testing::TestWithParam<GoodLine>
{
};

TEST_P(MapsLine, IsUnderstood)
{
	const GoodLine &row = GetParam();
	std::string line = row.line;
	mapping m;

	ASSERT_TRUE(parse(&m, &line));
	EXPECT_EQ(m.start, row.start);
	EXPECT_EQ(m.end, row.end);
	EXPECT_EQ(m.off, row.off);
	EXPECT_EQ(m.inode, row.inode);
	EXPECT_EQ(m.dev, makedev(row.major, row.minor));
	EXPECT_EQ(m.readable, row.perms[0] == 'r');
	EXPECT_EQ(m.writable, row.perms[1] == 'w');
	EXPECT_EQ(m.executable, row.perms[2] == 'x');
	EXPECT_EQ(m.shared, row.perms[3] == 's');
	EXPECT_STREQ(m.path, row.path);
	EXPECT_EQ(m.deleted, row.deleted);
}

const GoodLine good_lines[] = {
	{"File", "7f1200001000-7f1200003000 r-xp 00001000 fd:01 1234567                    /usr/lib/libx.so.1",
	 0x7f1200001000, 0x7f1200003000, 0x1000, 1234567, "r-xp", 0xfd, 1, "/usr/lib/libx.so.1", false},
	{"Anonymous", "00400000-00401000 rwxp 00000000 00:00 0 ", 0x400000, 0x401000, 0, 0, "rwxp", 0, 0, "", false},
	{"AnonymousWithoutFinalSpace", "00400000-00401000 rwxp 00000000 00:00 0", 0x400000, 0x401000, 0, 0, "rwxp", 0,
	 0, "", false},
	{"Shared", "1000-2000 r--s 00000000 00:05 7 /dev/zero", 0x1000, 0x2000, 0, 7, "r--s", 0, 5, "/dev/zero",
	 false},
	{"Nothing", "1000-2000 ---p 00000000 00:00 0 ", 0x1000, 0x2000, 0, 0, "---p", 0, 0, "", false},
	{"Vsyscall", "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
	 0xffffffffff600000, 0xffffffffff601000, 0, 0, "--xp", 0, 0, "[vsyscall]", false},
	{"LastByteOfTheAddressSpace", "fffffffffffff000-ffffffffffffffff r-xp 0 0:0 0", 0xfffffffffffff000,
	 UINT64_MAX, 0, 0, "r-xp", 0, 0, "", false},
	{"Deleted", "1000-2000 r-xp 00000000 08:01 42 /tmp/gone (deleted)", 0x1000, 0x2000, 0, 42, "r-xp", 8, 1,
	 "/tmp/gone", true},
	{"OnceDeletedOnceNamedSo", "1000-2000 r-xp 00000000 08:01 42 /a (deleted) (deleted)", 0x1000, 0x2000, 0, 42,
	 "r-xp", 8, 1, "/a (deleted)", true},
	{"NothingButDeleted", "1000-2000 r-xp 00000000 08:01 42  (deleted)", 0x1000, 0x2000, 0, 42, "r-xp", 8, 1,
	 "(deleted)", false},
	{"SpacesInTheName", "1000-2000 r-xp 00000000 08:01 42 /a b  c ", 0x1000, 0x2000, 0, 42, "r-xp", 8, 1,
	 "/a b  c ", false},
	{"NewlineInTheName", "1000-2000 r-xp 00000000 08:01 42 /a\\012b\\012", 0x1000, 0x2000, 0, 42, "r-xp", 8, 1,
	 "/a\nb\n", false},
	{"OtherEscapesAreNone", "1000-2000 r-xp 00000000 08:01 42 /a\\040b\\01\\", 0x1000, 0x2000, 0, 42, "r-xp", 8,
	 1, "/a\\040b\\01\\", false},
	{"Heap", "1000-2000 rw-p 00000000 00:00 0          [heap]", 0x1000, 0x2000, 0, 0, "rw-p", 0, 0, "[heap]",
	 false},
	{"NamedAnonymous", "1000-2000 rw-p 00000000 00:00 0  [anon:a b]", 0x1000, 0x2000, 0, 0, "rw-p", 0, 0,
	 "[anon:a b]", false},
	{"DoubleSlash", "1000-2000 r-xp 00000000 00:01 9 //anon (deleted)", 0x1000, 0x2000, 0, 9, "r-xp", 0, 1,
	 "//anon", true},
	{"Memfd", "1000-2000 r-xp 00000000 00:01 9 /memfd:jit (deleted)", 0x1000, 0x2000, 0, 9, "r-xp", 0, 1,
	 "/memfd:jit", true},
	{"LargeNumbers", "1000-2000 r-xp fffffffffffff000 fff:fffff 18446744073709551615 /x", 0x1000, 0x2000,
	 0xfffffffffffff000, UINT64_MAX, "r-xp", 0xfff, 0xfffff, "/x", false},
};

INSTANTIATE_TEST_SUITE_P(Table, MapsLine, testing::ValuesIn(good_lines),
			 [](const auto &row) { return std::string(row.param.name); });

struct BadLine {
	const char *name;
	const char *line;
};

class MapsNonsense : public testing::TestWithParam<BadLine>
{
};

TEST_P(MapsNonsense, IsRefused)
{
	std::string line = GetParam().line;
	mapping m;

	EXPECT_FALSE(parse(&m, &line));
}

const BadLine bad_lines[] = {
	{"Empty", ""},
	{"Spaces", "      "},
	{"NoAddress", "-2000 r-xp 0 0:0 0"},
	{"NoEnd", "1000- r-xp 0 0:0 0"},
	{"OneAddress", "1000 r-xp 0 0:0 0"},
	{"EndBeforeStart", "2000-1000 r-xp 0 0:0 0"},
	{"EmptyRange", "1000-1000 r-xp 0 0:0 0"},
	{"AddressOverflows", "10000000000000000-20000000000000000 r-xp 0 0:0 0"},
	{"OffsetOverflows", "1000-2000 r-xp 10000000000000000 0:0 0"},
	{"InodeOverflows", "1000-2000 r-xp 0 0:0 18446744073709551616"},
	{"MajorOverflows", "1000-2000 r-xp 0 100000000:0 0"},
	{"InodeIsDecimal", "1000-2000 r-xp 0 0:0 1a /x"},
	{"CapitalHex", "1000-200A r-xp 0 0:0 0"},
	{"HexPrefix", "0x1000-0x2000 r-xp 0 0:0 0"},
	{"Sign", "+1000-2000 r-xp 0 0:0 0"},
	{"ThreePermissions", "1000-2000 r-x 0 0:0 0"},
	{"FivePermissions", "1000-2000 r-xps 0 0:0 0"},
	{"PermissionsInAnotherOrder", "1000-2000 xr-p 0 0:0 0"},
	{"UnknownPermission", "1000-2000 r-xP 0 0:0 0"},
	{"CutInTheRange", "1000-2000"},
	{"CutInThePermissions", "1000-2000 r-"},
	{"CutInTheDevice", "1000-2000 r-xp 0 0:"},
	{"CutBeforeTheInode", "1000-2000 r-xp 0 0:0 "},
	{"Text", "Name:\tsh"},
};

INSTANTIATE_TEST_SUITE_P(Table, MapsNonsense, testing::ValuesIn(bad_lines),
			 [](const auto &row) { return std::string(row.param.name); });

TEST(Maps, EveryPrefixOfALineIsRefusedOrUnderstoodWithoutHarm)
{
	const std::string whole = "7f1200001000-7f1200003000 r-xp 00001000 fd:01 12 /x (deleted)";

	for (size_t len = 0; len <= whole.size(); len++) {
		std::string line = whole.substr(0, len);
		mapping m;
		bool ok = parse(&m, &line);

		EXPECT_EQ(ok, len >= whole.find(" 12") + 2) << line;
	}
}

TEST(Maps, EveryLineOfThisProcessIsUnderstoodAndAscends)
{
	std::ifstream file("/proc/self/maps");
	std::string line;
	uint64_t last = 0;
	int executable = 0;

	while (std::getline(file, line)) {
		mapping m;
		std::string copy = line;

		ASSERT_TRUE(parse(&m, &copy)) << line;
		EXPECT_GE(m.start, last) << line;
		last = m.end;
		executable += m.executable;
	}
	EXPECT_GE(executable, 3);
}

} // namespace
