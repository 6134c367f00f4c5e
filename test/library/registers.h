/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that fills every register with a pattern, makes a system call, and compares. What differs is a set of
 * bits: general registers by their numbers, then those below; bit REGISTERS_X87 + i: st(i); REGISTERS_XMM + i,
 * REGISTERS_UPPER + i: the lower 16 bytes, and all others, of vector register i.
 */
#ifndef LYCH_TEST_LIBRARY_REGISTERS_H
#define LYCH_TEST_LIBRARY_REGISTERS_H

#define REGISTERS_FLAGS 16
#define REGISTERS_FS 17
#define REGISTERS_MXCSR 18
#define REGISTERS_FCW 19
#define REGISTERS_FSW 20
#define REGISTERS_FTW 21
#define REGISTERS_HIGH 22 /* zmm16 to zmm31 */
#define REGISTERS_MASKS 23 /* k0 to k7 */
#define REGISTERS_X87 24
#define REGISTERS_XMM 32
#define REGISTERS_UPPER 48
#define REGISTERS_KINDS 64

/* Instead of a number: it does nothing, until registers_release. */
#define REGISTERS_SPIN (-1)

/* struct registers, for registers.S */
#define REGISTERS_AT_FLAGS 128
#define REGISTERS_AT_FS 136
#define REGISTERS_AT_MASKS 144
#define REGISTERS_AT_FX 256
#define REGISTERS_AT_VECTORS 768
#define REGISTERS_BYTES 2816

#ifndef __ASSEMBLER__
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct registers_call {
	long nr; /* or REGISTERS_SPIN */
	long arguments; /* so many of arg; registers of others have the pattern */
	long arg[6];
	long pattern;
	long result;
	uint64_t wrong; /* bits */
	int done;       /* by registers_begin: it has ended */
};

/* One at a time: everything is there once. */
void registers_make(struct registers_call *call);
/* The same on a thread of its own, which has ended when registers_end returns; 0, or an error of pthread_create. */
int registers_begin(struct registers_call *call);
void registers_end(void);
/* The control: something changes what n stands for: one of the bits above; behind REGISTERS_KINDS each of zmm16 to
 * zmm31, k0 to k7, and of nine flags. The bits that differ. */
uint64_t registers_control(int n);
#define REGISTERS_CONTROLS (REGISTERS_KINDS + 16 + 8 + 9)
/* What the processor has: 0: SSE, 1: AVX, 2: AVX-512. */
int registers_level(void);
long registers_plain(const long call[7]); /* a system call as any other */
/* Ends a REGISTERS_SPIN, and makes registers_word 1. Everything that a function may change it changes. */
void registers_release(void);
extern int registers_in;   /* all registers are filled */
extern int registers_word; /* 0 when registers_make begins */

#ifdef __cplusplus
}
#endif
#endif /* __ASSEMBLER__ */

#endif /* LYCH_TEST_LIBRARY_REGISTERS_H */
