/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of the host that a library domain may use: lych_share.
 *
 * They get the domain's key, which the host's view has, too. Which pages these are and what their rights were is written
 * down for when the share ends; where they are then is what the kernel says: the host may have unmapped or moved them, and
 * something else may lie at the old place by then, of which nothing must be changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/thread.h"
#include "../core/why.h"
#include "../memory/ranges.h"
#include "../memory/smaps.h"
#include "library.h"
#include "none.h"

#define SHARES_BYTES ((size_t)4 * LYCH_PAGE)
#define PIECES ((SHARES_BYTES - 8) / sizeof(struct piece))
#define FOUND_BYTES ((size_t)4 * LYCH_PAGE)
#define FOUND (FOUND_BYTES / sizeof(struct smaps_mapping))
#define READ_BYTES 4096

/* What was one mapping, or a part of one. */
struct piece {
	uint64_t at, end;
	uint64_t share; /* where the share begins that it is of */
	int32_t before, now; /* rights */
	bool file;
	bool known; /* to the ledger */
};

/* In monitor memory, under monitor->lock. */
struct shares {
	uint64_t count;
	struct piece piece[PIECES];
};
_Static_assert(sizeof(struct shares) <= SHARES_BYTES, "");

static bool overlap(uint64_t at, uint64_t end, uint64_t from, uint64_t to)
{
	return at < to && end > from;
}

/* ---- what is mapped ------------------------------------------------------------------------------------------------------ */

/* Until done, which fn may set. fd: /proc/self/smaps, read from its beginning. */
static int each_mapping(long fd, void (*fn)(const struct smaps_mapping *mapping, void *ctx), void *ctx, const bool *done)
{
	struct smaps_parser parser;
	char text[READ_BYTES];
	long n = sys3(SYS_lseek, fd, 0, 0);
	int rc = n < 0 ? (int)n : 0;

	smaps_begin(&parser, fn, ctx);
	while (rc == 0 && !*done && (n = sys3(SYS_read, fd, text, sizeof(text))) != 0) {
		rc = n > 0 ? smaps_feed(&parser, text, (size_t)n) : n == -EINTR ? 0 : (int)n;
	}
	return rc != 0 ? -EOPNOTSUPP : *done ? 0 : smaps_end(&parser) != 0 ? -EOPNOTSUPP : 0;
}

static long open_smaps(void)
{
	return sys4(SYS_openat, AT_FDCWD, "/proc/self/smaps", O_RDONLY | O_CLOEXEC, 0);
}

/* ---- what may be shared --------------------------------------------------------------------------------------------------- */

struct wish {
	uint64_t at, end;
	int how;
	uint64_t upto; /* all of it below is good */
	bool done;
	int err;
	const char *why;
	struct shares *shares;
	uint64_t first; /* piece of this one */
};

static void refuse(struct wish *w, int err, const char *why)
{
	if (w->err == 0) {
		w->err = err;
		w->why = why;
	}
	w->done = true;
}

/* The thread's stack, as far as it can be told: glibc has a thread's control block at the upper end of it. */
static bool is_stack(const struct thread *t, const struct smaps_mapping *m, const struct wish *w)
{
	uint64_t block = t->host_fs, low = atomic_load(&t->tid) == (int)sys0(SYS_getpid) ? block - LYCH_PAGE : m->at;
	uint64_t stack = (uintptr_t)t->host_altstack.ss_sp;

	return (block >= m->at && block < m->end && overlap(w->at, w->end, low, block + LYCH_PAGE)) ||
	       ((t->host_altstack.ss_flags & SS_DISABLE) == 0 && stack != 0 &&
		overlap(w->at, w->end, stack, stack + t->host_altstack.ss_size));
}

static bool is_a_stack(const struct smaps_mapping *m, const struct wish *w)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		const struct area *a = atomic_load(&ROOT.monitor->threads[i]);

		if (a != NULL && is_stack(&a->thread, m, w)) {
			return true;
		}
	}
	return false;
}

static void look(const struct smaps_mapping *m, void *ctx)
{
	struct wish *w = ctx;
	struct shares *s = w->shares;
	int need = w->how == LYCH_SHARE_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;

	if (w->done || m->end <= w->at) {
		return;
	}
	if (m->at > w->upto) {
		refuse(w, -EFAULT, "not all of it is mapped");
	} else if (m->key != 0) {
		refuse(w, -EINVAL, "some of it has a protection key already");
	} else if (m->shared) {
		refuse(w, -EINVAL, "some of it is a shared mapping, which can be changed where it is mapped elsewhere, too");
	} else if ((m->prot & ~(PROT_READ | PROT_WRITE)) != 0) {
		refuse(w, -EINVAL, "some of it is code");
	} else if (m->special) {
		refuse(w, -EINVAL, "some of it is a stack, of huge pages, or a device's");
	} else if ((m->prot & need) != need) {
		refuse(w, -EFAULT, "some of it may not be read, or written, by the host itself");
	} else if (is_a_stack(m, w)) {
		refuse(w, -EINVAL, "some of it is a thread's stack, or holds its thread-local storage");
	} else if (s->count == PIECES) {
		refuse(w, -ENOMEM, "there are too many shares of this domain");
	} else {
		uint64_t at = m->at > w->at ? m->at : w->at, end = m->end < w->end ? m->end : w->end;

		s->piece[s->count++] = (struct piece){at, end, w->at, m->prot, m->prot & need, m->file, false};
		w->upto = end;
		w->done = end == w->end;
	}
}

/* Variables of libraries, the C library's and ours among them. What the program itself has, and who is first here, is its own. */
static int look_at_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct wish *w = ctx;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum && info->dlpi_name != NULL && info->dlpi_name[0] != '\0'; i++) {
		uint64_t at = (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr) & ~(uint64_t)(LYCH_PAGE - 1);

		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    overlap(w->at, w->end, at, info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz)) {
			refuse(w, -EINVAL, "some of it is of a loaded library");
			return 1;
		}
	}
	return 0;
}

/* ---- done, and undone ------------------------------------------------------------------------------------------------------ */

/* Kernels merge neighbours, so a mapping that has the key may hold several pieces, and something that the host has moved there. */
struct found {
	const struct library *library;
	struct smaps_mapping *mapping;
	size_t count;
	uint64_t from; /* what ends below has been seen to */
	bool done;
};

static void find_key(const struct smaps_mapping *m, void *ctx)
{
	struct found *f = ctx;

	if (f->done || m->end <= f->from || m->key != (int)f->library->domain->key ||
	    (m->at >= f->library->start && m->end <= f->library->end)) {
		return;
	}
	if (f->count == FOUND) {
		f->done = true;
	} else {
		f->mapping[f->count++] = *m;
	}
}

/* The piece at lies in; NULL: none, and *end becomes where one begins, if that is before it. */
static const struct piece *piece_at(const struct shares *s, uint64_t at, uint64_t *end)
{
	for (uint64_t i = 0; i < s->count; i++) {
		const struct piece *p = &s->piece[i];

		if (at >= p->at && at < p->end) {
			*end = *end < p->end ? *end : p->end;
			return p;
		}
		if (p->at > at && p->at < *end) {
			*end = p->at;
		}
	}
	return NULL;
}

/* Which are to end: all for share 0. */
static bool ends(const struct piece *p, uint64_t share)
{
	return share == 0 || p->share == share;
}

/* Pages of m that are the host's again: their own rights, unless the host has given them others since, and no key. */
static int take_key_from(const struct library *l, const struct smaps_mapping *m, uint64_t share)
{
	int rc = 0;

	for (uint64_t at = m->at, end; at < m->end; at = end) {
		const struct piece *p;

		end = m->end;
		if (at >= l->start && at < l->end) { /* a neighbour of the arena */
			end = l->end;
			continue;
		}
		if (at < l->start && end > l->start) {
			end = l->start;
		}
		p = piece_at(l->shares, at, &end);
		if (p != NULL && !ends(p, share)) {
			continue;
		}
		if (ledger_tag(at, end - at, 0, p != NULL && m->prot == p->now ? p->before : m->prot) != 0) {
			rc = -ENOMEM;
		}
	}
	return rc;
}

/* Of one share, or of all: also what the host has moved out of one. */
static int end_share(struct library *l, long fd, uint64_t share)
{
	struct found f = {.library = l, .mapping = monitor_alloc(FOUND_BYTES)};
	struct shares *s = l->shares;
	uint64_t kept = 0;
	int rc = f.mapping == NULL ? -ENOMEM : 0;

	do {
		f.count = 0;
		f.done = false;
		rc = rc == 0 ? each_mapping(fd, find_key, &f, &f.done) : rc;
		for (size_t i = 0; rc == 0 && i < f.count; i++) {
			rc = take_key_from(l, &f.mapping[i], share);
			f.from = f.mapping[i].end;
		}
	} while (rc == 0 && f.done);
	monitor_free(f.mapping, FOUND_BYTES);
	for (uint64_t i = 0; i < s->count; i++) {
		struct piece p = s->piece[i];

		if (rc == 0 && ends(&p, share) && p.known) {
			rc = ledger_forget((void *)(uintptr_t)p.at, p.end - p.at);
		}
		if (rc != 0 || !ends(&p, share)) {
			s->piece[kept++] = p;
		}
	}
	s->count = kept;
	return rc;
}

static int begin_share(struct library *l, struct wish *w, long fd)
{
	struct shares *s = l->shares;
	int rc = each_mapping(fd, look, w, &w->done);

	if (rc != 0) {
		w->why = "/proc/self/smaps, which says what is mapped there, cannot be read";
	} else if (w->err == 0 && w->upto != w->end) {
		refuse(w, -EFAULT, "not all of it is mapped");
	}
	rc = rc == 0 ? w->err : rc;
	if (rc != 0) {
		s->count = w->first;
		return rc;
	}
	/* The host uses them meanwhile: from their rights to the new ones at once. A file's pages are in the ledger without. */
	for (uint64_t i = w->first; rc == 0 && i < s->count; i++) {
		struct piece *p = &s->piece[i];
		void *at = (void *)(uintptr_t)p->at;

		rc = ledger_record(at, p->end - p->at, (int)l->domain->key, p->file ? RANGE_ANY : p->now);
		p->known = rc == 0;
		if (rc == 0 && ledger_tag(p->at, p->end - p->at, (int)l->domain->key, p->now) != 0) {
			rc = -ENOMEM;
		}
	}
	if (rc != 0) {
		w->why = "the kernel does not change the pages";
		/* What cannot be undone stays a share, which lych_verify and lych_unshare know of. */
		(void)end_share(l, fd, w->at);
	}
	return rc;
}

static bool is_shared(const struct shares *s, const struct wish *w)
{
	for (uint64_t i = 0; i < s->count; i++) {
		if (overlap(w->at, w->end, s->piece[i].at, s->piece[i].end)) {
			return true;
		}
	}
	return false;
}

/* With the lock. */
static int share(struct library *l, struct wish *w, long fd)
{
	if (l->shares == NULL) {
		l->shares = monitor_alloc(SHARES_BYTES);
		if (l->shares == NULL) {
			return -ENOMEM;
		}
	}
	w->shares = l->shares;
	w->first = l->shares->count;
	if (is_shared(l->shares, w)) {
		w->why = "some of it is shared with this domain already";
		return -EBUSY;
	}
	return begin_share(l, w, fd);
}

void shares_free(struct library *l)
{
	long fd;

	if (l->shares == NULL) {
		return;
	}
	fd = open_smaps();
	/* What cannot be given back now is taken from everybody with the key: keys_give_back. */
	(void)end_share(l, fd, 0);
	if (fd >= 0) {
		sys1(SYS_close, fd);
	}
	monitor_free(l->shares, SHARES_BYTES);
	l->shares = NULL;
}

/* ---- public ----------------------------------------------------------------------------------------------------------------- */

static int check(const struct lych_domain *domain, const void *pages, size_t bytes, int how)
{
	uint64_t at = (uintptr_t)pages;

	if (domain == NULL || (how != LYCH_SHARE_READ && how != LYCH_SHARE_WRITE)) {
		why_set("share: not a domain, or neither LYCH_SHARE_READ nor LYCH_SHARE_WRITE");
		return -EINVAL;
	}
	if (at == 0 || at % LYCH_PAGE != 0 || bytes == 0 || bytes % LYCH_PAGE != 0 || at + bytes < at) {
		why_set("share: whole pages only, of %d bytes", LYCH_PAGE);
		return -EINVAL;
	}
	return 0;
}

static int none_domain_is(struct lych_domain *domain)
{
	return NONE->symbols(domain) == NULL ? -EINVAL : ((struct none_domain *)domain)->kind == LYCH_KIND_VAULT ? -EACCES : 0;
}

int lych_share(struct lych_domain *domain, void *pages, size_t bytes, int how)
{
	struct wish w = {.at = (uintptr_t)pages, .end = (uintptr_t)pages + bytes, .how = how, .upto = (uintptr_t)pages};
	uint64_t here = (uintptr_t)__builtin_frame_address(0);
	struct thread *self;
	long fd;
	int rc = check(domain, pages, bytes, how);

	if (rc != 0) {
		return rc;
	}
	if (NONE != NULL) {
		return none_domain_is(domain);
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	if (here >= w.at && here < w.end) {
		refuse(&w, -EINVAL, "it is the stack");
	} else if (overlap(w.at, w.end, (uintptr_t)&lych_root_page, (uintptr_t)&lych_root_page + sizeof(lych_root_page))) {
		refuse(&w, -EINVAL, "it is the runtime's");
	} else {
		dl_iterate_phdr(look_at_object, &w);
	}
	if (w.err != 0) {
		why_set("share: %s", w.why);
		return w.err;
	}
	fd = open_smaps();
	monitor_lock();
	if (domain->library == NULL) {
		rc = -EINVAL;
		w.why = "not a domain of lych_open";
	} else if (domain->kind == LYCH_KIND_VAULT) {
		rc = -EACCES;
		w.why = "it would have the vault's key, which the host may not use: grant it a region (lych_region_grant)";
	} else {
		rc = share(domain->library, &w, fd);
	}
	monitor_unlock();
	if (fd >= 0) {
		sys1(SYS_close, fd);
	}
	if (rc != 0) {
		why_set("share: %s", w.why != NULL ? w.why : "out of memory");
	}
	return rc;
}

int lych_unshare(struct lych_domain *domain, void *pages)
{
	uint64_t share = (uintptr_t)pages;
	const struct shares *s;
	struct thread *self;
	bool known = false;
	long fd;
	int rc = domain == NULL || pages == NULL ? -EINVAL : 0;

	if (rc != 0) {
		return rc;
	}
	if (NONE != NULL) {
		return none_domain_is(domain);
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	fd = open_smaps();
	monitor_lock();
	s = domain->library != NULL ? domain->library->shares : NULL;
	for (uint64_t i = 0; s != NULL && i < s->count; i++) {
		known = known || s->piece[i].share == share;
	}
	rc = known ? end_share(domain->library, fd, share) : -EINVAL;
	monitor_unlock();
	if (fd >= 0) {
		sys1(SYS_close, fd);
	}
	return rc;
}
