/* SPDX-License-Identifier: Apache-2.0 */
/* The stub, as the linker made it. LYCH_STUB: its path. */
	.section .rodata.lych_stub, "a", @progbits
	.p2align 6
	.globl lych_stub
	.hidden lych_stub
	.type lych_stub, @object
lych_stub:
	.incbin LYCH_STUB
	.size lych_stub, . - lych_stub
	.globl lych_stub_end
	.hidden lych_stub_end
lych_stub_end:
	.section .note.GNU-stack, "", @progbits
