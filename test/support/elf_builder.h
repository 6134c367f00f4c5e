// SPDX-License-Identifier: Apache-2.0
// Makes ELF64 files in memory: segments, sections, symbols and bytes where the test wants them, and
// the headers open to lies. Nothing is checked: what a test asks for is what the file says.
//
//	ElfBuilder b;
//	b.segment(PF_R | PF_X, 0x1000, 0x1000, 0x800);   // p_vaddr, p_offset, p_filesz
//	b.bytes(0x1000, {0x0f, 0x01, 0xef});
//	b.symbol("f", 0x1000, 3);
//	std::vector<uint8_t> file = b.build();
#ifndef LYCH_ELF_BUILDER_H
#define LYCH_ELF_BUILDER_H

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

class ElfBuilder
{
      public:
	uint16_t type = ET_DYN;
	uint16_t machine = EM_X86_64;
	uint64_t phoff = sizeof(Elf64_Ehdr);
	bool section_headers = true;
	std::vector<Elf64_Phdr> phdrs;
	// Last change to the header, after everything else is in place.
	std::function<void(Elf64_Ehdr &)> lie = [](Elf64_Ehdr &) {};
	// The same for the section headers, null section and string tables included.
	std::function<void(std::vector<Elf64_Shdr> &)> lie_sections =
		[](std::vector<Elf64_Shdr> &) {};

	Elf64_Phdr &program_header(uint32_t p_type, uint32_t flags, uint64_t vaddr, uint64_t off,
				   uint64_t filesz, uint64_t memsz)
	{
		phdrs.push_back({p_type, flags, off, vaddr, vaddr, filesz, memsz, 0x1000});
		return phdrs.back();
	}
	Elf64_Phdr &segment(uint32_t flags, uint64_t vaddr, uint64_t off, uint64_t filesz)
	{
		return program_header(PT_LOAD, flags, vaddr, off, filesz, filesz);
	}
	// Returns the section's index.
	uint16_t section(const std::string &name, uint32_t sh_type, uint64_t flags, uint64_t addr,
			 uint64_t off, uint64_t size)
	{
		Elf64_Shdr shdr = {};
		shdr.sh_name = add_name(shstrtab_, name);
		shdr.sh_type = sh_type;
		shdr.sh_flags = flags;
		shdr.sh_addr = addr;
		shdr.sh_offset = off;
		shdr.sh_size = size;
		shdr.sh_addralign = 1;
		shdrs_.push_back(shdr);
		return static_cast<uint16_t>(shdrs_.size() - 1);
	}
	void symbol(const std::string &name, uint64_t value, uint64_t size,
		    uint8_t info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), uint16_t shndx = 1)
	{
		Elf64_Sym sym = {};
		sym.st_name = add_name(strtab_, name);
		sym.st_info = info;
		sym.st_shndx = shndx;
		sym.st_value = value;
		sym.st_size = size;
		syms_.push_back(sym);
	}
	// Puts bytes into the file; it grows as needed.
	void bytes(uint64_t off, const std::vector<uint8_t> &data)
	{
		put(off, data.data(), data.size());
	}
	template <typename T> void value(uint64_t off, T data)
	{
		put(off, &data, sizeof(data));
	}
	void put(uint64_t off, const void *data, size_t len)
	{
		reserve(off + len);
		if (len > 0) {
			memcpy(&body_[off], data, len);
		}
	}
	// At least so many bytes before the tables that build() appends.
	void reserve(uint64_t size)
	{
		if (body_.size() < size) {
			body_.resize(size);
		}
	}

	std::vector<uint8_t> build() const
	{
		std::vector<uint8_t> out = body_;
		std::vector<Elf64_Shdr> shdrs = shdrs_;
		std::string shstrtab = shstrtab_;
		Elf64_Ehdr ehdr = {};

		if (out.size() < phoff + phdrs.size() * sizeof(Elf64_Phdr)) {
			out.resize(phoff + phdrs.size() * sizeof(Elf64_Phdr));
		}
		if (!phdrs.empty()) {
			memcpy(&out[phoff], phdrs.data(), phdrs.size() * sizeof(Elf64_Phdr));
		}
		memcpy(ehdr.e_ident, ELFMAG, SELFMAG);
		ehdr.e_ident[EI_CLASS] = ELFCLASS64;
		ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
		ehdr.e_ident[EI_VERSION] = EV_CURRENT;
		ehdr.e_type = type;
		ehdr.e_machine = machine;
		ehdr.e_version = EV_CURRENT;
		ehdr.e_ehsize = sizeof(ehdr);
		ehdr.e_phoff = phdrs.empty() ? 0 : phoff;
		ehdr.e_phentsize = sizeof(Elf64_Phdr);
		ehdr.e_phnum = static_cast<uint16_t>(phdrs.size());
		if (section_headers) {
			if (syms_.size() > 1) {
				append_symbols(out, shdrs, shstrtab);
			}
			append_names(out, shdrs, shstrtab);
			lie_sections(shdrs);
			out.resize((out.size() + 7) & ~size_t{7});
			ehdr.e_shoff = out.size();
			ehdr.e_shentsize = sizeof(Elf64_Shdr);
			ehdr.e_shnum = static_cast<uint16_t>(shdrs.size());
			ehdr.e_shstrndx = static_cast<uint16_t>(shdrs.size() - 1);
			append(out, shdrs.data(), shdrs.size() * sizeof(Elf64_Shdr));
		}
		lie(ehdr);
		if (out.size() < sizeof(ehdr)) {
			out.resize(sizeof(ehdr));
		}
		memcpy(out.data(), &ehdr, sizeof(ehdr));
		return out;
	}

      private:
	std::vector<uint8_t> body_ = std::vector<uint8_t>(sizeof(Elf64_Ehdr));
	std::vector<Elf64_Shdr> shdrs_ = std::vector<Elf64_Shdr>(1);
	std::vector<Elf64_Sym> syms_ = std::vector<Elf64_Sym>(1);
	std::string shstrtab_ = std::string(1, '\0');
	std::string strtab_ = std::string(1, '\0');

	static uint32_t add_name(std::string &table, const std::string &name)
	{
		uint32_t at = static_cast<uint32_t>(table.size());
		table += name + '\0';
		return name.empty() ? 0 : at;
	}
	static void append(std::vector<uint8_t> &out, const void *data, size_t len)
	{
		const uint8_t *from = static_cast<const uint8_t *>(data);
		out.insert(out.end(), from, from + len);
	}
	void append_symbols(std::vector<uint8_t> &out, std::vector<Elf64_Shdr> &shdrs,
			    std::string &shstrtab) const
	{
		Elf64_Shdr symtab = {};
		Elf64_Shdr strtab = {};

		symtab.sh_name = add_name(shstrtab, ".symtab");
		symtab.sh_type = SHT_SYMTAB;
		symtab.sh_offset = out.size();
		symtab.sh_size = syms_.size() * sizeof(Elf64_Sym);
		symtab.sh_entsize = sizeof(Elf64_Sym);
		symtab.sh_link = static_cast<uint32_t>(shdrs.size() + 1);
		append(out, syms_.data(), symtab.sh_size);
		strtab.sh_name = add_name(shstrtab, ".strtab");
		strtab.sh_type = SHT_STRTAB;
		strtab.sh_offset = out.size();
		strtab.sh_size = strtab_.size();
		append(out, strtab_.data(), strtab_.size());
		shdrs.push_back(symtab);
		shdrs.push_back(strtab);
	}
	static void append_names(std::vector<uint8_t> &out, std::vector<Elf64_Shdr> &shdrs,
				 std::string &shstrtab)
	{
		Elf64_Shdr names = {};

		names.sh_name = add_name(shstrtab, ".shstrtab");
		names.sh_type = SHT_STRTAB;
		names.sh_offset = out.size();
		names.sh_size = shstrtab.size();
		append(out, shstrtab.data(), shstrtab.size());
		shdrs.push_back(names);
	}
};

#endif // LYCH_ELF_BUILDER_H
