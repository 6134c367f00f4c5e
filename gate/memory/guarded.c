/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "guarded.h"

#include "../core/asm.h"
#include "../core/keys.h"

static long advise(uint64_t at, size_t bytes, int advice)
{
	return sys3(SYS_madvise, at, bytes, advice);
}

int range_map(void **out, size_t bytes, int key, int prot, unsigned int flags)
{
	size_t whole = bytes + 2 * RANGE_GUARD;
	long map = sys6(SYS_mmap, 0, (long)whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t at = (uint64_t)map + RANGE_GUARD;
	bool dump = flags & RANGE_DUMP;

	if (map < 0 && map > -LYCH_PAGE) {
		return -ENOMEM;
	}
	/*
	 * The guards get the opposite advice, so that the range stays a mapping of its own when it is PROT_NONE, too:
	 * opening it again then never needs to split one, which may fail.
	 */
	if (advise((uint64_t)map, whole, dump ? MADV_DONTDUMP : MADV_DODUMP) != 0 ||
	    advise(at, bytes, dump ? MADV_DODUMP : MADV_DONTDUMP) != 0 ||
	    ((flags & RANGE_WIPE) && advise(at, bytes, MADV_WIPEONFORK) != 0)) {
		goto fail;
	}
	/* Locked while it still is ordinary and zero: the kernel fills pages with the rights this thread has. */
	if ((flags & RANGE_LOCK) && (sys3(SYS_mprotect, at, bytes, PROT_READ | PROT_WRITE) != 0 ||
				     sys2(SYS_mlock, at, bytes) != 0)) {
		goto fail;
	}
	if (ledger_add((void *)at, bytes, key, prot) != 0) {
		goto fail;
	}
	*out = (void *)at;
	return 0;

fail:
	sys2(SYS_munmap, map, whole);
	return -ENOMEM;
}

void range_unmap(void *at, size_t bytes)
{
	/* In three parts: once the middle is gone, somebody else may have mapped something there. */
	sys2(SYS_munmap, (uint64_t)at - RANGE_GUARD, RANGE_GUARD);
	sys2(SYS_munmap, (uint64_t)at + bytes, RANGE_GUARD);
	ledger_remove(at, bytes);
}
