/* SPDX-License-Identifier: Apache-2.0 */
/* LYCH_NONE: regions. Always open; between inaccessible pages, so that at least their ends are seen. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "none.h"

#define SCOPE_OPEN 1u

struct lych_region {
	void *at;
	size_t bytes;
	bool keep_on_free;
	_Atomic uint32_t scopes;
};

int none_region_new(struct lych_region **out, size_t bytes, const struct lych_region_opts *opts)
{
	struct lych_region *r = calloc(1, sizeof(*r));
	char *map;

	if (r == NULL) {
		return -ENOMEM;
	}
	r->bytes = (bytes + LYCH_PAGE - 1) & ~(size_t)(LYCH_PAGE - 1);
	r->keep_on_free = opts->keep_on_free;
	map = mmap(NULL, r->bytes + 2 * (size_t)LYCH_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED) {
		free(r);
		return -ENOMEM;
	}
	r->at = map + LYCH_PAGE;
	if (mprotect(r->at, r->bytes, PROT_READ | PROT_WRITE) != 0 ||
	    (!opts->dump && madvise(r->at, r->bytes, MADV_DONTDUMP) != 0) ||
	    (!opts->keep_on_fork && madvise(r->at, r->bytes, MADV_WIPEONFORK) != 0) ||
	    (opts->lock_memory && mlock(r->at, r->bytes) != 0)) {
		munmap(map, r->bytes + 2 * (size_t)LYCH_PAGE);
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

int none_region_free(struct lych_region *r)
{
	if (atomic_load(&r->scopes) != 0) {
		return -EBUSY;
	}
	if (!r->keep_on_free) {
		explicit_bzero(r->at, r->bytes);
	}
	munmap((char *)r->at - LYCH_PAGE, r->bytes + 2 * (size_t)LYCH_PAGE);
	free(r);
	return 0;
}

void *none_region_address(struct lych_region *r)
{
	return r->at;
}

size_t none_region_bytes(const struct lych_region *r)
{
	return r->bytes;
}

void *none_scope_open(struct lych_scope *scope, bool write)
{
	(void)write;
	atomic_fetch_add(&scope->region->scopes, 1);
	scope->state = SCOPE_OPEN;
	scope->memory = scope->region->at;
	return scope->memory;
}

void none_scope_close(struct lych_scope *scope)
{
	if (scope->state & SCOPE_OPEN) {
		scope->state = 0;
		scope->memory = NULL;
		atomic_fetch_sub(&scope->region->scopes, 1);
	}
}
