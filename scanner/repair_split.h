/* SPDX-License-Identifier: Apache-2.0 */
/* What repair_split.c and repair_imm.c share: an instruction that is done in two steps. */
#ifndef LYCH_REPAIR_SPLIT_H
#define LYCH_REPAIR_SPLIT_H

#include "repair_parts.h"

/* Below the red zone, two words; the stack stays aligned as it is. */
#define FRAME 144
#define ADDRESS_SLOT 0
#define VALUE_SLOT 8

/* How the address of a memory operand is built: not; in the destination; with a register saved on the stack; by
 * moving the base register there and back. */
enum way { WAY_NONE, WAY_DEST, WAY_STACK, WAY_BASE, WAY_COUNT };

struct split {
	struct repair_trampoline *t;
	const struct spot *spot;
	const struct insn *in;
	enum way way;
	bool build_imm;
	enum build build;
	int32_t part; /* of a displacement or distance: added apart from the rest */
	bool has_op;
	struct operand op;       /* with has_op */
	unsigned address, value; /* scratch registers */
};

/* The set of registers that may not be scratch registers, and the next one that may; false: none is left. */
unsigned split_used(const struct split *s);
bool split_scratch(const struct split *s, unsigned *reg, unsigned *used);
/* Legacy prefixes as they are, without REX. */
void split_prefixes(const struct split *s);
/* op.disp + more, if it can be said in 32 bits. */
bool split_add_disp(struct operand *op, int64_t more);
/* Lowers rsp by FRAME; raises it again and goes on behind the instruction. */
void split_open(const struct split *s);
void split_close(const struct split *s);
/* address = the operand's address - part, with rsp lowered by down; and [address + part]. */
bool split_address(const struct split *s, unsigned down);
struct operand split_rest(const struct split *s);
bool split_is(const struct insn *in, unsigned map, uint8_t opcode);

/* The instruction with its immediate, of 4 or 8 bytes, built first. */
bool split_imm(struct split *s);

#endif /* LYCH_REPAIR_SPLIT_H */
