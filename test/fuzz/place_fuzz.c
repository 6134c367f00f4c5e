/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement and verdict of every sequence in arbitrary code, with arbitrary headers and an arbitrary note.
 *
 * Input: 1 byte of flags, 24 bytes that become struct elf_where, 1 byte length of the note's descriptor,
 * the descriptor, then code.
 *
 * What must hold: a placement is consistent with the layout of the instruction it names; remembering earlier
 * placements changes none; a verdict other than stray is confirmed by a second, simpler look at the bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "place.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE UINT64_C(0x401000)
#define HEAD 26

struct world {
	const uint8_t *bytes;
	size_t len;
	const struct elf_where *where; /* NULL: nothing known */
	struct site sites[8];
	size_t nsites;
	struct place_memo memo;
	struct code code;
};

static void require(bool condition)
{
	if (!condition) {
		abort();
	}
}

static size_t read_code(void *ctx, uint64_t vaddr, void *buf, size_t len)
{
	const struct world *w = ctx;

	if (vaddr < BASE || vaddr - BASE >= w->len) {
		return 0;
	}
	if (len > w->len - (vaddr - BASE)) {
		len = w->len - (vaddr - BASE);
	}
	memcpy(buf, w->bytes + (vaddr - BASE), len);
	return len;
}

/* The byte at off, -1 beyond the end. */
static int byte_at(const struct world *w, size_t off)
{
	return off < w->len ? w->bytes[off] : -1;
}

static bool bytes_at(const struct world *w, size_t off, const char *want, size_t len)
{
	return off <= w->len && w->len - off >= len && memcmp(w->bytes + off, want, len) == 0;
}

/* Where a conditional jump at off leads when it is taken (of kind want) or falls through (its opposite). */
static bool leads_to_ud2(const struct world *w, size_t off, int want)
{
	int opcode = byte_at(w, off);
	int64_t next = (int64_t)off + 2, rel = (int8_t)byte_at(w, off + 1);
	int32_t rel32 = 0;

	if (opcode == 0x0f) {
		opcode = byte_at(w, off + 1) - 0x10;
		next = (int64_t)off + 6;
		if (w->len - off < 6) {
			return false;
		}
		memcpy(&rel32, w->bytes + off + 2, sizeof(rel32));
		rel = rel32;
	}
	if (opcode == (want ^ 1)) {
		rel = 0;
	} else if (opcode != want) {
		return false;
	}
	return next + rel >= 0 && bytes_at(w, (size_t)(next + rel), "\x0f\x0b", 2);
}

/* XRSTOR's length by its ModRM alone. */
static size_t xrstor_len(const struct world *w, size_t off)
{
	int modrm = byte_at(w, off + 2), mod = modrm >> 6, rm = modrm & 7;
	size_t len = 3 + (rm == 4) + (mod == 1 ? 1 : mod == 2 ? 4 : 0);

	if (mod == 0 && (rm == 5 || (rm == 4 && (byte_at(w, off + 3) & 7) == 5))) {
		len += 4;
	}
	return len;
}

static void confirm_checked(const struct world *w, size_t off)
{
	size_t at = off + xrstor_len(w, off);

	if (bytes_at(w, at, "\xa9\x00\x02\x00\x00", 5)) {
		require(leads_to_ud2(w, at + 5, 0x75));
	} else if (bytes_at(w, at, "\xf7\xc0\x00\x02\x00\x00", 6)) {
		require(leads_to_ud2(w, at + 6, 0x75));
	} else {
		require(bytes_at(w, at, "\x0f\xba\xe0\x09", 4));
		require(leads_to_ud2(w, at + 4, 0x72));
	}
	require(off == 0 || w->bytes[off - 1] != 0x67);
}

static void confirm_gate(const struct world *w, size_t off)
{
	bool listed = false, gs = bytes_at(w, off + 3, "\xf7\xd0\x65\x3b\x04\x25", 6);
	size_t jump = off + 3 + (gs ? 10 : 5);

	require(gs || byte_at(w, off + 3) == 0x3d);
	require(byte_at(w, jump) == 0x75 || byte_at(w, jump + 1) == 0x85);
	require(leads_to_ud2(w, jump, 0x75));
	for (size_t i = 0; i < w->nsites; i++) {
		const struct site *site = &w->sites[i];

		listed = listed || (site->vaddr == BASE + off + 3 && site->nbefore <= off + 3 &&
				    site->kind == (gs ? LYCH_SITE_GS : LYCH_SITE_IMM) &&
				    bytes_at(w, off + 3 - site->nbefore, (const char *)site->bytes,
					     (size_t)site->nbefore + site->nafter));
	}
	require(listed);
}

/* glibc's functions all hold one of these. */
static void confirm_runtime(const struct world *w, size_t off, enum lych_class cls)
{
	if (cls == LYCH_WRPKRU) {
		require(off >= 0x32 && bytes_at(w, off - 0x32, "\x83\xff\x0f\x77\x3b", 5));
		require(bytes_at(w, off, "\x0f\x01\xef\x31\xc0\xc3", 6));
	} else {
		require(cls == LYCH_XRSTOR && off >= 7 && byte_at(w, off - 7) == 0xb8);
		require((byte_at(w, off - 5) & 0x02) == 0); /* EAX bit 9 is clear in the mask */
		require(bytes_at(w, off - 2, "\x31\xd2\x0f\xae\x6c\x24\x40", 7));
	}
}

static void check_placement(const struct world *w, const struct hit *hit, const struct placement *p)
{
	size_t at = p->insn_vaddr - BASE, off = hit->vaddr - p->insn_vaddr;
	struct insn in;

	require(p->why != NULL && p->nbefore <= 3);
	if (p->placement != LYCH_PLACE_INSIDE) {
		require(p->first_part == LYCH_PART_NONE && p->last_part == LYCH_PART_NONE);
	}
	if (p->placement == LYCH_PLACE_DATA || p->placement == LYCH_PLACE_UNDECIDED) {
		require(p->insn_vaddr == hit->vaddr && p->why[0] != '\0' && p->nbefore == 0);
		return;
	}
	require(p->insn_vaddr >= BASE && p->insn_vaddr <= hit->vaddr && off < LYCH_SEQUENCE_MAX);
	require(insn_decode(&in, w->bytes + at, w->len - at) && off < in.len);
	for (size_t i = 0; i < p->nbefore; i++) {
		struct insn before;
		size_t from = p->before[i] - BASE;
		uint64_t next = i + 1u < p->nbefore ? p->before[i + 1] : p->insn_vaddr;

		require(insn_decode(&before, w->bytes + from, w->len - from));
		require(p->before[i] + before.len == next);
	}
	switch (p->placement) {
	case LYCH_PLACE_INSTRUCTION:
		require(hit->core >= p->insn_vaddr && hit->core < p->insn_vaddr + in.len);
		require(off + hit->len <= in.len);
		break;
	case LYCH_PLACE_INSIDE:
		require(off + hit->len <= in.len);
		require(insn_part(&in, off) == p->first_part);
		require(insn_part(&in, off + hit->len - 1u) == p->last_part);
		break;
	default:
		require(p->placement == LYCH_PLACE_SPANNING && off + hit->len > in.len);
		break;
	}
}

static int on_hit(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	struct world *w = ctx;
	struct hit hit = {BASE + off, BASE + core, (uint8_t)len, cls};
	struct placement first, again;
	const char *why = NULL;

	place_hit(&first, &hit, w->where, &w->code);
	check_placement(w, &hit, &first);
	place_hit_memo(&again, &w->memo, &hit, w->where, &w->code);
	require(again.placement == first.placement && again.insn_vaddr == first.insn_vaddr &&
		again.first_part == first.first_part && again.last_part == first.last_part &&
		again.why == first.why);

	switch (verdict_of(&hit, w->sites, w->nsites, &w->code, &why)) {
	case LYCH_VERDICT_CHECKED:
		require(cls == LYCH_XRSTOR);
		confirm_checked(w, off);
		break;
	case LYCH_VERDICT_GATE:
		require(cls == LYCH_WRPKRU);
		confirm_gate(w, off);
		break;
	case LYCH_VERDICT_RUNTIME:
		confirm_runtime(w, off, cls);
		break;
	default:
		break;
	}
	require(why != NULL && why[0] != '\0');
	return 0;
}

/* Addresses near the code from two bytes each; FFFF is "none". */
static uint64_t address(const uint8_t *bytes)
{
	unsigned value = bytes[0] | (unsigned)bytes[1] << 8;

	return value == 0xffff ? UINT64_MAX : BASE - 16 + value;
}

static void make_where(struct elf_where *where, const uint8_t *data)
{
	static const uint8_t types[] = {STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC};

	memset(where, 0, sizeof(*where));
	where->has_sections = data[0] & 1;
	where->in_section = data[0] & 2;
	where->section_is_code = data[0] & 4;
	where->has_symbol = data[0] & 8;
	where->symbol_type = types[data[0] >> 4 & 3];
	where->has_fdes = data[0] & 64;
	where->in_fde = data[0] & 128;
	where->section_start = address(data + 1);
	where->section_end = address(data + 3);
	where->symbol_start = address(data + 5);
	where->symbol_size = data[7] == 0xff ? UINT64_MAX : data[7];
	where->next_symbol = address(data + 8);
	where->fde_start = address(data + 10);
	where->fde_end = address(data + 12);
	where->next_fde = address(data + 14);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct elf_where where;
	uint8_t *exact;
	size_t note_len;

	if (size < HEAD) {
		return 0;
	}
	note_len = data[HEAD - 1] < size - HEAD ? data[HEAD - 1] : size - HEAD;
	memset(&w, 0, sizeof(w));
	make_where(&where, data + 1);
	w.where = data[0] & 1 ? &where : NULL;
	w.code = (struct code){read_code, &w};
	w.nsites = site_parse(w.sites, sizeof(w.sites) / sizeof(w.sites[0]), data + HEAD, note_len, BASE - 0x100);

	/* a copy of exactly that size, so that a read outside is seen */
	w.len = size - HEAD - note_len;
	exact = malloc(w.len == 0 ? 1 : w.len);
	require(exact != NULL);
	memcpy(exact, data + HEAD + note_len, w.len);
	w.bytes = exact;
	(void)pattern_scan(w.bytes, w.len, LYCH_ALL_CLASSES, on_hit, &w);
	free(exact);
	return 0;
}
