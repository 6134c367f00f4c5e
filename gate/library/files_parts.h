/* SPDX-License-Identifier: Apache-2.0 */
/* files.c (numbers), paths.c, files_io.c (reading, writing, waiting) and sockets.c among themselves. */
#ifndef LYCH_FILES_PARTS_H
#define LYCH_FILES_PARTS_H

#include <sys/stat.h>
#include <sys/uio.h>

#include "../core/asm.h"
#include "calls.h"
#include "files.h"
#include "rules.h"
#include "waiting.h"

#define CACHE_DIRS 16 /* of ld.so.cache beside the usual ones */
#define CACHE_BYTES (16 << 20)
#define ROOTS (RULES_PATHS + 32 + CACHE_DIRS)
#define ROOTS_TEXT 49152
#define FILE_PATH_BYTES 256
#define PIECES 64 /* of a vector that are looked at */

enum file_kind {
	FILE_NULL,   /* 0 and 1: no descriptor behind it */
	FILE_STDERR, /* 2: likewise */
	FILE_REGULAR,
	FILE_DIR,
	FILE_DEVICE,
	FILE_PIPE,
	FILE_EVENT,
	FILE_SOCKET,
};

struct file {
	_Atomic uint32_t users; /* 0: free. Numbers, the snapshot, and calls */
	int real;               /* -1: none */
	enum file_kind kind;
	bool semaphore;            /* EFD_SEMAPHORE */
	bool waits;                /* the kernel does not wait for it: files_io.c does, unless */
	_Atomic uint32_t nonblock; /* the domain wants it so */
	char path[FILE_PATH_BYTES]; /* of a directory; empty: it is too long to be gone on from */
};

struct number {
	_Atomic uint32_t file; /* 1 + index; 0: free */
	_Atomic uint32_t cloexec;
};

struct root {
	int real;            /* O_PATH: the directory, or the one the file lies in */
	uint32_t given, own; /* in text: as the policy says, and where it really is */
	uint32_t name;       /* in text: of the file; 0: it is a directory */
	bool write, loading, special;
};

struct saved {
	uint32_t file; /* 1 + index */
	uint32_t cloexec;
	uint32_t nonblock;
	bool append; /* O_APPEND */
	bool empty;  /* a pipe or an event descriptor with nothing in it */
	int64_t offset; /* -1: none */
};

struct files {
	size_t bytes;
	uint32_t nnumbers, nfiles;
	int high; /* lowest number in the process */
	_Atomic uint32_t loading, mask;
	struct number *numbers;
	struct file *files;
	struct saved *saved;
	uint32_t nroots, text_bytes;
	struct root slash; /* "/": what leads to a root may be looked at; in a report run everything read */
	struct root roots[ROOTS];
	char text[ROOTS_TEXT];
};

/* What a call is answered with. */
struct answer {
	struct library *l;
	struct thread *t;
	const struct mediated *call;
};

/* files.c. Takes over real, whatever comes of it: a number, -EMFILE, -ENFILE. path may be NULL. */
LYCH_HIDDEN long file_new(struct library *l, int real, enum file_kind kind, const char *path, int flags);
LYCH_HIDDEN long number_take_away(struct library *l, uint64_t fd);

/*
 * A system call of which an argument points into the arena, wholly. Made under the domain's own PKRU, so that the kernel
 * looks at the pointer, too; but for those by vectors and messages, which are copies in memory of the host: of each piece is
 * known that it lies in the arena. EINTR is given on only when there is a reason.
 */
LYCH_HIDDEN long arena_call(const struct answer *a, long nr, long p0, long p1, long p2, long p3, long p4, long p5);
/* The same for f, waiting for events as its domain expects. */
LYCH_HIDDEN long file_call(const struct answer *a, struct file *f, short events, long nr, long p1, long p2, long p3,
			   long p4, long p5);
/* Until one of events, or CLOCK_MONOTONIC is end. 1, 0: end; -EINTR. */
LYCH_HIDDEN long file_wait(const struct answer *a, const struct file *f, short events, int64_t end);
/* Copies a vector, of at most PIECES, each in the arena: how many. -EFAULT, -EINVAL. *bytes: of all. */
LYCH_HIDDEN long vector_read(const struct answer *a, struct iovec iov[PIECES], uint64_t at, uint64_t count,
			     uint64_t *bytes);

#ifndef SYS_openat2 /* Linux 5.6 */
#define SYS_openat2 437
#endif
#ifndef SYS_faccessat2 /* Linux 5.8 */
#define SYS_faccessat2 439
#endif
#define LOOK (O_PATH | O_CLOEXEC)

struct open_how_64 { /* struct open_how of openat2 */
	uint64_t flags, mode, resolve;
};

/* What is asked for of a path. */
struct want {
	bool write;
	bool look;    /* nothing of its contents */
	bool last;    /* a link at the end is what is meant */
	bool learned; /* out: only because this is a report run */
};

/*
 * The path at at, absolute and normal, as dirfd and the working directory (/) have it. -ENOENT: it is empty. slash:
 * does it end with one, so that it has to be a directory?
 */
LYCH_HIDDEN long path_read(const struct answer *a, uint64_t dirfd, uint64_t at, char path[RULES_PATH_BYTES],
			   bool *slash);
/* Opens path, which is normal and is changed: a descriptor of the process. */
LYCH_HIDDEN long path_follow(const struct answer *a, char path[RULES_PATH_BYTES], uint64_t flags, uint64_t mode,
			     struct want *want);
/* Only files that are bytes, directories, and the five devices: else false. */
LYCH_HIDDEN bool path_kind(long real, enum file_kind *kind);
/* Both, to be looked at only. last: a link is looked at itself. */
LYCH_HIDDEN long path_look(const struct answer *a, uint64_t dirfd, uint64_t at, bool last, bool write);
/* Tells of a refused path: -EACCES; while a loader looks for things they are not there. */
LYCH_HIDDEN long path_refused(const struct answer *a, const char *path);

/* Each: false when the call is none of theirs. */
LYCH_HIDDEN bool numbers_call(const struct answer *a, long *result);
LYCH_HIDDEN bool path_call(const struct answer *a, long *result);
LYCH_HIDDEN bool io_call(const struct answer *a, long *result);
LYCH_HIDDEN bool poll_call(const struct answer *a, long *result);
LYCH_HIDDEN bool sockets_call(const struct answer *a, long *result);

/* paths.c. roots_close: all descriptors. */
LYCH_HIDDEN int roots_open(struct library *l, const char *search, char *why, size_t why_bytes);
LYCH_HIDDEN void roots_close(struct files *files);

static inline int low_int(uint64_t arg)
{
	return (int)(uint32_t)arg;
}

static inline bool outside(const struct answer *a, uint64_t at, uint64_t bytes)
{
	return bytes != 0 && !library_holds(a->l, at, bytes);
}

#endif /* LYCH_FILES_PARTS_H */
