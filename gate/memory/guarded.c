/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>

#include "guarded.h"

#include "../core/keys.h"

int range_map(void **out, size_t bytes, int key, int prot, unsigned int flags)
{
	size_t whole = bytes + 2 * RANGE_GUARD;
	char *map = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = map + RANGE_GUARD;
	bool dump = flags & RANGE_DUMP;

	if (map == MAP_FAILED) {
		return -ENOMEM;
	}
	/*
	 * The guards get the opposite advice, so that the range stays a mapping of its own when it is PROT_NONE, too:
	 * opening it again then never needs to split one, which may fail.
	 */
	if (madvise(map, whole, dump ? MADV_DONTDUMP : MADV_DODUMP) != 0 ||
	    madvise(at, bytes, dump ? MADV_DODUMP : MADV_DONTDUMP) != 0 ||
	    ((flags & RANGE_WIPE) && madvise(at, bytes, MADV_WIPEONFORK) != 0)) {
		goto fail;
	}
	/* Locked while it still is ordinary and zero: the kernel fills pages with the rights this thread has. */
	if ((flags & RANGE_LOCK) && (mprotect(at, bytes, PROT_READ | PROT_WRITE) != 0 || mlock(at, bytes) != 0)) {
		goto fail;
	}
	if (ledger_add(at, bytes, key, prot) != 0) {
		goto fail;
	}
	*out = at;
	return 0;

fail:
	munmap(map, whole);
	return -ENOMEM;
}

void range_unmap(void *at, size_t bytes)
{
	/* In three parts: once the middle is gone, somebody else may have mapped something there. */
	munmap((char *)at - RANGE_GUARD, RANGE_GUARD);
	munmap((char *)at + bytes, RANGE_GUARD);
	ledger_remove(at, bytes);
}
