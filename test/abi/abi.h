/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ABI checker: what assembly (checker.S, stand_in.S), generated cases (generate.py) and tests share. Offsets are
 * proved in cases.c.
 */
#ifndef ABI_H
#define ABI_H

#define REGS_RBX 0
#define REGS_RBP 8
#define REGS_R12 16
#define REGS_R13 24
#define REGS_R14 32
#define REGS_R15 40
#define REGS_RAX 48
#define REGS_R10 56
#define REGS_R11 64
#define REGS_ARGS 72 /* rdi rsi rdx rcx r8 r9 */
#define REGS_FLAGS 120
#define REGS_MXCSR 128
#define REGS_FCW 132
#define REGS_RSP 136
#define REGS_ST 144 /* mantissas of the eight x87 registers */
#define REGS_TAGS 208 /* tag word of fnstenv: 0xffff when all are empty */
#define REGS_MASKS 256
#define REGS_VECTORS 320
#define REGS_FXSAVE 2368 /* scratch */
#define REGS_SIZE 2880

#define RAW_DOMAIN 0
#define RAW_BINDING 8
#define RAW_STATUS 16
#define RAW_DEADLINE 24
#define RAW_WORDS 32
#define RAW_NWORDS 16
#define RAW_IN 160
#define RAW_TARGET 168

/* What a stand-in for the gate does wrong. */
#define WRONG_RBX 1
#define WRONG_R15 2
#define WRONG_RBP 3
#define WRONG_DF 4
#define WRONG_MXCSR 5
#define WRONG_X87_CONTROL 6
#define WRONG_X87_STACK 7
#define WRONG_LOST_WORD 8
#define WRONG_LEAK_R10 9
#define WRONG_LEAK_R9 10
#define WRONG_LEAK_XMM15 11
#define WRONG_LEAK_UPPER 12 /* of an argument that is a double */
#define WRONG_LEAK_ZMM31 13
#define WRONG_LEAK_MASK 14
#define WRONG_LEAK_X87 15
#define WRONG_ALIGNMENT 16
#define WRONG_RESULT_RDX 17
#define WRONG_RESULT_XMM1 18
#define WRONG_CALLEE_DF 19
#define WRONG_CALLEE_MXCSR 20
#define WRONG_BACK_LEAK_RDX 21 /* callbacks: what goes wrong on the way back to the domain, or in the host */
#define WRONG_BACK_LEAK_XMM5 22
#define WRONG_BACK_LEAK_RSI 23
#define WRONG_BACK_RBX 24
#define WRONG_BACK_MXCSR 25
#define WRONG_BACK_HOST_MXCSR 26
#define WRONG_BACK_LOST_WORD 27
#define WRONG_BACK_X87_FLAGS 28
#define WRONG_COUNT 29

#ifndef __ASSEMBLER__
#include <lychgate/gate.h>

#define ABI_ARG 128 /* bytes kept for each argument */
#define ABI_ARGS 16

#ifdef __cplusplus
extern "C" {
#endif

struct abi_regs {
	uint64_t rbx, rbp, r12, r13, r14, r15;
	uint64_t rax, r10, r11;
	uint64_t args[6];
	uint64_t flags;
	uint32_t mxcsr;
	uint16_t fcw, pad;
	uint64_t rsp;
	uint64_t st[8];
	uint16_t tags;
	uint8_t pad2[46];
	uint64_t masks[8];
	uint8_t vectors[32][64];
	uint8_t fxsave[512];
} __attribute__((aligned(64)));

/* A call of the gate with every register chosen. */
struct abi_raw {
	struct lych_domain *domain;
	const struct lych_binding *binding;
	int *status;
	uint64_t deadline;
	uint64_t words[RAW_NWORDS];
	const struct abi_regs *in;
	void (*target)(void); /* abi_raw_callback: what is called */
};

/* One generated signature: what the generator's own model says of it, and how to call it. */
struct abi_case {
	const char *text;
	const struct lych_binding *binding;
	int (*call)(struct lych_domain *);
	uint8_t ngpr, nvec, result, narrow;
	uint16_t words;
	uint16_t nargs;
	uint32_t widths;
	uint8_t sizes[ABI_ARGS]; /* bytes that hold a value; 0: bool */
	uint8_t result_size;     /* 255: void; 0: bool */
	uint8_t variadic;        /* one use of a variadic function */
};

extern uint8_t abi_sent[ABI_ARGS][ABI_ARG], abi_got[ABI_ARGS][ABI_ARG];
extern uint8_t abi_result_sent[ABI_ARG], abi_result_got[ABI_ARG];

extern uint32_t abi_level;       /* 0: SSE, 1: AVX, 2: AVX-512 */
extern uint32_t abi_hostile;     /* abi_callee leaves everything in disorder */
extern uint32_t abi_wrong;       /* stand_in.S: WRONG_* */
extern uint64_t abi_callee_rax, abi_callee_rdx;
extern uint8_t abi_callee_xmm[2][16];
extern struct abi_regs abi_entry; /* registers at the first instruction of the last function called in a domain */
extern uint64_t abi_entry_words[RAW_NWORDS];

/* Calls fn(arg) with the callee-saved and all other registers of in, and stores in out what they are afterwards. */
uint64_t abi_checked(uint64_t (*fn)(void *), void *arg, const struct abi_regs *in, struct abi_regs *out);
/* For abi_checked: arg is a struct abi_raw. Argument registers come from its in. */
uint64_t abi_raw_call(void *raw);
/* Function for bindings of struct abi_raw. */
void abi_callee(void);

/*
 * For abi_checked, in a domain: calls target, a callback, with the argument registers of in and all of words on the
 * stack; with abi_hostile the direction flag is set, the x87 stack in use and an exception pending.
 */
uint64_t abi_raw_callback(void *raw);
/* The host's function for bindings of callbacks: notes what it finds, and leaves abi_left in all it may change. */
void abi_host(void);
extern struct abi_regs abi_left;

/* Makes a callback of abi_domain()'s of binding, whose fn is abi_host. NULL: it could not be had. */
void (*abi_callback(const struct lych_binding *binding))(void);
void abi_callback_end(void (*callback)(void));

/* Every generated file has one. */
struct abi_table {
	const struct abi_case *cases;
	unsigned int count;
	unsigned int level;
};
extern const struct abi_table *const abi_all[];
extern const unsigned long abi_seed;

/* The domain that cases are called in: of the test program. */
struct lych_domain *abi_domain(void);

#ifdef __cplusplus
}
#endif
#endif

#endif /* ABI_H */
