/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protection keys: who has which, and the ledger of what memory they are on.
 *
 * With the mprotect backend the same numbers are handed out, and stand for nothing in the hardware.
 *
 * lych_init: ROOT.backend set, ROOT.monitor = monitor_alloc(sizeof(struct monitor)), everything else that is wanted
 * from monitor_alloc, keys_start, then attach the calling thread: keys_start leaves monitor memory tagged, and the
 * caller has no right to it before.
 */
#ifndef LYCH_KEYS_H
#define LYCH_KEYS_H

#include "runtime.h"
#include "view.h"

enum key_owner {
	OWNER_FREE, /* not the runtime's: nobody's, or the host's own */
	OWNER_MONITOR,
	OWNER_GATE,
	OWNER_DOMAIN,
	OWNER_VAULT,
	OWNER_REGION,
	OWNER_RETIRED, /* pages or threads that have it could not be made to lose it: held, and never used again */
};

/*
 * Counts the keys that are free, by taking them all without rights and giving the surplus back; keeps two, stores
 * them in ROOT.monitor_key and ROOT.gate_key, computes ROOT.host_view, tags all monitor memory there is.
 * max_keys: never hold more, the two included; 0: no limit.
 *
 * Returns 0, or, with a reason for lych_why and nothing changed,
 *	-ENOSPC      fewer than three are free, or max_keys is 1 or 2
 *	-EOPNOTSUPP  the kernel, or what stands before it, refuses pkey_alloc
 *	-ENOMEM
 * Not thread-safe, takes no lock (monitor->lock is behind the key when it returns).
 */
LYCH_HIDDEN int keys_start(unsigned int max_keys);
/* When lych_init fails later: all memory of the ledger gets key 0 back and stays mapped, the two keys are freed. The
 * caller may be attached or not. */
LYCH_HIDDEN void keys_stop(void);

/*
 * A key for owner, denied on every thread. name is copied. -ENOSPC: none is free, or max_keys are held; -EBUSY: a thread
 * could not be made to lose it (lych_why).
 * Called with monitor->lock by an attached thread.
 */
LYCH_HIDDEN int keys_take(int *key, enum key_owner owner, const char *name);
/*
 * Every range of its ledger gets key 0 and PROT_NONE, every attached thread loses its rights to it, then it is freed.
 * A key whose pages cannot all be retagged, or that a thread does not lose, is never used again.
 * Called with monitor->lock by an attached thread.
 */
LYCH_HIDDEN void keys_give_back(int key);
/*
 * The host's view of a thread that attaches now with PKRU pkru: its rights to the host's own keys stay. Called with
 * monitor->lock, and the thread is in monitor->threads before that is released: else it misses threads_allow.
 */
LYCH_HIDDEN uint32_t keys_host_view(uint32_t pkru);
/* All keys that are the runtime's, bit k for key k. No lock needed. */
LYCH_HIDDEN uint32_t keys_ours(void);
/* PKRU bits of all keys that are, or may become, a domain's, a vault's or a region's. With monitor->lock. */
LYCH_HIDDEN uint32_t keys_not_foreign(void);

/*
 * What the host may not choose: PKRU bits of keys that are the runtime's, or about to be. Set before the threads are made to
 * lose the key, so that none takes it back. keys_ours_bits lies in monitor memory; keys_ours_seen is a copy in ordinary
 * memory, for threads that have no rights yet: what a domain that may write there could make of it, it could make of
 * such a thread itself. With the mprotect backend, whose keys are only numbers, there are none. Async-signal-safe.
 */
LYCH_HIDDEN const _Atomic uint32_t *keys_ours_bits(void);
LYCH_HIDDEN uint32_t keys_ours_seen(void);
/* The host has allocated, or frees, a key of its own: a thread that attaches keeps its rights to those only. Known by
 * pkey_alloc and pkey_free (pkeys.c), and at the start. Async-signal-safe. */
LYCH_HIDDEN void keys_host_takes(int key);
LYCH_HIDDEN void keys_host_frees(int key);
/* For reports: "monitor", "gate", "region NAME", a domain's name, "host" (0), "" (foreign). No lock needed,
 * async-signal-safe; needs the right to read monitor memory. */
LYCH_HIDDEN void keys_owner_name(int key, char *out, size_t size);

/*
 * The ledger: every range that has a key of ours. It has a lock of its own, inside monitor->lock when both are held;
 * none of these may be called from the signal monitor, except ledger_key_of.
 *
 * ledger_add tags (pkey_mprotect; mprotect where there are no keys) and records. Whole pages that are in no range yet,
 * else -EINVAL; -ENOMEM. Map them PROT_NONE: else they are everybody's until they are tagged. prot RANGE_ANY (ranges.h): they
 * begin as PROT_NONE, and whoever maps something there, or changes its rights, keeps the key on it.
 * ledger_change: same key, other protection, for pages that are all in ranges of one key, else -EINVAL; -ENOMEM.
 * ledger_remove unmaps and forgets. What lies between at and the end and is no range of ours is unmapped, too.
 * ledger_forget forgets and leaves the pages as they are; the caller has taken the key from them. 0, -ENOMEM.
 * ledger_retire: see keys_give_back. 0, or -EIO when a page keeps the key.
 */
LYCH_HIDDEN int ledger_add(void *at, size_t bytes, int key, int prot);
LYCH_HIDDEN int ledger_change(void *at, size_t bytes, int prot);
LYCH_HIDDEN void ledger_remove(void *at, size_t bytes);
LYCH_HIDDEN int ledger_forget(void *at, size_t bytes);
LYCH_HIDDEN int ledger_retire(int key);
/* The key of the page at lies in, -1: not ours. Lock-free: right also when it interrupts a change on this thread. */
LYCH_HIDDEN int ledger_key_of(const void *at);
/* Nobody changes the ledger between the two. For fork handlers (after monitor->lock), and for lych_verify. */
LYCH_HIDDEN void ledger_freeze(void);
LYCH_HIDDEN void ledger_thaw(void);
struct key_range;
/* All of it, sorted; valid while frozen. */
LYCH_HIDDEN const struct key_range *ledger_ranges(size_t *count);
/* For keys.c: makes the ledger (from monitor_alloc, before keys_start tags it), frees it once it is untagged; records
 * without tagging. */
LYCH_HIDDEN int ledger_start(void);
LYCH_HIDDEN void ledger_stop(void);
LYCH_HIDDEN int ledger_record(void *at, size_t bytes, int key, int prot);
/* For keys.c, raw: 0 or -errno. */
LYCH_HIDDEN int ledger_tag(uint64_t at, uint64_t bytes, int key, int prot);

/* Monitor memory: whole pages, zeroed, at address 4096-aligned. NULL: none. Before keys_start it is ordinary, tagged
 * there (at most 32 blocks until then). bytes as given to monitor_alloc. at may be NULL. Thread-safe. */
LYCH_HIDDEN void *monitor_alloc(size_t bytes);
LYCH_HIDDEN void monitor_free(void *at, size_t bytes);
/* For keys.c: the blocks allocated before keys_start. Count of them; at and bytes of block i. */
LYCH_HIDDEN size_t monitor_early_blocks(void);
LYCH_HIDDEN void *monitor_early_block(size_t i, size_t *bytes);

/* No call gets into the domain any more, and those inside end with -ECANCELED, but for the calling thread's own. Runs
 * inside lych_signal as well: takes no lock. */
LYCH_HIDDEN void domain_poison(struct lych_domain *domain);
/* poison.c. A domain that was DOMAIN_PAUSED lets calls in again, unless it was poisoned meanwhile. */
LYCH_HIDDEN void domain_open_again(struct lych_domain *domain);
/* poison.c. Is the domain of a call that was let in neither poisoned nor being reset? Async-signal-safe. */
struct record;
LYCH_HIDDEN bool call_goes_on(const struct record *call);

/* domain.c. Is it the address of one that is there? Under monitor->lock it stays there. */
LYCH_HIDDEN bool domain_lives(const struct lych_domain *domain);
/* enter.c. Where a vault may be entered: nowhere. NULL: no memory. Both with monitor->lock. */
LYCH_HIDDEN struct vault_functions *vault_functions_new(void);
LYCH_HIDDEN void vault_functions_free(struct vault_functions *functions);

/* region.c. Its key, 0; or -EINVAL: not a region that lives. With monitor->lock. */
LYCH_HIDDEN LYCH_MUST_CHECK int region_key(const struct lych_region *region, int *key);

/*
 * domain.c. What the domain's view has for a region's key: 0, -EINVAL (not a domain, or a region, that lives), -EBUSY (somebody is
 * inside, or about to reset or free it, or a thread of its own does not stop; nothing is changed), -ENOMEM. Takes
 * monitor->lock; by an attached thread.
 */
LYCH_HIDDEN LYCH_MUST_CHECK int domain_grant(struct lych_domain *domain, const struct lych_region *region, enum rights rights);
/* domain.c. In a child of fork, of which the calling thread, attached, is the only one. */
LYCH_HIDDEN void domains_fork_child(void);
/* Does any domain have rights to it beside its owner's? With monitor->lock. */
LYCH_HIDDEN bool domains_have(int key);

#endif /* LYCH_KEYS_H */
