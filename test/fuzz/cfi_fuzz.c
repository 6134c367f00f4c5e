/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind information for trampolines with any steps, as a broken or hostile planner would send them.
 *
 * Input: for each trampoline 1 byte of gap before it, then len, nsteps, 4 bytes of site, 1 of the instruction's
 * length; then the steps: off, after, nheld, 4 bytes of rsp_down, and twice reg, saved, 4 bytes.
 *
 * What must hold: nothing is written outside the room that is asked for; the sections are whole CIEs and FDEs; a
 * trampoline has an FDE exactly when its steps are valid, and that covers exactly its code; and what a reader of the rows
 * computes for each byte of code is what its step says. The ELF image's tables lie within it.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "../../gate/code/unwind.h"
#include "repair_cfi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE UINT64_C(0x7f0000001000)
#define WHERE UINT64_C(0x7e0000000008)
#define TRAMPOLINES_MAX 24

struct input {
	const uint8_t *at, *end;
};

/* A row, as an unwinder keeps it: of registers in DWARF's numbers. */
struct row {
	uint64_t cfa_off, rip_at;
	struct {
		bool set, saved;
		int64_t by;
	} regs[16];
};

static void require(bool condition)
{
	if (!condition) {
		abort();
	}
}

static uint64_t take(struct input *in, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes && in->at < in->end; i++) {
		value |= (uint64_t)*in->at++ << 8 * i;
	}
	return value;
}

/* ---- an input as trampolines ----------------------------------------------------------------------------------- */

static void take_step(struct input *in, struct repair_step *step)
{
	step->off = (uint8_t)take(in, 1);
	step->after = (uint8_t)take(in, 1);
	step->nheld = (uint8_t)take(in, 1);
	step->rsp_down = (uint32_t)take(in, 4);
	for (size_t i = 0; i < 2; i++) {
		step->held[i].reg = (uint8_t)take(in, 1);
		step->held[i].saved = (uint8_t)take(in, 1);
		step->held[i].by = (int32_t)take(in, 4);
	}
}

static size_t take_trampolines(struct input *in, struct repair_trampoline *t)
{
	uint64_t vaddr = BASE;
	size_t n = 0;

	for (; n < TRAMPOLINES_MAX && in->at < in->end; n++) {
		memset(&t[n], 0, sizeof(t[n]));
		vaddr += take(in, 1);
		t[n].vaddr = vaddr;
		t[n].len = (uint8_t)take(in, 1);
		t[n].nsteps = (uint8_t)take(in, 1);
		t[n].site = take(in, 4);
		t[n].resume = t[n].site + take(in, 1);
		for (size_t i = 0; i < REPAIR_STEPS && i < t[n].nsteps; i++) {
			take_step(in, &t[n].steps[i]);
		}
		vaddr += t[n].len;
	}
	return n;
}

/* ---- reading what was written ---------------------------------------------------------------------------------- */

static uint64_t take_uleb(struct input *in)
{
	uint64_t value = 0;
	uint8_t byte = 0x80;

	for (unsigned shift = 0; (byte & 0x80) != 0; shift += 7) {
		require(in->at < in->end && shift < 64);
		byte = *in->at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
	}
	return value;
}

static int64_t take_sleb(struct input *in)
{
	const uint8_t *start = in->at;
	uint64_t value = take_uleb(in);
	unsigned bits = 7 * (unsigned)(in->at - start);

	return bits < 64 && (in->at[-1] & 0x40) != 0 ? (int64_t)(value | ~UINT64_C(0) << bits) : (int64_t)value;
}

/* DW_CFA_expression: [DW_OP_addr] of rip or [DW_OP_breg] of others; DW_CFA_val_expression: [DW_OP_breg] of itself. */
static void run_expression(struct input *in, struct row *row, bool value)
{
	uint64_t reg = take_uleb(in), len = take_uleb(in);
	const uint8_t *end = in->at + len;
	uint8_t op = (uint8_t)take(in, 1);

	require(reg <= 16 && end <= in->end);
	if (reg == 16) {
		require(op == 0x03 && !value);
		row->rip_at = take(in, 8);
	} else {
		require(reg != 7 && op == 0x70 + (value ? reg : 7));
		row->regs[reg].set = true;
		row->regs[reg].saved = !value;
		row->regs[reg].by = take_sleb(in);
	}
	require(in->at == end);
}

/* The row for code at off. */
static struct row run(struct input in, uint64_t off)
{
	struct row row = {0};
	uint64_t at = 0, reg;

	while (in.at < in.end) {
		switch (take(&in, 1)) {
		case 0x00:
			break;
		case 0x02:
			at += take(&in, 1);
			if (at > off) {
				return row;
			}
			break;
		case 0x08:
			reg = take_uleb(&in);
			require(reg < 16);
			row.regs[reg].set = false;
			break;
		case 0x0e:
			row.cfa_off = take_uleb(&in);
			break;
		case 0x10:
			run_expression(&in, &row, false);
			break;
		case 0x16:
			run_expression(&in, &row, true);
			break;
		default:
			abort();
		}
	}
	return row;
}

static unsigned dwarf_reg(unsigned reg)
{
	static const uint8_t low[8] = {0, 2, 1, 3, 7, 6, 4, 5};

	return reg < 8 ? low[reg] : reg;
}

static void check_fde(const uint8_t *section, uint64_t vaddr, struct input fde, const struct repair_trampoline *t,
		      uint64_t behind)
{
	require(take(&fde, 8) == t->vaddr && take(&fde, 8) == t->len);
	fde.at += take_uleb(&fde);
	for (uint64_t off = 0; off < t->len; off++) {
		const struct repair_step *step;
		struct row row = run(fde, off);
		uint64_t word, site = repair_step_at(t, off, &step);
		size_t held = 0;

		require(row.cfa_off == step->rsp_down);
		require(row.rip_at >= vaddr && row.rip_at + 8 <= vaddr + (uint64_t)(fde.end - section));
		memcpy(&word, section + (row.rip_at - vaddr), sizeof(word));
		require(word == site + behind);
		for (size_t i = 0; i < step->nheld; i++) {
			const struct repair_held *h = &step->held[i];
			unsigned reg = dwarf_reg(h->reg);

			require(row.regs[reg].set && row.regs[reg].saved == (h->saved == 1) && row.regs[reg].by == h->by);
		}
		for (size_t i = 0; i < 16; i++) {
			held += row.regs[i].set;
		}
		require(held == step->nheld);
	}
}

static void check_section(const uint8_t *section, size_t len, uint64_t vaddr, const struct repair_trampoline *t, size_t n,
			  uint64_t behind)
{
	struct input in = {section, section + len};
	size_t next = 0;
	uint64_t bytes;

	bytes = take(&in, 4);
	require(bytes + 4 == REPAIR_CFI_CIE_BYTES && take(&in, 4) == 0);
	in.at = section + REPAIR_CFI_CIE_BYTES;
	while ((bytes = take(&in, 4)) != 0) {
		struct input fde = {in.at, in.at + bytes};

		require(bytes >= 24 && bytes + 4 <= REPAIR_CFI_FDE_BYTES && (bytes + 4) % 8 == 0 &&
			bytes <= (uint64_t)(in.end - in.at));
		require(take(&fde, 4) == (uint64_t)(in.at - section));
		while (next < n && !repair_steps_valid(&t[next])) {
			next++;
		}
		require(next < n);
		check_fde(section, vaddr, fde, &t[next++], behind);
		in.at += bytes;
	}
	while (next < n && !repair_steps_valid(&t[next])) {
		next++;
	}
	require(next == n && in.at == in.end);
}

/* ---- ELF ------------------------------------------------------------------------------------------------------- */

static void check_image(const struct repair_trampoline *t, size_t n)
{
	static char names[TRAMPOLINES_MAX][UNWIND_NAME_BYTES];
	size_t room = unwind_image_room(n);
	struct unwind_layout layout;
	uint8_t *out = malloc(room);
	const Elf64_Ehdr *ehdr;
	const int32_t *table;

	require(out != NULL);
	for (size_t i = 0; i < n; i++) {
		memset(names[i], 'n', i % 2 != 0 ? sizeof(names[i]) - 1 : 3);
	}
	unwind_image(&layout, out, WHERE, t, n, (const char(*)[UNWIND_NAME_BYTES])names);
	ehdr = (const void *)(out + layout.image);
	require(layout.image + layout.image_bytes <= room && memcmp(ehdr->e_ident, ELFMAG, SELFMAG) == 0);
	for (unsigned i = 1; i < ehdr->e_shnum; i++) {
		const Elf64_Shdr *s = (const Elf64_Shdr *)(const void *)(out + layout.image + ehdr->e_shoff) + i;

		require(s->sh_type == SHT_NOBITS ||
			(s->sh_offset <= layout.image_bytes && s->sh_size <= layout.image_bytes - s->sh_offset));
	}
	check_section(out + layout.debug_frame, layout.debug_frame_bytes, WHERE + layout.debug_frame, t, n, 0);
	check_section(out + layout.exception_frame, layout.exception_frame_bytes, WHERE + layout.exception_frame, t, n, 1);
	table = (const void *)(out + layout.table);
	for (size_t i = 0; i < layout.table_entries; i++) {
		uint64_t start;

		require(table[2 * i + 1] > 0 && (size_t)table[2 * i + 1] + 16 <= layout.debug_frame_bytes);
		memcpy(&start, out + layout.debug_frame + table[2 * i + 1] + 8, sizeof(start));
		require(start == t[0].vaddr + (uint64_t)(int64_t)table[2 * i] && (i == 0 || table[2 * i] > table[2 * i - 2]));
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct repair_trampoline t[TRAMPOLINES_MAX];
	struct input in = {data, data + size};
	size_t n = take_trampolines(&in, t), len = 0;

	if (n == 0) {
		return 0;
	}
	/* Room of all sizes, each of exactly that size: a write outside is seen. */
	for (size_t room = REPAIR_CFI_BYTES(n) + 1; room-- > 0; room -= room > 400 ? room / 3 : 0) {
		uint8_t *out = malloc(room == 0 ? 1 : room);
		size_t got;

		require(out != NULL);
		got = repair_cfi(out, room, WHERE, REPAIR_CFI_DEBUGGERS, t, n, NULL);
		require(got <= room && (len == 0 || got == 0 || got == len));
		len = len == 0 ? got : len;
		free(out);
	}
	require(len != 0);
	check_image(t, n);
	return 0;
}
