/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning of a library domain: its dynamic loader and the stub are mapped as the kernel maps a program and its
 * loader, and what the first thread starts with is written. Everything else is the loader's work, inside.
 */
#ifndef LYCH_LOADER_H
#define LYCH_LOADER_H

#include <lychgate/library.h>

#include "../core/hidden.h"
#include "inside/stub.h"
#include "loader_elf.h"
#include "loader_stack.h"

#define LOADER_DEFAULT "/lib64/ld-linux-x86-64.so.2"
/* For the loader's start only: calls are made on stacks of the threads that make them. */
#define LOADER_STACK_BYTES ((uint64_t)256 << 10)

/* Code that is to become executable: all whole pages of a segment. In memory that nobody inside can write. */
struct loader_code {
	uint64_t at;
	const uint8_t *bytes; /* what the pages are to hold */
	uint64_t len;         /* whole pages */
	const char *path;     /* of the file, for reports */
	const uint8_t *file;  /* all of it */
	uint64_t file_bytes;
	uint64_t off; /* of bytes in the file, a whole page; what of the last or first page is not the segment's is zero */
};

/*
 * What is done to the arena. Addresses and sizes are whole pages but for write. Each gives 0 or a negative errno,
 * which loader_begin gives back; whoever gives it says why (why_set), but for -ENOMEM. ctx is handed on. What of it
 * is done when loader_begin fails is for the caller to undo: the arena is given up.
 */
struct loader_ops {
	void *ctx;
	/* Address space of the arena for good, at a place that nobody can guess, nothing mapped. align: a power of two. */
	int (*place)(void *ctx, uint64_t *at, uint64_t bytes, uint64_t align);
	/* Private pages of zeros; prot: PROT_READ, PROT_WRITE. */
	int (*map)(void *ctx, uint64_t at, uint64_t bytes, int prot);
	/* Private pages that hold these bytes. */
	int (*copy)(void *ctx, uint64_t at, const void *from, uint64_t bytes, int prot);
	/* Pages that hold these bytes, were scanned, may have been repaired, can be executed and read and never written. */
	int (*code)(void *ctx, const struct loader_code *code);
	/* Into pages of map. */
	int (*write)(void *ctx, uint64_t at, const void *from, uint64_t bytes);
	/* Memory that no domain can write, zeroed, at least 16-byte aligned; NULL: none. */
	void *(*scratch)(void *ctx, uint64_t bytes);
	void (*release)(void *ctx, void *memory, uint64_t bytes);
};

/* Where everything is. Calling enter inside, with any fs base, and answering INSIDE_BEGIN with what is at start,
 * begins the loader; the call ends with INSIDE_READY. */
struct loader_start {
	uint64_t enter; /* stub_enter: for threads that are begun later, too */
	uint64_t start; /* struct inside_start, on the stack: as it was written, until something has run inside */
	uint64_t loader, loader_end;
	uint64_t stub, stub_end;
	uint64_t stack, stack_end; /* the page below it is not mapped */
};

/*
 * loader_begin prepares a domain's start in memory that ops works on. Of opts, which may be NULL, it takes loader and
 * search; name becomes argv[0]. The file of the loader is read once, into memory of its own.
 *
 * Returns 0, or, with a reason for lych_why,
 *	-ENOENT -EACCES  the loader cannot be opened
 *	-EISDIR -ENOTSUP -EFBIG  it is no regular file, or too large
 *	-ENOEXEC     it is no loader
 *	-ESTALE -EIO it changes, or cannot be read
 *	-EINVAL -E2BIG  search has an empty name or one that the loader would expand, or is too long
 *	-ENOMEM
 *	what ops gives
 * Thread-safe. Not async-signal-safe.
 */
LYCH_HIDDEN int loader_begin(struct loader_start *out, const struct loader_ops *ops,
			     const struct lych_library_opts *opts, const char *name);

/* The stub's file (inside/image.S). */
LYCH_HIDDEN extern const uint8_t lych_stub[], lych_stub_end[];

#endif /* LYCH_LOADER_H */
