/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap, for code inside a domain. Runs with the domain's rights: the call is dispatched to the monitor like any
 * other. Outside of a domain the kernel knows no such number.
 */
#include "../core/asm.h"
#include "mediator.h"

void *lych_inside_alloc(size_t bytes)
{
	long block = sys2(LYCH_SYS_INSIDE, INSIDE_ALLOC, bytes);

	if (block == -ENOSYS) {
		errno = EPERM;
	}
	/* When the heap is full errno stays as it is: a pure domain cannot write it. */
	return block < 0 ? NULL : (void *)(uintptr_t)block;
}

void lych_inside_free(void *block)
{
	if (block != NULL) {
		(void)sys2(LYCH_SYS_INSIDE, INSIDE_FREE, block);
	}
}
