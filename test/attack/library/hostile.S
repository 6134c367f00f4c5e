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

	.local hostile_saved
	.comm hostile_saved, 8, 8
	.section .note.GNU-stack, "", @progbits
