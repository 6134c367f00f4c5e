/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the few instructions that trampolines are made of. */
#include <string.h>

#include "repair_parts.h"

void emit(struct repair_trampoline *t, const void *bytes, size_t len)
{
	if (t->len == TRAMPOLINE_FULL || t->len + len > REPAIR_CODE_BYTES) {
		t->len = TRAMPOLINE_FULL;
		return;
	}
	memcpy(t->code + t->len, bytes, len);
	t->len = (uint8_t)(t->len + len);
}

bool emit_done(const struct repair_trampoline *t)
{
	struct insn in;
	size_t at = 0;

	if (t->len == TRAMPOLINE_FULL) {
		return false;
	}
	while (at < t->len && insn_decode(&in, t->code + at, t->len - at)) {
		at += in.len;
	}
	return at == t->len;
}

void emit_byte(struct repair_trampoline *t, uint8_t byte)
{
	emit(t, &byte, 1);
}

void emit_u32(struct repair_trampoline *t, uint32_t value)
{
	emit(t, &value, sizeof(value));
}

void emit_step(struct repair_trampoline *t, bool after, unsigned rsp_down)
{
	if (t->len == TRAMPOLINE_FULL || t->nsteps == REPAIR_STEPS) {
		t->len = TRAMPOLINE_FULL;
		return;
	}
	t->steps[t->nsteps++] = (struct repair_step){.off = t->len, .after = after, .rsp_down = rsp_down};
}

static void add_held(struct repair_trampoline *t, struct repair_held held)
{
	struct repair_step *step = &t->steps[t->nsteps - 1];

	if (t->len == TRAMPOLINE_FULL || step->nheld == sizeof(step->held) / sizeof(step->held[0])) {
		t->len = TRAMPOLINE_FULL;
		return;
	}
	step->held[step->nheld++] = held;
}

void emit_saved(struct repair_trampoline *t, unsigned reg, unsigned off)
{
	add_held(t, (struct repair_held){.reg = (uint8_t)reg, .saved = 1, .by = (int32_t)off});
}

void emit_moved(struct repair_trampoline *t, unsigned reg, int32_t more)
{
	add_held(t, (struct repair_held){.reg = (uint8_t)reg, .by = more});
}

void emit_rel32(struct repair_trampoline *t, uint64_t target, unsigned skip)
{
	uint8_t at = t->len;

	emit_u32(t, 0);
	if (t->len == TRAMPOLINE_FULL || t->nfixups == REPAIR_FIXUPS) {
		t->len = TRAMPOLINE_FULL;
		return;
	}
	t->fixups[t->nfixups++] = (struct repair_fixup){at, (uint8_t)(t->len + skip), target};
}

void emit_jmp(struct repair_trampoline *t, uint64_t target)
{
	emit_byte(t, 0xe9);
	emit_rel32(t, target, 0);
}

void emit_memory(struct repair_trampoline *t, unsigned reg, const struct operand *op)
{
	unsigned mod = op->base == NO_REG ? 0 : 2;

	if (op->index == NO_REG && op->base != NO_REG && (op->base & 7) != RSP) {
		emit_byte(t, (uint8_t)(mod << 6 | (reg & 7) << 3 | (op->base & 7)));
	} else {
		unsigned base = op->base == NO_REG ? RBP : op->base & 7u;
		unsigned index = op->index == NO_REG ? RSP : op->index & 7u;

		emit_byte(t, (uint8_t)(mod << 6 | (reg & 7) << 3 | RSP));
		emit_byte(t, (uint8_t)(op->scale << 6 | index << 3 | base));
	}
	emit_u32(t, (uint32_t)op->disp);
}

unsigned operand_rex(const struct operand *op)
{
	unsigned x = op->index != NO_REG ? op->index >> 3 : 0, b = op->base != NO_REG ? op->base >> 3 : 0;

	return x << 1 | b;
}

void emit_lea(struct repair_trampoline *t, unsigned dst, const struct operand *op)
{
	emit_byte(t, (uint8_t)(0x48 | (dst >> 3) << 2 | operand_rex(op)));
	emit_byte(t, 0x8d);
	emit_memory(t, dst, op);
}

void emit_lea_add(struct repair_trampoline *t, unsigned dst, unsigned src, int64_t disp)
{
	struct operand op = {.base = (uint8_t)src, .index = NO_REG, .disp = (int32_t)disp};

	emit_lea(t, dst, &op);
}

static void emit_stack_mov(struct repair_trampoline *t, uint8_t opcode, unsigned reg, unsigned off)
{
	const uint8_t code[] = {(uint8_t)(0x48 | (reg >> 3) << 2), opcode, (uint8_t)(0x44 | (reg & 7) << 3), 0x24,
				(uint8_t)off};

	emit(t, code, sizeof(code));
}

void emit_save(struct repair_trampoline *t, unsigned reg, unsigned off)
{
	emit_stack_mov(t, 0x89, reg, off);
}

void emit_restore(struct repair_trampoline *t, unsigned reg, unsigned off)
{
	emit_stack_mov(t, 0x8b, reg, off);
}

/* Not where it says nothing. */
static void emit_rex(struct repair_trampoline *t, uint8_t rex)
{
	if (rex != 0x40) {
		emit_byte(t, rex);
	}
}

/* What LEA adds again: no byte of it is one that a sequence has. */
#define LEA_PART 0x11223344

void emit_constant(struct repair_trampoline *t, unsigned reg, uint64_t value, bool wide, enum build build)
{
	uint8_t rex = (uint8_t)(0x40 | (wide ? 8 : 0) | reg >> 3);
	uint64_t first = build == BUILD_NOT ? ~value : value - LEA_PART;

	emit_rex(t, rex);
	if (wide && (int64_t)first == (int32_t)first) {
		emit_byte(t, 0xc7);
		emit_byte(t, (uint8_t)(0xc0 | (reg & 7)));
		emit_u32(t, (uint32_t)first);
	} else {
		emit_byte(t, (uint8_t)(0xb8 | (reg & 7)));
		emit(t, &first, wide ? 8 : 4);
	}
	if (build == BUILD_NOT) {
		emit_rex(t, rex);
		emit_byte(t, 0xf7);
		emit_byte(t, (uint8_t)(0xd0 | (reg & 7)));
		return;
	}
	if (wide) {
		emit_lea_add(t, reg, reg, LEA_PART);
		return;
	}
	/* the same without REX.W: the sum is cut off at 32 bits, the upper half cleared */
	emit_rex(t, (uint8_t)(0x40 | (reg >> 3) << 2 | reg >> 3));
	emit_byte(t, 0x8d);
	emit_memory(t, reg, &(struct operand){.base = (uint8_t)reg, .index = NO_REG, .disp = LEA_PART});
}
