/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instruction whose displacement, SIB byte or immediate holds a sequence, done in two steps. Flags and red zone
 * stay as they are: sums are made by LEA, complements by NOT, and what has to be saved goes below the red zone,
 * where a signal handler's frame cannot be meanwhile because rsp is lowered first.
 */
#include <string.h>

#include "repair_split.h"

/* How much of a displacement is added apart from the rest. */
static const int32_t parts[] = {0x10, 0x1110, 0x111110, 0x11111110};
#define PARTS (sizeof(parts) / sizeof(parts[0]))
_Static_assert(BODY_SPLITS == WAY_COUNT * (1 + BUILD_COUNT) * PARTS, "all of them");

static uint64_t end_of(const struct spot *spot)
{
	return spot->vaddr + spot->in.len;
}

bool split_add_disp(struct operand *op, int64_t more)
{
	int64_t sum = (int64_t)op->disp + more;

	op->disp = (int32_t)sum;
	return sum == (int32_t)sum;
}

/* ---- scratch registers ----------------------------------------------------------------------- */

/* An 8-bit register operand: without REX its numbers 4 to 7 are AH, CH, DH and BH. */
static bool byte_register(const struct insn *in)
{
	if (in->encoding != INSN_LEGACY) {
		return false;
	}
	if (in->map == 0) {
		return (in->opcode < 0x40 && (in->opcode & 5) == 0) || in->opcode == 0x84 || in->opcode == 0x86 ||
		       in->opcode == 0x88 || in->opcode == 0x8a;
	}
	return in->map == 1 && (in->opcode == 0xb0 || in->opcode == 0xc0);
}

static bool high_byte(const struct spot *spot)
{
	return byte_register(&spot->in) && spot->in.rex == 0 && (spot->in.modrm >> 3 & 7) >= 4;
}

/* The 64-bit register that ModRM.reg names a part of. */
static unsigned whole_reg(const struct spot *spot)
{
	return operand_reg(spot) - (high_byte(spot) ? 4 : 0);
}

unsigned split_used(const struct split *s)
{
	unsigned used = 1u << RSP | operand_implicit(s->spot);

	if (s->in->has_modrm) {
		used |= 1u << whole_reg(s->spot);
		used |= s->in->modrm >= 0xc0 ? 1u << operand_rm(s->spot) : 0;
	}
	if (s->in->encoding != INSN_LEGACY) {
		used |= 1u << operand_vvvv(s->spot);
	}
	if (s->has_op) {
		used |= s->op.base != NO_REG ? 1u << s->op.base : 0;
		used |= s->op.index != NO_REG ? 1u << s->op.index : 0;
	}
	return used;
}

bool split_scratch(const struct split *s, unsigned *reg, unsigned *used)
{
	/* Those that callees need not save come first: unwinding does not ask for them. */
	static const uint8_t any[] = {R9, R10, R11, R8, R14, R15};
	static const uint8_t low[] = {RSI, RDI, RDX, RCX, RAX, RBX};
	const uint8_t *set = high_byte(s->spot) ? low : any;
	size_t n = high_byte(s->spot) ? sizeof(low) : sizeof(any);

	for (size_t i = 0; i < n; i++) {
		if ((*used & 1u << set[i]) == 0) {
			*reg = set[i];
			*used |= 1u << set[i];
			return true;
		}
	}
	return false;
}

/* ---- the instruction with other operands ----------------------------------------------------- */

void split_prefixes(const struct split *s)
{
	for (size_t i = 0; i < s->in->opcode_off; i++) {
		uint8_t b = s->spot->bytes[i];

		if (s->in->encoding != INSN_LEGACY && (b == 0xc4 || b == 0xc5 || b == 0x62)) {
			return;
		}
		if ((b & 0xf0) != 0x40) {
			emit_byte(s->t, b);
		}
	}
}

static void emit_imm(const struct split *s)
{
	emit(s->t, s->spot->bytes + s->in->imm_off, s->in->imm_len);
}

/* Prefixes and opcode of the instruction as it is, then [op] in place of its memory operand. */
static bool emit_with_operand(const struct split *s, const struct operand *op)
{
	const struct insn *in = s->in;
	const uint8_t *bytes = s->spot->bytes;
	unsigned off = in->opcode_off, bits = operand_rex(op);

	split_prefixes(s);
	if (in->encoding == INSN_LEGACY) {
		unsigned rex = (in->rex & 0xcu) | bits;

		if (rex != 0 && high_byte(s->spot)) {
			return false;
		}
		if (rex != 0 || in->rex != 0) {
			emit_byte(s->t, (uint8_t)(0x40 | rex));
		}
	} else if (in->encoding == INSN_VEX && bytes[off - 2u] == 0xc5) {
		emit_byte(s->t, 0xc4);
		emit_byte(s->t, (uint8_t)((bytes[off - 1u] & 0x80) | (bits << 5 ^ 0x60) | 1));
		emit_byte(s->t, bytes[off - 1u] & 0x7f);
	} else if (in->encoding == INSN_VEX) {
		emit_byte(s->t, 0xc4);
		emit_byte(s->t, (uint8_t)((bytes[off - 2u] & 0x9f) | (bits << 5 ^ 0x60)));
		emit_byte(s->t, bytes[off - 1u]);
	} else {
		emit_byte(s->t, 0x62);
		emit_byte(s->t, (uint8_t)((bytes[off - 3u] & 0x9f) | (bits << 5 ^ 0x60)));
		emit(s->t, bytes + off - 2, 2);
	}
	emit(s->t, bytes + off, in->opcode_len);
	emit_memory(s->t, in->modrm >> 3 & 7u, op);
	emit_imm(s);
	return true;
}

/* ---- frames ---------------------------------------------------------------------------------- */

void split_open(const struct split *s)
{
	emit_step(s->t, false, 0);
	emit_lea_add(s->t, RSP, RSP, -FRAME);
	emit_step(s->t, false, FRAME);
}

void split_close(const struct split *s)
{
	emit_lea_add(s->t, RSP, RSP, FRAME);
	emit_step(s->t, true, 0);
	emit_jmp(s->t, end_of(s->spot));
}

bool split_address(const struct split *s, unsigned down)
{
	struct operand op = s->op;

	if (!split_add_disp(&op, (op.base == RSP ? (int64_t)down : 0) - s->part)) {
		return false;
	}
	emit_lea(s->t, s->address, &op);
	return true;
}

struct operand split_rest(const struct split *s)
{
	return (struct operand){.base = (uint8_t)s->address, .index = NO_REG, .disp = s->part};
}

/* ---- memory operands ------------------------------------------------------------------------- */

bool split_is(const struct insn *in, unsigned map, uint8_t opcode)
{
	return in->encoding == INSN_LEGACY && in->map == map && in->opcode == opcode;
}

/* Writes all of its destination and nothing else reads it, so that the address may be built there. */
static bool fills_register(const struct insn *in)
{
	if (in->opsize_66 || in->rep_f2 || in->rep_f3) {
		return false;
	}
	return split_is(in, 0, 0x8b) || split_is(in, 0, 0x8d) || split_is(in, 0, 0x63) ||
	       split_is(in, 1, 0xb6) || split_is(in, 1, 0xb7) || split_is(in, 1, 0xbe) || split_is(in, 1, 0xbf);
}

static bool split_by_destination(struct split *s)
{
	struct operand rest;

	s->address = operand_reg(s->spot);
	if (!fills_register(s->in)) {
		return false;
	}
	if (s->address == RSP) {
		/* What lies between must not be taken for free, nor be far below the stack's end. */
		if (!split_is(s->in, 0, 0x8d) || s->part > 0x1110) {
			return false;
		}
	}
	rest = split_rest(s);
	emit_step(s->t, false, 0);
	if (!split_address(s, 0)) {
		return false;
	}
	if (s->address == RSP) {
		emit_step(s->t, true, (unsigned)s->part);
	} else if (s->address == s->op.base && s->op.index == NO_REG && s->op.disp > INT32_MIN / 2) {
		emit_step(s->t, false, 0);
		emit_moved(s->t, s->address, s->part - s->op.disp);
	}
	if (!emit_with_operand(s, &rest)) {
		return false;
	}
	emit_step(s->t, true, 0);
	emit_jmp(s->t, end_of(s->spot));
	return true;
}

static bool split_by_base(struct split *s)
{
	struct operand op = s->op;

	if (op.base == NO_REG || op.base == RSP || op.base == op.index ||
	    (operand_implicit(s->spot) >> op.base & 1) != 0 ||
	    (operand_reg_is_general(s->spot) && whole_reg(s->spot) == op.base) ||
	    (s->in->encoding != INSN_LEGACY && operand_vvvv(s->spot) == op.base) || !split_add_disp(&op, -s->part)) {
		return false;
	}
	emit_step(s->t, false, 0);
	emit_lea_add(s->t, op.base, op.base, s->part);
	emit_step(s->t, false, 0);
	emit_moved(s->t, op.base, -s->part);
	if (!emit_with_operand(s, &op)) {
		return false;
	}
	emit_step(s->t, true, 0);
	emit_moved(s->t, op.base, -s->part);
	emit_lea_add(s->t, op.base, op.base, -s->part);
	emit_step(s->t, true, 0);
	emit_jmp(s->t, end_of(s->spot));
	return true;
}

/* With rsp lowered the instruction may not use it, but in its address. */
static bool uses_rsp(const struct split *s)
{
	return (operand_implicit(s->spot) >> RSP & 1) != 0 ||
	       (operand_reg_is_general(s->spot) && whole_reg(s->spot) == RSP) ||
	       (s->in->encoding != INSN_LEGACY && operand_vvvv(s->spot) == RSP);
}

static bool split_by_stack(struct split *s)
{
	unsigned used = split_used(s);
	struct operand rest;

	if (uses_rsp(s) || !split_scratch(s, &s->address, &used)) {
		return false;
	}
	rest = split_rest(s);
	split_open(s);
	emit_save(s->t, s->address, ADDRESS_SLOT);
	emit_step(s->t, false, FRAME);
	emit_saved(s->t, s->address, ADDRESS_SLOT);
	if (!split_address(s, FRAME) || !emit_with_operand(s, &rest)) {
		return false;
	}
	emit_step(s->t, true, FRAME);
	emit_saved(s->t, s->address, ADDRESS_SLOT);
	emit_restore(s->t, s->address, ADDRESS_SLOT);
	split_close(s);
	return true;
}

/* FS and GS, if the operand is there: of a branch's other prefixes (BND, NOTRACK) a load wants to know nothing. */
static void emit_segment(const struct split *s)
{
	for (size_t i = 0; i < s->in->opcode_off; i++) {
		if (s->spot->bytes[i] == 0x64 || s->spot->bytes[i] == 0x65) {
			emit_byte(s->t, s->spot->bytes[i]);
		}
	}
}

/*
 * A jump through memory, or a call of one (down: what the call pushed). All registers must be as they were when it
 * arrives: its target goes to the stack, and a RET that also gives back the frame goes there. With a shadow stack that
 * RET faults.
 */
static bool split_jump(struct split *s, unsigned down)
{
	const uint8_t ret[] = {0xc2, FRAME - 8, 0x00};
	const unsigned frame = FRAME + 8;
	unsigned used = split_used(s);
	const struct operand *op;
	struct operand rest;

	if (!split_scratch(s, &s->address, &used) || s->in->opsize_66) {
		return false;
	}
	rest = split_rest(s);
	op = &rest;
	emit_step(s->t, false, down);
	emit_lea_add(s->t, RSP, RSP, -(int)frame);
	emit_step(s->t, false, down + frame);
	emit_save(s->t, s->address, ADDRESS_SLOT);
	emit_step(s->t, false, down + frame);
	emit_saved(s->t, s->address, ADDRESS_SLOT);
	if (!split_address(s, down + frame)) {
		return false;
	}
	emit_segment(s);
	emit_byte(s->t, (uint8_t)(0x48 | (s->address >> 3) << 2 | operand_rex(op)));
	emit_byte(s->t, 0x8b);
	emit_memory(s->t, s->address, op);
	emit_save(s->t, s->address, VALUE_SLOT);
	emit_restore(s->t, s->address, ADDRESS_SLOT);
	emit_lea_add(s->t, RSP, RSP, 8);
	emit_step(s->t, false, down + FRAME);
	emit(s->t, ret, sizeof(ret));
	return true;
}

/* MOV between the accumulator and memory at a 64-bit address. */
static bool split_moffs(struct split *s)
{
	uint64_t address;
	uint8_t rex = 0x40 | R9 >> 3;

	if (s->in->disp_len != 8) {
		return false;
	}
	memcpy(&address, s->spot->bytes + s->in->disp_off, sizeof(address));
	s->address = R9;
	split_open(s);
	emit_save(s->t, s->address, ADDRESS_SLOT);
	emit_step(s->t, false, FRAME);
	emit_saved(s->t, s->address, ADDRESS_SLOT);
	emit_constant(s->t, s->address, address, true, s->build);
	split_prefixes(s);
	emit_byte(s->t, (uint8_t)(rex | (s->in->rex & 8)));
	/* A0 A1: load, A2 A3: store; 8A 8B, 88 89 with ModRM */
	emit_byte(s->t, (uint8_t)((s->in->opcode & 1) | (s->in->opcode < 0xa2 ? 0x8a : 0x88)));
	emit_byte(s->t, R9 & 7);
	emit_step(s->t, true, FRAME);
	emit_saved(s->t, s->address, ADDRESS_SLOT);
	emit_restore(s->t, s->address, ADDRESS_SLOT);
	split_close(s);
	return true;
}

/* ---- which ----------------------------------------------------------------------------------- */

bool body_split(struct repair_trampoline *t, const struct spot *spot, unsigned variant)
{
	const struct insn *in = &spot->in;
	struct split s = {.t = t, .spot = spot, .in = in};
	unsigned imm = variant / PARTS % (1 + BUILD_COUNT);
	unsigned group = in->encoding == INSN_LEGACY && in->map == 0 && in->opcode == 0xff ? in->modrm >> 3 & 7 : 0;
	bool done;

	s.part = parts[variant % PARTS];
	s.way = (enum way)(variant / PARTS / (1 + BUILD_COUNT));
	s.build_imm = imm != 0;
	s.build = imm == 2 ? BUILD_LEA : BUILD_NOT;
	if ((in->encoding != INSN_LEGACY && in->encoding != INSN_VEX && in->encoding != INSN_EVEX) ||
	    group == 3 || group == 5) {
		return false;
	}
	s.has_op = operand_memory(&s.op, spot);
	if (s.build_imm) {
		bool moffs = in->encoding == INSN_LEGACY && in->map == 0 && (in->opcode & 0xfc) == 0xa0;

		done = moffs ? s.way == WAY_NONE && split_moffs(&s) : split_imm(&s);
	} else if (!s.has_op || s.way == WAY_NONE) {
		return false;
	} else if (group == 2 || group == 4) {
		done = s.way == WAY_STACK && split_jump(&s, group == 2 ? 8 : 0);
	} else if (s.way == WAY_DEST) {
		done = split_by_destination(&s);
	} else {
		done = s.way == WAY_STACK ? split_by_stack(&s) : split_by_base(&s);
	}
	return done && emit_done(t);
}
