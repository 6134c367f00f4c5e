/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of areas next to a model of it that is too simple to be wrong: what each page is. What the table answers is
 * compared with the model at each step. For the unit test and the fuzz target; says what is wrong and aborts.
 */
#ifndef LYCH_TEST_SPACE_MODEL_H
#define LYCH_TEST_SPACE_MODEL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../gate/library/space.h"

#define MODEL_PAGES 64u
#define MODEL_LO 0x200000000000ULL
#define MODEL_HI (MODEL_LO + MODEL_PAGES * SPACE_PAGE)
#define MODEL_BREAK 16u /* pages the break may have, from the first on */

struct model_page {
	bool mapped;
	uint32_t prot, flags;
	uint64_t id;
};

struct space_model {
	struct space *table;
	size_t bytes;
	uint64_t next_id, break_at;
	struct model_page page[MODEL_PAGES];
};

static inline void model_expect(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "table of areas: %s\n", what);
		abort();
	}
}

static inline uint64_t model_at(uint32_t page)
{
	return MODEL_LO + page * SPACE_PAGE;
}

/* room: areas, that it can be full; limits in pages */
static inline void model_start(struct space_model *m, uint32_t room, uint32_t limit, uint32_t code_limit)
{
	memset(m, 0, sizeof(*m));
	m->bytes = sizeof(struct space) + room * sizeof(struct space_area);
	m->table = space_start(calloc(1, m->bytes), m->bytes, MODEL_LO, MODEL_HI, limit * SPACE_PAGE,
			       code_limit * SPACE_PAGE);
	model_expect(m->table != NULL, "no room for a table");
	space_break_start(m->table, MODEL_LO, model_at(MODEL_BREAK));
	m->break_at = MODEL_LO;
	m->next_id = 1;
}

static inline void model_stop(struct space_model *m)
{
	free(m->table);
}

static inline uint32_t model_count(const struct space_model *m, uint32_t from, uint32_t to, uint32_t flags)
{
	uint32_t n = 0;

	for (uint32_t i = from; i < to; i++) {
		n += m->page[i].mapped && (m->page[i].flags & flags) != 0;
	}
	return n;
}

/* Would something in the pages, that may not go, go? */
static inline bool model_loses(const struct space_model *m, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < MODEL_PAGES; i++) {
		const struct model_page *p = &m->page[i];
		bool in = i >= from && i < to;

		if (in && p->mapped && (p->flags & SPACE_FIXED)) {
			return true;
		}
		/* code next to more of the same code, and only one of them goes */
		if (i > 0 && p->mapped && (p->flags & SPACE_CODE) && p[-1].flags == p->flags && p[-1].id == p->id &&
		    in != (i - 1 >= from && i - 1 < to)) {
			return true;
		}
	}
	return false;
}

static inline bool model_mapped(const struct space_model *m, uint32_t from, uint32_t to, bool all)
{
	for (uint32_t i = from; i < to; i++) {
		if (m->page[i].mapped != all) {
			return !all;
		}
	}
	return all;
}

/* What the limit says to so many more counted pages instead of so many. */
static inline bool model_within(const struct space_model *m, uint32_t more, uint32_t less)
{
	return more <= less ||
	       (model_count(m, 0, MODEL_PAGES, SPACE_COUNTED) + more - less) * SPACE_PAGE <= m->table->limit;
}

/* rc is what was expected, or the table is full and says so. */
static inline bool model_did(const struct space_model *m, int may, int rc, int want)
{
	model_expect(may == rc, "what may be is not what can be");
	if (rc == -ENOMEM && want == 0) {
		model_expect(m->table->count + 3 > m->table->room, "out of memory with room in the table");
		return false;
	}
	model_expect(rc == want, "another answer");
	return rc == 0;
}

static inline void model_map(struct space_model *m, uint32_t from, uint32_t to, uint32_t prot, uint32_t flags,
			     bool own, bool no_replace)
{
	struct space_wish map = {model_at(from), model_at(to), prot, flags, own ? SPACE_OWN : SPACE_PLAIN,
				 no_replace};
	uint32_t counted = (prot & PROT_WRITE) || (flags & SPACE_COUNTED) ? SPACE_COUNTED : 0;
	int may = space_may_map(m->table, &map), want = 0;

	if (from >= to) {
		want = -EINVAL;
	} else if (to > MODEL_PAGES) {
		want = -ENOMEM;
	} else if (no_replace && model_mapped(m, from, to, false)) {
		want = -EEXIST;
	} else if (model_loses(m, from, to)) {
		want = -EPERM;
	} else if (counted && !model_within(m, to - from, model_count(m, from, to, SPACE_COUNTED))) {
		want = -ENOMEM;
	}
	if (model_did(m, may, space_map(m->table, &map), want)) {
		uint64_t id = own ? m->next_id++ : SPACE_PLAIN;

		for (uint32_t i = from; i < to; i++) {
			m->page[i] = (struct model_page){true, prot, flags | counted, id};
		}
	}
}

static inline void model_unmap(struct space_model *m, uint32_t from, uint32_t to)
{
	uint64_t start = model_at(from), end = model_at(to);
	int may = space_may_unmap(m->table, start, end);
	int want = from >= to || to > MODEL_PAGES ? -EINVAL : model_loses(m, from, to) ? -EPERM : 0;

	if (model_did(m, may, space_unmap(m->table, start, end), want)) {
		memset(&m->page[from], 0, (to - from) * sizeof(m->page[0]));
	}
}

static inline void model_protect(struct space_model *m, uint32_t from, uint32_t to, uint32_t prot)
{
	uint64_t start = model_at(from), end = model_at(to);
	int may = space_may_protect(m->table, start, end, prot), want = 0;
	uint32_t newly = 0;

	if (from >= to) {
		want = -EINVAL;
	} else if (to > MODEL_PAGES || !model_mapped(m, from, to, true)) {
		want = -ENOMEM;
	}
	for (uint32_t i = from; want == 0 && i < to; i++) {
		const struct model_page *p = &m->page[i];

		if ((p->flags & SPACE_FIXED) && p->prot != prot) {
			want = -EPERM;
		} else if (((p->flags & SPACE_CODE) && p->prot != prot) ||
			   ((p->flags & SPACE_NEVER_WRITE) && (prot & PROT_WRITE))) {
			want = -EACCES;
		}
		newly += (prot & PROT_WRITE) && !(p->flags & (SPACE_COUNTED | SPACE_FIXED));
	}
	if (want == 0 && !model_within(m, newly, 0)) {
		want = -ENOMEM;
	}
	if (model_did(m, may, space_protect(m->table, start, end, prot), want)) {
		for (uint32_t i = from; i < to; i++) {
			m->page[i].prot = prot;
			m->page[i].flags |=
				(prot & PROT_WRITE) && !(m->page[i].flags & SPACE_FIXED) ? SPACE_COUNTED : 0;
		}
	}
}

static inline void model_move(struct space_model *m, uint32_t from, uint32_t pages, uint32_t to)
{
	uint64_t bytes = pages * SPACE_PAGE;
	int may = space_may_move(m->table, model_at(from), bytes, model_at(to)), want = 0;

	if (pages == 0 || to + pages > MODEL_PAGES || (to < from + pages && from < to + pages)) {
		want = -EINVAL;
	} else if (from + pages > MODEL_PAGES || !m->page[from].mapped) {
		want = -EFAULT;
	}
	for (uint32_t i = from; want == 0 && i < from + pages; i++) {
		const struct model_page *p = &m->page[i], *first = &m->page[from];

		if (!p->mapped || p->prot != first->prot || p->flags != first->flags || p->id != first->id) {
			want = -EFAULT;
		}
	}
	if (want == 0 && ((m->page[from].flags & (SPACE_FIXED | SPACE_CODE)) || model_loses(m, to, to + pages))) {
		want = -EPERM;
	}
	if (model_did(m, may, space_move(m->table, model_at(from), bytes, model_at(to)), want)) {
		for (uint32_t i = 0; i < pages; i++) {
			m->page[to + i] = m->page[from + i];
			m->page[to + i].id = m->next_id;
		}
		m->next_id++;
		memset(&m->page[from], 0, pages * sizeof(m->page[0]));
	}
}

/* The break, to the byte at. */
static inline void model_break(struct space_model *m, uint64_t at)
{
	uint64_t start = 0, end = 0, top = model_at(MODEL_BREAK);
	uint32_t is = (uint32_t)((m->break_at - MODEL_LO + SPACE_PAGE - 1) / SPACE_PAGE), to;
	bool grows = false;
	int may = space_may_break(m->table, at, &start, &end, &grows), want = 0;

	to = at < MODEL_LO || at > top ? is : (uint32_t)((at - MODEL_LO + SPACE_PAGE - 1) / SPACE_PAGE);
	if (at < MODEL_LO || at > top || (to > is && model_mapped(m, is, to, false)) ||
	    (to > is && !model_within(m, to - is, 0)) || (to < is && model_loses(m, to, is))) {
		want = -ENOMEM;
	}
	if (!model_did(m, may, space_break(m->table, at), want)) {
		return;
	}
	model_expect(to == is ? start == end
			      : start == model_at(to < is ? to : is) && end == model_at(to < is ? is : to) &&
					grows == (to > is),
		     "other pages for the break");
	for (uint32_t i = to < is ? to : is; i < (to < is ? is : to); i++) {
		m->page[i] =
			to > is ? (struct model_page){true, PROT_READ | PROT_WRITE, SPACE_BREAK | SPACE_COUNTED, 0}
				: (struct model_page){false, 0, 0, 0};
	}
	m->break_at = at;
}

static inline void model_fix(struct space_model *m, uint32_t from, uint32_t to, uint32_t flags)
{
	int want = from >= to || to > MODEL_PAGES || !model_mapped(m, from, to, true) ? -EINVAL : 0;
	int rc = space_fix(m->table, model_at(from), model_at(to), flags);

	if (model_did(m, rc, rc, want)) {
		for (uint32_t i = from; i < to; i++) {
			m->page[i].flags = (m->page[i].flags & ~SPACE_COUNTED) | flags | SPACE_FIXED;
		}
	}
}

static inline void model_code(struct space_model *m, uint32_t from, uint32_t to, uint32_t prot)
{
	int want = from >= to || to > MODEL_PAGES || !model_mapped(m, from, to, true) ? -EINVAL : 0, rc;

	if (want == 0 && (model_count(m, 0, MODEL_PAGES, SPACE_CODE) - model_count(m, from, to, SPACE_CODE) + to -
			  from) * SPACE_PAGE >
				 m->table->code_limit) {
		want = -ENOMEM;
	}
	rc = space_code(m->table, model_at(from), model_at(to), prot);
	if (model_did(m, rc, rc, want)) {
		uint32_t flags = SPACE_CODE | (m->page[from].flags & (SPACE_FIXED | SPACE_TRAMPOLINES | SPACE_FILE));

		for (uint32_t i = from; i < to; i++) {
			m->page[i] = (struct model_page){true, prot, flags, m->next_id};
		}
		m->next_id++;
	}
}

static inline void model_unfix(struct space_model *m, uint32_t at)
{
	struct model_page p = at < MODEL_PAGES ? m->page[at] : (struct model_page){false, 0, 0, 0};
	const struct model_page *b = at > 0 && at < MODEL_PAGES ? &m->page[at - 1] : NULL;
	bool begins = b == NULL || !b->mapped || b->prot != p.prot || b->flags != p.flags || b->id != p.id;
	int want = p.mapped && (p.flags & SPACE_CODE) && begins ? 0 : -EINVAL;

	model_expect(space_unfix(m->table, model_at(at)) == want, "another answer to unfix");
	for (uint32_t i = at; want == 0 && i < MODEL_PAGES && m->page[i].mapped && m->page[i].prot == p.prot &&
			      m->page[i].flags == p.flags && m->page[i].id == p.id; i++) {
		m->page[i].flags &= ~SPACE_FIXED;
	}
}

static inline void model_release(struct space_model *m, uint32_t from, uint32_t to)
{
	int want = from >= to || to > MODEL_PAGES ? -EINVAL : 0;
	int rc = space_release(m->table, model_at(from), model_at(to));

	if (model_did(m, rc, rc, want)) {
		memset(&m->page[from], 0, (to - from) * sizeof(m->page[0]));
	}
}

static inline void model_find(const struct space_model *m, uint32_t pages, uint32_t align, uint32_t from, uint32_t to)
{
	uint64_t want = 0;

	to = to > MODEL_PAGES ? MODEL_PAGES : to;
	for (uint32_t i = from; pages > 0 && i + pages <= to; i++) {
		if (model_at(i) % (align * SPACE_PAGE) == 0 && !model_mapped(m, i, i + pages, false)) {
			want = model_at(i);
		}
	}
	model_expect(space_find(m->table, pages * SPACE_PAGE, align * SPACE_PAGE, model_at(from), model_at(to)) ==
			     want,
		     "another place");
}

/* All of the table. */
static inline void model_compare(const struct space_model *m)
{
	const struct space *s = m->table;

	for (uint32_t i = 0; i < s->count; i++) {
		const struct space_area *a = &s->area[i], *b = i > 0 ? a - 1 : NULL;

		model_expect(space_holds(s, a->start, a->end), "an area outside");
		model_expect(b == NULL || b->end <= a->start, "areas that overlap or are not sorted");
		model_expect(b == NULL || b->end < a->start || b->prot != a->prot || b->flags != a->flags ||
				     b->id != a->id,
			     "neighbours that agree are two areas");
	}
	for (uint32_t i = 0; i < MODEL_PAGES; i++) {
		const struct space_area *a = space_at(s, model_at(i) + 1);

		model_expect((a != NULL) == m->page[i].mapped, "mapped, or not");
		model_expect(a == NULL || (a->prot == m->page[i].prot && a->flags == m->page[i].flags &&
					   a->id == m->page[i].id),
			     "another area");
		model_expect(space_is_free(s, model_at(i), model_at(i + 1)) == !m->page[i].mapped, "free, or not");
		model_expect(space_is_full(s, MODEL_LO, model_at(i + 1)) == model_mapped(m, 0, i + 1, true),
			     "full, or not");
	}
	model_expect(s->counted == model_count(m, 0, MODEL_PAGES, SPACE_COUNTED) * SPACE_PAGE, "another sum");
	model_expect(s->code == model_count(m, 0, MODEL_PAGES, SPACE_CODE) * SPACE_PAGE, "another sum of code");
	model_expect(s->count <= s->room, "more areas than there is room for");
	model_expect(s->break_at == m->break_at, "another break");
}

/* One step, of 8 bytes. */
static inline void model_step(struct space_model *m, const uint8_t in[8])
{
	static const uint32_t flags[] = {0, SPACE_FILE, SPACE_FILE | SPACE_NEVER_WRITE, SPACE_COUNTED};
	uint32_t from = in[1] % (MODEL_PAGES + 2), to = from + in[2] % 9, prot = in[3] % 4;

	switch (in[0] % 16) {
	case 0:
	case 1:
	case 2:
		model_map(m, from, to, prot, flags[in[4] % 4], in[5] & 1, in[5] & 2);
		break;
	case 3:
		model_map(m, from, from + in[2], prot, 0, false, false);
		break;
	case 4:
	case 5:
		model_unmap(m, from, to);
		break;
	case 6:
		model_unmap(m, from, from + in[2]);
		break;
	case 7:
	case 8:
		model_protect(m, from, to, prot);
		break;
	case 9:
	case 10:
		model_move(m, from % MODEL_PAGES, in[2] % 9, in[3] % MODEL_PAGES);
		break;
	case 11:
		model_break(m,
			    MODEL_LO - 100 +
				    (uint64_t)(in[1] | in[2] << 8 | in[3] << 16) % ((MODEL_BREAK + 2) * SPACE_PAGE));
		break;
	case 12:
		if (in[5] % 4 == 0) {
			model_fix(m, from, to, in[4] & 1 ? SPACE_STACK : 0);
		} else {
			model_unfix(m, from);
		}
		break;
	case 13:
		model_code(m, from, to, PROT_READ | PROT_EXEC);
		break;
	case 14:
		model_find(m, in[2] % 20, 1u << (in[3] % 5), from % MODEL_PAGES, from % MODEL_PAGES + in[4]);
		break;
	case 15:
		if (in[5] % 2 == 0) {
			model_release(m, from, to);
		}
		break;
	}
	model_compare(m);
}

#endif /* LYCH_TEST_SPACE_MODEL_H */
