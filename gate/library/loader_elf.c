/* SPDX-License-Identifier: Apache-2.0 */
#include "loader_elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define PAGE ((uint64_t)4096)

static uint64_t page_down(uint64_t at)
{
	return at & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t at)
{
	return page_down(at + PAGE - 1);
}

/* [at, at + bytes) is within [0, end) */
static bool within(uint64_t at, uint64_t bytes, uint64_t end)
{
	return at <= end && bytes <= end - at;
}

static const char *check_header(const Elf64_Ehdr *h, uint64_t bytes)
{
	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) {
		return "is not an ELF file";
	}
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64) {
		return "is of another machine";
	}
	if (h->e_ident[EI_VERSION] != EV_CURRENT || h->e_version != EV_CURRENT ||
	    (h->e_ident[EI_OSABI] != ELFOSABI_SYSV && h->e_ident[EI_OSABI] != ELFOSABI_GNU)) {
		return "is of another system";
	}
	if (h->e_type != ET_DYN) {
		return "is not position-independent";
	}
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > LOADER_PHDRS_MAX) {
		return "has no program headers, or too many";
	}
	if (!within(h->e_phoff, h->e_phnum * sizeof(Elf64_Phdr), bytes)) {
		return "is cut off in its program headers";
	}
	return NULL;
}

static const char *add_segment(struct loader_elf *out, const Elf64_Phdr *p, uint64_t bytes)
{
	struct loader_segment *s = &out->segments[out->count];

	if (out->count == LOADER_SEGMENTS_MAX) {
		return "has too many segments";
	}
	if (!within(p->p_offset, p->p_filesz, bytes)) {
		return "is cut off";
	}
	if (p->p_filesz > p->p_memsz || !within(p->p_vaddr, p->p_memsz, LOADER_IMAGE_MAX)) {
		return "has a segment of impossible size";
	}
	if ((p->p_vaddr - p->p_offset) % PAGE != 0) {
		return "has a segment that cannot be mapped";
	}
	/* 0 and 1 mean none. */
	if ((p->p_align & (p->p_align - 1)) != 0 || p->p_align > LOADER_ALIGN_MAX) {
		return "has a segment of impossible alignment";
	}
	if ((p->p_flags & (PF_W | PF_X)) == (PF_W | PF_X)) {
		return "has code that can be written";
	}
	*s = (struct loader_segment){
		.start = page_down(p->p_vaddr),
		.end = page_up(p->p_vaddr + p->p_memsz),
		.vaddr = p->p_vaddr,
		.file = p->p_offset,
		.bytes = p->p_filesz,
		.readable = (p->p_flags & PF_R) != 0,
		.writable = (p->p_flags & PF_W) != 0,
		.executable = (p->p_flags & PF_X) != 0,
	};
	s->held = p->p_filesz == 0 ? 0 : page_up(p->p_vaddr + p->p_filesz) - s->start;
	if (out->count == 0 ? s->start != 0 : s->start < out->segments[out->count - 1].end) {
		return out->count == 0 ? "does not begin at address 0" : "has segments over each other";
	}
	if (s->executable && s->start + s->held != s->end) {
		return "has code that is not in the file";
	}
	out->align = p->p_align > out->align ? p->p_align : out->align;
	out->end = s->end;
	out->count++;
	return NULL;
}

/* Are `bytes` bytes of the file from offset off at the same address, readable? */
static bool in_memory(const struct loader_elf *elf, uint64_t off, uint64_t bytes)
{
	const struct loader_segment *s = &elf->segments[0];

	return s->readable && s->file == 0 && s->vaddr == 0 && within(off, bytes, s->bytes);
}

static bool in_code(const struct loader_elf *elf, uint64_t vaddr)
{
	for (uint32_t i = 0; i < elf->count; i++) {
		const struct loader_segment *s = &elf->segments[i];

		if (s->executable && vaddr >= s->vaddr && vaddr - s->vaddr < s->bytes) {
			return true;
		}
	}
	return false;
}

static const char *read_segments(struct loader_elf *out, const uint8_t *file, uint64_t bytes, const Elf64_Ehdr *h)
{
	bool dynamic = false;

	for (uint64_t i = 0; i < h->e_phnum; i++) {
		const char *why = NULL;
		Elf64_Phdr p;

		memcpy(&p, file + h->e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_LOAD && p.p_memsz != 0) {
			why = add_segment(out, &p, bytes);
		} else if (p.p_type == PT_GNU_STACK && (p.p_flags & PF_X) != 0) {
			why = "wants an executable stack";
		}
		if (why != NULL) {
			return why;
		}
		out->interpreted = out->interpreted || p.p_type == PT_INTERP;
		dynamic = dynamic || p.p_type == PT_DYNAMIC;
	}
	if (out->count == 0 || !dynamic) {
		return "has nothing to load";
	}
	if (!in_memory(out, 0, sizeof(*h)) || !in_memory(out, h->e_phoff, h->e_phnum * sizeof(Elf64_Phdr))) {
		return "does not load its headers";
	}
	if (!in_code(out, h->e_entry)) {
		return "has no entry point in its code";
	}
	return NULL;
}

int loader_elf_read(struct loader_elf *out, const char **why, const uint8_t *file, uint64_t bytes)
{
	Elf64_Ehdr h;

	*out = (struct loader_elf){.align = PAGE};
	*why = bytes < sizeof(h) || bytes > LOADER_FILE_MAX ? "is not an ELF file of a loader's size" : NULL;
	if (*why == NULL) {
		memcpy(&h, file, sizeof(h));
		*why = check_header(&h, bytes);
	}
	if (*why == NULL) {
		*why = read_segments(out, file, bytes, &h);
	}
	if (*why != NULL) {
		return -ENOEXEC;
	}
	out->entry = h.e_entry;
	out->phdr = h.e_phoff;
	out->phnum = h.e_phnum;
	return 0;
}

/* The kernel maps whole pages of the file, and zeroes behind the last one's part. Whatever else of the file would be in
 * these pages is nobody's, and where there is code, it would be code. */
void loader_elf_fill(uint8_t *to, const struct loader_segment *segment, const uint8_t *file)
{
	if (segment->held != 0) {
		memset(to, 0, segment->held);
		memcpy(to + (segment->vaddr - segment->start), file + segment->file, segment->bytes);
	}
}
