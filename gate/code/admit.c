/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code of a library domain: a copy is looked at, planned for, changed and looked at again before it is anywhere where it could
 * run. Of the memory next to it only copies are read, by the kernel: the host may have no right to it (a vault's), and nobody
 * needs to know what else is mapped.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "../../scanner/pattern.h"
#include "../../scanner/repair_check.h"
#include "../core/asm.h"
#include "../core/why.h"
#include "parts.h"

#define INT3 0xcc
#define MARGIN (LYCH_SEQUENCE_MAX - 1u)
#define EDGE 16u /* of the room: longer than a sequence */
#define HIGHEST (UINT64_C(1) << 47)
#define KEYS 16
/* Most trampolines need no place of their own: those that do may be anywhere in the room. */
#define FIRST_ROOM (UINT64_C(64) << 10)

struct admit {
	struct lych_code_copy *copy;
	char name[256]; /* for messages */
	uint64_t end;
	struct code_maps world; /* the copy, and a page of what is executable before and behind it */
	uint8_t *bytes;         /* of the world, in one piece */
	uint64_t start, stop;   /* of the world */
	uint8_t *content;       /* of the copy, among bytes */
	struct code_hits hits;
	struct plan plan;
	struct repair_area parts[LYCH_CODE_AREAS + 1]; /* what will be executable */
	size_t nparts;
	uint64_t used; /* end of the part of the room with trampolines in it */
	bool refused;
};

/* The executable mapping that holds vaddr; NULL: none. */
static const struct code_map *code_at(const struct code_maps *maps, uint64_t vaddr)
{
	size_t i = maps_from(maps, vaddr);

	return i < maps->count && maps->items[i].start <= vaddr && map_is_code(&maps->items[i]) ? &maps->items[i] : NULL;
}

/* ---- the world ------------------------------------------------------------------------------------------------------- */

static int refuse_neighbour(const struct admit *a, const struct code_map *map, const char *why)
{
	why_set("code: %.100s cannot go to 0x%llx: the code at 0x%llx, which it would be next to, %s",
		a->name, (unsigned long long)a->copy->at, (unsigned long long)map->start,
		why);
	return -ENOEXEC;
}

/* A page of what is executable at vaddr. */
static int take_neighbour(struct admit *a, const struct code_map *map, uint64_t vaddr)
{
	uint8_t *to = a->bytes + (vaddr - a->start);

	if (map == NULL) {
		return 0;
	}
	if (map->writable) {
		return refuse_neighbour(a, map, "is writable");
	}
	if (!code_fetch(to, vaddr, CODE_PAGE)) {
		return refuse_neighbour(a, map, "cannot be read");
	}
	/* No file: neither name nor contents are those of the copy. */
	a->world.items[a->world.count++] =
		(struct code_map){.start = vaddr, .end = vaddr + CODE_PAGE, .inode = ~UINT64_C(0), .readable = true,
				  .executable = true, .path = "", .content = to};
	return 0;
}

static int make_world(struct admit *a, const struct code_maps *maps)
{
	const struct lych_code_copy *copy = a->copy;
	const struct code_map *before = code_at(maps, copy->at - 1), *behind = code_at(maps, a->end);
	int rc = 0;

	a->start = before != NULL ? copy->at - CODE_PAGE : copy->at;
	a->stop = behind != NULL ? a->end + CODE_PAGE : a->end;
	a->bytes = arena_take(a->stop - a->start);
	a->world.items = arena_take(3 * sizeof(*a->world.items));
	if (a->bytes == NULL || a->world.items == NULL) {
		return -ENOMEM;
	}
	a->content = a->bytes + (copy->at - a->start);
	if (copy->content != NULL) {
		memcpy(a->content, copy->content, copy->bytes);
	} else {
		rc = copy->read(a->content, copy->bytes, copy->read_ctx);
	}
	rc = rc != 0 ? rc : take_neighbour(a, before, a->start);
	a->world.items[a->world.count++] = (struct code_map){.start = copy->at,
							     .end = a->end,
							     .off = copy->off,
							     .readable = true,
							     .executable = true,
							     .path = copy->name,
							     .content = a->content,
							     .file = copy->file,
							     .file_bytes = copy->file_bytes};
	return rc != 0 ? rc : take_neighbour(a, behind, a->end);
}

/* ---- looking --------------------------------------------------------------------------------------------------------- */

struct look {
	struct admit *a;
	uint64_t vaddr;
	bool again; /* nothing may be found */
};

/* One page of the world: what is on others may be replaced. */
struct one_page {
	const struct code_maps *world;
	uint64_t page;
};

static size_t read_page(void *ctx, uint64_t vaddr, void *buf, size_t len)
{
	const struct one_page *p = ctx;

	if (vaddr < p->page || vaddr - p->page >= CODE_PAGE) {
		return 0;
	}
	len = len < p->page + CODE_PAGE - vaddr ? len : (size_t)(p->page + CODE_PAGE - vaddr);
	return maps_code((void *)p->world, vaddr, buf, len);
}

/* Harmless whatever becomes of other pages: it, what can be a prefix of it, and its check are on this one. */
static bool checked_on_its_page(const struct admit *a, const struct hit *hit)
{
	struct one_page page = {&a->world, page_down(hit->vaddr)};
	const struct code code = {read_page, &page};
	const char *why;

	return hit->vaddr - page.page >= LYCH_SEQUENCE_MAX && verdict_of(hit, NULL, 0, &code, &why) == LYCH_VERDICT_CHECKED;
}

/* There are no gates in a domain, whatever a file says of itself. */
static int take(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	struct look *look = ctx;
	struct admit *a = look->a;
	const struct code code = {maps_code, &a->world};
	struct code_hit found = {.hit = {look->vaddr + off, look->vaddr + core, (uint8_t)len, cls}};
	const char *why;

	/* Of a neighbour's own it was looked at when that came. */
	if (found.hit.vaddr >= a->end || found.hit.vaddr + len <= a->copy->at || checked_on_its_page(a, &found.hit)) {
		return 0;
	}
	if (look->again || a->hits.count == a->hits.room) {
		return -E2BIG;
	}
	found.verdict = verdict_of(&found.hit, NULL, 0, &code, &why);
	found.verdict = found.verdict == LYCH_VERDICT_CHECKED ? LYCH_VERDICT_STRAY : found.verdict;
	found.map = maps_from(&a->world, found.hit.vaddr);
	a->hits.items[a->hits.count++] = found;
	return 0;
}

/* At [start, end) of the copy, and across its borders where these are. */
static int look_at_part(struct admit *a, uint64_t start, uint64_t end, bool again)
{
	uint64_t from = start == a->copy->at && a->start < start ? start - MARGIN : start;
	uint64_t to = end == a->end && a->stop > end ? end + MARGIN : end;
	struct look look = {a, from, again};

	return pattern_scan(a->bytes + (from - a->start), to - from, a->copy->classes, take, &look);
}

static int look(struct admit *a)
{
	int rc = hits_begin(&a->hits, CODE_HITS_MAX);

	if (rc == 0) {
		rc = look_at_part(a, a->copy->at, a->end, false);
	}
	if (rc == -E2BIG) {
		why_set("code: more than %u sequences in %.100s", CODE_HITS_MAX, a->name);
		rc = -ENOEXEC;
	}
	return rc;
}

/* ---- the plan -------------------------------------------------------------------------------------------------------- */

static bool within(uint64_t start, uint64_t end, uint64_t low, uint64_t high)
{
	return low <= start && start <= end && end <= high;
}

/* What a plan for the whole process may do and one for the copy may not. */
static const char *goes_beyond(const struct admit *a, uint64_t *at)
{
	const struct plan *plan = &a->plan;
	const struct lych_code_copy *copy = a->copy;

	for (size_t i = 0; i < plan->nedits; i++) {
		*at = plan->edits[i].vaddr;
		if (!within(*at, *at + plan->edits[i].len, copy->at, a->end)) {
			return "an edit is not in the copy";
		}
	}
	for (size_t i = 0; i < plan->ntrampolines; i++) {
		*at = plan->trampolines[i].vaddr;
		if (!within(*at, *at + plan->trampolines[i].len, copy->room + EDGE, copy->room + copy->room_bytes - EDGE)) {
			return "a trampoline is at the edge of its room, or outside";
		}
	}
	for (size_t i = 0; i < plan->nno_exec; i++) {
		*at = plan->no_exec[i].start;
		if (!within(*at, plan->no_exec[i].end, copy->at, a->end)) {
			return "pages would lose the right to execute that are not in the copy";
		}
	}
	return NULL;
}

static int believe(struct admit *a)
{
	const struct plan *plan = &a->plan;
	const struct repair_plan found = {.edits = plan->edits,
					  .nedits = plan->nedits,
					  .trampolines = plan->trampolines,
					  .ntrampolines = plan->ntrampolines,
					  .no_exec = plan->no_exec,
					  .nno_exec = plan->nno_exec,
					  .areas = plan->options.areas,
					  .nareas = plan->options.nareas,
					  .classes = plan->options.classes};
	const struct code code = {maps_code, &a->world};
	uint64_t at = 0;
	const char *why = repair_check(&found, &code, &at);

	if (why == NULL) {
		why = goes_beyond(a, &at);
	}
	if (why != NULL) {
		why_set("code: the plan of the repair of %.100s is wrong at 0x%llx: %s", a->name, (unsigned long long)at, why);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* What is next to the copy may be other code the next time. */
static bool stands_alone(const struct admit *a)
{
	return a->world.count == 1;
}

static int plan_for(struct admit *a)
{
	struct lych_code_memo *memo = stands_alone(a) && a->copy->file != NULL ? a->copy->memo : NULL;
	struct memo_plan *m = NULL;
	int rc;

	if (memo != NULL && memo_find(a->copy, a->content, &a->plan)) {
		return believe(a);
	}
	if (memo != NULL) {
		m = memo_begin(a->copy, a->content, a->hits.count);
	}
	if (m != NULL) {
		a->world.items[0].file = memo_file(m);
	}
	rc = plan_make(&a->plan);
	if (rc == 0) {
		rc = believe(a);
	}
	if (m != NULL) {
		memo_end(memo, m, rc == 0 ? &a->plan : NULL);
	}
	return rc;
}

static int make_plan(struct admit *a)
{
	const struct lych_code_copy *copy = a->copy;
	struct repair_options *options = &a->plan.options;

	a->plan = (struct plan){.maps = &a->world, .hits = &a->hits, .over = copy->over, .over_ctx = copy->over_ctx};
	if (a->hits.count == 0 || (copy->mode == LYCH_CODE_REFUSE && hits_have_strays(&a->hits))) {
		return 0;
	}
	options->classes = copy->classes;
	options->only = (struct repair_area){copy->at, a->end};
	if (copy->room_bytes > FIRST_ROOM) {
		options->areas[options->nareas++] = (struct repair_area){copy->room, copy->room + FIRST_ROOM};
	}
	if (copy->room_bytes > 0) {
		options->areas[options->nareas++] = (struct repair_area){copy->room, copy->room + copy->room_bytes};
	}
	return plan_for(a);
}

/* ---- words ----------------------------------------------------------------------------------------------------------- */

static void report_one(struct admit *a, size_t i)
{
	const struct lych_code_copy *copy = a->copy;
	const struct hit *hit = &a->hits.items[i].hit;
	const struct plan_item *planned = a->plan.items != NULL ? &a->plan.items[i] : NULL;
	uint64_t first = hit->vaddr > copy->at ? hit->vaddr : copy->at; /* byte of the copy */
	bool gone = planned != NULL && plan_covers(&a->plan, hit);
	struct lych_code_item item = {.path = a->name,
				      .address = hit->vaddr,
				      .offset = copy->name[0] != '\0' ? copy->off + (first - copy->at) : hit->vaddr,
				      .symbol = planned != NULL ? planned->symbol : "",
				      .into = planned != NULL ? planned->into : 0,
				      .what = lych_class_name(hit->cls),
				      .done = "left",
				      .why = "the program asked to repair nothing but glibc's own"};

	if (gone) {
		item.done = repair_kind_name((enum repair_kind)planned->kind);
		item.done = item.done != NULL ? item.done : "";
		item.why = "";
	} else if (planned != NULL) {
		item.why = planned->why;
	}
	if (copy->tell != NULL) {
		copy->tell(&item, copy->ctx);
	}
	if (!gone && !a->refused) {
		a->refused = true;
		why_left(&item, "domain");
	}
}

static int report(struct admit *a)
{
	for (size_t i = 0; i < a->hits.count; i++) {
		/* Known ones are not why the rest is refused. */
		if (a->plan.items != NULL || a->hits.items[i].verdict != LYCH_VERDICT_RUNTIME) {
			report_one(a, i);
		}
	}
	return a->refused ? -ENOEXEC : 0;
}

/* ---- changing it ----------------------------------------------------------------------------------------------------- */

static int cut(struct admit *a)
{
	struct lych_code_copy *copy = a->copy;
	uint64_t at = copy->at;

	if (a->plan.nno_exec > LYCH_CODE_AREAS) {
		why_set("code: %.100s has data among its code in more than %u places", a->name, LYCH_CODE_AREAS);
		return -ENOEXEC;
	}
	for (size_t i = 0; i < a->plan.nno_exec; i++) {
		const struct repair_area *pages = &a->plan.no_exec[i];

		copy->no_exec[copy->nno_exec++] = (struct lych_code_area){pages->start, pages->end};
		if (pages->start > at) {
			a->parts[a->nparts++] = (struct repair_area){at, pages->start};
		}
		at = pages->end;
	}
	if (at < a->end) {
		a->parts[a->nparts++] = (struct repair_area){at, a->end};
	}
	return 0;
}

/* In the private copy; nothing may be found in it afterwards. */
static int change(struct admit *a)
{
	int rc = cut(a);

	for (size_t i = 0; rc == 0 && i < a->plan.nedits; i++) {
		const struct repair_edit *e = &a->plan.edits[i];

		memcpy(a->content + (e->vaddr - a->copy->at), e->new_bytes, e->len);
	}
	for (size_t i = 0; rc == 0 && i < a->nparts; i++) {
		rc = look_at_part(a, a->parts[i].start, a->parts[i].end, true);
	}
	if (rc == -E2BIG) {
		why_set("code: after its repair there is a sequence in %.100s", a->name);
		rc = -ENOEXEC;
	}
	return rc;
}

/* repair_check has looked at each, and what is between them is int3. */
static int put_trampolines(struct admit *a)
{
	const struct plan *plan = &a->plan;
	int rc = 0;

	for (size_t i = 0, next; rc == 0 && i < plan->ntrampolines; i = next) {
		const struct run run = trampoline_run(plan, i, &next);
		const struct repair_area all = {run.start, run.end};
		size_t bytes = run.end - run.start;
		uint8_t *content = arena_take(bytes);

		if (content == NULL) {
			return -ENOMEM;
		}
		memset(content, INT3, bytes);
		for (; i < next; i++) {
			const struct repair_trampoline *t = &plan->trampolines[i];

			memcpy(content + (t->vaddr - run.start), t->code, t->len);
		}
		rc = door_put(run.start, content, bytes, a->copy->key, &all, 1, "trampolines", 0);
		a->used = rc == 0 ? run.end : a->used;
	}
	return rc;
}

static void withdraw_trampolines(struct admit *a)
{
	for (size_t i = 0, next; i < a->plan.ntrampolines; i = next) {
		struct run run = trampoline_run(&a->plan, i, &next);

		if (run.end <= a->used) {
			door_withdraw(run.start, run.end - run.start, a->copy->key);
		}
	}
}

/* ---- looking again --------------------------------------------------------------------------------------------------- */

static bool is_part(const struct admit *a, uint64_t vaddr)
{
	for (size_t i = 0; i < a->nparts; i++) {
		if (a->parts[i].start <= vaddr && a->parts[i].end > vaddr) {
			return true;
		}
	}
	return false;
}

/* Executable next to the copy is what was there when it was looked at. */
static bool neighbour_is(const struct admit *a, const struct code_maps *now, uint64_t page, bool known)
{
	uint8_t bytes[CODE_PAGE];

	return code_at(now, page) == NULL ||
	       (known && code_fetch(bytes, page, CODE_PAGE) && memcmp(bytes, a->bytes + (page - a->start), CODE_PAGE) == 0);
}

static bool is_there(const struct admit *a, const struct code_maps *now)
{
	void *chunk = arena_take(CODE_CHUNK);
	uint64_t at = a->copy->at;

	for (size_t i = maps_from(now, at); i < now->count && at < a->end && now->items[i].start <= at; i++) {
		const struct code_map *map = &now->items[i];
		uint64_t end = map->end < a->end ? map->end : a->end;

		for (; at < end; at += CODE_PAGE) {
			if (map->executable != is_part(a, at) || !map->readable || map->writable || map->shared) {
				return false;
			}
		}
	}
	return at == a->end && chunk != NULL && code_holds(a->copy->at, a->content, a->copy->bytes, chunk) &&
	       neighbour_is(a, now, a->copy->at - CODE_PAGE, a->start < a->copy->at) &&
	       neighbour_is(a, now, a->end, a->stop > a->end);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

static int put(struct admit *a)
{
	const struct lych_code_copy *copy = a->copy;
	struct code_maps now;
	int rc = put_trampolines(a);

	if (rc == 0) {
		rc = door_put(copy->at, a->content, copy->bytes, copy->key, a->parts, a->nparts, copy->name, copy->off);
	}
	if (rc == 0) {
		door_settle();
		rc = maps_read(&now);
		if (rc == 0 && !is_there(a, &now)) {
			why_set("code: where %.100s was put, or next to it, is other code: does another thread map memory there?",
				a->name);
			rc = -EAGAIN;
		}
		if (rc != 0) {
			door_withdraw(copy->at, copy->bytes, copy->key);
		}
	}
	if (rc != 0) {
		withdraw_trampolines(a);
	}
	return rc;
}

static bool room_is_free(const struct lych_code_copy *copy, const struct code_maps *maps)
{
	uint64_t end = copy->room + copy->room_bytes;

	for (size_t i = maps_from(maps, copy->room); i < maps->count && maps->items[i].start < end; i++) {
		if (maps->items[i].executable) {
			return false;
		}
	}
	return true;
}

static int admit(struct admit *a)
{
	struct code_maps maps;
	int rc = maps_read(&maps);

	if (rc == 0 && !room_is_free(a->copy, &maps)) {
		why_set("code: the room for trampolines is executable already");
		rc = -EINVAL;
	}
	if (rc == 0) {
		rc = make_world(a, &maps);
	}
	if (rc == 0) {
		rc = look(a);
	}
	if (rc == 0) {
		rc = make_plan(a);
	}
	if (rc == 0) {
		rc = report(a);
	}
	if (rc == 0) {
		rc = change(a);
	}
	return rc != 0 ? rc : put(a);
}

static bool whole_pages(uint64_t at, uint64_t bytes)
{
	return ((at | bytes) & (CODE_PAGE - 1)) == 0 && at < HIGHEST && bytes <= HIGHEST - at;
}

static bool makes_sense(const struct lych_code_copy *copy)
{
	return whole_pages(copy->at, copy->bytes) && copy->at >= CODE_PAGE && copy->bytes > 0 && (copy->content != NULL || copy->read != NULL) &&
	       copy->name != NULL && (copy->off & (CODE_PAGE - 1)) == 0 && copy->off <= INT64_MAX - copy->bytes &&
	       whole_pages(copy->room, copy->room_bytes) &&
	       (copy->room >= copy->at + copy->bytes || copy->room + copy->room_bytes <= copy->at) &&
	       (copy->classes & ~LYCH_ALL_CLASSES) == 0 && copy->key >= -1 && copy->key < KEYS &&
	       (copy->mode == LYCH_CODE_REPAIR || copy->mode == LYCH_CODE_REFUSE);
}

int lych_code_admit(struct lych_code_copy *copy)
{
	struct admit a = {.copy = copy, .end = copy->at + copy->bytes};
	const char *name;
	int rc, error = errno;

	if (!makes_sense(copy)) {
		why_set("code: what is to become executable is not whole pages, or not described as it should be");
		return -EINVAL;
	}
	copy->room_used = copy->nno_exec = 0;
	name = copy->name[0] != '\0' ? copy->name : "[anonymous]";
	elf_clean_string(a.name, sizeof(a.name), name, strnlen(name, sizeof(a.name)));
	if (!arena_lock(copy->over, copy->over_ctx)) {
		return -EINTR;
	}
	rc = arena_begin();
	if (rc == 0) {
		rc = admit(&a);
		arena_end();
	}
	arena_unlock();
	errno = error;
	copy->room_used = rc == 0 && a.used != 0 ? a.used - copy->room : 0;
	copy->nno_exec = rc == 0 ? copy->nno_exec : 0;
	return rc;
}
