# SPDX-License-Identifier: Apache-2.0
# cc: -shared -Wl,-z,noseparate-code
	.globl f
	.type f, @function
f:
	.cfi_startproc
	ret
	.cfi_endproc
	.size f, . - f
	.section .rodata, "a", @progbits
	.globl table
	.type table, @object
table:
	.long 0x00ef010f
	.size table, . - table
