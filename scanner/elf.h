/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file's ELF headers say, read with bounded memory through a source. Program headers decide
 * what will be executable (range.h). Sections, symbols and unwind tables only explain; whatever
 * they claim, nothing is found or missed because of them.
 */
#ifndef LYCH_ELF_H
#define LYCH_ELF_H

#include <elf.h>

#include "source.h"
#include "span.h"

#define ELF_MAX_SECTIONS 200000
/* What elf_where may keep of symbols, and of unwind information without a table; sorting included. */
#define ELF_SYMBOL_BYTES (UINT64_C(16) << 20)
#define ELF_UNWIND_BYTES (UINT64_C(8) << 20)

enum elf_kind {
	ELF_KIND_NONE,    /* not ELF */
	ELF_KIND_X86_64,  /* ELF64, little-endian, EM_X86_64: the rest of this header applies. Also what
			   * says another class or byte order, when the kernel runs it nevertheless */
	ELF_KIND_CORE,    /* the same, a core file */
	ELF_KIND_FOREIGN, /* another class, byte order or machine: elf_foreign_name says which */
};

/*
 * Pure: looks at the first len bytes of a file. At least 20 are needed to see more than "ELF": a
 * shorter beginning that does not contradict counts as x86-64, and elf_open says that it is
 * truncated.
 *
 * The kernel loads by e_machine alone and looks at neither EI_CLASS nor EI_DATA: with 64 bytes or more
 * a file that it would load as x86-64 is called so, whatever these two say.
 */
enum elf_kind elf_identify(const uint8_t *head, size_t len);
/* "ELF32 i386", "x32", "ELF64 aarch64", "ELF64 machine 243 (big-endian)" and so on, into buf. */
const char *elf_foreign_name(const uint8_t *head, size_t len, char *buf, size_t buf_bytes);

struct elf_symbol {
	uint64_t start, size;
	uint32_t name; /* offset in the string table it came from */
	uint8_t type;  /* STT_* */
	uint8_t table; /* which string table: 0 .symtab, 1 .dynsym */
	uint8_t rank;  /* the highest of an address is shown: functions, then global ones */
};

struct elf_symtab {
	uint64_t off, count;        /* of Elf64_Sym in the file; count 0: no table */
	uint64_t str_off, str_size; /* its names */
	uint64_t shndx_off;         /* SHT_SYMTAB_SHNDX, or 0 */
};

struct elf_fde {
	uint64_t start, end;
};

struct elf {
	struct source src;
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdrs; /* owned */
	size_t nphdrs;
	Elf64_Shdr *shdrs; /* owned; loaded by elf_open, empty when absent, lying or too many */
	size_t nshdrs;
	uint32_t shstrndx; /* section with the sections' names, 0: none */

	/* The pages that PT_LOAD segments map, by address; owner: index of the program header. */
	struct span *loads; /* owned */
	size_t nloads;

	uint8_t build_id[LYCH_BUILD_ID_MAX];
	uint8_t build_id_len;
	bool textrel; /* DT_TEXTREL or DF_TEXTREL: ld.so will write into code */
	bool overlap; /* range_memory_overlaps */

	/* What follows is elf_where's, filled on first use. */
	bool sections_loaded;
	struct span *sections; /* owned; by address, ET_REL by offset; owner: section index */
	size_t nsections;

	uint64_t symbol_budget; /* ELF_SYMBOL_BYTES; tests set less before the first elf_where */
	bool symbols_loaded;
	struct elf_symtab symtabs[2]; /* .symtab, .dynsym */
	struct elf_symbol *symbols;   /* owned; sorted by start; only those in executable memory */
	size_t nsymbols;
	bool symbols_streamed; /* over budget: read again for each question ... */
	uint64_t stream_left;  /* ... until so many bytes were read in all */
	bool stream_known;     /* the last answer, good for all addresses in [first, until) */
	uint64_t stream_first, stream_until;
	struct elf_symbol stream_symbol;

	uint64_t unwind_budget; /* ELF_UNWIND_BYTES, the same */
	bool unwind_loaded;
	/* from PT_GNU_EH_FRAME or section .eh_frame_hdr: the sorted search table; 0 entries: none */
	uint64_t fde_table_vaddr; /* of the table's first entry; entries are 2 * int32 */
	uint64_t fde_hdr_vaddr;   /* what they are relative to */
	uint64_t fde_count;
	/* without a search table: all of .eh_frame, sorted by start */
	struct elf_fde *fdes; /* owned */
	size_t nfdes;
};

/*
 * elf_open reads the headers of an x86-64 ELF file. e stays in *e until elf_close; src is copied.
 * Returns 0; -EBADMSG (with *why a static clause) when no loader would accept the headers; -ENODATA
 * (with *why: the file ends within headers it promises), -ESTALE, -EIO, -ENOMEM. After an error
 * nothing is held. Section headers that make no sense are no error: nshdrs is 0; only in ET_REL,
 * where nothing else says what is code, are they.
 */
LYCH_MUST_CHECK int elf_open(struct elf *e, const struct source *src, const char **why);
void elf_close(struct elf *e);

/*
 * File offset of the byte that loaders map at vaddr, by the program headers (ET_REL: none);
 * LYCH_NO_OFFSET when there is none in the file.
 */
uint64_t elf_vaddr_to_off(const struct elf *e, uint64_t vaddr);
/* Copies what the file has at vaddr, at most len bytes; returns how many. An error is an end. */
size_t elf_read_vaddr(const struct elf *e, uint64_t vaddr, void *buf, size_t len);

/*
 * What to add to a link-time address of e for its place in a process that maps the page of the file at off at start: by
 * the loadable segment that off lies in, executable ones first. False when there is none. Pure.
 */
bool elf_bias(const struct elf *e, uint64_t start, uint64_t off, uint64_t *bias);

/*
 * How many bytes from vaddr on will run as they stand in the file: 0 where the segment is writable, where
 * ld.so relocates code, or where a loader may put zeros instead. In ET_REL all do: nothing is loaded.
 */
uint64_t elf_settled(const struct elf *e, uint64_t vaddr);

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

	bool has_fdes;               /* the file has unwind information at all */
	bool in_fde;                 /* vaddr is in [fde_start, fde_end) */
	uint64_t fde_start, fde_end; /* of the FDE that holds vaddr, or the last one below it */
	uint64_t next_fde;           /* start of the first FDE above vaddr; UINT64_MAX: none */
};

/*
 * In an ET_REL file vaddr is a file offset (nothing has an address yet), and section and symbol
 * values are translated to file offsets. Loads symbols and unwind table on first use (so e is not
 * shared between threads). Symbol tables beyond the memory budget are read again for each question
 * instead, up to 4 GiB in all. Never fails: what cannot be read is not said.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* in C++ the struct and the function share a name */
void elf_where(struct elf *e, uint64_t vaddr, struct elf_where *where);
#pragma GCC diagnostic pop
/* The same where the file is loaded with bias added to all of its addresses, those in *where included. */
void elf_where_at(struct elf *e, uint64_t bias, uint64_t vaddr, struct elf_where *where);

/*
 * Calls fn for each note of the PT_NOTE segments (of SHT_NOTE sections in ET_REL) in turn: owner
 * without the final NUL, descriptor (at most 1 MiB, larger ones are passed over) and its virtual
 * address (ET_REL: file offset). Of one segment at most 4 MiB are read, of all 64 MiB. fn returns 0
 * to go on. Returns 0, what fn returned, -ENOMEM.
 */
int elf_notes(const struct elf *e,
	      int (*fn)(void *ctx, const char *owner, size_t owner_len, uint32_t type,
			const uint8_t *desc, size_t desc_len, uint64_t desc_vaddr),
	      void *ctx);

/* The section's name, cleaned; "" when there is none. */
void elf_section_name(const struct elf *e, char *dst, size_t size, const Elf64_Shdr *shdr);

/* Fills the unwind part of *where (elf_unwind.c); the rest is left alone. */
void elf_where_unwind(struct elf *e, uint64_t vaddr, struct elf_where *where);

/* What DT_SYMTAB says, for files without section headers: fills *table when it makes sense. */
void elf_dynamic_symbols(const struct elf *e, struct elf_symtab *table);

/*
 * Copies a string for a report, up to its NUL or len bytes: at most size-1 bytes, never half a
 * character. Control characters, those that change the direction of text, and what is not UTF-8
 * become '?'.
 */
void elf_clean_string(char *dst, size_t size, const char *src, size_t len);

#endif /* LYCH_ELF_H */
