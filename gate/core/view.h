/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: PKRU values and what they grant. Pure. Two bits for each key: AD denies reading and writing, WD denies
 * writing. What nobody asked for is denied: a view is made from VIEW_DENY_ALL by opening, never by closing.
 */
#ifndef LYCH_VIEW_H
#define LYCH_VIEW_H

#include <lychgate/domain.h>

#include "hidden.h"

#define VIEW_DENY_ALL 0x55555555u
#define VIEW_AD(key) (1u << (2 * (key)))
#define VIEW_WD(key) (2u << (2 * (key)))
#define VIEW_BITS(key) (3u << (2 * (key)))

enum rights { RIGHTS_NONE, RIGHTS_READ, RIGHTS_WRITE };

/* The view with other rights to one key. RIGHTS_NONE sets AD and clears WD, as the kernel does. */
LYCH_HIDDEN uint32_t view_with(uint32_t view, int key, enum rights rights);
LYCH_HIDDEN enum rights view_rights(uint32_t view, int key);

/* The view of code in a domain without grants: those are added by view_with. */
LYCH_HIDDEN uint32_t view_of_domain(enum lych_kind kind, int key, int gate_key);

/*
 * The host's, with no region open. initial is PKRU of the thread as it was; of it only the bits of keys remain that
 * belong to others. closed_keys (vaults', regions', keys nobody owns) are denied, domain_keys and the
 * two of the runtime are open; both are sets, bit k for key k. A key in both is denied.
 */
LYCH_HIDDEN uint32_t view_of_host(uint32_t initial, int monitor_key, int gate_key, uint32_t domain_keys,
				  uint32_t closed_keys);

#endif /* LYCH_VIEW_H */
