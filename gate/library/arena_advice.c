/* SPDX-License-Identifier: Apache-2.0 */
/* madvise, brk, and what is only asked about memory, of code inside (arena.h). */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "arena_parts.h"

#define DATA ((uint32_t)(PROT_READ | PROT_WRITE))
#define VEC 512 /* pages that mincore is asked about at a time */

/* ---- madvise -------------------------------------------------------------------------------- */

enum advice { ADVICE_NONE, ADVICE_NOTHING, ADVICE_DISCARD, ADVICE_FREE };

static enum advice advice_of(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
		return ADVICE_DISCARD;
	case MADV_FREE:
		return ADVICE_FREE;
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case 20: /* MADV_COLD */
	case 21: /* MADV_PAGEOUT */
		return ADVICE_NOTHING;
	default:
		return ADVICE_NONE;
	}
}

static long discard(struct library *l, uint64_t start, uint64_t end, uint32_t flags, uint32_t prot,
		    enum advice advice)
{
	if ((flags & SPACE_FILE) != 0 && advice == ADVICE_FREE) {
		return -EINVAL;
	}
	if ((flags & SPACE_FILE) != 0 || l->arena->snapshot == NULL) {
		return sys3(SYS_madvise, start, end - start, advice == ADVICE_FREE ? MADV_FREE : MADV_DONTNEED);
	}
	if (advice == ADVICE_FREE) {
		return 0; /* it may keep what it has for as long as it likes */
	}
	/* Pages that come from the snapshot would come back, and must be zero. */
	if (!arena_has_room(l) || arena_reserve(l, start, end) != 0) {
		return -ENOMEM;
	}
	return prot == PROT_NONE ? 0 : arena_tag(l, start, end, prot);
}

static long advise(struct library *l, uint64_t start, uint64_t end, enum advice advice)
{
	const struct space *s = &l->arena->space;
	long rc = 0;

	if (advice == ADVICE_NOTHING) {
		return space_is_full(s, start, end) ? 0 : -ENOMEM;
	}
	if (any_has(s, start, end, SPACE_CODE | SPACE_FIXED)) {
		return -EINVAL;
	}
	for (uint32_t i = space_index(s, start); rc == 0 && i < s->count && s->area[i].start < end; i++) {
		const struct space_area *a = &s->area[i];

		rc = discard(l, a->start > start ? a->start : start, a->end < end ? a->end : end, a->flags, a->prot,
			     advice);
	}
	/* As the kernel: what is mapped was done. */
	return rc == 0 && !space_is_full(s, start, end) ? -ENOMEM : rc;
}

long arena_madvise(struct library *l, uint64_t at, uint64_t bytes, uint64_t advice)
{
	enum advice what = advice_of((int)(uint32_t)advice);
	uint64_t mask, end;
	long rc;

	if (what == ADVICE_NONE || !is_page(at) || (bytes != 0 && !pages_of(at, bytes, &end))) {
		return -EINVAL;
	}
	if (bytes == 0) {
		return 0;
	}
	if (!space_holds(&l->arena->space, at, end)) {
		return -ENOMEM;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = advise(l, at, end, what);
	arena_let_go(l, &mask);
	return rc;
}

/* ---- the rest ------------------------------------------------------------------------------- */

long arena_brk(struct library *l, uint64_t at)
{
	struct space *s = &l->arena->space;
	uint64_t mask, start, end, is;
	bool grows, lost;

	if (!arena_hold(l, &mask)) {
		return (long)__atomic_load_n(&s->break_at,
					     __ATOMIC_RELAXED); /* not moved, which is how brk says no */
	}
	if (space_may_break(s, at, &start, &end, &grows) == 0) {
		int rc = 0;

		if (start < end) {
			rc = grows ? arena_fresh(l, start, end, DATA, &lost) : arena_reserve(l, start, end);
		}
		if (rc == 0) {
			(void)space_break(s, at);
		}
	}
	is = s->break_at;
	arena_let_go(l, &mask);
	return (long)is;
}

/* Whole pages, inside, and all of it mapped: 0, or the error of what asks only about memory that is there. */
static long is_mapped(struct library *l, uint64_t at, uint64_t bytes, uint64_t *end)
{
	const struct space *s;
	uint64_t mask;
	bool full;

	if (!is_page(at)) {
		return -EINVAL;
	}
	if (bytes == 0) {
		*end = at;
		return 0;
	}
	if (!pages_of(at, bytes, end)) {
		return -ENOMEM;
	}
	s = space_holds(l->arena->host, at, *end) ? l->arena->host : &l->arena->space;
	if (!space_holds(s, at, *end)) {
		return -ENOMEM;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	full = space_is_full(s, at, *end);
	arena_let_go(l, &mask);
	return full ? 0 : -ENOMEM;
}

long arena_mincore(struct library *l, uint64_t at, uint64_t bytes, uint64_t vec)
{
	unsigned char pages[VEC];
	uint64_t end;
	long rc = is_mapped(l, at, bytes, &end);

	for (; rc == 0 && at < end; at += VEC * SPACE_PAGE, vec += VEC) {
		uint64_t n = (end - at) / SPACE_PAGE < VEC ? (end - at) / SPACE_PAGE : VEC;

		rc = sys3(SYS_mincore, at, n * SPACE_PAGE, pages);
		rc = rc == 0 ? inside_write(l, vec, pages, n) : rc;
	}
	return rc;
}

long arena_msync(struct library *l, uint64_t at, uint64_t bytes, uint64_t flags)
{
	uint64_t end;

	if ((flags & ~(uint64_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) != 0 ||
	    (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC)) {
		return -EINVAL;
	}
	return is_mapped(l, at, bytes, &end);
}

long arena_mlock(struct library *l, uint64_t at, uint64_t bytes)
{
	(void)l;
	(void)at;
	(void)bytes;
	return -EPERM;
}

long arena_munlock(struct library *l, uint64_t at, uint64_t bytes)
{
	uint64_t end, from = at & ~(SPACE_PAGE - 1);

	return is_mapped(l, from, bytes + (at - from), &end);
}
