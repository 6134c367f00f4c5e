/* SPDX-License-Identifier: Apache-2.0 */
/* A library whose text holds what it may not: STRAY_WRPKRU, STRAY_BORDER (over two pages), STRAY_XRSTOR, STRAY_WRGSBASE. */
	.text
	.p2align 12
	.globl stray
	.type stray, @function
/* uint64_t stray(const uint64_t *secret, void *zeros) */
stray:
	endbr64
#if defined(STRAY_WRPKRU)
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
#elif defined(STRAY_BORDER)
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	jmp	1f
	.org	4094
1:	wrpkru
#elif defined(STRAY_XRSTOR)
	mov	$0x200, %eax
	xor	%edx, %edx
	xrstor	(%rsi)
#elif defined(STRAY_WRGSBASE)
	wrgsbase %rsi
#endif
	mov	(%rdi), %rax
	ret
	.size stray, . - stray
	.section .note.GNU-stack, "", @progbits
