/* SPDX-License-Identifier: Apache-2.0 */
/* The gate of machines without keys, with LFENCE behind the store that stands for WRPKRU: later loads wait, as they do there. */
#define LYCH_SOFT 1
#define LYCH_SITE_INSN lfence
#include "../../gate/core/gate_x86_64.S"
