/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Old format: "ld.so-1.7.0", number of entries, entries of 12 bytes, and then, where the old format
 * has its strings, aligned to 8, the new one: "glibc-ld.so.cache1.1", number of entries, size of
 * the strings, flags, offset of extensions, entries of 24 bytes {flags, key, value, osversion,
 * hwcap}. Entries descend by key, in an order in which runs of digits count as numbers.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "ldcache.h"
#include "source.h"

#define MAX_FILE (16u << 20)
#define HEADER 48u
#define ENTRY 24u
#define OLD_HEADER 16u
#define OLD_ENTRY 12u
#define FLAGS_X86_64_LIBC6 0x0303u
#define FLAGS_ENDIAN_MASK 3u
#define FLAGS_BIG_ENDIAN 3u
#define EXTENSION_MAGIC 0xeaa42174u
#define EXTENSION_HWCAPS 1u
/* Two entries of one name differ by machine or subdirectory. */
#define MAX_EQUAL 1024u

static const char magic_old[] = "ld.so-1.7.0";
static const char magic_new[] = "glibc-ld.so.cache1.1";

struct entry {
	uint32_t flags, key, value;
	uint64_t hwcap;
};

static uint32_t u32(const struct ldcache *cache, size_t off)
{
	uint32_t value;

	memcpy(&value, cache->file + off, sizeof(value));
	return value;
}

static bool has(const struct ldcache *cache, size_t off, size_t len)
{
	return off <= cache->size && len <= cache->size - off;
}

static bool has_magic(const struct ldcache *cache, size_t off, const char *magic)
{
	return has(cache, off, strlen(magic)) &&
	       memcmp(cache->file + off, magic, strlen(magic)) == 0;
}

void ldcache_take(struct ldcache *out, uint8_t *file, size_t size)
{
	*out = (struct ldcache){.file = file, .size = size};
	file[size] = '\0';
	if (has_magic(out, 0, magic_old) && has(out, 0, OLD_HEADER)) {
		uint64_t skip = OLD_HEADER + (uint64_t)u32(out, 12) * OLD_ENTRY;

		skip = (skip + 7) & ~UINT64_C(7);
		if (skip > size) {
			return;
		}
		out->table = (size_t)skip;
	}
	if (!has_magic(out, out->table, magic_new) || !has(out, out->table, HEADER)) {
		return;
	}
	if ((out->file[out->table + 28] & FLAGS_ENDIAN_MASK) == FLAGS_BIG_ENDIAN) {
		return;
	}
	out->entries = u32(out, out->table + 20);
	if (out->entries > (size - out->table - HEADER) / ENTRY) {
		out->entries = 0;
	}
}

int ldcache_open(struct ldcache *out, const char *path)
{
	struct source src;
	struct stat st;
	uint8_t *file;
	size_t got = 0;
	int rc = 0;
	int fd = file_open(AT_FDCWD, path, &st);

	*out = (struct ldcache){0};
	if (fd < 0) {
		return fd == -ENOMEM ? fd : 0;
	}
	if (st.st_size > 0 && st.st_size <= MAX_FILE) {
		file = malloc((size_t)st.st_size + 1);
		src = source_from_fd(fd, 0, (uint64_t)st.st_size);
		if (file == NULL) {
			rc = -ENOMEM;
		} else if (source_read_some(&src, 0, file, (size_t)st.st_size, &got) != 0) {
			free(file);
		} else {
			ldcache_take(out, file, got);
		}
	}
	close(fd);
	return rc;
}

void ldcache_close(struct ldcache *cache)
{
	free(cache->file);
	*cache = (struct ldcache){0};
}

static struct entry entry_at(const struct ldcache *cache, uint32_t index)
{
	size_t off = cache->table + HEADER + (size_t)index * ENTRY;
	struct entry entry = {
		.flags = u32(cache, off),
		.key = u32(cache, off + 4),
		.value = u32(cache, off + 8),
	};

	memcpy(&entry.hwcap, cache->file + off + 16, sizeof(entry.hwcap));
	return entry;
}

/* NULL when off is not in the file. The byte behind the file ends every string. */
static const char *string_at(const struct ldcache *cache, size_t base, uint32_t off)
{
	return off < cache->size - base ? (const char *)cache->file + base + off : NULL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint32_t take_number(const char **text)
{
	uint32_t value = 0;

	for (; is_digit(**text); (*text)++) {
		value = value * 10 + (uint32_t)(**text - '0'); /* wraps like ldconfig's */
	}
	return value;
}

/* The order of the cache: negative, 0 or positive. A number comes after any other character. */
static int compare(const char *a, const char *b)
{
	while (*a != '\0') {
		if (is_digit(*a) && is_digit(*b)) {
			uint32_t left = take_number(&a);
			uint32_t right = take_number(&b);

			if (left != right) {
				return (int32_t)(left - right) < 0 ? -1 : 1;
			}
		} else if (is_digit(*a) || is_digit(*b)) {
			return is_digit(*a) ? 1 : -1;
		} else if (*a != *b) {
			break;
		} else {
			a++;
			b++;
		}
	}
	return *a - *b;
}

/* 1 to 4 for a subdirectory of glibc-hwcaps that this machine uses (4 is best), else 0. */
static unsigned level_of_extension(const struct ldcache *cache, uint32_t index, unsigned level)
{
	static const char *const names[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
	uint32_t at = u32(cache, cache->table + 32);
	uint32_t count;

	if (at == 0 || at % 4 != 0 || !has(cache, at, 8) || u32(cache, at) != EXTENSION_MAGIC) {
		return 0;
	}
	count = u32(cache, at + 4);
	/* {tag, flags, offset, size} each; offsets count from the start of the file. */
	for (uint32_t i = 0; i < count && i < 64 && has(cache, (size_t)at + 8 + i * 16, 16); i++) {
		size_t section = (size_t)at + 8 + i * 16;
		uint32_t off = u32(cache, section + 8);
		uint32_t size = u32(cache, section + 12);
		const char *name;

		if (u32(cache, section) != EXTENSION_HWCAPS) {
			continue;
		}
		if (!has(cache, off, size) || index >= size / 4) {
			return 0;
		}
		name = string_at(cache, 0, u32(cache, off + (size_t)index * 4));
		for (unsigned n = 0; name != NULL && n < 3; n++) {
			if (strcmp(name, names[n]) == 0) {
				return n + 2 <= level ? n + 2 : 0;
			}
		}
		return 0;
	}
	return 0;
}

/*
 * How much an entry is worth on this machine: 0 not usable, 1 plain, more for a better subdirectory
 * of glibc-hwcaps. Bit 62 marks those; then bits 32 to 41 are the level that the library's code
 * needs, and the lower half is an index into the extension. Else the bits are capabilities, all of
 * which must be there.
 */
static unsigned worth(const struct ldcache *cache, const struct entry *entry,
		      const struct ldcache_cpu *cpu)
{
	const uint64_t platforms = UINT64_C(0xf) << 48;
	const uint64_t tls = UINT64_C(1) << 63;
	const uint64_t needed_level = (entry->hwcap >> 32) & 0x3ff;

	if (entry->flags != FLAGS_X86_64_LIBC6 ||
	    string_at(cache, cache->table, entry->value) == NULL) {
		return 0;
	}
	if ((entry->hwcap >> 42) == UINT64_C(1) << 20) {
		return needed_level < cpu->level
			       ? level_of_extension(cache, (uint32_t)entry->hwcap, cpu->level)
			       : 0;
	}
	if (!cpu->legacy) {
		return entry->hwcap == 0;
	}
	if ((entry->hwcap & ~(cpu->hwcaps | platforms | tls)) != 0) {
		return 0;
	}
	return (entry->hwcap & platforms) == 0 || (entry->hwcap & platforms) == cpu->platform;
}

const char *ldcache_find(const struct ldcache *cache, const char *name,
			 const struct ldcache_cpu *cpu)
{
	uint32_t low = 0, high = cache->entries;
	const char *best = NULL;
	unsigned best_worth = 0;

	/* The first entry that does not come before the name. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const char *key = string_at(cache, cache->table, entry_at(cache, middle).key);

		if (key == NULL) {
			return NULL;
		}
		if (compare(name, key) < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	for (uint32_t i = low; i < cache->entries && i - low < MAX_EQUAL; i++) {
		struct entry entry = entry_at(cache, i);
		const char *key = string_at(cache, cache->table, entry.key);
		unsigned value;

		if (key == NULL || compare(name, key) != 0) {
			break;
		}
		value = worth(cache, &entry, cpu);
		/* Of equals the first counts, also of plain ones: ldconfig puts those with
		 * capabilities first. */
		if (value > best_worth) {
			best_worth = value;
			best = string_at(cache, cache->table, entry.value);
		}
	}
	return best;
}
