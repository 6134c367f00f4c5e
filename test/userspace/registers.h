/* SPDX-License-Identifier: Apache-2.0 */
/* All registers before and after a piece of code that must not touch them. For C and for assembly.
 */
#ifndef LYCH_TEST_REGISTERS_H
#define LYCH_TEST_REGISTERS_H

/* Of struct registers. */
#define KEPT_RAX 0
#define KEPT_RDI 8
#define KEPT_RSI 16
#define KEPT_RDX 24
#define KEPT_RCX 32
#define KEPT_R8 40
#define KEPT_R9 48
#define KEPT_R10 56
#define KEPT_RBP 64
#define KEPT_R12 72
#define KEPT_R13 80
#define KEPT_R14 88
#define KEPT_R15 96
#define KEPT_MXCSR 104
#define KEPT_ST 112
#define KEPT_MASK 128
#define KEPT_VECTOR 192
#define KEPT_BYTES (192 + 32 * 64)

/* Of struct trial. */
#define TRIAL_LEVEL 0
#define TRIAL_STEP 4
#define TRIAL_WHICH 8
#define TRIAL_IN 64
#define TRIAL_OUT (64 + KEPT_BYTES)

#define FRESH 64 /* functions that nobody has called yet */

#ifdef __ASSEMBLER__

/* One instruction for each of the first \count vector registers. */
.macro EACH_VECTOR count:req, from_memory:req, insn:req, bank:req, area:req
	.set reg_number, 0
	.rept \count
	.altmacro
	.if \from_memory
	ONE_LOAD \insn, \bank, \area, %reg_number
	.else
	ONE_STORE \insn, \bank, \area, %reg_number
	.endif
	.noaltmacro
	.set reg_number, reg_number + 1
	.endr
.endm
.macro ONE_LOAD insn, bank, area, number
	\insn (\area + KEPT_VECTOR + 64 * \number)(%rbx), %\bank\number
.endm
.macro ONE_STORE insn, bank, area, number
	\insn %\bank\number, (\area + KEPT_VECTOR + 64 * \number)(%rbx)
.endm
.macro EACH_MASK from_memory:req, area:req
	.irp number, 0, 1, 2, 3, 4, 5, 6, 7
	.if \from_memory
	kmovq (\area + KEPT_MASK + 8 * \number)(%rbx), %k\number
	.else
	kmovq %k\number, (\area + KEPT_MASK + 8 * \number)(%rbx)
	.endif
	.endr
.endm
.macro EACH_GENERAL from_memory:req, area:req
	ONE_GENERAL \from_memory, \area, rax, KEPT_RAX
	ONE_GENERAL \from_memory, \area, rdi, KEPT_RDI
	ONE_GENERAL \from_memory, \area, rsi, KEPT_RSI
	ONE_GENERAL \from_memory, \area, rdx, KEPT_RDX
	ONE_GENERAL \from_memory, \area, rcx, KEPT_RCX
	ONE_GENERAL \from_memory, \area, r8, KEPT_R8
	ONE_GENERAL \from_memory, \area, r9, KEPT_R9
	ONE_GENERAL \from_memory, \area, r10, KEPT_R10
	ONE_GENERAL \from_memory, \area, rbp, KEPT_RBP
	ONE_GENERAL \from_memory, \area, r12, KEPT_R12
	ONE_GENERAL \from_memory, \area, r13, KEPT_R13
	ONE_GENERAL \from_memory, \area, r14, KEPT_R14
	ONE_GENERAL \from_memory, \area, r15, KEPT_R15
.endm
.macro ONE_GENERAL from_memory, area, name, at
	.if \from_memory
	mov (\area + \at)(%rbx), %\name
	.else
	mov %\name, (\area + \at)(%rbx)
	.endif
.endm

/* From in of the struct trial at rbx, which no instruction of these changes; r11 and the flags are free. */
.macro TRIAL_LOAD
	ldmxcsr (TRIAL_IN + KEPT_MXCSR)(%rbx)
	fldt (TRIAL_IN + KEPT_ST)(%rbx)
	cmpl $1, TRIAL_LEVEL(%rbx)
	jb 701f
	je 702f
	EACH_VECTOR 32, 1, vmovdqu64, zmm, TRIAL_IN
	EACH_MASK 1, TRIAL_IN
	jmp 703f
702:	EACH_VECTOR 16, 1, vmovdqu, ymm, TRIAL_IN
	jmp 703f
701:	EACH_VECTOR 16, 1, movdqu, xmm, TRIAL_IN
703:	EACH_GENERAL 1, TRIAL_IN
	/* The trap flag last: the next instruction but one is the first that is stepped. */
	cmpl $0, TRIAL_STEP(%rbx)
	je 704f
	pushfq
	orq $0x100, (%rsp)
	popfq
704:
.endm

/* The same into out. */
.macro TRIAL_STORE
	pushfq
	.cfi_adjust_cfa_offset 8
	andq $~0x100, (%rsp)
	popfq
	.cfi_adjust_cfa_offset -8
	EACH_GENERAL 0, TRIAL_OUT
	stmxcsr (TRIAL_OUT + KEPT_MXCSR)(%rbx)
	fstpt (TRIAL_OUT + KEPT_ST)(%rbx)
	cmpl $1, TRIAL_LEVEL(%rbx)
	jb 801f
	je 802f
	EACH_VECTOR 32, 0, vmovdqu64, zmm, TRIAL_OUT
	EACH_MASK 0, TRIAL_OUT
	jmp 803f
802:	EACH_VECTOR 16, 0, vmovdqu, ymm, TRIAL_OUT
	jmp 803f
801:	EACH_VECTOR 16, 0, movdqu, xmm, TRIAL_OUT
803:
.endm

/* What a function of C has to leave as it was. */
.macro TRIAL_ENTER
	.irp reg, rbx, rbp, r12, r13, r14, r15
	push %\reg
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \reg, 0
	.endr
	sub $8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr (%rsp)
	mov %rdi, %rbx
.endm
.macro TRIAL_LEAVE
	cmpl $1, TRIAL_LEVEL(%rbx)
	jb 901f
	vzeroupper
901:	ldmxcsr (%rsp)
	add $8, %rsp
	.cfi_adjust_cfa_offset -8
	.irp reg, r15, r14, r13, r12, rbp, rbx
	pop %\reg
	.cfi_adjust_cfa_offset -8
	.cfi_restore \reg
	.endr
	ret
.endm

#else

#include <stddef.h>
#include <stdint.h>

struct registers {
	uint64_t general[13];
	uint32_t mxcsr, unused;
	uint8_t st[16];
	uint64_t mask[8];
	uint8_t vector[32][64];
};

struct trial {
	uint32_t level; /* how wide vectors are here: 0 xmm, 1 ymm, 2 zmm and mask registers */
	uint32_t step;  /* with the trap flag set */
	uint64_t which; /* the function that was called */
	uint8_t unused[48];
	struct registers in, out;
};

_Static_assert(offsetof(struct registers, mxcsr) == KEPT_MXCSR, "");
_Static_assert(offsetof(struct registers, st) == KEPT_ST, "");
_Static_assert(offsetof(struct registers, mask) == KEPT_MASK, "");
_Static_assert(offsetof(struct registers, vector) == KEPT_VECTOR, "");
_Static_assert(sizeof(struct registers) == KEPT_BYTES, "");
_Static_assert(offsetof(struct trial, which) == TRIAL_WHICH, "");
_Static_assert(offsetof(struct trial, in) == TRIAL_IN, "");
_Static_assert(offsetof(struct trial, out) == TRIAL_OUT, "");

#endif

#endif /* LYCH_TEST_REGISTERS_H */
