// SPDX-License-Identifier: Apache-2.0
// What other scanners miss (a hit at the first byte, the second of two, one across two mappings, the end, a gate by its
// shape, a library by its name), on files whose repair was carried out in a copy: the copy is scanned as a file of its
// own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lychgate/scan.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <map>

#include "elf_builder.h"
#include "repair_world.h"

extern "C" {
#include "repair_file.h"
}

using testing::ElementsAre;
using testing::IsEmpty;

namespace
{

Bytes contents(const std::string &path)
{
	std::ifstream in(path, std::ios::binary);
	return {std::istreambuf_iterator<char>(in), {}};
}

int take_address(void *ctx, const lych_finding *f)
{
	if (f->verdict == LYCH_VERDICT_STRAY || f->verdict == LYCH_VERDICT_RUNTIME) {
		static_cast<std::vector<uint64_t> *>(ctx)->push_back(f->vaddr);
	}
	return 0;
}

// A file in a directory that goes away, and what its repair comes to.
class Repaired
{
      public:
	explicit Repaired(const Bytes &file, std::vector<uint64_t> told = {}, const std::string &name = "library.so")
		: file_(file), told_(std::move(told)), name_(name)
	{
		char pattern[] = "/tmp/lych_peers_XXXXXX";
		EXPECT_NE(mkdtemp(pattern), nullptr);
		dir_ = pattern;
		repair();
	}
	~Repaired()
	{
		unlink((dir_ + "/" + name_).c_str());
		rmdir(dir_.c_str());
	}
	Repaired(const Repaired &) = delete;
	Repaired &operator=(const Repaired &) = delete;

	// Where sequences stand that something must be done about.
	std::vector<uint64_t> before() { return scan(file_); }
	std::vector<uint64_t> after() { return scan(copy_); }
	std::vector<repair_kind> kinds;
	repair_stats stats = {};

      private:
	std::string dir_;
	Bytes file_, copy_;
	std::vector<uint64_t> told_;
	std::string name_;

	std::string write(const Bytes &bytes)
	{
		std::string path = dir_ + "/" + name_;
		std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char *>(bytes.data()),
							    static_cast<std::streamsize>(bytes.size()));
		return path;
	}

	std::vector<uint64_t> scan(const Bytes &bytes)
	{
		std::vector<uint64_t> found;
		lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
		opts.finding = take_address;
		opts.ctx = &found;
		EXPECT_EQ(lych_scan_file(write(bytes).c_str(), &opts, nullptr), 0);
		return found;
	}

	static int planned(void *ctx, const repair_item *item)
	{
		auto *self = static_cast<Repaired *>(ctx);
		const uint64_t bias = item->finding->vaddr - item->finding->off;
		self->kinds.push_back(item->outcome->kind);
		for (size_t i = 0; i < item->outcome->nedits; i++) {
			const repair_edit &e = item->outcome->edits[i];
			const size_t off = e.vaddr - bias;
			if (off > self->copy_.size() || e.len > self->copy_.size() - off) {
				ADD_FAILURE() << "an edit outside of the file";
				return 1;
			}
			EXPECT_EQ(memcmp(self->copy_.data() + off, e.old_bytes, e.len), 0);
			memcpy(self->copy_.data() + off, e.new_bytes, e.len);
		}
		return 0;
	}

	void repair()
	{
		repair_file_opts opts = {};
		opts.told = told_.data();
		opts.ntold = told_.size();
		opts.planned = planned;
		opts.ctx = this;
		copy_ = file_;
		int fd = open(write(file_).c_str(), O_RDONLY | O_CLOEXEC);
		EXPECT_EQ(repair_fd(fd, name_.c_str(), &opts, &stats), 0);
		EXPECT_EQ(stats.wrong, 0u);
		close(fd);
	}
};

// Code at 0x1000, in the file, too, to its end.
Bytes library(const Bytes &code)
{
	ElfBuilder b;
	b.section_headers = false;
	b.segment(PF_R | PF_X, 0x1000, 0x1000, code.size());
	b.bytes(0x1000, code);
	return b.build();
}

} // namespace

TEST(RepairPeers, HitAtTheFirstByteIsGone)
{
	Repaired r(library(hex("0f01ef c3")), {0x1000});
	EXPECT_THAT(r.before(), ElementsAre(0x1000));
	EXPECT_THAT(r.after(), IsEmpty());
	EXPECT_THAT(r.kinds, ElementsAre(REPAIR_TRAPPED));
}

TEST(RepairPeers, SecondOfTwoAdjacentHitsIsGoneAndWhatFollowsIsLookedAt)
{
	Repaired r(library(hex("0f01ef 0f01ef 90 b80fae2800 c3")), {0x1000, 0x1003, 0x1007});
	EXPECT_THAT(r.before(), ElementsAre(0x1000, 0x1003, 0x1008));
	EXPECT_THAT(r.after(), IsEmpty());
	EXPECT_THAT(r.kinds, ElementsAre(REPAIR_TRAPPED, REPAIR_TRAPPED, REPAIR_SPLIT));
}

TEST(RepairPeers, HitAcrossTwoMappingsIsGone)
{
	ElfBuilder b;
	b.section_headers = false;
	b.segment(PF_R | PF_X, 0x1000, 0x1000, 0x1000);
	b.segment(PF_R | PF_X, 0x2000, 0x2000, 0x10);
	Bytes first(0x1000, 0x90);
	first[0xffe] = 0xb8;
	first[0xfff] = 0x0f;
	b.bytes(0x1000, first);
	b.bytes(0x2000, hex("01ef00 c3"));
	b.reserve(0x2010);
	Repaired r(b.build(), {0x1ffe});
	EXPECT_THAT(r.before(), ElementsAre(0x1fff));
	EXPECT_THAT(r.after(), IsEmpty());
	EXPECT_THAT(r.kinds, ElementsAre(REPAIR_SPLIT));
}

TEST(RepairPeers, HitThatEndsWithTheFileIsGone)
{
	Repaired r(library(hex("90 48c7c00f01efff")), {0x1001});
	EXPECT_THAT(r.before(), ElementsAre(0x1004));
	EXPECT_THAT(r.after(), IsEmpty());
}

TEST(RepairPeers, SequenceThatTheFileEndsInIsNone)
{
	Repaired r(library(hex("90 b800000f01")), {0x1001});
	EXPECT_THAT(r.before(), IsEmpty());
	EXPECT_THAT(r.kinds, IsEmpty());
}

// xor %ecx,%ecx; xor %edx,%edx; mov $0x55555554,%eax; wrpkru; cmp $0x55555554,%eax; jne; ret: what passes for a gate.
TEST(RepairPeers, GateByItsShapeTraps)
{
	Repaired r(library(hex("31c9 31d2 b854555555 0f01ef 3d54555555 7501 c3 0f0b")), {0x1009});
	EXPECT_THAT(r.before(), ElementsAre(0x1009));
	EXPECT_THAT(r.after(), IsEmpty());
	EXPECT_THAT(r.kinds, ElementsAre(REPAIR_TRAPPED));
}

TEST(RepairPeers, NameOfTheCLibraryProtectsNothing)
{
	for (const char *name : {"libc.so.6", "ld-linux-x86-64.so.2", "libcrypto-libc.so"}) {
		Repaired r(library(hex("90 0f01ef c3")), {0x1001}, name);
		EXPECT_THAT(r.before(), ElementsAre(0x1001)) << name;
		EXPECT_THAT(r.after(), IsEmpty()) << name;
	}
}

// Their own sequences, too: what is in them on purpose is not passed over.
TEST(RepairPeers, CLibraryAndLoaderOfThisMachineAreRepaired)
{
	for (const char *name : {"libc.so.6", "ld-linux-x86-64.so.2"}) {
		Bytes file = contents(std::string("/usr/lib/x86_64-linux-gnu/") + name);
		if (file.empty()) {
			GTEST_SKIP() << name << " is elsewhere";
		}
		Repaired r(file, {}, name);
		EXPECT_FALSE(r.before().empty()) << name;
		EXPECT_THAT(r.after(), IsEmpty()) << name;
		EXPECT_EQ(r.stats.kinds[REPAIR_REFUSED][LYCH_WRPKRU] + r.stats.kinds[REPAIR_REFUSED][LYCH_XRSTOR], 0u);
	}
}

// What is found counts: nobody gets a plan that leaves a part.
TEST(RepairPeers, WhatCannotBeRepairedIsRefusedAndStaysFound)
{
	Repaired r(library(hex("90 670fae28 c3")), {0x1001});
	EXPECT_THAT(r.kinds, ElementsAre(REPAIR_REFUSED));
	EXPECT_THAT(r.after(), ElementsAre(0x1002));
	EXPECT_EQ(r.stats.table[REPAIR_IN_CODE][LYCH_XRSTOR].clean, 0u);
}
