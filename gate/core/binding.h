/* SPDX-License-Identifier: Apache-2.0 */
/* Typed pointers and callbacks: their tables (gate.h has what users see). */
#ifndef LYCH_CORE_BINDING_H
#define LYCH_CORE_BINDING_H

#include "runtime.h"

/* At lych_init, with monitor memory there and the root page writable: ROOT.thunks. 0 or -ENOMEM. */
LYCH_HIDDEN int bindings_start(void);
LYCH_HIDDEN void bindings_stop(void); /* when lych_init fails later */

/* Every typed pointer of d is free from now on: called, it traps. With monitor->lock held. d's callbacks are in the
 * domain's own table and go with it. */
LYCH_HIDDEN void bindings_domain_gone(struct lych_domain *d);

/* What a typed pointer returns on a fault, laid out as the registers are, from the result as it is in memory. Pure. */
LYCH_HIDDEN void binding_fault_value(struct lych_binding *binding, const void *value, size_t bytes);

#endif /* LYCH_CORE_BINDING_H */
