// SPDX-License-Identifier: Apache-2.0
// The world inside a library domain: what programs ask of their loader, C library and kernel works
// there, within its policy; and where it does not, it fails as programs know it.
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "world_live.h"

LYCH_SYM(in, world_set_locale, int, (const char *));
LYCH_SYM(in, world_characters, int, (const char *));
LYCH_SYM(in, world_user, int, (unsigned, char *, size_t));
LYCH_SYM(in, world_address, int, (const char *, int, uint32_t *));
LYCH_SYM(in, world_assert, void, (int));
LYCH_SYM(in, world_process, int, (void));
LYCH_SYM(in, world_map_runnable, long, (const char *, size_t));
LYCH_SYM(in, part_triple, int, (int));

namespace
{

TEST_F(World, HasDlopenWhereThePolicyAllowsTheFile)
{
	std::string part = LYCH_PART, policy = "files-ro:" + part.substr(0, part.rfind('/'));
	lych_domain *in = OpenWorld(policy.c_str());
	ASSERT_NE(in, nullptr);

	for (int round = 0; round < 3; round++) {
		EXPECT_EQ(Load(in, "part_triple"), 42) << LastError(in);
	}
	EXPECT_EQ(Load(in, "part_quarter"), -2);
	EXPECT_NE(LastError(in).find("undefined symbol: part_quarter"), std::string::npos)
		<< LastError(in);
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, world_assert, 0), -EFAULT);
	ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	EXPECT_EQ(Load(in, "part_triple"), 42) << LastError(in);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

TEST_F(World, HasNoDlopenOfAFileThatThePolicyDoesNotAllow)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);

	EXPECT_EQ(Load(in, "part_triple"), -1);
	EXPECT_NE(LastError(in).find("cannot open shared object file"), std::string::npos)
		<< LastError(in);
	Works(in);
	// by lych_load, on behalf of the host, it is loaded
	ASSERT_EQ(lych_load(in, LYCH_PART), 0) << lych_why();
	void *at = nullptr;
	EXPECT_EQ(lych_symbol(in, &at, "part_triple", nullptr), 0);
}

// As ld makes them with -z noseparate-code, gold, and whatever is older than 2018: the loader maps all of the file as
// code first.
TEST_F(World, HasLibrariesThatBeginWithTheirCode)
{
	for (const char *path : {LYCH_PART_JOINED, LYCH_PART_APART}) {
		lych_library_opts opts = {};
		uint64_t code = 0;
		int n = 0;

		opts.size = sizeof(opts);
		opts.tell_ctx = &code;
		opts.on_file = [](const char *file, uint64_t bytes, void *ctx) {
			if (strstr(file, "/part_") != nullptr) {
				*static_cast<uint64_t *>(ctx) += bytes;
			}
		};
		lych_domain *in = Open(path, &opts);
		ASSERT_NE(in, nullptr) << path;
		EXPECT_EQ(code, 4096u) << "its segment, not what lies between that and its data";
		ASSERT_EQ(LYCH_CALL(in, &n, part_triple, 14), 0);
		EXPECT_EQ(n, 42);
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
		ASSERT_EQ(LYCH_CALL(in, &n, part_triple, 7), 0);
		EXPECT_EQ(n, 21);
		EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
	}
	// loaded, and unloaded, by code inside
	std::string path = LYCH_PART_JOINED, policy = "files-ro:" + path.substr(0, path.rfind('/'));
	lych_domain *in = OpenWorld(policy.c_str());
	ASSERT_NE(in, nullptr);
	for (const char *part : {LYCH_PART_JOINED, LYCH_PART_APART, LYCH_PART_JOINED}) {
		int n = 0;
		ASSERT_EQ(LYCH_CALL(in, &n, world_load, lych_strdup(in, part),
				    lych_strdup(in, "part_triple"), 14), 0);
		EXPECT_EQ(n, 42) << LastError(in);
	}
}

TEST_F(World, OfAFileThatBeginsWithItsCodeNothingElseCanRun)
{
	std::string path = LYCH_PART_APART, policy = "files-ro:" + path.substr(0, path.rfind('/'));
	lych_domain *in = OpenWorld(policy.c_str());
	ASSERT_NE(in, nullptr);
	long at = 0;

	ASSERT_EQ(LYCH_CALL(in, &at, world_map_runnable, lych_strdup(in, path.c_str()), 3 * 4096), 0);
	ASSERT_GT(at, 0) << at;
	EXPECT_EQ(RightsAt(at), "r-xp");
	EXPECT_EQ(RightsAt(at + 4096), "r--p");
	EXPECT_EQ(RightsAt(at + 2 * 4096), "r--p");
	// all of another one, of which the first segment is none of code
	path = LYCH_PART;
	ASSERT_EQ(LYCH_CALL(in, &at, world_map_runnable, lych_strdup(in, path.c_str()), 3 * 4096), 0);
	ASSERT_GT(at, 0) << at;
	EXPECT_EQ(RightsAt(at), "r-xp");
	EXPECT_EQ(RightsAt(at + 2 * 4096), "r-xp");
}

TEST_F(World, HasNoProcessesAndThatIsToldAsRefused)
{
	lych_domain *in = OpenWorld("report");
	ASSERT_NE(in, nullptr);
	lych_refusal all[64];
	uint64_t count = 0;
	int rc = 0;

	ASSERT_EQ(LYCH_CALL(in, &rc, world_process), 0);
	EXPECT_EQ(rc, -EPERM);
	size_t n = lych_refused(in, all, 64);
	for (size_t i = 0; i < n; i++) {
		count += all[i].nr == SYS_clone ? all[i].count : 0;
	}
	EXPECT_EQ(count, 1u);
	Works(in);
}

TEST_F(World, ConvertsCharactersWithTheFilesOfTheCLibrary)
{
	lych_domain *in = OpenWorld("files-ro:" LYCH_GCONV);
	ASSERT_NE(in, nullptr);
	long said = 0;

	EXPECT_EQ(Convert(in, "ISO-8859-1", "gr\u00fc\u00df", &said), "gr\xfc\xdf") << said;
	EXPECT_EQ(Convert(in, "UTF-16LE", "gr\u00fc\u00df", &said),
		  std::string("g\0r\0\xfc\0\xdf\0", 8))
		<< said;
	EXPECT_EQ(Convert(in, "ISO-8859-1", "\u20ac", &said), "");
	EXPECT_EQ(said, -EILSEQ);
	EXPECT_EQ(Convert(in, "NOBODY-HAS-IT", "a", &said), "");
	EXPECT_EQ(said, -EINVAL);
}

TEST_F(World, ConvertsCharactersWithoutFilesAsFarAsTheCLibraryDoes)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	long said = 0;

	EXPECT_EQ(Convert(in, "UCS-4LE", "\u00fc!", &said), std::string("\xfc\0\0\0!\0\0\0", 8))
		<< said;
	EXPECT_EQ(Convert(in, "ISO-8859-1", "a", &said), "");
	EXPECT_EQ(said, -EINVAL);
	Works(in);
}

TEST_F(World, HasTheLocalesWhoseFilesItMayRead)
{
	lych_domain *in = OpenWorld("files-ro:/usr/lib/locale");
	ASSERT_NE(in, nullptr);
	char *text = lych_strdup(in, "\u00fc\u20ac");
	int rc = 1;

	ASSERT_EQ(LYCH_CALL(in, &rc, world_set_locale, lych_strdup(in, "xx_XX.UTF-8")), 0);
	EXPECT_EQ(rc, -1);
	ASSERT_EQ(LYCH_CALL(in, &rc, world_characters, text), 0);
	EXPECT_NE(rc, 2) << "that of before is in force";
	ASSERT_EQ(LYCH_CALL(in, &rc, world_set_locale, lych_strdup(in, "C.UTF-8")), 0);
	EXPECT_EQ(rc, 0);
	ASSERT_EQ(LYCH_CALL(in, &rc, world_characters, text), 0);
	EXPECT_EQ(rc, 2);
}

TEST_F(World, HasNoLocaleButCWithoutFiles)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	int rc = 1;

	ASSERT_EQ(LYCH_CALL(in, &rc, world_set_locale, lych_strdup(in, "C.UTF-8")), 0);
	EXPECT_EQ(rc, -1);
	for (const char *name : {"C", "POSIX", ""}) {
		ASSERT_EQ(LYCH_CALL(in, &rc, world_set_locale, lych_strdup(in, name)), 0);
		EXPECT_EQ(rc, 0) << '"' << name << '"';
	}
}

TEST_F(World, KnowsUsersWhereItMayReadWhoTheyAre)
{
	lych_domain *in = OpenWorld("files-ro:/etc/passwd:/etc/nsswitch.conf");
	ASSERT_NE(in, nullptr);
	auto *name = static_cast<char *>(lych_calloc(in, 1, 64));
	char copy[64] = "";
	int rc = 1;

	ASSERT_EQ(LYCH_CALL(in, &rc, world_user, 0, name, 64), 0);
	EXPECT_EQ(rc, 0);
	ASSERT_EQ(lych_copy_out(in, copy, name, sizeof(copy)), 0);
	EXPECT_STREQ(copy, "root");

	lych_domain *pure = OpenWorld();
	ASSERT_NE(pure, nullptr);
	in = pure;
	ASSERT_EQ(
		LYCH_CALL(in, &rc, world_user, 0, static_cast<char *>(lych_calloc(in, 1, 64)), 64),
		0);
	EXPECT_EQ(rc, -1);
	Works(in);
}

TEST_F(World, LooksUpAddressesAsItsPolicySays)
{
	for (const char *policy : {"net-client", "pure"}) {
		lych_domain *in = OpenWorld(policy);
		ASSERT_NE(in, nullptr);
		auto *address = static_cast<uint32_t *>(lych_calloc(in, 1, sizeof(uint32_t)));
		uint32_t copy = 0;
		int rc = 1;

		ASSERT_EQ(
			LYCH_CALL(in, &rc, world_address, lych_strdup(in, "192.0.2.7"), 1, address),
			0)
			<< policy;
		EXPECT_EQ(rc, 0) << policy;
		ASSERT_EQ(lych_copy_out(in, &copy, address, sizeof(copy)), 0);
		EXPECT_EQ(copy, 0xc0000207u) << policy;
		ASSERT_EQ(
			LYCH_CALL(in, &rc, world_address, lych_strdup(in, "localhost"), 0, address),
			0)
			<< policy;
		if (strcmp(policy, "pure") == 0) {
			EXPECT_NE(rc, 0);
		} else {
			EXPECT_EQ(rc, 0);
			ASSERT_EQ(lych_copy_out(in, &copy, address, sizeof(copy)), 0);
			EXPECT_EQ(copy, 0x7f000001u);
		}
		Works(in);
	}
}

} // namespace
