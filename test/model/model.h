/* SPDX-License-Identifier: Apache-2.0 */
/* The attacker of the model check (jump.S). */
#ifndef LYCH_TEST_MODEL_H
#define LYCH_TEST_MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct jump {
	uint64_t gpr[16]; /* rax rcx rdx rbx (rsp) rbp rsi rdi r8..r15 */
	uint64_t rip, cs, rflags, rsp, ss;
	uint64_t null_gs;
	uint64_t x87; /* an exception is pending that is not masked */
};

struct loot {
	const void *read;
	uint64_t taken;
	void *write;
	uint64_t landings;
};

/* In domain memory; its address is in ordinary memory, which every in-image domain reads. */
extern struct loot *model_loot;

void model_jump(struct jump *jump);
void model_landed(void);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_MODEL_H */
