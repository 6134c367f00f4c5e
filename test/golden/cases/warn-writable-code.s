# SPDX-License-Identifier: Apache-2.0
# cc: -static -Wl,-N
	.globl _start
_start:	ret
	.data
	.byte 0x0f, 0x01, 0xef
