/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a dynamic loader.
 *
 * What must hold of one that is accepted: its segments ascend from 0 to its end in whole pages, without one page in
 * common; none is both writable and executable, and all of an executable one comes from the file; entry point and
 * program headers are where they must be; and pages that are filled hold the file's bytes where it says, and zeros.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "../../gate/library/loader_elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition) {
		abort();
	}
}

static bool all_zero(const uint8_t *at, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++) {
		if (at[i] != 0) {
			return false;
		}
	}
	return true;
}

static void check_pages(const struct loader_segment *s, const uint8_t *file, size_t size)
{
	uint8_t *pages = malloc(s->held);
	uint64_t before = s->vaddr - s->start;

	require(pages != NULL && s->file <= size && s->bytes <= size - s->file);
	require(before < 4096 && before + s->bytes <= s->held);
	memset(pages, 0xaa, s->held);
	loader_elf_fill(pages, s, file);
	require(all_zero(pages, before) && memcmp(pages + before, file + s->file, s->bytes) == 0 &&
		all_zero(pages + before + s->bytes, s->held - before - s->bytes));
	free(pages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct loader_elf elf;
	const char *why = NULL;
	uint64_t end = 0;
	bool entered = false;
	int rc = loader_elf_read(&elf, &why, data, size);

	require((rc == 0) == (why == NULL));
	if (rc != 0) {
		return 0;
	}
	require(elf.count != 0 && elf.count <= LOADER_SEGMENTS_MAX && elf.segments[0].start == 0);
	require(elf.align >= 4096 && (elf.align & (elf.align - 1)) == 0);
	for (uint32_t i = 0; i < elf.count; i++) {
		const struct loader_segment *s = &elf.segments[i];

		require((s->start | s->end | s->held) % 4096 == 0 && s->start >= end && s->end > s->start);
		require(s->held <= s->end - s->start);
		require(!s->executable || (!s->writable && s->held == s->end - s->start));
		if (s->held != 0) {
			check_pages(s, data, size);
		}
		entered = entered || (s->executable && elf.entry >= s->start && elf.entry < s->end);
		end = s->end;
	}
	require(entered && end == elf.end && end <= LOADER_IMAGE_MAX);
	require(elf.phdr + elf.phnum * sizeof(Elf64_Phdr) <= elf.segments[0].held);
	return 0;
}
