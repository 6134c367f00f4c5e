/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into the other C library of the process and back (loader_world.h). All system calls that are not dispatched are
 * made between world_text and world_text_end.
 */
	.text
	.globl world_text
world_text:

/* long world_syscall(long nr, const long arg[6]) */
	.globl world_syscall
	.type world_syscall, @function
world_syscall:
	.cfi_startproc
	mov	%rdi, %rax
	mov	%rsi, %r11
	mov	0(%r11), %rdi
	mov	8(%r11), %rsi
	mov	16(%r11), %rdx
	mov	24(%r11), %r10
	mov	32(%r11), %r8
	mov	40(%r11), %r9
	syscall
	ret
	.cfi_endproc
	.size world_syscall, . - world_syscall

	.globl world_restorer
	.type world_restorer, @function
world_restorer:
	mov	$15, %eax
	syscall
	ud2
	.size world_restorer, . - world_restorer

/* The handler of SIGSYS and SIGSEGV: world_signal runs as the host's C library wants it. It says whether we go back
 * inside. */
	.globl world_entry
	.type world_entry, @function
world_entry:
	movb	$0, world_selector(%rip)
	push	%rbx
	rdfsbase %rax
	mov	%rax, world_fs(%rip)
	mov	world_host_fs(%rip), %rax
	wrfsbase %rax
	call	world_signal
	test	%eax, %eax
	je	1f
	mov	world_fs(%rip), %rax
	wrfsbase %rax
	pop	%rbx
	movb	$1, world_selector(%rip)
	ret
1:	pop	%rbx
	ret
	.size world_entry, . - world_entry

/* uint64_t world_enter(const struct world_call *call): fn, rsp, fs, four arguments */
	.globl world_enter
	.type world_enter, @function
world_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$8, %rsp
	mov	%rsp, world_host_rsp(%rip)
	rdfsbase %rax
	mov	%rax, world_host_fs(%rip)
	mov	0(%rdi), %r11
	mov	8(%rdi), %rsp
	mov	16(%rdi), %rax
	wrfsbase %rax
	mov	32(%rdi), %rsi
	mov	40(%rdi), %rdx
	mov	48(%rdi), %rcx
	mov	24(%rdi), %rdi
	xor	%eax, %eax
	movb	$1, world_selector(%rip)
	call	*%r11
	movb	$0, world_selector(%rip)
	mov	world_host_fs(%rip), %rcx
	wrfsbase %rcx
	/* Where a call that is ended goes on, with the host's fs base. */
	.globl world_back
world_back:
	mov	world_host_rsp(%rip), %rsp
	add	$8, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size world_enter, . - world_enter

	.globl world_text_end
world_text_end:
	.section .note.GNU-stack, "", @progbits
