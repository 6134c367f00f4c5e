/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fresh_0 to fresh_63, which nobody calls before the test does, and chosen_0 to chosen_63, each of which is chosen when
 * it is bound: they store all registers, as they find them, in the struct trial at rbx, and which of them was called.
 */
#include "registers.h"

.text
	.type store_all, @function
store_all:
	.cfi_startproc
	mov %r11, TRIAL_WHICH(%rbx)
	TRIAL_STORE
	ret
	.cfi_endproc
	.size store_all, . - store_all

.macro ONE_FRESH number
	.globl fresh_\number
	.type fresh_\number, @function
fresh_\number:
	.cfi_startproc
	endbr64
	mov $\number, %r11d
	jmp store_all
	.cfi_endproc
	.size fresh_\number, . - fresh_\number

	.type picked_\number, @function
picked_\number:
	.cfi_startproc
	endbr64
	mov $(1000 + \number), %r11d
	jmp store_all
	.cfi_endproc
	.size picked_\number, . - picked_\number

	.globl chosen_\number
	.type chosen_\number, @gnu_indirect_function
chosen_\number:
	.cfi_startproc
	endbr64
	/* A resolver may use every register that a callee may. */
	.irp reg, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	pcmpeqd %xmm\reg, %xmm\reg
	.endr
	.irp reg, rdi, rsi, rdx, rcx, r8, r9, r10, r11
	mov $-1, %\reg
	.endr
	lea picked_\number(%rip), %rax
	ret
	.cfi_endproc
	.size chosen_\number, . - chosen_\number
.endm

	.set fresh_number, 0
	.rept FRESH
	.altmacro
	ONE_FRESH %fresh_number
	.noaltmacro
	.set fresh_number, fresh_number + 1
	.endr

	.section .note.GNU-stack, "", @progbits
