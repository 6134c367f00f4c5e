# SPDX-License-Identifier: Apache-2.0
# The APX form has no 0F byte.
	.globl set_pkru
	.type set_pkru, @function
set_pkru:
	.cfi_startproc
	mov %edi, %eax
	xor %ecx, %ecx
	xor %edx, %edx
	.byte 0xd5, 0x80, 0x01, 0xef
	ret
	.cfi_endproc
	.size set_pkru, . - set_pkru
