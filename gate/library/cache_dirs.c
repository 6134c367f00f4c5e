/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "glibc-ld.so.cache1.1", number of entries, size of the strings, flags, offset of extensions, 12 bytes; entries of 24 bytes:
 * flags, name, path, version, capabilities. Strings are told by how far they are from there. Before it there may be an older
 * format: "ld.so-1.7.0", number of entries, entries of 12 bytes; aligned to 8.
 */
#include "cache_dirs.h"

#include <string.h>

#define HEADER 48
#define ENTRY 24
#define OLD_HEADER 16
#define OLD_ENTRY 12
#define COUNT 20 /* offsets */
#define ENTRY_PATH 8
#define FLAGS_X86_64_LIBC6 0x0303U

static uint32_t number_at(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Where it begins, and how many entries it has; 0: none. */
static uint32_t entries(const uint8_t *file, size_t bytes, size_t *table)
{
	static const char old[] = "ld.so-1.7.0", now[] = "glibc-ld.so.cache1.1";
	uint64_t start = 0;
	uint32_t count;

	if (bytes >= OLD_HEADER && memcmp(file, old, sizeof(old) - 1) == 0) {
		start = (OLD_HEADER + (uint64_t)number_at(file + OLD_HEADER - 4) * OLD_ENTRY + 7) & ~7ULL;
	}
	if (start > bytes || bytes - start < HEADER || memcmp(file + start, now, sizeof(now) - 1) != 0) {
		return 0;
	}
	*table = (size_t)start;
	count = number_at(file + start + COUNT);
	return count <= (bytes - start - HEADER) / ENTRY ? count : 0;
}

/* Of the path that begins there; 0: that is none. */
static size_t directory_bytes(const uint8_t *path, size_t room)
{
	const uint8_t *end = memchr(path, '\0', room), *slash;

	if (end == NULL || path[0] != '/') {
		return 0;
	}
	slash = memrchr(path, '/', (size_t)(end - path));
	return (size_t)(slash - path);
}

bool cache_dir_next(const uint8_t *file, size_t bytes, uint32_t *at, char out[CACHE_DIR_BYTES])
{
	size_t table = 0;
	uint32_t count = entries(file, bytes, &table);

	while (*at < count) {
		const uint8_t *entry = file + table + HEADER + (size_t)(*at)++ * ENTRY;
		uint32_t where = number_at(entry + ENTRY_PATH);
		size_t n = 0;

		if (number_at(entry) == FLAGS_X86_64_LIBC6 && where < bytes - table) {
			n = directory_bytes(file + table + where, bytes - table - where);
		}
		if (n == 0 || n >= CACHE_DIR_BYTES || (strlen(out) == n && memcmp(out, file + table + where, n) == 0)) {
			continue;
		}
		memcpy(out, file + table + where, n);
		out[n] = '\0';
		return true;
	}
	return false;
}
