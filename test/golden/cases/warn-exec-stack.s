# SPDX-License-Identifier: Apache-2.0
# cc: -shared -Wl,-z,execstack
	.globl f
f:	ret
