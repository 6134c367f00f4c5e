# SPDX-License-Identifier: Apache-2.0
# Int3 between functions, as lld leaves it, is room for a jump that a short one reaches.
	.globl f, g
	.type f, @function
f:
	.cfi_startproc
	mov $0xd5, %al
	addb $-17, (%rcx)
	ret
	.cfi_endproc
	.size f, . - f
	.fill 9, 1, 0xcc
	.type g, @function
g:
	.cfi_startproc
	xor %eax, %eax
	ret
	.cfi_endproc
	.size g, . - g
