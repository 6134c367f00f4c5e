/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a file: what it is, its headers, ranges, notes, sections, symbols, unwind tables,
 * and the members of an archive, each as a file again.
 *
 * Properties: ranges ascend, do not lie over each other, are within the file and join exactly where
 * they touch; the offset of an address is the one its range gives; answers about an address
 * surround it; the answer about a symbol does not depend on the memory budget; strings are
 * terminated and clean; members ascend within the archive. A violation ends the program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "elf.h"
#include "range.h"

#define CHECK(condition)                                                                          \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			fprintf(stderr, "%s:%d: violated: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	CHECK(len < size);
	for (size_t i = 0; i < len; i++) {
		CHECK((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
	}
}

static void check_where(struct elf *e, struct elf *streamed, uint64_t vaddr)
{
	struct elf_where where;
	struct elf_where again;

	elf_where(e, vaddr, &where);
	elf_where(streamed, vaddr, &again);
	CHECK(memcmp(&where, &again, sizeof(where)) == 0);
	check_text(where.section, sizeof(where.section));
	check_text(where.symbol, sizeof(where.symbol));
	CHECK(!where.in_section || (where.section_start <= vaddr && vaddr < where.section_end));
	CHECK(!where.has_symbol || where.symbol_start <= vaddr);
	CHECK(where.next_symbol > vaddr || where.next_symbol == UINT64_MAX);
	CHECK(!where.in_fde || (where.fde_start <= vaddr && vaddr < where.fde_end));
	CHECK(!where.in_fde || where.has_fdes);
	CHECK(where.next_fde > vaddr || where.next_fde == UINT64_MAX);
}

static int check_note(void *ctx, const char *owner, size_t owner_len, uint32_t type,
		      const uint8_t *desc, size_t desc_len, uint64_t desc_vaddr)
{
	unsigned *sum = ctx; /* every byte is touched: the sanitizer sees what is not there */

	(void)type;
	(void)desc_vaddr;
	for (size_t i = 0; i < owner_len; i++) {
		*sum += (uint8_t)owner[i];
	}
	for (size_t i = 0; i < desc_len; i++) {
		*sum += desc[i];
	}
	return 0;
}

static void check_ranges(struct elf *e, struct elf *streamed, const struct range_list *list,
			 bool rel)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct range *range = &list->items[i];
		uint64_t end = range->vaddr + range->len;

		CHECK(range->len > 0 && end > range->vaddr);
		CHECK(range->off <= e->src.size && range->len <= e->src.size - range->off);
		if (i > 0) {
			CHECK(range[-1].vaddr + range[-1].len <= range->vaddr);
			CHECK(rel ||
			      range->joins == (range[-1].vaddr + range[-1].len == range->vaddr));
		} else {
			CHECK(!range->joins);
		}
		CHECK(rel || elf_vaddr_to_off(e, range->vaddr) == range->off);
		CHECK(rel || elf_vaddr_to_off(e, end - 1) == range->off + range->len - 1);
		if (i < 8) {
			check_where(e, streamed, range->vaddr);
			check_where(e, streamed, range->vaddr + range->len / 2);
			check_where(e, streamed, end - 1);
		}
	}
}

static void check_elf(const struct source *src)
{
	struct range_list list;
	struct elf e;
	struct elf streamed;
	const char *why;
	unsigned flags;
	unsigned sum = 0;
	int rc = elf_open(&e, src, &why);

	if (rc != 0) {
		CHECK(why[0] != '\0' && e.phdrs == NULL && e.shdrs == NULL);
		return;
	}
	if (elf_open(&streamed, src, &why) != 0) {
		abort();
	}
	streamed.symbol_budget = 0;
	if (e.ehdr.e_type == ET_REL) {
		rc = range_of_sections(&list, &flags, e.shdrs, e.nshdrs, src->size);
	} else {
		rc = range_of_segments(&list, &flags, e.phdrs, e.nphdrs, src->size);
	}
	if (rc == 0) {
		check_ranges(&e, &streamed, &list, e.ehdr.e_type == ET_REL);
		range_free(&list);
	} else {
		CHECK(list.items == NULL && (flags & RANGE_REPEATED) != 0);
	}
	check_where(&e, &streamed, 0);
	check_where(&e, &streamed, e.ehdr.e_entry);
	check_where(&e, &streamed, UINT64_MAX);
	CHECK(elf_notes(&e, check_note, &sum) == 0);
	elf_close(&streamed);
	elf_close(&e);
}

static void check_file(const struct source *src)
{
	uint8_t head[64];
	char name[40];
	size_t got;

	CHECK(source_read_some(src, 0, head, sizeof(head), &got) == 0);
	switch (elf_identify(head, got)) {
	case ELF_KIND_X86_64:
		check_elf(src);
		break;
	case ELF_KIND_FOREIGN:
		check_text(elf_foreign_name(head, got, name, sizeof(name)), sizeof(name));
		break;
	case ELF_KIND_NONE:
	case ELF_KIND_CORE:
		break;
	}
}

struct members {
	const struct source *src;
	uint64_t end;
};

static int check_member(void *ctx, const struct archive_member *member)
{
	struct members *members = ctx;
	struct source part = source_part(members->src, member->off, member->size);

	check_text(member->name, sizeof(member->name));
	CHECK(member->off >= members->end + 60);
	CHECK(member->off <= members->src->size &&
	      member->size <= members->src->size - member->off);
	CHECK(part.size == member->size);
	members->end = member->off + member->size;
	check_file(&part);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source src = source_from_memory(data, size);

	if (archive_identify(data, size)) {
		struct members members = {&src, 0};
		const char *why;
		int rc = archive_each(&src, &why, check_member, &members);

		CHECK(rc == 0 || why[0] != '\0');
	} else {
		check_file(&src);
	}
	return 0;
}
