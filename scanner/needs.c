/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "elf.h"
#include "needs.h"

#define MAX_ITEMS 4096
#define MAX_ENTRIES 65536 /* of PT_DYNAMIC */
#define MAX_NAME 4096
#define MAX_SEARCH_PATH 65536
#define MAX_BYTES (1u << 20)

void needs_free_items(struct needs *needs)
{
	for (size_t i = 0; i < needs->count; i++) {
		free(needs->items[i].name);
	}
	free(needs->items);
	needs->items = NULL;
	needs->count = 0;
}

void needs_free(struct needs *needs)
{
	needs_free_items(needs);
	free(needs->interp);
	free(needs->soname);
	free(needs->rpath);
	free(needs->runpath);
	memset(needs, 0, sizeof(*needs));
}

/* Copies the string at vaddr into *out, which is replaced: of two equal tags the last one counts.
 */
static int read_string(const struct elf *e, struct needs *needs, char **out, uint64_t vaddr,
		       size_t max, const char **why)
{
	char *text = NULL;
	size_t room = 0;

	for (size_t len = 0;;) {
		size_t got, end;
		char *grown;

		room = room == 0 ? 128 : room * 2;
		room = room < max ? room : max;
		grown = realloc(text, room);
		if (grown == NULL) {
			free(text);
			return -ENOMEM;
		}
		text = grown;
		got = elf_read_vaddr(e, vaddr + len, text + len, room - len);
		end = len + strnlen(text + len, got);
		if (end < len + got) {
			needs->bytes += end + 1;
			break;
		}
		len += got;
		if (len < room || len == max) {
			*why = len < room ? "a string of the dynamic section is not in the file"
					  : "a string of the dynamic section has no end";
			free(text);
			return -EBADMSG;
		}
	}
	if (*out != NULL) {
		needs->bytes -= strlen(*out) + 1;
		free(*out);
	}
	*out = text;
	if (needs->bytes > MAX_BYTES) {
		*why = "the names of the dynamic section are longer than any linker writes";
		return -EFBIG;
	}
	return 0;
}

/* As fs/binfmt_elf.c: the first PT_INTERP counts, by its offset, and must end in a NUL. */
static int read_interp(const struct elf *e, struct needs *out, const char **why)
{
	for (size_t i = 0; i < e->nphdrs; i++) {
		const Elf64_Phdr *ph = &e->phdrs[i];
		int rc;

		if (ph->p_type != PT_INTERP) {
			continue;
		}
		if (ph->p_filesz < 2 || ph->p_filesz > MAX_NAME) {
			*why = "the name of the program interpreter is empty or longer than a path";
			return -EBADMSG;
		}
		out->interp = malloc(ph->p_filesz);
		if (out->interp == NULL) {
			return -ENOMEM;
		}
		rc = source_read(&e->src, ph->p_offset, out->interp, ph->p_filesz);
		if (rc == 0 && out->interp[ph->p_filesz - 1] != '\0') {
			rc = -EBADMSG;
			*why = "the name of the program interpreter has no end";
		}
		out->bytes += ph->p_filesz;
		return rc;
	}
	return 0;
}

static uint64_t dynamic_vaddr(const struct elf *e)
{
	uint64_t vaddr = LYCH_NO_OFFSET;

	for (size_t i = 0; i < e->nphdrs; i++) {
		if (e->phdrs[i].p_type == PT_DYNAMIC) {
			vaddr = e->phdrs[i].p_vaddr;
		}
	}
	return vaddr;
}

/* Calls fn for each entry of PT_DYNAMIC before DT_NULL. */
static int each_dynamic(const struct elf *e, const char **why,
			int (*fn)(void *ctx, const struct elf *e, const Elf64_Dyn *dyn,
				  const char **why),
			void *ctx)
{
	uint64_t vaddr = dynamic_vaddr(e);
	Elf64_Dyn chunk[64];

	if (vaddr == LYCH_NO_OFFSET) {
		return 0;
	}
	for (size_t done = 0; done < MAX_ENTRIES; done += 64) {
		size_t got =
			elf_read_vaddr(e, vaddr + done * sizeof(chunk[0]), chunk, sizeof(chunk));

		for (size_t i = 0; i < got / sizeof(chunk[0]); i++) {
			int rc;

			if (chunk[i].d_tag == DT_NULL) {
				return 0;
			}
			rc = fn(ctx, e, &chunk[i], why);
			if (rc != 0) {
				return rc;
			}
		}
		if (got < sizeof(chunk)) {
			*why = "the dynamic section is not in the file up to its end";
			return -EBADMSG;
		}
	}
	*why = "the dynamic section is longer than any linker writes";
	return -EFBIG;
}

struct reading {
	struct needs *out;
	uint64_t strtab;
	bool has_strtab;
};

static int take_strtab(void *ctx, const struct elf *e, const Elf64_Dyn *dyn, const char **why)
{
	struct reading *r = ctx;

	(void)e;
	(void)why;
	if (dyn->d_tag == DT_STRTAB) {
		r->strtab = dyn->d_un.d_ptr;
		r->has_strtab = true;
	}
	return 0;
}

static int add_item(struct reading *r, const struct elf *e, enum need_kind kind, uint64_t vaddr,
		    const char **why)
{
	struct needs *out = r->out;

	if (out->count == MAX_ITEMS) {
		*why = "more needed libraries than any linker writes";
		return -EFBIG;
	}
	/* Grown to each power of two. */
	if ((out->count & (out->count - 1)) == 0) {
		size_t room = out->count == 0 ? 1 : out->count * 2;
		struct need *grown = realloc(out->items, room * sizeof(*grown));

		if (grown == NULL) {
			return -ENOMEM;
		}
		out->items = grown;
	}
	out->items[out->count] = (struct need){.kind = kind};
	out->count++;
	out->bytes += 2 * sizeof(*out->items);
	return read_string(e, out, &out->items[out->count - 1].name, vaddr, MAX_NAME, why);
}

static int take_entry(void *ctx, const struct elf *e, const Elf64_Dyn *dyn, const char **why)
{
	struct reading *r = ctx;
	uint64_t vaddr = r->strtab + dyn->d_un.d_val;

	switch (dyn->d_tag) {
	case DT_NEEDED:
		return add_item(r, e, NEED_LIBRARY, vaddr, why);
	case DT_FILTER:
		return add_item(r, e, NEED_FILTER, vaddr, why);
	case DT_AUXILIARY:
		return add_item(r, e, NEED_AUXILIARY, vaddr, why);
	case DT_SONAME:
		return read_string(e, r->out, &r->out->soname, vaddr, MAX_NAME, why);
	case DT_RPATH:
		return read_string(e, r->out, &r->out->rpath, vaddr, MAX_SEARCH_PATH, why);
	case DT_RUNPATH:
		return read_string(e, r->out, &r->out->runpath, vaddr, MAX_SEARCH_PATH, why);
	case DT_FLAGS_1:
		r->out->nodeflib = (dyn->d_un.d_val & DF_1_NODEFLIB) != 0;
		return 0;
	case DT_AUDIT:
	case DT_DEPAUDIT:
		r->out->audit = true;
		return 0;
	default:
		return 0;
	}
}

static int identify(const struct source *src, const char **why)
{
	uint8_t head[64];
	size_t got;
	int rc = source_read_some(src, 0, head, sizeof(head), &got);

	if (rc != 0) {
		return rc;
	}
	switch (elf_identify(head, got)) {
	case ELF_KIND_X86_64:
		/* Unlike the kernel ld.so looks at these, and passes over the file. */
		return got > EI_DATA && (head[EI_CLASS] != ELFCLASS64 || head[EI_DATA] != ELFDATA2LSB)
			       ? -EPROTOTYPE
			       : 0;
	case ELF_KIND_CORE:
		return -ELIBBAD;
	case ELF_KIND_FOREIGN:
		return -EPROTOTYPE;
	default:
		*why = got >= 2 && memcmp(head, "#!", 2) == 0
			       ? "a script: look at its interpreter instead"
			       : "";
		return -ENOEXEC;
	}
}

int needs_read(struct needs *out, const struct source *src, const char **why)
{
	struct reading r = {.out = out};
	struct elf e;
	int rc;

	memset(out, 0, sizeof(*out));
	*why = "";
	rc = identify(src, why);
	if (rc == 0) {
		rc = elf_open(&e, src, why);
	}
	if (rc != 0) {
		return rc;
	}
	out->type = e.ehdr.e_type;
	rc = read_interp(&e, out, why);
	if (rc == 0) {
		rc = each_dynamic(&e, why, take_strtab, &r);
	}
	if (rc == 0 && r.has_strtab) {
		rc = each_dynamic(&e, why, take_entry, &r);
	}
	elf_close(&e);
	if (rc != 0) {
		needs_free(out);
		return rc;
	}
	if (out->runpath != NULL && out->rpath != NULL) {
		out->bytes -= strlen(out->rpath) + 1;
		free(out->rpath);
		out->rpath = NULL;
	}
	return 0;
}
