# SPDX-License-Identifier: Apache-2.0
	.globl f
	.type f, @function
f:
	.cfi_startproc
	.byte 0x48, 0x8b, 0x05, 0x0f, 0x01, 0xef, 0x00
	ret
	.cfi_endproc
	.size f, . - f
