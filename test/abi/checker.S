/* SPDX-License-Identifier: Apache-2.0 */
/* The ABI checker's assembly: abi.h says what each function does. */
#include "abi.h"

	.macro global name:req
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.endm

/* Vectors and masks to or from base. Flags are used. */
	.macro vectors op:req base:req
	cmpl	$1, abi_level(%rip)
	jb	1f
	je	2f
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	.ifc \op, save
	vmovups	%zmm\n, (REGS_VECTORS + 64*\n)(\base)
	.else
	vmovups	(REGS_VECTORS + 64*\n)(\base), %zmm\n
	.endif
	.endr
	.irp n, 0,1,2,3,4,5,6,7
	.ifc \op, save
	kmovw	%k\n, (REGS_MASKS + 8*\n)(\base)
	.else
	kmovw	(REGS_MASKS + 8*\n)(\base), %k\n
	.endif
	.endr
	jmp	3f
2:	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	.ifc \op, save
	vmovups	%ymm\n, (REGS_VECTORS + 64*\n)(\base)
	.else
	vmovups	(REGS_VECTORS + 64*\n)(\base), %ymm\n
	.endif
	.endr
	jmp	3f
1:	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	.ifc \op, save
	movups	%xmm\n, (REGS_VECTORS + 64*\n)(\base)
	.else
	movups	(REGS_VECTORS + 64*\n)(\base), %xmm\n
	.endif
	.endr
3:
	.endm

/* Everything at base, which may be rip-relative; rsp is off above the one to be told. Clobbers rax, flags. */
	.macro save_entry off:req
	mov	%rax, (abi_entry + REGS_RAX)(%rip)
	pushfq
	pop	%rax
	mov	%rax, (abi_entry + REGS_FLAGS)(%rip)
	cld
	lea	\off(%rsp), %rax
	mov	%rax, (abi_entry + REGS_RSP)(%rip)
	lea	abi_entry(%rip), %rax
	save_general %rax
	vectors save %rax
	.endm

/* All but rax, rsp, flags and vectors. */
	.macro save_general base:req
	mov	%rbx, REGS_RBX(\base)
	mov	%rbp, REGS_RBP(\base)
	mov	%r12, REGS_R12(\base)
	mov	%r13, REGS_R13(\base)
	mov	%r14, REGS_R14(\base)
	mov	%r15, REGS_R15(\base)
	mov	%r10, REGS_R10(\base)
	mov	%r11, REGS_R11(\base)
	mov	%rdi, (REGS_ARGS + 0)(\base)
	mov	%rsi, (REGS_ARGS + 8)(\base)
	mov	%rdx, (REGS_ARGS + 16)(\base)
	mov	%rcx, (REGS_ARGS + 24)(\base)
	mov	%r8, (REGS_ARGS + 32)(\base)
	mov	%r9, (REGS_ARGS + 40)(\base)
	stmxcsr	REGS_MXCSR(\base)
	fnstcw	REGS_FCW(\base)
	fxsave	REGS_FXSAVE(\base)
	/* abridged tags: a bit for each register in use */
	movzbl	(REGS_FXSAVE + 4)(\base), %r11d
	mov	%r11w, REGS_TAGS(\base)
	.irp n, 0,1,2,3,4,5,6,7
	mov	(REGS_FXSAVE + 32 + 16*\n)(\base), %r11
	mov	%r11, (REGS_ST + 8*\n)(\base)
	.endr
	mov	REGS_R11(\base), %r11
	.endm

	.text
/* uint64_t abi_checked(fn, arg, in, out) */
global abi_checked
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rcx
	sub	$16, %rsp
	stmxcsr	(%rsp)
	fnstcw	8(%rsp)
	mov	%rsp, abi_rsp(%rip)
	mov	%rdi, %r11
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	vectors load %rsi
	.irp n, 0,1,2,3,4,5,6,7
	movq	(REGS_ST + 8*\n)(%rsi), %mm\n
	.endr
	emms
	ldmxcsr	REGS_MXCSR(%rsi)
	fldcw	REGS_FCW(%rsi)
	mov	REGS_RBX(%rsi), %rbx
	mov	REGS_RBP(%rsi), %rbp
	mov	REGS_R12(%rsi), %r12
	mov	REGS_R13(%rsi), %r13
	mov	REGS_R14(%rsi), %r14
	mov	REGS_R15(%rsi), %r15
	mov	REGS_RAX(%rsi), %rax
	mov	REGS_R10(%rsi), %r10
	mov	(REGS_ARGS + 16)(%rsi), %rdx
	mov	(REGS_ARGS + 24)(%rsi), %rcx
	mov	(REGS_ARGS + 32)(%rsi), %r8
	mov	(REGS_ARGS + 40)(%rsi), %r9
	mov	(REGS_ARGS + 8)(%rsi), %rsi
	call	*%r11
	mov	%rax, abi_rax(%rip)
	pushfq
	pop	%rax
	cld
	mov	%rdx, abi_rdx(%rip)
	mov	%rcx, abi_rcx(%rip)
	mov	%rsp, %rdx
	mov	abi_rsp(%rip), %rsp
	mov	16(%rsp), %rcx
	mov	%rax, REGS_FLAGS(%rcx)
	mov	%rdx, REGS_RSP(%rcx)
	mov	abi_rdx(%rip), %rdx
	save_general %rcx
	vectors save %rcx
	/* the stack pointer's error: 0 when all is right */
	sub	%rsp, REGS_RSP(%rcx)
	mov	abi_rcx(%rip), %rax
	mov	%rax, (REGS_ARGS + 24)(%rcx)
	mov	abi_rax(%rip), %rax
	mov	%rax, REGS_RAX(%rcx)
	fninit
	fldcw	8(%rsp)
	ldmxcsr	(%rsp)
	add	$24, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size	abi_checked, . - abi_checked

/* uint64_t abi_raw_call(struct abi_raw *) */
global abi_raw_call
	.set	.Lframe, 8 * RAW_NWORDS + 32
	sub	$(.Lframe + 8), %rsp
	.set	.Li, 0
	.rept	RAW_NWORDS
	mov	(RAW_WORDS + .Li)(%rdi), %rax
	mov	%rax, (32 + .Li)(%rsp)
	.set	.Li, .Li + 8
	.endr
	.irp n, 0,8,16,24
	mov	\n(%rdi), %rax
	mov	%rax, \n(%rsp)
	.endr
	mov	RAW_IN(%rdi), %r11
	mov	REGS_RAX(%r11), %rax
	mov	REGS_R10(%r11), %r10
	mov	(REGS_ARGS + 0)(%r11), %rdi
	mov	(REGS_ARGS + 8)(%r11), %rsi
	mov	(REGS_ARGS + 16)(%r11), %rdx
	mov	(REGS_ARGS + 24)(%r11), %rcx
	mov	(REGS_ARGS + 32)(%r11), %r8
	mov	(REGS_ARGS + 40)(%r11), %r9
	mov	REGS_R11(%r11), %r11
	call	lych_gate@PLT
	lea	(.Lframe + 8)(%rsp), %rsp
	ret
	.size	abi_raw_call, . - abi_raw_call

/* Called by the stub of a generated function: behind the call lies the distance to the function itself. */
global abi_probe
	save_entry 8
	pop	%r11
	movslq	(%r11), %rax
	add	%rax, %r11
	mov	(abi_entry + REGS_RAX)(%rip), %rax
	jmp	*%r11
	.size	abi_probe, . - abi_probe

global abi_callee
	save_entry 0
	.set	.Li, 0
	.rept	RAW_NWORDS
	mov	(8 + .Li)(%rsp), %rax
	mov	%rax, (abi_entry_words + .Li)(%rip)
	.set	.Li, .Li + 8
	.endr
	movups	abi_callee_xmm(%rip), %xmm0
	movups	(abi_callee_xmm + 16)(%rip), %xmm1
	cmpl	$0, abi_hostile(%rip)
	je	1f
	/* callee-saved registers, control words, x87 stack, a pending exception, flags */
	mov	$0x6b6b6b6b, %ebx
	mov	%rbx, %rbp
	mov	%rbx, %r12
	mov	%rbx, %r13
	mov	%rbx, %r14
	mov	%rbx, %r15
	ldmxcsr	.Lodd_mxcsr(%rip)
	fld1
	fld1
	fldcw	.Lodd_fcw(%rip)
	fidivs	.Lzero(%rip) /* pending from here on */
	std
1:	mov	abi_callee_rdx(%rip), %rdx
	mov	abi_callee_rax(%rip), %rax
	ret
	.size	abi_callee, . - abi_callee

/* uint64_t abi_raw_callback(struct abi_raw *) */
global abi_raw_callback
	.set	.Lback_frame, 8 * RAW_NWORDS + 8
	sub	$.Lback_frame, %rsp
	.set	.Li, 0
	.rept	RAW_NWORDS
	mov	(RAW_WORDS + .Li)(%rdi), %rax
	mov	%rax, .Li(%rsp)
	.set	.Li, .Li + 8
	.endr
	mov	RAW_TARGET(%rdi), %rax
	mov	%rax, abi_target(%rip)
	cmpl	$0, abi_hostile(%rip)
	je	1f
	fld1
	fld1
	fidivs	.Lzero(%rip) /* pending from here on */
	std
1:	mov	RAW_IN(%rdi), %r11
	mov	REGS_RAX(%r11), %rax
	mov	REGS_R10(%r11), %r10
	mov	(REGS_ARGS + 0)(%r11), %rdi
	mov	(REGS_ARGS + 8)(%r11), %rsi
	mov	(REGS_ARGS + 16)(%r11), %rdx
	mov	(REGS_ARGS + 24)(%r11), %rcx
	mov	(REGS_ARGS + 32)(%r11), %r8
	mov	(REGS_ARGS + 40)(%r11), %r9
	mov	REGS_R11(%r11), %r11
	call	*abi_target(%rip)
	lea	.Lback_frame(%rsp), %rsp
	ret
	.size	abi_raw_callback, . - abi_raw_callback

global abi_host
	save_entry 0
	.set	.Li, 0
	.rept	RAW_NWORDS
	mov	(8 + .Li)(%rsp), %rax
	mov	%rax, (abi_entry_words + .Li)(%rip)
	.set	.Li, .Li + 8
	.endr
	lea	abi_left(%rip), %r11
	vectors load %r11
	.irp n, 0,1,2,3,4,5,6,7
	movq	(REGS_ST + 8*\n)(%r11), %mm\n
	.endr
	emms
	fld1
	fldz
	fdivrp /* a flag, which nobody is told of */
	fstp	%st(0)
	mov	(REGS_ARGS + 0)(%r11), %rdi
	mov	(REGS_ARGS + 8)(%r11), %rsi
	mov	(REGS_ARGS + 16)(%r11), %rdx
	mov	(REGS_ARGS + 24)(%r11), %rcx
	mov	(REGS_ARGS + 32)(%r11), %r8
	mov	(REGS_ARGS + 40)(%r11), %r9
	mov	REGS_R10(%r11), %r10
	mov	REGS_RAX(%r11), %rax
	mov	REGS_R11(%r11), %r11
	ret
	.size	abi_host, . - abi_host

	.section .rodata
	.p2align 2
.Lodd_mxcsr:
	.long	0x9f80 | 0x6000
.Lodd_fcw:
	.word	0x027b /* double precision; division by zero is not masked */
.Lzero:
	.word	0

	.bss
	.p2align 6
	.globl	abi_left
	.globl	abi_entry, abi_entry_words, abi_level, abi_hostile, abi_callee_rax, abi_callee_rdx, abi_callee_xmm
abi_entry:
	.skip	REGS_SIZE
abi_left:
	.skip	REGS_SIZE
abi_callee_xmm:
	.skip	32
abi_entry_words:
	.skip	8 * RAW_NWORDS
abi_callee_rax:
	.skip	8
abi_callee_rdx:
	.skip	8
abi_target:
	.skip	8
abi_rsp:
	.skip	8
abi_rax:
	.skip	8
abi_rcx:
	.skip	8
abi_rdx:
	.skip	8
abi_level:
	.skip	4
abi_hostile:
	.skip	4
	.section .note.GNU-stack, "", @progbits
