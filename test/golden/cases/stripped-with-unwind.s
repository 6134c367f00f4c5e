# SPDX-License-Identifier: Apache-2.0
# No symbol is left: the placement comes from .eh_frame, past bytes that would lead a sweep from the
# section's start astray.
# cc: -shared -Wl,--eh-frame-hdr
# strip
	.byte 0x48, 0xb8, 0x01
	.type f, @function
f:
	.cfi_startproc
	nop
	mov $0x00ef010f, %eax
	ret
	.cfi_endproc
	.size f, . - f
	.type g, @function
g:
	.cfi_startproc
	rol $0xf, %r15d
	add %ebp, %edi
	ret
	.cfi_endproc
	.size g, . - g
