/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate without the rest of the runtime: one thread's area and one domain, made by hand, and the instance that
 * writes memory in the place of PKRU. Runs on any machine.
 */
#ifndef ABI_FIXTURE_H
#define ABI_FIXTURE_H

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Another domain: slot 2. */
struct lych_domain *fixture_other_domain(void);
/* No record is free any more (true), or as many as there are. */
void fixture_exhaust(bool on);
/* bindings_domain_gone, under the lock. */
void fixture_domain_gone(struct lych_domain *domain);
/* The records in use by the calling thread. */
unsigned int fixture_depth(void);
/* deadline_ns of the record on top. */
uint64_t fixture_deadline(void);
/* Is at on the domain's stack? */
bool fixture_on_stack(struct lych_domain *domain, const void *at);

#ifdef __cplusplus
}
#endif

#endif /* ABI_FIXTURE_H */
