/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in for the gate where the tests are tested: keeps the ABI, clears what carries no argument, protects
 * nothing. abi_wrong makes it do one thing wrong, which the checker must see.
 */
#include "../../gate/core/gate_asm.h"
#include "abi.h"

	.macro unless what:req target:req
	cmpl	$\what, abi_wrong(%rip)
	jne	\target
	.endm
	.macro when what:req target:req
	cmpl	$\what, abi_wrong(%rip)
	je	\target
	.endm

	.text
	.globl	lych_gate
	.type	lych_gate, @function
	.p2align 4
lych_gate:
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$40, %rsp
	stmxcsr	-48(%rbp)
	fnstcw	-44(%rbp)
	stmxcsr	stand_in_mxcsr(%rip)
	fnstcw	stand_in_fcw(%rip)
	ldmxcsr	.Lmxcsr(%rip)
	mov	(HIDDEN_BINDING + 8)(%rbp), %rbx
	mov	%rcx, %r12
	mov	%rdx, %r13

	/* vectors: kept, cleared, and back as wide as they are declared */
	sub	$1024, %rsp
	and	$-64, %rsp
	call	vectors_keep
	mov	%rsp, %r14
	mov	BIND_WIDTHS(%rbx), %edx
	unless	WRONG_LEAK_UPPER, 1f
	mov	$0x44444444, %edx
1:	call	vectors_only

	/* x87 */
	fninit
	unless	WRONG_LEAK_X87, 1f
	jmp	2f
1:	.irp n, 0,1,2,3,4,5,6,7
	pxor	%mm\n, %mm\n
	.endr
	emms
2:
	/* stack words */
	movzwl	BIND_WORDS(%rbx), %ecx
	lea	(,%rcx,8), %rax
	sub	%rax, %rsp
	and	$-16, %rsp
	unless	WRONG_LOST_WORD, 1f
	test	%ecx, %ecx
	jz	1f
	dec	%ecx
1:	test	%ecx, %ecx
	jz	2f
	mov	(HIDDEN_SIZE + 16 - 8)(%rbp,%rcx,8), %rax
	mov	%rax, -8(%rsp,%rcx,8)
	dec	%ecx
	jmp	1b
2:	unless	WRONG_ALIGNMENT, 1f
	cmpw	$0, BIND_WORDS(%rbx)
	jne	1f
	sub	$8, %rsp
1:
	/* general registers */
	mov	%r12, %rcx
	mov	%r13, %rdx
	movzbl	BIND_NGPR(%rbx), %eax
	cmp	$1, %eax
	jae	1f
	xor	%edi, %edi
1:	cmp	$2, %eax
	jae	1f
	xor	%esi, %esi
1:	cmp	$3, %eax
	jae	1f
	xor	%edx, %edx
1:	cmp	$4, %eax
	jae	1f
	xor	%ecx, %ecx
1:	cmp	$5, %eax
	jae	1f
	xor	%r8d, %r8d
1:	cmp	$6, %eax
	jae	1f
	when	WRONG_LEAK_R9, 1f
	xor	%r9d, %r9d
1:	testb	$1, BIND_NARROW(%rbx)
	jz	1f
	mov	%edi, %edi
1:	testb	$2, BIND_NARROW(%rbx)
	jz	1f
	mov	%esi, %esi
1:	testb	$4, BIND_NARROW(%rbx)
	jz	1f
	mov	%edx, %edx
1:	testb	$8, BIND_NARROW(%rbx)
	jz	1f
	mov	%ecx, %ecx
1:	testb	$16, BIND_NARROW(%rbx)
	jz	1f
	mov	%r8d, %r8d
1:	testb	$32, BIND_NARROW(%rbx)
	jz	1f
	mov	%r9d, %r9d
1:	xor	%eax, %eax
	testl	$BINDX_VARIADIC, BIND_EXTRA(%rbx)
	jz	1f
	movzbl	BIND_NVEC(%rbx), %eax
1:	when	WRONG_LEAK_R10, 1f
	xor	%r10d, %r10d
1:	mov	BIND_FN(%rbx), %r11
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	xor	%ebx, %ebx
	unless	WRONG_CALLEE_MXCSR, 1f
	ldmxcsr	.Lwrong_mxcsr(%rip)
1:	unless	WRONG_CALLEE_DF, 1f
	std
1:	mov	%rbp, stand_in_rbp(%rip)
	call	*%r11
	cld
	mov	stand_in_rbp(%rip), %rbp

	mov	(HIDDEN_BINDING + 8)(%rbp), %rbx
	/* x87: a result is kept */
	fnclex
	movzbl	BIND_RESULT(%rbx), %ecx
	cmp	$RESULT_ST0, %ecx
	jb	2f
	fstpt	-80(%rbp)
	cmp	$RESULT_ST0, %ecx
	je	1f
	fstpt	-64(%rbp)
	fninit
	fldt	-64(%rbp)
	fldt	-80(%rbp)
	jmp	3f
1:	fninit
	fldt	-80(%rbp)
	jmp	3f
2:	when	WRONG_X87_STACK, 3f
	fninit
3:	when	WRONG_X87_CONTROL, 1f
	fldcw	-44(%rbp)
1:	when	WRONG_MXCSR, 1f
	ldmxcsr	-48(%rbp)
1:	unless	WRONG_RESULT_RDX, 1f
	mov	%rsp, %rdx
1:	unless	WRONG_RESULT_XMM1, 1f
	pxor	%xmm1, %xmm1
1:	lea	-40(%rbp), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	unless	WRONG_RBX, 1f
	inc	%rbx
1:	unless	WRONG_R15, 1f
	xor	%r15d, %r15d
1:	unless	WRONG_RBP, 1f
	mov	%rsp, %rbp
1:	cmpl	$WRONG_DF, abi_wrong(%rip)
	jne	1f
	std
1:	ret
	.size	lych_gate, . - lych_gate

/* A callback, of stand_in_binding, from within stand-in's lych_gate. */
	.globl	stand_in_callback
	.type	stand_in_callback, @function
	.p2align 4
stand_in_callback:
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$40, %rsp
	stmxcsr	-48(%rbp)
	fnstcw	-44(%rbp)
	mov	stand_in_binding(%rip), %rbx
	/* the host's modes */
	cld
	when	WRONG_BACK_HOST_MXCSR, 1f
	ldmxcsr	stand_in_mxcsr(%rip)
1:	fnclex
	fninit
	fldcw	stand_in_fcw(%rip)
	/* stack words */
	movzwl	BIND_WORDS(%rbx), %r10d
	lea	(,%r10,8), %rax
	sub	%rax, %rsp
	and	$-16, %rsp
	unless	WRONG_BACK_LOST_WORD, 1f
	test	%r10d, %r10d
	jz	1f
	dec	%r10d
1:	test	%r10d, %r10d
	jz	2f
	mov	8(%rbp,%r10,8), %rax
	mov	%rax, -8(%rsp,%r10,8)
	dec	%r10d
	jmp	1b
2:	call	*BIND_FN(%rbx)

	/* the result, and nothing else */
	mov	%rax, %r12
	and	BIND_VALUES(%rbx), %r12
	mov	%rdx, %r13
	when	WRONG_BACK_LEAK_RDX, 1f
	and	(BIND_VALUES + 8)(%rbx), %r13
1:	sub	$1024, %rsp
	and	$-64, %rsp
	call	vectors_keep
	mov	%rsp, %r14
	xor	%edx, %edx
	movzbl	BIND_RESULT(%rbx), %eax
	test	%eax, %eax
	jz	2f
	lea	3(%rax), %edx /* 4, 5, 6: its width */
	cmp	$RESULT_XMM, %eax
	jne	2f
	cmpb	$4, BIND_WIDTH(%rbx)
	je	2f
	mov	$0x33, %edx
	mov	(BIND_VALUES + 16)(%rbx), %rax
	and	%rax, (%r14)
	mov	(BIND_VALUES + 24)(%rbx), %rax
	and	%rax, 64(%r14)
2:	call	vectors_only
	unless	WRONG_BACK_LEAK_XMM5, 1f
	movups	(64*5)(%r14), %xmm5
1:	when	WRONG_BACK_X87_FLAGS, 1f
	fninit
1:	.irp n, 0,1,2,3,4,5,6,7
	pxor	%mm\n, %mm\n
	.endr
	emms
	xor	%ecx, %ecx
	xor	%edi, %edi
	when	WRONG_BACK_LEAK_RSI, 1f
	xor	%esi, %esi
1:	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	mov	%r12, %rax
	mov	%r13, %rdx
	fldcw	-44(%rbp)
	when	WRONG_BACK_MXCSR, 1f
	ldmxcsr	-48(%rbp)
1:	lea	-40(%rbp), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	unless	WRONG_BACK_RBX, 1f
	xor	%ebx, %ebx
1:	ret
	.size	stand_in_callback, . - stand_in_callback

/* xmm, ymm or zmm 0-7 at 8(%rsp), 64 bytes each */
vectors_keep:
	cmpl	$1, abi_level(%rip)
	jb	1f
	je	2f
	.irp n, 0,1,2,3,4,5,6,7
	vmovups	%zmm\n, (8 + 64*\n)(%rsp)
	.endr
	ret
2:	.irp n, 0,1,2,3,4,5,6,7
	vmovups	%ymm\n, (8 + 64*\n)(%rsp)
	.endr
	ret
1:	.irp n, 0,1,2,3,4,5,6,7
	movups	%xmm\n, (8 + 64*\n)(%rsp)
	.endr
	ret

/* All := 0 but what edx declares, from r14. */
vectors_only:
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14
	pxor	%xmm\n, %xmm\n
	.endr
	when	WRONG_LEAK_XMM15, 1f
	pxor	%xmm15, %xmm15
1:	cmpl	$1, abi_level(%rip)
	jb	3f
	when	WRONG_LEAK_XMM15, 1f
	vzeroall
1:	cmpl	$2, abi_level(%rip)
	jb	3f
	.irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
	vpxord	%zmm\n, %zmm\n, %zmm\n
	.endr
	.irp n, 0,2,3,4,5,6,7
	kxorw	%k\n, %k\n, %k\n
	.endr
	when	WRONG_LEAK_ZMM31, 2f
	vpxord	%zmm31, %zmm31, %zmm31
2:	when	WRONG_LEAK_MASK, 3f
	kxorw	%k1, %k1, %k1
3:
	.irp n, 0,1,2,3,4,5,6,7
	mov	%edx, %eax
	shr	$(4 * \n), %eax
	and	$15, %eax
	jz	9f
	cmp	$3, %eax
	jb	2f
	je	3f
	cmp	$5, %eax
	jb	4f
	je	5f
	vmovups	(64*\n)(%r14), %zmm\n
	jmp	9f
2:	movd	(64*\n)(%r14), %xmm\n
	jmp	9f
3:	movq	(64*\n)(%r14), %xmm\n
	jmp	9f
4:	movups	(64*\n)(%r14), %xmm\n
	jmp	9f
5:	vmovups	(64*\n)(%r14), %ymm\n
9:
	.endr
	ret

	.section .rodata
	.p2align 2
.Lmxcsr:
	.long	MXCSR_DEFAULT
.Lwrong_mxcsr:
	.long	MXCSR_DEFAULT | 0x6000
	.bss
	.p2align 3
stand_in_rbp:
	.skip	8
	.globl	stand_in_binding
stand_in_binding:
	.skip	8
stand_in_mxcsr:
	.skip	4
stand_in_fcw:
	.skip	2
	.globl	abi_wrong
	.data
	.p2align 2
abi_wrong:
	.long	0
	.section .note.GNU-stack, "", @progbits
