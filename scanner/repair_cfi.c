/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats: Linux Standard Base Core 5.0, 10.6 (.eh_frame); DWARF 5, 6.4. Registers: System V ABI for x86-64, figure
 * 3.36.
 */
#include <string.h>

#include "repair_cfi.h"

#define DW_CFA_ADVANCE_LOC1 0x02
#define DW_CFA_SAME_VALUE 0x08
#define DW_CFA_DEF_CFA 0x0c
#define DW_CFA_DEF_CFA_OFFSET 0x0e
#define DW_CFA_EXPRESSION 0x10
#define DW_CFA_VAL_EXPRESSION 0x16
#define DW_OP_ADDR 0x03
#define DW_OP_BREG0 0x70

#define RSP 4
#define DWARF_RSP 7
#define DWARF_RIP 16

/* In an FDE: length, CIE pointer, first address, number of bytes, length of what follows; then these, aligned. */
#define WORDS_AT 32
#define AUGMENTATION_AT 25
#define WORDS_BYTES 16

/* advance, CFA, two registers back and two away; the return address changes at most twice */
#define STEP_BYTES (2 + 6 + 2 * 2 + 2 * 9)
#define RETURN_BYTES 12
_Static_assert(WORDS_AT + WORDS_BYTES + REPAIR_STEPS * STEP_BYTES + 2 * RETURN_BYTES + 7 <= REPAIR_CFI_FDE_BYTES,
	       "an FDE fits");
_Static_assert(REPAIR_CODE_BYTES <= UINT8_MAX, "one byte advances far enough");

struct bytes {
	uint8_t *out;
	size_t len;
};

static void put(struct bytes *b, const void *from, size_t len)
{
	memcpy(b->out + b->len, from, len);
	b->len += len;
}

static void put_u8(struct bytes *b, unsigned value)
{
	b->out[b->len++] = (uint8_t)value;
}

static void put_u32(struct bytes *b, uint32_t value)
{
	put(b, &value, sizeof(value));
}

static void put_u64(struct bytes *b, uint64_t value)
{
	put(b, &value, sizeof(value));
}

static void put_uleb(struct bytes *b, uint32_t value)
{
	for (; value >= 0x80; value >>= 7) {
		put_u8(b, 0x80 | (value & 0x7f));
	}
	put_u8(b, value);
}

static size_t put_sleb(struct bytes *b, int64_t value)
{
	size_t start = b->len;

	for (; value < -0x40 || value >= 0x40; value >>= 7) {
		put_u8(b, 0x80 | ((unsigned)value & 0x7f));
	}
	put_u8(b, (unsigned)value & 0x7f);
	return b->len - start;
}

/* Up to a multiple of 8, with DW_CFA_nop; then the length of all of it, which does not count itself. */
static void finish(struct bytes *b)
{
	uint32_t length;

	while (b->len % 8 != 0) {
		put_u8(b, 0);
	}
	length = (uint32_t)b->len - 4;
	memcpy(b->out, &length, sizeof(length));
}

static unsigned dwarf_reg(unsigned reg)
{
	static const uint8_t low[8] = {0, 2, 1, 3, 7, 6, 4, 5};

	return reg < 8 ? low[reg] : reg;
}

/* ---- CIE ------------------------------------------------------------------------------------- */

static size_t put_cie(uint8_t *out, enum repair_cfi_reader reader)
{
	const char *letters = reader == REPAIR_CFI_DEBUGGERS ? "zRS" : "zR";
	struct bytes b = {out, 0};

	put_u32(&b, 0);
	put_u32(&b, 0);
	put_u8(&b, 1);
	put(&b, letters, strlen(letters) + 1);
	put_uleb(&b, 1);
	put_sleb(&b, -8);
	put_u8(&b, DWARF_RIP);
	put_uleb(&b, 1);
	put_u8(&b, 0); /* DW_EH_PE_absptr */
	put_u8(&b, DW_CFA_DEF_CFA);
	put_uleb(&b, DWARF_RSP);
	put_uleb(&b, 0);
	finish(&b);
	return b.len;
}

/* ---- FDE ------------------------------------------------------------------------------------- */

static void put_held(struct bytes *b, const struct repair_held *held)
{
	unsigned reg = dwarf_reg(held->reg);
	struct bytes operand = {.out = (uint8_t[8]){0}};

	put_u8(&operand, DW_OP_BREG0 + (held->saved ? DWARF_RSP : reg));
	put_sleb(&operand, held->by);
	put_u8(b, held->saved ? DW_CFA_EXPRESSION : DW_CFA_VAL_EXPRESSION);
	put_uleb(b, reg);
	put_uleb(b, (uint32_t)operand.len);
	put(b, operand.out, operand.len);
}

static bool holds(const struct repair_step *step, unsigned reg)
{
	for (size_t i = 0; step != NULL && i < step->nheld; i++) {
		if (step->held[i].reg == reg) {
			return true;
		}
	}
	return false;
}

/* What changes with this step. */
static void put_step(struct bytes *b, const struct repair_step *step, const struct repair_step *before, uint64_t words)
{
	if (before != NULL && step->off > before->off) {
		put_u8(b, DW_CFA_ADVANCE_LOC1);
		put_u8(b, step->off - before->off);
	}
	if (before == NULL || step->rsp_down != before->rsp_down) {
		put_u8(b, DW_CFA_DEF_CFA_OFFSET);
		put_uleb(b, step->rsp_down);
	}
	if (before == NULL || step->after != before->after) {
		put_u8(b, DW_CFA_EXPRESSION);
		put_uleb(b, DWARF_RIP);
		put_uleb(b, 9);
		put_u8(b, DW_OP_ADDR);
		put_u64(b, words + (step->after ? 8 : 0));
	}
	for (size_t i = 0; before != NULL && i < before->nheld; i++) {
		if (!holds(step, before->held[i].reg)) {
			put_u8(b, DW_CFA_SAME_VALUE);
			put_uleb(b, dwarf_reg(before->held[i].reg));
		}
	}
	for (size_t i = 0; i < step->nheld; i++) {
		put_held(b, &step->held[i]);
	}
}

static size_t put_fde(uint8_t *out, size_t at, uint64_t vaddr, enum repair_cfi_reader reader,
		      const struct repair_trampoline *t)
{
	uint64_t behind = reader == REPAIR_CFI_EXCEPTIONS ? 1 : 0;
	struct bytes b = {out + at, 0};

	put_u32(&b, 0);
	put_u32(&b, (uint32_t)at + 4); /* back to the CIE, which stands at the section's start */
	put_u64(&b, t->vaddr);
	put_u64(&b, t->len);
	put_u8(&b, WORDS_AT + WORDS_BYTES - AUGMENTATION_AT);
	while (b.len < WORDS_AT) {
		put_u8(&b, 0);
	}
	put_u64(&b, t->site + behind);
	put_u64(&b, t->resume + behind);
	for (size_t i = 0; i < t->nsteps; i++) {
		put_step(&b, &t->steps[i], i > 0 ? &t->steps[i - 1] : NULL, vaddr + at + WORDS_AT);
	}
	finish(&b);
	return b.len;
}

/* ---- all of it ------------------------------------------------------------------------------- */

bool repair_steps_valid(const struct repair_trampoline *t)
{
	if (t->len == 0 || t->len > REPAIR_CODE_BYTES || t->vaddr + t->len < t->vaddr || t->nsteps == 0 ||
	    t->nsteps > REPAIR_STEPS || t->steps[0].off != 0) {
		return false;
	}
	for (size_t i = 0; i < t->nsteps; i++) {
		const struct repair_step *step = &t->steps[i];

		if (step->off >= t->len || step->after > 1 || step->nheld > sizeof(step->held) / sizeof(step->held[0]) ||
		    (i > 0 && (step->off < step[-1].off || step->after < step[-1].after))) {
			return false;
		}
		for (size_t k = 0; k < step->nheld; k++) {
			if (step->held[k].saved > 1 || step->held[k].reg > 15 || step->held[k].reg == RSP ||
			    (k > 0 && step->held[k].reg == step->held[0].reg)) {
				return false;
			}
		}
	}
	return true;
}

uint64_t repair_step_at(const struct repair_trampoline *t, uint64_t off, const struct repair_step **step)
{
	size_t i = 0;

	while (i + 1 < t->nsteps && t->steps[i + 1].off <= off) {
		i++;
	}
	if (step != NULL) {
		*step = &t->steps[i];
	}
	return t->steps[i].after ? t->resume : t->site;
}

size_t repair_cfi(uint8_t *out, size_t room, uint64_t vaddr, enum repair_cfi_reader reader,
		  const struct repair_trampoline *trampolines, size_t n, uint32_t *fde_at)
{
	size_t len;

	if (room < REPAIR_CFI_BYTES(0) || n > (UINT32_MAX - REPAIR_CFI_BYTES(0)) / REPAIR_CFI_FDE_BYTES) {
		return 0;
	}
	len = put_cie(out, reader);
	for (size_t i = 0; i < n; i++) {
		bool valid = repair_steps_valid(&trampolines[i]);

		if (fde_at != NULL) {
			fde_at[i] = valid ? (uint32_t)len : 0;
		}
		if (!valid) {
			continue;
		}
		if (room - len < REPAIR_CFI_FDE_BYTES + 4) {
			return 0;
		}
		len += put_fde(out, len, vaddr, reader, &trampolines[i]);
	}
	memset(out + len, 0, 4);
	return len + 4;
}
