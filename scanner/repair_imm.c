/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions whose immediate holds a sequence. */
#include <string.h>

#include "repair_split.h"

static uint64_t end_of(const struct spot *spot)
{
	return spot->vaddr + spot->in.len;
}

static uint64_t imm_value(const struct split *s)
{
	int32_t imm32;
	uint64_t imm64;

	if (s->in->imm_len == 8) {
		memcpy(&imm64, s->spot->bytes + s->in->imm_off, sizeof(imm64));
		return imm64;
	}
	memcpy(&imm32, s->spot->bytes + s->in->imm_off, sizeof(imm32));
	return operand_wide(s->spot) ? (uint64_t)(int64_t)imm32 : (uint32_t)imm32;
}

/* MOV to a register: the constant is built there. */
static bool imm_to_register(struct split *s)
{
	unsigned reg = s->in->has_modrm ? operand_rm(s->spot)
					: (s->in->opcode & 7u) | (s->in->rex & 1u) << 3;

	if (reg == RSP) {
		return false;
	}
	emit_step(s->t, false, 0);
	emit_constant(s->t, reg, imm_value(s), operand_wide(s->spot), s->build);
	emit_step(s->t, true, 0);
	emit_jmp(s->t, end_of(s->spot));
	return true;
}

static bool imm_to_stack(struct split *s)
{
	static const uint8_t not_top[] = {0x48, 0xf7, 0x14, 0x24};

	if (s->build != BUILD_NOT) {
		return false;
	}
	emit_step(s->t, false, 0);
	emit_byte(s->t, 0x68);
	emit_u32(s->t, ~(uint32_t)imm_value(s));
	emit_step(s->t, true, 0);
	emit(s->t, not_top, sizeof(not_top));
	emit_jmp(s->t, end_of(s->spot));
	return true;
}

/* The opcode that takes a register where this one takes an immediate; 0: there is none. */
static uint8_t register_form(const struct insn *in)
{
	unsigned reg = in->modrm >> 3 & 7;

	if (in->encoding != INSN_LEGACY || in->map != 0) {
		return 0;
	}
	switch (in->opcode) {
	case 0x05: case 0x0d: case 0x15: case 0x1d: case 0x25: case 0x2d: case 0x35: case 0x3d:
		return in->opcode - 4;
	case 0x81:
		return (uint8_t)(reg << 3 | 1);
	case 0xa9:
		return 0x85;
	case 0xf7:
		return reg < 2 ? 0x85 : 0;
	case 0xc7:
		return 0x89;
	default:
		return 0;
	}
}

/*
 * add or sub with an immediate to or from rsp itself: done on a copy, for the flags; rsp takes part by LEA, lowered
 * before and raised after what is saved is needed.
 */
static bool imm_to_rsp(struct split *s, uint8_t opcode)
{
	bool sub = opcode == 0x29;
	int64_t imm = (int64_t)imm_value(s), low = FRAME + (sub ? imm : 0);

	if ((!sub && opcode != 0x01) || !operand_wide(s->spot) || imm < 0x1110 || imm > INT32_MAX / 2 ||
	    s->part > 0x1110) {
		return false;
	}
	s->address = R9;
	s->value = R10;
	emit_step(s->t, false, 0);
	emit_lea_add(s->t, RSP, RSP, -s->part);
	emit_step(s->t, false, (unsigned)s->part);
	emit_lea_add(s->t, RSP, RSP, s->part - low);
	emit_step(s->t, false, (unsigned)low);
	emit_save(s->t, s->address, ADDRESS_SLOT);
	emit_save(s->t, s->value, VALUE_SLOT);
	emit_step(s->t, false, (unsigned)low);
	emit_saved(s->t, s->address, ADDRESS_SLOT);
	emit_saved(s->t, s->value, VALUE_SLOT);
	emit_constant(s->t, s->value, (uint64_t)imm, true, s->build);
	emit_lea_add(s->t, s->address, RSP, s->part);
	emit_lea_add(s->t, s->address, s->address, low - s->part);
	emit_byte(s->t, 0x4d); /* add or sub r10 to or from r9 */
	emit_byte(s->t, opcode);
	emit_byte(s->t, 0xc0 | (R10 & 7) << 3 | (R9 & 7));
	emit_restore(s->t, s->address, ADDRESS_SLOT);
	emit_restore(s->t, s->value, VALUE_SLOT);
	if (sub) {
		emit_lea_add(s->t, RSP, RSP, FRAME);
	} else {
		emit_lea_add(s->t, RSP, RSP, s->part);
		emit_step(s->t, true, (unsigned)(FRAME + imm - s->part));
		emit_lea_add(s->t, RSP, RSP, FRAME + imm - s->part);
	}
	emit_step(s->t, true, 0);
	emit_jmp(s->t, end_of(s->spot));
	return true;
}

/* prefixes REX opcode ModRM with register value in ModRM.reg and the instruction's other operand, if it has one */
static bool emit_register_form(const struct split *s, const uint8_t *opcode, size_t opcode_len, bool through_address)
{
	struct operand rest = split_rest(s), op = s->op;
	unsigned rex = (s->in->rex & 8u) | (s->value >> 3) << 2;
	int32_t disp;

	split_prefixes(s);
	if (!s->in->has_modrm || s->in->modrm >= 0xc0) {
		unsigned rm = s->in->has_modrm ? operand_rm(s->spot) : RAX;

		emit_byte(s->t, (uint8_t)(0x40 | rex | rm >> 3));
		emit(s->t, opcode, opcode_len);
		emit_byte(s->t, (uint8_t)(0xc0 | (s->value & 7) << 3 | (rm & 7)));
		return true;
	}
	if (s->in->rip_relative) {
		memcpy(&disp, s->spot->bytes + s->in->disp_off, sizeof(disp));
		emit_byte(s->t, (uint8_t)(0x40 | rex));
		emit(s->t, opcode, opcode_len);
		emit_byte(s->t, (uint8_t)((s->value & 7) << 3 | 5));
		emit_rel32(s->t, end_of(s->spot) + (uint64_t)(int64_t)disp, 0);
		return true;
	}
	if (through_address) {
		op = rest;
	} else if (op.base == RSP && !split_add_disp(&op, FRAME)) {
		return false;
	}
	emit_byte(s->t, (uint8_t)(0x40 | rex | operand_rex(&op)));
	emit(s->t, opcode, opcode_len);
	emit_memory(s->t, s->value, &op);
	return true;
}

static void emit_held_here(const struct split *s, bool through_address)
{
	emit_saved(s->t, s->value, VALUE_SLOT);
	if (through_address) {
		emit_saved(s->t, s->address, ADDRESS_SLOT);
	}
}

static bool imm_by_stack(struct split *s)
{
	bool multiply = split_is(s->in, 0, 0x69), through_address = s->way == WAY_STACK;
	uint8_t opcode[2] = {register_form(s->in), 0};
	size_t opcode_len = 1;
	unsigned used = split_used(s);

	if (s->in->has_modrm && s->in->modrm >= 0xc0 && operand_rm(s->spot) == RSP) {
		return !multiply && s->way == WAY_NONE && imm_to_rsp(s, opcode[0]);
	}
	if (multiply) {
		opcode[0] = 0x0f;
		opcode[1] = 0xaf;
		opcode_len = 2;
		if (operand_reg(s->spot) == RSP) {
			return false;
		}
	} else if (opcode[0] == 0) {
		return false;
	}
	/* without ModRM the accumulator is an operand; r9 and up are free anyway */
	if (!split_scratch(s, &s->value, &used) || (through_address && !split_scratch(s, &s->address, &used))) {
		return false;
	}
	split_open(s);
	emit_save(s->t, s->value, VALUE_SLOT);
	if (through_address) {
		emit_save(s->t, s->address, ADDRESS_SLOT);
	}
	emit_step(s->t, false, FRAME);
	emit_held_here(s, through_address);
	if (through_address && !split_address(s, FRAME)) {
		return false;
	}
	emit_constant(s->t, s->value, imm_value(s), operand_wide(s->spot), s->build);
	if (!emit_register_form(s, opcode, opcode_len, through_address)) {
		return false;
	}
	if (multiply) {
		/* mov reg, value */
		unsigned reg = operand_reg(s->spot);

		emit_byte(s->t, (uint8_t)(0x40 | (s->in->rex & 8u) | (s->value >> 3) << 2 | reg >> 3));
		emit_byte(s->t, 0x89);
		emit_byte(s->t, (uint8_t)(0xc0 | (s->value & 7) << 3 | (reg & 7)));
	}
	emit_step(s->t, true, FRAME);
	emit_held_here(s, through_address);
	emit_restore(s->t, s->value, VALUE_SLOT);
	if (through_address) {
		emit_restore(s->t, s->address, ADDRESS_SLOT);
	}
	split_close(s);
	return true;
}

bool split_imm(struct split *s)
{
	const struct insn *in = s->in;

	if (in->encoding != INSN_LEGACY || in->opsize_66 || (in->imm_len != 4 && in->imm_len != 8) || in->relative ||
	    in->addrsize_67 || (s->way != WAY_NONE && s->way != WAY_STACK)) {
		return false;
	}
	if (s->way == WAY_NONE && in->map == 0) {
		if ((in->opcode & 0xf8) == 0xb8 || (in->opcode == 0xc7 && in->modrm >= 0xc0)) {
			return imm_to_register(s);
		}
		if (in->opcode == 0x68) {
			return imm_to_stack(s);
		}
	}
	if (s->way == WAY_STACK && !s->has_op) {
		return false;
	}
	return in->modrm >= 0xc0 || !in->has_modrm || in->rip_relative || s->has_op ? imm_by_stack(s) : false;
}
