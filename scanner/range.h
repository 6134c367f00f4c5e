/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes of a file will be executable, as fs/binfmt_elf.c and glibc's ld.so map them: whole
 * pages, later segments over earlier ones. Pure: headers in, ranges out.
 */
#ifndef LYCH_RANGE_H
#define LYCH_RANGE_H

#include "elf.h"

#define RANGE_PAGE UINT64_C(4096)

/* Bytes of the file that stand at consecutive addresses. */
struct range {
	uint64_t vaddr;
	uint64_t off;
	uint64_t len;
	bool writable; /* also writable: what is scanned may not be what runs */
	bool joins;    /* continues right behind the range before it: sequences can lie across */
};

struct range_list {
	struct range *items; /* owned; ascending by vaddr */
	size_t count;
};

/* Things about the layout that a user must know; a set. */
enum range_flag {
	/* an executable segment reaches beyond the end of the file */
	RANGE_TRUNCATED = 1,
	/* segments lie over each other; the later one counts, as for the loaders */
	RANGE_OVERLAP = 2,
	/* vaddr and offset differ modulo the page: no loader takes it; scanned as it stands */
	RANGE_MISALIGNED = 4,
	/* an executable segment is writable */
	RANGE_WRITABLE = 8,
	/* PT_GNU_STACK asks for an executable stack */
	RANGE_EXEC_STACK = 16,
	/* there is no PT_GNU_STACK: glibc before 2.41 makes stacks executable */
	RANGE_NO_STACK_HEADER = 32,
	/* the same bytes are mapped over and over: refused with -EBADMSG */
	RANGE_REPEATED = 64,
};

/*
 * range_of_segments works for executables and shared objects, range_of_sections for ET_REL (each
 * section with SHF_EXECINSTR by itself; vaddr is the file offset). file_size clips: what lies
 * beyond the end of a file in its last page reads as zero, and no sequence holds a zero byte.
 * Returns 0, -ENOMEM, or -EBADMSG: more segments than any loader takes (65535), addresses that
 * wrap, or (with RANGE_REPEATED in *flags) so many executable copies of a small file that scanning
 * would never end: more than 1 MiB and more than 16 times the file. Free with range_free; after an
 * error *out is empty.
 */
LYCH_MUST_CHECK int range_of_segments(struct range_list *out, unsigned *flags,
				      const Elf64_Phdr *phdrs, size_t nphdrs, uint64_t file_size);
LYCH_MUST_CHECK int range_of_sections(struct range_list *out, unsigned *flags,
				      const Elf64_Shdr *shdrs, size_t nshdrs, uint64_t file_size);
void range_free(struct range_list *list);

/*
 * range_load_spans gives the pages that the PT_LOAD segments map, executable or not; owner is the
 * index of the program header. *out is the caller's to free. Returns 0, -ENOMEM, -EBADMSG (as
 * above).
 */
LYCH_MUST_CHECK int range_load_spans(struct span **out, size_t *nout, const Elf64_Phdr *phdrs,
				     size_t nphdrs);

/*
 * Whether the pages of two PT_LOAD segments lie over each other, those that a loader fills with zeros
 * (p_memsz) included: which of them is seen is then not decided by the file alone. Addresses that
 * wrap count as such. Returns 0, -ENOMEM.
 */
LYCH_MUST_CHECK int range_memory_overlaps(bool *overlaps, const Elf64_Phdr *phdrs, size_t nphdrs);

/* The file offset that a segment gives to vaddr, which is in its pages. False: before the file's
 * begin, or beyond what an offset can say. */
bool range_segment_off(const Elf64_Phdr *phdr, uint64_t vaddr, uint64_t *off);

#endif /* LYCH_RANGE_H */
