# SPDX-License-Identifier: Apache-2.0
# find: all
	.globl f
	.type f, @function
f:
	.cfi_startproc
	wrfsbase %rax
	wrgsbase %ecx
	.byte 0x0f, 0x01, 0xd7
	syscall
	sysenter
	int $0x80
	rdfsbase %rax
	lfence
	ret
	.cfi_endproc
	.size f, . - f
