/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What LYCH_SYM has found in a domain: bindings by reference. In monitor memory (with LYCH_NONE: malloc's), allocated with
 * the first one, never moved, and never changed again.
 */
#ifndef LYCH_SYMBOLS_H
#define LYCH_SYMBOLS_H

#include "../core/runtime.h"

struct symbols;

/* The binding of ref, NULL: not known yet. May run beside symbols_add. Async-signal-safe. */
LYCH_HIDDEN const struct lych_binding *symbols_find(struct symbols *_Atomic *symbols, const struct lych_symbol_ref *ref);
/*
 * The binding of ref, which calls fn from now on; where another thread was first, the one that was made then. One at a time
 * for each domain: with a lock. NULL: no memory.
 */
LYCH_HIDDEN const struct lych_binding *symbols_add(struct symbols *_Atomic *symbols, const struct lych_symbol_ref *ref,
						   void *fn);
/* Nobody uses them any more. NULL is allowed. */
LYCH_HIDDEN void symbols_free(struct symbols *symbols);

#endif /* LYCH_SYMBOLS_H */
