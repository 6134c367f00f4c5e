/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "code_place.h"

struct symbols {
	const ElfW(Sym) *table;
	const char *strings;
	size_t count;
};

/* The table says nowhere how long it is: the last chain of the last bucket ends it. */
static size_t count_by_gnu_hash(const uint32_t *hash)
{
	uint32_t nbuckets = hash[0], first = hash[1], bloom_words = hash[2], last = 0;
	const uint32_t *buckets = hash + 4 + (size_t)bloom_words * 2;
	const uint32_t *chains = buckets + nbuckets;

	for (uint32_t i = 0; i < nbuckets; i++) {
		last = buckets[i] > last ? buckets[i] : last;
	}
	if (last < first) {
		return first;
	}
	while ((chains[last - first] & 1) == 0) {
		last++;
	}
	return last + 1;
}

/* ld.so relocates these pointers where it can write, which is not so in the vDSO. */
static const void *pointer(const struct link_map *map, const ElfW(Dyn) *entry)
{
	uint64_t at = entry->d_un.d_ptr;

	return (const void *)(uintptr_t)(at < map->l_addr ? at + map->l_addr : at);
}

static struct symbols symbols_of(const struct link_map *map)
{
	struct symbols s = {0};

	for (const ElfW(Dyn) *entry = map->l_ld; entry != NULL && entry->d_tag != DT_NULL; entry++) {
		if (entry->d_tag == DT_SYMTAB) {
			s.table = pointer(map, entry);
		} else if (entry->d_tag == DT_STRTAB) {
			s.strings = pointer(map, entry);
		} else if (entry->d_tag == DT_GNU_HASH) {
			s.count = count_by_gnu_hash(pointer(map, entry));
		} else if (entry->d_tag == DT_HASH && s.count == 0) {
			s.count = ((const uint32_t *)pointer(map, entry))[1];
		}
	}
	if (s.table == NULL || s.strings == NULL) {
		s.count = 0;
	}
	return s;
}

static void name(struct code_place *out, const struct link_map *map)
{
	struct symbols s = symbols_of(map);

	for (size_t i = 0; i < s.count; i++) {
		const ElfW(Sym) *symbol = &s.table[i];
		unsigned int type = ELF64_ST_TYPE(symbol->st_info);

		if ((type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF &&
		    out->offset >= symbol->st_value && out->offset - symbol->st_value < symbol->st_size) {
			out->symbol = s.strings + symbol->st_name;
			out->into = out->offset - symbol->st_value;
			return;
		}
	}
}

bool code_place_of(struct code_place *out, uint64_t address)
{
	struct dl_find_object found;
	const char *path, *slash;

	*out = (struct code_place){0};
	if (_dl_find_object((void *)(uintptr_t)address, &found) != 0) {
		return false;
	}
	path = found.dlfo_link_map->l_name;
	slash = strrchr(path, '/');
	out->file = path[0] == '\0' ? program_invocation_short_name : slash != NULL ? slash + 1 : path;
	out->offset = address - found.dlfo_link_map->l_addr;
	out->loader = (uint64_t)(uintptr_t)found.dlfo_map_start == getauxval(AT_BASE);
	name(out, found.dlfo_link_map);
	return true;
}
