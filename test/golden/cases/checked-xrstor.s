# SPDX-License-Identifier: Apache-2.0
	.globl f
	.type f, @function
f:
	.cfi_startproc
	xrstor (%rdi)
	test $0x200, %eax
	jz 1f
	ud2
1:	xrstor64 0x40(%rsp)
	bt $9, %eax
	jc 2f
	ret
2:	ud2
	.cfi_endproc
	.size f, . - f
