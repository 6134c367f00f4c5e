/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the only code of the project that executes WRPKRU.
 *
 * Rules, by number; the comments below name them.
 *
 *  1. After every write of PKRU the value in force is compared with %gs memory that no untrusted view can write, or
 *     with an immediate; a mismatch reaches lych_traps. Views are kept complemented. (G2)
 *  2. Before a write that drops rights everything the monitor has to know is written; after it nothing is read but
 *     registers, %gs (the gate page) and memory of the view itself. Whoever jumps there gets his own rights.
 *  3. After a write that grants rights nothing of the untrusted side is believed: records come from the monitor page,
 *     their kind is checked, rsp is taken from them before anything is pushed. (G2)
 *  4. The selector is BLOCK from before rights are dropped until after they are back and rsp is a stack of the host.
 *     A signal's context is a domain's exactly when it is BLOCK; the stretches in which that is not yet, or no longer,
 *     literally true are lych_windows. (G6)
 *  5. The first thing an entry does with the monitor page is a read: in a domain's view it faults.
 *  6. Every register that carries no argument or result is cleared on the way to the less trusted side. (G1)
 *  7. x87: nothing is loaded before a pending exception is cleared; flags AC, NT, DF, TF are as the ABI wants them.
 *
 * gate_soft.S assembles this file again with GATE_SOFT in the place of PKRU. A benchmark may define LYCH_SITE_INSN.
 */
#include <lychgate/note.h>

#include "gate_asm.h"

#ifdef LYCH_SOFT
#define V(name) name##_soft
#define SELF GATE_SELF_SOFT
#else
#define V(name) name##_pku
#define SELF GATE_SELF
#endif

/* ---- macros ----------------------------------------------------------------------------------- */

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

.macro label name:req
	.globl \name
	.hidden \name
\name:
.endm

/* PKRU := eax. ecx and edx are 0. */
.macro write_pkru
#ifdef LYCH_SOFT
	mov	%eax, %gs:GATE_SOFT
#ifdef LYCH_SITE_INSN
	LYCH_SITE_INSN
#endif
#elif defined(LYCH_SITE_INSN)
	LYCH_SITE_INSN
#else
	wrpkru
#endif
.endm

/* eax := PKRU, edx := 0. ecx is 0. */
.macro read_pkru
#if defined(LYCH_SOFT) || defined(LYCH_SITE_INSN)
	mov	%gs:GATE_SOFT, %eax
	xor	%edx, %edx
#else
	rdpkru
#endif
.endm

#if !defined(LYCH_SOFT) && !defined(LYCH_SITE_INSN)
/* All entries: what code_start knows our sites by. */
	.pushsection LYCH_NOTE_SECTION, "a", @note
	.p2align 2
label lych_note
	.popsection
#endif

/* The entry of a site in the note: its bytes as they must be around it (lychgate/note.h). */
.macro site_note site:req, kind:req, nafter:req, bytes:vararg
#if !defined(LYCH_SOFT) && !defined(LYCH_SITE_INSN)
	.pushsection LYCH_NOTE_SECTION, "a", @note
	.p2align 2
	.long	9, 803f - 802f, LYCH_NOTE_SITES
	.asciz	LYCH_NOTE_OWNER
	.p2align 2
802:	.long	\site - .
	.byte	\kind, 3, \nafter, 0
	.byte	0x0f, 0x01, 0xef, \bytes
	.p2align 2
803:
	.popsection
#endif
.endm

/* PKRU := eax, compared with the complement in %gs:field (rule 1). Clobbers eax. */
.macro site_gs field:req
	write_pkru
801:	not	%eax
	cmp	%gs:\field, %eax
	jne	.Ltrap
	site_note 801b, LYCH_SITE_GS, 10, 0xf7, 0xd0, 0x65, 0x3b, 0x04, 0x25, \field, 0, 0, 0
.endm

/* PKRU := eax, compared with an immediate, in the long form that the note describes. */
.macro site_imm value:req, b0:req, b1:req, b2:req, b3:req
	write_pkru
801:	.byte	0x3d
	.long	\value
	jne	.Ltrap
	site_note 801b, LYCH_SITE_IMM, 5, 0x3d, \b0, \b1, \b2, \b3
.endm

/* ecx := edx := 0, eax := the view whose complement is in %gs:field */
.macro load_view field:req
	mov	%gs:\field, %eax
	not	%eax
	xor	%ecx, %ecx
	xor	%edx, %edx
.endm

.macro window start:req, end:req, target:req, rsp_from=0
	.pushsection lych_windows, "a"
	.long	\start - ., \end - ., \target - ., \rsp_from
	.popsection
.endm

.macro restart start:req, end:req, target:req
	.pushsection lych_restarts, "a"
	.long	\start - ., \end - ., \target - ., 0
	.popsection
.endm

/* Index in struct kernel_sigcontext, plus 1. */
#define FROM_R10 3
#define FROM_R13 6

/*
 * CFI. While r11 points at the record, or while *rbp does (the link on the domain's stack, only advice: reports use
 * records), the caller's registers are in the record.
 */
/*
 * The caller's frame is on another stack, above or below. Debuggers take a caller that lies below for a sign of a
 * corrupt stack, except where a signal handler was called: so the gate says it is one ("<signal handler called>" in
 * gdb).
 */
.macro cfi_two_stacks
	.cfi_signal_frame
.endm

/* Relative to where it is written, in 4 bytes. */
.macro cfi_no_exceptions
	.cfi_personality 0x1b, lych_personality
.endm

.macro cfi_normal
	.cfi_def_cfa %rsp, 8
	.cfi_same_value %rbx
	.cfi_same_value %rbp
	.cfi_same_value %r12
	.cfi_same_value %r13
	.cfi_same_value %r14
	.cfi_same_value %r15
.endm

.macro cfi_record_r11
	.cfi_escape 0x0f, 5, 0x7b, REC_RSP, 0x06, 0x23, 8
	.cfi_escape 0x10, 3, 2, 0x7b, REC_RBX
	.cfi_escape 0x10, 6, 2, 0x7b, REC_RBP
	.cfi_escape 0x10, 12, 2, 0x7b, REC_R12
	.cfi_escape 0x10, 13, 3, 0x7b, REC_R13 | 0x80, 0
	.cfi_escape 0x10, 14, 3, 0x7b, REC_R14 | 0x80, 0
	.cfi_escape 0x10, 15, 3, 0x7b, REC_R15 | 0x80, 0
.endm

.macro cfi_record_link
	.cfi_escape 0x0f, 8, 0x76, 0, 0x06, 0x23, REC_RSP, 0x06, 0x23, 8
	.cfi_escape 0x10, 3, 5, 0x76, 0, 0x06, 0x23, REC_RBX
	.cfi_escape 0x10, 6, 5, 0x76, 0, 0x06, 0x23, REC_RBP
	.cfi_escape 0x10, 12, 5, 0x76, 0, 0x06, 0x23, REC_R12
	.cfi_escape 0x10, 13, 5, 0x76, 0, 0x06, 0x23, REC_R13
	.cfi_escape 0x10, 14, 5, 0x76, 0, 0x06, 0x23, REC_R14
	.cfi_escape 0x10, 15, 5, 0x76, 0, 0x06, 0x23, REC_R15
.endm

/* While register base of DWARF's points at a struct kernel_ucontext: the frame is the one that is in it. */
.macro cfi_context base:req
	.cfi_escape 0x0f, 4, 0x70 + \base, 0xa0, 1, 0x06
	.set	.Loff, 40
	.irp reg, 8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16
	.cfi_escape 0x10, \reg, 3, 0x70 + \base, (.Loff & 0x7f) | 0x80, .Loff >> 7
	.set	.Loff, .Loff + 8
	.endr
.endm

/* What the kernel wrote at a frame's begin: our restorer, or glibc's, whose system() puts our entry back with its own. */
.macro take_frame at:req
	lea	lych_restorer(%rip), %rcx
	xor	%edx, %edx
	xchg	%rdx, (\at)
	cmp	%rcx, %rdx
	je	8f
	test	%rdx, %rdx /* taken */
	jz	.Ltrap
	cmp	lych_root_page+ROOT_RESTORER(%rip), %rdx
	jne	.Ltrap
8:
.endm

.macro save_callee_saved
	mov	%rbx, REC_RBX(%r11)
	mov	%rbp, REC_RBP(%r11)
	mov	%r12, REC_R12(%r11)
	mov	%r13, REC_R13(%r11)
	mov	%r14, REC_R14(%r11)
	mov	%r15, REC_R15(%r11)
.endm

.macro restore_callee_saved
	mov	REC_RBX(%r11), %rbx
	mov	REC_RBP(%r11), %rbp
	mov	REC_R12(%r11), %r12
	mov	REC_R13(%r11), %r13
	mov	REC_R14(%r11), %r14
	mov	REC_R15(%r11), %r15
.endm

/*
 * The views that were in force before this record. A key may be taken from this thread in between, from the record and the
 * gate page: then it starts again, else a call that waits below would return with the right. (G8)
 */
.macro views_back start:req, end:req
\start:
	mov	REC_VIEWS(%r11), %rcx
	mov	%rcx, %gs:GATE_NOT_VIEW
\end:
	restart	\start, \end, \start
.endm

/*
 * MXCSR := memory. On some processors a store of MXCSR that follows too closely, such as that of the next call, costs a
 * hundred cycles and more when this changes the flags in it.
 */
.macro load_mxcsr from:req
	ldmxcsr	\from
	lfence
.endm

/*
 * The host's context, from the record of a call in r11: rsp, flags, fs, selector. Clobbers rcx. host_context_rare is the
 * rest of it, somewhere else; both belong to a window.
 */
.macro host_context of:req
	mov	REC_RSP(%r11), %rsp
	pushfq
	pop	%rcx
	test	$FLAGS_HOSTILE, %ecx
	jnz	.L\of\()_flags
.L\of\()_flags_done:
	rdfsbase %rcx
	cmp	%gs:MON_HOST_FS, %rcx
	jne	.L\of\()_fs
.L\of\()_fs_done:
	movb	$SELECTOR_ALLOW, %gs:GATE_SELECTOR
.endm

.macro host_context_rare of:req
.L\of\()_flags:
	/* rsp is the host's; rcx as found */
	andq	$~FLAGS_HOSTILE, %rcx
	push	%rcx
	popfq
	jmp	.L\of\()_flags_done
.L\of\()_fs:
	mov	%gs:MON_HOST_FS, %rcx
	wrfsbase %rcx
	jmp	.L\of\()_fs_done
.endm

/* All vector registers := 0. Not out of line: unwinders need the tables of the function they are in. Clobbers flags. */
.macro scrub_vectors
	cmpl	$SCRUB_AVX, lych_root_page+ROOT_SCRUB(%rip)
	jne	1f
	vzeroall
	jmp	2f
1:	call	lych_scrub_other
2:
.endm

/* The same with AVX-512. One by one they are cleared when they are renamed; VZEROALL is slow beside it. */
.macro scrub_avx512
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vpxor	%xmm\n, %xmm\n, %xmm\n
	.endr
	vzeroupper
	.irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	vpxord	%zmm\n, %zmm\n, %zmm\n
	.endr
	.irp n, 0,1,2,3,4,5,6,7
	kxorw	%k\n, %k\n, %k\n
	.endr
.endm

/* The contents of the x87 registers := 0 through their other name, then empty. No exception may be pending. */
.macro scrub_x87
	pxor	%mm0, %mm0
	pxor	%mm1, %mm1
	pxor	%mm2, %mm2
	pxor	%mm3, %mm3
	pxor	%mm4, %mm4
	pxor	%mm5, %mm5
	pxor	%mm6, %mm6
	pxor	%mm7, %mm7
	emms
.endm

/*
 * Pages of its own: code of a library domain may read them, though nothing else of key 0 (lych_code_show), as unwinders look at
 * the instructions that they find no table for.
 */
#ifdef LYCH_SOFT
#define TEXT .text
#else
#define TEXT .section .text.lych_gate, "ax", @progbits
#endif
	TEXT
#ifdef LYCH_SOFT
	.p2align 6
#else
	.p2align 12
label lych_gate_text
#endif

#ifndef LYCH_SOFT
/* ---- what both instances share ------------------------------------------------------------------ */

/*
 * What C++ and pthread_exit ask of a gate's frame, before they look at its caller's. Nothing goes on across it: phase 1
 * (an exception looks for who catches it) ends in std::terminate, phase 2 (forced) in abort, both on the side that
 * asked. Else the unwinder would run the host's code with a domain's rights, or a domain's frames with the host's.
 */
function lych_personality
	.cfi_startproc
	endbr64
	and	$1, %esi
	lea	2(%rsi), %eax /* _URC_FATAL_PHASE1_ERROR or _URC_FATAL_PHASE2_ERROR */
	ret
	.cfi_endproc
function_end lych_personality

/* long lych_syscall(long nr, long a, long b, long c, long d, long e, long f) */
function lych_syscall
	.cfi_startproc
	endbr64
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	mov	%r9, %r8
	mov	8(%rsp), %r9
	syscall
	ret
	.cfi_endproc
function_end lych_syscall

/*
 * Where a handler returns that was not entered by lych_signal_entry, and what a frame's first word must be. Who unwinds
 * such a handler finds the context at rsp, and looks for the byte before the address that is returned to.
 */
	.cfi_startproc
	.cfi_signal_frame
	cfi_context 7
	nop
function lych_restorer
	mov	$15, %eax
	syscall
	ud2
	.cfi_endproc
function_end lych_restorer

/* _Noreturn void lych_sigreturn(struct sigframe *frame): the kernel looks for the frame 8 below rsp. */
function lych_sigreturn
	.cfi_startproc
	.cfi_undefined %rip
	endbr64
	lea	8(%rdi), %rsp
	mov	$15, %eax
	syscall
	ud2
	.cfi_endproc
function_end lych_sigreturn

/* Processors without AVX, or with more. Called on a stack of the host; preserves everything else. */
function lych_scrub_other
	.cfi_startproc
	cmpl	$SCRUB_SSE, lych_root_page+ROOT_SCRUB(%rip)
	je	3f
	scrub_avx512
	cmpl	$SCRUB_AMX, lych_root_page+ROOT_SCRUB(%rip)
	jne	2f
	tilerelease
2:	ret
3:	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	pxor	%xmm\n, %xmm\n
	.endr
	ret
	.cfi_endproc
function_end lych_scrub_other

/* The eight argument registers to and from 512 bytes at rax, 64-byte aligned. Clobbers flags. */
function lych_vectors_save
	.cfi_startproc
	cmpl	$SCRUB_AVX, lych_root_page+ROOT_SCRUB(%rip)
	je	1f
	cmpl	$SCRUB_SSE, lych_root_page+ROOT_SCRUB(%rip)
	je	2f
	.irp n, 0,1,2,3,4,5,6,7
	vmovups	%zmm\n, 64*\n(%rax)
	.endr
	ret
1:	.irp n, 0,1,2,3,4,5,6,7
	vmovups	%ymm\n, 64*\n(%rax)
	.endr
	ret
2:	.irp n, 0,1,2,3,4,5,6,7
	movups	%xmm\n, 64*\n(%rax)
	.endr
	ret
	.cfi_endproc
function_end lych_vectors_save

function lych_vectors_load
	.cfi_startproc
	cmpl	$SCRUB_AVX, lych_root_page+ROOT_SCRUB(%rip)
	je	1f
	cmpl	$SCRUB_SSE, lych_root_page+ROOT_SCRUB(%rip)
	je	2f
	.irp n, 0,1,2,3,4,5,6,7
	vmovups	64*\n(%rax), %zmm\n
	.endr
	ret
1:	.irp n, 0,1,2,3,4,5,6,7
	vmovups	64*\n(%rax), %ymm\n
	.endr
	ret
2:	.irp n, 0,1,2,3,4,5,6,7
	movups	64*\n(%rax), %xmm\n
	.endr
	ret
	.cfi_endproc
function_end lych_vectors_load

/*
 * Every vector register := 0 but those that carry arguments, and of these the bits that do: widths are 4 bits for
 * each register in edx, log2 of the bytes. Buffer at rax as above. Clobbers rcx, flags.
 */
function lych_vectors_only
	.cfi_startproc
	call	lych_vectors_save
	scrub_vectors
	.irp n, 0,1,2,3,4,5,6,7
	mov	%edx, %ecx
	.if \n
	shr	$(4 * \n), %ecx
	.endif
	and	$15, %ecx
	jz	9f
	cmp	$3, %ecx
	jb	2f
	je	3f
	cmp	$5, %ecx
	jb	4f
	je	5f
	vmovups	64*\n(%rax), %zmm\n
	jmp	9f
2:	movd	64*\n(%rax), %xmm\n
	jmp	9f
3:	movq	64*\n(%rax), %xmm\n
	jmp	9f
4:	movups	64*\n(%rax), %xmm\n
	jmp	9f
5:	vmovups	64*\n(%rax), %ymm\n
9:
	.endr
	ret
	.cfi_endproc
function_end lych_vectors_only

	.section .rodata
	.p2align 3
.Lmxcsr_default:
	.long	MXCSR_DEFAULT
.Lnone:
	.long	0
	.p2align 3
.Lall_signals:
	.quad	-1
	TEXT
#else
	.section .rodata
	.p2align 3
.Lmxcsr_default:
	.long	MXCSR_DEFAULT
.Lnone:
	.long	0
	.p2align 3
.Lall_signals:
	.quad	-1
	TEXT
#endif

/*
 * A call to C in the middle of a gate: all argument registers survive. On a stack of the host; rbp is the frame.
 *   rbp-8 rdi  -16 rsi  -24 rdx  -32 rcx  -40 r8  -48 r9  -56 r10  -64 r11; below, 64-byte aligned, the vectors
 */
.macro save_arguments
	push	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
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
.endm

/* eax survives, too */
.macro restore_arguments
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
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
.endm

/* ---- the call ----------------------------------------------------------------------------------- */

/*
 * r11 := the record above this thread's top one. Until it is the top one itself a handler of the host that
 * interrupts this may take it: so all of this is a restart, and changes no registers but rax, r10, r11 and vectors
 * without arguments.
 */
.macro next_record again:req, not_attached:req, too_deep:req
\again:
	/* An area of this thread's own? TLS and gs must agree. (G8) */
	mov	lych_tls@gottpoff(%rip), %r11
	mov	%fs:(%r11), %r11
	test	%r11, %r11
	jz	\not_attached
	cmp	%gs:SELF, %r11
	jne	\not_attached
	mov	%gs:MON_TOP, %r11 /* rule 5 */
	cmp	%gs:MON_LIMIT, %r11
	jae	\too_deep
	add	$REC_SIZE, %r11
.endm

/*
 * LYCH_CALL. At entry the stack is
 *	rsp	return address
 *	+8	struct lych_hidden: domain, binding, status, deadline
 *	+40	declared arguments that are passed on the stack
 * and the registers carry the declared arguments, as the ABI says. Result registers as the callee left them; *status,
 * which the caller has set to 0, is written when the call did not end as it should.
 */
#ifdef LYCH_SOFT
function lych_gate_soft
#else
	.p2align 4
	.globl lych_gate
	.type lych_gate, @function
lych_gate:
#endif
	.cfi_startproc
	cfi_no_exceptions
	cfi_two_stacks
	endbr64
	next_record .Lcall_again, .Lcall_not_attached, .Lcall_too_deep
	mov	%rsp, REC_RSP(%r11)
	save_callee_saved
	mov	HIDDEN_STATUS(%rsp), %rax
	mov	%rax, REC_STATUS(%r11)
	mov	HIDDEN_DEADLINE(%rsp), %rax
	mov	%rax, REC_DEADLINE(%r11)
	mov	HIDDEN_DOMAIN(%rsp), %r10
	mov	%r10, REC_DOMAIN(%r11)
	mov	HIDDEN_BINDING(%rsp), %rax
	mov	%rax, REC_BINDING(%r11)
	movq	$(HIDDEN_SIZE + 8), REC_ARGS_OFF(%r11) /* and REC_CANCEL := 0 */
	movq	$KIND_CALL, REC_KIND(%r11)             /* and REC_FLAGS := 0 */
	mov	%r11, %gs:MON_TOP
.Lcall_mine:
	.cfi_remember_state
	cfi_record_r11
	restart	.Lcall_again, .Lcall_mine, .Lcall_again
	mov	%rax, %rbx

.Lcall_taken:
	/* r10 domain, rbx binding. The record, r11, is on top before the id is read: whoever poisons does it the other way round. */
	mov	DOM_SLOT(%r10), %ebp
	mov	DOM_ID(%r10), %rax
	mov	%rax, REC_CALL_ID(%r11)
	cmp	%gs:SLOT_ID(%rbp), %rax
	jne	.Lcall_slow
.Lcall_ready:
	mov	%gs:SLOT_SP(%rbp), %r13

	/* rule 7: the domain starts with what the ABI promises and the default modes. rsp need not be balanced. */
	pushfq
	testl	$FLAGS_HOSTILE, (%rsp)
	jnz	.Lcall_flags
.Lcall_flags_done:
	stmxcsr	REC_MXCSR(%r11)
	cmpl	$MXCSR_DEFAULT, REC_MXCSR(%r11)
	jne	.Lcall_mxcsr
.Lcall_mxcsr_done:
	fnstcw	REC_FCW(%r11)
	cmpw	$FCW_DEFAULT, REC_FCW(%r11)
	jne	.Lcall_x87
	fnstsw	%ax
	test	%ax, %ax
	jnz	.Lcall_x87
.Lcall_x87_done:

	/* The caller's view is what it is: regions may be open, others use keys, too. */
	mov	%rcx, %r14
	mov	%rdx, %r15
.Lcall_view:
	xor	%ecx, %ecx
	read_pkru
	mov	%gs:GATE_NOT_VIEW, %rbp /* both */
	mov	%rbp, REC_VIEWS(%r11)
	not	%eax
	mov	%eax, %gs:GATE_NOT_CALLER
.Lcall_view_end:
	/* The first word of the domain's frame is the link for unwinders; arguments below it. */
	mov	%r13, %rbp
	mov	BIND_FN(%rbx), %r12
	cmpl	$0, BIND_EXTRA(%rbx)
	jne	.Lcall_extra
	cmpl	$SCRUB_AVX, lych_root_page+ROOT_SCRUB(%rip)
	jne	.Lcall_scrub
	vzeroall
.Lcall_go:
	scrub_x87
	movzbl	BIND_SKIP(%rbx), %ebx
	lea	.Lcall_clear(%rip), %rax
	add	%rax, %rbx
	mov	DOM_SLOT(%r10), %ecx
	mov	DOM_NOT_VIEW(%r10), %eax
	xor	%r10d, %r10d
	mov	%eax, %gs:GATE_NOT_VIEW
.Lcall_fs:
	mov	%r13, REC_SLOT_SP(%r11)
	mov	%gs:SLOT_FS(%rcx), %rcx
	test	%rcx, %rcx
	jnz	.Lcall_library
	/* rule 2: from here on only registers. ecx and edx are 0. */
.Lcall_w0:
	movb	$SELECTOR_BLOCK, %gs:GATE_SELECTOR
	mov	%r13, %rsp
	not	%eax
	site_gs	GATE_NOT_VIEW
.Lcall_w1:
	/* In the domain's view. rdx and rcx wait in r15 and r14. */
	mov	%r11, (%rbp)
	cfi_record_link
	notrack jmp *%rbx
.Lcall_clear:
	/* lychgate/gate.h knows the sizes of these: 2, 2, 3, 3, 3, 3 */
	xor	%edi, %edi
	xor	%esi, %esi
	xor	%r15d, %r15d
	xor	%r14d, %r14d
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	mov	%r15, %rdx
	mov	%r14, %rcx
	mov	%r10d, %eax
	/* rule 6: what is left in the others the domain knows: its function and stack, arguments, a place in here; but
	 * r11, where the record is */
	xor	%r11d, %r11d
	call	*%r12
label V(lych_call_returns)
	mov	%rax, %r8
	mov	%rdx, %r9
	mov	%rsp, %r10
.Lret_r0:
	load_view GATE_NOT_CALLER
	site_gs	GATE_NOT_CALLER
.Lret_granted:
	/* rule 3. And a call returns to where it began: it was left by longjmp if another one below it does. */
	mov	%gs:MON_TOP, %r11
	cfi_record_r11
	cmp	%r10, REC_SLOT_SP(%r11)
	jne	.Ltrap
	cmpq	$KIND_CALL, REC_KIND(%r11) /* and no flag */
	jne	.Lret_marked
	host_context ret
.Lret_r1:
	/* The host's context. r8, r9 the result. Scratch: REC_ST0, this record's own. The caller's modes were the default. */
	stmxcsr	REC_ST0(%r11)
	cmpl	$MXCSR_DEFAULT, REC_ST0(%r11)
	jne	.Lret_modes
	fnstcw	REC_ST0(%r11)
	cmpw	$FCW_DEFAULT, REC_ST0(%r11)
	jne	.Lret_modes
	fnstsw	%ax
	test	%ax, %ax
	jnz	.Lret_modes
	emms
.Lret_modes_done:
#ifdef LYCH_SOFT
	testb	$1, REC_CALL_ID(%r11)
	jnz	.Lret_leave
.Lret_left:
#endif
	restore_callee_saved
	views_back .Lret_views, .Lret_views_end
	.cfi_restore_state
	.cfi_remember_state
	subq	$REC_SIZE, %gs:MON_TOP
	mov	%r8, %rax
	mov	%r9, %rdx
	ret

	restart	.Lcall_view, .Lcall_view_end, .Lcall_view
	window	.Lcall_w0, .Lcall_w1, .Lcall_w1, FROM_R13
	window	.Lret_r0, .Lret_r1, .Lret_r0
	window	.Lret_marked, .Lret_marked_end, .Lret_r0

	/* ---- what is rare ---- */
	cfi_record_r11
.Lcall_flags:
	andq	$~FLAGS_HOSTILE, (%rsp)
	popfq
	jmp	.Lcall_flags_done
.Lcall_mxcsr:
	orl	$RECF_MXCSR, REC_FLAGS(%r11)
	ldmxcsr	.Lmxcsr_default(%rip)
	jmp	.Lcall_mxcsr_done
.Lcall_x87:
	/* fnstenv waits for nothing and masks all exceptions */
	fnstenv	REC_FENV(%r11)
	orl	$RECF_FENV, REC_FLAGS(%r11)
	fninit
	jmp	.Lcall_x87_done

.Lcall_scrub:
	cmpl	$SCRUB_SSE, lych_root_page+ROOT_SCRUB(%rip)
	je	1f
	scrub_avx512
	cmpl	$SCRUB_AMX, lych_root_page+ROOT_SCRUB(%rip)
	jne	.Lcall_go
	tilerelease
	jmp	.Lcall_go
1:	call	lych_scrub_other
	jmp	.Lcall_go

.Lcall_extra:
	/* free: rax, rcx, rdx; rsp may move, the record has it */
	testl	$BINDX_NARROW, BIND_EXTRA(%rbx)
	jz	5f
	movzbl	BIND_NARROW(%rbx), %eax
	test	$1, %al
	jz	1f
	mov	%edi, %edi
1:	test	$2, %al
	jz	1f
	mov	%esi, %esi
1:	test	$4, %al
	jz	1f
	mov	%r15d, %r15d
1:	test	$8, %al
	jz	1f
	mov	%r14d, %r14d
1:	test	$16, %al
	jz	1f
	mov	%r8d, %r8d
1:	test	$32, %al
	jz	5f
	mov	%r9d, %r9d
5:	movzwl	BIND_WORDS(%rbx), %ecx
	test	%ecx, %ecx
	jz	6f
	lea	(,%rcx,8), %rax
	sub	%rax, %r13
	and	$-16, %r13
	mov	DOM_SLOT(%r10), %eax
	mov	%gs:SLOT_LOW(%rax), %rax
	add	$1024, %rax
	cmp	%rax, %r13
	jb	.Lcall_no_stack
	testl	$RECF_WORDS, REC_FLAGS(%r11)
	jnz	6f
	mov	REC_ARGS_OFF(%r11), %edx
	add	REC_RSP(%r11), %rdx
1:	mov	-8(%rdx,%rcx,8), %rax
label V(lych_call_word) /* the stack of a thread of a library domain's own need not be there */
	mov	%rax, -8(%r13,%rcx,8)
	dec	%ecx
	jnz	1b
6:	testl	$BINDX_RESULT, BIND_EXTRA(%rbx)
	jz	7f
	orl	$RECF_RESULT, REC_FLAGS(%r11)
7:	mov	DOM_NOT_VIEW(%r10), %eax
	mov	%eax, %gs:GATE_NOT_VIEW
	xor	%r10d, %r10d
	testl	$BINDX_VARIADIC, BIND_EXTRA(%rbx)
	jz	8f
	movzbl	BIND_NVEC(%rbx), %r10d
8:	testl	$BINDX_VECTORS, BIND_EXTRA(%rbx)
	jz	9f
	sub	$(512 + 64), %rsp
	and	$-64, %rsp
	lea	64(%rsp), %rax
	mov	BIND_WIDTHS(%rbx), %edx
	call	lych_vectors_only
	jmp	.Lcall_scrubbed
9:	scrub_vectors
.Lcall_scrubbed:
	scrub_x87
	movzbl	BIND_SKIP(%rbx), %ebx
	lea	.Lcall_clear(%rip), %rax
	add	%rax, %rbx
	mov	REC_DOMAIN(%r11), %rcx
	mov	DOM_SLOT(%rcx), %ecx
	xor	%edx, %edx
	mov	%gs:GATE_NOT_VIEW, %eax
	jmp	.Lcall_fs

	/*
	 * rcx: the fs base of a library domain. With the selector at BLOCK, so that a signal takes the context for the domain's: when
	 * that goes on it gets this fs base, too (lych_resume).
	 */
.Lcall_library:
	movb	$SELECTOR_BLOCK, %gs:GATE_SELECTOR
	mov	%r13, %rsp
	wrfsbase %rcx
	xor	%ecx, %ecx
	jmp	.Lcall_w0
.Lcall_library_end:
	window	.Lcall_library, .Lcall_library_end, .Lcall_w1, FROM_R13

label V(lych_call_no_stack)
.Lcall_no_stack:
	views_back .Lno_stack_views, .Lno_stack_views_end
	mov	$-54, %eax /* -EXFULL */
	jmp	.Lcall_refused

	host_context_rare ret
	host_context_rare marked
.Lret_far_end:
	window	.Lret_flags, .Lret_far_end, .Lret_r0

.Lret_marked:
	cmpl	$KIND_CALL, REC_KIND(%r11)
	jne	.Ltrap
	host_context marked
.Lret_marked_end:
	testl	$RECF_RESULT, REC_FLAGS(%r11)
	jz	.Lret_modes
	mov	REC_BINDING(%r11), %rcx
	movzbl	BIND_RESULT(%rcx), %ecx
	cmp	$RESULT_ST0, %ecx
	jae	.Lret_long_double
.Lret_modes:
	testl	$RECF_FENV, REC_FLAGS(%r11)
	jnz	1f
	fnstcw	REC_ST0(%r11)
	cmpw	$FCW_DEFAULT, REC_ST0(%r11)
	jne	1f
	fnstsw	%ax
	test	%ax, %ax
	jnz	1f
	emms
	jmp	.Lret_mxcsr
1:	fnclex
	fninit
	testl	$RECF_FENV, REC_FLAGS(%r11)
	jz	.Lret_mxcsr
	fldenv	REC_FENV(%r11)
.Lret_mxcsr:
	testl	$RECF_MXCSR, REC_FLAGS(%r11)
	jnz	1f
	stmxcsr	REC_ST0(%r11)
	cmpl	$MXCSR_DEFAULT, REC_ST0(%r11)
	je	.Lret_modes_done
1:	load_mxcsr REC_MXCSR(%r11)
	jmp	.Lret_modes_done
.Lret_long_double:
	/* out, clean, in again. fnclex first: a store waits for pending exceptions. */
	fnclex
	movw	$FCW_DEFAULT, REC_FCW(%r11)
	fldcw	REC_FCW(%r11)
	fstpt	REC_ST0(%r11)
	cmp	$RESULT_ST0, %ecx
	je	3f
	fstpt	REC_ST1(%r11)
3:	fnclex
	fninit
	testl	$RECF_FENV, REC_FLAGS(%r11)
	jz	4f
	fldenv	REC_FENV(%r11)
4:	cmp	$RESULT_ST0, %ecx
	je	5f
	fldt	REC_ST1(%r11)
5:	fldt	REC_ST0(%r11)
	jmp	.Lret_mxcsr

#ifdef LYCH_SOFT
.Lret_leave:
	/* results in r8, r9, vectors, st: around a call of C */
	sub	$(512 + 64), %rsp
	and	$-64, %rsp
	mov	%rsp, %rax
	call	lych_vectors_save
	mov	%r8, 512(%rsp)
	mov	%r9, 520(%rsp)
	mov	%r11, 528(%rsp)
	mov	%r11, %rdi
	call	lych_gate_leave_soft
	mov	%rsp, %rax
	call	lych_vectors_load
	mov	512(%rsp), %r8
	mov	520(%rsp), %r9
	mov	528(%rsp), %r11
	mov	REC_RSP(%r11), %rsp
	jmp	.Lret_left
#endif

	.cfi_restore_state
	.cfi_remember_state
.Lcall_not_attached:
#ifndef LYCH_SOFT
	cmpl	$BACKEND_MPROTECT, lych_root_page+ROOT_BACKEND(%rip)
	je	lych_gate_soft
	cmpl	$BACKEND_NONE, lych_root_page+ROOT_BACKEND(%rip)
	je	lych_gate_none
#endif
	save_arguments
	xor	%edi, %edi
	xor	%esi, %esi
	call	lych_gate_slow
	restore_arguments
	test	%eax, %eax
	jz	.Lcall_again
	mov	HIDDEN_STATUS(%rsp), %rdx
	mov	%eax, (%rdx)
	xor	%eax, %eax
	xor	%edx, %edx
	ret
.Lcall_too_deep:
	save_arguments
	lea	8(%rbp), %rdi
	call	lych_gate_too_deep
	restore_arguments
	test	%eax, %eax
	jz	.Lcall_again
	mov	HIDDEN_STATUS(%rsp), %rdx
	mov	%eax, (%rdx)
	xor	%eax, %eax
	xor	%edx, %edx
	ret

	/* The record is on top, callee-saved registers are in it, arguments where they were. */
	cfi_record_r11
.Lcall_slow:
	push	%rdi
	push	%rsi
	push	%rdx
	push	%rcx
	push	%r8
	push	%r9
	mov	%rsp, %rbp
	sub	$(512 + 64), %rsp
	and	$-64, %rsp
	mov	%rsp, %rax
	call	lych_vectors_save
	mov	%r10, %rdi
	mov	%r11, %rsi
	mov	%r11, %r12
	/* what unwinders need while C may use r11 */
	.cfi_escape 0x0f, 5, 0x7c, REC_RSP, 0x06, 0x23, 8
	.cfi_escape 0x10, 3, 2, 0x7c, REC_RBX
	.cfi_escape 0x10, 6, 2, 0x7c, REC_RBP
	.cfi_escape 0x10, 12, 2, 0x7c, REC_R12
	.cfi_escape 0x10, 13, 3, 0x7c, REC_R13 | 0x80, 0
	.cfi_escape 0x10, 14, 3, 0x7c, REC_R14 | 0x80, 0
	.cfi_escape 0x10, 15, 3, 0x7c, REC_R15 | 0x80, 0
	call	lych_gate_slow
	mov	%r12, %r11
	cfi_record_r11
	mov	%eax, %r12d
	mov	%rsp, %rax
	call	lych_vectors_load
	mov	%r12d, %eax
	mov	%rbp, %rsp
	pop	%r9
	pop	%r8
	pop	%rcx
	pop	%rdx
	pop	%rsi
	pop	%rdi
	mov	REC_DOMAIN(%r11), %r10
	mov	REC_BINDING(%r11), %rbx
	mov	DOM_SLOT(%r10), %ebp
	test	%eax, %eax
	jz	.Lcall_ready

.Lcall_refused:
	/* eax the status; the record goes, nothing of the domain was run */
	mov	REC_RSP(%r11), %rsp
	restore_callee_saved
	mov	REC_STATUS(%r11), %rdx
	mov	REC_BINDING(%r11), %rcx
	mov	REC_ARGS_OFF(%r11), %r10d
	.cfi_restore_state
	.cfi_remember_state
	sub	$REC_SIZE, %r11
	mov	%r11, %gs:MON_TOP
	mov	%eax, (%rdx)
	cmp	$ARGS_OFF_POINTER, %r10d
	je	.Lfault_value
	xor	%eax, %eax
	xor	%edx, %edx
	ret

.Lfault_value:
	/* rcx the binding: the value its author named */
	mov	BIND_VALUES(%rcx), %rax
	mov	BIND_VALUES+8(%rcx), %rdx
	movq	BIND_VALUES+16(%rcx), %xmm0
	movq	BIND_VALUES+24(%rcx), %xmm1
	cmpb	$RESULT_ST0, BIND_RESULT(%rcx)
	jne	1f
	fldt	BIND_VALUES(%rcx)
1:	ret

/*
 * A call ends here that was ended from outside, by sigreturn (asm.h): eax the status, the record on top is its own,
 * rights, rsp and selector are the host's.
 */
label V(lych_abort)
	cfi_record_r11
	mov	%gs:MON_TOP, %r11
	mov	REC_RSP(%r11), %rsp
	ldmxcsr	REC_MXCSR(%r11)
	fninit
	testl	$RECF_FENV, REC_FLAGS(%r11)
	jz	1f
	fldenv	REC_FENV(%r11)
1:	restore_callee_saved
	views_back .Labort_views, .Labort_views_end
	mov	REC_STATUS(%r11), %rdx
	mov	REC_BINDING(%r11), %rcx
	mov	REC_ARGS_OFF(%r11), %r10d
	mov	REC_DOMAIN(%r11), %rdi
	.cfi_restore_state
	.cfi_remember_state
	sub	$40, %rsp
	.cfi_adjust_cfa_offset 40
	mov	%rdx, (%rsp)
	mov	%rcx, 8(%rsp)
	mov	%r10, 16(%rsp)
#ifdef LYCH_SOFT
	mov	%eax, 24(%rsp)
	mov	%rdi, 32(%rsp)
	testb	$1, REC_CALL_ID(%r11)
	jz	2f
	mov	%r11, %rdi
	call	lych_gate_leave_soft
2:	mov	24(%rsp), %eax
	mov	32(%rsp), %rdi
#endif
	mov	%eax, %esi
	call	lych_gate_failed /* and the record is gone */
	mov	(%rsp), %rdx
	mov	8(%rsp), %rcx
	mov	16(%rsp), %r10
	add	$40, %rsp
	.cfi_adjust_cfa_offset -40
	cmp	$ARGS_OFF_POINTER, %r10d
	je	.Lfault_value
	mov	%eax, (%rdx)
	xor	%eax, %eax
	xor	%edx, %edx
	ret
	.cfi_endproc
#ifdef LYCH_SOFT
function_end lych_gate_soft
#else
	.size lych_gate, . - lych_gate
#endif

/* ---- typed pointers ------------------------------------------------------------------------------ */

/*
 * r10d is the number of the thunk, everything else as the ABI has it for the declared function. A typed pointer has no
 * place for a status: where there is nothing to return (no such thunk, a thread that cannot attach) it traps.
 */
function V(lych_pointer_gate)
	.cfi_startproc
	cfi_no_exceptions
	next_record .Lpointer_again, .Lpointer_not_attached, .Lpointer_too_deep
	/* r10 is needed until the end: so it is on top before anything is in it but that it is none yet */
	movq	$KIND_NONE, REC_KIND(%r11)
	mov	%r11, %gs:MON_TOP
.Lpointer_mine:
	mov	%rsp, REC_RSP(%r11)
	save_callee_saved
	.cfi_remember_state
	cfi_record_r11
	restart	.Lpointer_again, .Lpointer_mine, .Lpointer_again
	shl	$5, %r10
	add	lych_root_page+ROOT_THUNKS(%rip), %r10
	mov	THUNK_BINDING(%r10), %rbx
	mov	THUNK_DOMAIN(%r10), %r10
	test	%r10, %r10
	jz	.Lhost_trap
	lea	REC_ST0(%r11), %r12 /* nobody asks for the status */
	movq	$ARGS_OFF_POINTER, REC_ARGS_OFF(%r11)
	mov	%r10, REC_DOMAIN(%r11)
	mov	%rbx, REC_BINDING(%r11)
	mov	%r12, REC_STATUS(%r11)
	movq	$0, REC_DEADLINE(%r11)
	movq	$KIND_CALL, REC_KIND(%r11)
	jmp	.Lcall_taken
	.cfi_restore_state
.Lpointer_too_deep:
	save_arguments
	lea	8(%rbp), %rdi
	call	lych_gate_too_deep
	restore_arguments
	test	%eax, %eax
	jz	.Lpointer_again
	mov	%r10d, %ecx
	shl	$5, %rcx
	add	lych_root_page+ROOT_THUNKS(%rip), %rcx
	mov	THUNK_BINDING(%rcx), %rcx
	test	%rcx, %rcx
	jnz	.Lfault_value
	ud2
.Lpointer_not_attached:
#ifndef LYCH_SOFT
	cmpl	$BACKEND_MPROTECT, lych_root_page+ROOT_BACKEND(%rip)
	je	lych_pointer_gate_soft
	cmpl	$BACKEND_NONE, lych_root_page+ROOT_BACKEND(%rip)
	je	lych_pointer_gate_none
#endif
	save_arguments
	xor	%edi, %edi
	xor	%esi, %esi
	call	lych_gate_slow
	restore_arguments
	test	%eax, %eax
	jz	.Lpointer_again
.Lhost_trap:
	ud2
	.cfi_endproc
function_end V(lych_pointer_gate)

#ifndef LYCH_SOFT
	.p2align 4
label lych_pointer_thunks
	.set	.Lindex, 0
	.rept	LYCH_THUNKS
	.cfi_startproc
	endbr64
	mov	$.Lindex, %r10d
	jmp	lych_pointer_gate_pku
	.p2align 4
	.cfi_endproc
	.set	.Lindex, .Lindex + 1
	.endr
#endif

/* ---- callbacks: from a domain to a function the host registered ------------------------------------ */

/*
 * r11d is the number of the entry; arguments as the ABI has them. Still in the domain's view: rdx, rcx and rsp wait in
 * registers that carry no argument.
 */
function V(lych_callback_gate)
	.cfi_startproc
	cfi_no_exceptions
	cfi_two_stacks
	movq	%rcx, %xmm14
	movq	%rdx, %xmm15
	mov	%rsp, %r10
	.cfi_def_cfa %r10, 8
.Lback_c0:
	load_view GATE_NOT_HOST
	site_gs	GATE_NOT_HOST
.Lback_granted:
	/* rule 3: rcx the record of the call that is running, rdx its domain. Nothing is written yet. */
	mov	%gs:MON_TOP, %rcx
	cmpl	$KIND_CALL, REC_KIND(%rcx)
	jne	.Ltrap
	cmp	%gs:MON_LIMIT, %rcx /* a call leaves room for this one */
	ja	.Ltrap
	mov	REC_DOMAIN(%rcx), %rdx
	cmp	DOM_NCALLBACKS(%rdx), %r11d
	jae	.Ltrap
	mov	%r11d, %eax
	shl	$5, %rax
	add	DOM_CALLBACKS(%rdx), %rax
	cmpq	$0, CB_FN(%rax)
	je	.Ltrap
	/* r10, rsp of the domain: in the free part of its stack, its arguments above it, room below it */
	mov	CB_BINDING(%rax), %rax
	movzwl	BIND_WORDS(%rax), %eax
	mov	DOM_SLOT(%rdx), %edx
	lea	8(%r10,%rax,8), %rax
	cmp	%gs:SLOT_TOP(%rdx), %rax
	ja	.Ltrap
	cmp	%gs:SLOT_SP(%rdx), %r10
	ja	.Ltrap
	lea	-512(%r10), %rax
	cmp	%r10, %rax
	ja	.Ltrap
	cmp	%gs:SLOT_LOW(%rdx), %rax
	jb	.Ltrap
	/* a stack of the host: below the frame that waits */
	mov	REC_RSP(%rcx), %rsp
	sub	$64, %rsp
	and	$-64, %rsp
	pushfq
	pop	%rax
	test	$FLAGS_HOSTILE, %eax
	jnz	.Lback_flags
.Lback_flags_done:
	rdfsbase %rax
	cmp	%gs:MON_HOST_FS, %rax
	jne	.Lback_fs
.Lback_fs_done:
	movb	$SELECTOR_ALLOW, %gs:GATE_SELECTOR
.Lback_c1:
	/* The host's context: the record of the callback. */
	mov	%r11d, %eax
	lea	REC_SIZE(%rcx), %r11
	movl	$KIND_NONE, REC_KIND(%r11)
	mov	%r11, %gs:MON_TOP
	mov	REC_DOMAIN(%rcx), %rdx
	shl	$5, %rax
	add	DOM_CALLBACKS(%rdx), %rax
	mov	%rdx, REC_DOMAIN(%r11)
	mov	%rax, REC_THUNK(%r11)
	mov	%r10, REC_RSP(%r11)
	save_callee_saved
	cfi_record_r11
	movq	$0, REC_ARGS_OFF(%r11)
	movq	$0, REC_DEADLINE(%r11)
	mov	CB_BINDING(%rax), %rbx
	mov	%rbx, REC_BINDING(%r11)
	mov	REC_CALL_ID(%rcx), %r12
	mov	%r12, REC_CALL_ID(%r11)
	mov	DOM_SLOT(%rdx), %ebp
	mov	%gs:SLOT_SP(%rbp), %r12
	mov	%r12, REC_SLOT_SP(%r11)
	movq	$KIND_CALLBACK, REC_KIND(%r11)
	/* a call into the same domain goes below what is there, its red zone included */
	mov	%r10, %r13
	lea	-256(%r13), %r12
	and	$-16, %r12
	mov	%r12, %gs:SLOT_SP(%rbp)
	/* what the domain left in the control words is the domain's; the host gets its caller's */
	stmxcsr	REC_MXCSR(%r11)
	mov	REC_MXCSR(%r11), %r12d
	cmp	REC_MXCSR(%rcx), %r12d
	jne	.Lback_mxcsr
.Lback_mxcsr_done:
	mov	CB_FN(%rax), %r12
	fnstcw	REC_FCW(%r11)
	cmpw	$FCW_DEFAULT, REC_FCW(%r11)
	jne	.Lback_x87
	testl	$RECF_FENV, REC_FLAGS(%rcx)
	jnz	.Lback_x87
	fnstsw	%ax
	test	%ax, %ax
	jnz	.Lback_x87
	emms
.Lback_x87_done:
	movzwl	BIND_WORDS(%rbx), %ecx
	test	%ecx, %ecx
	jz	3f
	/* stack words: read from the domain's stack once */
	lea	(,%rcx,8), %rdx
	sub	%rdx, %rsp
	and	$-16, %rsp
label V(lych_callback_word)
2:	mov	(%r13,%rcx,8), %rdx
	mov	%rdx, -8(%rsp,%rcx,8)
	dec	%ecx
	jnz	2b
3:
#ifdef LYCH_SOFT
	testb	$1, REC_CALL_ID(%r11)
	jnz	.Lback_leave
.Lback_left:
#endif
	movq	%xmm15, %rdx
	movq	%xmm14, %rcx
	xor	%eax, %eax
	mov	%r12, %r10
	xor	%ebx, %ebx
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	mov	%r11, %rbp /* for unwinders: the record itself */
	.cfi_escape 0x0f, 5, 0x76, REC_RSP, 0x06, 0x23, 8
	.cfi_escape 0x10, 3, 2, 0x76, REC_RBX
	.cfi_escape 0x10, 6, 2, 0x76, REC_RBP
	.cfi_escape 0x10, 12, 2, 0x76, REC_R12
	.cfi_escape 0x10, 13, 3, 0x76, REC_R13 | 0x80, 0
	.cfi_escape 0x10, 14, 3, 0x76, REC_R14 | 0x80, 0
	.cfi_escape 0x10, 15, 3, 0x76, REC_R15 | 0x80, 0
	call	*%r10
label V(lych_callback_returns)
	mov	%gs:MON_TOP, %r11
	cfi_record_r11
	cmpl	$KIND_CALLBACK, REC_KIND(%r11)
	jne	.Lback_host_trap
	cmp	%r11, %rbp /* that of another callback, which was left by longjmp? */
	jne	.Lback_host_trap
	mov	REC_DOMAIN(%r11), %r10
	mov	%rax, %r8
	mov	%rdx, %r9
	/* poisoned, reset or canceled meanwhile? */
	mov	DOM_ID(%r10), %rax
	cmp	REC_CALL_ID(%r11), %rax
	jne	.Lback_refused
	cmpl	$0, REC_CANCEL-REC_SIZE(%r11)
	jne	.Lback_refused
#ifdef LYCH_SOFT
	testb	$1, REC_CALL_ID(%r11)
	jnz	.Lback_enter
.Lback_entered:
#endif
	/* rule 6: only the result goes back, and of its registers what is the result in them */
	mov	REC_BINDING(%r11), %rcx
	and	BIND_VALUES(%rcx), %r8
	and	BIND_VALUES+8(%rcx), %r9
	cmpb	$RESULT_GPR, BIND_RESULT(%rcx)
	jne	.Lback_result
	scrub_vectors
	fnstsw	%ax
	test	%ax, %ax
	jnz	.Lback_clear
.Lback_cleared:
	scrub_x87
.Lback_result_done:
	/* the domain's own modes; scratch: REC_ST0 */
	stmxcsr	REC_ST0(%r11)
	mov	REC_ST0(%r11), %ecx
	cmp	REC_MXCSR(%r11), %ecx
	jne	.Lback_domain_mxcsr
.Lback_domain_mxcsr_done:
	fnstcw	REC_ST0(%r11)
	movzwl	REC_ST0(%r11), %ecx
	cmp	REC_FCW(%r11), %cx
	jne	.Lback_domain_fcw
.Lback_domain_fcw_done:
	/* the domain's frames are in use from r10 on: a handler that interrupts this is told by that (signal_host.c) */
	mov	DOM_SLOT(%r10), %eax
	mov	REC_RSP(%r11), %r10
	mov	REC_SLOT_SP(%r11), %rcx
	mov	%rcx, %gs:SLOT_SP(%rax)
	mov	%gs:SLOT_FS(%rax), %rdi
	restore_callee_saved
	.cfi_same_value %rbx
	.cfi_same_value %rbp
	.cfi_same_value %r12
	.cfi_same_value %r13
	.cfi_same_value %r14
	.cfi_same_value %r15
	.cfi_def_cfa %r10, 8
	sub	$REC_SIZE, %r11
	mov	%r11, %gs:MON_TOP
	xor	%r11d, %r11d
	xor	%esi, %esi
	xor	%ecx, %ecx
	xor	%edx, %edx
	cld
.Lback_w0:
	movb	$SELECTOR_BLOCK, %gs:GATE_SELECTOR
	mov	%r10, %rsp
	test	%rdi, %rdi
	jz	1f
	wrfsbase %rdi /* the domain's own: it may stay in rdi where a signal has moved rip on */
	xor	%edi, %edi
1:	mov	%gs:GATE_NOT_VIEW, %eax
	not	%eax
	site_gs	GATE_NOT_VIEW
.Lback_w1:
	.cfi_def_cfa %rsp, 8
	mov	%r8, %rax
	mov	%r9, %rdx
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	ret

	window	.Lback_c0, .Lback_c1, .Lback_c0
	window	.Lback_w0, .Lback_w1, .Lback_w1, FROM_R10

.Lback_flags:
	andq	$~FLAGS_HOSTILE, %rax
	push	%rax
	popfq
	jmp	.Lback_flags_done
.Lback_fs:
	mov	%gs:MON_HOST_FS, %rax
	wrfsbase %rax
	jmp	.Lback_fs_done
.Lback_far_end:
	window	.Lback_flags, .Lback_far_end, .Lback_c0
	cfi_record_r11
.Lback_mxcsr:
	load_mxcsr REC_MXCSR(%rcx)
	jmp	.Lback_mxcsr_done
.Lback_x87:
	fnclex
	fninit
	testl	$RECF_FENV, REC_FLAGS(%rcx)
	jz	.Lback_x87_done
	fldenv	REC_FENV(%rcx)
	jmp	.Lback_x87_done
.Lback_clear:
	fnclex
	fninit
	jmp	.Lback_cleared
.Lback_domain_mxcsr:
	load_mxcsr REC_MXCSR(%r11)
	jmp	.Lback_domain_mxcsr_done
.Lback_domain_fcw:
	fldcw	REC_FCW(%r11)
	jmp	.Lback_domain_fcw_done
.Lback_result:
	sub	$96, %rsp
	movzbl	BIND_RESULT(%rcx), %eax
	cmp	$RESULT_ST0, %eax
	jae	5f
	cmp	$RESULT_YMM, %eax
	ja	3f
	je	1f
	movups	%xmm0, (%rsp)
	movq	%xmm1, 16(%rsp)
	jmp	2f
1:	vmovups	%ymm0, (%rsp)
2:	fnclex
	fninit
	scrub_vectors
	scrub_x87
	cmpb	$RESULT_YMM, BIND_RESULT(%rcx)
	je	4f
	cmpb	$4, BIND_WIDTH(%rcx)
	je	1f
	mov	BIND_VALUES+16(%rcx), %rax
	and	%rax, (%rsp)
	movq	(%rsp), %xmm0
	mov	BIND_VALUES+24(%rcx), %rax
	and	%rax, 16(%rsp)
	movq	16(%rsp), %xmm1
	jmp	8f
1:	movups	(%rsp), %xmm0
	jmp	8f
3:	vmovups	%zmm0, (%rsp)
	fnclex
	fninit
	scrub_vectors
	scrub_x87
	vmovups	(%rsp), %zmm0
	jmp	8f
4:	vmovups	(%rsp), %ymm0
	jmp	8f
5:	fstpt	(%rsp)
	je	6f
	fstpt	16(%rsp)
6:	fnclex
	fninit
	scrub_vectors
	scrub_x87
	cmpb	$RESULT_ST0, BIND_RESULT(%rcx)
	je	7f
	fldt	16(%rsp)
7:	fldt	(%rsp)
8:	add	$96, %rsp
	jmp	.Lback_result_done
#ifdef LYCH_SOFT
	/* rdi, rsi, r8, r9 and vectors carry arguments; r10 to r12, rbx, rbp are in use */
.Lback_leave:
	mov	%rsp, %r13
	sub	$(512 + 64), %rsp
	and	$-64, %rsp
	mov	%rsp, %rax
	call	lych_vectors_save
	lea	-128(%rsp), %rsp
	movups	%xmm14, (%rsp)
	movups	%xmm15, 16(%rsp)
	mov	%rdi, 32(%rsp)
	mov	%rsi, 40(%rsp)
	mov	%r8, 48(%rsp)
	mov	%r9, 56(%rsp)
	mov	%r11, 64(%rsp)
	lea	-REC_SIZE(%r11), %rdi
	call	lych_gate_leave_soft
	movups	(%rsp), %xmm14
	movups	16(%rsp), %xmm15
	mov	32(%rsp), %rdi
	mov	40(%rsp), %rsi
	mov	48(%rsp), %r8
	mov	56(%rsp), %r9
	mov	64(%rsp), %r11
	lea	128(%rsp), %rax
	call	lych_vectors_load
	mov	%r13, %rsp
	jmp	.Lback_left
.Lback_enter:
	mov	%rsp, %rbx
	sub	$(512 + 64), %rsp
	and	$-64, %rsp
	mov	%rsp, %rax
	call	lych_vectors_save
	lea	-64(%rsp), %rsp
	mov	%r8, (%rsp)
	mov	%r9, 8(%rsp)
	mov	%r10, 16(%rsp)
	mov	%r11, 24(%rsp)
	lea	-REC_SIZE(%r11), %rdi
	call	lych_gate_enter_soft
	mov	(%rsp), %r8
	mov	8(%rsp), %r9
	mov	16(%rsp), %r10
	mov	24(%rsp), %r11
	test	%eax, %eax
	jnz	.Lback_refused
	lea	64(%rsp), %rax
	call	lych_vectors_load
	mov	%rbx, %rsp
	jmp	.Lback_entered
#endif
.Lback_refused:
	mov	REC_DOMAIN(%r11), %r10
	mov	DOM_SLOT(%r10), %eax
	mov	REC_SLOT_SP(%r11), %rcx
	mov	%rcx, %gs:SLOT_SP(%rax)
	sub	$REC_SIZE, %r11
	mov	%r11, %gs:MON_TOP
	mov	REC_RSP(%r11), %rsp
	sub	$64, %rsp
	and	$-64, %rsp
	mov	%r11, %rdi
	call	lych_callback_refused
	jmp	V(lych_abort)
.Lback_host_trap:
	/* the host came back here with another record on top: it left a frame by longjmp */
	ud2
	.cfi_endproc
function_end V(lych_callback_gate)

	.p2align 4
label V(lych_callback_thunks)
	.set	.Lindex, 0
	.rept	LYCH_CALLBACK_THUNKS
	.cfi_startproc
	endbr64
	mov	$.Lindex, %r11d
	jmp	V(lych_callback_gate)
	.p2align 4
	.cfi_endproc
	.set	.Lindex, .Lindex + 1
	.endr

/* ---- signals ------------------------------------------------------------------------------------------ */

/*
 * Every handler of the process. The kernel has given the initial rights (key 0 only), rsp below a frame, and blocked
 * all signals; whoever jumps here has none of that.
 */
function V(lych_signal_entry)
	.cfi_startproc
	.cfi_signal_frame
	.cfi_undefined %rip
	endbr64
	/*
	 * On an alternate stack of ours? If not, the thread is not attached (a new one has its creator's gs, but no
	 * alternate stack), and nothing is granted. gs itself may have been set to 0 by a domain: trapped below.
	 */
	mov	%rsp, %rax
	sub	lych_root_page+ROOT_STACKS(%rip), %rax
	cmp	lych_root_page+ROOT_STACKS_SIZE(%rip), %rax
	jae	.Lsignal_unattached
	mov	%rdx, %r10
	mov	%edi, %ebp /* which signal: by the kernel, not by what lies in memory */
#ifndef LYCH_SOFT
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	site_imm 0, 0, 0, 0, 0
#elif defined(LYCH_SITE_INSN)
	LYCH_SITE_INSN
#endif
	/* rule 3. Everything is open; nothing is believed: gs must be an area that names itself. */
	rdgsbase %r8
	mov	%r8, %rcx
	sub	lych_root_page+ROOT_ARENA(%rip), %rcx
	cmp	lych_root_page+ROOT_ARENA_SIZE(%rip), %rcx
	jae	.Lsignal_no_gs
	cmp	%gs:SELF, %r8
	jne	.Lsignal_wiped
	/* A new thread has its parent's gs until it attaches, but not its stack for signals. */
	mov	%rsp, %rcx
	sub	%gs:MON_ALTSTACK, %rcx
	cmp	%gs:MON_ALTSTACK_BYTES, %rcx
	jae	.Ltrap
	/* The frame lies where the kernel must have put it, and is taken once. */
	mov	%gs:MON_SIG_RSP, %r9
	test	%r9, %r9
	jz	1f
	cmp	%rsp, %r9
	jne	.Ltrap
	take_frame %r9
	movzbl	%gs:GATE_SELECTOR, %edx
	movb	$SELECTOR_ALLOW, %gs:GATE_SELECTOR
	jmp	2f
	/*
	 * Where the frame cannot be told from a forged one, the kernel's mask can: it blocks all signals before it
	 * comes here, and a domain cannot. What interrupts this before they are blocked finds rip in here, which never
	 * happens otherwise: lych_signal takes it for what it is.
	 */
1:	mov	%rsp, %r9
	movzbl	%gs:GATE_SELECTOR, %ebx
	movb	$SELECTOR_ALLOW, %gs:GATE_SELECTOR
	mov	$14, %eax /* rt_sigprocmask(SIG_BLOCK, all, MON_SCRATCH) */
	xor	%edi, %edi
	lea	.Lall_signals(%rip), %rsi
	lea	MON_SCRATCH(%r8), %rdx
	mov	$8, %r10d
	syscall
	mov	%ebx, %edx
	movabs	$0xfffffffffffbfeff, %rcx /* all but SIGKILL and SIGSTOP */
	cmp	%gs:MON_SCRATCH, %rcx
	je	2f
	or	$SELECTOR_FORGED, %edx
	jmp	2f
.Lsignal_no_gs:
	/*
	 * A domain has loaded a flat selector, and the base is 0. Where alternate stacks lie in the areas, rsp names
	 * the area; that it is this thread's says the frame: only the kernel writes one there, for the thread that
	 * has the stack, and it is taken once. Nothing is written before that. Elsewhere the process ends.
	 */
	test	%r8, %r8
	jnz	.Ltrap
	mov	lych_root_page+ROOT_ARENA(%rip), %rcx
	cmp	lych_root_page+ROOT_STACKS(%rip), %rcx
	jne	.Ltrap
	mov	%rsp, %r8
	and	$-AREA_SIZE, %r8
	neg	%rcx
	add	%r8, %rcx
	cmp	lych_root_page+ROOT_ARENA_SIZE(%rip), %rcx
	jae	.Ltrap
	cmp	SELF(%r8), %r8
	jne	.Ltrap
	cmp	MON_SIG_RSP(%r8), %rsp
	jne	.Ltrap
	take_frame %rsp
	movzbl	GATE_SELECTOR(%r8), %ebx
	movb	$SELECTOR_ALLOW, GATE_SELECTOR(%r8)
	mov	$158, %eax /* arch_prctl(ARCH_SET_GS) */
	mov	$0x1001, %edi
	mov	%r8, %rsi
	syscall
	mov	%rsp, %r9
	mov	%ebx, %edx
2:
	mov	%gs:MON_HOST_FS, %rcx
	wrfsbase %rcx
	movl	$0, %gs:GATE_NOT_WANT
	mov	%gs:MON_SIG_STACK, %rsp
	pushq	$2
	popfq
	mov	%r8, %rdi
	mov	%r9, %rsi
	mov	%ebp, %ecx
	xor	%ebp, %ebp
	call	lych_signal
	ud2
.Lsignal_wiped:
	/* The child of a bare fork: its page is zero. Its stack is the monitor's, so it keeps the rights to it; no
	 * domain runs in it any more, and no gate. */
	cmpq	$0, %gs:GATE_MAGIC
	jne	.Ltrap
	mov	%r10, %rdx
.Lsignal_unattached:
	jmp	lych_signal_unattached
	.cfi_endproc
label V(lych_signal_entry_end)
function_end V(lych_signal_entry)

/* _Noreturn void lych_handler_run(const struct handler_run *run) */
function V(lych_handler_run)
	.cfi_startproc
	.cfi_signal_frame
	.cfi_undefined %rip
	endbr64
	mov	RUN_HANDLER(%rdi), %r12
	mov	RUN_SIG(%rdi), %r13
	mov	RUN_INFO(%rdi), %r14
	mov	RUN_CONTEXT(%rdi), %r15
	mov	RUN_RSP(%rdi), %rbp
	mov	RUN_MASK(%rdi), %rbx
	load_view GATE_NOT_HOST
	site_gs	GATE_NOT_HOST
	/* With a domain's registers nothing can be done here: rbp and rbx are its own, and so are the rights, for
	 * the next system call of a domain ends in the monitor. (rule 3) */
	mov	%rbp, %rsp
	mov	$14, %eax /* rt_sigprocmask(SIG_SETMASK, mask) */
	mov	$2, %edi
	mov	%rbx, %rsi
	xor	%edx, %edx
	mov	$8, %r10d
	syscall
	mov	%r13, %rdi
	mov	%r14, %rsi
	mov	%r15, %rdx
	xor	%eax, %eax
	xor	%ebp, %ebp
	/* Whoever unwinds a handler comes to what it shows: r15 is the context, struct kernel_ucontext. */
	cfi_context 15
	call	*%r12
	.cfi_undefined %rip
	cld
	mov	$14, %eax
	mov	$2, %edi
	lea	.Lall_signals(%rip), %rsi
	xor	%edx, %edx
	mov	$8, %r10d
	syscall
	mov	%rsp, %rsi
	mov	%gs:MON_SIG_STACK, %rsp
	rdgsbase %rdi
	call	lych_signal_done
	ud2
	.cfi_endproc
function_end V(lych_handler_run)

/* rax the resume block, in memory of the domain; rdx the fs base, 0: it stays. See asm.h. */
function V(lych_resume)
	.cfi_startproc
	.cfi_signal_frame
	.cfi_undefined %rip
	movb	$SELECTOR_BLOCK, %gs:GATE_SELECTOR
	mov	%rax, %rsp
	test	%rdx, %rdx
	jz	1f
	wrfsbase %rdx
1:
	load_view GATE_NOT_VIEW
	site_gs	GATE_NOT_VIEW
	pop	%rcx
	pop	%rdx
	pop	%rax
	iretq
	.cfi_endproc
#ifdef LYCH_SOFT
label lych_resume_soft_end
#else
label lych_resume_pku_end
#endif
function_end V(lych_resume)

#ifndef LYCH_SOFT
/* ---- a system call with a domain's rights ------------------------------------------------------------------- */

/*
 * long lych_view_call(const long call[7]): as the host, which has its rights again behind it; long lych_view_call_monitor:
 * with all rights and signals blocked, as lych_signal runs. What says that no domain has jumped to the second write is
 * the selector: it is BLOCK as long as code of a domain runs (rule 4). Nothing lies between the two that needs memory.
 */
.macro view_call name:req
function \name
	.cfi_startproc
	endbr64
	push	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	push	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	mov	(%rdi), %rbx
	mov	16(%rdi), %rsi
	mov	24(%rdi), %r12
	mov	32(%rdi), %r10
	mov	40(%rdi), %r8
	mov	48(%rdi), %r9
	mov	8(%rdi), %rdi
label \name\()_narrow
	load_view GATE_NOT_VIEW
	site_gs	GATE_NOT_VIEW
.Ld1_\name:
	mov	%r12, %rdx
	mov	%rbx, %rax
	syscall
	mov	%rax, %rbx
.Lh0_\name:
.ifc \name, lych_view_call
	load_view GATE_NOT_HOST
	site_gs	GATE_NOT_HOST
.else
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	site_imm 0, 0, 0, 0, 0
.endif
label \name\()_narrow_end
	cmpb	$SELECTOR_ALLOW, %gs:GATE_SELECTOR
	jne	.Ltrap
	mov	%rbx, %rax
	pop	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	ret
	restart	\name\()_narrow, .Ld1_\name, \name\()_narrow
	restart	.Lh0_\name, \name\()_narrow_end, .Lh0_\name
	.cfi_endproc
function_end \name
.endm

	view_call lych_view_call
	view_call lych_view_call_monitor
#endif

/* ---- rights of the host: regions, attaching --------------------------------------------------------------- */

/*
 * uint32_t lych_pkru_update(uint32_t clear, uint32_t set)
 * int64_t lych_pkru_choose(uint32_t clear, uint32_t set, const uint32_t *ours)
 *
 * r10 where the bits stand that must not be in edi, r11d those that GATE_NOT_HOST follows in. Whoever makes a key the
 * runtime's writes *ours first, and then kicks every thread: what has not written PKRU by then starts again, and sees it.
 */
function V(lych_pkru_choose)
	.cfi_startproc
	endbr64
	mov	%rdx, %r10
	mov	%edi, %r11d
	jmp	.Lupdate_p0
	.cfi_endproc
function_end V(lych_pkru_choose)

function V(lych_pkru_update)
	.cfi_startproc
	endbr64
	lea	.Lnone(%rip), %r10
	xor	%r11d, %r11d
.Lupdate_p0:
	test	%edi, (%r10)
	jnz	.Lupdate_refused
	test	%r11d, %r11d
	jz	1f
	mov	%r11d, %r9d
	and	%esi, %r9d
	not	%r9d
	mov	%gs:GATE_NOT_HOST, %eax
	or	%r11d, %eax
	and	%r9d, %eax
	mov	%eax, %gs:GATE_NOT_HOST
1:	xor	%ecx, %ecx
	read_pkru
	mov	%eax, %r8d
	mov	%edi, %r9d
	not	%r9d
	and	%r9d, %eax
	or	%esi, %eax
	mov	%eax, %r9d
	not	%r9d
	mov	%r9d, %gs:GATE_NOT_WANT
	write_pkru
.Lupdate_p1:
	not	%eax
	cmp	%gs:GATE_NOT_WANT, %eax
	jne	.Ltrap
	site_note .Lupdate_p1, LYCH_SITE_GS, 10, 0xf7, 0xd0, 0x65, 0x3b, 0x04, 0x25, GATE_NOT_WANT, 0, 0, 0
	movl	$0, %gs:GATE_NOT_WANT
.Lupdate_p2:
	mov	%r8d, %eax
	ret
.Lupdate_refused:
	mov	$-1, %rax
	ret
	restart	.Lupdate_p0, .Lupdate_p1, .Lupdate_p0
	restart	.Lupdate_p1, .Lupdate_p2, .Lupdate_p2
	.cfi_endproc
function_end V(lych_pkru_update)

/* uint32_t lych_pkru_read(void) */
function V(lych_pkru_read)
	.cfi_startproc
	endbr64
	xor	%ecx, %ecx
	read_pkru
	ret
	.cfi_endproc
function_end V(lych_pkru_read)

#ifndef LYCH_SOFT
/* void lych_grant_first(void): see asm.h. getppid is the question whether this is a domain. */
function lych_grant_first_pku
	.cfi_startproc
	endbr64
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	site_imm 0, 0, 0, 0, 0
	mov	$110, %eax
	syscall
	ret
	.cfi_endproc
function_end lych_grant_first_pku

/* long lych_restore_ask(uint32_t clear, uint32_t set, bool chosen): the handler of a thread that is not attached knows
 * this place, reads these registers and sets rax (strangers.c). No site could do it: the gate key is denied in what is
 * to be restored, and so is %gs memory. */
function lych_restore_ask
	.cfi_startproc
	endbr64
label lych_restore_trap
	ud2
	ret
	.cfi_endproc
function_end lych_restore_ask
#endif

/* ---- the end of whoever forged something -------------------------------------------------------------------- */

#ifndef LYCH_SOFT
	.globl lych_traps
	.hidden lych_traps
lych_traps:
#endif
.Ltrap:
	ud2
#ifndef LYCH_SOFT
	.globl lych_traps_end
	.hidden lych_traps_end
lych_traps_end:
#else
	.globl lych_traps_soft, lych_traps_soft_end
	.hidden lych_traps_soft, lych_traps_soft_end
	.set	lych_traps_soft, .Ltrap
lych_traps_soft_end:
#endif
	ud2

#ifdef LYCH_SOFT
label lych_gate_soft_text_end
#else
label lych_gate_text_end
	.p2align 12
label lych_gate_pages_end
#endif
#if !defined(LYCH_SOFT) && !defined(LYCH_SITE_INSN)
	.pushsection LYCH_NOTE_SECTION, "a", @note
	.p2align 2
label lych_note_end
	.popsection
#endif
	.section .note.GNU-stack, "", @progbits
