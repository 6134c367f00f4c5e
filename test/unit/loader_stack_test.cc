// SPDX-License-Identifier: Apache-2.0
// The first stack is read as a C library reads it, and so is the one that the kernel made for this process: what
// holds for the one holds for the other.
#include <elf.h>
#include <gtest/gtest.h>
#include <sys/auxv.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <vector>

extern "C" {
#include "inside/stub.h"
#include "loader_stack.h"
}

extern "C" void *__libc_stack_end;

namespace
{

struct Process {
	std::vector<std::string> argv, env;
	std::vector<const char *> strings;
	std::map<uint64_t, uint64_t> auxv;
	const uint64_t *end = nullptr; // behind AT_NULL
};

const char *Text(uint64_t at)
{
	return reinterpret_cast<const char *>(at);
}

// From where rsp points when a process starts.
Process Walk(const uint64_t *at)
{
	Process p;
	uint64_t argc = *at++;

	for (uint64_t i = 0; i < argc; i++, at++) {
		if (*at == 0) {
			continue; // GoogleTest takes away what is its own
		}
		p.strings.push_back(Text(*at));
		p.argv.push_back(Text(*at));
	}
	EXPECT_EQ(*at, 0u);
	at++;
	for (; *at != 0; at++) {
		p.strings.push_back(Text(*at));
		p.env.push_back(Text(*at));
	}
	at++;
	for (; *at != AT_NULL; at += 2) {
		EXPECT_EQ(p.auxv.count(*at), 0u) << *at;
		p.auxv[at[0]] = at[1];
	}
	p.end = at + 2;
	return p;
}

void ExpectWhatTheAbiSays(const uint64_t *rsp, const Process &p)
{
	EXPECT_EQ(reinterpret_cast<uint64_t>(rsp) % 16, 0u);
	EXPECT_EQ(p.argv.size(), 1u);
	for (uint64_t needed : {AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_ENTRY, AT_EXECFN, AT_UID, AT_EUID,
				AT_GID, AT_EGID, AT_SECURE, AT_RANDOM, AT_HWCAP, AT_HWCAP2, AT_CLKTCK,
				AT_PLATFORM, AT_MINSIGSTKSZ, AT_FLAGS}) {
		EXPECT_EQ(p.auxv.count(needed), 1u) << needed;
	}
	for (const char *text : p.strings) {
		EXPECT_GE(text, reinterpret_cast<const char *>(p.end)) << text;
	}
	for (uint64_t pointer : {AT_EXECFN, AT_RANDOM, AT_PLATFORM}) {
		EXPECT_GE(p.auxv.at(pointer), reinterpret_cast<uint64_t>(p.end)) << pointer;
	}
	EXPECT_EQ(p.auxv.at(AT_PAGESZ), 4096u);
	EXPECT_EQ(p.auxv.at(AT_PHENT), sizeof(Elf64_Phdr));
	EXPECT_EQ(p.auxv.at(AT_SECURE), 0u);
	EXPECT_STREQ(Text(p.auxv.at(AT_PLATFORM)), "x86_64");
}

loader_first First()
{
	loader_first first = {};

	first.name = "codec";
	first.phdr = 0x7f0000000040;
	first.phnum = 11;
	first.entry = 0x7f0000001500;
	first.base = 0x7e0000000000;
	first.hwcap = Walk(static_cast<const uint64_t *>(__libc_stack_end)).auxv.at(AT_HWCAP); // glibc's answer is another one
	first.hwcap2 = getauxval(AT_HWCAP2);
	first.clktck = getauxval(AT_CLKTCK);
	first.minsigstksz = getauxval(AT_MINSIGSTKSZ);
	first.uid = getauxval(AT_UID);
	first.euid = getauxval(AT_EUID);
	first.gid = getauxval(AT_GID);
	first.egid = getauxval(AT_EGID);
	memcpy(first.random, "sixteen random b", 16);
	return first;
}

// Where it lies is where it says it is, so that it can be read as it stands.
class LoaderStack : public ::testing::Test {
protected:
	int Make(const loader_first &first)
	{
		memset(memory, 0xaa, sizeof(memory));
		return loader_stack(memory + 64, reinterpret_cast<uint64_t>(memory + sizeof(memory) - 64), 0x7e000001ab70, &first,
				    &rsp, &start);
	}
	void TearDown() override
	{
		for (size_t i = 0; i < 64; i++) {
			EXPECT_EQ(memory[i], 0xaa);
			EXPECT_EQ(memory[sizeof(memory) - 1 - i], 0xaa);
		}
	}
	const uint64_t *Rsp() const
	{
		return reinterpret_cast<const uint64_t *>(rsp);
	}

	alignas(16) uint8_t memory[LOADER_FIRST_BYTES + 128];
	uint64_t rsp = 0, start = 0;
};

TEST_F(LoaderStack, OfTheKernelIsWhatTheWalkerExpects)
{
	memset(memory, 0xaa, sizeof(memory));
	const uint64_t *own = static_cast<const uint64_t *>(__libc_stack_end);
	Process p = Walk(own);

	p.argv.resize(1);
	ExpectWhatTheAbiSays(own, p);
	EXPECT_EQ(p.auxv.at(AT_RANDOM), getauxval(AT_RANDOM));
}

TEST_F(LoaderStack, IsWhatTheKernelMakes)
{
	const loader_first first = First();

	ASSERT_EQ(Make(first), 0);
	const Process p = Walk(Rsp()), own = Walk(static_cast<const uint64_t *>(__libc_stack_end));
	ExpectWhatTheAbiSays(Rsp(), p);
	// What is the machine's and the user's is the same; nothing is told that the kernel does not tell.
	for (uint64_t same : {AT_HWCAP, AT_HWCAP2, AT_CLKTCK, AT_PAGESZ, AT_PHENT, AT_MINSIGSTKSZ, AT_UID, AT_EUID,
			      AT_GID, AT_EGID, AT_FLAGS}) {
		EXPECT_EQ(p.auxv.at(same), own.auxv.at(same)) << same;
	}
	for (const auto &entry : p.auxv) {
		EXPECT_EQ(own.auxv.count(entry.first), 1u) << entry.first;
	}
	EXPECT_EQ(p.auxv.count(AT_SYSINFO_EHDR), 0u);
	EXPECT_EQ(p.auxv.count(27), 0u) << "AT_RSEQ_FEATURE_SIZE";
	EXPECT_EQ(p.argv, std::vector<std::string>{"codec"});
	EXPECT_EQ(p.env, (std::vector<std::string>{"GLIBC_TUNABLES=glibc.pthread.rseq=0", "LD_BIND_NOW=1"}));
	EXPECT_EQ(p.auxv.at(AT_PHDR), first.phdr);
	EXPECT_EQ(p.auxv.at(AT_PHNUM), first.phnum);
	EXPECT_EQ(p.auxv.at(AT_ENTRY), first.entry);
	EXPECT_EQ(p.auxv.at(AT_BASE), first.base);
	EXPECT_STREQ(Text(p.auxv.at(AT_EXECFN)), "codec");
	EXPECT_EQ(memcmp(Text(p.auxv.at(AT_RANDOM)), "sixteen random b", 16), 0);
}

TEST_F(LoaderStack, BeginsWithTheRegistersThatAreLoaded)
{
	ASSERT_EQ(Make(First()), 0);
	const inside_start *s = reinterpret_cast<const inside_start *>(start);
	inside_start want = {};

	want.rip = 0x7e000001ab70;
	want.rsp = rsp;
	EXPECT_EQ(start % 16, 0u);
	EXPECT_GE(start, reinterpret_cast<uint64_t>(Walk(Rsp()).end));
	EXPECT_LE(start + sizeof(*s), reinterpret_cast<uint64_t>(memory + sizeof(memory) - 64));
	EXPECT_EQ(memcmp(s, &want, sizeof(want)), 0);
}

TEST_F(LoaderStack, IsAlignedWhateverItsStringsAre)
{
	for (size_t len = 1; len < 70; len++) {
		const std::string name(len, 'n'), search(len * 3 % 71 + 1, 's');
		loader_first first = First();

		first.name = name.c_str();
		first.search = len % 3 != 0 ? search.c_str() : nullptr;
		ASSERT_EQ(Make(first), 0);
		const Process p = Walk(Rsp());
		ExpectWhatTheAbiSays(Rsp(), p);
		EXPECT_EQ(p.argv[0], name);
		ASSERT_EQ(p.env.size(), len % 3 != 0 ? 3u : 2u);
		if (len % 3 != 0) {
			EXPECT_EQ(p.env[2], "LD_LIBRARY_PATH=" + search);
		}
	}
}

TEST_F(LoaderStack, TakesTheLongestSearchPathAndNoMoreThanThereIsRoomFor)
{
	loader_first first = First();
	std::string search(LOADER_SEARCH_MAX, 's');

	first.search = search.c_str();
	EXPECT_EQ(Make(first), 0);
	EXPECT_EQ(Walk(Rsp()).env[2], "LD_LIBRARY_PATH=" + search);
	for (size_t len : {7000u, 8000u, 8192u, 20000u}) {
		search.assign(len, 's');
		first.search = search.c_str();
		EXPECT_EQ(Make(first), len == 7000 ? 0 : -E2BIG) << len;
	}
}

TEST(LoaderSearch, IsDirectoriesBetweenColons)
{
	const char *why = nullptr;

	EXPECT_EQ(loader_search("/opt/lib", &why), 0);
	EXPECT_EQ(loader_search("/opt/lib:lib:/usr/lib", &why), 0);
	for (const char *bad : {"", ":", "/a:", ":/a", "/a::/b", "/a;/b", "$ORIGIN", "/a/${LIB}"}) {
		why = nullptr;
		EXPECT_EQ(loader_search(bad, &why), -EINVAL) << bad;
		EXPECT_NE(why, nullptr);
	}
	EXPECT_EQ(loader_search(std::string(LOADER_SEARCH_MAX, 'a').c_str(), &why), 0);
	EXPECT_EQ(loader_search(std::string(LOADER_SEARCH_MAX + 1, 'a').c_str(), &why), -E2BIG);
}

} // namespace
