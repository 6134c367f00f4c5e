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

	.local hostile_saved
	.comm hostile_saved, 8, 8
	.section .note.GNU-stack, "", @progbits
