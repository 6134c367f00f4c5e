# SPDX-License-Identifier: Apache-2.0
# A table with a name of type OBJECT among the code.
	.globl f
	.type f, @function
f:
	.cfi_startproc
	lea table(%rip), %rax
	ret
	.cfi_endproc
	.size f, . - f
	.type table, @object
table:
	.long 0x00ef010f, 0x28ae0f00
	.size table, . - table
