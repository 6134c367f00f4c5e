# SPDX-License-Identifier: Apache-2.0
# On purpose and unchecked: the plainest stray there is.
	.globl set_pkru
	.type set_pkru, @function
set_pkru:
	.cfi_startproc
	mov %edi, %eax
	xor %ecx, %ecx
	xor %edx, %edx
	wrpkru
	ret
	.cfi_endproc
	.size set_pkru, . - set_pkru
