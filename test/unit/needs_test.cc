// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "elf_builder.h"

extern "C" {
#include "needs.h"
}

namespace
{

constexpr uint64_t strings_at = 0x1000, dynamic_at = 0x8000;

// A file with one segment: strings, then a dynamic section that ends where it is told to.
class Builder : public ElfBuilder
{
      public:
	Builder()
	{
		segment(PF_R, 0, 0, 0x100000);
		program_header(PT_DYNAMIC, PF_R, dynamic_at, dynamic_at, 16, 16);
		section_headers = false;
		entry(DT_STRTAB, strings_at);
	}
	void entry(int64_t tag, uint64_t value_)
	{
		const Elf64_Dyn dyn = {tag, {value_}};
		put(dynamic_at + 16 * entries++, &dyn, sizeof(dyn));
	}
	uint64_t string(const std::string &text)
	{
		const uint64_t at = next;
		put(strings_at + at, text.c_str(), text.size() + 1);
		next += text.size() + 1;
		return at;
	}
	void interp(const std::string &text, uint64_t filesz)
	{
		const uint64_t at = strings_at + string(text);
		program_header(PT_INTERP, PF_R, at, at, filesz, filesz);
	}
	std::vector<uint8_t> build_ended()
	{
		entry(DT_NULL, 0);
		reserve(0x100000);
		return build();
	}

      private:
	uint64_t entries = 0, next = 1;
};

class Read
{
      public:
	explicit Read(const std::vector<uint8_t> &file)
	{
		source src = source_from_memory(file.data(), file.size());
		rc = needs_read(&needs, &src, &why);
	}
	~Read()
	{
		if (rc == 0) {
			needs_free(&needs);
		}
	}
	struct needs needs;
	const char *why;
	int rc;
};

TEST(Needs, NamesComeInTheOrderOfTheFile)
{
	Builder b;
	b.entry(DT_NEEDED, b.string("libb.so"));
	b.entry(DT_AUXILIARY, b.string("libx.so"));
	b.entry(DT_SONAME, b.string("self.so"));
	b.entry(DT_FILTER, b.string("libf.so"));
	b.entry(DT_NEEDED, b.string("liba.so"));
	b.interp("/lib64/ld.so", 13);
	Read r(b.build_ended());

	ASSERT_EQ(r.rc, 0) << r.why;
	ASSERT_EQ(r.needs.count, 4u);
	EXPECT_STREQ(r.needs.items[0].name, "libb.so");
	EXPECT_EQ(r.needs.items[0].kind, NEED_LIBRARY);
	EXPECT_STREQ(r.needs.items[1].name, "libx.so");
	EXPECT_EQ(r.needs.items[1].kind, NEED_AUXILIARY);
	EXPECT_STREQ(r.needs.items[2].name, "libf.so");
	EXPECT_EQ(r.needs.items[2].kind, NEED_FILTER);
	EXPECT_STREQ(r.needs.items[3].name, "liba.so");
	EXPECT_STREQ(r.needs.soname, "self.so");
	EXPECT_STREQ(r.needs.interp, "/lib64/ld.so");
	EXPECT_EQ(r.needs.rpath, nullptr);
}

TEST(Needs, RpathCountsOnlyWithoutRunpath)
{
	Builder b;
	b.entry(DT_RPATH, b.string("/r"));
	Read alone(b.build_ended());
	ASSERT_EQ(alone.rc, 0);
	EXPECT_STREQ(alone.needs.rpath, "/r");

	Builder both;
	both.entry(DT_RPATH, both.string("/r"));
	both.entry(DT_RUNPATH, both.string(""));
	Read r(both.build_ended());
	ASSERT_EQ(r.rc, 0);
	EXPECT_EQ(r.needs.rpath, nullptr);
	EXPECT_STREQ(r.needs.runpath, "");
}

TEST(Needs, LastOfEqualTagsCountsAndNothingBehindTheEnd)
{
	Builder b;
	b.entry(DT_SONAME, b.string("first"));
	b.entry(DT_SONAME, b.string("last"));
	b.entry(DT_NULL, 0);
	b.entry(DT_NEEDED, b.string("never"));
	Read r(b.build_ended());

	ASSERT_EQ(r.rc, 0);
	EXPECT_STREQ(r.needs.soname, "last");
	EXPECT_EQ(r.needs.count, 0u);
}

TEST(Needs, FlagsAreSeen)
{
	Builder b;
	b.entry(DT_FLAGS_1, DF_1_NODEFLIB | DF_1_NOW);
	b.entry(DT_AUDIT, b.string("audit.so"));
	Read r(b.build_ended());

	ASSERT_EQ(r.rc, 0);
	EXPECT_TRUE(r.needs.nodeflib);
	EXPECT_TRUE(r.needs.audit);
}

TEST(Needs, NamesThatLeaveTheFileAreRefused)
{
	for (uint64_t off : {UINT64_C(0x100000), UINT64_MAX - strings_at, UINT64_C(0x7fffffffffffffff)}) {
		Builder b;
		b.entry(DT_NEEDED, off);
		EXPECT_EQ(Read(b.build_ended()).rc, -EBADMSG) << std::hex << off;
	}
}

TEST(Needs, NamesWithoutEndAreRefused)
{
	Builder b;
	b.entry(DT_NEEDED, b.string(std::string(5000, 'a')));
	Read r(b.build_ended());
	EXPECT_EQ(r.rc, -EBADMSG);
	EXPECT_STREQ(r.why, "a string of the dynamic section has no end");

	Builder fits;
	fits.entry(DT_NEEDED, fits.string(std::string(4095, 'a')));
	EXPECT_EQ(Read(fits.build_ended()).rc, 0);
}

TEST(Needs, MoreThanAnyLinkerWritesIsRefused)
{
	Builder names;
	const uint64_t at = names.string("l");
	for (int i = 0; i < 4097; i++) {
		names.entry(DT_NEEDED, at);
	}
	EXPECT_EQ(Read(names.build_ended()).rc, -EFBIG);

	Builder bytes;
	const uint64_t long_one = bytes.string(std::string(4000, 'a'));
	for (int i = 0; i < 300; i++) {
		bytes.entry(DT_NEEDED, long_one);
	}
	EXPECT_EQ(Read(bytes.build_ended()).rc, -EFBIG);
}

TEST(Needs, DynamicSectionWithoutEndIsRefused)
{
	Builder b;
	b.phdrs[1].p_vaddr = 0x100000 - 64;
	std::vector<uint8_t> file = b.build_ended();
	for (size_t at = 0x100000 - 64; at < 0x100000; at += 16) {
		const Elf64_Dyn dyn = {DT_DEBUG, {0}};
		memcpy(&file[at], &dyn, sizeof(dyn));
	}
	file.resize(0x100000);
	EXPECT_EQ(Read(file).rc, -EBADMSG);
}

TEST(Needs, InterpreterMustBeAStringAsTheKernelWantsIt)
{
	for (uint64_t size : {0, 1, 4097}) {
		Builder b;
		b.interp("/lib64/ld.so", size);
		EXPECT_EQ(Read(b.build_ended()).rc, -EBADMSG) << size;
	}
	Builder b;
	b.interp("/lib64/ld.so", 12);
	EXPECT_EQ(Read(b.build_ended()).rc, -EBADMSG) << "without its NUL";
}

struct Kind {
	const char *name;
	std::vector<uint8_t> file;
	int rc;
};

TEST(Needs, FilesThatAreNoProgramsAreToldApart)
{
	Builder core, foreign;
	core.type = ET_CORE;
	foreign.machine = EM_AARCH64;
	std::vector<uint8_t> elf32 = Builder().build_ended();
	elf32[EI_CLASS] = ELFCLASS32;
	const std::string script = "#!/bin/sh\n";
	const Kind kinds[] = {
		{"empty", {}, -ENOEXEC},
		{"text", {'h', 'i'}, -ENOEXEC},
		{"script", {script.begin(), script.end()}, -ENOEXEC},
		{"core", core.build_ended(), -ELIBBAD},
		{"aarch64", foreign.build_ended(), -EPROTOTYPE},
		{"ELF32", elf32, -EPROTOTYPE},
		{"magic only", {0x7f, 'E', 'L', 'F'}, -ENODATA},
	};
	for (const Kind &kind : kinds) {
		EXPECT_EQ(Read(kind.file).rc, kind.rc) << kind.name;
	}
}

TEST(Needs, TruncatedAnywhereOrDamagedIsHarmless)
{
	std::mt19937 random(7);
	Builder b;
	b.entry(DT_NEEDED, b.string("libb.so"));
	b.entry(DT_RUNPATH, b.string("$ORIGIN"));
	b.entry(DT_SONAME, b.string("self.so"));
	b.interp("/lib64/ld.so", 13);
	std::vector<uint8_t> whole = b.build_ended();
	whole.resize(dynamic_at + 256);

	for (size_t len = 0; len < whole.size(); len += len < 512 ? 1 : 61) {
		Read(std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<long>(len)));
	}
	for (int round = 0; round < 5000; round++) {
		static const uint8_t values[] = {0, 1, 0x10, 0x7f, 0x80, 0xff};
		static const uint64_t places[] = {0, strings_at, dynamic_at};
		std::vector<uint8_t> bytes = whole;
		for (unsigned n = 1 + random() % 6; n > 0; n--) {
			bytes[places[random() % 3] + random() % 256] = values[random() % sizeof(values)];
		}
		Read r(bytes);
	}
}

} // namespace
