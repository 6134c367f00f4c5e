/* SPDX-License-Identifier: Apache-2.0 */
/* What an ELF file says about the place of a sequence that is to be repaired. */
#ifndef LYCH_REPAIR_KNOW_H
#define LYCH_REPAIR_KNOW_H

#include "repair.h"

/*
 * Fills pages_hold_code (where the sequence is in data), code_start and gaps of a stray whose hit, placement and
 * insn_vaddr are set: addresses are those of elf with bias added.
 */
void repair_know(struct repair_stray *stray, struct elf *elf, uint64_t bias);

#endif /* LYCH_REPAIR_KNOW_H */
