/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying a plan out that is believed: trampolines first, as nobody comes there yet; then whole pages with edits in them, each
 * swapped in at once; then a look at everything where it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../core/asm.h"
#include "../core/why.h"
#include "parts.h"
#include "unwind.h"

#define INT3 0xcc
#define MARGIN (LYCH_SEQUENCE_MAX - 1u)

struct carry {
	const struct plan *plan;
	bool traced; /* or it cannot be told */
	/* Pages that get other contents: whole mappings that somebody could write otherwise, and those with an edit. */
	struct run *runs; /* ascending, not touching each other */
	size_t nruns;
};

/* ---- which pages ------------------------------------------------------------------------------------------------ */

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
	/* Its owner may change its mode, unless the file system is read-only. A filter answers EPERM, as does a file that never changes. */
	return errno != EROFS && (errno != EACCES || st.st_uid == geteuid());
}

static void add_run(struct carry *c, uint64_t start, uint64_t end)
{
	size_t i = c->nruns;

	while (i > 0 && c->runs[i - 1].start > start) {
		c->runs[i] = c->runs[i - 1];
		i--;
	}
	c->runs[i] = (struct run){start, end};
	c->nruns++;
}

static void join_runs(struct carry *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nruns; i++) {
		if (n > 0 && c->runs[n - 1].end >= c->runs[i].start) {
			c->runs[n - 1].end = c->runs[n - 1].end > c->runs[i].end ? c->runs[n - 1].end : c->runs[i].end;
		} else {
			c->runs[n++] = c->runs[i];
		}
	}
	c->nruns = n;
}

static int choose_runs(struct carry *c)
{
	c->runs = arena_take((c->plan->maps->count + c->plan->nedits + 1) * sizeof(*c->runs));
	if (c->runs == NULL) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < c->plan->maps->count; i++) {
		const struct code_map *map = &c->plan->maps->items[i];

		/* Private memory without a file changes by mprotect alone. */
		if (map_is_code(map) && (map->inode != 0 || map->shared) && (map->shared || file_can_change(map))) {
			add_run(c, map->start, map->end);
		}
	}
	for (size_t i = 0; i < c->plan->nedits; i++) {
		const struct repair_edit *e = &c->plan->edits[i];

		add_run(c, page_down(e->vaddr), page_up(e->vaddr + e->len));
	}
	join_runs(c);
	return 0;
}

/* The first edit that ends above vaddr. */
static size_t edit_from(const struct plan *plan, uint64_t vaddr)
{
	size_t low = 0, high = plan->nedits;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (plan->edits[mid].vaddr + plan->edits[mid].len <= vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low;
}

/* ---- changing it ------------------------------------------------------------------------------------------------- */

static void patch(char *content, uint64_t start, size_t bytes, uint64_t vaddr, const uint8_t *code, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (vaddr + i - start < bytes) {
			content[vaddr + i - start] = (char)code[i];
		}
	}
}

struct run trampoline_run(const struct plan *plan, size_t i, size_t *next)
{
	const struct repair_trampoline *t = &plan->trampolines[i];
	struct run run = {page_down(t->vaddr), page_up(t->vaddr + t->len)};

	for (*next = i + 1; *next < plan->ntrampolines && page_down(plan->trampolines[*next].vaddr) <= run.end; ++*next) {
		run.end = page_up(plan->trampolines[*next].vaddr + plan->trampolines[*next].len);
	}
	return run;
}

/* Made in the arena: what is mapped now could take the place. */
static int open_trampolines(const struct plan *plan, const struct run *run, size_t from, size_t to)
{
	size_t bytes = run->end - run->start;
	char *content = arena_take(bytes);

	if (content == NULL) {
		return -ENOMEM;
	}
	memset(content, INT3, bytes);
	for (size_t i = from; i < to; i++) {
		patch(content, run->start, bytes, plan->trampolines[i].vaddr, plan->trampolines[i].code,
		      plan->trampolines[i].len);
	}
	return door_open(run->start, content, bytes, true, "trampolines", 0);
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
	const struct plan *plan = ctx;

	for (size_t i = 0; i < plan->hits->count; i++) {
		const struct hit *hit = &plan->hits->items[i].hit;
		const struct code_map *map = &plan->maps->items[plan->hits->items[i].map];
		const struct plan_item *item = &plan->items[i];
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

static int tell_unwinders(struct carry *c)
{
	int rc = 0;

	for (size_t i = 0, next; rc == 0 && i < c->plan->ntrampolines; i = next) {
		(void)trampoline_run(c->plan, i, &next);
		rc = unwind_add(&c->plan->trampolines[i], next - i, name_trampoline, (void *)c->plan);
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

/* ---- probes ------------------------------------------------------------------------------------------------------ */

/* A debugger takes its breakpoints out of the copy as it has put them into the code. */
static bool is_traced(void)
{
	static const char name[] = "\nTracerPid:\t";
	char text[4096];
	long fd = sys4(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
	long got = fd >= 0 ? sys3(SYS_read, fd, text, sizeof(text) - 1) : -1;
	const char *at;

	if (fd >= 0) {
		sys1(SYS_close, fd);
	}
	text[got > 0 ? got : 0] = '\0';
	at = strstr(text, name);
	return at == NULL || at[sizeof(name) - 1] != '0';
}

/* The instruction was planned with the breakpoint in it. */
static bool is_near_edit(const struct plan *plan, uint64_t vaddr)
{
	size_t i = edit_from(plan, vaddr - LYCH_SEQUENCE_MAX);

	return i < plan->nedits && plan->edits[i].vaddr < vaddr + LYCH_SEQUENCE_MAX;
}

/* Of a page that differs from its file in breakpoints alone. */
static void take_out(const struct plan *plan, char *content, const char *file, size_t bytes, uint64_t vaddr)
{
	for (size_t i = 0; i < bytes; i++) {
		if (content[i] != file[i] && (uint8_t)content[i] != INT3) {
			return;
		}
	}
	for (size_t i = 0; i < bytes; i++) {
		if (content[i] != file[i] && !is_near_edit(plan, vaddr + i)) {
			content[i] = file[i];
		}
	}
}

/*
 * Probes (uprobes) are breakpoints that the kernel has put into the pages of a file, and knows by the file: in a copy it would
 * know them no more, and the first one would end the process.
 */
static void take_out_probes(const struct carry *c, const struct code_map *map, const struct run *run, char *content)
{
	uint64_t at = run->start > map->start ? run->start : map->start, end = run->end < map->end ? run->end : map->end;
	char file[CODE_PAGE];
	long fd, got;

	if (c->traced || map->path[0] != '/' || map->deleted) {
		return;
	}
	fd = sys4(SYS_openat, AT_FDCWD, map->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	for (; fd >= 0 && at < end; at += CODE_PAGE) {
		got = sys4(SYS_pread64, fd, file, sizeof(file), map->off + (at - map->start));
		if (got <= 0) {
			break;
		}
		take_out(c->plan, content + (at - run->start), file, (size_t)got, at);
	}
	if (fd >= 0) {
		sys1(SYS_close, fd);
	}
}

/* ---- all that changes -------------------------------------------------------------------------------------------- */

static int swap_run(const struct carry *c, const struct run *run)
{
	const struct code_map *map = &c->plan->maps->items[maps_from(c->plan->maps, run->start)];
	size_t bytes = run->end - run->start;
	char *content = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (content == MAP_FAILED) {
		return -ENOMEM;
	}
	memcpy(content, (const void *)(uintptr_t)run->start, bytes);
	for (size_t i = maps_from(c->plan->maps, run->start);
	     i < c->plan->maps->count && c->plan->maps->items[i].start < run->end; i++) {
		take_out_probes(c, &c->plan->maps->items[i], run, content);
	}
	for (size_t i = edit_from(c->plan, run->start); i < c->plan->nedits && c->plan->edits[i].vaddr < run->end; i++) {
		patch(content, run->start, bytes, c->plan->edits[i].vaddr, c->plan->edits[i].new_bytes, c->plan->edits[i].len);
	}
	rc = door_open(run->start, content, bytes, false, original_path(map), map->off + (run->start - map->start));
	munmap(content, bytes);
	return rc;
}

static int change_all(struct carry *c)
{
	int rc = open_all_trampolines(c->plan), told = 0;
	bool open = rc == 0;

	for (size_t i = 0; rc == 0 && i < c->nruns; i++) {
		rc = swap_run(c, &c->runs[i]);
		if (rc != 0 && i == 0) {
			close_trampolines(c->plan, c->plan->ntrampolines);
			open = false;
		}
	}
	for (size_t i = 0; rc == 0 && i < c->plan->nno_exec; i++) {
		rc = door_shut(c->plan->no_exec[i].start, c->plan->no_exec[i].end);
	}
	if (c->nruns > 0) {
		door_settle();
	}
	if (open) {
		told = tell_unwinders(c);
	}
	return rc != 0 ? rc : told;
}

/* ---- looking again ---------------------------------------------------------------------------------------------- */

static bool changes(const struct repair_edit *e, const struct hit *hit)
{
	for (size_t i = 0; i < e->len; i++) {
		if (e->old_bytes[i] != e->new_bytes[i] && e->vaddr + i - hit->vaddr < hit->len) {
			return true;
		}
	}
	return false;
}

bool plan_covers(const struct plan *plan, const struct hit *hit)
{
	for (size_t i = edit_from(plan, hit->vaddr); i < plan->nedits && plan->edits[i].vaddr < hit->vaddr + hit->len; i++) {
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

/* Was it found before, and left on purpose? */
static bool was_left(const struct plan *plan, const struct hit *hit)
{
	size_t low = 0, high = plan->hits->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (plan->hits->items[mid].hit.core < hit->core) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	for (; low < plan->hits->count && plan->hits->items[low].hit.core == hit->core; low++) {
		const struct hit *old = &plan->hits->items[low].hit;

		if (old->vaddr == hit->vaddr && old->cls == hit->cls) {
			return !plan_covers(plan, old);
		}
	}
	return false;
}

/* At what can be executed of [start, end), and right before and behind it. */
static int look_around(struct code_hits *hits, const struct code_maps *now, uint64_t start, uint64_t end, uint32_t classes)
{
	int rc = 0;

	start -= MARGIN;
	end += MARGIN;
	for (size_t i = maps_from(now, start); rc == 0 && i < now->count && now->items[i].start < end; i++) {
		uint64_t from = now->items[i].start, to = now->items[i].end;

		if (!map_is_code(&now->items[i])) {
			continue;
		}
		for (; i + 1 < now->count && now->items[i + 1].start == to && map_is_code(&now->items[i + 1]); i++) {
			to = now->items[i + 1].end;
		}
		rc = look_at(hits, now, from > start ? from : start, to < end ? to : end, classes);
	}
	return rc;
}

/*
 * At all that was changed, where it is now; and at each sequence that was accepted because of what stands behind it, which may
 * have been changed although it was not: a check leads to its ud2 over any distance.
 */
static int look_again(const struct carry *c, const struct code_maps *now)
{
	const struct plan *plan = c->plan;
	uint32_t classes = plan->options.classes;
	struct code_hits hits;
	int rc = hits_begin(&hits, CODE_HITS_MAX);

	for (size_t i = 0; rc == 0 && i < c->nruns; i++) {
		rc = look_around(&hits, now, c->runs[i].start, c->runs[i].end, classes);
	}
	for (size_t i = 0, next; rc == 0 && i < plan->ntrampolines; i = next) {
		struct run run = trampoline_run(plan, i, &next);

		rc = look_around(&hits, now, run.start, run.end, classes);
	}
	for (size_t i = 0; rc == 0 && i < plan->hits->naccepted; i++) {
		const struct hit *hit = &plan->hits->accepted[i];
		uint8_t bytes[LYCH_SEQUENCE_MAX];

		if (maps_code((void *)now, hit->vaddr, bytes, hit->len) == hit->len) {
			rc = look_at(&hits, now, hit->vaddr, hit->vaddr + hit->len, classes);
		}
	}
	for (size_t i = 0; rc == 0 && i < hits.count; i++) {
		if (!was_left(plan, &hits.items[i].hit)) {
			why_set("code: after its repair there is a sequence at 0x%llx: was its file changed meanwhile?",
				(unsigned long long)hits.items[i].hit.vaddr);
			rc = -ENOEXEC;
		}
	}
	if (rc == -E2BIG) {
		why_set("code: after its repair there are more than %u sequences", CODE_HITS_MAX);
		rc = -ENOEXEC;
	}
	return rc;
}

/* What was left at the first look is left at the second one. */
static void leave_again(const struct carry *c, struct code_maps *now)
{
	const struct code_maps *maps = c->plan->maps;

	for (size_t i = 0; i < now->count; i++) {
		for (size_t k = maps_from(maps, now->items[i].start); k < maps->count && maps->items[k].start < now->items[i].end;
		     k++) {
			now->items[i].left |= maps->items[k].left;
		}
	}
}

/* Is all of the mapping what was looked at, or what came through the door? */
static bool is_seen(const struct carry *c, const struct code_map *map)
{
	uint64_t at = map->start;

	while (at < map->end) {
		uint64_t before = at;

		for (size_t i = 0; i < c->nruns; i++) {
			at = c->runs[i].start <= at && c->runs[i].end > at ? c->runs[i].end : at;
		}
		for (size_t i = 0, next; i < c->plan->ntrampolines; i = next) {
			struct run run = trampoline_run(c->plan, i, &next);

			at = run.start <= at && run.end > at ? run.end : at;
		}
		for (size_t i = maps_from(c->plan->maps, at); at < map->end && i < c->plan->maps->count; i++) {
			const struct code_map *old = &c->plan->maps->items[i];

			if (old->start > at || !old->executable || old->writable != map->writable || old->inode != map->inode || old->dev != map->dev ||
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
static int compare(const struct carry *c, const struct code_maps *now)
{
	for (size_t i = 0; i < now->count; i++) {
		if (map_is_code(&now->items[i]) && !is_seen(c, &now->items[i])) {
			return -EAGAIN;
		}
	}
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

int carry_out(const struct plan *plan)
{
	struct carry c = {.plan = plan, .traced = is_traced()};
	struct code_maps now;
	int rc = choose_runs(&c);

	if (rc == 0) {
		rc = change_all(&c);
	}
	if (rc == 0) {
		rc = maps_read(&now);
	}
	if (rc == 0) {
		leave_again(&c, &now);
		rc = compare(&c, &now);
	}
	return rc != 0 ? rc : look_again(&c, &now);
}
