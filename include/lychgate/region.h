/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed memory that is closed, and opened for a block of code.
 *
 * With the pku backend a region is open for the thread that opened it. With mprotect it is open for the whole
 * process while any thread has it open.
 */
#ifndef LYCHGATE_REGION_H
#define LYCHGATE_REGION_H

#include <lychgate/domain.h>

LYCH_BEGIN_DECLS

struct lych_region;

struct lych_region_opts {
	size_t size;
	const char *name;    /* for reports; copied, at most 31 bytes */
	bool lock_memory;    /* mlock */
	bool dump;           /* default: MADV_DONTDUMP */
	bool keep_on_fork;   /* default: MADV_WIPEONFORK */
	bool keep_on_free;   /* default: zeroed before it is unmapped */
};

/*
 * lych_region_new maps bytes (rounded up to pages) of zeroed memory behind a key of its own and stores the
 * region in *out, which the caller owns and gives back with lych_region_free. Errors as lych_domain_new.
 */
LYCH_API LYCH_MUST_CHECK int lych_region_new(struct lych_region **out, size_t bytes, const struct lych_region_opts *opts);

/* -EBUSY: a scope of it is open on some thread. region may be NULL. */
LYCH_API LYCH_MUST_CHECK int lych_region_free(struct lych_region *region);

/* The address does not change and may be known; without an open scope it cannot be touched. */
LYCH_API void *lych_region_address(struct lych_region *region);
LYCH_API size_t lych_region_bytes(const struct lych_region *region);
LYCH_API int lych_region_key(const struct lych_region *region);

/* What a scope is about to restore. On the caller's stack. */
struct lych_scope {
	struct lych_region *region;
	uint32_t previous;
	uint32_t opened;
};

/*
 * lych_scope_open opens region on the calling thread for reading, or for reading and writing, and stores in *scope
 * what was before; lych_scope_close restores that. Scopes nest, per region and across regions, and close in reverse
 * order. A read scope inside a write scope of the same region leaves it writable. Returns the region's memory, NULL
 * with errno when the thread cannot attach. Used through LYCH_READ and LYCH_WRITE (below), which cannot forget to
 * close. Thread-safe. Not async-signal-safe.
 */
LYCH_API void *lych_scope_open(struct lych_scope *scope, struct lych_region *region, bool write);
LYCH_API void lych_scope_close(struct lych_scope *scope);

LYCH_END_DECLS

#endif /* LYCHGATE_REGION_H */
