/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile domain does in the model check: any register, any flags, any rsp, any address.
 *
 * struct jump (model.h): 16 registers in the order of the encoding, then rip, cs, rflags, rsp, ss as iretq wants them,
 * then null_gs and x87.
 */
	.text
	.globl model_jump
	.type model_jump, @function
/* void model_jump(struct jump *) */
model_jump:
	endbr64
	cmpq	$0, 168(%rdi)
	je	1f
	mov	$0x2b, %eax
	mov	%eax, %gs
1:	cmpq	$0, 176(%rdi)
	je	2f
	fninit
	pushq	$0x340
	fldcw	(%rsp)
	pop	%rax
	fldz
	fldz
	fdivrp	%st, %st(1) /* pending from here on */
2:	lea	128(%rdi), %rsp
	mov	%cs, %eax
	mov	%eax, 136(%rdi)
	mov	%ss, %eax
	mov	%eax, 160(%rdi)
	mov	0(%rdi), %rax
	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rbx
	mov	40(%rdi), %rbp
	mov	48(%rdi), %rsi
	mov	64(%rdi), %r8
	mov	72(%rdi), %r9
	mov	80(%rdi), %r10
	mov	88(%rdi), %r11
	mov	96(%rdi), %r12
	mov	104(%rdi), %r13
	mov	112(%rdi), %r14
	mov	120(%rdi), %r15
	mov	56(%rdi), %rdi
	iretq
	.size model_jump, . - model_jump

/*
 * Where every pointer of the attacker leads: takes what it can. model_loot[0] is the address to read, [1] where to
 * write what was there, [2] an address to write to; in domain memory at a fixed place, so that no register is needed.
 */
	.globl model_landed
	.type model_landed, @function
model_landed:
	endbr64
	mov	model_loot@GOTPCREL(%rip), %rsi
	mov	(%rsi), %rsi
	incq	24(%rsi)
	mov	(%rsi), %rdi
	mov	(%rdi), %rax
	mov	%rax, 8(%rsi)
	mov	16(%rsi), %rdi
	movq	$0x666, (%rdi)
	ud2
	.size model_landed, . - model_landed
	.section .note.GNU-stack, "", @progbits
