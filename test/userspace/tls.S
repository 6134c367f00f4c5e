/* SPDX-License-Identifier: Apache-2.0 */
/* long *tls_trial(struct trial *trial): asks by a descriptor where a variable is, which changes nothing but rax. */
#include "registers.h"
#include "tls.h"

.text
	.globl tls_trial
	.type tls_trial, @function
tls_trial:
	.cfi_startproc
	endbr64
	TRIAL_ENTER
	TRIAL_LOAD
	lea tls_assembly@TLSDESC(%rip), %rax
	call *tls_assembly@TLSCALL(%rax)
	TRIAL_STORE
	add %fs:0, %rax
	TRIAL_LEAVE
	.cfi_endproc
	.size tls_trial, . - tls_trial

	.section .tdata, "awT", @progbits
	.p2align 3
	.hidden tls_assembly
	.type tls_assembly, @object
tls_assembly:
	.quad TLS_FIRST
	.size tls_assembly, . - tls_assembly

	.section .note.GNU-stack, "", @progbits
