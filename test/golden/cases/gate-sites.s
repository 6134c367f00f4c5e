# SPDX-License-Identifier: Apache-2.0
# Four WRPKRU that look the same: listed; not listed; listed with other bytes; listed one byte off. A fifth is
# listed, but compares what memory of zeros would let pass.
# find: host
	.macro site name, plain=0
	xor %ecx, %ecx
	xor %edx, %edx
	wrpkru
\name:
	.if \plain == 0
	not %eax
	.endif
	cmp %gs:16, %eax
	jne trap
	ret
	.endm
	.macro entry name, first=0xf7, shift=0
1:	.long \name + \shift - 1b
	.byte 1, 3, 10, 0
	.byte 0x0f, 0x01, 0xef
	.byte \first, 0xd0, 0x65, 0x3b, 0x04, 0x25, 0x10, 0x00, 0x00, 0x00
	.p2align 2
	.endm

	.globl gates
	.type gates, @function
gates:
	.cfi_startproc
	site listed
	site unlisted
	site other_bytes
	site shifted
	site plain, 1
trap:	ud2
	.cfi_endproc
	.size gates, . - gates

	.section .note.lychgate, "a", @note
	.p2align 2
	.long 9, 4f - 3f, 1
	.asciz "Lychgate"
	.p2align 2
3:	entry listed
	entry other_bytes, 0xf6
	entry shifted, 0xf7, 1
	.long plain - .
	.byte 1, 3, 8, 0
	.byte 0x0f, 0x01, 0xef
	.byte 0x65, 0x3b, 0x04, 0x25, 0x10, 0x00, 0x00, 0x00
	.p2align 2
4:
