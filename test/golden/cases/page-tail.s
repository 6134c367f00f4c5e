# SPDX-License-Identifier: Apache-2.0
# What the header does not count: the read-only data behind the last executable segment is mapped with it.
# cc: -static -Wl,-T,@/page-tail.ld
	.text
	.globl _start
_start:
	.cfi_startproc
	ret
	.cfi_endproc
	.section .rodata, "a", @progbits
	.byte 0x0f, 0x01, 0xef
