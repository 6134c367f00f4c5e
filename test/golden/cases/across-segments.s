# SPDX-License-Identifier: Apache-2.0
# Two executable segments that meet at a page: the sequence lies in both.
# cc: -static -Wl,-T,@/across-segments.ld
	.section .first, "ax", @progbits
	.globl f
f:
	.cfi_startproc
	.fill 4094, 1, 0x90
	.byte 0xb8, 0x0f
	.cfi_endproc
	.section .second, "ax", @progbits
	.byte 0x01, 0xef, 0x00
	ret
