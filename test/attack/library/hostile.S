/* SPDX-License-Identifier: Apache-2.0 */
/* What attackers do that C cannot say. */
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

/* long hostile_clone(flags, stack, parent_tid, child_tid, fs, fn, arg) */
fn hostile_clone
	mov	8(%rsp), %rax
	sub	$16, %rsi
	test	$15, %sil
	jnz	1f
1:	mov	%rcx, %r10
	push	%rbx
	push	%rbp
	mov	%r9, %rbx	/* registers, for the stack may be anything */
	mov	%rax, %rbp
	mov	$56, %eax
	syscall
	test	%rax, %rax
	jz	2f
	pop	%rbp
	pop	%rbx
	ret
2:	mov	%rbp, %rdi
	call	*%rbx
	xor	%edi, %edi
	mov	$60, %eax
	syscall
	ud2
fn_end hostile_clone

	.globl hostile_restorer
hostile_restorer:
	mov	$15, %eax
	syscall
	ud2

/* long hostile_sigreturn(frame, prey): rt_sigreturn of a frame: -errno when refused, or what hostile_returned says. */
fn hostile_sigreturn
	push	%rbx
	push	%rbp
	mov	%rsp, hostile_saved(%rip)
	lea	8(%rdi), %rsp
	mov	$15, %eax
	syscall
	mov	hostile_saved(%rip), %rsp
	pop	%rbp
	pop	%rbx
	ret
fn_end hostile_sigreturn

fn hostile_returned
	mov	hostile_saved(%rip), %rsp
	pop	%rbp
	pop	%rbx
	mov	$0x600d, %eax
	ret
fn_end hostile_returned

/* long hostile_far(code): 32-bit code there, which leaves rsp to r14 and comes back by r15. */
fn hostile_far
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %r14
	lea	1f(%rip), %r15
	sub	$16, %rsp
	mov	%edi, (%rsp)
	movl	$0x23, 4(%rsp)
	ljmp	*(%rsp)
1:	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
fn_end hostile_far

/* void hostile_jump(to, rax, rdi, rsi, rsp): there, with ecx and edx 0, and all others the address to. */
fn hostile_jump
	mov	%rdi, %r11
	mov	%rsi, %rax
	mov	%rdx, %rdi
	mov	%rcx, %rsi
	test	%r8, %r8
	jz	1f
	mov	%r8, %rsp
1:	mov	%r11, %rbx
	mov	%r11, %rbp
	mov	%r11, %r9
	mov	%r11, %r10
	mov	%r11, %r12
	mov	%r11, %r13
	mov	%r11, %r14
	mov	%r11, %r15
	xor	%r8d, %r8d
	xor	%ecx, %ecx
	xor	%edx, %edx
	jmp	*%r11
fn_end hostile_jump

/* exit_group(33), without a stack */
	.globl hostile_exits
hostile_exits:
	mov	$33, %edi
	mov	$231, %eax
	syscall
	ud2

/* void hostile_wild(rsp): a fault there. */
fn hostile_wild
	mov	%rdi, %rsp
	ud2
fn_end hostile_wild

/*
 * void hostile_land(struct landing *): there, with these registers (hostile.h), and everything of the stack given, and every register
 * left, the address of hostile_landed: whatever returns, or calls through a register, comes to it.
 */
fn hostile_land
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, hostile_saved(%rip)
	mov	%rdi, hostile_landing(%rip)
	mov	%rdi, %rbx
	lea	hostile_landed(%rip), %rax
	mov	8(%rbx), %rdi
	mov	16(%rbx), %rcx
	cld
	rep stosq
	mov	%rax, %rbp
	mov	%rax, %r12
	mov	%rax, %r13
	mov	%rax, %r14
	mov	%rax, %r15
	mov	%rax, %r11
	mov	0(%rbx), %rax
	mov	%rax, hostile_to(%rip)
	mov	24(%rbx), %rsp
	mov	40(%rbx), %rcx
	mov	48(%rbx), %rdx
	mov	56(%rbx), %rdi
	mov	64(%rbx), %rsi
	mov	72(%rbx), %r10
	mov	80(%rbx), %r8
	mov	88(%rbx), %r9
	mov	32(%rbx), %rax
	mov	128(%rbx), %rbx
	test	%rbx, %rbx
	cmove	%rbp, %rbx
	jmp	*hostile_to(%rip)
fn_end hostile_land

	.p2align 4
	.globl hostile_landed
	.hidden hostile_landed
	.type hostile_landed, @function
hostile_landed:
	endbr64
	cld
	mov	hostile_landing(%rip), %rdi
	incq	104(%rdi)
	mov	%rax, 112(%rdi)
	mov	96(%rdi), %rsi
	mov	(%rsi), %rax
	mov	%rax, 120(%rdi)
	mov	hostile_saved(%rip), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size hostile_landed, . - hostile_landed

	.local hostile_to
	.comm hostile_to, 8, 8
	.local hostile_landing
	.comm hostile_landing, 8, 8
	.local hostile_saved
	.comm hostile_saved, 8, 8
	.section .note.GNU-stack, "", @progbits
