/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls, callbacks and typed pointers of LYCH_NONE: no rights, no second stack. An ordinary frame: the words that are passed
 * on the stack are copied, as they must lie right above the return address; no register that carries an argument or a result
 * is touched.
 *
 * Each thread has a list of what runs (struct none_entry; offsets in gate_asm.h): for lych_callback_ctx, and for those who
 * must not end the domain they are in. Entries that do not lie above the frame that calls have been left by longjmp, and are
 * dropped; so are those above one that is returned to.
 */
#include "gate_asm.h"

.macro function name:req
	.p2align 4
	.globl \name
	.hidden \name
	.type \name, @function
\name:
.endm

.macro function_end name:req
	.size \name, . - \name
.endm

/* rax := what is used when entries that longjmp has left are dropped. r11 is the thread; at: where the caller's frame ends. */
.macro entries_drop at:req
	mov	NT_USED(%r11), %rax
1:	test	%rax, %rax
	jz	2f
	cmp	\at, NT_ENTRIES - NE_SIZE + NE_LEVEL(%r11, %rax)
	ja	2f
	sub	$NE_SIZE, %rax
	jmp	1b
2:	mov	%rax, NT_USED(%r11)
.endm

/* r11 := a new entry. It is taken before it is filled: a handler that makes calls of its own takes the next one. */
.macro entry_take limit:req, no_thread:req, full:req
	mov	lych_none_tls@gottpoff(%rip), %r11
	mov	%fs:(%r11), %r11
	test	%r11, %r11
	jz	\no_thread
	entries_drop %rsp
	cmp	$\limit, %rax
	ja	\full
	addq	$NE_SIZE, NT_USED(%r11)
	lea	NT_ENTRIES(%r11, %rax), %r11
.endm

/* The frame: -8(%rbp) the entry, then the words, from args bytes above the return address. r10 is the binding, r11 the entry. */
.macro frame_make args:req
	mov	%rsp, NE_LEVEL(%r11)
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	push	%r11
	movzwl	BIND_WORDS(%r10), %eax
	lea	(, %rax, 8), %r11d
	sub	%r11, %rsp
	and	$-16, %rsp
1:	sub	$1, %eax
	js	2f
	mov	(8 + \args)(%rbp, %rax, 8), %r11
	mov	%r11, (%rsp, %rax, 8)
	jmp	1b
2:
.endm

/* Behind the call: back to the caller, with the results as they are. */
.macro frame_return
	mov	-8(%rbp), %r11
	mov	lych_none_tls@gottpoff(%rip), %r10
	mov	%fs:(%r10), %r10
	sub	%r10, %r11
	sub	$NT_ENTRIES, %r11
	mov	%r11, NT_USED(%r10)
	leave
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	ret
.endm

	.text
/* eax := 0 when this thread has entries now, else a negative errno. All argument registers, r10 and r11 survive. */
	.p2align 4
	.type none_attach, @function
none_attach:
	.cfi_startproc
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	push	%rdi
	push	%rsi
	push	%rdx
	push	%rcx
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	sub	$512, %rsp
	and	$-64, %rsp
	mov	%rsp, %rax
	call	lych_vectors_save
	call	*lych_root_page+ROOT_NONE_ATTACH(%rip)
	mov	%eax, %r11d
	mov	%rsp, %rax
	call	lych_vectors_load
	mov	%r11d, %eax
	mov	-8(%rbp), %rdi
	mov	-16(%rbp), %rsi
	mov	-24(%rbp), %rdx
	mov	-32(%rbp), %rcx
	mov	-40(%rbp), %r8
	mov	-48(%rbp), %r9
	mov	-56(%rbp), %r10
	mov	-64(%rbp), %r11
	mov	%rbp, %rsp
	.cfi_def_cfa_register %rsp
	pop	%rbp
	.cfi_def_cfa_offset 8
	.cfi_restore %rbp
	ret
	.cfi_endproc
	.size none_attach, . - none_attach

/* lych_gate comes here, with everything as it was at its first instruction. */
function lych_gate_none
	.cfi_startproc
	.cfi_personality 0x1b, lych_personality
.Lcall_again:
	entry_take NT_CALL_LIMIT, .Lcall_no_thread, .Lcall_full
	mov	HIDDEN_DOMAIN(%rsp), %rax
	mov	%rax, NE_DOMAIN(%r11)
	movq	$0, NE_CALLBACK(%r11)
	mov	HIDDEN_BINDING(%rsp), %r10
	.cfi_remember_state
	frame_make 8 + HIDDEN_SIZE
	movzbl	BIND_NVEC(%r10), %eax
	call	*BIND_FN(%r10)
	frame_return
	.cfi_restore_state
.Lcall_no_thread:
	call	none_attach
	test	%eax, %eax
	jz	.Lcall_again
.Lcall_status:
	mov	HIDDEN_STATUS(%rsp), %rdx
	mov	%eax, (%rdx)
	xor	%eax, %eax
	xor	%edx, %edx
	ret
.Lcall_full:
	/* behind the arguments: a call that was left had fewer or more of them */
	mov	HIDDEN_BINDING(%rsp), %r10
	movzwl	BIND_WORDS(%r10), %r10d
	lea	(8 + HIDDEN_SIZE)(%rsp, %r10, 8), %r10
	entries_drop %r10
	cmp	$NT_CALL_LIMIT, %rax
	jbe	.Lcall_again
	mov	$-NONE_EXFULL, %eax
	jmp	.Lcall_status
	.cfi_endproc
function_end lych_gate_none

/* lych_pointer_gate comes here: r10d is the number of the thunk. Where there is no entry to be had it does without. */
function lych_pointer_gate_none
	.cfi_startproc
	.cfi_personality 0x1b, lych_personality
	shl	$5, %r10
	add	lych_root_page+ROOT_THUNKS(%rip), %r10
	cmpq	$0, THUNK_DOMAIN(%r10)
	je	.Ltrap
.Lpointer_again:
	entry_take NT_LAST, .Lpointer_no_thread, .Lpointer_plain
	mov	THUNK_DOMAIN(%r10), %rax
	mov	%rax, NE_DOMAIN(%r11)
	movq	$0, NE_CALLBACK(%r11)
	mov	THUNK_BINDING(%r10), %r10
	.cfi_remember_state
	frame_make 8
	call	*BIND_FN(%r10)
	frame_return
	.cfi_restore_state
.Lpointer_no_thread:
	call	none_attach
	test	%eax, %eax
	jz	.Lpointer_again
	jmp	.Lpointer_plain
.Lpointer_plain:
	mov	THUNK_BINDING(%r10), %r10
	jmp	*BIND_FN(%r10)
.Ltrap:
	ud2
	.cfi_endproc
function_end lych_pointer_gate_none

/* r10d is the number of the callback. One that is not registered, or for which there is no memory or no room, traps. */
function lych_callback_gate_none
	.cfi_startproc
	.cfi_personality 0x1b, lych_personality
	shl	$5, %r10
	add	lych_root_page+ROOT_NONE_CALLBACKS(%rip), %r10
	cmpq	$0, CB_FN(%r10)
	je	.Ltrap_callback
.Lcallback_again:
	entry_take NT_LAST, .Lcallback_no_thread, .Ltrap_callback
	movq	$0, NE_DOMAIN(%r11)
	mov	%r10, NE_CALLBACK(%r11)
	mov	CB_BINDING(%r10), %r10
	.cfi_remember_state
	frame_make 8
	call	*BIND_FN(%r10)
	frame_return
	.cfi_restore_state
.Lcallback_no_thread:
	call	none_attach
	test	%eax, %eax
	jz	.Lcallback_again
.Ltrap_callback:
	ud2
	.cfi_endproc
function_end lych_callback_gate_none

	.p2align 4
	.globl lych_callback_thunks_none
	.hidden lych_callback_thunks_none
lych_callback_thunks_none:
	.set	.Lindex, 0
	.rept	LYCH_NONE_CALLBACKS
	.cfi_startproc
	endbr64
	mov	$.Lindex, %r10d
	jmp	lych_callback_gate_none
	.p2align 4
	.cfi_endproc
	.set	.Lindex, .Lindex + 1
	.endr

	.section .note.GNU-stack, "", @progbits
