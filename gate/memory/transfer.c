/* SPDX-License-Identifier: Apache-2.0 */
/* The heap of a domain and its memory, as the host uses them: public functions. */
#include <stdlib.h>
#include <string.h>

#include "../core/thread.h"
#include "../library/library.h"
#include "../library/none.h"
#include "domain_memory.h"

enum use {
	LOOK, /* at the tables only */
	FILL, /* the heap is written, and read for itself */
	READ, /* something comes out */
};

struct visit {
	struct lych_domain *domain;
	struct thread *thread;
	uint32_t before;
	bool held;
};

/* Attaches, as the tables lie in monitor memory, and opens until leave what the host cannot touch always: the memory
 * of a vault, for filling; with mprotect a heap that is closed because somebody is in another domain. */
static int enter(struct visit *v, struct lych_domain *domain, enum use use)
{
	int err;

	*v = (struct visit){.domain = domain};
	if (domain == NULL) {
		return -EINVAL;
	}
	if (NONE != NULL) {
		return 0; /* its functions look for themselves */
	}
	err = thread_self(&v->thread);
	if (err != 0) {
		return err;
	}
	if (domain->memory == NULL) {
		return -EINVAL;
	}
	if (use == READ && domain->kind == LYCH_KIND_VAULT) {
		return -EACCES;
	}
	if (use != LOOK && domain->memory->soft != NULL) {
		err = soft_hold(domain->memory->soft);
		v->held = err == 0;
	} else if (use == FILL) {
		v->before = vault_open(domain);
	}
	return err;
}

static void leave(const struct visit *v)
{
	if (v->held) {
		soft_release(v->domain->memory->soft);
	}
	vault_close(v->domain, v->before);
}

static void *result(void *block, int err)
{
	if (err != 0) {
		errno = -err;
		return NULL;
	}
	return block;
}

/* The lock of a heap is given up after a while for the monitor's sake. Here one can wait. */
#define WAITING(call)                   \
	({                              \
		int err_;               \
		do {                    \
			err_ = (call);  \
		} while (err_ == -EAGAIN); \
		err_;                   \
	})

static int fresh(struct lych_domain *domain, size_t align, size_t bytes, const void *src, size_t copied, void **out,
		 uint64_t *life)
{
	int err = NONE != NULL ? NONE->alloc(domain, out, align, bytes, life)
			       : WAITING(heap_take(domain, align, bytes, out, life));

	if (err == 0 && copied > 0) {
		memcpy(*out, src, copied);
	}
	return err;
}

static void *alloc(struct lych_domain *domain, size_t align, size_t bytes, const void *src, size_t copied)
{
	void *block = NULL;
	struct visit v;
	int err = enter(&v, domain, FILL);

	if (err != 0) {
		return result(NULL, err);
	}
	err = fresh(domain, align, bytes, src, copied, &block, NULL);
	leave(&v);
	return result(block, err);
}

void *lych_alloc(struct lych_domain *domain, size_t bytes)
{
	return alloc(domain, GRANULE, bytes, NULL, 0);
}

void *lych_alloc_aligned(struct lych_domain *domain, size_t align, size_t bytes)
{
	return alloc(domain, align, bytes, NULL, 0);
}

void *lych_calloc(struct lych_domain *domain, size_t count, size_t bytes)
{
	size_t product;

	if (__builtin_mul_overflow(count, bytes, &product)) {
		return result(NULL, -ENOMEM);
	}
	return alloc(domain, GRANULE, product, NULL, 0);
}

char *lych_strdup(struct lych_domain *domain, const char *text)
{
	size_t bytes = strlen(text) + 1;

	return alloc(domain, GRANULE, bytes, text, bytes);
}

void *lych_copy_in(struct lych_domain *domain, const void *src, size_t bytes)
{
	return alloc(domain, GRANULE, bytes, src, bytes);
}

static int resize(struct lych_domain *domain, void *block, size_t bytes, void **out)
{
	size_t before;
	int err;

	if (NONE != NULL) {
		return NONE->resize(domain, out, block, bytes);
	}
	err = WAITING(heap_measure(domain, block, &before));
	if (err != 0) {
		return err;
	}
	if (bytes <= before) {
		*out = block;
		return WAITING(heap_shrink(domain, block, bytes));
	}
	err = fresh(domain, GRANULE, bytes, block, before, out, NULL);
	if (err != 0) {
		return err;
	}
	err = WAITING(heap_free(domain, block));
	if (err != 0) {
		/* Another thread has freed it meanwhile. */
		(void)WAITING(heap_free(domain, *out));
	}
	return err;
}

void *lych_realloc(struct lych_domain *domain, void *block, size_t bytes)
{
	void *out = NULL;
	struct visit v;
	int err;

	if (block == NULL) {
		return alloc(domain, GRANULE, bytes, NULL, 0);
	}
	err = enter(&v, domain, FILL);
	if (err != 0) {
		return result(NULL, err);
	}
	err = resize(domain, block, bytes, &out);
	leave(&v);
	return result(out, err);
}

int lych_free(struct lych_domain *domain, void *block)
{
	struct visit v;
	int err;

	if (block == NULL) {
		return 0;
	}
	err = enter(&v, domain, FILL);
	if (err != 0) {
		return err;
	}
	err = NONE != NULL ? NONE->free(domain, block) : WAITING(heap_free(domain, block));
	leave(&v);
	return err;
}

void *lych_result_new(struct lych_domain *domain, size_t align, size_t bytes, uint64_t *life)
{
	void *block = NULL;
	struct visit v;
	int err = enter(&v, domain, FILL);

	if (err != 0) {
		return result(NULL, err);
	}
	err = fresh(domain, align, bytes, NULL, 0, &block, life);
	leave(&v);
	return result(block, err);
}

/* Where it cannot be written the host faults here, as it would without us, and no lock is held for ever. */
static void touch(void *dst, size_t bytes)
{
	volatile uint8_t *at = dst;

	for (size_t i = 0; dst != NULL && i < bytes; i += LYCH_PAGE - ((uintptr_t)&at[i] & (LYCH_PAGE - 1))) {
		at[i] = at[i];
	}
}

int lych_result_end(struct lych_domain *domain, void *block, uint64_t life, int status, void *dst, size_t bytes)
{
	struct visit v;
	int err = enter(&v, domain, status == 0 ? READ : FILL);

	if (err != 0) {
		return status != 0 ? status : err;
	}
	if (NONE != NULL) {
		return NONE->result_end(domain, block, life, status, dst, bytes);
	}
	if (status == 0 && memory_contains(domain, v.thread, (uintptr_t)block, bytes)) {
		touch(dst, bytes);
	}
	err = WAITING(heap_fetch(domain, block, life, status == 0 ? dst : NULL, bytes));
	leave(&v);
	return status != 0 ? status : err;
}

/* LYCH_NONE: what a library has of its own is not known, so most pointers are good. */
static int contains(const struct visit *v, const void *at, size_t bytes, bool reads)
{
	if (NONE != NULL) {
		return NONE->verify_range(v->domain, at, bytes, reads);
	}
	return memory_contains(v->domain, v->thread, (uintptr_t)at, bytes) ? 0 : -EFAULT;
}

int lych_verify_range(struct lych_domain *domain, const void *at, size_t bytes)
{
	struct visit v;
	int err = enter(&v, domain, LOOK);

	if (err != 0) {
		return err;
	}
	err = contains(&v, at, bytes, false);
	leave(&v);
	return err;
}

/* From memory of the domain, which a library domain may unmap meanwhile. */
static int take_out(const struct visit *v, void *dst, const void *src, size_t bytes)
{
	if (NONE == NULL && bytes != 0 && !memory_is_steady(v->domain, v->thread, (uintptr_t)src, bytes)) {
		return (int)inside_read(v->domain->library, dst, (uintptr_t)src, bytes);
	}
	copy_once(dst, src, bytes);
	return 0;
}

int lych_copy_out(struct lych_domain *domain, void *dst, const void *src, size_t bytes)
{
	struct visit v;
	int err = enter(&v, domain, READ);

	if (err != 0) {
		return err;
	}
	err = contains(&v, src, bytes, true);
	if (err == 0) {
		err = take_out(&v, dst, src, bytes);
	}
	leave(&v);
	return err;
}

int lych_copy_to(struct lych_domain *domain, void *dst, const void *src, size_t bytes)
{
	struct visit v;
	int err = enter(&v, domain, FILL);

	if (err != 0) {
		return err;
	}
	err = contains(&v, dst, bytes, false);
	if (err == 0 && NONE == NULL && bytes != 0 && !memory_is_steady(domain, v.thread, (uintptr_t)dst, bytes)) {
		err = (int)inside_write(domain->library, (uintptr_t)dst, src, bytes);
	} else if (err == 0 && bytes != 0) {
		memcpy(dst, src, bytes);
	}
	leave(&v);
	return err;
}

/* Copies piece by piece and looks for the NUL in the copy, never in the domain. */
static int string_out(const struct visit *v, char **out, const char *src, size_t window, size_t max)
{
	size_t have = 0;
	size_t size = 0;
	char *copy = NULL;
	char *end = NULL;

	while (end == NULL && have < window) {
		size_t piece = have == 0 ? 256 : have;
		char *grown;

		/* To the end of a page: the next one need not be there, and the string may end before it. */
		if (v->domain->library != NULL && piece > LYCH_PAGE - ((uintptr_t)(src + have) & (LYCH_PAGE - 1))) {
			piece = LYCH_PAGE - ((uintptr_t)(src + have) & (LYCH_PAGE - 1));
		}
		piece = piece < window - have ? piece : window - have;
		size = have + piece;
		grown = realloc(copy, size);
		if (grown == NULL) {
			free(copy);
			return -ENOMEM;
		}
		copy = grown;
		if (take_out(v, copy + have, src + have, piece) != 0) {
			free(copy);
			return -EFAULT;
		}
		end = memchr(copy + have, '\0', piece);
		have = size;
	}
	if (end == NULL) {
		free(copy);
		return window < max ? -EFAULT : -E2BIG;
	}
	*out = copy;
	return 0;
}

/* LYCH_NONE: where the memory ends is not known, so nothing behind the NUL is read. */
static int none_string_out(char **out, const char *src, size_t max)
{
	size_t length = strnlen(src, max);

	if (length == max) {
		return -E2BIG;
	}
	*out = strndup(src, length);
	return *out != NULL ? 0 : -ENOMEM;
}

int lych_strndup_out(struct lych_domain *domain, char **out, const char *src, size_t max)
{
	struct visit v;
	uint64_t room;
	int err;

	*out = NULL;
	err = enter(&v, domain, READ);
	if (err != 0) {
		return err;
	}
	if (NONE != NULL) {
		err = NONE->verify_range(domain, src, 1, true);
		return err != 0 ? err : none_string_out(out, src, max);
	}
	room = memory_room(domain, v.thread, (uintptr_t)src);
	err = room == 0 ? -EFAULT : string_out(&v, out, src, room < max ? room : max, max);
	leave(&v);
	return err;
}
