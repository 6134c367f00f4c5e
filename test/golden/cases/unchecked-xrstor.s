# SPDX-License-Identifier: Apache-2.0
# Each looks checked and is not: another bit; a store between; the jump leads to no trap; another register; before.
	.globl f
	.type f, @function
f:
	.cfi_startproc
	xrstor (%rdi)
	test $0x100, %eax
	jz 1f
	ud2
1:	xrstor (%rdi)
	mov %rax, (%rsp)
	test $0x200, %eax
	jz 2f
	ud2
2:	xrstor (%rdi)
	test $0x200, %eax
	jnz 3f
3:	xrstor (%rdi)
	test $0x200, %ebx
	jz 4f
	ud2
4:	test $0x200, %eax
	jnz 5f
	xrstor (%rdi)
	ret
5:	ud2
	.cfi_endproc
	.size f, . - f
