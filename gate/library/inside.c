/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap, for code inside a domain. Runs with the domain's rights: the call is dispatched to the monitor like any
 * other. Outside of a domain the kernel knows no such number.
 */
#include "../core/asm.h"
#include "mediator.h"
#include "none.h"

/* LYCH_NONE: this thread knows which domain's code it runs. */
static void *none_inside_alloc(uint64_t at, size_t bytes)
{
	struct lych_domain *domain = NONE->inside(at);
	void *block = NULL;

	if (domain == NULL) {
		errno = EPERM;
		return NULL;
	}
	return NONE->alloc(domain, &block, 16, bytes, NULL) == 0 ? block : NULL;
}

void *lych_inside_alloc(size_t bytes)
{
	long block;

	if (NONE != NULL) {
		return none_inside_alloc(NONE_AT, bytes);
	}
	block = sys2(LYCH_SYS_INSIDE, INSIDE_ALLOC, bytes);
	if (block == -ENOSYS) {
		errno = EPERM;
	}
	/* When the heap is full errno stays as it is: a pure domain cannot write it. */
	return block < 0 ? NULL : (void *)(uintptr_t)block;
}

void lych_inside_free(void *block)
{
	if (block != NULL && NONE != NULL) {
		(void)NONE->free(NONE->inside(NONE_AT), block);
	} else if (block != NULL) {
		(void)sys2(LYCH_SYS_INSIDE, INSIDE_FREE, block);
	}
}
