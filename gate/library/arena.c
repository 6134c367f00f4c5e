/* SPDX-License-Identifier: Apache-2.0 */
/* The reserved range of a library domain: made and freed, its pages given rights, what the runtime places in it. */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../core/keys.h"
#include "../core/short_lock.h"
#include "../memory/guarded.h"
#include "../memory/ranges.h"
#include "arena_parts.h"

#define NO_REPLACE 0x100000 /* MAP_FIXED_NOREPLACE, Linux 4.17 */
#define RESERVED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
/* Where arenas are: between what programs and sanitizers have below, and what mmap gives above. */
#define LOWEST 0x110000000000ULL
#define HIGHEST 0x7a0000000000ULL
#define TRIES 32
/* How far inside the arena things are from where they would be; random. */
#define SHIFT_MOST (64ULL << 20)

static bool failed(long result)
{
	return result < 0 && result > -LYCH_PAGE;
}

static uint64_t up(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) & ~(to - 1);
}

/* ---- the lock ------------------------------------------------------------------------------- */

#define SET_BLOCKED 2 /* SIG_SETMASK */

bool arena_hold(struct library *l, uint64_t *mask)
{
	const uint64_t all = UINT64_MAX;

	/* A handler of the host on this thread could be left by siglongjmp, and then nobody would give it back. */
	sys4(SYS_rt_sigprocmask, SET_BLOCKED, &all, mask, sizeof(*mask));
	if (short_lock(&l->arena->lock)) {
		return true;
	}
	sys4(SYS_rt_sigprocmask, SET_BLOCKED, mask, NULL, sizeof(*mask));
	return false;
}

void arena_let_go(struct library *l, const uint64_t *mask)
{
	short_unlock(&l->arena->lock);
	sys4(SYS_rt_sigprocmask, SET_BLOCKED, mask, NULL, sizeof(*mask));
}

void arena_freeze(struct library *l)
{
	while (!short_lock(&l->arena->lock)) {
	}
}

void arena_thaw(struct library *l)
{
	short_unlock(&l->arena->lock);
}

void arenas_freeze(void)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct library *l = ROOT.monitor->domains[i].library;

		if (l != NULL && l->arena != NULL) {
			arena_freeze(l);
		}
	}
}

void arenas_thaw(void)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct library *l = ROOT.monitor->domains[i].library;

		if (l != NULL && l->arena != NULL) {
			arena_thaw(l);
		}
	}
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* Nothing of a vault is in a core file. */
static int no_dump(const struct library *l, uint64_t start, uint64_t end)
{
	return l->domain->kind == LYCH_KIND_VAULT ? (int)sys3(SYS_madvise, start, end - start, MADV_DONTDUMP) : 0;
}

int arena_tag(struct library *l, uint64_t start, uint64_t end, uint32_t prot)
{
	int rc = ledger_tag(start, end - start, l->arena->key, (int)prot);

	/* Whatever is mapped comes by here. */
	return rc == 0 ? no_dump(l, start, end) : rc;
}

/*
 * The kernel takes away what was there before it maps, and may fail in between: then there is a hole, in which
 * anybody's memory could come to lie. It is filled unless that has happened: nothing of anybody else's is replaced.
 */
static int fill(uint64_t start, uint64_t end)
{
	return failed(sys6(SYS_mmap, (long)start, (long)(end - start), PROT_NONE, RESERVED | NO_REPLACE, -1, 0))
		       ? -ENOMEM
		       : 0;
}

int arena_reserve(struct library *l, uint64_t start, uint64_t end)
{
	/* First without rights, then the key: never readable by those whose view has key 0, nor by anybody else. */
	long at = sys6(SYS_mmap, (long)start, (long)(end - start), PROT_NONE, RESERVED | MAP_FIXED, -1, 0);

	if (failed(at) && fill(start, end) != 0) {
		return -ENOMEM;
	}
	if (arena_tag(l, start, end, PROT_NONE) != 0) {
		domain_poison(l->domain);
		return -ENOMEM;
	}
	return 0;
}

/* Some of it may have rights, and is the domain's no more. */
static void give_up(struct library *l, uint64_t start, uint64_t end)
{
	if (arena_reserve(l, start, end) != 0) {
		domain_poison(l->domain);
	}
}

void arena_refill(struct library *l, uint64_t start, uint64_t end)
{
	if (fill(start, end) == 0 && arena_tag(l, start, end, PROT_NONE) != 0) {
		domain_poison(l->domain);
	}
}

int arena_fresh(struct library *l, uint64_t start, uint64_t end, uint32_t prot, bool *lost)
{
	*lost = false;
	/* What is not mapped is reserved, and zero. */
	if (!space_is_free(&l->arena->space, start, end)) {
		if (arena_reserve(l, start, end) != 0) {
			return -ENOMEM;
		}
		*lost = true;
	}
	if (prot != PROT_NONE && arena_tag(l, start, end, prot) != 0) {
		give_up(l, start, end);
		return -ENOMEM;
	}
	return 0;
}

/*
 * Mapped elsewhere first: a file system may refuse at a moment when the kernel has already taken away what was there.
 * What is moved has no rights yet.
 */
int arena_fresh_file(struct library *l, uint64_t start, uint64_t end, uint32_t prot, long fd, uint64_t offset,
		     bool *lost)
{
	long bytes = (long)(end - start), rc;
	long there = sys6(SYS_mmap, 0, bytes, PROT_NONE, MAP_PRIVATE, fd, (long)offset);

	*lost = false;
	if (failed(there)) {
		return (int)there;
	}
	/* Then there is nothing left that could fail for its own reasons, and what is there may go. */
	if (!space_is_free(&l->arena->space, start, end) && arena_reserve(l, start, end) != 0) {
		sys2(SYS_munmap, there, bytes);
		return -ENOMEM;
	}
	*lost = true;
	rc = sys5(SYS_mremap, there, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, start);
	if (failed(rc)) {
		sys2(SYS_munmap, there, bytes);
		arena_refill(l, start, end);
		return -ENOMEM;
	}
	if (arena_tag(l, start, end, prot) != 0) {
		give_up(l, start, end);
		return -ENOMEM;
	}
	return 0;
}

uint64_t arena_find(const struct arena *a, uint64_t bytes, bool reach)
{
	const struct space *s = &a->space;
	uint64_t low = reach ? a->reach : s->break_hi;
	uint64_t at = space_find(s, bytes, SPACE_PAGE, low > s->break_hi ? low : s->break_hi,
				 reach ? a->top : a->anonymous_top);

	if (at == 0) {
		at = space_find(s, bytes, SPACE_PAGE, low > s->break_hi ? low : s->break_hi, s->hi);
	}
	/* Data of a file may be anywhere. */
	return at != 0 || !reach ? at : space_find(s, bytes, SPACE_PAGE, s->break_hi, s->hi);
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool random_bytes(void *to, size_t bytes)
{
	return sys3(SYS_getrandom, to, bytes, 0) == (long)bytes;
}

/* bytes without rights at a random place; 0: none. */
static uint64_t reserve_somewhere(uint64_t bytes)
{
	for (int i = 0; i < TRIES; i++) {
		uint64_t random, at;
		long got;

		if (!random_bytes(&random, sizeof(random))) {
			return 0;
		}
		at = LOWEST + random % ((HIGHEST - LOWEST - bytes) / SPACE_PAGE) * SPACE_PAGE;
		got = sys6(SYS_mmap, (long)at, (long)bytes, PROT_NONE, RESERVED | NO_REPLACE, -1, 0);
		if (!failed(got) && (uint64_t)got == at) {
			return at;
		}
		if (!failed(got)) {
			sys2(SYS_munmap, got, bytes);
		}
	}
	return 0;
}

static uint64_t good_size(uint64_t limit)
{
	uint64_t bytes = ARENA_REACH + 4 * limit, least = (2ULL << 30) - (1ULL << 20);

	return bytes > least ? bytes : least;
}

/* The layout of [lo, hi) with what is random of it in shift. */
static void lay_out(struct arena *a, size_t own, uint64_t lo, uint64_t hi, uint64_t limit, const uint64_t shift[3])
{
	struct space *s = &a->space;
	size_t host_at = sizeof(struct arena) + (ARENA_AREAS + SPACE_SPARE) * sizeof(struct space_area);
	uint64_t most = (hi - lo) / 16 < SHIFT_MOST ? (hi - lo) / 16 : SHIFT_MOST, pages = most / SPACE_PAGE;
	uint64_t quarter = (hi - lo) / 4 & ~(SPACE_PAGE - 1),
		 own_lo = lo + quarter + (limit < quarter ? limit : quarter);
	uint64_t heap = limit < quarter ? limit : quarter, start = own_lo + shift[0] % pages * SPACE_PAGE;

	a->host = space_start((char *)a + host_at, own - host_at, lo, own_lo, 0, 0);
	(void)space_start(s, host_at - offsetof(struct arena, space), own_lo, hi, limit, ARENA_CODE);
	space_break_start(s, start, start + heap);
	a->top = hi - shift[1] % pages * SPACE_PAGE;
	if (hi - lo < 2 * ARENA_REACH) {
		a->reach = own_lo;
		a->anonymous_top = a->top;
	} else {
		a->reach = hi - ARENA_REACH;
		a->anonymous_top = a->reach - shift[2] % pages * SPACE_PAGE;
	}
}

int arena_new(struct library *l, uint64_t bytes, uint64_t limit, int key)
{
	size_t own = sizeof(struct arena) + sizeof(struct space) +
		     (ARENA_AREAS + ARENA_PLACES + 2 * SPACE_SPARE) * sizeof(struct space_area);
	uint64_t shift[3], start;
	struct arena *a;

	if (limit > ARENA_MOST / 8 || bytes > ARENA_MOST) {
		return -EINVAL;
	}
	limit = up(limit, SPACE_PAGE);
	bytes = bytes == 0 ? good_size(limit) : up(bytes, SPACE_PAGE);
	if (bytes < ARENA_LEAST) {
		return -EINVAL;
	}
	a = monitor_alloc(own);
	if (a == NULL) {
		return -ENOMEM;
	}
	start = reserve_somewhere(bytes);
	if (start == 0 || !random_bytes(shift, sizeof(shift))) {
		goto no_range;
	}
	if (no_dump(l, start, start + bytes) != 0 || ledger_add((void *)(uintptr_t)start, bytes, key, RANGE_ANY) != 0) {
		goto no_range;
	}
	a->key = key;
	a->bytes = own;
	lay_out(a, own, start + ARENA_GUARD, start + bytes - ARENA_GUARD, limit, shift);
	l->start = start;
	l->end = start + bytes;
	l->arena = a;
	return 0;

no_range:
	if (start != 0) {
		sys2(SYS_munmap, start, bytes);
	}
	monitor_free(a, own);
	return -ENOMEM;
}

void arena_free(struct library *l)
{
	struct arena *a = l->arena;

	if (a == NULL) {
		return;
	}
	snapshot_free(l);
	l->arena = NULL;
	ledger_remove((void *)(uintptr_t)l->start, l->end - l->start);
	monitor_free(a, a->bytes);
}

/* ---- for the runtime ------------------------------------------------------------------------ */

static long place(struct library *l, uint64_t bytes, uint32_t prot, uint32_t flags)
{
	struct space *s = &l->arena->space;
	uint64_t guard = (flags & SPACE_STACK) != 0 ? ARENA_GUARD : 0;
	uint64_t at = arena_find(l->arena, guard + bytes, (flags & SPACE_TRAMPOLINES) != 0);
	struct space_wish below = {at, at + guard, PROT_NONE, flags | SPACE_FIXED, SPACE_OWN, true};
	struct space_wish own = {at + guard, at + guard + bytes, prot, flags | SPACE_FIXED, SPACE_OWN, true};
	bool lost;
	int rc;

	if (at == 0 || ((flags & SPACE_TRAMPOLINES) != 0 && at < l->arena->reach)) {
		return -ENOMEM;
	}
	rc = guard != 0 ? space_map(s, &below) : 0;
	if (rc == 0) {
		rc = space_may_map(s, &own);
		rc = rc == 0 ? arena_fresh(l, own.start, own.end, prot, &lost) : rc;
		rc = rc == 0 ? space_map(s, &own) : rc;
		if (rc != 0 && guard != 0) {
			(void)space_release(s, below.start, below.end);
		}
	}
	return rc == 0 ? (long)own.start : rc;
}

long arena_place(struct library *l, uint64_t bytes, uint32_t prot, uint32_t flags)
{
	uint64_t mask;
	long rc;

	if (bytes == 0 || bytes > l->end - l->start || (prot & ~(uint32_t)(PROT_READ | PROT_WRITE)) != 0 ||
	    (flags & ~(SPACE_STACK | SPACE_TRAMPOLINES)) != 0) {
		return -EINVAL;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = place(l, up(bytes, SPACE_PAGE), prot, flags);
	arena_let_go(l, &mask);
	return rc;
}

static int unplace(struct library *l, uint64_t at)
{
	struct space *s = &l->arena->space;
	const struct space_area *a = space_at(s, at), *below;
	uint64_t start = at, end;
	int rc;

	if (a == NULL || a->start != at || (a->flags & SPACE_FIXED) == 0 || a->id == SPACE_PLAIN) {
		return -EINVAL;
	}
	end = a->end;
	below = (a->flags & SPACE_STACK) != 0 ? space_at(s, at - 1) : NULL;
	if (below != NULL && below->flags == a->flags && below->prot == PROT_NONE) {
		start = below->start;
	}
	rc = arena_reserve(l, start, end);
	return rc == 0 ? space_release(s, start, end) : rc;
}

int arena_unplace(struct library *l, uint64_t at)
{
	uint64_t mask;
	int rc;

	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = unplace(l, at);
	arena_let_go(l, &mask);
	return rc;
}

/* Pages are filled with the rights this thread has when they are locked: before they have the key. There is nothing
 * in them yet. */
static int guarded(struct library *l, uint64_t at, uint64_t bytes, unsigned int flags)
{
	int rc = 0;

	if ((flags & RANGE_LOCK) != 0) {
		rc = ledger_tag(at, bytes, 0, PROT_READ | PROT_WRITE);
		rc = rc == 0 ? (int)sys2(SYS_mlock, at, bytes) : rc;
	}
	rc = rc == 0 ? arena_tag(l, at, at + bytes, PROT_READ | PROT_WRITE) : rc;
	if (rc == 0 && (flags & RANGE_DUMP) == 0) {
		rc = (int)sys3(SYS_madvise, at, bytes, MADV_DONTDUMP);
	}
	if (rc == 0 && (flags & RANGE_WIPE) != 0) {
		rc = (int)sys3(SYS_madvise, at, bytes, MADV_WIPEONFORK);
	}
	return rc;
}

int arena_guarded(struct library *l, void **out, size_t bytes, unsigned int flags)
{
	uint64_t mask, all = bytes + 2 * RANGE_GUARD, at;
	struct space_wish wish = {.flags = SPACE_FIXED, .id = SPACE_OWN, .no_replace = true};
	struct space *s = l->arena->host;
	int rc;

	if (bytes == 0 || bytes % SPACE_PAGE != 0 || all < bytes) {
		return -ENOMEM;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	at = space_find(s, all, SPACE_PAGE, s->lo, s->hi);
	wish.start = at;
	wish.end = at + all;
	wish.prot = PROT_READ | PROT_WRITE;
	rc = at == 0 ? -ENOMEM : space_may_map(s, &wish);
	if (rc == 0 && guarded(l, at + RANGE_GUARD, bytes, flags) != 0) {
		give_up(l, at, at + all);
		rc = -ENOMEM;
	}
	if (rc == 0) {
		(void)space_map(s, &wish);
		*out = (void *)(uintptr_t)(at + RANGE_GUARD);
	}
	arena_let_go(l, &mask);
	return rc == 0 ? 0 : -ENOMEM;
}

void arena_unguarded(struct library *l, void *at, size_t bytes)
{
	uint64_t mask, start = (uintptr_t)at - RANGE_GUARD, end = (uintptr_t)at + bytes + RANGE_GUARD;

	while (!arena_hold(l, &mask)) {
	}
	/* What cannot be taken back stays as it is, the domain's, and is never given out again. */
	if (arena_reserve(l, start, end) == 0) {
		(void)space_release(l->arena->host, start, end);
	}
	arena_let_go(l, &mask);
}

/* Wholly inside; *end is rounded up to pages. at is whole. */
static bool inside(const struct library *l, uint64_t at, uint64_t bytes, uint64_t *end)
{
	if (at % SPACE_PAGE != 0 || bytes == 0 || !library_holds(l, at, bytes)) {
		return false;
	}
	*end = up(at + bytes, SPACE_PAGE);
	return space_holds(&l->arena->space, at, *end);
}

int arena_fix(struct library *l, uint64_t at, uint64_t bytes)
{
	uint64_t mask, end;
	int rc;

	if (!inside(l, at, bytes, &end)) {
		return -EINVAL;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = space_fix(&l->arena->space, at, end, 0);
	arena_let_go(l, &mask);
	return rc;
}

int arena_code(struct library *l, uint64_t at, uint64_t bytes, uint32_t prot)
{
	struct space *s = &l->arena->space;
	uint64_t mask, end;
	int rc = 0;

	if (!inside(l, at, bytes, &end)) {
		return -EINVAL;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	for (uint32_t i = space_index(s, at); rc == 0 && i < s->count && s->area[i].start < end; i++) {
		uint32_t flags = s->area[i].flags;

		/* The runtime's trampolines become code, too. */
		rc = (flags & SPACE_CODE) != 0 || (flags & (SPACE_FIXED | SPACE_TRAMPOLINES)) == SPACE_FIXED ? -EPERM
													     : 0;
	}
	rc = rc == 0 ? space_code(s, at, end, prot) : rc;
	/* As one area it needs no room in the table. */
	rc = rc == 0 ? space_fix(s, at, end, 0) : rc;
	arena_let_go(l, &mask);
	return rc;
}

void arena_code_done(struct library *l, uint64_t at)
{
	const struct space_area *a;
	uint64_t mask;

	/* If it never gets the lock it stays fixed, which harms nobody. */
	if (!arena_hold(l, &mask)) {
		return;
	}
	a = space_at(&l->arena->space, at);
	if (a != NULL && (a->flags & SPACE_TRAMPOLINES) == 0) {
		(void)space_unfix(&l->arena->space, at);
	}
	arena_let_go(l, &mask);
}

void arena_code_drop(struct library *l, uint64_t at, uint64_t bytes)
{
	uint64_t mask, end;

	if (!inside(l, at, bytes, &end)) {
		return;
	}
	/* It must not stay code that nobody has looked at: whatever happens, what is there goes. */
	while (!arena_hold(l, &mask)) {
	}
	if (arena_reserve(l, at, end) == 0) {
		(void)space_release(&l->arena->space, at, end);
	} else {
		domain_poison(l->domain);
	}
	arena_let_go(l, &mask);
}

bool arena_area(struct library *l, uint64_t at, struct space_area *out)
{
	const struct space *s = &l->arena->space;
	uint64_t mask;
	uint32_t i;

	if (!arena_hold(l, &mask)) {
		return false;
	}
	i = space_index(s, at);
	if (i < s->count) {
		*out = s->area[i];
	}
	arena_let_go(l, &mask);
	return i < s->count;
}

size_t arena_below(struct library *l, uint64_t at, struct space_area out[], size_t max)
{
	const struct space *s = &l->arena->space;
	uint64_t mask;
	uint32_t i;
	size_t n = 0;

	if (!arena_hold(l, &mask)) {
		return 0;
	}
	i = space_index(s, at);
	i += i < s->count && s->area[i].start <= at ? 1 : 0;
	while (i > 0 && n < max) {
		out[n++] = s->area[--i];
	}
	arena_let_go(l, &mask);
	return n;
}

void arena_usage(struct library *l, uint64_t *counted, uint64_t *limit)
{
	*counted = __atomic_load_n(&l->arena->space.counted, __ATOMIC_RELAXED);
	*limit = l->arena->space.limit;
}

void arena_mapped(struct library *l, uint64_t *mapped, uint64_t *code)
{
	const struct space *s = &l->arena->space;
	uint64_t mask;

	*mapped = *code = 0;
	if (!arena_hold(l, &mask)) {
		return;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		uint64_t bytes = s->area[i].end - s->area[i].start;

		*mapped += bytes;
		*code += (s->area[i].flags & SPACE_CODE) != 0 ? bytes : 0;
	}
	arena_let_go(l, &mask);
}
