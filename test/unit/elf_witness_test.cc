// SPDX-License-Identifier: Apache-2.0
// The reader's answers about real libraries against those of libelf and libdw, which share no code
// with it.
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

extern "C" {
#include "elf.h"
#include "range.h"
}

namespace
{

using Bytes = std::vector<uint8_t>;

// This program (with .symtab) and whatever shared objects it runs with on this machine.
std::vector<std::string> Files()
{
	std::vector<std::string> files = {"/proc/self/exe"};
	dl_iterate_phdr(
		[](dl_phdr_info *info, size_t, void *ctx) {
			if (info->dlpi_name[0] == '/') {
				static_cast<std::vector<std::string> *>(ctx)->push_back(
					info->dlpi_name);
			}
			return 0;
		},
		&files);
	return files;
}

class Witness : public testing::TestWithParam<std::string>
{
      protected:
	int fd = -1;
	elf ours = {};
	Elf *theirs = nullptr;
	std::vector<uint64_t> addresses; // random, in executable segments
	static constexpr unsigned seed = 7;
	std::mt19937_64 random{seed};

	void SetUp() override
	{
		RecordProperty("seed", static_cast<int>(seed));
		fd = open(GetParam().c_str(), O_RDONLY | O_CLOEXEC);
		ASSERT_GE(fd, 0);
		struct stat st;
		ASSERT_EQ(fstat(fd, &st), 0);
		source src = source_from_fd(fd, 0, static_cast<uint64_t>(st.st_size));
		const char *why;
		ASSERT_EQ(elf_open(&ours, &src, &why), 0) << why;
		elf_version(EV_CURRENT);
		theirs = elf_begin(fd, ELF_C_READ, nullptr);
		ASSERT_NE(theirs, nullptr);
		range_list list;
		unsigned flags;
		ASSERT_EQ(range_of_segments(&list, &flags, ours.phdrs, ours.nphdrs, src.size), 0);
		ASSERT_GT(list.count, 0u);
		for (int i = 0; i < 3000; i++) {
			const range &r = list.items[random() % list.count];
			addresses.push_back(r.vaddr + random() % r.len);
		}
		range_free(&list);
	}
	void TearDown() override
	{
		elf_close(&ours);
		elf_end(theirs);
		close(fd);
	}
	Bytes Contents() const
	{
		Bytes out(ours.src.size);
		EXPECT_EQ(source_read(&ours.src, 0, out.data(), out.size()), 0);
		return out;
	}
};

struct elf_where Where(elf *e, uint64_t vaddr)
{
	struct elf_where w;
	elf_where(e, vaddr, &w);
	return w;
}

TEST_P(Witness, HeadersAreTheSame)
{
	size_t count = 0;
	ASSERT_EQ(elf_getphdrnum(theirs, &count), 0);
	ASSERT_EQ(ours.nphdrs, count);
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr phdr;
		ASSERT_NE(gelf_getphdr(theirs, static_cast<int>(i), &phdr), nullptr);
		EXPECT_EQ(memcmp(&phdr, &ours.phdrs[i], sizeof(phdr)), 0) << i;
	}
	ASSERT_EQ(elf_getshdrnum(theirs, &count), 0);
	ASSERT_EQ(ours.nshdrs, count);
}

TEST_P(Witness, SectionsAreTheSame)
{
	size_t names = 0;
	ASSERT_EQ(elf_getshdrstrndx(theirs, &names), 0);
	for (uint64_t vaddr : addresses) {
		std::string expected;
		for (Elf_Scn *scn = nullptr; (scn = elf_nextscn(theirs, scn)) != nullptr;) {
			GElf_Shdr shdr;
			ASSERT_NE(gelf_getshdr(scn, &shdr), nullptr);
			if (shdr.sh_flags & SHF_ALLOC && vaddr >= shdr.sh_addr &&
			    vaddr < shdr.sh_addr + shdr.sh_size && !(shdr.sh_flags & SHF_TLS)) {
				expected = elf_strptr(theirs, names, shdr.sh_name);
			}
		}
		EXPECT_EQ(Where(&ours, vaddr).section, expected) << std::hex << vaddr;
	}
}

struct Symbol {
	uint64_t start;
	std::string name;
};

// All symbols in executable memory, unsorted.
std::vector<Symbol> Symbols(Elf *theirs, const elf &ours, uint32_t type)
{
	std::vector<Symbol> out;
	for (Elf_Scn *scn = nullptr; (scn = elf_nextscn(theirs, scn)) != nullptr;) {
		GElf_Shdr shdr;
		if (gelf_getshdr(scn, &shdr) == nullptr || shdr.sh_type != type) {
			continue;
		}
		Elf_Data *data = elf_getdata(scn, nullptr);
		GElf_Sym sym;
		for (int i = 0; gelf_getsym(data, i, &sym) != nullptr; i++) {
			int kind = GELF_ST_TYPE(sym.st_info);
			const char *name = elf_strptr(theirs, shdr.sh_link, sym.st_name);
			bool place = kind == STT_FUNC || kind == STT_GNU_IFUNC ||
				     kind == STT_NOTYPE || kind == STT_OBJECT;
			bool executable = false;
			for (size_t p = 0; p < ours.nphdrs; p++) {
				const Elf64_Phdr &ph = ours.phdrs[p];
				uint64_t first = ph.p_vaddr & ~4095ul;
				uint64_t end = (ph.p_vaddr + ph.p_filesz + 4095) & ~4095ul;
				executable |= ph.p_type == PT_LOAD && ph.p_flags & PF_X &&
					      sym.st_value >= first && sym.st_value < end;
			}
			if (place && executable && name != nullptr && name[0] != '\0' &&
			    sym.st_shndx != SHN_UNDEF && sym.st_shndx < SHN_LORESERVE) {
				out.push_back({sym.st_value, name});
			}
		}
	}
	return out;
}

void ExpectNearest(elf *ours, const std::vector<Symbol> &symbols, uint64_t vaddr)
{
	auto w = Where(ours, vaddr);
	uint64_t start = 0, next = UINT64_MAX;
	bool any = false, named = false;
	for (const Symbol &s : symbols) {
		if (s.start <= vaddr) {
			start = any ? std::max(start, s.start) : s.start;
			any = true;
		} else {
			next = std::min(next, s.start);
		}
	}
	for (const Symbol &s : symbols) {
		named |= s.start == start && s.name.substr(0, 255) == w.symbol;
	}
	ASSERT_EQ(w.has_symbol, any) << std::hex << vaddr;
	ASSERT_EQ(w.next_symbol, next) << std::hex << vaddr;
	if (any) {
		ASSERT_EQ(w.symbol_start, start) << std::hex << vaddr;
		ASSERT_TRUE(named) << w.symbol;
	}
}

TEST_P(Witness, SymbolsAreTheSame)
{
	auto symbols = Symbols(theirs, ours, SHT_SYMTAB);
	auto dynamic = Symbols(theirs, ours, SHT_DYNSYM);
	symbols.insert(symbols.end(), dynamic.begin(), dynamic.end());
	for (size_t i = 0; i < 300; i++) {
		ExpectNearest(&ours, symbols, addresses[i]);
	}
}

// Without section headers the dynamic symbols are found as ld.so finds them.
TEST_P(Witness, DynamicSymbolsNeedNoSectionHeaders)
{
	auto symbols = Symbols(theirs, ours, SHT_DYNSYM);
	Bytes file = Contents();
	reinterpret_cast<Elf64_Ehdr *>(file.data())->e_shoff = 0;
	source src = source_from_memory(file.data(), file.size());
	elf bare;
	const char *why;
	ASSERT_EQ(elf_open(&bare, &src, &why), 0) << why;
	ASSERT_EQ(bare.nshdrs, 0u);
	for (size_t i = 0; i < 300; i++) {
		ExpectNearest(&bare, symbols, addresses[i]);
	}
	elf_close(&bare);
}

TEST_P(Witness, BuildIdIsTheSame)
{
	const void *id = nullptr;
	ssize_t len = dwelf_elf_gnu_build_id(theirs, &id);
	ASSERT_EQ(ours.build_id_len, std::max<ssize_t>(len, 0));
	EXPECT_EQ(memcmp(ours.build_id, id, ours.build_id_len), 0);
}

// dwarf_cfi_addrframe finds the FDE by its own walk over .eh_frame and gives the row of it that
// holds the address.
TEST_P(Witness, FdesAreTheSame)
{
	Dwarf_CFI *cfi = dwarf_getcfi_elf(theirs);
	ASSERT_NE(cfi, nullptr);
	size_t inside = 0;
	for (uint64_t vaddr : addresses) {
		auto w = Where(&ours, vaddr);
		Dwarf_Frame *frame = nullptr;
		bool found = dwarf_cfi_addrframe(cfi, vaddr, &frame) == 0;
		ASSERT_TRUE(w.has_fdes);
		ASSERT_EQ(w.in_fde, found) << std::hex << vaddr;
		if (found) {
			Dwarf_Addr start, end;
			ASSERT_EQ(dwarf_frame_info(frame, &start, &end, nullptr) >= 0, true);
			ASSERT_GE(start, w.fde_start) << std::hex << vaddr;
			ASSERT_LE(end, w.fde_end) << std::hex << vaddr;
			ASSERT_LE(vaddr, w.next_fde);
			inside++;
			free(frame);
			// At both ends, too: the FDE is neither longer nor shorter.
			EXPECT_EQ(dwarf_cfi_addrframe(cfi, w.fde_start, &frame), 0);
			free(frame);
			EXPECT_EQ(dwarf_cfi_addrframe(cfi, w.fde_end - 1, &frame), 0);
			free(frame);
		}
	}
	EXPECT_GT(inside, addresses.size() / 20);
	dwarf_cfi_end(cfi);
}

// Walking .eh_frame gives what the linker's table gives, whether or not section headers say where
// it is.
TEST_P(Witness, FdesNeedNoSearchTable)
{
	for (bool section_headers : {true, false}) {
		Bytes file = Contents();
		auto *ehdr = reinterpret_cast<Elf64_Ehdr *>(file.data());
		for (size_t i = 0; i < ours.nphdrs; i++) {
			if (ours.phdrs[i].p_type == PT_GNU_EH_FRAME) {
				file[ours.phdrs[i].p_offset + 3] = 0xff; // DW_EH_PE_omit: no table
			}
		}
		ehdr->e_shoff = section_headers ? ehdr->e_shoff : 0;
		source src = source_from_memory(file.data(), file.size());
		elf bare;
		const char *why;
		ASSERT_EQ(elf_open(&bare, &src, &why), 0) << why;
		for (uint64_t vaddr : addresses) {
			auto x = Where(&ours, vaddr);
			auto y = Where(&bare, vaddr);
			ASSERT_EQ(x.in_fde, y.in_fde) << std::hex << vaddr;
			ASSERT_EQ(x.fde_start, y.fde_start) << std::hex << vaddr;
			ASSERT_EQ(x.fde_end, y.fde_end) << std::hex << vaddr;
			ASSERT_EQ(x.next_fde, y.next_fde) << std::hex << vaddr;
		}
		EXPECT_EQ(bare.fde_count, 0u);
		EXPECT_GT(bare.nfdes, 0u);
		elf_close(&bare);
	}
}

INSTANTIATE_TEST_SUITE_P(Elf, Witness, testing::ValuesIn(Files()),
			 [](const testing::TestParamInfo<std::string> &file) {
				 std::string name = file.param.substr(file.param.rfind('/') + 1);
				 std::replace_if(
					 name.begin(), name.end(),
					 [](char c) { return !isalnum(c); }, '_');
				 return name;
			 });

} // namespace
