// SPDX-License-Identifier: Apache-2.0
// Directories that ld.so.cache names: of a file made here, of the system's own, and of files in which bytes are wrong.
#include <gtest/gtest.h>
#include <string.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cache_dirs.h"
#include "seed.h"

namespace {

using Bytes = std::vector<uint8_t>;

void Put(Bytes &to, size_t at, uint32_t value)
{
	memcpy(&to[at], &value, sizeof(value));
}

Bytes Cache(const std::vector<std::string> &paths, size_t before = 0, uint32_t flags = 0x303)
{
	Bytes out(before + 48 + paths.size() * 24);
	memcpy(&out[before], "glibc-ld.so.cache1.1", 20);
	Put(out, before + 20, static_cast<uint32_t>(paths.size()));
	for (size_t i = 0; i < paths.size(); i++) {
		Put(out, before + 48 + i * 24, flags);
		Put(out, before + 48 + i * 24 + 8, static_cast<uint32_t>(out.size() - before));
		out.insert(out.end(), paths[i].begin(), paths[i].end());
		out.push_back(0);
	}
	return out;
}

std::vector<std::string> Dirs(const Bytes &cache)
{
	// No byte behind it that could be read unnoticed.
	std::unique_ptr<uint8_t[]> exact(new uint8_t[cache.size()]);
	std::vector<std::string> out;
	char dir[CACHE_DIR_BYTES] = "";

	std::copy(cache.begin(), cache.end(), exact.get());
	for (uint32_t at = 0; cache_dir_next(exact.get(), cache.size(), &at, dir);) {
		out.push_back(dir);
	}
	return out;
}

TEST(CacheDirs, AreThoseOfThePathsInTheirOrder)
{
	EXPECT_EQ(Dirs(Cache({"/lib/liba.so.1", "/opt/x/lib/libb.so", "/opt/x/lib/libc.so", "/lib/libd.so"})),
		  (std::vector<std::string>{"/lib", "/opt/x/lib", "/lib"}));
	EXPECT_EQ(Dirs(Cache({})), std::vector<std::string>());
}

TEST(CacheDirs, OfTheFormatBeforeItArePassedOver)
{
	Bytes cache = Cache({"/opt/y/libb.so"}, 32);
	memcpy(&cache[0], "ld.so-1.7.0", 11);
	Put(cache, 12, 1);
	EXPECT_EQ(Dirs(cache), std::vector<std::string>{"/opt/y"});
}

TEST(CacheDirs, OfOtherMachinesRelativeOnesAndThoseThatAreTooLongAreNone)
{
	EXPECT_EQ(Dirs(Cache({"/opt/z/libb.so"}, 0, 0x803)), std::vector<std::string>());
	EXPECT_EQ(Dirs(Cache({"libb.so", "/libc.so", "", "/" + std::string(CACHE_DIR_BYTES, 'a') + "/libd.so", "/e/libe.so"})),
		  std::vector<std::string>{"/e"});
	EXPECT_EQ(Dirs(Cache({"/" + std::string(CACHE_DIR_BYTES - 2, 'a') + "/libd.so"})).size(), 1u);
}

TEST(CacheDirs, OfTheSystemHaveTheCLibrarys)
{
	std::ifstream in("/etc/ld.so.cache", std::ios::binary);
	Bytes cache((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
	if (cache.empty()) {
		GTEST_SKIP() << "there is none";
	}
	std::vector<std::string> dirs = Dirs(cache);
	EXPECT_FALSE(dirs.empty());
	for (const std::string &dir : dirs) {
		EXPECT_EQ(dir[0], '/');
		EXPECT_NE(dir.back(), '/');
	}
}

TEST(CacheDirs, OfAFileWithWrongBytesAreReadWithinIt)
{
	const uint64_t seed = lych_seed();
	std::mt19937 random(static_cast<uint32_t>(seed));
	const Bytes good = Cache({"/lib/liba.so.1", "/opt/x/lib/libb.so", "/opt/x/lib/libc.so", "/lib/libd.so"});

	for (int i = 0; i < 20000; i++) {
		Bytes bad = good;
		bad.resize(random() % (good.size() + 1));
		for (int k = 0; k < 4 && !bad.empty(); k++) {
			bad[random() % bad.size()] = static_cast<uint8_t>(random());
		}
		for (const std::string &dir : Dirs(bad)) {
			ASSERT_EQ(dir[0], '/') << "LYCH_SEED=" << seed;
			ASSERT_LT(dir.size(), static_cast<size_t>(CACHE_DIR_BYTES));
		}
	}
}

} // namespace
