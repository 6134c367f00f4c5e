/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LYCH_NONE: the same program without any isolation. What the public functions do instead of what they do.
 *
 * ROOT.ready stays 0, so that nothing that stands between the program and its C library (signals, fork, keys) does anything;
 * ROOT.none is this table, reached by a pointer so that the rest of the runtime does not depend on these files. Nothing
 * here is protected, so it lies in ordinary memory and is allocated by malloc, which lets sanitizers and valgrind look at it.
 */
#ifndef LYCH_NONE_H
#define LYCH_NONE_H

#include <stdlib.h>

#include "../core/runtime.h"

/* Where a function's return address lies, which its caller has pushed; below, at is that of a public one. */
#define NONE_AT ((uint64_t)(uintptr_t)__builtin_frame_address(0) + 8)

struct none {
	/* domain.c, fault.c */
	int (*domain_new)(struct lych_domain **out, const struct lych_domain_opts *checked);
	int (*domain_free)(struct lych_domain *domain, uint64_t at);
	int (*domain_reset)(struct lych_domain *domain, uint64_t at);
	int (*domain_cancel)(struct lych_domain *domain);
	const char *(*domain_name)(const struct lych_domain *domain);
	int (*vault_allow)(struct lych_domain *vault, void (*fn)(void));
	/* binding.c */
	int (*pointer_new)(void (**out)(void), struct lych_domain *domain, const struct lych_binding *binding);
	int (*pointer_free)(void (*pointer)(void));
	int (*callback_new)(void (**out)(void), struct lych_domain *domain, const struct lych_binding *binding, void *ctx);
	int (*callback_free)(struct lych_domain *domain, void (*pointer)(void));
	void *(*callback_ctx)(uint64_t at);
	/* transfer.c: 0 or a negative errno. life may be NULL */
	int (*alloc)(struct lych_domain *domain, void **out, size_t align, size_t bytes, uint64_t *life);
	int (*resize)(struct lych_domain *domain, void **out, void *block, size_t bytes);
	int (*free)(struct lych_domain *domain, void *block);
	int (*result_end)(struct lych_domain *domain, void *block, uint64_t life, int status, void *dst, size_t bytes);
	int (*verify_range)(struct lych_domain *domain, const void *at, size_t bytes, bool reads);
	/* inside.c: the domain of the innermost call of this thread, NULL outside of calls */
	struct lych_domain *(*inside)(uint64_t at);
	/* region.c */
	int (*region_new)(struct lych_region **out, size_t bytes, const struct lych_region_opts *checked);
	int (*region_free)(struct lych_region *region);
	void *(*region_address)(struct lych_region *region);
	size_t (*region_bytes)(const struct lych_region *region);
	void *(*scope_open)(struct lych_scope *scope, bool write);
	void (*scope_close)(struct lych_scope *scope);
	/* open.c, symbols.c */
	int (*open)(struct lych_domain **out, const char *library, const struct lych_library_opts *opts);
	int (*load)(struct lych_domain *domain, const char *library);
	int (*symbol)(struct lych_domain *domain, void **out, const char *name, const char *version);
	struct symbols *_Atomic *(*symbols)(struct lych_domain *domain); /* NULL: no library domain */
};

/* lych_init, at its end: fills ROOT.none and what the assembly needs. 0 or -ENOMEM, with nothing left changed. */
LYCH_HIDDEN int none_start(void);

/* ---- between the files of it ------------------------------------------------------------------------------------- */

/* What a pointer to struct lych_domain points to. */
struct none_domain {
	struct none_domain *next; /* of all that live */
	char name[32];
	enum lych_kind kind;
	uint32_t ncallbacks, max_callbacks;
	bool zero_on_free, lock_memory;
	size_t heap_bytes, used_bytes; /* what may be, and is, allocated: sizes rounded up to 16 */
	uint64_t life;                 /* changed by each reset */
	struct none_block *blocks;     /* hash table; size is 0 or a power of two */
	size_t nblocks, size;
	bool library;
	bool ending;                   /* it is being freed */
	void **handles; /* of dlopen, in this order */
	size_t nhandles;
	char *search;
	struct symbols *_Atomic symbols;
};

struct none_block {
	void *at; /* NULL: no block */
	size_t bytes;
};

/* One lock for all of it; no code of a library runs with it held. */
LYCH_HIDDEN void none_lock(void);
LYCH_HIDDEN void none_unlock(void);
/* With the lock. NULL: not a domain that lives. */
LYCH_HIDDEN struct none_domain *none_domain_of(const struct lych_domain *domain);
/* Makes one with an empty heap and no libraries. Without the lock. 0, -ENOMEM, -ENOSPC. */
LYCH_HIDDEN int none_domain_make(struct none_domain **out, const struct lych_domain_opts *opts, const char *prefix);
/* With the lock: all blocks are freed. */
LYCH_HIDDEN void none_blocks_free(struct none_domain *d);

/* none_memory.c, none_region.c, none_library.c: for the table. */
LYCH_HIDDEN int none_alloc(struct lych_domain *domain, void **out, size_t align, size_t bytes, uint64_t *life);
LYCH_HIDDEN int none_resize(struct lych_domain *domain, void **out, void *block, size_t bytes);
LYCH_HIDDEN int none_free(struct lych_domain *domain, void *block);
LYCH_HIDDEN int none_result_end(struct lych_domain *domain, void *block, uint64_t life, int status, void *dst,
				size_t bytes);
LYCH_HIDDEN int none_verify_range(struct lych_domain *domain, const void *at, size_t bytes, bool reads);
LYCH_HIDDEN int none_region_new(struct lych_region **out, size_t bytes, const struct lych_region_opts *checked);
LYCH_HIDDEN int none_region_free(struct lych_region *region);
LYCH_HIDDEN void *none_region_address(struct lych_region *region);
LYCH_HIDDEN size_t none_region_bytes(const struct lych_region *region);
LYCH_HIDDEN void *none_scope_open(struct lych_scope *scope, bool write);
LYCH_HIDDEN void none_scope_close(struct lych_scope *scope);
LYCH_HIDDEN int none_open(struct lych_domain **out, const char *library, const struct lych_library_opts *opts);
LYCH_HIDDEN int none_load(struct lych_domain *domain, const char *library);
LYCH_HIDDEN int none_symbol(struct lych_domain *domain, void **out, const char *name, const char *version);
/* Closes what none_open and none_load have opened, last one first: destructors run. Nobody else knows d any more. */
LYCH_HIDDEN void none_close(struct none_domain *d);

#endif /* LYCH_NONE_H */
