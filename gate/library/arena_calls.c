/* SPDX-License-Identifier: Apache-2.0 */
/* mmap and its kin of code inside, carried out (arena.h). */
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "../core/keys.h"
#include "arena_parts.h"

#define NO_REPLACE 0x100000U /* MAP_FIXED_NOREPLACE */
#define TYPES 0xfU           /* MAP_TYPE */
#define SYNC 0x80000U        /* MAP_SYNC */
#define DATA ((uint32_t)(PROT_READ | PROT_WRITE))
#define PROT_SEMAPHORES 8U /* PROT_SEM: nothing on this processor */
#define DONTUNMAP 4U       /* MREMAP_DONTUNMAP, Linux 5.7 */
/* All flags that MAP_SHARED_VALIDATE knows. */
#define VALID                                                                                              \
	(TYPES | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | 0x4000000U | MAP_GROWSDOWN | \
	 MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_32BIT |  \
	 NO_REPLACE)

/* ---- mmap ----------------------------------------------------------------------------------- */

struct request {
	uint64_t at, bytes, flags, offset;
	uint32_t prot, kind; /* SPACE_* */
	long fd;             /* -1: anonymous */
};

/* May it be mapped at all, and privately? -errno: what the kernel says of other things than regular files. */
static long check_file(long fd)
{
	struct stat st;
	struct statfs fs;
	long rc = sys2(SYS_fstat, fd, &st);

	if (rc != 0) {
		return rc;
	}
	if (!S_ISREG(st.st_mode)) {
		return -ENODEV;
	}
	/* Its pages have other sizes. */
	rc = sys2(SYS_fstatfs, fd, &fs);
	return rc != 0 ? rc : fs.f_type == HUGETLBFS_MAGIC ? -ENODEV : 0;
}

static long check_mmap(struct request *r, uint64_t prot, uint64_t offset)
{
	uint64_t type = r->flags & TYPES;

	if (!is_page(offset)) {
		return -EINVAL;
	}
	if ((r->flags & MAP_ANONYMOUS) != 0) {
		r->fd = -1;
	} else if (r->fd < 0) {
		return -EBADF;
	}
	if (r->bytes == 0) {
		return -EINVAL;
	}
	r->bytes = whole(r->bytes);
	if (r->bytes == 0) {
		return -ENOMEM;
	}
	if (r->fd >= 0 && offset + r->bytes < offset) {
		return -EOVERFLOW;
	}
	if ((r->flags & (MAP_FIXED | NO_REPLACE)) != 0 && !is_page(r->at)) {
		return -EINVAL;
	}
	if ((type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE) ||
	    (r->flags & MAP_GROWSDOWN) != 0) {
		return -EINVAL;
	}
	if (type == MAP_SHARED_VALIDATE && (r->flags & ~(uint64_t)VALID) != 0) {
		return -EOPNOTSUPP;
	}
	if ((r->flags & (MAP_HUGETLB | MAP_32BIT)) != 0) {
		return -ENOMEM;
	}
	prot &= ~(uint64_t)PROT_SEMAPHORES;
	if ((prot & ~(uint64_t)DATA) != 0) {
		return -EACCES;
	}
	r->prot = (uint32_t)prot;
	r->kind = 0;
	if (r->fd >= 0) {
		r->kind = SPACE_FILE | (type != MAP_PRIVATE ? SPACE_NEVER_WRITE : 0);
		return type != MAP_PRIVATE && (prot & PROT_WRITE) != 0 ? -EACCES : check_file(r->fd);
	}
	return 0;
}

/* Where it goes: 0 is nowhere. */
static uint64_t choose(const struct arena *a, const struct request *r)
{
	uint64_t hint = whole(r->at);

	if ((r->flags & (MAP_FIXED | NO_REPLACE)) != 0) {
		return r->at;
	}
	if (hint != 0 && hint >= r->at && space_holds(&a->space, hint, hint + r->bytes) &&
	    space_is_free(&a->space, hint, hint + r->bytes)) {
		return hint;
	}
	return arena_find(a, r->bytes, r->fd >= 0);
}

static long map(struct library *l, const struct request *r)
{
	struct space *s = &l->arena->space;
	uint64_t at = choose(l->arena, r);
	/* Each mapping of a file is one for the kernel, too, and takes its place in the table. */
	struct space_wish wish = {at,
				  at + r->bytes,
				  r->prot,
				  r->kind,
				  r->fd >= 0 ? SPACE_OWN : SPACE_PLAIN,
				  (r->flags & NO_REPLACE) != 0};
	bool lost = false;
	int rc;

	if (at + r->bytes < at || !space_holds(s, at, at + r->bytes)) {
		return -ENOMEM;
	}
	rc = space_may_map(s, &wish);
	if (rc != 0 || !arena_has_room(l)) {
		return rc != 0 ? rc : -ENOMEM;
	}
	if (r->fd >= 0) {
		rc = arena_fresh_file(l, wish.start, wish.end, r->prot, r->fd, r->offset, &lost);
	} else {
		rc = arena_fresh(l, wish.start, wish.end, r->prot, &lost);
	}
	if (rc != 0) {
		if (lost) {
			(void)space_unmap(s, wish.start, wish.end);
		}
		return rc;
	}
	(void)space_map(s, &wish);
	return (long)at;
}

long arena_mmap(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags, long fd,
		uint64_t offset)
{
	struct request r = {.at = at, .bytes = bytes, .flags = flags, .offset = offset, .fd = fd};
	long rc = check_mmap(&r, prot, offset);
	uint64_t mask;

	if (rc != 0) {
		return rc;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = map(l, &r);
	arena_let_go(l, &mask);
	return rc;
}

/* ---- munmap, mprotect ----------------------------------------------------------------------- */

static long unmap(struct library *l, uint64_t start, uint64_t end)
{
	struct space *s = &l->arena->space;
	int rc = space_may_unmap(s, start, end);

	if (rc != 0 || space_is_free(s, start, end)) {
		return rc;
	}
	rc = arena_reserve(l, start, end);
	return rc == 0 ? space_unmap(s, start, end) : rc;
}

long arena_munmap(struct library *l, uint64_t at, uint64_t bytes)
{
	uint64_t mask, end;
	long rc;

	if (!is_page(at) || !pages_of(at, bytes, &end) || !space_holds(&l->arena->space, at, end)) {
		return -EINVAL;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = unmap(l, at, end);
	arena_let_go(l, &mask);
	return rc;
}

/* Does every area in [start, end), which is mapped, have flag? */
static bool all_have(const struct space *s, uint64_t start, uint64_t end, uint32_t flag)
{
	for (uint32_t i = space_index(s, start); i < s->count && s->area[i].start < end; i++) {
		if ((s->area[i].flags & flag) == 0) {
			return false;
		}
	}
	return true;
}

static long protect(struct library *l, uint64_t start, uint64_t end, uint32_t prot)
{
	struct space *s = &l->arena->space;
	int rc;

	if (!space_is_full(s, start, end)) {
		return -ENOMEM;
	}
	rc = space_may_protect(s, start, end, prot);
	if (rc == 0 && all_have(s, start, end, SPACE_CODE)) {
		return 0; /* as it is */
	}
	if ((prot & ~DATA) != 0) {
		return -EACCES;
	}
	if (rc == 0 && any_has(s, start, end, SPACE_CODE)) {
		return -EACCES;
	}
	if (rc != 0 || !arena_has_room(l)) {
		return rc != 0 ? rc : -ENOMEM;
	}
	rc = arena_tag(l, start, end, prot);
	/* When the kernel gave up half way, what became writable counts. */
	if (rc == 0 || (prot & PROT_WRITE) != 0) {
		(void)space_protect(s, start, end, prot);
	}
	return rc;
}

long arena_mprotect(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot)
{
	uint64_t mask, end;
	long rc;

	if ((prot & (PROT_GROWSDOWN | PROT_GROWSUP)) != 0 || !is_page(at)) {
		return -EINVAL;
	}
	if (bytes == 0) {
		return 0;
	}
	if (!pages_of(at, bytes, &end) || !space_holds(&l->arena->space, at, end)) {
		return -ENOMEM;
	}
	prot &= ~(uint64_t)PROT_SEMAPHORES;
	if (prot > UINT32_MAX) {
		return -EINVAL;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = protect(l, at, end, (uint32_t)prot);
	arena_let_go(l, &mask);
	return rc;
}

long arena_pkey_mprotect(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t key)
{
	return (int)(uint32_t)key == -1 ? arena_mprotect(l, at, bytes, prot) : -EPERM;
}

/* ---- mremap --------------------------------------------------------------------------------- */

/* Fresh memory behind the area that ends at start, like it. */
static long grow(struct library *l, uint64_t start, uint64_t end)
{
	struct space *s = &l->arena->space;
	const struct space_area *a = space_at(s, start - 1);
	struct space_wish wish = {start, end, a->prot, a->flags, a->id, true};
	bool lost;
	int rc = space_may_map(s, &wish);

	if (rc == 0) {
		rc = arena_fresh(l, start, end, wish.prot, &lost);
	}
	return rc == 0 ? space_map(s, &wish) : -ENOMEM;
}

/*
 * To where nothing is. The pages go, the mapping stays (MREMAP_DONTUNMAP), so that there is no hole at either place
 * for anybody's memory; then the old place is reserved again.
 */
static long move_pages(struct library *l, uint64_t from, uint64_t bytes, uint64_t to)
{
	struct space *s = &l->arena->space;
	int rc = space_may_move(s, from, bytes, to);
	long moved;

	if (rc != 0) {
		return rc;
	}
	moved = sys5(SYS_mremap, from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | DONTUNMAP, to);
	if (moved != (long)to) {
		arena_refill(l, to, to + bytes);
		return -ENOMEM;
	}
	(void)space_move(s, from, bytes, to);
	/* The kernel had room for one mapping more, and this makes it one less. */
	if (arena_reserve(l, from, from + bytes) != 0) {
		domain_poison(l->domain);
	}
	return 0;
}

struct remap {
	uint64_t from, old_bytes, new_bytes, to;
	bool may_move, fixed;
};

static long remap(struct library *l, const struct remap *m)
{
	struct space *s = &l->arena->space;
	const struct space_area *a = space_at(s, m->from);
	uint64_t least = m->old_bytes < m->new_bytes ? m->old_bytes : m->new_bytes, to = m->to;
	bool grows = m->new_bytes > m->old_bytes;
	long rc;

	if (a == NULL || a->end < m->from + m->old_bytes) {
		return -EFAULT;
	}
	if ((a->flags & (SPACE_FIXED | SPACE_CODE)) != 0) {
		return -EPERM;
	}
	if (grows && ((a->flags & SPACE_FILE) != 0 ||
		      ((a->flags & SPACE_COUNTED) != 0 && m->new_bytes - m->old_bytes > s->limit - s->counted))) {
		return -ENOMEM;
	}
	if (!m->fixed) {
		uint64_t old_end = m->from + m->old_bytes, new_end = m->from + m->new_bytes;

		if (!grows) {
			rc = m->new_bytes < m->old_bytes ? unmap(l, new_end, old_end) : 0;
			return rc == 0 ? (long)m->from : rc;
		}
		if (a->end == old_end && new_end > old_end && space_holds(s, old_end, new_end) &&
		    space_is_free(s, old_end, new_end) && grow(l, old_end, new_end) == 0) {
			return (long)m->from;
		}
		if (!m->may_move) {
			return -ENOMEM;
		}
		to = arena_find(l->arena, m->new_bytes, false);
		if (to == 0) {
			return -ENOMEM;
		}
	}
	if (!arena_has_room(l)) {
		return -ENOMEM;
	}
	/* The whole of the new place first, so that nothing is lost when it may not be had. */
	if (m->fixed) {
		struct space_wish all = {to, to + m->new_bytes, PROT_NONE, 0, SPACE_OWN, false};

		rc = space_may_map(s, &all);
		rc = rc == 0 ? unmap(l, to, to + m->new_bytes) : rc;
		if (rc != 0) {
			return rc;
		}
	}
	if (m->new_bytes < m->old_bytes) {
		rc = unmap(l, m->from + m->new_bytes, m->from + m->old_bytes);
		if (rc != 0) {
			return rc;
		}
	}
	rc = move_pages(l, m->from, least, to);
	if (rc == 0 && grows && grow(l, to + least, to + m->new_bytes) != 0) {
		/* Back, as if nothing had been. */
		(void)move_pages(l, to, least, m->from);
		rc = -ENOMEM;
	}
	return rc == 0 ? (long)to : rc;
}

long arena_mremap(struct library *l, uint64_t at, uint64_t old_bytes, uint64_t new_bytes, uint64_t flags,
		  uint64_t new_at)
{
	struct remap m = {.from = at, .old_bytes = whole(old_bytes), .new_bytes = whole(new_bytes), .to = new_at};
	uint64_t mask;
	long rc;

	m.may_move = (flags & MREMAP_MAYMOVE) != 0;
	m.fixed = (flags & MREMAP_FIXED) != 0;
	if ((flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED)) != 0 || (m.fixed && !m.may_move) || !is_page(at) ||
	    m.new_bytes == 0 || m.old_bytes == 0) {
		return -EINVAL;
	}
	if (m.old_bytes > l->end - l->start || !space_holds(&l->arena->space, at, at + m.old_bytes)) {
		return -EFAULT;
	}
	if (m.fixed && (m.new_bytes > l->end - l->start || !is_page(new_at) ||
			!space_holds(&l->arena->space, new_at, new_at + m.new_bytes) ||
			(new_at < at + m.old_bytes && at < new_at + m.new_bytes))) {
		return -EINVAL;
	}
	if (m.new_bytes > l->end - l->start) {
		return -ENOMEM;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = remap(l, &m);
	arena_let_go(l, &mask);
	return rc;
}
