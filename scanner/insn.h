/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of one x86-64 instruction: where its parts lie. No disassembler is used, so that placements do
 * not depend on which version of Capstone is installed. Pure; includes VEX, EVEX, XOP and REX2.
 */
#ifndef LYCH_INSN_H
#define LYCH_INSN_H

#include <lychgate/scan.h>

enum insn_encoding { INSN_LEGACY, INSN_REX2, INSN_VEX, INSN_EVEX, INSN_XOP };

struct insn {
	uint8_t len;
	uint8_t encoding;   /* enum insn_encoding */
	uint8_t opcode_off; /* prefixes are before it */
	uint8_t opcode_len; /* escape bytes 0F, 0F38, 0F3A included; VEX/EVEX/REX2 are prefix */
	uint8_t map;        /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A, 4.. as in VEX/EVEX, 8.. XOP */
	uint8_t opcode;     /* the last opcode byte */
	bool has_modrm;
	uint8_t modrm;      /* 0 without */
	uint8_t modrm_off, sib_len, disp_off, disp_len, imm_off, imm_len; /* lengths 0: none */
	bool rip_relative;  /* disp is relative to the next instruction */
	bool relative;      /* imm is a branch target, relative to the next instruction */
	uint8_t rex;        /* the REX byte that counts (the one right before the opcode); 0: none */
	bool rep_f3, rep_f2, opsize_66, addrsize_67, lock_f0;
};

/*
 * insn_decode reads the instruction at code[0..len). Returns true and fills *insn, or false: no valid
 * instruction, or it does not end within len. *insn is then untouched.
 *
 * Valid means that some x86-64 processor gives the opcode a meaning (in ring 0, too). What depends on more
 * than the opcode is judged only as far as it tells code from data: ModRM.reg of opcode groups, LOCK, and
 * memory-only or register-only forms are; a mandatory prefix, VEX.L, W, vvvv or mask that makes an opcode
 * #UD is not. 66, F2 and F3 before WRPKRU or XRSTOR are therefore accepted.
 *
 * Near branches are as on Intel: 66 does not shorten their rel32 (AMD: rel16). The layout beyond
 * ModRM: moffs count as displacement, JMPABS' target and the opcode suffix of 3DNow! as immediate,
 * ENTER and EXTRQ/INSERTQ have their two immediates in one.
 */
bool insn_decode(struct insn *insn, const uint8_t *code, size_t len);

/* The part of the instruction that its byte number at belongs to; at < insn->len. */
enum lych_part insn_part(const struct insn *insn, size_t at);

#endif /* LYCH_INSN_H */
