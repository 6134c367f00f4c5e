/* SPDX-License-Identifier: Apache-2.0 */
/* The gate of machines without keys, with three bytes of NOP behind the store that stands for WRPKRU. */
#define LYCH_SOFT 1
#define LYCH_SITE_INSN .byte 0x0f, 0x1f, 0x00
#include "../../gate/core/gate_x86_64.S"
