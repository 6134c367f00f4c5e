/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protection keys and views.
 *
 * view_*: pure, tested on any machine. keys_*: who has which key. With the mprotect backend the same numbers are
 * handed out, and stand for nothing in the hardware.
 */
#ifndef LYCH_KEYS_H
#define LYCH_KEYS_H

#include "runtime.h"

#define VIEW_DENY_ALL 0x55555555u
#define VIEW_AD(key) (1u << (2 * (key)))
#define VIEW_WD(key) (2u << (2 * (key)))
#define VIEW_BITS(key) (3u << (2 * (key)))

enum rights { RIGHTS_NONE, RIGHTS_READ, RIGHTS_WRITE };

LYCH_HIDDEN uint32_t view_with(uint32_t view, int key, enum rights rights);
LYCH_HIDDEN enum rights view_rights(uint32_t view, int key);
/* The view of code in a domain. grants: bits to clear on top (VIEW_BITS of shared keys). */
LYCH_HIDDEN uint32_t view_of_domain(enum lych_kind kind, int key, int gate_key);
/* The host's, with no region open: initial is PKRU of the thread that called lych_init. */
LYCH_HIDDEN uint32_t view_of_host(uint32_t initial, int monitor_key, int gate_key, uint32_t domain_keys);

enum key_owner { OWNER_FREE, OWNER_FOREIGN, OWNER_MONITOR, OWNER_GATE, OWNER_DOMAIN, OWNER_VAULT, OWNER_REGION };

/* Counts what is free, honours max_keys, takes the two of the runtime. -ENOSPC, -EOPNOTSUPP. */
LYCH_HIDDEN int keys_start(unsigned int max_keys);
LYCH_HIDDEN void keys_stop(void);
/* A key, denied on every thread. -ENOSPC. Called with monitor->lock, as all of these. */
LYCH_HIDDEN int keys_take(int *key, enum key_owner owner, const char *name);
/* Retags every range of its ledger with key 0 and PROT_NONE, or has found none; shoots down; frees. */
LYCH_HIDDEN void keys_give_back(int key);
/* For reports: "monitor", "gate", "region NAME", a domain's name, "host" (0), "" (foreign). No lock needed. */
LYCH_HIDDEN void keys_owner_name(int key, char *out, size_t size);

/* The ledger: every range that has a key of ours. */
LYCH_HIDDEN int ledger_add(void *at, size_t bytes, int key, int prot);   /* tags it, too: pkey_mprotect */
LYCH_HIDDEN int ledger_change(void *at, size_t bytes, int prot);         /* same key, other protection */
LYCH_HIDDEN void ledger_remove(void *at, size_t bytes);                  /* munmaps it */
LYCH_HIDDEN int ledger_key_of(const void *at);                           /* -1: not ours. Lock-free read */

/* Monitor memory, page-granular, zeroed. NULL: none. Before keys_start it is ordinary, tagged there. */
LYCH_HIDDEN void *monitor_alloc(size_t bytes);
LYCH_HIDDEN void monitor_free(void *at, size_t bytes);

/* No call gets into the domain any more, and those inside end with -ECANCELED, but for that of thread tid. Runs inside
 * lych_signal as well: takes no lock. */
LYCH_HIDDEN void domain_poison(struct lych_domain *domain, int tid);

#endif /* LYCH_KEYS_H */
