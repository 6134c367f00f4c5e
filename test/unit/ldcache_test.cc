// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

extern "C" {
#include "ldcache.h"
}

namespace
{

constexpr uint64_t named(unsigned index, uint64_t level)
{
	return UINT64_C(1) << 62 | level << 32 | index;
}

struct Entry {
	std::string key, value;
	uint64_t hwcap = 0;
	uint32_t flags = 0x0303;
};

// Writes a cache: entries as given, in order.
class Writer
{
      public:
	std::vector<Entry> entries;
	std::vector<std::string> hwcaps;
	uint8_t endian = 2;
	uint32_t old_entries = 0; // with a cache of the old format before it
	bool old = false;

	std::vector<uint8_t> build() const
	{
		std::vector<uint8_t> out;
		if (old) {
			text(out, "ld.so-1.7.0");
			out.resize(12);
			u32(out, old_entries);
			out.resize((16 + old_entries * 12 + 7) & ~7u);
		}
		const size_t base = out.size();
		std::vector<uint8_t> strings;
		const size_t strings_at = 48 + 24 * entries.size();
		text(out, "glibc-ld.so.cache1.1");
		u32(out, static_cast<uint32_t>(entries.size()));
		const size_t sizes = out.size();
		out.resize(base + 48);
		for (const Entry &e : entries) {
			u32(out, e.flags);
			u32(out, static_cast<uint32_t>(strings_at + strings.size()));
			zero_ended(strings, e.key);
			u32(out, static_cast<uint32_t>(strings_at + strings.size()));
			zero_ended(strings, e.value);
			u32(out, 0);
			u32(out, static_cast<uint32_t>(e.hwcap));
			u32(out, static_cast<uint32_t>(e.hwcap >> 32));
		}
		out.insert(out.end(), strings.begin(), strings.end());
		out.resize((out.size() + 3) & ~size_t{3});
		const uint32_t extension = hwcaps.empty() ? 0 : static_cast<uint32_t>(out.size());
		if (extension != 0) {
			std::vector<uint8_t> names;
			const size_t list = out.size() + 8 + 16;
			for (uint32_t v : {0xeaa42174u, 1u, 1u, 0u, static_cast<uint32_t>(list),
					   static_cast<uint32_t>(hwcaps.size() * 4)}) {
				u32(out, v);
			}
			for (const std::string &name : hwcaps) {
				u32(out, static_cast<uint32_t>(list + hwcaps.size() * 4 + names.size()));
				zero_ended(names, name);
			}
			out.insert(out.end(), names.begin(), names.end());
		}
		const uint32_t len = static_cast<uint32_t>(strings.size());
		memcpy(&out[sizes], &len, 4);
		out[sizes + 4] = endian;
		memcpy(&out[sizes + 8], &extension, 4);
		return out;
	}

      private:
	static void text(std::vector<uint8_t> &out, const char *s)
	{
		out.insert(out.end(), s, s + strlen(s));
	}
	static void zero_ended(std::vector<uint8_t> &out, const std::string &s)
	{
		out.insert(out.end(), s.c_str(), s.c_str() + s.size() + 1);
	}
	static void u32(std::vector<uint8_t> &out, uint32_t v)
	{
		for (int i = 0; i < 4; i++) {
			out.push_back(static_cast<uint8_t>(v >> (8 * i)));
		}
	}
};

class Cache
{
      public:
	explicit Cache(const std::vector<uint8_t> &bytes)
	{
		auto *copy = static_cast<uint8_t *>(malloc(bytes.size() + 1));
		std::copy(bytes.begin(), bytes.end(), copy);
		ldcache_take(&cache, copy, bytes.size());
	}
	explicit Cache(const char *path)
	{
		EXPECT_EQ(ldcache_open(&cache, path), 0);
	}
	~Cache()
	{
		ldcache_close(&cache);
	}
	std::string find(const char *name, unsigned level = 1) const
	{
		ldcache_cpu cpu = {level, false, 0, 0};
		return find(name, cpu);
	}
	std::string find(const char *name, const ldcache_cpu &cpu) const
	{
		const char *path = ldcache_find(&cache, name, &cpu);
		return path ? path : "";
	}

	ldcache cache;
};

Writer simple()
{
	Writer w;
	w.entries = {{"libz.so.1", "/lib/libz.so.1"}, {"libm.so.10", "/lib/m10"}, {"libm.so.6", "/lib/m6"},
		     {"liba.so", "/lib/a"}};
	return w;
}

TEST(LdCache, FindsEveryEntryAndNothingElse)
{
	Cache cache(simple().build());

	EXPECT_EQ(cache.find("libz.so.1"), "/lib/libz.so.1");
	EXPECT_EQ(cache.find("libm.so.10"), "/lib/m10");
	EXPECT_EQ(cache.find("libm.so.6"), "/lib/m6");
	EXPECT_EQ(cache.find("liba.so"), "/lib/a");
	for (const char *name : {"", "lib", "liba.so.1", "libzz.so", "a", "libm.so.7", "libm.so.", "\xff"}) {
		EXPECT_EQ(cache.find(name), "") << name;
	}
}

TEST(LdCache, BehindAnOldOneIsFound)
{
	for (uint32_t n : {0u, 1u, 2u, 7u}) {
		Writer w = simple();
		w.old = true;
		w.old_entries = n;
		EXPECT_EQ(Cache(w.build()).find("libm.so.6"), "/lib/m6") << n;
	}
}

TEST(LdCache, EntriesOfOtherMachinesArePassedOver)
{
	Writer w;
	w.entries = {{"libz.so.1", "/libx32", 0, 0x0803},
		     {"libz.so.1", "/lib32", 0, 0x0003},
		     {"libz.so.1", "/elf", 0, 1},
		     {"libz.so.1", "/right"},
		     {"libz.so.1", "/second"}};
	EXPECT_EQ(Cache(w.build()).find("libz.so.1"), "/right");
}

TEST(LdCache, BigEndianOneIsNone)
{
	Writer w = simple();
	w.endian = 3;
	EXPECT_EQ(Cache(w.build()).find("liba.so"), "");
	w.endian = 0; // before 2.33 there was no such field
	EXPECT_EQ(Cache(w.build()).find("liba.so"), "/lib/a");
}

TEST(LdCache, BestSubdirectoryThatTheProcessorHasIsTaken)
{
	Writer w;
	w.hwcaps = {"other", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
	w.entries = {{"liba.so", "/other", named(0, 0)}, {"liba.so", "/v2", named(1, 1)},
		     {"liba.so", "/v4", named(3, 0)},    {"liba.so", "/v3", named(2, 2)},
		     {"liba.so", "/plain"}};
	Cache cache(w.build());

	EXPECT_EQ(cache.find("liba.so", 0), "/plain") << "an ld.so before 2.33";
	EXPECT_EQ(cache.find("liba.so", 1), "/plain");
	EXPECT_EQ(cache.find("liba.so", 2), "/v2");
	EXPECT_EQ(cache.find("liba.so", 3), "/v3");
	EXPECT_EQ(cache.find("liba.so", 4), "/v4");
}

TEST(LdCache, LevelThatTheCodeNeedsCountsToo)
{
	Writer w;
	w.hwcaps = {"x86-64-v2"};
	w.entries = {{"liba.so", "/v2 that needs v3", named(0, 2)}, {"liba.so", "/plain"}};
	EXPECT_EQ(Cache(w.build()).find("liba.so", 2), "/plain");
	EXPECT_EQ(Cache(w.build()).find("liba.so", 3), "/v2 that needs v3");
}

TEST(LdCache, SubdirectoriesWithoutTheExtensionAreNotUsed)
{
	Writer w;
	w.entries = {{"liba.so", "/v2", named(0, 0)}, {"liba.so", "/plain"}};
	EXPECT_EQ(Cache(w.build()).find("liba.so", 4), "/plain");
	w.hwcaps = {"x86-64-v2"};
	w.entries[0].hwcap = named(1, 0);
	EXPECT_EQ(Cache(w.build()).find("liba.so", 4), "/plain") << "index beyond the extension";
}

TEST(LdCache, OldCapabilitiesCountForAnOldLoaderOnly)
{
	Writer w;
	const uint64_t haswell = UINT64_C(1) << 50, avx512_1 = 4, unknown = 1u << 20, tls = UINT64_C(1) << 63;
	w.entries = {{"liba.so", "/unknown", unknown},
		     {"liba.so", "/xeon_phi", UINT64_C(1) << 51},
		     {"liba.so", "/haswell/avx512_1", haswell | avx512_1},
		     {"liba.so", "/haswell", haswell},
		     {"liba.so", "/tls", tls},
		     {"liba.so", "/plain"}};
	Cache cache(w.build());

	EXPECT_EQ(cache.find("liba.so", {4, false, 0, 0}), "/plain");
	EXPECT_EQ(cache.find("liba.so", {4, true, 2 | avx512_1, haswell}), "/haswell/avx512_1");
	EXPECT_EQ(cache.find("liba.so", {3, true, 2, haswell}), "/haswell");
	EXPECT_EQ(cache.find("liba.so", {3, true, 2, 0}), "/tls");
}

TEST(LdCache, SubstringsOfNumbersDoNotOverflow)
{
	Writer w;
	w.entries = {{"liba.so.99999999999999999999999999", "/a"}};
	Cache cache(w.build());

	EXPECT_EQ(cache.find("liba.so.99999999999999999999999999"), "/a");
	EXPECT_EQ(cache.find("liba.so.1"), "");
}

TEST(LdCache, TruncatedAnywhereIsHarmless)
{
	Writer w = simple();
	w.hwcaps = {"x86-64-v2", "x86-64-v3"};
	w.entries.insert(w.entries.begin(), {"libzz.so", "/v3/zz", named(1, 0)});
	for (bool old : {false, true}) {
		w.old = old;
		w.old_entries = 3;
		const std::vector<uint8_t> whole = w.build();
		for (size_t len = 0; len <= whole.size(); len++) {
			Cache cache(std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<long>(len)));
			for (const Entry &e : w.entries) {
				cache.find(e.key.c_str(), 4);
			}
		}
	}
}

TEST(LdCache, RandomDamageIsHarmless)
{
	std::mt19937 random(20241);
	Writer w = simple();
	w.hwcaps = {"x86-64-v2", "x86-64-v3"};
	w.entries.insert(w.entries.begin(), {"libzz.so", "/v3/zz", named(1, 0)});
	const std::vector<uint8_t> whole = w.build();

	for (int round = 0; round < 20000; round++) {
		std::vector<uint8_t> bytes = whole;
		for (unsigned n = 1 + random() % 4; n > 0; n--) {
			static const uint8_t values[] = {0, 1, 4, 0x7f, 0x80, 0xff};
			bytes[random() % bytes.size()] = values[random() % sizeof(values)];
		}
		Cache cache(bytes);
		for (const Entry &e : w.entries) {
			cache.find(e.key.c_str(), 4);
		}
	}
}

TEST(LdCache, ManyEqualNamesDoNotTakeForever)
{
	Writer w;
	w.entries.assign(200000, {"liba.so", "/foreign", 0, 3});
	Cache cache(w.build());

	for (int i = 0; i < 2000; i++) {
		ASSERT_EQ(cache.find("liba.so"), "");
	}
}

TEST(LdCache, MissingFileIsEmpty)
{
	EXPECT_EQ(Cache("/nonexistent/ld.so.cache").find("libc.so.6"), "");
	EXPECT_EQ(Cache("/tmp").find("libc.so.6"), "");
}

TEST(LdCache, EveryLibraryThatLdconfigListsIsFound)
{
	FILE *list = popen("/sbin/ldconfig -p", "r");
	char line[4096];
	std::map<std::string, std::vector<std::string>> known;
	Cache cache("/etc/ld.so.cache");

	ASSERT_NE(list, nullptr);
	while (fgets(line, sizeof(line), list) != nullptr) {
		char name[1024], path[2048];
		if (strstr(line, "(libc6,x86-64)") != nullptr &&
		    sscanf(line, "\t%1023s (libc6,x86-64) => %2047s", name, path) == 2) {
			known[name].push_back(path);
		}
	}
	pclose(list);
	if (known.empty()) {
		GTEST_SKIP() << "there is no ld.so.cache here";
	}
	for (const auto &[name, paths] : known) {
		EXPECT_EQ(cache.find(name.c_str()), paths[0]);
	}
}

// What ldconfig itself writes for directories with subdirectories.
TEST(LdCache, OfLdconfigWithSubdirectoriesIsUnderstood)
{
	char dir[] = "/tmp/lych-ldcache-XXXXXX";
	ASSERT_NE(mkdtemp(dir), nullptr);
	std::string d = dir;
	std::string command = "cd " + d +
			      " && mkdir -p lib/glibc-hwcaps/x86-64-v2 lib/glibc-hwcaps/x86-64-v3"
			      " && cc -shared -nostdlib -Wl,-soname,liblych.so.1 -o lib/liblych.so.1 -x c /dev/null"
			      " && cp lib/liblych.so.1 lib/glibc-hwcaps/x86-64-v2/"
			      " && cp lib/liblych.so.1 lib/glibc-hwcaps/x86-64-v3/"
			      " && echo " + d + "/lib > conf && /sbin/ldconfig -X -C cache -f conf 2>/dev/null";
	ASSERT_EQ(system(command.c_str()), 0);
	{
		Cache cache((d + "/cache").c_str());
		const std::string lib = d + "/lib/";
		EXPECT_EQ(cache.find("liblych.so.1", 1), lib + "liblych.so.1");
		EXPECT_EQ(cache.find("liblych.so.1", 2), lib + "glibc-hwcaps/x86-64-v2/liblych.so.1");
		EXPECT_EQ(cache.find("liblych.so.1", 4), lib + "glibc-hwcaps/x86-64-v3/liblych.so.1");
		EXPECT_EQ(cache.find("liblych.so.2", 4), "");
	}
	ASSERT_EQ(system(("rm -r " + d).c_str()), 0);
}

} // namespace
