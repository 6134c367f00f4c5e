/* SPDX-License-Identifier: Apache-2.0 */
/* What lych_why() gives back. */
#ifndef LYCH_WHY_H
#define LYCH_WHY_H

#include <lychgate/base.h>

#include "hidden.h"

/* One sentence of the calling thread, cut to what there is room for. With lych_why in one file. */
LYCH_HIDDEN void why_set(const char *format, ...) LYCH_PRINTF(1, 2);

#endif /* LYCH_WHY_H */
