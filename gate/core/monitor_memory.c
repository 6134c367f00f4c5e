/* SPDX-License-Identifier: Apache-2.0 */
/* Monitor memory: what only trusted views touch. */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "asm.h"
#include "keys.h"

/*
 * Blocks from before there was a key. keys_start tags them, and keys_stop untags them without rights to any, which
 * is why this list is not among them. After lych_init nobody reads it.
 */
#define EARLY_MAX 32
static struct {
	void *at;
	size_t bytes;
} early[EARLY_MAX];
static size_t earlies;

static size_t whole_pages(size_t bytes)
{
	return (bytes + LYCH_PAGE - 1) / LYCH_PAGE * LYCH_PAGE;
}

size_t monitor_early_blocks(void)
{
	return earlies;
}

void *monitor_early_block(size_t i, size_t *bytes)
{
	*bytes = early[i].bytes;
	return early[i].at;
}

void *monitor_alloc(size_t bytes)
{
	bool started = ROOT.monitor_key != 0;
	void *at;

	if (bytes == 0 || bytes > SIZE_MAX / 2 || (!started && earlies == EARLY_MAX)) {
		return NULL;
	}
	bytes = whole_pages(bytes);
	/* PROT_NONE until it is tagged: no domain gets at it between the two. */
	at = mmap(NULL, bytes, started ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED) {
		return NULL;
	}
	/* Tables are sparse: a huge page would be zeroed for the first entry. A kernel without them refuses. */
	sys3(SYS_madvise, at, bytes, MADV_NOHUGEPAGE);
	if (!started) {
		early[earlies].at = at;
		early[earlies++].bytes = bytes;
		return at;
	}
	if (ledger_add(at, bytes, (int)ROOT.monitor_key, PROT_READ | PROT_WRITE) != 0) {
		munmap(at, bytes);
		return NULL;
	}
	return at;
}

void monitor_free(void *at, size_t bytes)
{
	if (at == NULL) {
		return;
	}
	bytes = whole_pages(bytes);
	if (ROOT.monitor_key != 0) {
		ledger_remove(at, bytes);
		return;
	}
	for (size_t i = 0; i < earlies; i++) {
		if (early[i].at == at) {
			early[i] = early[--earlies];
			break;
		}
	}
	munmap(at, bytes);
}
