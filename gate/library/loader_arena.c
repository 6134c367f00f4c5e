/* SPDX-License-Identifier: Apache-2.0 */
/* The dynamic loader and the stub, mapped into a domain's arena. */
#include <sys/mman.h>

#include "../core/keys.h"
#include "arena.h"
#include "library.h"
#include "loader.h"

/* Somewhere that all code reaches, and is reached from. */
static int place(void *ctx, uint64_t *at, uint64_t bytes, uint64_t align)
{
	struct library *l = ctx;
	uint64_t spare = align > LYCH_PAGE ? align : 0;
	long found = arena_place(l, bytes + spare, PROT_NONE, SPACE_TRAMPOLINES);

	if (found < 0) {
		return -ENOMEM;
	}
	/* Nothing of the domain runs yet: it is still free. */
	arena_unplace(l, (uint64_t)found);
	*at = spare != 0 ? ((uint64_t)found + align - 1) & ~(align - 1) : (uint64_t)found;
	found = arena_mmap(l, *at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	return found < 0 ? (int)found : 0;
}

static int map(void *ctx, uint64_t at, uint64_t bytes, int prot)
{
	long rc = arena_mmap(ctx, at, bytes, (uint64_t)prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return rc < 0 ? (int)rc : 0;
}

static int write_bytes(void *ctx, uint64_t at, const void *from, uint64_t bytes)
{
	return (int)inside_write(ctx, at, from, bytes);
}

static int copy(void *ctx, uint64_t at, const void *from, uint64_t bytes, int prot)
{
	int rc = map(ctx, at, bytes, PROT_READ | PROT_WRITE);

	if (rc == 0) {
		rc = write_bytes(ctx, at, from, bytes);
	}
	if (rc == 0 && prot != (PROT_READ | PROT_WRITE)) {
		rc = (int)arena_mprotect(ctx, at, bytes, (uint64_t)prot);
	}
	return rc;
}

static int code(void *ctx, const struct loader_code *c)
{
	int rc = map(ctx, c->at, c->len, PROT_READ);

	return rc != 0 ? rc : library_code_of(ctx, c->at, c->bytes, c->len, c->path, c->file, c->file_bytes, c->off);
}

static void *scratch(void *ctx, uint64_t bytes)
{
	(void)ctx;
	return monitor_alloc(bytes);
}

static void release(void *ctx, void *memory, uint64_t bytes)
{
	(void)ctx;
	monitor_free(memory, bytes);
}

int loader_into(struct library *l, const struct lych_library_opts *opts, struct inside_start *first)
{
	const struct loader_ops ops = {l, place, map, copy, code, write_bytes, scratch, release};
	struct loader_start where;
	int rc = loader_begin(&where, &ops, opts, lych_domain_name(l->domain));

	if (rc == 0) {
		rc = (int)inside_read(l, first, where.start, sizeof(*first));
	}
	if (rc == 0) {
		l->begin = where.enter;
	}
	return rc;
}
