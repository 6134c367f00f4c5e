# SPDX-License-Identifier: Apache-2.0
# Constants, displacements and tables that are built in two steps.
	.globl f
	.type f, @function
f:
	.cfi_startproc
	movabs $0x2fae0f6b9742420d, %rsi
	sub $0x28ae0f, %rsp
	cmpl $0x28ae0f, 16(%rbx)
	mov 0xef010f(%rbx), %eax
	lock addq $1, 0x28ae0f(%rdi, %rsi, 4)
	imul $0x28ae0f, %eax, %ecx
	jmp *0x28ae0f(, %rax, 8)
	.cfi_endproc
	.size f, . - f
