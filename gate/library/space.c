/* SPDX-License-Identifier: Apache-2.0 */
#include "space.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct space *space_start(void *memory, size_t bytes, uint64_t lo, uint64_t hi, uint64_t limit, uint64_t code_limit)
{
	struct space *s = memory;
	size_t fit = bytes < sizeof(*s) ? 0 : (bytes - sizeof(*s)) / sizeof(s->area[0]);

	if (fit < 2 * SPACE_SPARE) {
		return NULL;
	}
	*s = (struct space){
		.lo = lo,
		.hi = hi,
		.limit = limit,
		.code_limit = code_limit,
		.break_lo = lo,
		.break_hi = lo,
		.break_at = lo,
		.next_id = SPACE_PLAIN + 1,
		.room = (uint32_t)(fit > UINT32_MAX ? UINT32_MAX : fit) - SPACE_SPARE,
	};
	return s;
}

/* ---- asking --------------------------------------------------------------------------------- */

uint32_t space_index(const struct space *s, uint64_t at)
{
	uint32_t low = 0, high = s->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->area[middle].end <= at) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

const struct space_area *space_at(const struct space *s, uint64_t at)
{
	uint32_t i = space_index(s, at);

	return i < s->count && s->area[i].start <= at ? &s->area[i] : NULL;
}

static bool is_pages(uint64_t start, uint64_t end)
{
	return start % SPACE_PAGE == 0 && end % SPACE_PAGE == 0 && start < end;
}

bool space_holds(const struct space *s, uint64_t start, uint64_t end)
{
	return is_pages(start, end) && start >= s->lo && end <= s->hi;
}

bool space_is_free(const struct space *s, uint64_t start, uint64_t end)
{
	uint32_t i = space_index(s, start);

	return i == s->count || s->area[i].start >= end;
}

bool space_is_full(const struct space *s, uint64_t start, uint64_t end)
{
	for (uint32_t i = space_index(s, start); start < end; i++) {
		if (i == s->count || s->area[i].start > start) {
			return false;
		}
		start = s->area[i].end;
	}
	return true;
}

uint64_t space_find(const struct space *s, uint64_t bytes, uint64_t align, uint64_t from, uint64_t to)
{
	uint32_t i;

	from = from < s->lo ? s->lo : from;
	to = to > s->hi ? s->hi : to;
	if (from >= to || bytes == 0 || bytes % SPACE_PAGE != 0 || align < SPACE_PAGE || (align & (align - 1)) != 0) {
		return 0;
	}
	/* i: how many areas begin below to, the end of the gap that is looked at */
	for (i = space_index(s, to - 1), i += i < s->count && s->area[i].start < to;; i--) {
		uint64_t low = i > 0 && s->area[i - 1].end > from ? s->area[i - 1].end : from;

		if (low < to && to - low >= bytes) {
			uint64_t at = (to - bytes) & ~(align - 1);

			if (at >= low && at != 0) {
				return at;
			}
		}
		if (i == 0 || s->area[i - 1].start <= from) {
			return 0;
		}
		to = s->area[i - 1].start;
	}
}

/* ---- the table ------------------------------------------------------------------------------ */

/* Bytes of [start, end) in areas with one of flags. */
static uint64_t bytes_with(const struct space *s, uint64_t start, uint64_t end, uint32_t flags)
{
	uint64_t bytes = 0;

	for (uint32_t i = space_index(s, start); i < s->count && s->area[i].start < end; i++) {
		const struct space_area *a = &s->area[i];

		if ((a->flags & flags) != 0) {
			bytes += (a->end < end ? a->end : end) - (a->start > start ? a->start : start);
		}
	}
	return bytes;
}

/* Is at inside of an area, and not its beginning? */
static uint32_t splits(const struct space *s, uint64_t at)
{
	const struct space_area *a = space_at(s, at);

	return a != NULL && a->start < at;
}

/* How many areas have a byte in [start, end). */
static uint32_t touched(const struct space *s, uint64_t start, uint64_t end)
{
	uint32_t i = space_index(s, start), n = 0;

	while (i + n < s->count && s->area[i + n].start < end) {
		n++;
	}
	return n;
}

/* Is there room when [start, end) becomes so many areas instead of those it touches? */
static bool has_room(const struct space *s, uint64_t start, uint64_t end, uint32_t instead)
{
	return s->count + splits(s, start) + splits(s, end) + instead - touched(s, start, end) <= s->room;
}

static void split(struct space *s, uint64_t at)
{
	uint32_t i = space_index(s, at);

	if (i < s->count && s->area[i].start < at) {
		memmove(&s->area[i + 1], &s->area[i], (s->count - i) * sizeof(s->area[0]));
		s->count++;
		s->area[i].end = at;
		s->area[i + 1].start = at;
	}
}

/* Neighbours around [start, end) that are the same become one. */
static void merge(struct space *s, uint64_t start, uint64_t end)
{
	uint32_t to = space_index(s, start > 0 ? start - 1 : 0), from = to + 1;

	for (; from < s->count && s->area[from].start <= end; from++) {
		struct space_area *a = &s->area[to], *b = &s->area[from];

		if (a->end == b->start && a->prot == b->prot && a->flags == b->flags && a->id == b->id) {
			a->end = b->end;
		} else {
			s->area[++to] = *b;
		}
	}
	if (from > to + 1 && to < s->count) {
		memmove(&s->area[to + 1], &s->area[from], (s->count - from) * sizeof(s->area[0]));
		s->count -= from - to - 1;
	}
}

/* Out of the sums, before something changes in [start, end); and into them, afterwards. */
static void uncount(struct space *s, uint64_t start, uint64_t end)
{
	s->counted -= bytes_with(s, start, end, SPACE_COUNTED);
	s->code -= bytes_with(s, start, end, SPACE_CODE);
}

static void recount(struct space *s, uint64_t start, uint64_t end)
{
	s->counted += bytes_with(s, start, end, SPACE_COUNTED);
	s->code += bytes_with(s, start, end, SPACE_CODE);
}

static void remove_all(struct space *s, uint64_t start, uint64_t end)
{
	uint32_t i, n;

	split(s, start);
	split(s, end);
	i = space_index(s, start);
	n = touched(s, start, end);
	memmove(&s->area[i], &s->area[i + n], (s->count - i - n) * sizeof(s->area[0]));
	s->count -= n;
}

/* The place is free. */
static void insert(struct space *s, const struct space_area *a)
{
	uint32_t i = space_index(s, a->start);

	memmove(&s->area[i + 1], &s->area[i], (s->count - i) * sizeof(s->area[0]));
	s->area[i] = *a;
	s->count++;
}

static void replace(struct space *s, const struct space_area *a)
{
	uncount(s, a->start, a->end);
	remove_all(s, a->start, a->end);
	insert(s, a);
	recount(s, a->start, a->end);
	merge(s, a->start, a->end);
}

static uint64_t id_for(struct space *s, uint64_t id)
{
	return id == SPACE_OWN ? s->next_id++ : id;
}

/* 0, or -EPERM: something in [start, end) may not go. */
static int may_lose(const struct space *s, uint64_t start, uint64_t end)
{
	for (uint32_t i = space_index(s, start); i < s->count && s->area[i].start < end; i++) {
		const struct space_area *a = &s->area[i];
		bool whole = a->start >= start && a->end <= end;

		if ((a->flags & SPACE_FIXED) != 0 || ((a->flags & SPACE_CODE) != 0 && !whole)) {
			return -EPERM;
		}
	}
	return 0;
}

/* Does so much more, instead of less, stay within the limit? A limit that was lowered below what there is holds only
 * growth. */
static bool within(const struct space *s, uint64_t more, uint64_t less)
{
	return more <= less || (s->counted <= s->limit && more - less <= s->limit - s->counted);
}

/* ---- changes -------------------------------------------------------------------------------- */

static uint32_t counted_flag(uint32_t prot, uint32_t flags)
{
	return ((prot & PROT_WRITE) != 0 || (flags & SPACE_COUNTED) != 0) && (flags & SPACE_FIXED) == 0
		       ? SPACE_COUNTED
		       : 0;
}

int space_may_map(const struct space *s, const struct space_wish *m)
{
	uint64_t bytes = m->end - m->start;

	if (!is_pages(m->start, m->end)) {
		return -EINVAL;
	}
	if (!space_holds(s, m->start, m->end)) {
		return -ENOMEM;
	}
	if (m->no_replace && !space_is_free(s, m->start, m->end)) {
		return -EEXIST;
	}
	if (may_lose(s, m->start, m->end) != 0) {
		return -EPERM;
	}
	if ((counted_flag(m->prot, m->flags) != 0 &&
	     !within(s, bytes, bytes_with(s, m->start, m->end, SPACE_COUNTED))) ||
	    !has_room(s, m->start, m->end, 1)) {
		return -ENOMEM;
	}
	return 0;
}

int space_map(struct space *s, const struct space_wish *m)
{
	int rc = space_may_map(s, m);

	if (rc == 0) {
		replace(s, &(struct space_area){m->start, m->end, m->prot, m->flags | counted_flag(m->prot, m->flags),
						id_for(s, m->id)});
	}
	return rc;
}

int space_may_unmap(const struct space *s, uint64_t start, uint64_t end)
{
	if (!space_holds(s, start, end)) {
		return -EINVAL;
	}
	if (may_lose(s, start, end) != 0) {
		return -EPERM;
	}
	return has_room(s, start, end, 0) ? 0 : -ENOMEM;
}

int space_unmap(struct space *s, uint64_t start, uint64_t end)
{
	int rc = space_may_unmap(s, start, end);

	if (rc == 0) {
		uncount(s, start, end);
		remove_all(s, start, end);
	}
	return rc;
}

int space_may_protect(const struct space *s, uint64_t start, uint64_t end, uint32_t prot)
{
	uint64_t newly = 0;

	if (!is_pages(start, end)) {
		return -EINVAL;
	}
	if (!space_holds(s, start, end) || !space_is_full(s, start, end)) {
		return -ENOMEM;
	}
	for (uint32_t i = space_index(s, start); i < s->count && s->area[i].start < end; i++) {
		const struct space_area *a = &s->area[i];

		if ((a->flags & SPACE_FIXED) != 0 && a->prot != prot) {
			return -EPERM;
		}
		if (((a->flags & SPACE_CODE) != 0 && a->prot != prot) ||
		    ((a->flags & SPACE_NEVER_WRITE) != 0 && (prot & PROT_WRITE) != 0)) {
			return -EACCES;
		}
	}
	if ((prot & PROT_WRITE) != 0) {
		newly = end - start - bytes_with(s, start, end, SPACE_COUNTED | SPACE_FIXED);
	}
	return within(s, newly, 0) && has_room(s, start, end, touched(s, start, end)) ? 0 : -ENOMEM;
}

int space_protect(struct space *s, uint64_t start, uint64_t end, uint32_t prot)
{
	int rc = space_may_protect(s, start, end, prot);

	if (rc != 0) {
		return rc;
	}
	uncount(s, start, end);
	split(s, start);
	split(s, end);
	for (uint32_t i = space_index(s, start); i < s->count && s->area[i].start < end; i++) {
		s->area[i].prot = prot;
		s->area[i].flags |= counted_flag(prot, s->area[i].flags);
	}
	recount(s, start, end);
	merge(s, start, end);
	return 0;
}

int space_may_move(const struct space *s, uint64_t from, uint64_t bytes, uint64_t to)
{
	const struct space_area *a = space_at(s, from);

	if (!is_pages(from, from + bytes) || !space_holds(s, to, to + bytes) ||
	    (to < from + bytes && from < to + bytes)) {
		return -EINVAL;
	}
	if (a == NULL || a->end < from + bytes) {
		return -EFAULT;
	}
	if ((a->flags & (SPACE_FIXED | SPACE_CODE)) != 0 || may_lose(s, to, to + bytes) != 0) {
		return -EPERM;
	}
	/* What it leaves behind is at most two parts; what it goes to, one more than there was. */
	return s->count + splits(s, from) + splits(s, from + bytes) + splits(s, to) + splits(s, to + bytes) -
				       touched(s, to, to + bytes) <=
			       s->room
		       ? 0
		       : -ENOMEM;
}

int space_move(struct space *s, uint64_t from, uint64_t bytes, uint64_t to)
{
	int rc = space_may_move(s, from, bytes, to);
	struct space_area a;

	if (rc != 0) {
		return rc;
	}
	a = *space_at(s, from);
	a.start = to;
	a.end = to + bytes;
	/* The kernel does not merge what was moved with what it finds there either. */
	a.id = id_for(s, SPACE_OWN);
	uncount(s, from, from + bytes);
	remove_all(s, from, from + bytes);
	replace(s, &a);
	return 0;
}

/* ---- the break ------------------------------------------------------------------------------ */

void space_break_start(struct space *s, uint64_t lo, uint64_t hi)
{
	s->break_lo = lo;
	s->break_at = lo;
	s->break_hi = hi;
}

static uint64_t page_up(uint64_t at)
{
	return (at + SPACE_PAGE - 1) & ~(SPACE_PAGE - 1);
}

static struct space_wish break_map(uint64_t start, uint64_t end)
{
	return (struct space_wish){start, end, PROT_READ | PROT_WRITE, SPACE_BREAK, SPACE_PLAIN, true};
}

int space_may_break(const struct space *s, uint64_t at, uint64_t *start, uint64_t *end, bool *grows)
{
	uint64_t is = page_up(s->break_at), want;

	if (at < s->break_lo || at > s->break_hi) {
		return -ENOMEM;
	}
	want = page_up(at);
	*grows = want > is;
	*start = *grows ? is : want;
	*end = *grows ? want : is;
	if (want == is) {
		return 0;
	}
	if (*grows) {
		struct space_wish m = break_map(is, want);

		return space_may_map(s, &m) != 0 ? -ENOMEM : 0;
	}
	return space_may_unmap(s, want, is) != 0 ? -ENOMEM : 0;
}

int space_break(struct space *s, uint64_t at)
{
	uint64_t start, end;
	bool grows;
	int rc = space_may_break(s, at, &start, &end, &grows);

	if (rc == 0 && start < end && grows) {
		struct space_wish m = break_map(start, end);

		rc = space_map(s, &m);
	} else if (rc == 0 && start < end) {
		rc = space_unmap(s, start, end);
	}
	if (rc == 0) {
		s->break_at = at;
	}
	return rc;
}

/* ---- the runtime's own ---------------------------------------------------------------------- */

int space_fix(struct space *s, uint64_t start, uint64_t end, uint32_t flags)
{
	if (!space_holds(s, start, end) || !space_is_full(s, start, end)) {
		return -EINVAL;
	}
	if (!has_room(s, start, end, touched(s, start, end))) {
		return -ENOMEM;
	}
	uncount(s, start, end);
	split(s, start);
	split(s, end);
	for (uint32_t i = space_index(s, start); i < s->count && s->area[i].start < end; i++) {
		s->area[i].flags = (s->area[i].flags & ~SPACE_COUNTED) | flags | SPACE_FIXED;
	}
	recount(s, start, end);
	merge(s, start, end);
	return 0;
}

int space_code(struct space *s, uint64_t start, uint64_t end, uint32_t prot)
{
	uint64_t code, before;
	uint32_t flags;

	if (!space_holds(s, start, end) || !space_is_full(s, start, end)) {
		return -EINVAL;
	}
	code = end - start;
	before = bytes_with(s, start, end, SPACE_CODE);
	if (s->code - before > s->code_limit || code > s->code_limit - (s->code - before) ||
	    !has_room(s, start, end, 1)) {
		return -ENOMEM;
	}
	flags = space_at(s, start)->flags & (SPACE_FIXED | SPACE_TRAMPOLINES | SPACE_FILE);
	replace(s, &(struct space_area){start, end, prot, flags | SPACE_CODE, id_for(s, SPACE_OWN)});
	return 0;
}

int space_unfix(struct space *s, uint64_t start)
{
	uint32_t i = space_index(s, start);

	if (i == s->count || s->area[i].start != start || (s->area[i].flags & SPACE_CODE) == 0) {
		return -EINVAL;
	}
	s->area[i].flags &= ~SPACE_FIXED;
	merge(s, s->area[i].start, s->area[i].end);
	return 0;
}

int space_release(struct space *s, uint64_t start, uint64_t end)
{
	if (!space_holds(s, start, end)) {
		return -EINVAL;
	}
	if (!has_room(s, start, end, 0)) {
		return -ENOMEM;
	}
	uncount(s, start, end);
	remove_all(s, start, end);
	return 0;
}
