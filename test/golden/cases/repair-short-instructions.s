# SPDX-License-Identifier: Apache-2.0
# Instructions too short for a jump of five bytes: by a hop into a long NOP, and by a pun with what follows.
	.globl hop, pun
	.type hop, @function
hop:
	.cfi_startproc
	mov $0xd5, %al
	addb $-17, (%rcx)
	ret
	.cfi_endproc
	.size hop, . - hop
	.nops 15, 11
	.type pun, @function
pun:
	.cfi_startproc
	add $0x0f, %ax
	scasb
	sub %ah, %ch
	ret
	.cfi_endproc
	.size pun, . - pun
	.fill 256, 1, 0x55
	ret
