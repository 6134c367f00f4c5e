// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" // in C a function may share its name with a struct
extern "C" {
#include "elf.h"
}
#pragma GCC diagnostic pop

namespace
{

constexpr size_t page = 4096;

// Tables of segments as linkers make them.
Elf64_Phdr load(uint32_t flags, uint64_t off, uint64_t vaddr, uint64_t filesz)
{
	Elf64_Phdr ph = {};

	ph.p_type = PT_LOAD;
	ph.p_flags = flags;
	ph.p_offset = off;
	ph.p_vaddr = vaddr;
	ph.p_filesz = ph.p_memsz = filesz;
	return ph;
}

bool bias_of(std::vector<Elf64_Phdr> phdrs, uint64_t start, uint64_t off, uint64_t *bias)
{
	elf e = {};
	e.phdrs = phdrs.data();
	e.nphdrs = phdrs.size();
	return elf_bias(&e, start, off, bias);
}

TEST(ElfBias, IsTheDistanceBetweenLinkAddressAndMapping)
{
	uint64_t bias = 1;
	std::vector<Elf64_Phdr> phdrs = {load(PF_R, 0, 0, 0x800), load(PF_R | PF_X, 0x1000, 0x1000, 0x5123),
					 load(PF_R | PF_W, 0x6d00, 0x8d00, 0x200)};

	EXPECT_TRUE(bias_of(phdrs, 0x7f0000001000, 0x1000, &bias));
	EXPECT_EQ(bias, 0x7f0000000000u);
	// Split in two by mprotect: the second half's offset is inside the segment.
	EXPECT_TRUE(bias_of(phdrs, 0x7f0000003000, 0x3000, &bias));
	EXPECT_EQ(bias, 0x7f0000000000u);
	// The page of the file where text ends and data begins is in both; executable memory is text.
	EXPECT_TRUE(bias_of(phdrs, 0x7f0000006000, 0x6000, &bias));
	EXPECT_EQ(bias, 0x7f0000000000u);
	EXPECT_FALSE(bias_of(phdrs, 0x7f0000006000, 0x7000, &bias));
}

TEST(ElfBias, IsZeroForAFixedExecutable)
{
	uint64_t bias = 1;

	EXPECT_TRUE(bias_of({load(PF_R | PF_X, 0x123, 0x400123, 0x100)}, 0x400000, 0, &bias));
	EXPECT_EQ(bias, 0u);
}

TEST(ElfBias, CountsModulo2To64)
{
	uint64_t bias = 1;

	EXPECT_TRUE(bias_of({load(PF_R | PF_X, 0, 0xffffffff80000000, 0x100)}, 0x1000, 0, &bias));
	EXPECT_EQ(bias, UINT64_C(0x80001000));
}

TEST(ElfBias, IgnoresSegmentsThatNoLoaderTakes)
{
	uint64_t bias;

	EXPECT_FALSE(bias_of({load(PF_X, 0x1000, 0x1001, 0x100)}, 0x7f0000000000, 0x1000, &bias));
	EXPECT_FALSE(bias_of({load(PF_X, 0x1000, 0x1000, UINT64_MAX)}, 0x7f0000000000, 0x1000, &bias));
	EXPECT_FALSE(bias_of({load(PF_X, 0x1000, 0x1000, 0)}, 0x7f0000000000, 0x1000, &bias));
	EXPECT_FALSE(bias_of({}, 0x7f0000000000, 0, &bias));
}

} // namespace
