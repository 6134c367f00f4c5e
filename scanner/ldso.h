/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an ld.so looks: its default directories and the subdirectories of every directory that
 * depend on the processor; tokens and lists of directories.
 */
#ifndef LYCH_LDSO_H
#define LYCH_LDSO_H

#include "source.h"

/* What ld.so makes of the processor and the operating system's support for it. */
struct ldso_cpu {
	unsigned level;       /* 1 to 4: x86-64, x86-64-v2 ... */
	bool avx512_1;        /* glibc's name for AVX-512 F, CD, BW, DQ, VL */
	const char *platform; /* $PLATFORM: "haswell", "xeon_phi" or "x86_64" */
};

struct ldso_cpu ldso_cpu_of_host(void);

/* What differs between builds and versions of glibc. */
struct ldso {
	const char *lib;                /* $LIB */
	const char *const *system_dirs; /* with a slash at the end; NULL ends the list */
	bool named;                     /* 2.33 and later: glibc-hwcaps/x86-64-v2 ... */
	bool legacy; /* 2.36 and earlier: tls/haswell/avx512_1/x86_64 and all its parts */
};

/* Tells from the contents of an ld.so; with src NULL, or another file, Debian's, of 2.37 or later.
 */
LYCH_MUST_CHECK int ldso_recognise(struct ldso *out, const struct source *src);

#define LDSO_SUBDIRS_MAX 20

/* The subdirectories of each directory in the order in which they are tried; the last one is "". */
struct ldso_subdirs {
	char items[LDSO_SUBDIRS_MAX][48];
	size_t count;
};

void ldso_subdirs_of(struct ldso_subdirs *out, const struct ldso *ldso, const struct ldso_cpu *cpu);

/* Existing directories, with a slash at the end, in order. */
struct ldso_dirs {
	char **items; /* owned */
	size_t count;
	size_t bytes; /* of memory held */
};

/* What tokens stand for. */
struct ldso_tokens {
	const char *origin, *lib, *platform;
};

/* text with $ORIGIN, ${ORIGIN}, $LIB... replaced. Returns 0 and a string to be freed, -ENOMEM, or
 * -EFBIG: longer than a path. */
LYCH_MUST_CHECK int ldso_expand(char **out, const char *text, const struct ldso_tokens *tokens);

/*
 * ldso_dirs_add splits list at the characters of separators, expands tokens (none when tokens is
 * NULL), and appends those directories and their subdirectories that exist; an empty element is the
 * current directory. *probes goes down by one for each directory looked at. Returns 0, -ENOMEM, or
 * -EFBIG when *probes is 0 or bytes gets larger than max_bytes.
 */
LYCH_MUST_CHECK int ldso_dirs_add(struct ldso_dirs *dirs, const char *list, const char *separators,
				  const struct ldso_tokens *tokens,
				  const struct ldso_subdirs *subdirs, size_t *probes,
				  size_t max_bytes);
void ldso_dirs_free(struct ldso_dirs *dirs);

#endif /* LYCH_LDSO_H */
