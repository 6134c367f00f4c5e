# SPDX-License-Identifier: Apache-2.0
# add %ecx,disp(%rdi) has 8f.. ; here ModRM 0f, and the next instruction is 01 ef: add %ebp,%edi
	.globl f
	.type f, @function
f:
	.cfi_startproc
	.byte 0x8b, 0x0f
	.byte 0x01, 0xef
	ret
	.cfi_endproc
	.size f, . - f
