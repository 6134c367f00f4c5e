/* SPDX-License-Identifier: Apache-2.0 */
/* calls.c and what it has in calls_time.c and calls_self.c. Each: false when the call is none of theirs. */
#ifndef LYCH_CALLS_PARTS_H
#define LYCH_CALLS_PARTS_H

#include "files_parts.h"

/* In calls_quick: clocks; and what a process asks about itself and its machine. */
LYCH_HIDDEN bool clocks_call(const struct answer *a, long *result);
LYCH_HIDDEN bool self_call(const struct answer *a, long *result);
/* FUTEX_WAKE only. */
LYCH_HIDDEN bool futex_quick(const struct answer *a, long *result);

/* They may wait. */
LYCH_HIDDEN bool futex_call(const struct answer *a, long *result);
LYCH_HIDDEN bool sleep_call(const struct answer *a, long *result);

#endif /* LYCH_CALLS_PARTS_H */
