/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded ELF files, as they are in memory: which one an address lies in, and the names in it. For reports about library domains:
 * all of it is hostile, and may change meanwhile. Each number is read once and bounded; the worst is a wrong name. Pure.
 */
#ifndef LYCH_OBJECT_H
#define LYCH_OBJECT_H

#include "frames.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OBJECT_NAME_BYTES 128

struct object {
	uint64_t base;      /* what its addresses are relative to */
	uint64_t eh_header; /* .eh_frame_hdr; 0: none */
	uint64_t dynamic, dynamic_bytes;
	bool code;          /* the address lies in a segment of code */
};

/* Is there at `start` the header of one that has loaded something at address `at`? */
LYCH_HIDDEN bool object_at(struct object *out, const struct frames_memory *memory, uint64_t start, uint64_t at);

/* The symbol of a function that `at` lies in, of those that it exports, printable; *into: bytes into it. */
LYCH_HIDDEN bool object_symbol(const struct object *object, const struct frames_memory *memory, uint64_t at,
			       char name[OBJECT_NAME_BYTES], uint64_t *into);

/* The same of those for debuggers, where they were not stripped, in the file: memory's addresses are offsets in it. vaddr is
 * relative to object.base. */
LYCH_HIDDEN bool object_file_symbol(const struct frames_memory *file, uint64_t vaddr, char name[OBJECT_NAME_BYTES],
				    uint64_t *into);

/* What is not printable ASCII becomes '?'. */
LYCH_HIDDEN void object_printable(char *text);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_OBJECT_H */
