/* SPDX-License-Identifier: Apache-2.0 */
/* The gate with three bytes of NOP where WRPKRU stands: everything but WRPKRU itself. */
#define LYCH_SITE_INSN .byte 0x0f, 0x1f, 0x00
#include "../../gate/core/gate_x86_64.S"
