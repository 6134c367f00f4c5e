/* SPDX-License-Identifier: Apache-2.0 */
/* The heap of a domain and its memory, as the host uses them: public functions. */
#include <stdlib.h>
#include <string.h>

#include "../core/thread.h"
#include "domain_memory.h"

/* Attaches, as the tables lie in monitor memory; and with mprotect opens the heap until leave. */
static int enter(struct lych_domain *domain, struct thread **t)
{
	int err;

	if (domain == NULL) {
		return -EINVAL;
	}
	err = thread_self(t);
	if (err != 0) {
		return err;
	}
	if (domain->memory == NULL) {
		return -EINVAL;
	}
	return domain->memory->soft == NULL ? 0 : soft_hold(domain->memory->soft);
}

static void leave(struct lych_domain *domain)
{
	if (domain->memory->soft != NULL) {
		soft_release(domain->memory->soft);
	}
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

static int fresh(struct lych_domain *domain, size_t align, size_t bytes, const void *src, size_t copied, void **out)
{
	int err = WAITING(heap_take(domain, align, bytes, out));

	if (err == 0 && copied > 0) {
		memcpy(*out, src, copied);
	}
	return err;
}

static void *alloc(struct lych_domain *domain, size_t align, size_t bytes, const void *src, size_t copied)
{
	void *block = NULL;
	struct thread *t;
	int err = enter(domain, &t);

	if (err != 0) {
		return result(NULL, err);
	}
	err = fresh(domain, align, bytes, src, copied, &block);
	leave(domain);
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
	int err = WAITING(heap_measure(domain, block, &before));

	if (err != 0) {
		return err;
	}
	if (bytes <= before) {
		*out = block;
		return WAITING(heap_shrink(domain, block, bytes));
	}
	err = fresh(domain, GRANULE, bytes, block, before, out);
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
	struct thread *t;
	int err;

	if (block == NULL) {
		return alloc(domain, GRANULE, bytes, NULL, 0);
	}
	err = enter(domain, &t);
	if (err != 0) {
		return result(NULL, err);
	}
	err = resize(domain, block, bytes, &out);
	leave(domain);
	return result(out, err);
}

int lych_free(struct lych_domain *domain, void *block)
{
	struct thread *t;
	int err;

	if (block == NULL) {
		return 0;
	}
	err = enter(domain, &t);
	if (err != 0) {
		return err;
	}
	err = WAITING(heap_free(domain, block));
	leave(domain);
	return err;
}

/*
 * Each byte of src is loaded exactly once: what another thread of the domain writes meanwhile can be in dst or not,
 * but never be seen both ways. memcpy does not promise that.
 */
static void copy_once(void *dst, const void *src, size_t bytes)
{
	typedef uint64_t __attribute__((may_alias, aligned(1))) word;
	const volatile uint8_t *from = src;
	uint8_t *to = dst;

	for (; bytes >= sizeof(word); bytes -= sizeof(word)) {
		*(word *)to = *(const volatile word *)from;
		from += sizeof(word);
		to += sizeof(word);
	}
	for (; bytes > 0; bytes--) {
		*to++ = *from++;
	}
}

int lych_verify_range(struct lych_domain *domain, const void *at, size_t bytes)
{
	struct thread *t;
	int err = enter(domain, &t);

	if (err != 0) {
		return err;
	}
	err = memory_contains(domain, t, (uintptr_t)at, bytes) ? 0 : -EFAULT;
	leave(domain);
	return err;
}

int lych_copy_out(struct lych_domain *domain, void *dst, const void *src, size_t bytes)
{
	struct thread *t;
	int err = enter(domain, &t);

	if (err != 0) {
		return err;
	}
	err = memory_contains(domain, t, (uintptr_t)src, bytes) ? 0 : -EFAULT;
	if (err == 0) {
		copy_once(dst, src, bytes);
	}
	leave(domain);
	return err;
}

/* Copies piece by piece and looks for the NUL in the copy, never in the domain. */
static int string_out(char **out, const char *src, size_t window, size_t max)
{
	size_t have = 0;
	size_t size = 0;
	char *copy = NULL;
	char *end = NULL;

	while (end == NULL && have < window) {
		size_t piece = have == 0 ? 256 : have;
		char *grown;

		piece = piece < window - have ? piece : window - have;
		size = have + piece;
		grown = realloc(copy, size);
		if (grown == NULL) {
			free(copy);
			return -ENOMEM;
		}
		copy = grown;
		copy_once(copy + have, src + have, piece);
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

int lych_strndup_out(struct lych_domain *domain, char **out, const char *src, size_t max)
{
	struct thread *t;
	uint64_t room;
	int err;

	*out = NULL;
	err = enter(domain, &t);
	if (err != 0) {
		return err;
	}
	room = memory_room(domain, t, (uintptr_t)src);
	err = room == 0 ? -EFAULT : string_out(out, src, room < max ? room : max, max);
	leave(domain);
	return err;
}
