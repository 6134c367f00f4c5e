/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/ld.so.cache as ldconfig writes it: format 1.1, alone or behind a cache of the older format.
 * Everything in the file is checked before it is used.
 */
#ifndef LYCH_LDCACHE_H
#define LYCH_LDCACHE_H

#include <lychgate/scan.h>

/* What this machine can run, which decides between entries of one name. */
struct ldcache_cpu {
	unsigned level;    /* 1 to 4: x86-64, x86-64-v2 ... */
	bool legacy;       /* the ld.so is older than 2.37 and knows the entries below */
	uint64_t hwcaps;   /* bits of the entry's hwcap field that this machine has */
	uint64_t platform; /* the one bit for the platform, 0: none */
};

struct ldcache {
	uint8_t *file; /* owned; one more byte, a NUL, than size */
	size_t size;
	size_t table;     /* where the new format begins; strings are relative to it */
	uint32_t entries; /* 0: there is no cache */
};

/* Takes the contents of a cache file, malloced with size + 1 bytes, which belong to *out from then
 * on. What is not a cache is an empty one. */
void ldcache_take(struct ldcache *out, uint8_t *file, size_t size);
/* Reads the file at path; a missing or unreadable one is empty. Returns 0 or -ENOMEM. */
LYCH_MUST_CHECK int ldcache_open(struct ldcache *out, const char *path);
void ldcache_close(struct ldcache *cache);

/* The path for a library's name, belonging to the cache, or NULL. */
const char *ldcache_find(const struct ldcache *cache, const char *name,
			 const struct ldcache_cpu *cpu);

#endif /* LYCH_LDCACHE_H */
