/* SPDX-License-Identifier: Apache-2.0 */
/* The stub's entry, and what C cannot say. No address in here is absolute. */
#include "stub.h"

	.text
	.p2align 6
	.globl _start
	.hidden _start
	.type _start, @function
/* As the C library's own, which would bring constructors and tables of its own along. rdx: what ld.so wants run at
 * exit. */
_start:
	.cfi_startproc
	.cfi_undefined rip
	endbr64
	xor	%ebp, %ebp
	mov	%rdx, %r9
	pop	%rsi
	mov	%rsp, %rdx
	and	$-16, %rsp
	push	%rax
	push	%rsp
	xor	%r8d, %r8d
	xor	%ecx, %ecx
	lea	main(%rip), %rdi
	call	*__libc_start_main@GOTPCREL(%rip)
	ud2
	.cfi_endproc
	.size _start, . - _start

/* void stub_enter(const struct inside_start *start): stub.h */
	.org	_start + STUB_ENTER, 0xcc
	.globl stub_enter
	.hidden stub_enter
	.type stub_enter, @function
stub_enter:
	.cfi_startproc
	.cfi_undefined rip
	endbr64
	mov	%rdi, %rsi
	mov	$INSIDE_BEGIN, %edi
	mov	$LYCH_SYS_INSIDE, %eax
	syscall
	ud2
	.cfi_endproc
	.size stub_enter, . - stub_enter

/*
 * void stub_park(uint64_t *parked, long nr, long what): stores in *parked where stub_unpark comes back to, and
 * makes system call nr with what. Returns when stub_unpark is called, or when that call returns: nobody dispatches
 * it. The C library's setjmp would do the first, but its longjmp looks at which way the stack grows.
 */
	.p2align 4
	.globl stub_park
	.hidden stub_park
	.type stub_park, @function
stub_park:
	.cfi_startproc
	endbr64
	push	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	push	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	push	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	push	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	push	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	push	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	mov	%rsp, (%rdi)
	mov	%rsi, %rax
	mov	%rdx, %rdi
	syscall
.Lback:
	pop	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	pop	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	pop	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	pop	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	pop	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	.cfi_endproc
	.size stub_park, . - stub_park

/* _Noreturn void stub_unpark(uint64_t parked): stub_park returns, on its own stack. */
	.p2align 4
	.globl stub_unpark
	.hidden stub_unpark
	.type stub_unpark, @function
stub_unpark:
	.cfi_startproc
	endbr64
	mov	%rdi, %rsp
	jmp	.Lback
	.cfi_endproc
	.size stub_unpark, . - stub_unpark

	.section .note.GNU-stack, "", @progbits
