/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file's ELF headers say, read with bounded memory through a source. Program headers decide
 * what will be executable (range.h). Sections, symbols and unwind tables only explain; whatever they
 * claim, nothing is found or missed because of them.
 */
#ifndef LYCH_ELF_H
#define LYCH_ELF_H

#include <elf.h>

#include "source.h"

enum elf_kind {
	ELF_KIND_NONE,    /* not ELF */
	ELF_KIND_X86_64,  /* ELF64, little-endian, EM_X86_64: the rest of this header applies */
	ELF_KIND_CORE,    /* the same, a core file */
	ELF_KIND_FOREIGN, /* another class, byte order or machine: elf_foreign_name says which */
};

/* Pure: looks at the first len bytes of a file. At least 20 are needed to see more than "ELF". */
enum elf_kind elf_identify(const uint8_t *head, size_t len);
/* "ELF32 i386", "x32", "ELF64 aarch64", "ELF64 machine 243 (big-endian)"... into buf. Returns buf. */
const char *elf_foreign_name(const uint8_t *head, size_t len, char *buf, size_t buf_bytes);

struct elf_symbol {
	uint64_t start, size;
	uint32_t name; /* offset in the string table it came from */
	uint8_t type;  /* STT_* */
	uint8_t table; /* which string table: 0 .symtab, 1 .dynsym */
};

struct elf {
	struct source src;
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdrs; /* owned */
	size_t nphdrs;
	Elf64_Shdr *shdrs; /* owned; loaded by elf_open, empty when absent, lying or too many */
	size_t nshdrs;

	bool symbols_loaded;
	struct elf_symbol *symbols; /* owned; sorted by start; only those in executable memory */
	size_t nsymbols;

	/* from PT_GNU_EH_FRAME or section .eh_frame_hdr: the sorted search table; 0 entries: none */
	bool unwind_loaded;
	uint64_t fde_table_off, fde_table_vaddr; /* of the table's first entry; entries are 2 * int32 */
	uint64_t fde_hdr_vaddr;
	uint32_t fde_count;

	uint8_t build_id[LYCH_BUILD_ID_MAX];
	uint8_t build_id_len;
	bool textrel; /* DT_TEXTREL or DF_TEXTREL: ld.so will write into code */
};

/*
 * elf_open reads the headers of an x86-64 ELF file. e stays in *e until elf_close; src is copied.
 * Returns 0; -EBADMSG (with *why a static clause) when no loader would accept the headers; -ENODATA,
 * -ESTALE, -EIO, -ENOMEM. After an error nothing is held. Section headers that make no sense
 * are no error: nshdrs is 0.
 */
LYCH_MUST_CHECK int elf_open(struct elf *e, const struct source *src, const char **why);
void elf_close(struct elf *e);

/* File offset of vaddr by the program headers (ET_REL: none); LYCH_NO_OFFSET when not in the file. */
uint64_t elf_vaddr_to_off(const struct elf *e, uint64_t vaddr);

/* What the file says about an address in executable memory. All best effort. */
struct elf_where {
	bool has_sections;    /* the file has section headers that make sense */
	bool in_section;
	bool section_is_code; /* SHF_EXECINSTR and not NOBITS */
	char section[256];
	uint64_t section_start, section_end;

	bool has_symbol; /* nearest at or below, of type FUNC, GNU_IFUNC, NOTYPE or OBJECT */
	char symbol[256];
	uint64_t symbol_start, symbol_size;
	uint8_t symbol_type;
	uint64_t next_symbol; /* start of the first symbol above vaddr; UINT64_MAX: none */

	bool has_fdes;      /* the file has unwind information at all */
	bool in_fde;        /* vaddr is in [fde_start, fde_end) */
	uint64_t fde_start, fde_end;   /* of the FDE that holds vaddr, or the last one below it */
	uint64_t next_fde;  /* start of the first FDE above vaddr; UINT64_MAX: none */
};

/*
 * In an ET_REL file vaddr is a file offset (nothing has an address yet), and section and symbol values
 * are translated to file offsets. Loads symbols and unwind table on first use (so e is not shared between
 * threads). Symbol tables beyond a memory budget of 32 MiB are read again for each question instead.
 * Never fails: what cannot be read is not said.
 */
void elf_where(struct elf *e, uint64_t vaddr, struct elf_where *where);

/*
 * Calls fn for each note of the PT_NOTE segments (of SHT_NOTE sections in ET_REL) in turn: owner without the
 * final NUL, descriptor (at most 1 MiB, larger ones are passed over) and its virtual address. Return 0 to go on.
 */
int elf_notes(const struct elf *e, int (*fn)(void *ctx, const char *owner, size_t owner_len,
					     uint32_t type, const uint8_t *desc, size_t desc_len,
					     uint64_t desc_vaddr),
	      void *ctx);

/* Copies a string for a report: at most size-1 bytes, control characters and bytes >= 0x80 that
 * are not UTF-8 become '?'. */
void elf_clean_string(char *dst, size_t size, const char *src, size_t len);

#endif /* LYCH_ELF_H */
