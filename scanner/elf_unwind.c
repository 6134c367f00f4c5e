/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which FDE covers an address: where a function begins in files that have no symbols. Formats:
 * Linux Standard Base Core 5.0, 10.6 (.eh_frame, .eh_frame_hdr); DWARF 5, 6.4.1. Everything is read
 * at the addresses that loaders map, as an unwinder in the process would.
 *
 * The sorted table of .eh_frame_hdr is searched in the file. Only the form that every linker writes
 * is taken (pairs of int32 relative to the header); without it .eh_frame is walked once, up to 64
 * MiB.
 */
#include <stdlib.h>
#include <string.h>

#include "elf.h"

#define DW_EH_PE_OMIT 0xff
#define DW_EH_PE_PCREL 0x10
#define DW_EH_PE_DATAREL 0x30
#define DW_EH_PE_SDATA4 0x0b

#define TABLE_ENTRY 8
#define CIE_BYTES 256
#define FDE_BYTES 24 /* length, CIE pointer, first address, number of bytes */
#define WINDOW_BYTES 65536
#define MAX_WALK (UINT64_C(64) << 20)

/* ---- bytes ----------------------------------------------------------------------------------- */

struct cursor {
	const uint8_t *at, *end;
	uint64_t vaddr; /* of *at */
	bool bad;       /* something was not there; what was read since is 0 */
};

static uint64_t take(struct cursor *c, size_t bytes)
{
	uint64_t value = 0;

	if (c->bad || (size_t)(c->end - c->at) < bytes) {
		c->bad = true;
		return 0;
	}
	memcpy(&value, c->at, bytes);
	c->at += bytes;
	c->vaddr += bytes;
	return value;
}

/* The value of a LEB128 never matters here, only where it ends. */
static void skip_leb128(struct cursor *c)
{
	while (take(c, 1) & 0x80) {
	}
}

/* A pointer as DW_EH_PE_* encodes it. datarel: what DW_EH_PE_DATAREL adds. */
static uint64_t take_encoded(struct cursor *c, uint8_t encoding, uint64_t datarel)
{
	uint64_t base = 0;
	uint64_t value;

	switch (encoding & 0xf0) {
	case 0:
		break;
	case DW_EH_PE_PCREL:
		base = c->vaddr;
		break;
	case DW_EH_PE_DATAREL:
		base = datarel;
		break;
	default:
		c->bad = true; /* indirect, or relative to what only a process knows */
		break;
	}
	switch (encoding & 0x0f) {
	case 0x00: /* absptr */
	case 0x04: /* udata8 */
	case 0x0c: /* sdata8 */
		value = take(c, 8);
		break;
	case 0x02: /* udata2 */
		value = take(c, 2);
		break;
	case 0x03: /* udata4 */
		value = take(c, 4);
		break;
	case 0x0a: /* sdata2 */
		value = (uint64_t)(int16_t)take(c, 2);
		break;
	case DW_EH_PE_SDATA4:
		value = (uint64_t)(int32_t)take(c, 4);
		break;
	default:
		c->bad = true;
		return 0;
	}
	return c->bad ? 0 : base + value;
}

/* ---- CIE and FDE ----------------------------------------------------------------------------- */

/* How the addresses of the FDEs of a CIE are encoded (letter R); DW_EH_PE_OMIT: cannot be told. */
static uint8_t cie_encoding(const struct elf *e, uint64_t vaddr)
{
	uint8_t bytes[CIE_BYTES];
	struct cursor c = {.at = bytes, .vaddr = vaddr};
	const uint8_t *letters;
	uint64_t length;
	unsigned version;

	c.end = bytes + elf_read_vaddr(e, vaddr, bytes, sizeof(bytes));
	length = take(&c, 4);
	if (!c.bad && length < (size_t)(c.end - c.at)) {
		c.end = c.at + length;
	}
	if (take(&c, 4) != 0 || c.bad) {
		return DW_EH_PE_OMIT;
	}
	version = (unsigned)take(&c, 1);
	letters = c.at;
	while (take(&c, 1) != 0) {
	}
	if (c.bad || (version != 1 && version != 3 && version != 4)) {
		return DW_EH_PE_OMIT;
	}
	if (version == 4) {
		take(&c, 2); /* sizes of an address and of a segment selector */
	}
	skip_leb128(&c); /* code alignment */
	skip_leb128(&c); /* data alignment */
	if (version == 1) {
		take(&c, 1); /* return address register */
	} else {
		skip_leb128(&c);
	}
	if (*letters != 'z') {
		return *letters == '\0' && !c.bad ? 0 : DW_EH_PE_OMIT;
	}
	skip_leb128(&c); /* bytes of augmentation */
	for (letters++; *letters != '\0' && !c.bad; letters++) {
		uint8_t personality;

		switch (*letters) {
		case 'R':
			return (uint8_t)take(&c, 1);
		case 'P':
			/* Only its length matters, not what it is relative to. */
			personality = (uint8_t)take(&c, 1);
			take_encoded(&c, personality & 0x0f, 0);
			break;
		case 'L':
			take(&c, 1);
			break;
		case 'S':
		case 'B':
		case 'G':
			break;
		default:
			return DW_EH_PE_OMIT;
		}
	}
	return c.bad ? DW_EH_PE_OMIT : 0;
}

/* The addresses of an FDE whose address field is next in c. */
static bool take_fde_range(struct cursor *c, uint8_t encoding, struct elf_fde *fde)
{
	uint64_t bytes;

	if (encoding == DW_EH_PE_OMIT) {
		return false;
	}
	fde->start = take_encoded(c, encoding, 0);
	bytes = take_encoded(c, encoding & 0x0f, 0);
	/* Linkers leave an FDE with address 0 for a function that they discarded. */
	return !c->bad && fde->start != 0 && bytes != 0 &&
	       !__builtin_add_overflow(fde->start, bytes, &fde->end);
}

static bool read_fde(const struct elf *e, uint64_t vaddr, struct elf_fde *fde)
{
	uint8_t bytes[FDE_BYTES];
	struct cursor c = {.at = bytes, .vaddr = vaddr};
	uint64_t length;
	uint64_t cie;

	c.end = bytes + elf_read_vaddr(e, vaddr, bytes, sizeof(bytes));
	length = take(&c, 4);
	cie = take(&c, 4);
	if (c.bad || length < 4 || length >= 0xfffffff0 || cie == 0) {
		return false;
	}
	return take_fde_range(&c, cie_encoding(e, vaddr + 4 - cie), fde);
}

/* ---- .eh_frame without a search table -------------------------------------------------------- */

struct walk {
	const struct elf *e;
	uint64_t window_vaddr;
	size_t window_bytes;
	uint64_t cie;     /* the last one seen ... */
	uint8_t encoding; /* ... and what it said */
	uint8_t window[WINDOW_BYTES];
};

/* A cursor at vaddr with FDE_BYTES in it unless the memory ends. */
static struct cursor walk_at(struct walk *walk, uint64_t vaddr)
{
	struct cursor c = {.vaddr = vaddr};
	uint64_t skip = vaddr - walk->window_vaddr;

	if (skip > walk->window_bytes || walk->window_bytes - skip < FDE_BYTES) {
		walk->window_vaddr = vaddr;
		walk->window_bytes = elf_read_vaddr(walk->e, vaddr, walk->window, WINDOW_BYTES);
		skip = 0;
	}
	c.at = walk->window + skip;
	c.end = walk->window + walk->window_bytes;
	return c;
}

/* Stores the first room FDEs in fdes and returns how many there are. */
static size_t walk_fdes(struct walk *walk, uint64_t vaddr, uint64_t bytes, struct elf_fde *fdes,
			size_t room)
{
	uint64_t done = 0;
	size_t count = 0;

	while (done < bytes) {
		struct cursor c = walk_at(walk, vaddr + done);
		uint64_t length = take(&c, 4);
		uint64_t id = take(&c, 4);
		struct elf_fde fde;

		/* 0 ends the list; the 64-bit form, which unwinders do not know either, is not
		 * followed. */
		if (c.bad || length < 4 || length >= 0xfffffff0) {
			break;
		}
		if (id != 0) {
			uint64_t cie = vaddr + done + 4 - id;

			if (cie != walk->cie) {
				walk->cie = cie;
				walk->encoding = cie_encoding(walk->e, cie);
			}
			if (take_fde_range(&c, walk->encoding, &fde)) {
				if (count < room) {
					fdes[count] = fde;
				}
				count++;
			}
		}
		done += 4 + length;
	}
	return count;
}

static int compare_fdes(const void *a, const void *b)
{
	const struct elf_fde *x = a;
	const struct elf_fde *y = b;

	if (x->start != y->start) {
		return x->start < y->start ? -1 : 1;
	}
	return (x->end > y->end) - (x->end < y->end);
}

/* All or nothing: half an index would call the other half's code data. */
static void index_fdes(struct elf *e, uint64_t vaddr, uint64_t bytes)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	struct elf_fde *fdes = NULL;
	size_t count;

	if (walk == NULL) {
		return;
	}
	walk->e = e;
	walk->encoding = DW_EH_PE_OMIT;
	bytes = bytes < MAX_WALK ? bytes : MAX_WALK;
	bytes = bytes < e->src.size ? bytes : e->src.size; /* segments can repeat the file's bytes */
	count = walk_fdes(walk, vaddr, bytes, NULL, 0);
	/* qsort takes as much again. */
	if (count > 0 && count <= e->unwind_budget / (2 * sizeof(*fdes))) {
		fdes = malloc(count * sizeof(*fdes));
	}
	if (fdes != NULL) {
		size_t again = walk_fdes(walk, vaddr, bytes, fdes, count);

		/* The file may have changed between the two. */
		e->nfdes = again < count ? again : count;
		e->fdes = fdes;
		qsort(fdes, e->nfdes, sizeof(*fdes), compare_fdes);
	}
	free(walk);
}

/* ---- .eh_frame_hdr --------------------------------------------------------------------------- */

static bool read_entry(const struct elf *e, uint64_t index, uint64_t *start, uint64_t *fde)
{
	int32_t entry[2];

	if (elf_read_vaddr(e, e->fde_table_vaddr + index * TABLE_ENTRY, entry, sizeof(entry)) <
	    sizeof(entry)) {
		return false;
	}
	*start = e->fde_hdr_vaddr + (uint64_t)(int64_t)entry[0];
	*fde = e->fde_hdr_vaddr + (uint64_t)(int64_t)entry[1];
	return true;
}

/* Takes the search table; *frame_vaddr: where .eh_frame is, 0 when the header does not say. */
static void load_header(struct elf *e, uint64_t vaddr, uint64_t *frame_vaddr)
{
	uint8_t bytes[4 + 8 + 8];
	struct cursor c = {.at = bytes, .vaddr = vaddr};
	uint8_t frame_encoding, count_encoding, table_encoding;
	uint64_t count;
	uint64_t start, fde;

	c.end = bytes + elf_read_vaddr(e, vaddr, bytes, sizeof(bytes));
	if (take(&c, 1) != 1) {
		return;
	}
	frame_encoding = (uint8_t)take(&c, 1);
	count_encoding = (uint8_t)take(&c, 1);
	table_encoding = (uint8_t)take(&c, 1);
	*frame_vaddr = take_encoded(&c, frame_encoding, vaddr);
	count = take_encoded(&c, count_encoding, vaddr);
	if (c.bad || count == 0 || count > UINT32_MAX ||
	    table_encoding != (DW_EH_PE_DATAREL | DW_EH_PE_SDATA4)) {
		return;
	}
	e->fde_hdr_vaddr = vaddr;
	e->fde_table_vaddr = c.vaddr;
	if (read_entry(e, count - 1, &start, &fde)) {
		e->fde_count = count;
	}
}

static const Elf64_Shdr *find_section(const struct elf *e, const char *name)
{
	char text[256];

	for (size_t i = 0; i < e->nshdrs; i++) {
		if ((e->shdrs[i].sh_flags & SHF_ALLOC) == 0) {
			continue;
		}
		elf_section_name(e, text, sizeof(text), &e->shdrs[i]);
		if (strcmp(text, name) == 0) {
			return &e->shdrs[i];
		}
	}
	return NULL;
}

static void load_unwind(struct elf *e)
{
	const Elf64_Shdr *shdr;
	uint64_t header = 0;
	uint64_t frame = 0;
	uint64_t frame_bytes = MAX_WALK;

	e->unwind_loaded = true;
	for (size_t i = 0; i < e->nphdrs; i++) {
		header = e->phdrs[i].p_type == PT_GNU_EH_FRAME ? e->phdrs[i].p_vaddr : header;
	}
	if (header == 0) {
		shdr = find_section(e, ".eh_frame_hdr");
		header = shdr != NULL ? shdr->sh_addr : 0;
	}
	if (header != 0) {
		load_header(e, header, &frame);
	}
	if (e->fde_count > 0) {
		return;
	}
	if (frame == 0) {
		shdr = find_section(e, ".eh_frame");
		frame = shdr != NULL ? shdr->sh_addr : 0;
		frame_bytes = shdr != NULL ? shdr->sh_size : 0;
	}
	if (frame != 0) {
		index_fdes(e, frame, frame_bytes);
	}
}

/* ---- questions ------------------------------------------------------------------------------- */

static void search_table(const struct elf *e, uint64_t vaddr, struct elf_where *where)
{
	uint64_t lo = 0;
	uint64_t hi = e->fde_count;
	uint64_t start, at;
	struct elf_fde fde;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (!read_entry(e, mid, &start, &at)) {
			return;
		}
		if (start <= vaddr) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	if (lo < e->fde_count && read_entry(e, lo, &start, &at)) {
		where->next_fde = start;
	}
	where->has_fdes = true;
	if (lo == 0 || !read_entry(e, lo - 1, &start, &at)) {
		return;
	}
	where->fde_start = start;
	where->fde_end = start;
	if (read_fde(e, at, &fde) && fde.start == start) {
		where->fde_end = fde.end;
		where->in_fde = vaddr < fde.end;
	}
}

static void search_walked(const struct elf *e, uint64_t vaddr, struct elf_where *where)
{
	size_t lo = 0;
	size_t hi = e->nfdes;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (e->fdes[mid].start <= vaddr) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	where->has_fdes = true;
	if (lo < e->nfdes) {
		where->next_fde = e->fdes[lo].start;
	}
	if (lo > 0) {
		where->fde_start = e->fdes[lo - 1].start;
		where->fde_end = e->fdes[lo - 1].end;
		where->in_fde = vaddr < where->fde_end;
	}
}

void elf_where_unwind(struct elf *e, uint64_t vaddr, struct elf_where *where)
{
	if (!e->unwind_loaded) {
		load_unwind(e);
	}
	if (e->fde_count > 0) {
		search_table(e, vaddr, where);
	} else if (e->nfdes > 0) {
		search_walked(e, vaddr, where);
	}
}
