/* SPDX-License-Identifier: Apache-2.0 */
/* The first stack of a process, as the x86-64 ABI describes it, made from nothing: the environment of the host holds
 * secrets. Pure. */
#ifndef LYCH_LOADER_STACK_H
#define LYCH_LOADER_STACK_H

#include <stdint.h>

#include "../core/hidden.h"

/* What the stack's top holds, at most. */
#define LOADER_FIRST_BYTES ((uint64_t)8192)
#define LOADER_SEARCH_MAX 4095 /* bytes of a search path */

struct loader_first {
	const char *name;   /* argv[0] */
	const char *search; /* LD_LIBRARY_PATH; NULL: none */
	/* auxv */
	uint64_t phdr, phnum, entry; /* of the program */
	uint64_t base;               /* of its loader */
	uint64_t hwcap, hwcap2, clktck, minsigstksz;
	uint64_t uid, euid, gid, egid;
	uint8_t random[16];
};

/*
 * loader_stack makes the LOADER_FIRST_BYTES bytes that end at address top, a multiple of 16. *rsp is what the
 * program's loader starts with; the struct inside_start that begins it, with rip as given and all other registers
 * 0, is at *start. 0, or -E2BIG: it is longer. Reentrant.
 */
LYCH_HIDDEN int loader_stack(uint8_t *out, uint64_t top, uint64_t rip, const struct loader_first *first, uint64_t *rsp,
			     uint64_t *start);

/*
 * Can search be LD_LIBRARY_PATH, and means directories separated by colons? 0, or -EINVAL and *why says why not: an
 * empty name would be the working directory; what ld.so expands, or takes for another separator. -E2BIG: longer
 * than LOADER_SEARCH_MAX.
 */
LYCH_HIDDEN int loader_search(const char *search, const char **why);

#endif /* LYCH_LOADER_STACK_H */
