/* SPDX-License-Identifier: Apache-2.0 */
/* Memory with two addresses, and mappings of others. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/shm.h>

#include "inner.h"

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)
#define OWN_PAGE (MAP_PRIVATE | MAP_ANONYMOUS)

/* ---- two addresses ---------------------------------------------------------------------------------------------------- */

long attack_memfd(struct prey *p)
{
	long fd = raw(SYS_memfd_create, L("two"), 0);

	(void)p;
	if (fd < 0) {
		return fd;
	}
	raw(SYS_ftruncate, fd, PAGE);
	long one = raw(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0), two = raw(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0);
	if (one < 0 || two < 0) {
		return one < 0 ? one : two;
	}
	*(volatile long *)one = 7;
	return *(volatile long *)two == 7 ? ATTACK_DONE : -ENODATA;
}

long attack_memfd_secret(struct prey *p)
{
	(void)p;
	return done_if(raw(447, 0));
}

long attack_shm(struct prey *p)
{
	long id = raw(SYS_shmget, IPC_PRIVATE, PAGE, 0600);
	long at = id < 0 ? id : raw(SYS_shmat, id, 0, 0);

	(void)p;
	if (id >= 0) {
		raw(SYS_shmctl, id, IPC_RMID, 0);
	}
	return at < 0 && at > -PAGE ? at : ATTACK_DONE;
}

long attack_shm_open(struct prey *p)
{
	long fd = raw(SYS_open, L("/dev/shm/lych-hostile"), O_RDWR | O_CREAT, 0600);

	(void)p;
	if (fd >= 0) {
		raw(SYS_unlink, L("/dev/shm/lych-hostile"));
	}
	return done_if(fd);
}

/* A file in work with one page of zeros: its number. */
static long work_file(struct prey *p, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", p->work, name);
	long fd = raw(SYS_open, L(path), O_RDWR | O_CREAT | O_TRUNC, 0600);
	long rc = fd < 0 ? fd : raw(SYS_ftruncate, fd, PAGE);
	return rc < 0 ? rc : fd;
}

long attack_file_alias(struct prey *p)
{
	long fd = work_file(p, "alias");

	if (fd < 0) {
		return fd;
	}
	long one = raw(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0);
	if (one < 0 && one > -PAGE) {
		/* readable first, writable later */
		one = raw(SYS_mmap, 0, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		long rc = one < 0 && one > -PAGE ? one : raw(SYS_mprotect, one, PAGE, RW);
		if (rc != 0) {
			return rc;
		}
	}
	*(volatile long *)one = 7;
	raw(SYS_pread64, fd, L(p->own), 8, 0);
	return *(volatile long *)p->own == 7 ? ATTACK_DONE : -ENODATA;
}

/* ---- mappings of others ------------------------------------------------------------------------------------------------- */

static long is_there(long at, long wanted)
{
	return at == wanted ? ATTACK_DONE : at < 0 && at > -PAGE ? at : -ENODATA;
}

long attack_mmap_over_the_secret(struct prey *p)
{
	return is_there(raw(SYS_mmap, L(p->secret), PAGE, RW, OWN_PAGE | MAP_FIXED, -1, 0), L(p->secret));
}

long attack_mmap_over_the_gate_page(struct prey *p)
{
	return is_there(raw(SYS_mmap, L(p->gate), PAGE, RW, OWN_PAGE | MAP_FIXED, -1, 0), L(p->gate));
}

long attack_mmap_file_over_the_secret(struct prey *p)
{
	long fd = work_file(p, "over");

	return fd < 0 ? fd : is_there(raw(SYS_mmap, L(p->secret), PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0), L(p->secret));
}

long attack_mmap_over_the_edges(struct prey *p)
{
	const struct {
		char *at;
		unsigned long bytes;
	} rows[] = {{p->low - PAGE, 2 * PAGE}, {p->high - PAGE, 2 * PAGE}, {p->high, PAGE}, {p->low - PAGE, PAGE},
		    {p->low - PAGE, (unsigned long)(p->high - p->low) + 2 * PAGE}, {p->high - PAGE, 0UL - PAGE},
		    {p->high - PAGE, 0UL - (unsigned long)p->high + PAGE}};
	long rc = -ENOMEM;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rc = raw(SYS_mmap, L(rows[i].at), rows[i].bytes, RW, OWN_PAGE | MAP_FIXED, -1, 0);
		if (rc >= 0 || rc < -PAGE) {
			return ATTACK_DONE;
		}
	}
	return rc;
}

long attack_mremap_of_the_secret(struct prey *p)
{
	long rc = raw(SYS_mremap, L(p->secret), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, L(p->own));

	return rc < 0 && rc > -PAGE ? rc : ATTACK_DONE;
}

long attack_mremap_of_the_gate_page(struct prey *p)
{
	long rc = raw(SYS_mremap, L(p->gate), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, L(p->own));

	return rc < 0 && rc > -PAGE ? rc : ATTACK_DONE;
}

long attack_mremap_over_the_secret(struct prey *p)
{
	long from = raw(SYS_mmap, 0, PAGE, RW, OWN_PAGE, -1, 0);

	return is_there(raw(SYS_mremap, from, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, L(p->secret)), L(p->secret));
}

long attack_mremap_twins_the_secret(struct prey *p)
{
	long rc = raw(SYS_mremap, L(p->words), 0, PAGE, MREMAP_MAYMOVE, 0);

	return rc < 0 && rc > -PAGE ? rc : ATTACK_DONE;
}

long attack_mremap_beyond_the_end(struct prey *p)
{
	long last = L(p->high) - 32 * PAGE, rc = -ENOMEM;

	/* each of the last pages: which of them can be mapped is not ours to know */
	for (long at = last; at < L(p->high); at += PAGE) {
		rc = raw(SYS_mmap, at, PAGE, RW, OWN_PAGE | MAP_FIXED, -1, 0);
		if (rc == at) {
			rc = raw(SYS_mremap, at, PAGE, L(p->high) - at + PAGE, 0, 0);
		}
		if (rc >= 0) {
			return ATTACK_DONE;
		}
	}
	return rc;
}

long attack_munmap_of_the_secret(struct prey *p)
{
	return done_if(raw(SYS_munmap, L(p->secret), PAGE));
}

long attack_munmap_of_the_gate_page(struct prey *p)
{
	return done_if(raw(SYS_munmap, L(p->gate), PAGE));
}

long attack_munmap_over_the_edges(struct prey *p)
{
	long rc = raw(SYS_munmap, L(p->high) - PAGE, 2 * PAGE);

	rc = rc < 0 ? raw(SYS_munmap, L(p->low) - PAGE, 2 * PAGE) : rc;
	rc = rc < 0 ? raw(SYS_munmap, L(p->low) - PAGE, p->high - p->low + 2 * PAGE) : rc;
	rc = rc < 0 ? raw(SYS_munmap, L(p->low), 0UL - PAGE) : rc;
	return done_if(rc);
}

static long advise(long at)
{
	/* DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK, MERGEABLE, PAGEOUT, POPULATE_WRITE, DONTNEED_LOCKED, COLLAPSE */
	static const int kinds[] = {4, 8, 9, 10, 18, 12, 21, 23, 24, 25, 100, 101, 102, 103};
	long rc = -EINVAL, best = -EINVAL;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i] == 100) {
			break; /* poisoning: hurts the machine, not us */
		}
		rc = raw(SYS_madvise, at, PAGE, kinds[i]);
		best = rc >= 0 ? ATTACK_DONE : best;
	}
	return best == ATTACK_DONE ? best : rc;
}

long attack_madvise_of_the_secret(struct prey *p)
{
	return advise(L(p->secret));
}

long attack_madvise_of_the_gate_page(struct prey *p)
{
	return advise(L(p->gate));
}

long attack_madvise_over_the_edges(struct prey *p)
{
	long rc = raw(SYS_madvise, L(p->high) - PAGE, 2 * PAGE, MADV_DONTNEED);

	rc = rc < 0 ? raw(SYS_madvise, L(p->low) - PAGE, 2 * PAGE, MADV_DONTNEED) : rc;
	rc = rc < 0 ? raw(SYS_madvise, L(p->low) - PAGE, p->high - p->low + 2 * PAGE, MADV_DONTNEED) : rc;
	rc = rc < 0 ? raw(SYS_madvise, L(p->low), 0UL - PAGE, MADV_DONTNEED) : rc;
	return done_if(rc);
}

long attack_mprotect_of_the_secret(struct prey *p)
{
	long rc = raw(SYS_mprotect, L(p->secret), PAGE, PROT_READ);

	rc = rc < 0 ? raw(SYS_mprotect, L(p->secret), PAGE, PROT_READ | PROT_EXEC) : rc;
	return done_if(rc);
}

long attack_mprotect_of_the_gate_page(struct prey *p)
{
	long rc = raw(SYS_mprotect, L(p->gate), PAGE, PROT_NONE);

	rc = rc < 0 ? raw(SYS_mprotect, L(p->gate), PAGE, RW) : rc;
	return done_if(rc);
}

long attack_mprotect_over_the_edges(struct prey *p)
{
	long rc = raw(SYS_mprotect, L(p->high) - PAGE, 2 * PAGE, PROT_READ);

	rc = rc < 0 ? raw(SYS_mprotect, L(p->low) - PAGE, 2 * PAGE, PROT_READ) : rc;
	rc = rc < 0 ? raw(SYS_mprotect, L(p->own), 0UL - PAGE, PROT_READ) : rc;
	return done_if(rc);
}
