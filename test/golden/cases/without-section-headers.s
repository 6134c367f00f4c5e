# SPDX-License-Identifier: Apache-2.0
# cc: -shared -Wl,--eh-frame-hdr
# no-sections
	.globl f
	.type f, @function
f:
	.cfi_startproc
	nop
	mov $0x00ef010f, %eax
	ret
	.cfi_endproc
	.size f, . - f
