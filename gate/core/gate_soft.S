/* SPDX-License-Identifier: Apache-2.0 */
/* The gate for machines without protection keys: the same text, with GATE_SOFT in the place of PKRU. */
#define LYCH_SOFT 1
#include "gate_x86_64.S"
