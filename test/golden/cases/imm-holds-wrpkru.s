# SPDX-License-Identifier: Apache-2.0
	.globl f
	.type f, @function
f:
	.cfi_startproc
	mov $0x00ef010f, %eax
	add $0xef010f00, %eax
	movabs $0x1122ef010f334455, %rdx
	ret
	.cfi_endproc
	.size f, . - f
