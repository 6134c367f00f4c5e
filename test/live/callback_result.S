/* SPDX-License-Identifier: Apache-2.0 */
/* See callback_result.h. */
#define SECRET 0x5ec2e75ec2e75ec2

	.text
	.globl	result_dump, result_fill, result_fill_st0, result_fill_st1
	.type	result_dump, @function
	.type	result_fill, @function
	.type	result_fill_st0, @function
	.type	result_fill_st1, @function
result_dump:
	endbr64
	push	%rbx
	mov	%rsi, %rbx
	sub	$16, %rsp
	mov	%edx, (%rsp)
	call	*%rdi
	mov	%rax, (%rbx)
	mov	%rdx, 8(%rbx)
	mov	%rcx, 16(%rbx)
	mov	%rsi, 24(%rbx)
	mov	%rdi, 32(%rbx)
	mov	%r8, 40(%rbx)
	mov	%r9, 48(%rbx)
	mov	%r10, 56(%rbx)
	mov	%r11, 64(%rbx)
	mov	(%rsp), %edx
	cmp	$2, %edx
	je	2f
	cmp	$1, %edx
	je	1f
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movups	%xmm\n, 128+64*\n(%rbx)
	.endr
	jmp	3f
1:	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovups	%ymm\n, 128+64*\n(%rbx)
	.endr
	jmp	3f
2:	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	vmovups	%zmm\n, 128+64*\n(%rbx)
	.endr
	.irp n, 0,1,2,3,4,5,6,7
	kmovw	%k\n, %ecx
	mov	%ecx, 72+4*\n(%rbx)
	.endr
3:	fxsave64 2304(%rbx)
	fninit
	add	$16, %rsp
	pop	%rbx
	ret
	.size	result_dump, . - result_dump

result_fill:
	endbr64
	.irp n, 0,1,2,3,4,5,6,7
	movq	secret(%rip), %mm\n
	.endr
	emms
fill:	movabs	$SECRET, %rax
	mov	%rax, %rsi
	mov	%rax, %rdi
	mov	%rax, %r8
	mov	%rax, %r9
	mov	%rax, %r10
	mov	%rax, %r11
	mov	result_level(%rip), %ecx
	cmp	$2, %ecx
	je	2f
	cmp	$1, %ecx
	je	1f
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movups	secret(%rip), %xmm\n
	.endr
	jmp	3f
1:	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovups	secret(%rip), %ymm\n
	.endr
	jmp	3f
2:	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	vmovups	secret(%rip), %zmm\n
	.endr
	.irp n, 1,2,3,4,5,6,7
	kmovw	%eax, %k\n
	.endr
3:	mov	%rax, %rcx
	mov	%rax, %rdx
	ret
	.size	result_fill, . - result_fill

result_fill_st0:
	endbr64
	fld1
	fldpi
	fstp	%st(1)
	jmp	fill
	.size	result_fill_st0, . - result_fill_st0

result_fill_st1:
	endbr64
	fld1
	fldpi
	jmp	fill
	.size	result_fill_st1, . - result_fill_st1

	.section .rodata
	.p2align 6
secret:	.rept	8
	.quad	SECRET
	.endr
	.bss
	.globl	result_level
	.type	result_level, @object
	.size	result_level, 4
result_level:
	.long	0
	.section .note.GNU-stack,"",@progbits
