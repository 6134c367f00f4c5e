/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed memory that is closed, and opened for a block of code.
 *
 * With the pku backend a region is open for the thread that opened it. With mprotect it is open for the whole
 * process while any thread has it open; and while any thread is in a domain it is closed for all: an access then
 * waits, and a system call that is given such memory fails with EFAULT.
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
 * region in *out, which the caller owns and gives back with lych_region_free. opts may be NULL. On failure *out is
 * NULL and no key is held.
 *
 * Returns 0, or
 *	-ENOSPC   no key is left
 *	-EBUSY    as lych_domain_new
 *	-ENOMEM   it could not be mapped, or not be locked (RLIMIT_MEMLOCK)
 *	-EINVAL   bytes is 0 or above 16 GiB, opts->size is zero, or an option is not known to this library
 *	others    as lych_attach
 *
 * Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_region_new(struct lych_region **out, size_t bytes,
					     const struct lych_region_opts *opts);

/*
 * -EBUSY: a scope of it is open on some thread, or it is granted to a domain, and nothing is changed. A thread's scopes
 * end with it. region may be NULL. Else it is wiped, unmapped, and its key given back. Others as lych_attach; the
 * region lives on. Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_region_free(struct lych_region *region);

/*
 * The address does not change and may be known; without an open scope it cannot be touched. The key is -1 with
 * mprotect. These, too, attach the thread; when that fails they give NULL with errno, 0, and -1.
 */
LYCH_API void *lych_region_address(struct lych_region *region);
LYCH_API size_t lych_region_bytes(const struct lych_region *region);
LYCH_API int lych_region_key(const struct lych_region *region);

/*
 * lych_region_grant says what code in domain may do with region from now on: nothing, as before the first; read; or
 * read and write. The address is the same there. It changes nothing for the host, which opens the region by a scope,
 * nor for others. A call out of the domain (a callback) runs with the region closed. A reset keeps it; it ends with the
 * domain. System calls of a library domain have EFAULT for such memory: it must be copied inside.
 *
 * Returns 0, or
 *	-EINVAL      region or domain is NULL, not one that lives, or grant is none of these
 *	-EBUSY       a call is inside the domain, or somebody resets or frees it; or a thread of a library's own, which has
 *	             to come out for a moment, does not within a second. Nothing is changed
 *	-EOPNOTSUPP  the mprotect backend, where a region is open for everybody or nobody
 *	others       as lych_attach
 * With LYCH_NONE nothing is closed, and arguments are checked. Calls that begin meanwhile wait; a wait of a library's own
 * threads begins anew. Thread-safe. Not async-signal-safe.
 */
enum lych_grant { LYCH_GRANT_NONE, LYCH_GRANT_READ, LYCH_GRANT_WRITE };
LYCH_API LYCH_MUST_CHECK int lych_region_grant(struct lych_region *region, struct lych_domain *domain,
					       enum lych_grant grant);

/* What a scope is about to restore. On the caller's stack. */
struct lych_scope {
	struct lych_region *region;
	void *memory; /* NULL: not open */
	uint32_t previous;
	uint32_t state;
	uint32_t turn; /* of the macros */
};

/*
 * lych_scope_open opens region on the calling thread for reading, or for reading and writing, and stores in *scope
 * what was before; lych_scope_close, on the same thread, restores that, exactly this region's rights and no others.
 * Scopes nest, per region and across regions, and close in reverse order. A read scope inside a write scope of the
 * same region leaves it writable. Returns the region's memory; NULL with errno when the thread cannot attach (EPERM,
 * ENOMEM) or the kernel refuses (mprotect: ENOMEM): nothing is open then, and closing the scope does nothing. Used
 * through LYCH_READ and LYCH_WRITE, which cannot forget to close. Thread-safe. Not async-signal-safe.
 */
LYCH_API void *lych_scope_open(struct lych_scope *scope, struct lych_region *region, bool write);
LYCH_API void lych_scope_close(struct lych_scope *scope);

/*
 *	LYCH_READ(struct secret, s, region) {
 *		use(s->key);
 *	} else {
 *		return -1;
 *	}
 *
 * runs the block with region open for reading, s a const struct secret *const that points to its memory: a write
 * through s does not compile. LYCH_WRITE opens it for writing, too, and s is a struct secret *const. However the
 * block is left, by its end, return, break, continue, goto or a C++ exception, the region is as it was before;
 * break and continue leave the block and not a loop around it. longjmp leaves it open, and so does ending the thread
 * inside in C code compiled without -fexceptions (it ends with the thread). A thread that is started inside of a
 * scope begins with its parent's rights, as the kernel hands them down, until it attaches. The else block runs, with
 * errno set as lych_scope_open, when the region could not be opened; without one nothing runs. region is evaluated
 * once.
 *
 * To the compiler it is a loop: a function that returns inside of the block needs a return after it.
 */
#define LYCH_READ(type, name, region) LYCH_SCOPE_(const type, name, region, false)
#define LYCH_WRITE(type, name, region) LYCH_SCOPE_(type, name, region, true)

/* The first loop opens and, by its variable, closes; the second gives the block its pointer. Both run once. */
#define LYCH_SCOPE_(type, name, region, write)                                                              \
	for (struct lych_scope lych_scope_of_##name __attribute__((cleanup(lych_scope_close))) =            \
		     lych_scope_for(region);                                                                \
	     lych_scope_begin(&lych_scope_of_##name, write);)                                               \
		for (type *const name = (type *)lych_scope_of_##name.memory;                                \
		     lych_scope_turn(&lych_scope_of_##name);)                                               \
			if (name)

static inline struct lych_scope lych_scope_for(struct lych_region *region)
{
	struct lych_scope scope = {region, NULL, 0, 0, 0};

	return scope;
}

static inline bool lych_scope_begin(struct lych_scope *scope, bool write)
{
	if (scope->turn != 0) {
		return false;
	}
	(void)lych_scope_open(scope, scope->region, write);
	scope->turn = 1;
	return true;
}

static inline bool lych_scope_turn(struct lych_scope *scope)
{
	return scope->turn++ == 1;
}

LYCH_END_DECLS

#endif /* LYCHGATE_REGION_H */
