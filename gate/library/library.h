/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Library domains: a process inside the process. What the parts promise each other.
 *
 *	open.c      lych_open, lych_load, lych_symbol: the order of it
 *	loader.c    maps the dynamic loader and the stub, builds the first stack; loader_arena.c: into an arena
 *	inside/     the stub: the program that the loader starts; it runs in the domain and is not trusted
 *	space.c     which parts of the arena are what: pure
 *	arena.c     mmap and its kin of code inside, carried out
 *	snapshot.c  the state that a reset goes back to
 *	context.c   thread-local storage for threads of the host
 *	own_threads.c threads of the domain's own; rest.c: those that a reset brings back
 *	answer.c    system calls: which of them end a call, begin a thread, or are somebody else's
 *	calls.c     what answers the others
 *	code.c      what is to be executable
 *	files.c     paths, descriptors
 *	rules.c     policies: text in, decisions out; pure
 *	usage.c     what is used, for who asks
 *	report.c    the way to a fault, and names for it; by frames.c and object.c, which are pure
 *	share.c     pages of the host that it may use
 *	symbols.c   what LYCH_SYM has found, by domain
 *	none*.c     LYCH_NONE: the same by dlopen, and all the rest of the runtime without isolation
 *
 * The arena is one reserved range, all of whose pages have the domain's key from before the first instruction of the domain until
 * it is freed, whatever is mapped there: so a pointer that lies wholly in the arena is the domain's own, whatever another
 * thread of the domain does meanwhile. Mapped or not, and with which protection, is the domain's own business: the runtime
 * never dereferences such a pointer, but has the kernel copy (inside_read, inside_write), which gives -EFAULT. The heap of
 * lych_alloc and the stacks of threads of the host lie in the arena, too, in places that the domain cannot change. And where the kernel
 * itself reads or writes what the domain points at, it does so under the domain's PKRU (view_call), but for vectors and messages,
 * which have to be copies (arena_call).
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

#include <lychgate/library.h>

#include "../core/runtime.h"
#include "inside/stub.h"
#include "mediator.h"
#include "policy.h"

struct arena;    /* arena.c */
struct files;    /* files.c */
struct rules;    /* rules.c */
struct contexts; /* context.c */

/* In monitor memory; lych_domain.library. */
struct library {
	struct lych_domain *domain;
	uint64_t start, end; /* of the arena; never change */
	struct arena *arena;
	struct files *files;
	struct rules *rules;
	struct contexts *contexts;
	uint64_t begin;          /* address of stub_begin, which may be entered before the loader has run */
	struct stub_table table; /* copied once, each address checked to be in the arena */
	uint64_t limit_bytes;    /* options of lych_open, with defaults */
	uint32_t threads, fds;
	uint32_t open_ms; /* open_timeout_ms; UINT_MAX: none */
	bool ready;   /* the loader is done */
	bool opened;  /* lych_open is: from here on the host's data may be inside */
	struct record *_Atomic leaving; /* the call whose exit is what is asked for; NULL: none */
	bool refused_code; /* lych_why says which */
	bool restless; /* threads of its own did not stop: there is no state that a reset could go back to */
	/* Options of lych_open: who is told of code. */
	void (*on_file)(const char *path, uint64_t bytes, void *ctx);
	void (*on_code)(const struct lych_code_item *item, void *ctx);
	void *tell_ctx;
	uint32_t held; /* with monitor->lock: by whom it does not go */
	_Atomic uint32_t threads_made;
	_Atomic uint32_t calls[LYCH_USAGE_CALLS]; /* made, by number */
	struct shares *shares; /* share.c: pages of the host; NULL: there never were any */
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

/* ---- for core/ -------------------------------------------------------------------------------------------------- */

struct kernel_sigcontext;

/* domain.c: as lych_domain_new, with checked options; library is that of a LYCH_KIND_LIBRARY, or of a LYCH_KIND_VAULT that is one,
 * too; else NULL. */
LYCH_HIDDEN int domain_new(struct lych_domain **out, const struct lych_domain_opts *o, struct library *library);

/*
 * With monitor->lock, which is kept: no call gets in until domain_open_again; those that begin meanwhile wait for the lock. Threads of
 * the domain's own rest (contexts_rest). 0, or -EBUSY (one is inside, or somebody resets or frees it), -EOWNERDEAD: nothing is changed.
 */
LYCH_HIDDEN LYCH_MUST_CHECK int domain_pause(struct lych_domain *d);

/* With monitor->lock, when the domain has its key: arena and tables. On failure, and by library_drop, nothing of it is left; with
 * NULL library library_drop does nothing. */
LYCH_HIDDEN int library_take(struct library *l, struct lych_domain *d);
LYCH_HIDDEN void library_drop(struct lych_domain *d);
/* Without the lock: destructors run inside, for a second at most. */
LYCH_HIDDEN void library_leave(struct lych_domain *d);
/* With monitor->lock, which it gives up meanwhile: nobody is inside, and threads that were are waited for. */
LYCH_HIDDEN void library_settle(struct lych_domain *d);
/* With monitor->lock, nobody is inside: the state of the last snapshot. 0 or -ENOMEM. */
LYCH_HIDDEN int library_reset(struct lych_domain *d);
/* Then, without the lock, when calls get in: its own threads. 0; else the domain is to be poisoned: as contexts_again. */
LYCH_HIDDEN int library_again(struct lych_domain *d);
/* The gate's slow way: self has a stack and thread-local storage in d. As lych_gate_slow. */
LYCH_HIDDEN int library_enter(struct lych_domain *d, struct thread *self, struct record *record);
/* Is fn what the runtime itself calls there? A vault may be entered at these, too. */
LYCH_HIDDEN bool library_own_call(const struct library *l, void (*fn)(void));
/* The calling thread ends, and is attached still: so do the threads inside that were made for it. */
LYCH_HIDDEN void library_thread_ends(struct thread *self);

/*
 * A system call of code in l's domain. quick, in lych_signal: true when it is answered: *end and *result, or registers were
 * changed. answer: as the host.
 */
LYCH_HIDDEN bool library_quick(struct library *l, struct thread *t, const struct mediated *call, struct kernel_sigcontext *mc,
			       enum mediated_end *end, long *result);
LYCH_HIDDEN enum mediated_end library_answer(struct library *l, struct thread *t, const struct mediated *call,
					     struct kernel_sigcontext *mc, long *result);
/* Is the call that t answers a system call for to end? Then give up with -EINTR. */
LYCH_HIDDEN bool answer_interrupted(struct library *l, struct thread *t);

/* Of a library that library_drop has been called for. NULL: nothing. */
LYCH_HIDDEN void library_gone(struct library *l);

/* ---- report.c ---------------------------------------------------------------------------------------------------- */

/*
 * Fills frames and nframes from the registers in fault. While the domain is there; on the host's stack, of which it takes
 * some 40 KiB.
 */
LYCH_HIDDEN void library_backtrace(struct library *l, struct lych_fault *fault);
/* Is it the guard of a stack of the domain's own, and sp near it? Async-signal-safe. */
LYCH_HIDDEN bool library_is_stack_guard(struct library *l, uint64_t at, uint64_t sp);
/*
 * Says what is at an address of code in the arena of a domain of this name, printable: "f+0x12 in libf.so (0x1012)" or
 * "libf.so+0x1012". Not exact: it is what follows a call. 0, or -ENOENT: no file's, or no such domain. Takes monitor->lock.
 */
LYCH_HIDDEN int library_where(const char *domain, uint64_t address, bool exact, char *out, size_t bytes);

/* ---- share.c ----------------------------------------------------------------------------------------------------- */

/* With monitor->lock, nobody is inside: no page of the host has the domain's key any more. */
LYCH_HIDDEN void shares_free(struct library *l);

/* ---- code.c ------------------------------------------------------------------------------------------------------ */

/*
 * As the host: [at, at + bytes), mapped whole pages, become code: 0, as lych_code_admit, or what arena_code gives; after a
 * failure nothing is mapped there. library_code, for code inside, is in calls.h.
 */
LYCH_HIDDEN int library_code_of(struct library *l, uint64_t at, const void *content, uint64_t bytes, const char *path,
				const void *file, uint64_t file_bytes, uint64_t off);

/* ---- loader_arena.c ---------------------------------------------------------------------------------------------- */

/* Everything that the first thread begins with: its registers in *first, and l->begin. As loader_begin. Nothing inside has run. */
LYCH_HIDDEN int loader_into(struct library *l, const struct lych_library_opts *opts, struct inside_start *first);

/* ---- context.c, own_threads.c, rest.c ---------------------------------------------------------------------------- */

/* The arena is there, nothing inside it has run. -ENOMEM. */
LYCH_HIDDEN int contexts_new(struct library *l);
LYCH_HIDDEN void contexts_free(struct library *l);
/* start is begun on the calling thread, whose first context it is, until INSIDE_READY. A status of LYCH_CALL. */
LYCH_HIDDEN int context_main(struct library *l, const struct inside_start *start, uint64_t deadline_ns);
/* Then: the context by which others are made. */
LYCH_HIDDEN int context_spawner(struct library *l, uint64_t deadline_ns);
/*
 * Stops the threads of the domain's own, until contexts_go_on: they are outside, their registers are kept. Others may go in, and
 * make some; those stop, too. Without the lock; the caller is not inside. One at a time: others wait. 0; or, and they go on,
 * -ETIMEDOUT (some have not stopped until end_ns, or others are there so long), -ENOTSUP (one cannot be kept), -ENOMEM, -EBUSY
 * (somebody resets or frees the domain).
 */
LYCH_HIDDEN int contexts_rest(struct library *l, uint64_t end_ns);
LYCH_HIDDEN void contexts_go_on(struct library *l);
/* With monitor->lock, after contexts_rest, when no call gets in: are there no others by now, which a call has begun? */
LYCH_HIDDEN bool contexts_resting(const struct library *l);
/*
 * With the state of now a reset is done: a snapshot is taken, with the threads of the domain's own as they are then. Without the
 * lock. first: nobody but them can be inside; those that do not stop make it restless. 0; -EBUSY: as domain_pause, or they do not
 * stop; -EOWNERDEAD: it is poisoned; -ENOMEM and others as snapshot_take. Then there is the snapshot that there was.
 */
LYCH_HIDDEN int library_keep(struct lych_domain *d, bool first);
/*
 * With monitor->lock, nobody is inside, and contexts_wait was called: those made since the snapshot are gone, and places taken for
 * those that were there. They begin by contexts_again, which is called next, without the lock, when calls may get in. 0; or,
 * and then some of them do not, -EAGAIN, -ENOMEM.
 */
LYCH_HIDDEN void contexts_reset(struct library *l);
LYCH_HIDDEN int contexts_again(struct library *l);
/* In lych_signal, or in an answer: is t one that is to stop, where it is now? */
LYCH_HIDDEN bool context_rests(const struct library *l, const struct thread *t);
/* In lych_signal, with a copy of a frame of t's call in l: true when it was kept. Then the call is to end. */
struct sigframe;
LYCH_HIDDEN bool context_keep(struct library *l, struct thread *t, const struct sigframe *frame);
/*
 * What is waited for without the lock must not go meanwhile: nobody frees or resets d until library_let_go. With the lock; NULL: d is
 * not a library domain. Short: until what has begun before has seen that somebody wants to.
 */
LYCH_HIDDEN struct library *library_hold(struct lych_domain *d);
LYCH_HIDDEN void library_let_go(struct library *l);
/* Waits for the domain's own threads to be gone, which are told to, and for who holds it. With monitor->lock; gives it up meanwhile. */
LYCH_HIDDEN void contexts_wait(struct library *l);
/* Threads of its own that run inside. */
LYCH_HIDDEN uint32_t contexts_own(const struct library *l);
/* Is t one of them? Async-signal-safe. */
LYCH_HIDDEN bool context_is_own(const struct library *l, const struct thread *t);
/* tid of t as the domain sees it. */
LYCH_HIDDEN int context_tid(struct library *l, const struct thread *t);
/* set_tid_address: the word that is cleared when the thread ends. */
LYCH_HIDDEN void context_clear_tid(struct library *l, struct thread *t, uint64_t at);
/* clone of a thread; mc: the registers. As the host. The tid, or -EAGAIN (the limit), -EINVAL (no thread), -ENOMEM. */
LYCH_HIDDEN long context_clone(struct library *l, struct thread *t, const struct mediated *call,
			       const struct kernel_sigcontext *mc);
/* exit of a thread: how its call ends. */
LYCH_HIDDEN enum mediated_end context_exit(struct library *l, struct thread *t);
/* In a child of fork, where self is the only thread. */
LYCH_HIDDEN void contexts_fork_child(struct library *l, const struct thread *self);
/* Is t beginning a context that waits for INSIDE_PARK? */
LYCH_HIDDEN bool context_parks(struct library *l, struct thread *t);
/* With monitor->lock: t ends, and has no context any more. */
LYCH_HIDDEN void contexts_forget(struct library *l, const struct thread *t);
/* The registers of what is being begun by t, at INSIDE_BEGIN. false: nothing is. */
LYCH_HIDDEN bool context_begin(struct library *l, struct thread *t, struct kernel_sigcontext *mc);

/* Calls a function inside, of three integer arguments at most, until deadline_ns (0: none): its result in *result. */
LYCH_HIDDEN int inside_call(struct library *l, const char *name, uint64_t fn, const uint64_t arg[3], uint64_t deadline_ns,
			    long *result);

#endif /* LYCH_LIBRARY_H */
