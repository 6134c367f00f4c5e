/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a trampoline instead of the instruction that led there. */
#include <string.h>

#include "repair_parts.h"

static uint64_t end_of(const struct spot *spot)
{
	return spot->vaddr + spot->in.len;
}

static uint64_t branch_target(const struct spot *spot)
{
	const uint8_t *imm = spot->bytes + spot->in.imm_off;
	int32_t rel32;

	if (spot->in.imm_len == 1) {
		return end_of(spot) + (uint64_t)(int64_t)(int8_t)*imm;
	}
	memcpy(&rel32, imm, sizeof(rel32));
	return end_of(spot) + (uint64_t)(int64_t)rel32;
}

/* Legacy prefixes without REX, which would count for the wrong byte. */
static void emit_prefixes(struct repair_trampoline *t, const struct spot *spot)
{
	for (size_t i = 0; i < spot->in.opcode_off; i++) {
		if ((spot->bytes[i] & 0xf0) != 0x40) {
			emit_byte(t, spot->bytes[i]);
		}
	}
}

/* ---- moved as it is -------------------------------------------------------------------------- */

/* What depends on its own address in a way that cannot be put right, or that something outside looks for. */
static bool immovable(const struct spot *spot)
{
	const struct insn *in = &spot->in;
	unsigned reg = in->modrm >> 3 & 7;

	if (in->encoding != INSN_LEGACY) {
		return false;
	}
	if (in->map == 0) {
		switch (in->opcode) {
		case 0xcc: case 0xcd: case 0xf1: /* INT3, INT, INT1: a handler sees where */
		case 0xe8:                       /* CALL: the return address */
			return true;
		case 0xc6: case 0xc7: /* XABORT, XBEGIN */
			return in->modrm >= 0xf8;
		case 0xff:
			return reg == 2 || reg == 3 || reg == 5;
		default:
			return false;
		}
	}
	if (in->map == 1) {
		switch (in->opcode) {
		case 0x01: /* VMCALL, XGETBV.. WRPKRU */
			return in->modrm >= 0xc0;
		case 0x05: case 0x34: case 0x0b: case 0xb9: case 0xff: /* SYSCALL, SYSENTER, UD2, UD1, UD0 */
			return true;
		case 0x1e: /* ENDBR64: indirect branches lead to it */
			return in->rep_f3 && in->modrm >= 0xfa;
		default:
			return false;
		}
	}
	return false;
}

/* Control never comes behind it. */
static bool never_falls_through(const struct insn *in)
{
	if (in->encoding != INSN_LEGACY || in->map != 0) {
		return false;
	}
	return in->opcode == 0xe9 || in->opcode == 0xeb || in->opcode == 0xc2 || in->opcode == 0xc3 ||
	       (in->opcode == 0xff && (in->modrm >> 3 & 7) == 4);
}

static bool move_branch(struct repair_trampoline *t, const struct spot *spot)
{
	const struct insn *in = &spot->in;

	if (in->encoding != INSN_LEGACY || in->opsize_66) {
		return false; /* with 66 Intel and AMD do not agree where it leads */
	}
	if (in->map == 0 && (in->opcode == 0xe9 || in->opcode == 0xeb)) {
		emit_jmp(t, branch_target(spot));
		return true;
	}
	if (in->map == 0 && in->opcode >= 0xe0 && in->opcode <= 0xe3) {
		/* LOOP and JRCXZ exist with rel8 only: over a jump that goes on, to one that leads to the target */
		const uint8_t code[] = {in->opcode, 0x02}, over[] = {0xeb, 0x05};

		if (in->addrsize_67) {
			emit_byte(t, 0x67);
		}
		emit(t, code, sizeof(code));
		emit_step(t, true, 0); /* rcx has changed */
		emit(t, over, sizeof(over));
		emit_jmp(t, branch_target(spot));
		return true;
	}
	if ((in->map == 0 && (in->opcode & 0xf0) == 0x70) || (in->map == 1 && (in->opcode & 0xf0) == 0x80)) {
		emit_byte(t, 0x0f);
		emit_byte(t, (uint8_t)(0x80 | (in->opcode & 0x0f)));
		emit_rel32(t, branch_target(spot), 0);
		return true;
	}
	return false;
}

bool body_move(struct repair_trampoline *t, const struct spot *spot)
{
	const struct insn *in = &spot->in;

	if (immovable(spot)) {
		return false;
	}
	emit_step(t, false, 0);
	if (in->relative) {
		if (!move_branch(t, spot)) {
			return false;
		}
	} else if (in->rip_relative) {
		int32_t disp;

		if (in->addrsize_67) {
			return false; /* EIP-relative */
		}
		memcpy(&disp, spot->bytes + in->disp_off, sizeof(disp));
		emit(t, spot->bytes, in->disp_off);
		emit_rel32(t, end_of(spot) + (uint64_t)(int64_t)disp, in->len - in->disp_off - 4u);
		emit(t, spot->bytes + in->disp_off + 4, in->len - in->disp_off - 4u);
	} else {
		emit(t, spot->bytes, in->len);
	}
	if (!never_falls_through(in)) {
		emit_step(t, true, 0);
		emit_jmp(t, end_of(spot));
	}
	return emit_done(t);
}

/* ---- calls through memory -------------------------------------------------------------------- */

bool body_call(struct repair_trampoline *t, const struct spot *spot)
{
	const struct insn *in = &spot->in;
	struct operand op;
	int32_t disp;

	if (in->encoding != INSN_LEGACY || in->map != 0 || in->opcode != 0xff || (in->modrm >> 3 & 7) != 2 ||
	    in->modrm >= 0xc0 || in->opsize_66 || in->addrsize_67) {
		return false;
	}
	emit_step(t, false, 8);
	emit_prefixes(t, spot);
	if (in->rip_relative) {
		memcpy(&disp, spot->bytes + in->disp_off, sizeof(disp));
		emit_byte(t, 0xff);
		emit_byte(t, 0x25);
		emit_rel32(t, end_of(spot) + (uint64_t)(int64_t)disp, 0);
		return emit_done(t);
	}
	if (!operand_memory(&op, spot)) {
		return false;
	}
	if (op.base == RSP) {
		/* The return address has been pushed by now. */
		if (op.disp > INT32_MAX - 8) {
			return false;
		}
		op.disp += 8;
	}
	if (operand_rex(&op) != 0) {
		emit_byte(t, (uint8_t)(0x40 | operand_rex(&op)));
	}
	emit_byte(t, 0xff);
	emit_memory(t, 4, &op);
	return emit_done(t);
}

/* ---- XRSTOR ---------------------------------------------------------------------------------- */

/* Below the red zone, and one word for the flags. */
#define RED_ZONE 128
#define FLAGS_BYTES 8

bool body_xrstor(struct repair_trampoline *t, const struct spot *spot)
{
	static const uint8_t test_eax[] = {0xa9, 0x00, 0x02, 0x00, 0x00};
	const struct insn *in = &spot->in;
	uint8_t jump_at, ud2_at;
	struct operand op;
	int32_t disp;

	if (in->encoding != INSN_LEGACY || in->map != 1 || in->opcode != 0xae || (in->modrm >> 3 & 7) != 5 ||
	    in->modrm >= 0xc0 || in->opsize_66 || in->rep_f2 || in->rep_f3 || in->lock_f0 || in->addrsize_67) {
		return false;
	}
	/*
	 * Whoever jumps to the XRSTOR meets the check next, which touches no memory; that POPF then loads flags
	 * from wherever his stack pointer points takes nothing from anybody else.
	 */
	emit_step(t, false, 0);
	emit_lea_add(t, RSP, RSP, -RED_ZONE);
	emit_step(t, false, RED_ZONE);
	emit_byte(t, 0x9c);
	emit_step(t, false, RED_ZONE + FLAGS_BYTES);
	emit_prefixes(t, spot);
	if (in->rip_relative) {
		memcpy(&disp, spot->bytes + in->disp_off, sizeof(disp));
		if ((in->rex & 8) != 0) {
			emit_byte(t, 0x48);
		}
		emit(t, spot->bytes + in->opcode_off, 3);
		emit_rel32(t, end_of(spot) + (uint64_t)(int64_t)disp, 0);
	} else {
		if (!operand_memory(&op, spot)) {
			return false;
		}
		if (op.base == RSP) {
			if (op.disp > INT32_MAX - RED_ZONE - FLAGS_BYTES) {
				return false;
			}
			op.disp += RED_ZONE + FLAGS_BYTES;
		}
		if (operand_rex(&op) != 0 || (in->rex & 8) != 0) {
			emit_byte(t, (uint8_t)(0x40 | (in->rex & 8) | operand_rex(&op)));
		}
		emit_byte(t, 0x0f);
		emit_byte(t, 0xae);
		emit_memory(t, 5, &op);
	}
	emit_step(t, true, RED_ZONE + FLAGS_BYTES);
	emit(t, test_eax, sizeof(test_eax));
	emit_byte(t, 0x75); /* jnz ud2 */
	jump_at = t->len;
	emit_byte(t, 0);
	emit_byte(t, 0x9d);
	emit_step(t, true, RED_ZONE);
	emit_lea_add(t, RSP, RSP, RED_ZONE);
	emit_step(t, true, 0);
	emit_jmp(t, end_of(spot));
	ud2_at = t->len;
	emit_byte(t, 0x0f);
	emit_byte(t, 0x0b);
	if (!emit_done(t)) {
		return false;
	}
	t->code[jump_at] = (uint8_t)(ud2_at - jump_at - 1);
	return true;
}
