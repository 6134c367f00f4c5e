/* SPDX-License-Identifier: Apache-2.0 */
/* Fills every register from registers_before, acts, and stores every register in registers_after. */
#include <asm/prctl.h>
#include <sys/syscall.h>

#include "registers.h"

#define BEFORE registers_before
#define AFTER registers_after
#define SCRATCH registers_scratch

	.hidden registers_before, registers_after, registers_scratch
	.hidden registers_act, registers_processor, registers_filled
	.hidden registers_other_fs, registers_other_mxcsr, registers_other_fcw

	.macro gprs to:req, area:req
	.ifc \to, load
	mov	BEFORE+0(%rip), %rax
	mov	BEFORE+8(%rip), %rcx
	mov	BEFORE+16(%rip), %rdx
	mov	BEFORE+24(%rip), %rbx
	mov	BEFORE+40(%rip), %rbp
	mov	BEFORE+48(%rip), %rsi
	mov	BEFORE+56(%rip), %rdi
	.set	i, 8
	.irp	r, r8, r9, r10, r11, r12, r13, r14, r15
	mov	BEFORE+8*i(%rip), %\r
	.set	i, i + 1
	.endr
	.else
	mov	%rax, AFTER+0(%rip)
	mov	%rcx, AFTER+8(%rip)
	mov	%rdx, AFTER+16(%rip)
	mov	%rbx, AFTER+24(%rip)
	mov	%rbp, AFTER+40(%rip)
	mov	%rsi, AFTER+48(%rip)
	mov	%rdi, AFTER+56(%rip)
	.set	i, 8
	.irp	r, r8, r9, r10, r11, r12, r13, r14, r15
	mov	%\r, AFTER+8*i(%rip)
	.set	i, i + 1
	.endr
	.endif
	.endm

	.macro each n:req, insn:req, reg:req, base:req, at:req, step:req, store
	.altmacro
	.set	i, 0
	.rept	\n
	one	%i, \insn, \reg, \base, \at, \step, \store
	.set	i, i + 1
	.endr
	.noaltmacro
	.endm
	.macro one i, insn, reg, base, at, step, store
	.ifb \store
	\insn	\base+\at+\step*\i(%rip), %\reg\i
	.else
	\insn	%\reg\i, \base+\at+\step*\i(%rip)
	.endif
	.endm

	.text
	.p2align 6
	.globl	registers_run
	.hidden	registers_run
	.type	registers_run, @function
registers_run:
	.cfi_startproc
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$8, %rsp
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
	fxrstor64 BEFORE+REGISTERS_AT_FX(%rip)
	cmpl	$1, registers_processor(%rip)
	jb	2f
	ja	1f
	each	16, vmovdqu, ymm, BEFORE, REGISTERS_AT_VECTORS, 64
	jmp	2f
1:	each	32, vmovdqu64, zmm, BEFORE, REGISTERS_AT_VECTORS, 64
	each	8, kmovq, k, BEFORE, REGISTERS_AT_MASKS, 8
2:	mov	%rsp, BEFORE+32(%rip)
	rdfsbase %rax
	mov	%rax, BEFORE+REGISTERS_AT_FS(%rip)
	gprs	load, BEFORE
	pushq	BEFORE+REGISTERS_AT_FLAGS(%rip)
	popfq
	movl	$1, registers_filled(%rip)
	jmp	*registers_act(%rip)

	.globl	registers_act_call
	.hidden	registers_act_call
registers_act_call:
	syscall
	/* Which is where rcx points to then. */
	.globl	registers_act_none
	.hidden	registers_act_none
registers_act_none:
	mov	%rsp, AFTER+32(%rip)
	mov	BEFORE+32(%rip), %rsp
	gprs	store, AFTER
	pushfq
	popq	AFTER+REGISTERS_AT_FLAGS(%rip)
	pushq	$0x202
	popfq
	rdfsbase %rax
	mov	%rax, AFTER+REGISTERS_AT_FS(%rip)
	fxsave64 AFTER+REGISTERS_AT_FX(%rip)
	fninit
	fldcw	4(%rsp)
	ldmxcsr	(%rsp)
	cmpl	$1, registers_processor(%rip)
	jb	2f
	ja	1f
	each	16, vmovdqu, ymm, AFTER, REGISTERS_AT_VECTORS, 64, store
	vzeroupper
	jmp	2f
1:	each	32, vmovdqu64, zmm, AFTER, REGISTERS_AT_VECTORS, 64, store
	each	8, kmovq, k, AFTER, REGISTERS_AT_MASKS, 8, store
	vzeroupper
2:	mov	BEFORE+REGISTERS_AT_FS(%rip), %rsi
	cmp	%rsi, AFTER+REGISTERS_AT_FS(%rip)
	je	3f
	mov	$ARCH_SET_FS, %edi
	mov	$SYS_arch_prctl, %eax
	syscall
3:	add	$8, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.globl	registers_act_spin
	.hidden	registers_act_spin
registers_act_spin:
	jmp	*registers_act(%rip)

/* ---- the controls: each changes one thing, and no flags ---------------------------------------------------- */

	.macro control
	.pushsection .data.rel.ro.registers, "aw"
	.quad	.Lcontrol_\@
	.popsection
.Lcontrol_\@:
	.endm
	.macro over
	jmp	registers_act_none
	.endm
	.macro of_fx at:req
	control
	fxsave64 SCRATCH(%rip)
	notb	SCRATCH+\at(%rip)
	fxrstor64 SCRATCH(%rip)
	over
	.endm
	.macro of_vector insn:req, reg:req, at:req
	control
	\insn	%\reg, SCRATCH(%rip)
	notb	SCRATCH+\at(%rip)
	\insn	SCRATCH(%rip), %\reg
	over
	.endm
	.macro of_flag bit:req
	control
	pushfq
	btcq	$\bit, (%rsp)
	popfq
	over
	.endm

	.pushsection .data.rel.ro.registers, "aw"
	.p2align 3
	.globl	registers_controls
	.hidden	registers_controls
registers_controls:
	.popsection

	.irp	r, rax, rcx, rdx, rbx
	control
	not	%\r
	over
	.endr
	control
	lea	-64(%rsp), %rsp
	over
	.irp	r, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	control
	not	%\r
	over
	.endr
	of_flag	0
	control
	/* Code that would write it itself may not be in a domain. */
	.set	i, 0
	.irp	r, rax, rcx, rsi, rdi, r11
	mov	%\r, SCRATCH+8*i(%rip)
	.set	i, i + 1
	.endr
	mov	$ARCH_SET_FS, %edi
	mov	registers_other_fs(%rip), %rsi
	mov	$SYS_arch_prctl, %eax
	syscall
	.set	i, 0
	.irp	r, rax, rcx, rsi, rdi, r11
	mov	SCRATCH+8*i(%rip), %\r
	.set	i, i + 1
	.endr
	over
	control
	ldmxcsr	registers_other_mxcsr(%rip)
	over
	control
	fldcw	registers_other_fcw(%rip)
	over
	control
	fnclex
	over
	of_fx	4
	of_vector vmovdqu64, zmm16, 63
	of_vector kmovq, k0, 0
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7
	of_fx	32+16*\i+\i
	.endr
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	of_fx	160+16*\i+\i
	.endr
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	of_vector vmovdqu, ymm\i, 16+\i
	.endr
	.irp	i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	of_vector vmovdqu64, zmm\i, 2*\i
	.endr
	.irp	i, 0, 1, 2, 3, 4, 5, 6, 7
	of_vector kmovq, k\i, \i
	.endr
	.irp	bit, 0, 2, 4, 6, 7, 10, 11, 18, 21
	of_flag	\bit
	.endr
	.cfi_endproc
	.size	registers_run, . - registers_run
	.section .note.GNU-stack, "", @progbits
