/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans for code of domains, kept for the next domain that maps the same: most have the same libraries, and a child that plans is
 * a copy of the whole process. A plan is used again for the same code and the same file only, byte by byte, with the room for
 * trampolines at the same distance: all that it writes is relative. It is looked at as if a child had just made it.
 */
#include <stdatomic.h>
#include <string.h>

#include "parts.h"

/* Of all that is kept; what was used the longest time ago goes. */
#define MOST ((size_t)48 << 20)

struct memo_plan {
	struct memo_plan *next;
	size_t bytes; /* of this, with what follows */
	uint64_t at, room, room_bytes, off;
	size_t content_bytes, file_bytes, hits, nedits, ntrampolines, nno_exec;
	uint32_t classes;
	struct plan_item *items;
	struct repair_edit *edits;
	struct repair_trampoline *trampolines;
	struct repair_area *no_exec;
	uint8_t *file; /* with the content in its place */
};

/* Where the file has the content. */
static uint64_t behind(const struct lych_code_copy *copy)
{
	return copy->off + copy->bytes;
}

static void *part(char **at, size_t bytes)
{
	void *here = *at;

	*at += (bytes + 15) & ~(size_t)15;
	return here;
}

/* ---- finding one --------------------------------------------------------------------------------------------------- */

static bool is_for(const struct memo_plan *m, const struct lych_code_copy *copy, const uint8_t *content, const struct plan *plan)
{
	uint64_t end = behind(copy);
	void *chunk;

	if (m->content_bytes != copy->bytes || m->file_bytes != copy->file_bytes || m->off != copy->off ||
	    m->classes != copy->classes || m->room_bytes != copy->room_bytes || m->room - m->at != copy->room - copy->at ||
	    m->hits != plan->hits->count || memcmp(m->file + m->off, content, copy->bytes) != 0) {
		return false;
	}
	chunk = arena_take(CODE_CHUNK);
	return chunk != NULL && code_holds((uintptr_t)copy->file, m->file, copy->off, chunk) &&
	       (end >= copy->file_bytes ||
		code_holds((uintptr_t)copy->file + end, m->file + end, copy->file_bytes - end, chunk));
}

/* The plan, with addresses of the new place. */
static int use(const struct memo_plan *m, const struct lych_code_copy *copy, struct plan *plan)
{
	uint64_t by = copy->at - m->at;

	plan->items = arena_take(m->hits * sizeof(*m->items));
	plan->edits = arena_take(m->nedits * sizeof(*m->edits));
	plan->trampolines = arena_take(m->ntrampolines * sizeof(*m->trampolines));
	plan->no_exec = arena_take(m->nno_exec * sizeof(*m->no_exec));
	if (plan->items == NULL || plan->edits == NULL || plan->trampolines == NULL || plan->no_exec == NULL) {
		return -1;
	}
	memcpy(plan->items, m->items, m->hits * sizeof(*m->items));
	memcpy(plan->edits, m->edits, m->nedits * sizeof(*m->edits));
	memcpy(plan->trampolines, m->trampolines, m->ntrampolines * sizeof(*m->trampolines));
	memcpy(plan->no_exec, m->no_exec, m->nno_exec * sizeof(*m->no_exec));
	for (size_t i = 0; i < m->nedits; i++) {
		plan->edits[i].vaddr += by;
	}
	for (size_t i = 0; i < m->ntrampolines; i++) {
		struct repair_trampoline *t = &plan->trampolines[i];

		t->vaddr += by;
		t->site += by;
		t->resume += by;
		t->nfixups = 0; /* of use to who moves a trampoline only */
	}
	for (size_t i = 0; i < m->nno_exec; i++) {
		plan->no_exec[i].start += by;
		plan->no_exec[i].end += by;
	}
	plan->nedits = m->nedits;
	plan->ntrampolines = m->ntrampolines;
	plan->nno_exec = m->nno_exec;
	return 0;
}

bool memo_find(const struct lych_code_copy *copy, const uint8_t *content, struct plan *plan)
{
	struct memo_plan **at = &copy->memo->first, *m;

	while ((m = *at) != NULL && !is_for(m, copy, content, plan)) {
		at = &m->next;
	}
	if (m == NULL || use(m, copy, plan) != 0) {
		return false;
	}
	*at = m->next;
	m->next = copy->memo->first;
	copy->memo->first = m;
	return true;
}

/* ---- keeping one --------------------------------------------------------------------------------------------------- */

/* So that there is room for bytes more. */
static void make_room(struct lych_code_memo *memo, size_t bytes)
{
	for (struct memo_plan **at = &memo->first, *m; (m = *at) != NULL;) {
		bytes += m->bytes;
		if (bytes > MOST) {
			*at = m->next;
			memo->give(m, m->bytes);
		} else {
			at = &m->next;
		}
	}
}

struct memo_plan *memo_begin(const struct lych_code_copy *copy, const uint8_t *content, size_t hits)
{
	uint64_t end = behind(copy), image = end > copy->file_bytes ? end : copy->file_bytes;
	size_t bytes = sizeof(struct memo_plan) + image + hits * (sizeof(struct plan_item) + PLAN_EDITS_EACH * sizeof(struct repair_edit) +
								 sizeof(struct repair_trampoline) + sizeof(struct repair_area)) + 6 * 16;
	struct memo_plan *m;
	char *at;

	if (copy->off >= copy->file_bytes || image > MOST || bytes > MOST) {
		return NULL;
	}
	make_room(copy->memo, bytes);
	m = copy->memo->take(bytes);
	if (m == NULL) {
		return NULL;
	}
	at = (char *)(m + 1);
	*m = (struct memo_plan){.bytes = bytes,
				.at = copy->at,
				.room = copy->room,
				.room_bytes = copy->room_bytes,
				.off = copy->off,
				.content_bytes = copy->bytes,
				.file_bytes = copy->file_bytes,
				.hits = hits,
				.classes = copy->classes,
				.items = part(&at, hits * sizeof(*m->items)),
				.edits = part(&at, PLAN_EDITS_EACH * hits * sizeof(*m->edits)),
				.trampolines = part(&at, hits * sizeof(*m->trampolines)),
				.no_exec = part(&at, hits * sizeof(*m->no_exec)),
				.file = part(&at, image)};
	memcpy(m->file + copy->off, content, copy->bytes);
	if (!code_fetch(m->file, (uintptr_t)copy->file, copy->off) ||
	    (end < copy->file_bytes && !code_fetch(m->file + end, (uintptr_t)copy->file + end, copy->file_bytes - end))) {
		copy->memo->give(m, bytes);
		return NULL;
	}
	return m;
}

const void *memo_file(const struct memo_plan *m)
{
	return m->file;
}

void memo_end(struct lych_code_memo *memo, struct memo_plan *m, const struct plan *plan)
{
	if (plan == NULL) {
		memo->give(m, m->bytes);
		return;
	}
	memcpy(m->items, plan->items, m->hits * sizeof(*m->items));
	memcpy(m->edits, plan->edits, plan->nedits * sizeof(*m->edits));
	memcpy(m->trampolines, plan->trampolines, plan->ntrampolines * sizeof(*m->trampolines));
	memcpy(m->no_exec, plan->no_exec, plan->nno_exec * sizeof(*m->no_exec));
	m->nedits = plan->nedits;
	m->ntrampolines = plan->ntrampolines;
	m->nno_exec = plan->nno_exec;
	m->next = memo->first;
	/* A child of fork finds all of it, or nothing. */
	atomic_signal_fence(memory_order_release);
	memo->first = m;
}
