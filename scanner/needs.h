/* SPDX-License-Identifier: Apache-2.0 */
/* What an ELF file asks the kernel and ld.so for, read with bounded memory. */
#ifndef LYCH_NEEDS_H
#define LYCH_NEEDS_H

#include "source.h"

enum need_kind {
	NEED_LIBRARY,   /* DT_NEEDED */
	NEED_FILTER,    /* DT_FILTER: loaded as well */
	NEED_AUXILIARY, /* DT_AUXILIARY: loaded if it is there */
};

struct need {
	char *name; /* with tokens as they stand */
	enum need_kind kind;
};

struct needs {
	/* Owned; NULL when the file does not say. */
	char *interp, *soname;
	char *rpath; /* NULL when there is a runpath: ld.so ignores it then */
	char *runpath;
	struct need *items; /* owned; in the order of the file */
	size_t count;

	uint16_t type; /* e_type */
	bool nodeflib; /* DF_1_NODEFLIB */
	bool audit;    /* DT_AUDIT or DT_DEPAUDIT */
	size_t bytes;  /* of memory held */
};

/*
 * needs_read reads the file src. Returns 0, or with *why a static clause ("" when the code says
 * all) -ENOEXEC, -EPROTOTYPE, -ELIBBAD, -EBADMSG, -ENODATA, -EFBIG (more than any linker writes),
 * -ESTALE, -EIO, -ENOMEM; then nothing is held.
 */
LYCH_MUST_CHECK int needs_read(struct needs *out, const struct source *src, const char **why);
void needs_free(struct needs *needs);
/* Frees the list of items only, which is no longer of use once they are looked up. */
void needs_free_items(struct needs *needs);

#endif /* LYCH_NEEDS_H */
