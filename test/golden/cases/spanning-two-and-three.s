# SPDX-License-Identifier: Apache-2.0
# rol $0xf + add %ebp,%edi stands twice in Debian 12's libnettle.
	.globl f
	.type f, @function
f:
	.cfi_startproc
	rol $0xf, %r15d
	add %ebp, %edi
	mov $0x0f, %al
	add %ebp, %edi
	.byte 0x80, 0xc4, 0x0f
	.byte 0xae
	sub %ch, %al
	ret
	.cfi_endproc
	.size f, . - f
