/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LYCH_NONE: heaps of domains. Each block is one of malloc's, so that sanitizers and valgrind see it; a table of those that
 * live says which pointers are blocks of which domain.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "none.h"

#define GRANULE 16
#define SIZE_FIRST 64

/* ---- the table: open addressing, at most half full, under the lock -------------------------------- */

static size_t place_of(const struct none_domain *d, const void *at)
{
	return ((uintptr_t)at >> 4) * 0x9e3779b97f4a7c15ull >> 32 & (d->size - 1);
}

static struct none_block *find(const struct none_domain *d, const void *at)
{
	if (d->size == 0 || at == NULL) {
		return NULL;
	}
	for (size_t i = place_of(d, at); d->blocks[i].at != NULL; i = (i + 1) & (d->size - 1)) {
		if (d->blocks[i].at == at) {
			return &d->blocks[i];
		}
	}
	return NULL;
}

static void put(struct none_domain *d, void *at, size_t bytes)
{
	size_t i = place_of(d, at);

	while (d->blocks[i].at != NULL) {
		i = (i + 1) & (d->size - 1);
	}
	d->blocks[i] = (struct none_block){at, bytes};
}

/* Room for one more. */
static bool grow(struct none_domain *d)
{
	struct none_block *old = d->blocks;
	size_t size = d->size;

	if (2 * (d->nblocks + 1) <= size) {
		return true;
	}
	d->blocks = calloc(size != 0 ? 2 * size : SIZE_FIRST, sizeof(*old));
	if (d->blocks == NULL) {
		d->blocks = old;
		return false;
	}
	d->size = size != 0 ? 2 * size : SIZE_FIRST;
	for (size_t i = 0; i < size; i++) {
		if (old[i].at != NULL) {
			put(d, old[i].at, old[i].bytes);
		}
	}
	free(old);
	return true;
}

/* Those behind it, up to the next gap, are put where they are found without it. */
static void take_out(struct none_domain *d, struct none_block *block)
{
	size_t i = (size_t)(block - d->blocks);

	block->at = NULL;
	d->nblocks--;
	for (i = (i + 1) & (d->size - 1); d->blocks[i].at != NULL; i = (i + 1) & (d->size - 1)) {
		struct none_block moved = d->blocks[i];

		d->blocks[i].at = NULL;
		put(d, moved.at, moved.bytes);
	}
}

/* ---- blocks, under the lock ------------------------------------------------------------------------ */

static size_t rounded(size_t bytes)
{
	return bytes == 0 ? GRANULE : (bytes + GRANULE - 1) & ~(size_t)(GRANULE - 1);
}

static int block_new(struct none_domain *d, void **out, size_t align, size_t bytes)
{
	void *at = NULL;

	if (align == 0 || (align & (align - 1)) != 0) {
		return -EINVAL;
	}
	if (bytes > d->heap_bytes || rounded(bytes) > d->heap_bytes - d->used_bytes || !grow(d)) {
		return -ENOMEM;
	}
	if (align <= GRANULE) {
		at = calloc(1, bytes != 0 ? bytes : 1);
	} else if (posix_memalign(&at, align, bytes != 0 ? bytes : 1) == 0) {
		memset(at, 0, bytes);
	}
	if (at == NULL) {
		return -ENOMEM;
	}
	if (d->lock_memory && bytes != 0 && mlock(at, bytes) != 0) {
		free(at);
		return -ENOMEM;
	}
	put(d, at, bytes);
	d->nblocks++;
	d->used_bytes += rounded(bytes);
	*out = at;
	return 0;
}

static void release(struct none_domain *d, void *at, size_t bytes)
{
	d->used_bytes -= rounded(bytes);
	if (d->zero_on_free) {
		explicit_bzero(at, bytes);
	}
	free(at);
}

static int block_free(struct none_domain *d, void *at)
{
	struct none_block *block = find(d, at);
	size_t bytes;

	if (block == NULL) {
		return -EINVAL;
	}
	bytes = block->bytes;
	take_out(d, block);
	release(d, at, bytes);
	return 0;
}

void none_blocks_free(struct none_domain *d)
{
	for (size_t i = 0; i < d->size; i++) {
		if (d->blocks[i].at != NULL) {
			release(d, d->blocks[i].at, d->blocks[i].bytes);
			d->blocks[i].at = NULL;
		}
	}
	d->nblocks = 0;
}

/* ---- for transfer.c --------------------------------------------------------------------------------- */

int none_alloc(struct lych_domain *domain, void **out, size_t align, size_t bytes, uint64_t *life)
{
	struct none_domain *d;
	int rc = -EINVAL;

	none_lock();
	d = none_domain_of(domain);
	if (d != NULL) {
		rc = block_new(d, out, align, bytes);
		if (life != NULL) {
			*life = d->life;
		}
	}
	none_unlock();
	return rc;
}

int none_resize(struct lych_domain *domain, void **out, void *at, size_t bytes)
{
	struct none_domain *d;
	struct none_block *block;
	size_t before;
	int rc = -EINVAL;

	none_lock();
	d = none_domain_of(domain);
	block = d != NULL ? find(d, at) : NULL;
	if (block != NULL) {
		/* Always moved: so whoever keeps the old pointer is found. */
		before = block->bytes;
		rc = block_new(d, out, GRANULE, bytes);
		if (rc == 0) {
			memcpy(*out, at, bytes < before ? bytes : before);
			rc = block_free(d, at);
		}
	}
	none_unlock();
	return rc;
}

int none_free(struct lych_domain *domain, void *at)
{
	struct none_domain *d;
	int rc;

	none_lock();
	d = none_domain_of(domain);
	rc = d != NULL ? block_free(d, at) : -EINVAL;
	none_unlock();
	return rc;
}

int none_result_end(struct lych_domain *domain, void *block, uint64_t life, int status, void *dst, size_t bytes)
{
	struct none_domain *d;
	int rc = status;

	none_lock();
	d = none_domain_of(domain);
	if (d == NULL || d->life != life) {
		rc = status != 0 ? status : d == NULL ? -EINVAL : -ECANCELED;
	} else {
		if (status == 0 && d->kind == LYCH_KIND_VAULT) {
			rc = -EACCES;
		} else if (status == 0 && dst != NULL) {
			memcpy(dst, block, bytes);
		}
		(void)block_free(d, block);
	}
	none_unlock();
	return rc;
}

int none_verify_range(struct lych_domain *domain, const void *at, size_t bytes, bool reads)
{
	const struct none_domain *d;
	uintptr_t end;
	int rc;

	none_lock();
	d = none_domain_of(domain);
	rc = d == NULL ? -EINVAL : reads && d->kind == LYCH_KIND_VAULT ? -EACCES : 0;
	none_unlock();
	if (rc == 0 && (at == NULL || __builtin_add_overflow((uintptr_t)at, bytes, &end))) {
		rc = -EFAULT;
	}
	return rc;
}
