/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of domains: heap, stacks. All bookkeeping is in monitor memory.
 *
 * "Locked" below: called with monitor->lock. What is not says so.
 */
#ifndef LYCH_MEMORY_H
#define LYCH_MEMORY_H

#include "../core/runtime.h"

struct domain_memory; /* heap range, block table, stacks of all threads (domain_memory.h) */

/*
 * Locked. Maps heap and tables for a domain whose key and kind are set. opts may be NULL: defaults. Returns 0,
 * -ENOMEM (also: RLIMIT_MEMLOCK is too low for lock_memory), -EINVAL (heap or stack above 16 GiB), -EOPNOTSUPP (a
 * kind the mprotect backend does not have; backend_mprotect_refuses says why). On failure nothing is left.
 */
LYCH_HIDDEN int memory_new(struct lych_domain *d, const struct lych_domain_opts *opts);
/* Locked. Heap, stacks, tables; nobody is inside, and nobody uses the heap. Before keys_give_back. */
LYCH_HIDDEN void memory_free(struct lych_domain *d);
/* Locked. Heap zero and empty, stacks gone; nobody is inside. -ENOMEM: some of it may be as before. */
LYCH_HIDDEN int memory_reset(struct lych_domain *d);

/*
 * Locked. A stack of this domain for this thread, which is the caller, guard pages on both ends; fills the slot with
 * the domain's id (the even one below, when it is odd). A thread that has one keeps it. The id is stored last: a handler
 * of the host may call from then on. fs becomes 0, or of a library domain stays what the caller has put there. The top page's end
 * holds the resume block (asm.h). -ENOMEM; -EOWNERDEAD: the id is 0, and a slot never gets that.
 */
LYCH_HIDDEN int memory_stack_new(struct lych_domain *d, struct thread *t);
/* Locked. When t ends: its stacks in all domains, and what it left open (regions; mprotect: the domain it was in). */
LYCH_HIDDEN void memory_stacks_of_thread_free(struct thread *t);
/* Where the resume block of this thread in this domain lies; NULL when it has no stack. Async-signal-safe. */
LYCH_HIDDEN struct resume_block *memory_resume_block(struct lych_domain *d, struct thread *t);
/*
 * The memory of a vault is open to the calling thread, which is attached, between the two; of other domains it always
 * is. vault_open gives back what vault_close restores. Async-signal-safe.
 */
LYCH_HIDDEN uint32_t vault_open(const struct lych_domain *d);
LYCH_HIDDEN void vault_close(const struct lych_domain *d, uint32_t before);
/* Is at in a guard page of a stack of d? Of any thread's. Async-signal-safe. */
LYCH_HIDDEN bool memory_is_stack_guard(struct lych_domain *d, uint64_t at);
/* Wholly in the heap, or in the thread's stack, of d; of a library domain: in its arena. bytes 0 as 1; what wraps is not.
 * Async-signal-safe. */
LYCH_HIDDEN bool memory_contains(struct lych_domain *d, struct thread *t, uint64_t at, uint64_t bytes);
/* The same, but for the first two only: memory that is there, whatever the domain does. The rest of an arena it may unmap
 * at any moment: that is read by the kernel (inside_read). Async-signal-safe. */
LYCH_HIDDEN bool memory_is_steady(struct lych_domain *d, struct thread *t, uint64_t at, uint64_t bytes);
/* Bytes from at to the end of the heap, of the thread's stack, or of the arena; 0: in none. Async-signal-safe. */
LYCH_HIDDEN uint64_t memory_room(struct lych_domain *d, struct thread *t, uint64_t at);

/*
 * Fork. Around it prepare (with monitor->lock held by the caller) stops every heap, so that the child finds no table
 * half written; parent lets them go on; child does so, too, and forgets the stacks, open regions and whereabouts of
 * all threads but self, which is the one that forked.
 */
LYCH_HIDDEN void memory_fork_prepare(void);
LYCH_HIDDEN void memory_fork_parent(void);
LYCH_HIDDEN void memory_fork_child(struct thread *self);

/*
 * The heap's own functions: monitor->lock not needed, each domain has a lock in monitor memory. They leave errno
 * alone, make no system call but futex, and may be called in lych_signal when the interrupted context was a domain's:
 * then this thread does not hold the lock. Another may: they wait for it, about a second at most, as its holder may
 * itself be stopped in a handler of the host; the waiting monitor must not hang with all signals blocked.
 */

/* Zeroed. NULL: no room, align is no power of two, or the lock could not be had. */
LYCH_HIDDEN void *heap_alloc(struct lych_domain *d, size_t align, size_t bytes);
/* 0, -EINVAL (no live block starts there; nothing is changed), -EAGAIN (the lock could not be had). */
LYCH_HIDDEN int heap_free(struct lych_domain *d, void *block);
/* Bytes of a live block, rounded up to 16. 0: no live block, or the lock could not be had. */
LYCH_HIDDEN size_t heap_size_of(struct lych_domain *d, const void *block);

#endif /* LYCH_MEMORY_H */
