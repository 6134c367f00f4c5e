/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of domains: heap, stacks. All bookkeeping is in monitor memory. */
#ifndef LYCH_MEMORY_H
#define LYCH_MEMORY_H

#include "../core/runtime.h"

struct domain_memory; /* heap range, block table, stacks of all threads */

/* Maps heap and tables for a domain that has its key. -ENOMEM. */
LYCH_HIDDEN int memory_new(struct lych_domain *d, const struct lych_domain_opts *opts);
LYCH_HIDDEN void memory_free(struct lych_domain *d);  /* heap, stacks, tables */
LYCH_HIDDEN int memory_reset(struct lych_domain *d);  /* heap zero and empty, stacks gone */

/* A stack of this domain for this thread, guard pages on both ends; fills the slot. -ENOMEM. The top page's end
 * holds the resume block (asm.h). */
LYCH_HIDDEN int memory_stack_new(struct lych_domain *d, struct thread *t);
LYCH_HIDDEN void memory_stacks_of_thread_free(struct thread *t); /* when it ends */
/* Where the resume block of this thread in this domain lies; NULL when it has no stack. */
LYCH_HIDDEN struct resume_block *memory_resume_block(struct lych_domain *d, struct thread *t);
/* Is at in a guard page of a stack of d? */
LYCH_HIDDEN bool memory_is_stack_guard(struct lych_domain *d, uint64_t at);
/* Wholly in heap, or in the slot's stack. */
LYCH_HIDDEN bool memory_contains(struct lych_domain *d, struct thread *t, uint64_t at, uint64_t bytes);

/* The heap's own functions with monitor->lock not needed: each domain has a lock in monitor memory. */
LYCH_HIDDEN void *heap_alloc(struct lych_domain *d, size_t align, size_t bytes);
LYCH_HIDDEN int heap_free(struct lych_domain *d, void *block);
LYCH_HIDDEN size_t heap_size_of(struct lych_domain *d, const void *block); /* 0: no live block */

#endif /* LYCH_MEMORY_H */
