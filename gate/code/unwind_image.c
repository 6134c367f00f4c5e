/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ELF file in memory as gdb wants it from JIT compilers, with the unwind information of trampolines, and what the
 * others need. All addresses in it are those of the process. Pure.
 */
#include <elf.h>
#include <string.h>

#include "../../scanner/repair_cfi.h"
#include "unwind.h"

/* Sections: their names stand in this order, each with a NUL before it. */
enum { SECTION_NONE, SECTION_TEXT, SECTION_EH_FRAME, SECTION_SYMTAB, SECTION_STRTAB, SECTION_SHSTRTAB, SECTIONS };
static const char section_names[] = "\0.text\0.eh_frame\0.symtab\0.strtab\0.shstrtab";

struct image {
	uint8_t *out;
	size_t at;
};

static size_t align8(size_t at)
{
	return (at + 7) & ~(size_t)7;
}

size_t unwind_image_room(size_t n)
{
	return sizeof(Elf64_Ehdr) + SECTIONS * sizeof(Elf64_Shdr) + sizeof(section_names) + (n + 1) * sizeof(Elf64_Sym) +
	       n * UNWIND_NAME_BYTES + 1 + 2 * REPAIR_CFI_BYTES(n) + n * 2 * sizeof(int32_t) + 8 * 8;
}

/* Takes bytes at a multiple of 8 and zeroes them. */
static size_t take(struct image *image, size_t bytes)
{
	size_t at = align8(image->at);

	memset(image->out + image->at, 0, at + bytes - image->at);
	image->at = at + bytes;
	return at;
}

static uint32_t section_name(const char *name)
{
	size_t len = strlen(name) + 1;

	for (size_t i = 0; i + len <= sizeof(section_names); i++) {
		if (memcmp(section_names + i, name, len) == 0) {
			return (uint32_t)i;
		}
	}
	return 0;
}

static Elf64_Shdr *section(Elf64_Shdr *shdrs, unsigned index, const char *name, uint32_t type, size_t off, size_t size)
{
	Elf64_Shdr *s = &shdrs[index];

	s->sh_name = section_name(name);
	s->sh_type = type;
	s->sh_offset = off;
	s->sh_size = size;
	s->sh_addralign = 8;
	return s;
}

static void put_symbols(struct image *image, Elf64_Shdr *shdrs, const struct repair_trampoline *trampolines, size_t n,
			const char (*names)[UNWIND_NAME_BYTES])
{
	size_t symtab = take(image, (n + 1) * sizeof(Elf64_Sym)), strtab = take(image, 1);
	Elf64_Shdr *s = section(shdrs, SECTION_SYMTAB, ".symtab", SHT_SYMTAB, symtab, (n + 1) * sizeof(Elf64_Sym));

	s->sh_link = SECTION_STRTAB;
	s->sh_info = (uint32_t)n + 1; /* all of them are local */
	s->sh_entsize = sizeof(Elf64_Sym);
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym sym = {.st_name = (uint32_t)(image->at - strtab),
				 .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
				 .st_shndx = SECTION_TEXT,
				 .st_value = trampolines[i].vaddr,
				 .st_size = trampolines[i].len};
		size_t len = strnlen(names[i], UNWIND_NAME_BYTES - 1);

		memcpy(image->out + symtab + (i + 1) * sizeof(sym), &sym, sizeof(sym));
		memcpy(image->out + image->at, names[i], len);
		image->out[image->at + len] = '\0';
		image->at += len + 1;
	}
	(void)section(shdrs, SECTION_STRTAB, ".strtab", SHT_STRTAB, strtab, image->at - strtab);
}

static size_t put_frame(struct image *image, uint64_t vaddr, enum repair_cfi_reader reader,
			const struct repair_trampoline *trampolines, size_t n, uint32_t *fde_at, size_t *bytes)
{
	size_t at = take(image, 0);

	*bytes = repair_cfi(image->out + at, REPAIR_CFI_BYTES(n), vaddr + at, reader, trampolines, n, fde_at);
	image->at += *bytes;
	return at;
}

/* On top of the offsets, which come first in the same place: an entry is written where its offset was read before. */
static void put_table(struct unwind_layout *layout, uint8_t *out, const struct repair_trampoline *trampolines, size_t n)
{
	const uint32_t *fde_at = (const uint32_t *)(void *)(out + layout->table) + n;
	int32_t *entry = (int32_t *)(void *)(out + layout->table);

	for (size_t i = 0; i < n; i++) {
		uint32_t at = fde_at[i];

		if (at != 0) {
			*entry++ = (int32_t)(trampolines[i].vaddr - trampolines[0].vaddr);
			*entry++ = (int32_t)at;
			layout->table_entries++;
		}
	}
}

void unwind_image(struct unwind_layout *layout, uint8_t *out, uint64_t vaddr, const struct repair_trampoline *trampolines,
		  size_t n, const char (*names)[UNWIND_NAME_BYTES])
{
	const struct repair_trampoline *last = &trampolines[n - 1];
	struct image image = {out, 0};
	Elf64_Ehdr ehdr = {.e_type = ET_DYN,
			   .e_machine = EM_X86_64,
			   .e_version = EV_CURRENT,
			   .e_ehsize = sizeof(ehdr),
			   .e_shentsize = sizeof(Elf64_Shdr),
			   .e_shnum = SECTIONS,
			   .e_shstrndx = SECTION_SHSTRTAB};
	Elf64_Shdr *shdrs, *s;
	size_t at;

	memset(layout, 0, sizeof(*layout));
	layout->table = take(&image, n * 2 * sizeof(int32_t));
	layout->image = take(&image, sizeof(ehdr));
	ehdr.e_shoff = take(&image, SECTIONS * sizeof(*shdrs)) - layout->image;
	shdrs = (Elf64_Shdr *)(void *)(out + layout->image + ehdr.e_shoff);
	s = section(shdrs, SECTION_TEXT, ".text", SHT_NOBITS, image.at, (size_t)(last->vaddr + last->len - trampolines[0].vaddr));
	s->sh_flags = SHF_ALLOC | SHF_EXECINSTR;
	s->sh_addr = trampolines[0].vaddr;
	s->sh_addralign = 1;

	layout->debug_frame = put_frame(&image, vaddr, REPAIR_CFI_DEBUGGERS, trampolines, n,
					(uint32_t *)(void *)(out + layout->table) + n, &layout->debug_frame_bytes);
	put_table(layout, out, trampolines, n);
	s = section(shdrs, SECTION_EH_FRAME, ".eh_frame", SHT_PROGBITS, layout->debug_frame, layout->debug_frame_bytes);
	s->sh_flags = SHF_ALLOC;
	s->sh_addr = vaddr + layout->debug_frame;

	put_symbols(&image, shdrs, trampolines, n, names);
	at = take(&image, sizeof(section_names));
	memcpy(out + at, section_names, sizeof(section_names));
	(void)section(shdrs, SECTION_SHSTRTAB, ".shstrtab", SHT_STRTAB, at, sizeof(section_names));
	layout->image_bytes = image.at - layout->image;
	for (unsigned i = 1; i < SECTIONS; i++) {
		shdrs[i].sh_offset -= layout->image;
	}
	memcpy(ehdr.e_ident, ELFMAG, SELFMAG);
	ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	memcpy(out + layout->image, &ehdr, sizeof(ehdr));

	layout->exception_frame = put_frame(&image, vaddr, REPAIR_CFI_EXCEPTIONS, trampolines, n, NULL,
					    &layout->exception_frame_bytes);
}
