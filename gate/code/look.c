/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "../../scanner/pattern.h"
#include "../core/asm.h"
#include "parts.h"

/* The sites of gate_x86_64.S, as its note in memory lists them: entries of a note each (lychgate/note.h). */
extern LYCH_HIDDEN const uint8_t lych_note[], lych_note_end[];
#define NOTE_HEAD (12 + sizeof(LYCH_NOTE_OWNER) + 3)

struct look {
	struct code_hits *hits;
	const struct code_maps *maps;
	uint64_t vaddr;
};

/* Is it one of ours, at that address? Then its site is in *site. */
static bool own_site(struct site *site, const struct hit *hit)
{
	const uint8_t *at = lych_note;
	const size_t head = NOTE_HEAD & ~(size_t)3;

	while (at + head < lych_note_end) {
		uint32_t bytes;

		__builtin_memcpy(&bytes, at + 4, sizeof(bytes));
		if (site_parse(site, 1, at + head, bytes, (uint64_t)(uintptr_t)(at + head)) == 1 &&
		    site->vaddr == hit->vaddr + hit->len) {
			return true;
		}
		at += head + ((bytes + 3) & ~UINT32_C(3));
	}
	return false;
}

static int take(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	struct look *look = ctx;
	const struct code code = {maps_code, (void *)look->maps};
	struct code_hit found = {.hit = {look->vaddr + off, look->vaddr + core, (uint8_t)len, cls}};
	const char *why;
	struct site site;

	found.verdict = verdict_of(&found.hit, &site, own_site(&site, &found.hit) ? 1 : 0, &code, &why);
	if (look->hits->count == look->hits->room || look->hits->naccepted == look->hits->room) {
		return -E2BIG;
	}
	if (found.verdict == LYCH_VERDICT_GATE || found.verdict == LYCH_VERDICT_CHECKED) {
		look->hits->accepted[look->hits->naccepted++] = found.hit;
		return 0;
	}
	found.map = maps_from(look->maps, found.hit.vaddr);
	look->hits->items[look->hits->count++] = found;
	return 0;
}

int hits_begin(struct code_hits *hits, size_t room)
{
	*hits = (struct code_hits){arena_take(room * sizeof(*hits->items)), arena_take(room * sizeof(*hits->accepted)), 0, 0, room};
	return hits->items != NULL && hits->accepted != NULL ? 0 : -ENOMEM;
}

int look_at(struct code_hits *hits, const struct code_maps *maps, uint64_t start, uint64_t end, uint32_t classes)
{
	struct look look = {hits, maps, start};

	return pattern_scan((const uint8_t *)(uintptr_t)start, end - start, classes, take, &look);
}

int look_at_all(struct code_hits *hits, const struct code_maps *maps, uint32_t classes)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < maps->count; i++) {
		uint64_t start = maps->items[i].start, end = maps->items[i].end;

		if (!map_is_code(&maps->items[i])) {
			continue;
		}
		/* What lies together runs together. */
		for (; i + 1 < maps->count && maps->items[i + 1].start == end && map_is_code(&maps->items[i + 1]); i++) {
			end = maps->items[i + 1].end;
		}
		rc = look_at(hits, maps, start, end, classes);
	}
	return rc;
}
