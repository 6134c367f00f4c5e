/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks that leave a secret in every register the ABI lets them, and what of it the domain sees. */
#ifndef LYCH_TEST_CALLBACK_RESULT_H
#define LYCH_TEST_CALLBACK_RESULT_H

#include <lychgate/lychgate.h>

#define RESULT_SECRET 0x5ec2e75ec2e75ec2ull

/* Registers after a call, all of them. */
struct result_registers {
	uint64_t rax, rdx, others[7]; /* rcx rsi rdi r8..r11 */
	uint32_t masks[8];
	uint8_t pad[128 - 104];
	uint8_t vectors[32][64];
	uint8_t unused[128];
	uint8_t x87[512] __attribute__((aligned(16))); /* FXSAVE; its vectors are the same again */
};

LYCH_BEGIN_DECLS
extern int result_level;                                                  /* 0 SSE, 1 AVX, 2 AVX-512 */
void result_dump(void (*call)(void), struct result_registers *to, int level); /* in the domain, or not */
void result_fill(void);                                                   /* any result without x87 */
void result_fill_st0(void);
void result_fill_st1(void);

/* -1: the compiler was not told of such vectors */
int result_callback_ymm(void (**out)(void), struct lych_domain *d);
int result_callback_zmm(void (**out)(void), struct lych_domain *d);
LYCH_END_DECLS

#endif /* LYCH_TEST_CALLBACK_RESULT_H */
