# SPDX-License-Identifier: Apache-2.0
# cc: -shared -Wl,-z,notext
	.globl f
f:	movabs $f, %rax
	ret
