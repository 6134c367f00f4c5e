/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "../../scanner/repair_check.h"
#include "../core/asm.h"
#include "../core/why.h"
#include "parts.h"

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#endif
/* Code that comes while it is looked at is looked at again, so often. */
#define PASSES 8
#define NEAR 256u
#define LOOKED 1

struct start {
	enum lych_code mode;
	uint32_t classes;
	void (*tell)(const struct lych_code_item *item, void *ctx);
	void *ctx;
	struct code_maps maps;
	struct code_hits hits;
	struct plan plan;
	bool refused; /* something is left, and the first of it is in lych_why */
	int rc;
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

void why_left(const struct lych_code_item *item, const char *policy)
{
	char place[200] = "", hint[240] = "";
	const char *name = strrchr(item->path, '/');

	if (item->symbol[0] != '\0') {
		snprintf(place, sizeof(place), " (%s+0x%llx)", item->symbol, (unsigned long long)item->into);
	}
	if (item->path[0] == '/') {
		snprintf(hint, sizeof(hint), "; `lychgate repair --plan --policy %s %.150s` says more", policy, item->path);
	}
	why_set("code: %.100s+0x%llx%s: %s: %.150s%s", name != NULL ? name + 1 : item->path,
		(unsigned long long)item->offset, place, item->what, item->why, hint);
}

/* Something that stays as it is: told, and a reason not to start but in report mode. */
static void leave(struct start *s, const struct lych_code_item *item)
{
	if (s->tell != NULL) {
		s->tell(item, s->ctx);
	}
	if (s->refused || s->mode == LYCH_CODE_REPORT) {
		return;
	}
	s->refused = true;
	why_left(item, "host");
}

static void leave_mapping(struct start *s, const struct code_map *map, const char *what, const char *why)
{
	const struct lych_code_item item = {
		.path = name_of(map), .address = map->start, .offset = offset_of(map, map->start), .symbol = "", .what = what,
		.done = "left", .why = why};

	leave(s, &item);
}

/* ---- mappings --------------------------------------------------------------------------------------------------- */

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

/* Can it be looked at, and is it what will run? Makes its pages present, which says whether all of them are there. */
static bool usable(struct start *s, const struct code_map *map)
{
	/* What is left by an interrupt clears PKRU, and nobody looks into it (SDM 3D, 42.17). */
	if (strcmp(map->path, "/dev/sgx_enclave") == 0) {
		leave_mapping(s, map, "enclave", "an SGX enclave: leaving it by an interrupt opens every key");
		return false;
	}
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
	int rc = hits_begin(&s->hits, CODE_HITS_MAX);

	if (rc != 0) {
		return rc;
	}
	for (size_t i = 0; i < maps->count; i++) {
		if (map_is_code(&maps->items[i]) && !usable(s, &maps->items[i])) {
			maps->items[i].left = true;
		}
	}
	rc = look_at_all(&s->hits, maps, s->classes);
	if (rc == -E2BIG) {
		why_set("code: more than %u sequences in executable memory", CODE_HITS_MAX);
		rc = -ENOEXEC;
	}
	return rc;
}

/* ---- the plan --------------------------------------------------------------------------------------------------- */

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

/*
 * Each edit is where a sequence is, or so near that it can help: a jump of two bytes to padding, or the entry of pkey_set. No other
 * code is changed, and none of the gates.
 */
static const struct repair_edit *edit_far_away(const struct plan *plan)
{
	const struct code_hit *hits = plan->hits->items;

	for (size_t i = 0, k = 0; i < plan->nedits; i++) {
		const struct repair_edit *e = &plan->edits[i];

		while (k < plan->hits->count && hits[k].hit.core + NEAR < e->vaddr) {
			k++;
		}
		if (k == plan->hits->count || hits[k].hit.core > e->vaddr + e->len + NEAR) {
			return e;
		}
	}
	return NULL;
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
	const struct repair_edit *far = why == NULL ? edit_far_away(plan) : NULL;

	if (far != NULL) {
		at = far->vaddr;
		why = "an edit is far from every sequence";
	}
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
		bool gone = planned != NULL && plan_covers(&s->plan, &found->hit);
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

bool hits_have_strays(const struct code_hits *hits)
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

	*plan = (struct plan){.maps = &s->maps,
			      .hits = &s->hits,
			      .options = {.classes = s->classes, .pkey_set = (uint64_t)(uintptr_t)lych_pkey_set}};
	if (s->hits.count == 0 || (s->mode == LYCH_CODE_REFUSE && hits_have_strays(&s->hits))) {
		return 0;
	}
	areas_choose(&plan->options, &s->maps, &s->hits);
	rc = plan_make(plan);
	if (rc == 0) {
		rc = believe(s);
	}
	return rc;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static int pass(struct start *s)
{
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
	return carry_out(&s->plan);
}

/* Called by dl_iterate_phdr for its lock: as long as that is held ld.so unmaps nothing (glibc's dl-close.c). */
static int pass_locked(struct dl_phdr_info *info, size_t bytes, void *start)
{
	struct start *s = start;

	(void)info;
	(void)bytes;
	s->rc = pass(s);
	return LOOKED;
}

int lych_code_start(enum lych_code mode, uint32_t classes,
		    void (*tell)(const struct lych_code_item *item, void *ctx), void *ctx)
{
	int rc = -EAGAIN;

	for (unsigned i = 0; i < PASSES && rc == -EAGAIN; i++) {
		struct start s = {.mode = mode, .classes = classes, .tell = tell, .ctx = ctx};

		rc = arena_begin();
		if (rc == 0) {
			/* Some programs have a dl_iterate_phdr of their own. */
			rc = dl_iterate_phdr(pass_locked, &s) == LOOKED ? s.rc : pass(&s);
			arena_end();
		}
	}
	if (rc == -EAGAIN) {
		why_set("code: other threads load and unload code all the time");
	}
	return rc;
}
