# SPDX-License-Identifier: Apache-2.0
# palignr $0xef,(%rcx),%xmm0 is 66 0f 3a 0f 01 ef: last opcode byte, ModRM, immediate
	.globl f
	.type f, @function
f:
	.cfi_startproc
	palignr $0xef, (%rcx), %xmm0
	vpalignr $0xef, (%rcx), %xmm1, %xmm0
	ret
	.cfi_endproc
	.size f, . - f
