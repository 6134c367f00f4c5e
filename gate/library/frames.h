/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a frame of code to that of its caller, by the tables in .eh_frame. Of a library domain tables, stack and registers are all
 * hostile, which libunwind is not made for: here nothing is believed, each read is of a size that is given, what is
 * interpreted has neither loops nor branches, and the worst is a wrong frame. Pure, and allocates nothing.
 */
#ifndef LYCH_FRAMES_H
#define LYCH_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/hidden.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Memory to read from: false, and to may be changed, where there is none. */
struct frames_memory {
	bool (*read)(void *ctx, void *to, uint64_t at, size_t bytes);
	void *ctx;
};

/* As DWARF counts: rax rdx rcx rbx rsi rdi rbp rsp r8..r15, and the return address. */
#define FRAMES_RBP 6
#define FRAMES_RSP 7
#define FRAMES_RIP 16
#define FRAMES_REGISTERS 17

struct frames {
	uint64_t reg[FRAMES_REGISTERS];
	bool exact; /* RIP is that of an instruction, not of what follows a call: of the first frame, and below a signal's */
};

/*
 * Makes frames those of the caller; header is the address of the .eh_frame_hdr of the object that RIP lies in. false: there is no
 * telling, and frames is as it was: the end, or tables that make no sense, or are of a kind that no compiler makes.
 */
LYCH_HIDDEN bool frames_step(struct frames *frames, const struct frames_memory *memory, uint64_t header);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_FRAMES_H */
