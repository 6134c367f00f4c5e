/* SPDX-License-Identifier: Apache-2.0 */
#include "object.h"

#include <elf.h>
#include <string.h>

#define PHDRS_MAX 64
#define SHDRS_MAX 256
#define DYNAMIC_MAX 256
#define SYMBOLS_MAX ((uint64_t)1 << 18)
#define BUCKETS_MAX ((uint64_t)1 << 18)
#define AT_ONCE 64 /* symbols, or as many words */

static bool get(const struct frames_memory *m, void *to, uint64_t at, size_t bytes)
{
	return m->read(m->ctx, to, at, bytes);
}

static bool is_header(const Elf64_Ehdr *h)
{
	return memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 && h->e_ident[EI_CLASS] == ELFCLASS64 && h->e_machine == EM_X86_64;
}

bool object_at(struct object *out, const struct frames_memory *memory, uint64_t start, uint64_t at)
{
	Elf64_Phdr ph[PHDRS_MAX];
	Elf64_Ehdr h;
	bool first = true, found = false;

	*out = (struct object){0};
	if (!get(memory, &h, start, sizeof(h)) || !is_header(&h) || h.e_phentsize != sizeof(ph[0]) || h.e_phnum > PHDRS_MAX ||
	    !get(memory, ph, start + h.e_phoff, h.e_phnum * sizeof(ph[0]))) {
		return false;
	}
	for (size_t i = 0; i < h.e_phnum; i++) {
		uint64_t vaddr = ph[i].p_vaddr;

		switch (ph[i].p_type) {
		case PT_LOAD:
			if (first) {
				out->base = start + ph[i].p_offset - vaddr;
				first = false;
			}
			if (at - (out->base + vaddr) < ph[i].p_memsz) {
				found = true;
				out->code = (ph[i].p_flags & PF_X) != 0;
			}
			break;
		case PT_GNU_EH_FRAME:
			out->eh_header = vaddr;
			break;
		case PT_DYNAMIC:
			out->dynamic = vaddr;
			out->dynamic_bytes = ph[i].p_memsz;
			break;
		default:
			break;
		}
	}
	out->eh_header += out->eh_header != 0 ? out->base : 0;
	out->dynamic += out->dynamic != 0 ? out->base : 0;
	return found;
}

/* ---- symbols --------------------------------------------------------------------------------------------------------- */

struct table {
	uint64_t symbols, count;
	uint64_t strings, strings_bytes;
};

void object_printable(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~') {
			*text = '?';
		}
	}
}

/* No more than there is, to the end of what can be read. */
static bool get_name(const struct frames_memory *m, const struct table *t, uint64_t off, char name[OBJECT_NAME_BYTES])
{
	size_t n = OBJECT_NAME_BYTES - 1;

	if (off >= t->strings_bytes) {
		return false;
	}
	n = n < t->strings_bytes - off ? n : (size_t)(t->strings_bytes - off);
	if (!get(m, name, t->strings + off, n)) {
		return false;
	}
	name[n] = '\0';
	object_printable(name);
	return name[0] != '\0';
}

/* Of several for one place: what a program would call it. */
static bool better(const Elf64_Sym *a, const Elf64_Sym *b)
{
	return a->st_value != b->st_value ? a->st_value > b->st_value
					  : ELF64_ST_BIND(a->st_info) == STB_GLOBAL && ELF64_ST_BIND(b->st_info) != STB_GLOBAL;
}

static bool find(const struct frames_memory *m, const struct table *t, uint64_t vaddr, char name[OBJECT_NAME_BYTES], uint64_t *into)
{
	Elf64_Sym symbols[AT_ONCE], best = {0};
	uint64_t count = t->count < SYMBOLS_MAX ? t->count : SYMBOLS_MAX;
	bool found = false;

	for (uint64_t i = 0; i < count; i += AT_ONCE) {
		size_t n = count - i < AT_ONCE ? (size_t)(count - i) : AT_ONCE;

		if (!get(m, symbols, t->symbols + i * sizeof(symbols[0]), n * sizeof(symbols[0]))) {
			break;
		}
		for (size_t k = 0; k < n; k++) {
			const Elf64_Sym *s = &symbols[k];
			unsigned int type = ELF64_ST_TYPE(s->st_info);

			if ((type == STT_FUNC || type == STT_GNU_IFUNC) && s->st_shndx != SHN_UNDEF &&
			    vaddr - s->st_value < s->st_size && (!found || better(s, &best))) {
				best = *s;
				found = true;
			}
		}
	}
	*into = vaddr - best.st_value;
	return found && get_name(m, t, best.st_name, name);
}

/* How many symbols the hash table knows of: the last chain of the last bucket ends them. */
static uint64_t count_by_gnu_hash(const struct frames_memory *m, uint64_t at)
{
	uint32_t words[AT_ONCE], head[4], last = 0;
	uint64_t buckets, chain;

	if (!get(m, head, at, sizeof(head)) || head[0] > BUCKETS_MAX) {
		return 0;
	}
	buckets = at + sizeof(head) + (uint64_t)head[2] * 8;
	for (uint64_t i = 0; i < head[0]; i += AT_ONCE) {
		size_t n = head[0] - i < AT_ONCE ? (size_t)(head[0] - i) : AT_ONCE;

		if (!get(m, words, buckets + 4 * i, 4 * n)) {
			return 0;
		}
		for (size_t k = 0; k < n; k++) {
			last = words[k] > last ? words[k] : last;
		}
	}
	if (last < head[1]) {
		return head[1];
	}
	for (chain = buckets + 4 * (uint64_t)head[0] + 4 * ((uint64_t)last - head[1]); last < SYMBOLS_MAX; chain += 4, last++) {
		if (!get(m, words, chain, 4) || (words[0] & 1) != 0) {
			break;
		}
	}
	return (uint64_t)last + 1;
}

/* The loader has relocated these pointers, where it could. */
static uint64_t pointer(const struct object *o, uint64_t at)
{
	return at < o->base ? at + o->base : at;
}

bool object_symbol(const struct object *object, const struct frames_memory *memory, uint64_t at, char name[OBJECT_NAME_BYTES],
		   uint64_t *into)
{
	uint64_t entries = object->dynamic_bytes / sizeof(Elf64_Dyn), hash = 0;
	struct table t = {0};
	Elf64_Dyn d;

	entries = object->dynamic == 0 ? 0 : entries < DYNAMIC_MAX ? entries : DYNAMIC_MAX;
	for (uint64_t i = 0; i < entries && get(memory, &d, object->dynamic + i * sizeof(d), sizeof(d)) && d.d_tag != DT_NULL; i++) {
		switch (d.d_tag) {
		case DT_SYMTAB:
			t.symbols = pointer(object, d.d_un.d_ptr);
			break;
		case DT_STRTAB:
			t.strings = pointer(object, d.d_un.d_ptr);
			break;
		case DT_STRSZ:
			t.strings_bytes = d.d_un.d_val;
			break;
		case DT_GNU_HASH:
			hash = pointer(object, d.d_un.d_ptr);
			break;
		default:
			break;
		}
	}
	if (t.symbols == 0 || t.strings == 0 || hash == 0) {
		return false;
	}
	t.count = count_by_gnu_hash(memory, hash);
	return find(memory, &t, at - object->base, name, into);
}

bool object_file_symbol(const struct frames_memory *file, uint64_t vaddr, char name[OBJECT_NAME_BYTES], uint64_t *into)
{
	struct table t = {0};
	Elf64_Ehdr h;
	Elf64_Shdr s, strings;

	if (!get(file, &h, 0, sizeof(h)) || !is_header(&h) || h.e_shentsize != sizeof(s)) {
		return false;
	}
	for (uint64_t i = 0; i < h.e_shnum && i < SHDRS_MAX; i++) {
		if (!get(file, &s, h.e_shoff + i * sizeof(s), sizeof(s))) {
			return false;
		}
		if (s.sh_type == SHT_SYMTAB && s.sh_link < h.e_shnum &&
		    get(file, &strings, h.e_shoff + s.sh_link * sizeof(s), sizeof(strings))) {
			t = (struct table){s.sh_offset, s.sh_size / sizeof(Elf64_Sym), strings.sh_offset, strings.sh_size};
			return find(file, &t, vaddr, name, into);
		}
	}
	return false;
}
