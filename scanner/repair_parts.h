/* SPDX-License-Identifier: Apache-2.0 */
/* What the files repair_*.c share. */
#ifndef LYCH_REPAIR_PARTS_H
#define LYCH_REPAIR_PARTS_H

#include "repair.h"

/* One instruction as it will stand, and where. */
struct spot {
	uint64_t vaddr;
	struct insn in;
	uint8_t bytes[LYCH_SEQUENCE_MAX];
};

/* The 64-bit number of a register of ModRM, SIB and VEX fields; NO_REG: none. */
#define NO_REG 0xff
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/* A memory operand taken apart. */
struct operand {
	uint8_t base, index; /* NO_REG: none */
	uint8_t scale;       /* 0 to 3 */
	int32_t disp;
};

/* ---- repair_encode.c ------------------------------------------------------------------------ */

#define ENCODINGS_MAX 16

/* Other bytes of the same length for the same instruction; returns how many were stored. */
size_t repair_encodings(uint8_t out[ENCODINGS_MAX][LYCH_SEQUENCE_MAX], const struct spot *spot);

/* Is it an instruction that does nothing, whatever its length? */
bool repair_is_nop(const struct insn *in, const uint8_t *bytes);

/* ---- repair_operand.c ------------------------------------------------------------------------ */

/* Register numbers with the bits of REX, VEX or EVEX. reg also where ModRM.reg is part of the opcode. */
unsigned operand_reg(const struct spot *spot);
unsigned operand_rm(const struct spot *spot); /* of a register form */
unsigned operand_vvvv(const struct spot *spot); /* 0 where there is none */
bool operand_wide(const struct spot *spot);     /* REX.W or VEX.W */

/* Does ModRM.reg name a general register? Also true where that is not known. */
bool operand_reg_is_general(const struct spot *spot);

/* Takes the memory operand apart; false: it has none, or one of a kind that is left alone (RIP-relative, VSIB,
 * 32-bit addresses, EVEX with its scaled disp8, APX). */
bool operand_memory(struct operand *out, const struct spot *spot);

/* The general registers, as a set, that the instruction uses though no field of it names them; all of the
 * first eight where that is not known. */
unsigned operand_implicit(const struct spot *spot);

/* ---- repair_asm.c ---------------------------------------------------------------------------- */

/* All of these do nothing when the trampoline is full, which then has len 0xff. */
#define TRAMPOLINE_FULL 0xff
void emit(struct repair_trampoline *t, const void *bytes, size_t len);
/*
 * Is all of it there, and made of instructions? Many prefixes and an operand that takes more bytes than it did can be more
 * than the 15 bytes that an instruction may have.
 */
bool emit_done(const struct repair_trampoline *t);
void emit_byte(struct repair_trampoline *t, uint8_t byte);
void emit_u32(struct repair_trampoline *t, uint32_t value);
void emit_step(struct repair_trampoline *t, bool after, unsigned rsp_down);
/* Adds to the last step: the value of reg is at rsp + off; or it is what reg holds and more. */
void emit_saved(struct repair_trampoline *t, unsigned reg, unsigned off);
void emit_moved(struct repair_trampoline *t, unsigned reg, int32_t more);
/* Four bytes that lead to target, counted from skip bytes behind them. */
void emit_rel32(struct repair_trampoline *t, uint64_t target, unsigned skip);
void emit_jmp(struct repair_trampoline *t, uint64_t target);
/* ModRM, SIB and disp32 of [op], with reg in the other field. */
void emit_memory(struct repair_trampoline *t, unsigned reg, const struct operand *op);
/* What of base and index belongs into REX: X and B. */
unsigned operand_rex(const struct operand *op);
/* lea dst, [op]; 64 bits, with disp32 */
void emit_lea(struct repair_trampoline *t, unsigned dst, const struct operand *op);
void emit_lea_add(struct repair_trampoline *t, unsigned dst, unsigned src, int64_t disp);
/* mov [rsp + off], reg and back; off below 128 */
void emit_save(struct repair_trampoline *t, unsigned reg, unsigned off);
void emit_restore(struct repair_trampoline *t, unsigned reg, unsigned off);

/* How a constant is built that must not stand in the code. */
enum build { BUILD_NOT, BUILD_LEA, BUILD_COUNT };
/* reg = value, 32 bits (zero-extended) or 64; flags stay. */
void emit_constant(struct repair_trampoline *t, unsigned reg, uint64_t value, bool wide, enum build build);

/* ---- repair_body.c: the instruction in the trampoline ---------------------------------------- */

/* As it is, with what is relative adjusted. False: this instruction cannot be moved. */
bool body_move(struct repair_trampoline *t, const struct spot *spot);
/* For call through memory: the jump that the call leads to. False: it is none. */
bool body_call(struct repair_trampoline *t, const struct spot *spot);
/* XRSTOR with a check of EAX bit 9 behind it. */
bool body_xrstor(struct repair_trampoline *t, const struct spot *spot);

/* repair_split.c: with operand or immediate built in two steps. variant 0 .. BODY_SPLITS - 1; false: not this one. */
#define BODY_SPLITS 48
bool body_split(struct repair_trampoline *t, const struct spot *spot, unsigned variant);

/* ---- repair_place.c -------------------------------------------------------------------------- */

struct site_edit {
	uint64_t vaddr;
	uint8_t len;
	uint8_t keep_from; /* bytes from here on must come out as they are: they belong to the next instruction */
	uint8_t bytes[REPAIR_EDIT_BYTES];
	uint8_t fix_at;  /* of four bytes that lead to the trampoline ... */
	uint8_t fix_end; /* ... counted from here; 0: there are none */
};

/* Something that may be done, all of it or nothing. */
struct candidate {
	enum repair_kind kind;
	enum repair_route route;
	size_t nedits;
	struct site_edit edits[3];
	bool has_trampoline;
	struct repair_trampoline trampoline; /* vaddr not chosen yet */
	bool anywhere;       /* else it must start ... */
	uint64_t low, high; /* ... in [low, high], modulo 2^64 */
};

/*
 * Finds an address for the trampoline so that nothing of the plan holds a sequence that was not there before, and
 * the one with its opcode at core is gone; then adds all of it to the plan. Returns 1, 0 (it cannot be done),
 * or -ENOMEM.
 */
int candidate_commit(struct repair *r, struct candidate *c, uint64_t core, struct repair_outcome *out);

/* In units of about an instruction decoded. */
#define WORK_OF_PLAN (UINT64_C(1) << 25)
#define WORK_OF_PLACE 32

/* Does an edit of the plan touch [vaddr, vaddr + len)? */
bool plan_touches(const struct repair *r, uint64_t vaddr, size_t len);

/* Is all of [vaddr, vaddr + len) code that the options allow to be changed? */
bool plan_may_touch(const struct repair *r, uint64_t vaddr, size_t len);

/* Adds pages that need not be executable. 0 or -ENOMEM. */
int plan_no_exec(struct repair *r, uint64_t start, uint64_t end);

/* ---- repair_route.c -------------------------------------------------------------------------- */

/*
 * Fills c's edits, route and low/high so that spot's instruction leads to the trampoline (call: with a call that
 * returns behind it). n is below ROUTES, better ways first; false: there is no such way.
 */
#define ROUTES 8u
bool route_nth(struct repair *r, struct candidate *c, const struct spot *spot, const struct repair_stray *stray,
	       bool call, unsigned n);

/* The instruction at vaddr as planned so far. */
bool spot_at(struct repair *r, struct spot *spot, uint64_t vaddr);

#endif /* LYCH_REPAIR_PARTS_H */
