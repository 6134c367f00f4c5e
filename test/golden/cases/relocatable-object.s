# SPDX-License-Identifier: Apache-2.0
# cc: -c
	.globl f
	.type f, @function
f:
	.cfi_startproc
	nop
	mov $0x00ef010f, %eax
	ret
	.cfi_endproc
	.size f, . - f
	.section .text.other, "ax", @progbits
	.globl g
	.type g, @function
g:	wrpkru
	ret
	.size g, . - g
	.data
	.byte 0x0f, 0x01, 0xef
