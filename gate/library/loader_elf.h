/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files that the runtime maps itself: the dynamic loader and the stub of a library domain. Everything else is
 * mapped by that loader, inside. Pure, and strict: what a loader never is is refused, not guessed at.
 */
#ifndef LYCH_LOADER_ELF_H
#define LYCH_LOADER_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/hidden.h"

#define LOADER_FILE_MAX ((uint64_t)16 << 20)  /* bytes of a file */
#define LOADER_IMAGE_MAX ((uint64_t)64 << 20) /* bytes of address space */
#define LOADER_ALIGN_MAX ((uint64_t)2 << 20)
#define LOADER_SEGMENTS_MAX 16
#define LOADER_PHDRS_MAX 64

/* Of address space from [start, end), whole pages. The first `held` bytes come from the file, the others are zero. */
struct loader_segment {
	uint64_t start, end;
	uint64_t held;   /* whole pages, too: those that hold bytes of the file */
	uint64_t vaddr, file, bytes; /* bytes of the file from offset file are at vaddr; every other one is zero */
	bool readable, writable, executable;
};

struct loader_elf {
	uint64_t end;   /* of address space, whole pages; it begins at 0 */
	uint64_t align; /* that the place of its 0 needs: a power of two, at least a page */
	uint64_t entry; /* in an executable segment */
	uint64_t phdr, phnum; /* where the program headers are in memory */
	bool interpreted; /* names a loader: a program */
	uint32_t count;
	struct loader_segment segments[LOADER_SEGMENTS_MAX]; /* ascending; no two have a page in common */
};

/*
 * loader_elf_read says what of a file of `bytes` bytes goes where. 0, or -ENOEXEC, and *why is a clause that says
 * what the file is or is not. Nothing of the file is kept. Reentrant.
 *
 * A file that passes: ET_DYN for x86-64; segments from address 0, within the file and the limits above; none both
 * writable and executable, no executable stack, none executable that is longer in memory than in the file; headers
 * and program headers in memory as in the file; the entry point in code.
 */
LYCH_HIDDEN int loader_elf_read(struct loader_elf *out, const char **why, const uint8_t *file, uint64_t bytes);

/* Pages [start, start + held) of a segment, into memory of that many bytes. The file is the one that was read. */
LYCH_HIDDEN void loader_elf_fill(uint8_t *to, const struct loader_segment *segment, const uint8_t *file);

#endif /* LYCH_LOADER_ELF_H */
