# SPDX-License-Identifier: Apache-2.0
# 0f ae 28 in a displacement, in SIB + displacement, in ModRM + SIB + displacement
	.globl f
	.type f, @function
f:
	.cfi_startproc
	mov 0x28ae0f(%rax), %ecx
	mov 0x28ae0f00(%rax,%rbx,4), %ecx
	.byte 0x03, 0x8c, 0x0f, 0xae, 0x28, 0x00, 0x00
	.byte 0x8b, 0x0f, 0xae
	.byte 0x28, 0xc0
	ret
	.cfi_endproc
	.size f, . - f
