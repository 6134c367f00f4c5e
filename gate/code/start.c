/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../scanner/repair_check.h"
#include "../core/asm.h"
#include "../core/why.h"
#include "parts.h"
#include "unwind.h"

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#endif
#define MARGIN (LYCH_SEQUENCE_MAX - 1u)
#define INT3 0xcc
#define HITS_MAX 65536u
/* Code that comes while it is looked at is looked at again, so often. */
#define PASSES 8

/* Pages that get other contents: whole mappings that somebody could write otherwise, and those with an edit. */
struct run {
	uint64_t start, end;
};

struct start {
	enum lych_code mode;
	uint32_t classes;
	void (*tell)(const struct lych_code_item *item, void *ctx);
	void *ctx;
	struct code_maps maps;
	struct code_hits hits;
	struct plan plan;
	struct run *runs; /* ascending, not touching each other */
	size_t nruns;
	bool refused; /* something is left, and the first of it is in lych_why */
};

/* ---- words ------------------------------------------------------------------------------------------------------ */

static const char *name_of(const struct code_map *map)
{
	return map->path[0] != '\0' ? map->path : "[anonymous]";
}

static uint64_t offset_of(const struct code_map *map, uint64_t vaddr)
{
	return map->path[0] == '/' ? map->off + (vaddr - map->start) : vaddr;
}

/* Something that stays as it is: told, and a reason not to start but in report mode. */
static void leave(struct start *s, const struct lych_code_item *item)
{
	char place[200] = "", hint[200] = "";
	const char *name = strrchr(item->path, '/');

	if (s->tell != NULL) {
		s->tell(item, s->ctx);
	}
	if (s->refused || s->mode == LYCH_CODE_REPORT) {
		return;
	}
	s->refused = true;
	if (item->symbol[0] != '\0') {
		snprintf(place, sizeof(place), " (%s+0x%llx)", item->symbol, (unsigned long long)item->into);
	}
	if (item->path[0] == '/') {
		snprintf(hint, sizeof(hint), "; `lychgate repair --plan %.150s` says more", item->path);
	}
	why_set("code: %.100s+0x%llx%s: %s: %.150s%s", name != NULL ? name + 1 : item->path,
		(unsigned long long)item->offset, place, item->what, item->why, hint);
}

static void leave_mapping(struct start *s, const struct code_map *map, const char *what, const char *why)
{
	const struct lych_code_item item = {
		.path = name_of(map), .address = map->start, .offset = offset_of(map, map->start), .symbol = "", .what = what,
		.done = "left", .why = why};

	leave(s, &item);
}

/* ---- mappings --------------------------------------------------------------------------------------------------- */

/* May this process write the file, or give itself the right to? What cannot be told counts as yes. */
static bool file_can_change(const struct code_map *map)
{
	struct stat st;

	if (map->deleted || map->path[0] != '/' || stat(map->path, &st) != 0 || st.st_ino != map->inode) {
		return true;
	}
	if (faccessat(AT_FDCWD, map->path, W_OK, AT_EACCESS) == 0) {
		return true;
	}
	/* Its owner may change its mode, unless the file system is read-only. */
	return errno != EROFS && st.st_uid == geteuid();
}

static bool has_writable_alias(const struct code_maps *maps, const struct code_map *map)
{
	for (size_t i = 0; map->inode != 0 && i < maps->count; i++) {
		const struct code_map *m = &maps->items[i];

		if (m->shared && m->writable && m->inode == map->inode && m->dev == map->dev) {
			return true;
		}
	}
	return false;
}

static void add_run(struct start *s, uint64_t start, uint64_t end)
{
	size_t i = s->nruns;

	while (i > 0 && s->runs[i - 1].start > start) {
		s->runs[i] = s->runs[i - 1];
		i--;
	}
	s->runs[i] = (struct run){start, end};
	s->nruns++;
}

static void join_runs(struct start *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->nruns; i++) {
		if (n > 0 && s->runs[n - 1].end >= s->runs[i].start) {
			s->runs[n - 1].end = s->runs[n - 1].end > s->runs[i].end ? s->runs[n - 1].end : s->runs[i].end;
		} else {
			s->runs[n++] = s->runs[i];
		}
	}
	s->nruns = n;
}

/* Can it be looked at, and is it what will run? Makes its pages present, which says whether all of them are there. */
static bool usable(struct start *s, const struct code_map *map)
{
	if (map->writable) {
		leave_mapping(s, map, "writable", "memory that is writable and executable: what is looked at is not what runs");
		return false;
	}
	if (has_writable_alias(&s->maps, map)) {
		leave_mapping(s, map, "writable", "its file is mapped a second time, writable and shared");
		return false;
	}
	if (!map->readable) {
		leave_mapping(s, map, "unreadable", "it cannot be read, and so not be looked at");
		return false;
	}
	if (sys3(SYS_madvise, map->start, map->end - map->start, MADV_POPULATE_READ) == -EFAULT) {
		leave_mapping(s, map, "unreadable", "its file is shorter than the mapping");
		return false;
	}
	return true;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

static int look_around(struct start *s)
{
	struct code_maps *maps = &s->maps;
	int rc = 0;

	s->hits = (struct code_hits){arena_take(HITS_MAX * sizeof(*s->hits.items)), 0, HITS_MAX};
	s->runs = arena_take((maps->count + 4 * HITS_MAX) * sizeof(*s->runs));
	if (s->hits.items == NULL || s->runs == NULL) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < maps->count; i++) {
		if (map_is_code(&maps->items[i]) && !usable(s, &maps->items[i])) {
			maps->items[i].left = true;
		}
	}
	for (size_t i = 0; rc == 0 && i < maps->count; i++) {
		uint64_t start = maps->items[i].start, end = maps->items[i].end;

		if (!map_is_code(&maps->items[i])) {
			continue;
		}
		/* What lies together runs together. */
		for (; i + 1 < maps->count && maps->items[i + 1].start == end && map_is_code(&maps->items[i + 1]); i++) {
			end = maps->items[i + 1].end;
		}
		rc = look_at(&s->hits, maps, start, end, s->classes);
	}
	if (rc == -E2BIG) {
		why_set("code: more than %u sequences in executable memory", HITS_MAX);
		rc = -ENOEXEC;
	}
	return rc;
}

/* ---- the plan --------------------------------------------------------------------------------------------------- */

static bool changes(const struct repair_edit *e, const struct hit *hit)
{
	for (size_t i = 0; i < e->len; i++) {
		if (e->old_bytes[i] != e->new_bytes[i] && e->vaddr + i - hit->vaddr < hit->len) {
			return true;
		}
	}
	return false;
}

/* Is the sequence gone when the plan is carried out? */
static bool is_planned(const struct plan *plan, const struct hit *hit)
{
	for (size_t i = 0; i < plan->nedits; i++) {
		if (changes(&plan->edits[i], hit)) {
			return true;
		}
	}
	for (size_t i = 0; i < plan->nno_exec; i++) {
		if (plan->no_exec[i].start <= hit->vaddr && plan->no_exec[i].end >= hit->vaddr + hit->len) {
			return true;
		}
	}
	return false;
}

/* Each page that is to lose the right to execute holds a sequence: nobody gets others taken away. */
static bool no_exec_is_wanted(const struct plan *plan)
{
	for (size_t i = 0; i < plan->nno_exec; i++) {
		for (uint64_t page = plan->no_exec[i].start; page < plan->no_exec[i].end; page += CODE_PAGE) {
			bool wanted = false;

			for (size_t k = 0; k < plan->hits->count && !wanted; k++) {
				const struct hit *hit = &plan->hits->items[k].hit;

				wanted = hit->vaddr < page + CODE_PAGE && hit->vaddr + hit->len > page;
			}
			if (!wanted) {
				return false;
			}
		}
	}
	return true;
}

static int believe(struct start *s)
{
	struct plan *plan = &s->plan;
	const struct repair_plan found = {.edits = plan->edits,
					  .nedits = plan->nedits,
					  .trampolines = plan->trampolines,
					  .ntrampolines = plan->ntrampolines,
					  .no_exec = plan->no_exec,
					  .nno_exec = plan->nno_exec,
					  .areas = plan->options.areas,
					  .nareas = plan->options.nareas,
					  .classes = plan->options.classes,
					  .pkey_set = plan->options.pkey_set};
	const struct code code = {maps_code, &s->maps};
	uint64_t at = 0;
	const char *why = repair_check(&found, &code, &at);

	if (why == NULL && !no_exec_is_wanted(plan)) {
		why = "pages would lose the right to execute that hold no sequence";
	}
	if (why != NULL) {
		why_set("code: the plan of its repair is wrong at 0x%llx: %s", (unsigned long long)at, why);
		return -EOPNOTSUPP;
	}
	return 0;
}

static void report(struct start *s)
{
	for (size_t i = 0; i < s->hits.count; i++) {
		const struct code_hit *found = &s->hits.items[i];
		const struct code_map *map = &s->maps.items[found->map];
		const struct plan_item *planned = s->plan.items != NULL ? &s->plan.items[i] : NULL;
		bool gone = planned != NULL && is_planned(&s->plan, &found->hit);
		struct lych_code_item item = {.path = name_of(map),
					      .address = found->hit.vaddr,
					      .offset = offset_of(map, found->hit.vaddr),
					      .symbol = planned != NULL ? planned->symbol : "",
					      .into = planned != NULL ? planned->into : 0,
					      .what = lych_class_name(found->hit.cls),
					      .done = "left",
					      .why = "the program asked to repair nothing but glibc's own"};

		if (planned == NULL && found->verdict == LYCH_VERDICT_RUNTIME) {
			continue; /* not why the start is refused */
		}
		if (gone) {
			item.done = repair_kind_name((enum repair_kind)planned->kind);
			item.done = item.done != NULL ? item.done : "";
			item.why = "";
		} else if (planned != NULL) {
			item.why = planned->why;
		}
		if (!gone) {
			leave(s, &item);
		} else if (s->tell != NULL) {
			s->tell(&item, s->ctx);
		}
	}
}

static bool has_strays(const struct code_hits *hits)
{
	for (size_t i = 0; i < hits->count; i++) {
		if (hits->items[i].verdict != LYCH_VERDICT_RUNTIME) {
			return true;
		}
	}
	return false;
}

static int make_plan(struct start *s)
{
	struct plan *plan = &s->plan;
	int rc;

	*plan = (struct plan){.maps = &s->maps, .hits = &s->hits, .options = {.classes = s->classes}};
	if (s->hits.count == 0 || (s->mode == LYCH_CODE_REFUSE && has_strays(&s->hits))) {
		return 0;
	}
	areas_choose(&plan->options, &s->maps, &s->hits);
	rc = plan_make(plan);
	if (rc == 0) {
		rc = believe(s);
	}
	return rc;
}

/* ---- carrying it out -------------------------------------------------------------------------------------------- */

static void patch(char *content, uint64_t start, size_t bytes, uint64_t vaddr, const uint8_t *code, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (vaddr + i - start < bytes) {
			content[vaddr + i - start] = (char)code[i];
		}
	}
}

/* Pages of trampolines from the one of trampoline i on that lie together; *next: the first one behind. */
static struct run trampoline_run(const struct plan *plan, size_t i, size_t *next)
{
	const struct repair_trampoline *t = &plan->trampolines[i];
	struct run run = {page_down(t->vaddr), page_up(t->vaddr + t->len)};

	for (*next = i + 1; *next < plan->ntrampolines && page_down(plan->trampolines[*next].vaddr) <= run.end; ++*next) {
		run.end = page_up(plan->trampolines[*next].vaddr + plan->trampolines[*next].len);
	}
	return run;
}

static int open_trampolines(const struct plan *plan, const struct run *run, size_t from, size_t to)
{
	size_t bytes = run->end - run->start;
	char *content = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (content == MAP_FAILED) {
		return -ENOMEM;
	}
	memset(content, INT3, bytes);
	for (size_t i = from; i < to; i++) {
		patch(content, run->start, bytes, plan->trampolines[i].vaddr, plan->trampolines[i].code,
		      plan->trampolines[i].len);
	}
	rc = door_open(run->start, content, bytes, true, "trampolines", 0);
	munmap(content, bytes);
	return rc;
}

static void close_trampolines(const struct plan *plan, size_t count)
{
	for (size_t i = 0, next; i < count; i = next) {
		struct run run = trampoline_run(plan, i, &next);

		door_close(run.start, run.end - run.start);
	}
}

/* -EAGAIN: somebody else has mapped something there meanwhile. */
static int open_all_trampolines(const struct plan *plan)
{
	for (size_t i = 0, next; i < plan->ntrampolines; i = next) {
		struct run run = trampoline_run(plan, i, &next);
		int rc = open_trampolines(plan, &run, i, next);

		if (rc != 0) {
			close_trampolines(plan, i);
			return rc == -EEXIST ? -EAGAIN : rc;
		}
	}
	return 0;
}

/* What gdb calls a trampoline. The texts are cleaned, but whether they are true the child knows alone. */
static void name_trampoline(void *ctx, const struct repair_trampoline *t, char out[UNWIND_NAME_BYTES])
{
	const struct start *s = ctx;

	for (size_t i = 0; i < s->hits.count; i++) {
		const struct hit *hit = &s->hits.items[i].hit;
		const struct code_map *map = &s->maps.items[s->hits.items[i].map];
		const struct plan_item *item = &s->plan.items[i];
		const char *file = strrchr(map->path, '/');
		uint64_t from = hit->vaddr - t->site; /* a sequence may begin in the instruction before */

		if (hit->vaddr >= t->resume || hit->vaddr + hit->len <= t->site) {
			continue;
		}
		if (item->symbol[0] != '\0') {
			snprintf(out, UNWIND_NAME_BYTES, "repair:%s+0x%llx", item->symbol,
				 (unsigned long long)(item->into - from));
		} else if (file != NULL) {
			snprintf(out, UNWIND_NAME_BYTES, "repair:%.100s@0x%llx", file + 1,
				 (unsigned long long)(map->off + (t->site - map->start)));
		}
		return;
	}
}

static int tell_unwinders(struct start *s)
{
	int rc = 0;

	for (size_t i = 0, next; rc == 0 && i < s->plan.ntrampolines; i = next) {
		(void)trampoline_run(&s->plan, i, &next);
		rc = unwind_add(&s->plan.trampolines[i], next - i, name_trampoline, s);
	}
	return rc;
}

/* Of a copy that a start made which failed later, too. */
static const char *original_path(const struct code_map *map)
{
	static const char copy[] = "/memfd:lychgate:";
	size_t len = sizeof(copy) - 1;

	return strncmp(map->path, copy, len) == 0 ? map->path + len : map->path;
}

static int swap_run(const struct start *s, const struct run *run)
{
	const struct code_map *map = &s->maps.items[maps_from(&s->maps, run->start)];
	size_t bytes = run->end - run->start;
	char *content = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (content == MAP_FAILED) {
		return -ENOMEM;
	}
	memcpy(content, (const void *)(uintptr_t)run->start, bytes);
	for (size_t i = 0; i < s->plan.nedits; i++) {
		patch(content, run->start, bytes, s->plan.edits[i].vaddr, s->plan.edits[i].new_bytes, s->plan.edits[i].len);
	}
	rc = door_open(run->start, content, bytes, false, original_path(map), map->off + (run->start - map->start));
	munmap(content, bytes);
	return rc;
}

static void choose_runs(struct start *s)
{
	for (size_t i = 0; i < s->maps.count; i++) {
		const struct code_map *map = &s->maps.items[i];

		/* Private memory without a file changes by mprotect alone. */
		if (map_is_code(map) && (map->inode != 0 || map->shared) && (map->shared || file_can_change(map))) {
			add_run(s, map->start, map->end);
		}
	}
	for (size_t i = 0; i < s->plan.nedits; i++) {
		const struct repair_edit *e = &s->plan.edits[i];

		add_run(s, page_down(e->vaddr), page_up(e->vaddr + e->len));
	}
	join_runs(s);
}

static int carry_out(struct start *s)
{
	int rc = open_all_trampolines(&s->plan), told = 0;
	bool open = rc == 0;

	for (size_t i = 0; rc == 0 && i < s->nruns; i++) {
		rc = swap_run(s, &s->runs[i]);
		if (rc != 0 && i == 0) {
			close_trampolines(&s->plan, s->plan.ntrampolines);
			open = false;
		}
	}
	for (size_t i = 0; rc == 0 && i < s->plan.nno_exec; i++) {
		rc = door_shut(s->plan.no_exec[i].start, s->plan.no_exec[i].end);
	}
	if (s->nruns > 0) {
		door_settle();
	}
	if (open) {
		told = tell_unwinders(s);
	}
	return rc != 0 ? rc : told;
}

/* ---- looking again ---------------------------------------------------------------------------------------------- */

static bool was_left(const struct start *s, const struct hit *hit)
{
	for (size_t i = 0; i < s->hits.count; i++) {
		if (s->hits.items[i].hit.vaddr == hit->vaddr && s->hits.items[i].hit.cls == hit->cls) {
			return s->plan.items == NULL || !is_planned(&s->plan, hit);
		}
	}
	return false;
}

/* What can be executed of pages that were changed, and what lies right before and behind them. */
static int look_again(struct start *s, const struct code_maps *now, uint64_t start, uint64_t end)
{
	struct code_hits hits = {arena_take(HITS_MAX / 16 * sizeof(*hits.items)), 0, HITS_MAX / 16};
	int rc = 0;

	if (hits.items == NULL) {
		return -ENOMEM;
	}
	start -= MARGIN;
	end += MARGIN;
	for (size_t i = maps_from(now, start); rc == 0 && i < now->count && now->items[i].start < end; i++) {
		uint64_t from = now->items[i].start, to = now->items[i].end;

		for (; i + 1 < now->count && now->items[i + 1].start == to && map_is_code(&now->items[i + 1]) &&
		       map_is_code(&now->items[i]); i++) {
			to = now->items[i + 1].end;
		}
		if (map_is_code(&now->items[i])) {
			rc = look_at(&hits, now, from > start ? from : start, to < end ? to : end, s->classes);
		}
	}
	for (size_t i = 0; rc == 0 && i < hits.count; i++) {
		if (!was_left(s, &hits.items[i].hit)) {
			rc = -E2BIG;
		}
	}
	if (rc == -E2BIG) {
		why_set("code: what was repaired at 0x%llx holds sequences again: was its file changed meanwhile?",
			(unsigned long long)(start + MARGIN));
		return -ENOEXEC;
	}
	return rc;
}

static int look_at_changes(struct start *s, const struct code_maps *now)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->nruns; i++) {
		rc = look_again(s, now, s->runs[i].start, s->runs[i].end);
	}
	for (size_t i = 0, next; rc == 0 && i < s->plan.ntrampolines; i = next) {
		struct run run = trampoline_run(&s->plan, i, &next);

		rc = look_again(s, now, run.start, run.end);
	}
	return rc;
}

/* Is all of the mapping what was looked at, or what came through the door? */
static bool is_seen(const struct start *s, const struct code_map *map)
{
	uint64_t at = map->start;

	while (at < map->end) {
		uint64_t before = at;

		for (size_t i = 0; i < s->nruns; i++) {
			at = s->runs[i].start <= at && s->runs[i].end > at ? s->runs[i].end : at;
		}
		for (size_t i = 0, next; i < s->plan.ntrampolines; i = next) {
			struct run run = trampoline_run(&s->plan, i, &next);

			at = run.start <= at && run.end > at ? run.end : at;
		}
		for (size_t i = maps_from(&s->maps, at); at < map->end && i < s->maps.count; i++) {
			const struct code_map *old = &s->maps.items[i];

			if (old->start > at || !old->executable || old->inode != map->inode || old->dev != map->dev ||
			    (map->inode != 0 && old->off - old->start != map->off - map->start)) {
				break;
			}
			at = old->end;
		}
		if (at == before) {
			return false;
		}
	}
	return true;
}

/* -EAGAIN: executable memory has come meanwhile that nobody has looked at. */
static int compare(const struct start *s, const struct code_maps *now)
{
	for (size_t i = 0; i < now->count; i++) {
		if (map_is_code(&now->items[i]) && !is_seen(s, &now->items[i])) {
			return -EAGAIN;
		}
	}
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static int pass(struct start *s)
{
	struct code_maps now;
	int rc = maps_read(&s->maps);

	if (rc == 0) {
		rc = look_around(s);
	}
	if (rc == 0) {
		rc = make_plan(s);
	}
	if (rc != 0) {
		return rc;
	}
	report(s);
	if (s->refused) {
		return -ENOEXEC;
	}
	choose_runs(s);
	rc = carry_out(s);
	if (rc == 0) {
		rc = maps_read(&now);
	}
	if (rc == 0) {
		rc = look_at_changes(s, &now);
	}
	return rc != 0 ? rc : compare(s, &now);
}

int lych_code_start(enum lych_code mode, uint32_t classes,
		    void (*tell)(const struct lych_code_item *item, void *ctx), void *ctx)
{
	int rc = -EAGAIN;

	for (unsigned i = 0; i < PASSES && rc == -EAGAIN; i++) {
		struct start s = {.mode = mode, .classes = classes, .tell = tell, .ctx = ctx};

		rc = arena_begin();
		if (rc == 0) {
			rc = pass(&s);
			arena_end();
		}
	}
	if (rc == -EAGAIN) {
		why_set("code: other threads load and unload code all the time");
	}
	return rc;
}
