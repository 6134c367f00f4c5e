/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opcode maps of x86-64: one letter for each opcode says what follows it.
 *
 *	-  not an instruction in 64-bit mode
 *	P  a prefix or an escape, read before the map is asked
 *	.  nothing
 *	M  ModRM                       c  ModRM, always a register (MOV to and from CR and DR)
 *	i  ModRM, imm8                 I  ModRM, immz
 *	d  ModRM, imm32                b  imm8
 *	w  imm16                       z  immz: imm16 with operand size 16, else imm32
 *	v  imm16, imm32 or imm64       j  rel8
 *	J  rel32                       a  moffs: 8 bytes, with 67 4
 *	e  imm16, imm8 (ENTER)         s  0F 78: VMREAD, or with 66 or F2 ModRM, imm8, imm8 (SSE4a)
 *	t  F6: /0 and /1 have imm8     T  F7: /0 and /1 have immz
 *	x  C6: /0 imm8, F8 XABORT imm8 X  C7: /0 immz, F8 XBEGIN rel16 or rel32
 *
 * Sources: Intel SDM Vol. 2 appendix A, AMD APM Vol. 3 appendix A, Intel ISA extensions and APX
 * specifications. AVX10.2 additions to EVEX maps 5 and 6 are not in.
 */
#ifndef LYCH_INSN_TABLES_H
#define LYCH_INSN_TABLES_H

/* Returns 256 letters, NULL when there is no such map. */
const char *insn_map_legacy(unsigned map); /* 0 to 3; also for REX2 */
const char *insn_map_vex(unsigned map);
const char *insn_map_evex(unsigned map);
const char *insn_map_xop(unsigned map);

#endif /* LYCH_INSN_TABLES_H */
