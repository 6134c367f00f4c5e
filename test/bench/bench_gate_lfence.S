/* SPDX-License-Identifier: Apache-2.0 */
/* The gate with LFENCE where WRPKRU stands: three bytes, too, and later loads wait for it as they wait for WRPKRU. */
#define LYCH_SITE_INSN lfence
#include "../../gate/core/gate_x86_64.S"
