/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "../core/keys.h"
#include "../core/why.h"
#include "arena_parts.h"

#define NOEXEC_FLAG 8U /* MFD_NOEXEC_SEAL, Linux 6.3 */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define CHUNK (16 * SPACE_PAGE) /* read at a time; and fewer zeros between others are no gap */
#define GAPS 1024               /* of each snapshot at most */

/* Memory that comes from the file. */
struct piece {
	uint64_t start, end, offset;
};

/* In monitor memory. */
struct snapshot {
	size_t bytes; /* of this */
	int fd;
	uint64_t dev, ino; /* of the file: that it is still the one */
	uint64_t break_at, counted, code;
	uint64_t gap; /* zeros of at least so many bytes are not kept */
	uint64_t file_bytes;
	uint32_t areas, pieces;
	struct piece *piece;
	struct space_area area[];
};

/* ---- the file ------------------------------------------------------------------------------- */

static long file_new(void)
{
	long fd = sys2(SYS_memfd_create, "lychgate:snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_FLAG),
	     high = -1;
	struct rlimit limit;

	if (fd == -EINVAL) {
		fd = sys2(SYS_memfd_create, "lychgate:snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	}
	/* Out of the way of programs that count on small numbers. */
	if (fd >= 0 && sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) == 0) {
		rlim_t most = limit.rlim_cur > 1 << 20 ? 1 << 20 : limit.rlim_cur;

		high = sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, most - most / 8);
	}
	if (high >= 0) {
		sys1(SYS_close, fd);
		fd = high;
	}
	return fd;
}

static int file_write(int fd, const uint8_t *from, uint64_t bytes, uint64_t offset)
{
	const uint64_t too_large = 1ULL << (SIGXFSZ - 1);
	const struct timespec now = {0};

	while (bytes > 0) {
		long n = sys4(SYS_pwrite64, fd, from, bytes, offset);

		if (n == -EFBIG) {
			/* All signals are blocked: the one that comes with it is not the program's. */
			sys4(SYS_rt_sigtimedwait, &too_large, NULL, &now, sizeof(too_large));
		}
		if (n == -EINTR) {
			continue;
		}
		if (n <= 0) {
			return n < 0 ? (int)n : -ENOSPC;
		}
		from += n;
		offset += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

static int file_close(struct snapshot *n, int rc)
{
	struct stat st;

	if (rc == 0) {
		rc = (int)sys2(SYS_ftruncate, n->fd, n->file_bytes);
	}
	if (rc == 0) {
		rc = (int)sys3(SYS_fcntl, n->fd, F_ADD_SEALS, SEALS);
	}
	if (rc == 0) {
		rc = (int)sys2(SYS_fstat, n->fd, &st);
		n->dev = st.st_dev;
		n->ino = st.st_ino;
	}
	return rc;
}

static bool file_is_there(const struct snapshot *n)
{
	struct stat st;

	return sys2(SYS_fstat, n->fd, &st) == 0 && st.st_dev == n->dev && st.st_ino == n->ino;
}

/* ---- taking --------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *page)
{
	const uint64_t *word = (const uint64_t *)(const void *)page;
	uint64_t any = 0;

	for (size_t i = 0; i < SPACE_PAGE / sizeof(*word) && any == 0; i++) {
		any |= word[i];
	}
	return any == 0;
}

/* What was never writable and is no file's is zero. Code stays where it is. */
static bool has_content(const struct space_area *a)
{
	return (a->flags & SPACE_CODE) == 0 && (a->flags & (SPACE_COUNTED | SPACE_FILE | SPACE_FIXED)) != 0;
}

/* One page that is not zero: as a part of the last piece, or of a new one. Gives back where in the file it is. */
static uint64_t page_into(struct snapshot *n, uint64_t at, bool fresh)
{
	struct piece *p = n->pieces > 0 ? &n->piece[n->pieces - 1] : NULL;

	if (fresh || p == NULL || at - p->end >= n->gap) {
		p = &n->piece[n->pieces++];
		*p = (struct piece){at, at, n->file_bytes};
	}
	p->end = at + SPACE_PAGE;
	n->file_bytes = p->offset + (p->end - p->start);
	return p->offset + (at - p->start);
}

/* A file's pages behind its end are none: they are kept as zeros. */
static void read_chunk(struct library *l, uint8_t *to, uint64_t at, uint64_t bytes)
{
	if (inside_read(l, to, at, bytes) == 0) {
		return;
	}
	for (uint64_t i = 0; i < bytes; i += SPACE_PAGE) {
		if (inside_read(l, to + i, at + i, SPACE_PAGE) != 0) {
			memset(to + i, 0, SPACE_PAGE);
		}
	}
}

static int keep_area(struct library *l, struct snapshot *n, const struct space_area *a, uint8_t *chunk)
{
	bool fresh = true;

	for (uint64_t at = a->start; at < a->end; at += CHUNK) {
		uint64_t bytes = a->end - at < CHUNK ? a->end - at : CHUNK;

		read_chunk(l, chunk, at, bytes);
		for (uint64_t i = 0; i < bytes; i += SPACE_PAGE) {
			int rc;

			if (is_zero(chunk + i)) {
				continue;
			}
			rc = file_write(n->fd, chunk + i, SPACE_PAGE, page_into(n, at + i, fresh));
			if (rc != 0) {
				return rc;
			}
			fresh = false;
		}
	}
	return 0;
}

static int keep(struct library *l, struct snapshot *n, uint8_t *chunk)
{
	const struct space *s = &l->arena->space;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < s->count; i++) {
		const struct space_area *a = &s->area[i];
		bool closed = (a->prot & PROT_READ) == 0;

		if (!has_content(a)) {
			continue;
		}
		if (closed && arena_tag(l, a->start, a->end, PROT_READ) != 0) {
			rc = -ENOMEM;
		}
		rc = rc == 0 ? keep_area(l, n, a, chunk) : rc;
		if (closed && arena_tag(l, a->start, a->end, a->prot) != 0) {
			rc = -ENOMEM;
		}
	}
	return file_close(n, rc);
}

/* ---- going back ----------------------------------------------------------------------------- */

/* Everything but the code that was there is reserved again, with nothing in it. */
static int clear(struct library *l, const struct snapshot *n)
{
	const struct space *s = &l->arena->space;
	uint64_t from = s->lo;

	for (uint32_t i = 0; i <= n->areas; i++) {
		bool end = i == n->areas;

		if (!end && (n->area[i].flags & SPACE_CODE) == 0) {
			continue;
		}
		if (from < (end ? s->hi : n->area[i].start) &&
		    arena_reserve(l, from, end ? s->hi : n->area[i].start) != 0) {
			return -ENOMEM;
		}
		from = end ? s->hi : n->area[i].end;
	}
	return 0;
}

static int map_pieces(const struct snapshot *n)
{
	for (uint32_t i = 0; i < n->pieces; i++) {
		const struct piece *p = &n->piece[i];
		long at = sys6(SYS_mmap, (long)p->start, (long)(p->end - p->start), PROT_NONE,
			       MAP_PRIVATE | MAP_FIXED, n->fd, (long)p->offset);

		if (at != (long)p->start) {
			return -ENOMEM;
		}
	}
	return 0;
}

static int rebuild(struct library *l, const struct snapshot *n)
{
	struct space *s = &l->arena->space;
	int rc = clear(l, n);

	rc = rc == 0 ? map_pieces(n) : rc;
	memcpy(s->area, n->area, n->areas * sizeof(s->area[0]));
	s->count = n->areas;
	s->break_at = n->break_at;
	s->counted = n->counted;
	s->code = n->code;
	for (uint32_t i = 0; i < s->count; i++) {
		const struct space_area *a = &s->area[i];

		/* The pieces, too, have no key yet. */
		if ((a->flags & SPACE_CODE) == 0 &&
		    arena_tag(l, a->start, a->end, rc == 0 ? a->prot : PROT_NONE) != 0) {
			rc = -ENOMEM;
		}
	}
	if (rc != 0) {
		domain_poison(l->domain);
	}
	return rc;
}

static void give_back(struct snapshot *n)
{
	if (n == NULL) {
		return;
	}
	/* A descriptor that is somebody else's by now is not ours to close. */
	if (n->fd >= 0 && (n->ino == 0 || file_is_there(n))) {
		sys1(SYS_close, n->fd);
	}
	monitor_free(n, n->bytes);
}

void snapshot_free(struct library *l)
{
	give_back(l->arena->snapshot);
	l->arena->snapshot = NULL;
}

/* Room for what the arena has now. */
static struct snapshot *snapshot_new(const struct space *s)
{
	size_t areas = sizeof(struct snapshot) + s->count * sizeof(struct space_area);
	size_t bytes = areas + (s->count + GAPS) * sizeof(struct piece);
	struct snapshot *n = monitor_alloc(bytes);
	uint64_t content = 0;
	long fd;

	if (n == NULL) {
		return NULL;
	}
	n->bytes = bytes;
	n->fd = -1;
	n->piece = (struct piece *)(void *)((char *)n + areas);
	n->areas = s->count;
	n->break_at = s->break_at;
	n->counted = s->counted;
	n->code = s->code;
	memcpy(n->area, s->area, s->count * sizeof(s->area[0]));
	for (uint32_t i = 0; i < s->count; i++) {
		content += has_content(&s->area[i]) ? s->area[i].end - s->area[i].start : 0;
		n->area[i].flags |= s->area[i].flags & SPACE_CODE ? SPACE_FIXED : 0;
	}
	n->gap = content / GAPS > CHUNK ? content / GAPS : CHUNK;
	fd = file_new();
	n->fd = (int)fd;
	return n;
}

/* What lych_open says of it. */
static int told(int rc)
{
	switch (rc) {
	case 0:
	case -ENOMEM:
	case -EAGAIN:
		return rc;
	case -EMFILE:
	case -ENFILE:
		why_set("library: no descriptor is left for the state to go back to");
		return -ENOMEM;
	case -EFBIG:
	case -ENOSPC:
		why_set("library: files are not allowed to be as large as the state to go back to (RLIMIT_FSIZE)");
		return -ENOMEM;
	default:
		why_set("sandbox: the state to go back to is kept in a sealed file in memory, which is refused "
			"(errno %d)",
			-rc);
		return -EOPNOTSUPP;
	}
}

int snapshot_take(struct library *l)
{
	struct snapshot *n = snapshot_new(&l->arena->space), *old = l->arena->snapshot;
	uint8_t *chunk = monitor_alloc(CHUNK);
	uint64_t mask;
	int rc = n == NULL || chunk == NULL ? -ENOMEM : n->fd < 0 ? n->fd : 0;

	if (rc == 0 && !arena_hold(l, &mask)) {
		rc = -EAGAIN;
	}
	if (rc == 0) {
		rc = keep(l, n, chunk);
		if (rc == 0) {
			rc = rebuild(l, n);
			l->arena->snapshot = n;
		}
		arena_let_go(l, &mask);
		give_back(l->arena->snapshot == n ? old : n);
	} else {
		give_back(n);
	}
	monitor_free(chunk, CHUNK);
	return told(rc);
}

int snapshot_restore(struct library *l)
{
	const struct snapshot *n = l->arena->snapshot;
	uint64_t mask;
	int rc;

	if (n == NULL) {
		return -EINVAL;
	}
	if (!file_is_there(n)) {
		why_set("library: somebody has closed descriptor %d, in which the state to go back to was kept",
			n->fd);
		return -ENOENT;
	}
	if (!arena_hold(l, &mask)) {
		return -EAGAIN;
	}
	rc = rebuild(l, n);
	arena_let_go(l, &mask);
	return rc;
}
