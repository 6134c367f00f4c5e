// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

extern "C" {
#include "archive.h"
}

namespace
{

// A member as ar(1) writes it; size: what the header says, -1: the truth.
std::string Member(const std::string &name, const std::string &contents, long size = -1)
{
	char header[100];
	snprintf(header, sizeof(header), "%-16s%-12d%-6d%-6d%-8o%-10ld`\n", name.c_str(), 0, 0, 0,
		 0644, size < 0 ? static_cast<long>(contents.size()) : size);
	return std::string(header, 60) + contents + (contents.size() % 2 ? "\n" : "");
}

struct Archive {
	std::vector<std::string> members; // "name=contents"
	int rc = 0;
	const char *why = nullptr;
	size_t stop_after = SIZE_MAX;
	source src = {};

	explicit Archive(const std::string &text, size_t stop = SIZE_MAX)
	    : stop_after(stop), src(source_from_memory(text.data(), text.size()))
	{
		rc = archive_each(&src, &why, &Archive::take, this);
	}
	static int take(void *ctx, const archive_member *member)
	{
		auto *self = static_cast<Archive *>(ctx);
		std::string contents(member->size, '?');
		EXPECT_EQ(source_read(&self->src, member->off, contents.data(), contents.size()),
			  0);
		self->members.push_back(std::string(member->name) + "=" + contents);
		return self->members.size() >= self->stop_after ? -ECANCELED : 0;
	}
	std::string text() const
	{
		std::string out;
		for (const auto &member : members) {
			out += (out.empty() ? "" : " ") + member;
		}
		return out;
	}
};

const std::string kMagic = "!<arch>\n";

struct Row {
	const char *name;
	std::string file;
	int rc;
	std::string members;
};

class Archives : public testing::TestWithParam<Row>
{
};

TEST_P(Archives, GiveTheirMembers)
{
	Archive a(GetParam().file);
	EXPECT_EQ(a.rc, GetParam().rc);
	EXPECT_EQ(a.text(), GetParam().members);
	EXPECT_EQ(a.why[0] == '\0', a.rc == 0) << a.why;
}

const std::string kNames = "a_rather_long_name.o/\nanother_long_name.o/\nbsd_style\n";

INSTANTIATE_TEST_SUITE_P(
	Archive, Archives,
	testing::Values(
		Row{"Empty", kMagic, 0, ""},
		Row{"GnuShortNames", kMagic + Member("a.o/", "AA") + Member("b.o/", "B"), 0,
		    "a.o=AA b.o=B"},
		Row{"NamesWithoutSlash", kMagic + Member("a.o", "AA"), 0, "a.o=AA"},
		Row{"OddSizesArePadded",
		    kMagic + Member("a/", "A") + Member("b/", "BBB") + Member("c/", "CC"), 0,
		    "a=A b=BBB c=CC"},
		Row{"LastPaddingMayLack", kMagic + Member("a/", "A").substr(0, 61), 0, "a=A"},
		Row{"EmptyMembers", kMagic + Member("a/", "") + Member("b/", ""), 0, "a= b="},
		Row{"GnuLongNames",
		    kMagic + Member("//", kNames) + Member("/0", "A") + Member("/22", "B") +
			    Member("/43", "C"),
		    0, "a_rather_long_name.o=A another_long_name.o=B bsd_style=C"},
		Row{"LongNameBeyondTheTable",
		    kMagic + Member("//", kNames) + Member("/999999", "A"), 0, "=A"},
		Row{"LongNameWithoutTable", kMagic + Member("/0", "A"), 0, "=A"},
		Row{"BsdLongNames",
		    kMagic +
			    Member("#1/20", std::string("a_long_name.o\0\0\0\0\0\0\0", 20) + "AAA"),
		    0, "a_long_name.o=AAA"},
		Row{"BsdNameIsAllThereIs", kMagic + Member("#1/3", "a.o"), 0, "a.o="},
		Row{"BsdNameLongerThanTheMember", kMagic + Member("#1/4", "a.o"), -EBADMSG, ""},
		Row{"SymbolTablesArePassedOver",
		    kMagic + Member("/", "SYMS") + Member("/SYM64/", "SYMS") + Member("a/", "A"), 0,
		    "a=A"},
		Row{"BsdSymbolTablesArePassedOver",
		    kMagic + Member("__.SYMDEF", "SYMS") +
			    Member("#1/20", std::string("__.SYMDEF SORTED\0\0\0\0", 20) + "SYMS") +
			    Member("a", "A"),
		    0, "a=A"},
		Row{"LaterTablesAreMembers",
		    kMagic + Member("a/", "A") + Member("/", "CODE") + Member("//", "CODE"), 0,
		    "a=A /=CODE //=CODE"},
		Row{"ThinArchivesAreRefused", "!<thin>\n" + Member("a/", "A"), -ENOTSUP, ""},
		Row{"OtherFilesAreRefused", std::string("\177ELF....") + Member("a/", "A"),
		    -EBADMSG, ""},
		Row{"EndsWithinTheFirstLine", "!<arch", -ENODATA, ""},
		Row{"EndsWithinAHeader",
		    kMagic + Member("a/", "A") + Member("b/", "B").substr(0, 59), -ENODATA, "a=A"},
		Row{"EndsWithinAMember", kMagic + Member("a/", "A") + Member("b/", "BB", 1000),
		    -ENODATA, "a=A b=BB"},
		Row{"SizeThatWouldWrap", kMagic + Member("b/", "BB", 9999999999), -ENODATA, "b=BB"},
		Row{"SizeTooSmall", kMagic + Member("a/", "AAAA", 2) + Member("b/", "B"), -EBADMSG,
		    "a=AA"},
		Row{"SizeIsNoNumber",
		    kMagic + Member("a/", "A") + Member("b/", "B").replace(48, 10, "-2        "),
		    -EBADMSG, "a=A"},
		Row{"SizeIsMissing", kMagic + Member("b/", "B").replace(48, 10, "          "),
		    -EBADMSG, ""},
		Row{"HeaderWithoutItsEnd", kMagic + Member("b/", "B").replace(58, 2, "xx"),
		    -EBADMSG, ""},
		Row{"NamesAreCleaned", kMagic + Member("a\033[2J\xff/", "A"), 0, "a?[2J?=A"}),
	[](const testing::TestParamInfo<Row> &row) { return row.param.name; });

TEST(Archive, IsKnownByItsFirstLine)
{
	auto is = [](const char *s, size_t n) {
		return archive_identify(reinterpret_cast<const uint8_t *>(s), n);
	};
	EXPECT_TRUE(is("!<arch>\n", 8));
	EXPECT_TRUE(is("!<thin>\n", 8));
	EXPECT_FALSE(is("!<arch>\n", 7));
	EXPECT_FALSE(is("!<arch> ", 8));
	EXPECT_FALSE(is(nullptr, 0));
}

TEST(Archive, TheCallerCanStop)
{
	Archive a(kMagic + Member("a/", "A") + Member("b/", "B"), 1);
	EXPECT_EQ(a.rc, -ECANCELED);
	EXPECT_EQ(a.members.size(), 1u);
}

TEST(Archive, AMillionTinyMembersStayLinear)
{
	std::string text = kMagic + Member("//", kNames);
	for (int i = 0; i < 1000000; i++) {
		text += Member("/22", "");
	}
	source src = source_from_memory(text.data(), text.size());
	const char *why;
	size_t count = 0;
	ASSERT_EQ(archive_each(
			  &src, &why,
			  [](void *ctx, const archive_member *member) {
				  ++*static_cast<size_t *>(ctx);
				  return std::string(member->name) == "another_long_name.o"
						 ? 0
						 : -EINVAL;
			  },
			  &count),
		  0);
	EXPECT_EQ(count, 1000000u);
}

TEST(Archive, MutationsNeverLoopOrLeaveTheFile)
{
	const unsigned seed = 4242;
	std::mt19937 random(seed);
	RecordProperty("seed", static_cast<int>(seed));
	const std::string good = kMagic + Member("/", "SYMS") + Member("//", kNames) +
				 Member("/0", "ABC") + Member("#1/8", "bsdname.ABC") +
				 Member("c/", "C");
	for (int round = 0; round < 20000; round++) {
		std::string bad = good;
		for (int i = 0, n = 1 + random() % 4; i < n; i++) {
			bad[random() % bad.size()] = "0123456789/#`\n !\0"[random() % 17];
		}
		bad.resize(bad.size() - (random() % 3 ? 0 : random() % bad.size()));
		Archive a(bad);
		ASSERT_LE(a.members.size(), 6u) << "round " << round << " seed " << seed;
	}
}

} // namespace
