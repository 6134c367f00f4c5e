# SPDX-License-Identifier: Apache-2.0
# cc: -shared
	.p2align 12
	.globl f
	.type f, @function
f:
	.cfi_startproc
	.fill 4092, 1, 0x90
	mov $0x00ef010f, %eax
	.fill 4089, 1, 0x90
	wrpkru
	ret
	.cfi_endproc
	.size f, . - f
