// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <cstring>
#include <string>

extern "C" {
#include "code_place.h"
}

extern "C" __attribute__((visibility("default"), noinline)) int place_test_exported(int n)
{
	return n * 3;
}

namespace
{

__attribute__((noinline)) int Hidden(int n)
{
	return n * 7;
}

uint64_t Address(const void *at)
{
	return reinterpret_cast<uintptr_t>(at);
}

TEST(Place, OfALibrarysFunctionIsItsFileOffsetAndName)
{
	void *at = dlsym(RTLD_DEFAULT, "gnu_get_libc_version"); // nobody interposes that
	struct code_place place;
	Dl_info info;

	ASSERT_NE(dladdr(at, &info), 0);
	ASSERT_TRUE(code_place_of(&place, Address(at) + 1));
	EXPECT_STREQ(place.file, "libc.so.6");
	EXPECT_EQ(place.offset, Address(at) + 1 - Address(info.dli_fbase));
	EXPECT_STREQ(place.symbol, "gnu_get_libc_version");
	EXPECT_EQ(place.into, 1u);
	EXPECT_FALSE(place.loader);
}

TEST(Place, OfTheProgramHasItsName)
{
	struct code_place place;

	ASSERT_TRUE(code_place_of(&place, Address(reinterpret_cast<void *>(place_test_exported))));
	EXPECT_STREQ(place.file, program_invocation_short_name);
	EXPECT_EQ(place.into, 0u);
}

// The nearest exported function in front of it would be a lie.
TEST(Place, OfAFunctionThatIsNotExportedHasNoName)
{
	struct code_place place;

	ASSERT_EQ(Hidden(6), 42);
	ASSERT_TRUE(code_place_of(&place, Address(reinterpret_cast<void *>(Hidden))));
	EXPECT_EQ(place.symbol, nullptr);
}

TEST(Place, KnowsTheLoaderFromEverythingElse)
{
	struct code_place place;

	ASSERT_TRUE(code_place_of(&place, getauxval(AT_BASE) + 0x2000));
	EXPECT_TRUE(place.loader) << place.file;
}

TEST(Place, OfTheVdsoIsFound)
{
	auto *header = reinterpret_cast<const ElfW(Ehdr) *>(getauxval(AT_SYSINFO_EHDR));
	struct code_place place;

	ASSERT_NE(header, nullptr);
	ASSERT_TRUE(code_place_of(&place, Address(header) + header->e_entry));
	EXPECT_NE(std::string(place.file).find("vdso"), std::string::npos) << place.file;
}

TEST(Place, IsNowhereOutsideOfFiles)
{
	void *page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct code_place place;

	ASSERT_NE(page, MAP_FAILED);
	EXPECT_FALSE(code_place_of(&place, Address(page)));
	EXPECT_FALSE(code_place_of(&place, 0));
	EXPECT_FALSE(code_place_of(&place, ~0ull));
	munmap(page, 4096);
}

// Every function that every loaded file exports, against the loader's own answer.
TEST(Place, AgreesWithTheLoaderAboutEveryFunctionOfLibc)
{
	size_t same = 0, other = 0;
	auto *map = static_cast<struct link_map *>(nullptr);
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

	ASSERT_NE(libc, nullptr);
	ASSERT_EQ(dlinfo(libc, RTLD_DI_LINKMAP, &map), 0);
	for (uint64_t at = map->l_addr + 0x28000; at < map->l_addr + 0x150000; at += 0x1d3) {
		struct code_place place;
		Dl_info info;
		const ElfW(Sym) *symbol = nullptr;
		void *extra = nullptr;

		if (dladdr1(reinterpret_cast<void *>(at), &info, &extra, RTLD_DL_SYMENT) == 0 ||
		    !code_place_of(&place, at)) {
			continue;
		}
		symbol = static_cast<const ElfW(Sym) *>(extra);
		if (symbol == nullptr || Address(info.dli_saddr) + symbol->st_size <= at) {
			continue;
		}
		// Several names may be at one place.
		ASSERT_NE(place.symbol, nullptr) << info.dli_sname;
		(at - place.into == Address(info.dli_saddr) ? same : other)++;
	}
	EXPECT_GT(same, 100u);
	EXPECT_EQ(other, 0u);
	dlclose(libc);
}

} // namespace
