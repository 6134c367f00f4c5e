/* SPDX-License-Identifier: Apache-2.0 */
/* void trial_call(struct trial *trial, const void *entry): calls what the entry leads to, with all registers set. */
#include "registers.h"

.text
	.globl trial_call
	.hidden trial_call
	.type trial_call, @function
trial_call:
	.cfi_startproc
	endbr64
	TRIAL_ENTER
	mov %rsi, %r11
	TRIAL_LOAD
	call *%r11
	TRIAL_LEAVE
	.cfi_endproc
	.size trial_call, . - trial_call

/* Eight bytes each: a jump to the procedure linkage table of this program. */
.macro ONE_ENTRY name, number
	.p2align 3
	jmp \name\number@PLT
.endm
.macro ENTRIES table:req, name:req
	.globl \table
	.hidden \table
	.p2align 3
	.type \table, @function
\table:
	.cfi_startproc
	.set entry_number, 0
	.rept FRESH
	.altmacro
	ONE_ENTRY \name, %entry_number
	.noaltmacro
	.set entry_number, entry_number + 1
	.endr
	.cfi_endproc
	.size \table, . - \table
.endm
	ENTRIES fresh_entries, fresh_
	ENTRIES chosen_entries, chosen_

	.section .note.GNU-stack, "", @progbits
