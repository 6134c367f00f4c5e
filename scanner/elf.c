/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of ELF headers.
 *
 * Why not libelf: what counts here is what the kernel (fs/binfmt_elf.c) and ld.so map, and they
 * look at less than a general reader does. libelf refuses or "repairs" files that they load,
 * follows PN_XNUM which they do not know, and takes section headers seriously, which they never
 * read. It also maps the file, so that one that shrinks meanwhile ends the program with SIGBUS, or
 * copies tables into memory as large as the file says. Here everything is read through a source, in
 * pieces whose sizes are bounded whatever the headers claim. A test compares the answers with those
 * of libelf and libdw.
 *
 * A file is refused only when every loader refuses it: the kernel looks at e_type, e_machine and
 * e_phentsize, not at EI_VERSION, EI_OSABI or e_version, so neither does this.
 */
#include <stdlib.h>
#include <string.h>

#include "elf.h"
#include "range.h"

#define MAX_DYNAMIC 65536
#define MAX_DYNAMICS 16
#define MAX_HASHED (1u << 24)
#define MAX_NOTE_DESC (1u << 20)
#define MAX_NOTE_SEGMENT (UINT64_C(4) << 20)
#define MAX_NOTE_BYTES (UINT64_C(64) << 20)

/*
 * The kernel looks at neither EI_CLASS nor EI_DATA: e_type, e_machine and e_phentsize, where they stand in
 * an Elf64_Ehdr, decide. In a true x32 file e_phentsize is part of a p_type and never 56.
 */
static bool kernel_takes_it(const uint8_t *head, size_t len)
{
	Elf64_Ehdr ehdr;

	if (len < sizeof(ehdr)) {
		return false;
	}
	memcpy(&ehdr, head, sizeof(ehdr));
	return (ehdr.e_type == ET_EXEC || ehdr.e_type == ET_DYN) && ehdr.e_machine == EM_X86_64 &&
	       ehdr.e_phentsize == sizeof(Elf64_Phdr) && ehdr.e_phnum > 0;
}

enum elf_kind elf_identify(const uint8_t *head, size_t len)
{
	uint16_t type;
	uint16_t machine;

	if (len < SELFMAG || memcmp(head, ELFMAG, SELFMAG) != 0) {
		return ELF_KIND_NONE;
	}
	if (kernel_takes_it(head, len)) {
		return ELF_KIND_X86_64;
	}
	if ((len > EI_CLASS && head[EI_CLASS] != ELFCLASS64) ||
	    (len > EI_DATA && head[EI_DATA] != ELFDATA2LSB)) {
		return ELF_KIND_FOREIGN;
	}
	if (len < offsetof(Elf64_Ehdr, e_version)) {
		return ELF_KIND_X86_64;
	}
	memcpy(&type, head + offsetof(Elf64_Ehdr, e_type), sizeof(type));
	memcpy(&machine, head + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
	if (machine != EM_X86_64) {
		return ELF_KIND_FOREIGN;
	}
	return type == ET_CORE ? ELF_KIND_CORE : ELF_KIND_X86_64;
}

static int read_headers(struct elf *e, const char **why)
{
	int rc = source_read(&e->src, 0, &e->ehdr, sizeof(e->ehdr));

	if (rc != 0) {
		*why = rc == -ENODATA ? "the file ends within the ELF header" : "";
		return rc;
	}
	if (elf_identify((const uint8_t *)&e->ehdr, sizeof(e->ehdr)) != ELF_KIND_X86_64) {
		*why = "not an x86-64 ELF file";
		return -EBADMSG;
	}
	if (e->ehdr.e_type != ET_REL && e->ehdr.e_type != ET_EXEC && e->ehdr.e_type != ET_DYN) {
		*why = "neither executable, shared object nor relocatable object (e_type)";
		return -EBADMSG;
	}
	return 0;
}

/*
 * The kernel takes at most 64 KiB of program headers, ld.so any number that fits e_phnum: PN_XNUM
 * is for it not an escape but 65535 headers, and so it is here.
 */
static int read_segments(struct elf *e, const char **why)
{
	uint64_t size = (uint64_t)e->ehdr.e_phnum * sizeof(Elf64_Phdr);
	int rc;

	if (e->ehdr.e_type == ET_REL || e->ehdr.e_phnum == 0) {
		return 0;
	}
	if (e->ehdr.e_phentsize != sizeof(Elf64_Phdr)) {
		*why = "program headers are not 56 bytes each (e_phentsize)";
		return -EBADMSG;
	}
	if (e->ehdr.e_phoff > INT64_MAX - size) {
		*why = "the offset of the program headers wraps (e_phoff)";
		return -EBADMSG;
	}
	if (e->ehdr.e_phoff + size > e->src.size) {
		*why = "the file ends before or within the program headers";
		return -ENODATA;
	}
	e->phdrs = malloc(size);
	if (e->phdrs == NULL) {
		return -ENOMEM;
	}
	rc = source_read(&e->src, e->ehdr.e_phoff, e->phdrs, size);
	if (rc != 0) {
		return rc;
	}
	e->nphdrs = e->ehdr.e_phnum;
	rc = range_load_spans(&e->loads, &e->nloads, e->phdrs, e->nphdrs);
	if (rc == -EBADMSG) {
		*why = "the addresses of a segment wrap";
	}
	return rc != 0 ? rc : range_memory_overlaps(&e->overlap, e->phdrs, e->nphdrs);
}

static int count_sections(const struct elf *e, uint64_t *count, const char **why)
{
	const Elf64_Ehdr *ehdr = &e->ehdr;
	Elf64_Shdr first;

	if (ehdr->e_shoff == 0) {
		*why = "there are no section headers";
		return -EBADMSG;
	}
	if (ehdr->e_shentsize != sizeof(Elf64_Shdr)) {
		*why = "section headers are not 64 bytes each (e_shentsize)";
		return -EBADMSG;
	}
	*count = ehdr->e_shnum;
	if (*count == 0) {
		/* Extended numbering (gABI, e_shnum): the count stands in the first header. */
		if (source_read(&e->src, ehdr->e_shoff, &first, sizeof(first)) != 0) {
			*why = "the file ends before or within the section headers";
			return -ENODATA;
		}
		*count = first.sh_size;
	}
	if (*count == 0 || *count > ELF_MAX_SECTIONS) {
		*why = *count == 0 ? "there are no section headers" : "too many section headers";
		return -EBADMSG;
	}
	if (ehdr->e_shoff > e->src.size || *count * sizeof(first) > e->src.size - ehdr->e_shoff) {
		*why = "the file ends before or within the section headers";
		return -ENODATA;
	}
	return 0;
}

static int read_sections(struct elf *e, const char **why)
{
	uint64_t count = 0;
	int rc = count_sections(e, &count, why);

	if (rc == 0) {
		e->shdrs = malloc(count * sizeof(Elf64_Shdr));
		if (e->shdrs == NULL) {
			return -ENOMEM;
		}
		rc = source_read(&e->src, e->ehdr.e_shoff, e->shdrs, count * sizeof(Elf64_Shdr));
	}
	if (rc != 0 && e->ehdr.e_type != ET_REL) {
		free(e->shdrs);
		e->shdrs = NULL;
		*why = "";
		return 0;
	}
	if (rc != 0) {
		return rc;
	}
	e->nshdrs = count;
	e->shstrndx = e->ehdr.e_shstrndx == SHN_XINDEX ? e->shdrs[0].sh_link : e->ehdr.e_shstrndx;
	if (e->shstrndx >= count || e->shdrs[e->shstrndx].sh_type != SHT_STRTAB) {
		e->shstrndx = 0;
	}
	return 0;
}

uint64_t elf_vaddr_to_off(const struct elf *e, uint64_t vaddr)
{
	const struct span *span = span_find(e->loads, e->nloads, vaddr);
	uint64_t off;

	if (span == NULL || !range_segment_off(&e->phdrs[span->owner], vaddr, &off) ||
	    off >= e->src.size) {
		return LYCH_NO_OFFSET;
	}
	return off;
}

size_t elf_read_vaddr(const struct elf *e, uint64_t vaddr, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len && vaddr + done >= vaddr) {
		const struct span *span = span_find(e->loads, e->nloads, vaddr + done);
		uint64_t off = elf_vaddr_to_off(e, vaddr + done);
		size_t want = len - done;
		size_t got;

		if (off == LYCH_NO_OFFSET) {
			break;
		}
		if (want > span->end - (vaddr + done)) {
			want = span->end - (vaddr + done);
		}
		if (source_read_some(&e->src, off, (uint8_t *)buf + done, want, &got) != 0) {
			break;
		}
		done += got;
		if (got < want) {
			break;
		}
	}
	return done;
}

uint64_t elf_settled(const struct elf *e, uint64_t vaddr)
{
	const struct span *span;
	const Elf64_Phdr *phdr;
	uint64_t end;

	if (e->ehdr.e_type == ET_REL) {
		return UINT64_MAX - vaddr;
	}
	span = span_find(e->loads, e->nloads, vaddr);
	if (span == NULL || e->textrel || e->overlap) {
		return 0;
	}
	phdr = &e->phdrs[span->owner];
	if ((phdr->p_flags & PF_W) != 0) {
		return 0;
	}
	end = span->end;
	if (phdr->p_memsz > phdr->p_filesz && phdr->p_vaddr + phdr->p_filesz < end) {
		end = phdr->p_vaddr + phdr->p_filesz; /* the rest of the page may be zeroed */
	}
	return end > vaddr ? end - vaddr : 0;
}

/* ---- PT_DYNAMIC ------------------------------------------------------------------------------ */

struct dynamic {
	bool textrel;
	uint64_t symtab, strtab, strsz, hash, gnu_hash; /* 0: not there */
};

static void take_dynamic(struct dynamic *out, const Elf64_Dyn *dyn)
{
	switch (dyn->d_tag) {
	case DT_TEXTREL:
		out->textrel = true;
		break;
	case DT_FLAGS:
		out->textrel |= (dyn->d_un.d_val & DF_TEXTREL) != 0;
		break;
	case DT_SYMTAB:
		out->symtab = dyn->d_un.d_ptr;
		break;
	case DT_STRTAB:
		out->strtab = dyn->d_un.d_ptr;
		break;
	case DT_STRSZ:
		out->strsz = dyn->d_un.d_val;
		break;
	case DT_HASH:
		out->hash = dyn->d_un.d_ptr;
		break;
	case DT_GNU_HASH:
		out->gnu_hash = dyn->d_un.d_ptr;
		break;
	default:
		break;
	}
}

/* The entries at vaddr, up to DT_NULL whatever the sizes say. */
static void read_dynamic_at(const struct elf *e, uint64_t vaddr, struct dynamic *out)
{
	Elf64_Dyn chunk[64];

	for (size_t done = 0; done < MAX_DYNAMIC; done += 64) {
		size_t got = elf_read_vaddr(e, vaddr + done * sizeof(*chunk), chunk, sizeof(chunk));

		for (size_t i = 0; i < got / sizeof(*chunk); i++) {
			if (chunk[i].d_tag == DT_NULL) {
				return;
			}
			take_dynamic(out, &chunk[i]);
		}
		if (got < sizeof(chunk)) {
			return;
		}
	}
	/* What ld.so reads goes on, and may say so behind. */
	out->textrel = true;
}

/*
 * The last PT_DYNAMIC counts; which is the last differs (ld.so passes over one without bytes in the file,
 * but not for the program it was started for), so that DT_TEXTREL counts in any of them.
 */
static void read_dynamic(const struct elf *e, struct dynamic *out)
{
	size_t left = MAX_DYNAMICS;
	bool textrel = false;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < e->nphdrs; i++) {
		if (e->phdrs[i].p_type != PT_DYNAMIC) {
			continue;
		}
		if (left-- == 0) {
			textrel = true; /* no linker makes so many: the worst is taken for true */
			break;
		}
		memset(out, 0, sizeof(*out));
		read_dynamic_at(e, e->phdrs[i].p_vaddr, out);
		textrel |= out->textrel;
	}
	out->textrel = textrel;
}

/* One more than the highest symbol index in a DT_GNU_HASH table; 0 when it cannot be told. */
static uint64_t gnu_hash_count(const struct elf *e, uint64_t vaddr)
{
	uint32_t head[4]; /* buckets, first symbol hashed, words of the filter, shift */
	uint32_t chunk[1024];
	uint64_t chains;
	uint64_t highest = 0;

	if (elf_read_vaddr(e, vaddr, head, sizeof(head)) < sizeof(head) || head[0] > MAX_HASHED) {
		return 0;
	}
	vaddr += sizeof(head) + (uint64_t)head[2] * sizeof(uint64_t);
	chains = vaddr + (uint64_t)head[0] * sizeof(uint32_t);
	for (uint64_t done = 0; done < head[0];) {
		size_t want = head[0] - done < 1024 ? head[0] - done : 1024;

		if (elf_read_vaddr(e, vaddr + done * 4, chunk, want * 4) < want * 4) {
			return 0;
		}
		for (size_t i = 0; i < want; i++) {
			highest = chunk[i] > highest ? chunk[i] : highest;
		}
		done += want;
	}
	if (highest < head[1]) {
		return 0;
	}
	/* The last chain ends with a hash whose lowest bit is set. */
	for (uint64_t at = highest - head[1]; at < MAX_HASHED;) {
		size_t got = elf_read_vaddr(e, chains + at * 4, chunk, sizeof(chunk)) / 4;

		for (size_t i = 0; i < got; i++, at++) {
			if (chunk[i] & 1) {
				return head[1] + at + 1;
			}
		}
		if (got < 1024) {
			break;
		}
	}
	return 0;
}

void elf_dynamic_symbols(const struct elf *e, struct elf_symtab *table)
{
	struct dynamic dynamic;
	uint32_t hash[2]; /* buckets, symbols */
	uint64_t count = 0;

	read_dynamic(e, &dynamic);
	if (dynamic.symtab == 0 || dynamic.strtab == 0) {
		return;
	}
	if (dynamic.hash != 0 &&
	    elf_read_vaddr(e, dynamic.hash, hash, sizeof(hash)) == sizeof(hash)) {
		count = hash[1] < MAX_HASHED ? hash[1] : MAX_HASHED;
	} else if (dynamic.gnu_hash != 0) {
		count = gnu_hash_count(e, dynamic.gnu_hash);
	}
	table->off = elf_vaddr_to_off(e, dynamic.symtab);
	table->str_off = elf_vaddr_to_off(e, dynamic.strtab);
	table->str_size = dynamic.strsz;
	if (table->off != LYCH_NO_OFFSET && table->str_off != LYCH_NO_OFFSET) {
		table->count = count;
	}
}

/* ---- notes ----------------------------------------------------------------------------------- */

typedef int (*note_fn)(void *ctx, const char *owner, size_t owner_len, uint32_t type,
		       const uint8_t *desc, size_t desc_len, uint64_t desc_vaddr);

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/* Notes are aligned to 4 bytes, or to 8 in segments that say so (.note.gnu.property). */
static int parse_notes(const uint8_t *data, size_t len, uint64_t vaddr, uint64_t align, note_fn fn,
		       void *ctx)
{
	uint64_t at = 0;

	align = align == 8 ? 8 : 4;
	while (len - at >= sizeof(Elf64_Nhdr)) {
		const char *owner = (const char *)data + at + sizeof(Elf64_Nhdr);
		Elf64_Nhdr note;
		uint64_t desc;
		size_t owner_len;
		int rc;

		memcpy(&note, data + at, sizeof(note));
		desc = align_up(at + sizeof(note) + note.n_namesz, align);
		if (desc > len || note.n_descsz > len - desc) {
			break;
		}
		owner_len = note.n_namesz;
		if (owner_len > 0 && owner[owner_len - 1] == '\0') {
			owner_len--;
		}
		if (note.n_descsz <= MAX_NOTE_DESC) {
			rc = fn(ctx, owner, owner_len, note.n_type, data + desc, note.n_descsz,
				vaddr + desc);
			if (rc != 0) {
				return rc;
			}
		}
		at = align_up(desc + note.n_descsz, align);
		if (at > len) {
			break;
		}
	}
	return 0;
}

/* One segment or section of notes; *left is what may still be read of the file for notes. */
static int read_notes(const struct elf *e, uint64_t off, uint64_t size, uint64_t vaddr,
		      uint64_t align, uint64_t *left, note_fn fn, void *ctx)
{
	uint8_t *data;
	size_t got;
	int rc = 0;

	if (off >= e->src.size) {
		return 0;
	}
	size = size < e->src.size - off ? size : e->src.size - off;
	size = size < MAX_NOTE_SEGMENT ? size : MAX_NOTE_SEGMENT;
	size = size < *left ? size : *left;
	if (size < sizeof(Elf64_Nhdr)) {
		return 0;
	}
	*left -= size;
	data = malloc(size);
	if (data == NULL) {
		return -ENOMEM;
	}
	if (source_read_some(&e->src, off, data, size, &got) == 0) {
		rc = parse_notes(data, got, vaddr, align, fn, ctx);
	}
	free(data);
	return rc;
}

int elf_notes(const struct elf *e, note_fn fn, void *ctx)
{
	uint64_t left = MAX_NOTE_BYTES;
	int rc = 0;

	for (size_t i = 0; i < e->nphdrs && rc == 0; i++) {
		const Elf64_Phdr *phdr = &e->phdrs[i];

		if (phdr->p_type == PT_NOTE) {
			rc = read_notes(e, phdr->p_offset, phdr->p_filesz, phdr->p_vaddr,
					phdr->p_align, &left, fn, ctx);
		}
	}
	for (size_t i = 0; i < e->nshdrs && rc == 0 && e->ehdr.e_type == ET_REL; i++) {
		const Elf64_Shdr *shdr = &e->shdrs[i];

		if (shdr->sh_type == SHT_NOTE) {
			rc = read_notes(e, shdr->sh_offset, shdr->sh_size, shdr->sh_offset,
					shdr->sh_addralign, &left, fn, ctx);
		}
	}
	return rc;
}

static int take_build_id(void *ctx, const char *owner, size_t owner_len, uint32_t type,
			 const uint8_t *desc, size_t desc_len, uint64_t desc_vaddr)
{
	struct elf *e = ctx;

	(void)desc_vaddr;
	if (owner_len != 3 || memcmp(owner, "GNU", 3) != 0 || type != NT_GNU_BUILD_ID ||
	    desc_len == 0) {
		return 0;
	}
	e->build_id_len = (uint8_t)(desc_len < LYCH_BUILD_ID_MAX ? desc_len : LYCH_BUILD_ID_MAX);
	memcpy(e->build_id, desc, e->build_id_len);
	return -ECANCELED; /* found */
}

int elf_open(struct elf *e, const struct source *src, const char **why)
{
	struct dynamic dynamic;
	int rc;

	*why = "";
	memset(e, 0, sizeof(*e));
	e->src = *src;
	e->symbol_budget = ELF_SYMBOL_BYTES;
	e->unwind_budget = ELF_UNWIND_BYTES;
	rc = read_headers(e, why);
	if (rc == 0) {
		rc = read_segments(e, why);
	}
	if (rc == 0) {
		rc = read_sections(e, why);
	}
	if (rc == 0) {
		read_dynamic(e, &dynamic);
		e->textrel = dynamic.textrel;
		rc = elf_notes(e, take_build_id, e);
		rc = rc == -ECANCELED ? 0 : rc;
	}
	if (rc != 0) {
		elf_close(e);
	}
	return rc;
}

void elf_close(struct elf *e)
{
	free(e->phdrs);
	free(e->shdrs);
	free(e->loads);
	free(e->sections);
	free(e->symbols);
	free(e->fdes);
	memset(e, 0, sizeof(*e));
}
