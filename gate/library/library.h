/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Library domains: a process inside the process. What the parts promise each other.
 *
 *	open.c      lych_open, lych_load, lych_symbol: the order of it
 *	loader.c    maps the dynamic loader and the stub, builds the first stack
 *	inside/     the stub: the program that the loader starts; it runs in the domain and is not trusted
 *	space.c     which parts of the arena are what: pure
 *	arena.c     mmap and its kin of code inside, carried out
 *	snapshot.c  the state that a reset goes back to
 *	context.c   thread-local storage for threads of the host; threads of the domain's own
 *	calls.c     what answers system calls
 *	files.c     paths, descriptors
 *	rules.c     policies: text in, decisions out; pure
 *	symbols.c   what LYCH_SYM has found, by domain
 *	none*.c     LYCH_NONE: the same by dlopen, and all the rest of the runtime without isolation
 *
 * The arena is one reserved range, all of whose pages have the domain's key from before the first instruction of the domain until
 * it is freed, whatever is mapped there: so a pointer that lies wholly in the arena is the domain's own, whatever another
 * thread of the domain does meanwhile. Mapped or not, and with which protection, is the domain's own business: the runtime
 * never dereferences such a pointer, but has the kernel copy (inside_read, inside_write), which gives -EFAULT.
 *
 * Calls are answered in one of two places:
 *
 *	in lych_signal   all signals blocked, on the monitor's stack: what neither waits nor takes monitor->lock
 *	as the host      like a handler of the host (signal_answer): on the stack of the host's caller, with the host's rights,
 *	                 signals unblocked as the domain has them; the kick interrupts it. It may wait; it looks at
 *	                 answer_interrupted when a system call of its own gives -EINTR, and gives up then
 */
#ifndef LYCH_LIBRARY_H
#define LYCH_LIBRARY_H

#include "../core/runtime.h"
#include "policy.h"

/* Numbers of the private calls of the stub, in arg[0] of LYCH_SYS_INSIDE. */
#define INSIDE_READY 2 /* arg[1] = struct stub_table *: the loader is done; the call that started it returns */
#define INSIDE_PARK 3  /* a thread made for a thread of the host is ready; the call that started it returns */

struct arena;    /* arena.c */
struct files;    /* files.c */
struct rules;    /* rules.c */
struct contexts; /* context.c */

/* What the stub offers (inside/stub.c), as it lies in its memory: hostile. */
struct stub_table {
	uint64_t bytes; /* of the table */
	uint64_t load;   /* int (const char *path, char *why, size_t why_bytes): 0 or errno */
	uint64_t symbol; /* void *(const char *name, const char *version or NULL) */
	uint64_t spawn;  /* int (void): pthread_create of a thread that parks; its errno */
	uint64_t finish; /* void (void): the calling thread, a parked one, ends */
	uint64_t leave;  /* void (void): exit(0) */
};

/* In monitor memory; lych_domain.library. */
struct library {
	struct lych_domain *domain;
	uint64_t start, end; /* of the arena; never change */
	struct arena *arena;
	struct files *files;
	struct rules *rules;
	struct contexts *contexts;
	struct stub_table table; /* copied once, each address checked to be in the arena */
	struct symbols *_Atomic symbols; /* symbols.c: what LYCH_SYM has found; symbols_free, when the domain is freed */
};

/* Wholly in the arena; bytes 0 as 1. Async-signal-safe. */
static inline bool library_holds(const struct library *l, uint64_t at, uint64_t bytes)
{
	bytes = bytes == 0 ? 1 : bytes;
	return at >= l->start && at < l->end && bytes <= l->end - at;
}

/*
 * Copies by the kernel, between memory of the runtime and the arena: 0, or -EFAULT (not wholly in the arena; not mapped so that
 * the domain could read, or write, it itself). What another thread of the domain writes meanwhile can be in the copy or not. Each
 * byte is read once. inside_text: a string of at most max bytes with its NUL: its length, -EFAULT, -ENAMETOOLONG. All are
 * async-signal-safe and work with all signals blocked.
 */
LYCH_HIDDEN long inside_read(const struct library *l, void *to, uint64_t at, uint64_t bytes);
LYCH_HIDDEN long inside_write(const struct library *l, uint64_t at, const void *from, uint64_t bytes);
LYCH_HIDDEN long inside_text(const struct library *l, char *to, uint64_t at, size_t max);

/* Registers with which a thread of the domain begins, in memory of the domain: what stub_enter loads. */
struct inside_start {
	uint64_t rip, rsp;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};

#endif /* LYCH_LIBRARY_H */
