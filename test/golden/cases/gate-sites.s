# SPDX-License-Identifier: Apache-2.0
# Four WRPKRU that look the same: listed; not listed; listed with other bytes; listed one byte off.
# find: host
	.macro site name
	xor %ecx, %ecx
	xor %edx, %edx
	wrpkru
\name:
	cmp %gs:16, %eax
	jne trap
	ret
	.endm
	.macro entry name, first=0x65, shift=0
1:	.long \name + \shift - 1b
	.byte 1, 3, 8, 0
	.byte 0x0f, 0x01, 0xef
	.byte \first, 0x3b, 0x04, 0x25, 0x10, 0x00, 0x00, 0x00
	.byte 0
	.endm

	.globl gates
	.type gates, @function
gates:
	.cfi_startproc
	site listed
	site unlisted
	site other_bytes
	site shifted
trap:	ud2
	.cfi_endproc
	.size gates, . - gates

	.section .note.lychgate, "a", @note
	.p2align 2
	.long 9, 4f - 3f, 1
	.asciz "Lychgate"
	.p2align 2
3:	entry listed
	entry other_bytes, 0x64
	entry shifted, 0x65, 1
4:
