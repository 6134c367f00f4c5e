/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What assembly and C agree on: offsets, sizes, states. Usable from both; gate/core/root.c proves each offset
 * against the C structs, so that a wrong number does not compile.
 */
#ifndef LYCH_GATE_ASM_H
#define LYCH_GATE_ASM_H

/*
 * The area of a thread. gs base points at its first byte.
 *
 *	page 0      the gate page: everybody reads, only the monitor writes (the gate key)
 *	pages 1..3  the monitor page(s): header, then the frame records (the monitor key)
 *	then        signal frames put aside, the monitor's stack, the alternate stack (the monitor key,
 *	            inaccessible pages between); where they are is in the monitor header
 *
 * Areas are aligned to their size, so that the alternate stack's position names the area.
 */
#define LYCH_PAGE 4096
#define AREA_SHIFT 18
#define AREA_SIZE (1 << AREA_SHIFT)
/* Offsets of the rest; the pages between are inaccessible. */
#define AREA_STACK_LOW 0x5000 /* the monitor's stack */
#define AREA_STACK_TOP 0xc000
#define AREA_SIGNALS 0xd000 /* from here on signals_attach divides: alternate stack, levels */

/*
 * The gate page. Views are kept complemented: what an all-zero page holds means "everything denied".
 */
#define GATE_SELECTOR 0   /* u8: SELECTOR_*; the kernel reads it (Syscall User Dispatch) */
#define GATE_NOT_VIEW 8   /* u32: view of the domain on top; sites that drop rights compare with it */
#define GATE_NOT_CALLER 12 /* u32: view of the one who called it; the return site compares with it */
#define GATE_NOT_HOST 16  /* u32: view for callbacks and host signal handlers: regions closed */
#define GATE_NOT_WANT 20  /* u32: what pkru_update is about to write; else 0 (denies everything) */
#define GATE_SELF 24      /* u64: address of this page. 0 in a child until it is rebuilt */
#define GATE_MAGIC 32     /* u64: GATE_MAGIC_VALUE */
#define GATE_SELF_SOFT 48 /* u64: GATE_SELF of the _soft instance; the other one is 0 */
#define GATE_SOFT 40      /* u32: stands for PKRU where there is none (the mprotect backend, native tests) */

#define GATE_MAGIC_VALUE 0x6c79636867617465 /* "lychgate" */

/* The selector is also the phase: BLOCK from before rights are dropped until after they are back. A
 * signal's context is a domain's exactly when it is BLOCK: this the monitor wrote, unlike the frame. */
#define SELECTOR_ALLOW 0
#define SELECTOR_BLOCK 1
#define SELECTOR_FORGED 2 /* or'ed to what lych_signal gets: no signal was delivered, a domain jumped to the entry */

/* The monitor page, gs-relative. Its first 64 bytes are not used: at the distance of a page from the gate page's,
 * loads of the one would wait for stores to the other. */
#define MON 4096
#define MON_TOP (MON + 64)       /* u64: the top frame record */
#define MON_LIMIT (MON + 72)     /* u64: the last one a call may be: behind it there is room for its callback */
#define MON_HOST_FS (MON + 80)   /* u64: the thread's own fs base */
#define MON_SCRATCH (MON + 88)   /* 8 bytes the gate may use within one instruction sequence */
#define MON_SIG_STACK (MON + 96) /* u64: top of the monitor's stack */
#define MON_SIG_RSP (MON + 104)  /* u64: rsp the kernel must give a handler; 0: not fixed (old kernels) */
#define MON_AREA_END (MON + 112) /* u64 */
#define MON_SLOTS (MON + 128)    /* struct slot[16], by key */
#define SLOT_SIZE 40
#define SLOT_SP 0   /* u64: where that domain's next frame starts on its stack: 16-byte aligned, 16 bytes free */
#define SLOT_ID 8   /* u64: id of the domain the stack belongs to, or SLOT_NOBODY */
#define SLOT_LOW 16 /* u64: lowest address of the stack */
#define SLOT_TOP 24 /* u64: its end */
#define SLOT_FS 32  /* u64: fs base while this thread runs in it; 0: the host's own */
#define SLOT_NOBODY (~0ull) /* what no domain has; 0 is what one has that is closed, which the gate must tell from it */
#define MON_TID (MON + 776)            /* u32 */
#define MON_ALTSTACK (MON + 808)       /* u64: lowest address of the kernel's stack for signals */
#define MON_ALTSTACK_BYTES (MON + 816) /* u64 */
#define MON_RECORDS (MON + 1024)

/* Frame records: what is needed to come back, and nowhere else. */
#define REC_SIZE 256
#define REC_KIND 0     /* u32: KIND_* */
#define REC_FLAGS 4    /* u32: RECF_* */
#define REC_DOMAIN 8   /* struct lych_domain * */
#define REC_BINDING 16 /* const struct lych_binding * */
#define REC_STATUS 24  /* int *: where the caller wants the status; NULL for a typed pointer */
#define REC_RSP 32     /* CALL: the caller's rsp, at the return address. CALLBACK: the domain's */
#define REC_RBX 40
#define REC_RBP 48
#define REC_R12 56
#define REC_R13 64
#define REC_R14 72
#define REC_R15 80
#define REC_FS 88
#define REC_VIEWS 96 /* GATE_NOT_VIEW and GATE_NOT_CALLER as they were before (8 bytes) */
#define REC_MXCSR 104
#define REC_FCW 108
#define REC_FSW 110
#define REC_SLOT_SP 112 /* CALLBACK: SLOT_SP of the domain before; CALL: rsp of the domain where it begins and returns */
#define REC_CALL_ID 120 /* id the domain had when it was entered */
#define REC_FENV 128    /* 28 bytes of fnstenv, when RECF_FENV */
#define REC_ST0 160     /* 16 bytes: a long double on its way */
#define REC_DEADLINE 176 /* u64: CLOCK_MONOTONIC ns; 0: none */
#define REC_ARGS_OFF 184 /* u32: distance from REC_RSP to the first stack argument */
#define ARGS_OFF_POINTER 8 /* called through a typed pointer: a fault gives the binding's value */
#define REC_CANCEL 188   /* i32: negative errno the call shall end with; written by its own thread, in C */
#define REC_ST1 208      /* 16 bytes: the second one of a complex long double */
#define REC_THUNK 192    /* CALLBACK: its struct lych_callback_entry * */

/* Not small numbers: a record half written or zero must not look like one. */
#define KIND_NONE 0x0
#define KIND_BOTTOM 0x626f7474
#define KIND_CALL 0x63616c6c
#define KIND_CALLBACK 0x6261636b

/* None of them in a record: nothing but the common way back is needed. */
#define RECF_FENV 1    /* REC_FENV holds the caller's x87 environment */
#define RECF_RESULT 2  /* the result is not in general registers alone */
#define RECF_MXCSR 4 /* REC_MXCSR is not the default */
#define RECF_WORDS 8   /* the stack words lie on the domain's stack already (lych_gate_slow put them there) */

/* struct lych_domain, the part the gate reads. */
#define DOM_ID 0        /* u64: 0 poisoned or free; odd: always by the slow way, so slot.id is never odd */
#define DOM_SLOT 8      /* u32: MON_SLOTS + key * SLOT_SIZE */
#define DOM_NOT_VIEW 12 /* u32 */
#define DOM_CALLBACKS 16 /* struct lych_callback_entry * */
#define DOM_NCALLBACKS 24 /* u32 */
#define DOM_KEY 28        /* u32 */

/* struct lych_callback_entry, in monitor memory. */
#define CB_SIZE 32
#define CB_FN 0      /* 0: not registered */
#define CB_BINDING 8
#define CB_CTX 16

/* struct lych_binding (lychgate/gate.h), read-only memory of the program. */
#define BIND_FN 0      /* the function */
#define BIND_EXTRA 8   /* u32: 0 when nothing of the rest but SKIP matters; else BINDX_* */
#define BIND_SKIP 12   /* u8: offset into the register clearing code, from the number of registers used */
#define BIND_NGPR 13   /* u8: integer argument registers used, 0..6 */
#define BIND_NVEC 14   /* u8: vector argument registers used, 0..8 */
#define BIND_RESULT 15 /* u8: RESULT_* */
#define BIND_WORDS 16  /* u16: stack words */
#define BIND_NARROW 18 /* u8: bit i: integer register i carries 32 bits or less */
#define BIND_ALIGN 19  /* u8: log2 of the stack arguments' alignment, 4..6 */
#define BIND_WIDTHS 20 /* u32: 4 bits for each vector register: log2 of the bytes it carries, 2..6 */
#define BIND_VALUES 24 /* 32 bytes, of rax, rdx and the low 8 of xmm0 and xmm1: what a typed pointer returns on a fault; which
			  bits of a callback's are its result */
#define BIND_WIDTH 68  /* u8: log2 of the bytes of a result in xmm0 */

#define BINDX_WORDS 1
#define BINDX_VECTORS 2
#define BINDX_NARROW 4
#define BINDX_RESULT 8 /* the result is not in general registers alone */
#define BINDX_VARIADIC 16

#define RESULT_GPR 0 /* rax, rdx, or none */
#define RESULT_XMM 1 /* any of rax, rdx, xmm0, xmm1 */
#define RESULT_YMM 2
#define RESULT_ZMM 3
#define RESULT_ST0 4 /* long double */
#define RESULT_ST1 5 /* complex long double */

/* struct lych_hidden (lychgate/gate.h): by value, class MEMORY, so it lies first on the stack and takes no
 * register from the declared arguments. */
#define HIDDEN_SIZE 32
#define HIDDEN_DOMAIN 8 /* from rsp at the gate's first instruction */
#define HIDDEN_BINDING 16
#define HIDDEN_STATUS 24
#define HIDDEN_DEADLINE 32 /* u64: CLOCK_MONOTONIC ns; 0: none */

/* struct lych_root: read-only after lych_init. */
#define ROOT_SCRUB 0      /* u32: SCRUB_*: which registers there are, by CPUID */
#define ROOT_BACKEND 4    /* u32: enum lych_backend */
#define ROOT_ARENA 8      /* u64: where the areas lie */
#define ROOT_ARENA_SIZE 16 /* u64 */
#define ROOT_HOST_VIEW 24  /* u32 */
#define ROOT_STACKS 40 /* u64: where all alternate stacks lie: the areas, or ordinary memory on old kernels */
#define ROOT_STACKS_SIZE 48 /* u64 */
#define ROOT_RESTORER 56 /* u64: with which glibc puts back an action that it changed by itself; ours where none is known */
#define ROOT_THUNKS 32     /* struct thunk[LYCH_THUNKS], in monitor memory */

#define ROOT_NONE_CALLBACKS 64 /* struct lych_callback_entry[LYCH_NONE_CALLBACKS] */
#define ROOT_NONE_ATTACH 72    /* int (*)(void): entries for the calling thread; 0 or -ENOMEM */

#define BACKEND_MPROTECT 2
#define BACKEND_NONE 3

/* LYCH_NONE (gate_none.S): struct none_thread and struct none_entry. */
#define NT_USED 0    /* u64: bytes of the entries that are in use */
#define NT_ENTRIES 8
#define NE_SIZE 24
#define NE_LEVEL 0     /* u64: rsp at the gate's first instruction */
#define NE_DOMAIN 8    /* struct lych_domain *; a callback: 0 */
#define NE_CALLBACK 16 /* struct lych_callback_entry *; a call: 0 */
/* LYCH_DEPTH calls and their callbacks: a call leaves room for a callback. */
#define NT_COUNT 42
#define NT_LAST ((NT_COUNT - 1) * NE_SIZE)
#define NT_CALL_LIMIT ((NT_COUNT - 2) * NE_SIZE)
#define NONE_EXFULL 54 /* EXFULL */
#define LYCH_NONE_CALLBACKS 1024

/* struct thunk (asm.h) */
#define THUNK_SIZE 32
#define THUNK_DOMAIN 0 /* 0: not in use */
#define THUNK_BINDING 8

/* struct handler_run and struct resume_block (asm.h) */
#define RUN_HANDLER 0
#define RUN_SIG 8
#define RUN_INFO 16
#define RUN_CONTEXT 24
#define RUN_RSP 32
#define RUN_MASK 40

#define LYCH_THUNKS 1024
#define LYCH_CALLBACK_THUNKS 256

#define SCRUB_AVX 0
#define SCRUB_AVX512 1
#define SCRUB_AMX 2 /* and AVX-512 */
#define SCRUB_SSE 3

#define MXCSR_DEFAULT 0x1f80
#define FCW_DEFAULT 0x37f
#define FLAGS_HOSTILE 0x44500 /* AC, NT, DF, TF */

#endif /* LYCH_GATE_ASM_H */
