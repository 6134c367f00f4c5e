/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime: starting it, domains, their memory.
 *
 * An in-image domain whose key 0 is writable (LYCH_KIND_CONTAIN) contains the memory bugs of code that
 * cooperates; it is NOT for hostile code: such a domain can write the host's ordinary memory. What each kind
 * protects from what, on which kernel, is the first table of README.md.
 */
#ifndef LYCHGATE_DOMAIN_H
#define LYCHGATE_DOMAIN_H

#include <lychgate/base.h>
#include <lychgate/error.h>

LYCH_BEGIN_DECLS

struct lych_domain;

enum lych_backend {
	LYCH_BACKEND_AUTO = 0, /* pku where it works, else lych_init fails: never something weaker unasked */
	LYCH_PKU,              /* protection keys */
	/* mprotect: process-wide and slow. Other threads see what one has opened; while any is in a domain, regions and
	 * the heaps of other domains are closed for all, and whoever touches them waits (a system call gives EFAULT).
	 * Only LYCH_KIND_CONTAIN. */
	LYCH_MPROTECT,
	LYCH_NONE, /* no isolation at all, on any machine: see below */
};

/*
 * LYCH_NONE: the same program without any isolation, for machines without keys, sanitizers, valgrind and debuggers. It
 * is asked for in code only, and LYCH_REQUIRE_PKU refuses it. Nothing of the process is changed: no signal, no mapping
 * of code, no filter of system calls, no gs base; a call is a call, a library is one of dlopen(3). A fault or an
 * endless loop inside is one of the process. What is different, function by function:
 *	lych_init                code, on_code, on_fault, max_keys and report_host_faults mean nothing
 *	lych_domain_new          all kinds; vaults can be read, though lych_copy_out & co. refuse. 64 domains
 *	LYCH_CALL & co.          run on the caller's stack. The status is 0, -EINVAL (domain is NULL), -EXFULL, or -ENOMEM;
 *	                         deadlines do not end a call. domain is not looked at otherwise, nor is what lych_vault_allow
 *	                         said. Exceptions that would cross a gate end the process (std::terminate), as elsewhere
 *	lych_callback            1024 in the process; a call of one that was freed traps. The host may call one, too
 *	lych_alloc & co.         blocks of malloc, limited by heap_bytes in sum; lych_realloc always moves
 *	lych_verify_range        0 but for NULL and what wraps: nobody knows what belongs to a library. So lych_copy_out,
 *	                         _copy_to and _strndup_out, where a bad pointer is a fault of the host
 *	lych_domain_free         does not end, nor wait for, calls of other threads: there must be none
 *	lych_domain_reset        frees all blocks; of a library domain -EOPNOTSUPP, and nothing is changed
 *	lych_domain_cancel       -EOPNOTSUPP
 *	lych_domain_allow        has no effect; lych_refused, lych_verify: 0; lych_fault: LYCH_FAULT_NONE; keys: -1
 *	lych_open, lych_load     dlopen with RTLD_NOW | RTLD_GLOBAL: constructors run here. policy, loader, threads, fds,
 *	                         stack_bytes and open_timeout_ms mean nothing. A library that two domains open is there once
 *	regions, lych_share      always open; lych_region_grant and lych_share look at their arguments
 */

enum lych_kind {
	LYCH_KIND_CONTAIN = 0, /* in-image, key 0 writable: memory bugs of cooperating code */
	LYCH_KIND_PURE,        /* in-image, key 0 read-only: the host's integrity, not its secrecy. Linux 6.12 */
	LYCH_KIND_VAULT,       /* the inverse: the host may call it at registered functions, not read it. Linux 6.12 */
	LYCH_KIND_LIBRARY,     /* a process inside the process: only by lych_open (<lychgate/library.h>). Linux 6.12 */
};

struct lych_fault;

/*
 * What lych_init does about code that is there already. It looks at every byte that can be executed: the program, its
 * libraries, the vDSO, what a compiler made at run time; at any alignment, across borders. Sequences that would write
 * PKRU or the gs base become others that do what the program meant (LYCH_CODE_REPAIR: how, and for which, `lychgate
 * repair --plan --policy host FILE` shows); glibc's own do, too: its lazy binding checks what it restores, its pkey_set
 * is ours. Code is checked once, when the runtime starts: what is loaded later is not looked at.
 */
enum lych_code {
	LYCH_CODE_AUTO = 0, /* LYCH_CODE_REPAIR with protection keys; nothing without them, where such code does nothing */
	LYCH_CODE_REPAIR,   /* repair, and refuse to start when something is left */
	LYCH_CODE_REFUSE,   /* repair glibc's own only, and refuse to start when there is anything else */
	LYCH_CODE_REPORT,   /* repair, tell what is left, and start. What is left can undo every protection */
};

/* One sequence, or one mapping that cannot be looked at. Everything is valid during the callback only. */
struct lych_code_item {
	const char *path;   /* as in /proc/self/maps; "[anonymous]" */
	uint64_t address;   /* of its first byte, as it was found */
	uint64_t offset;    /* the same in the file; without a file the address */
	const char *symbol; /* the nearest one below, and how far; "": none known. From the file: may be anything printable */
	uint64_t into;
	/* class of the sequence, as lych_class_name; "writable", "unreadable", "enclave": the mapping is */
	const char *what;
	const char *done;   /* "left", or what became of it, as `lychgate repair --plan` calls it */
	const char *why;    /* it was left; "" otherwise */
};

struct lych_init_opts {
	size_t size; /* sizeof(struct lych_init_opts); LYCH_OPTS fills it */
	enum lych_backend backend;
	unsigned int max_keys;  /* never hold more protection keys than this; 0: all there are. At least 3 */
	/* Called after each fault of a domain, on the thread that made the call, after the call has ended and
	 * before the caller gets its status. Must return, and not throw. May be NULL. */
	void (*on_fault)(const struct lych_fault *fault, void *ctx);
	void *on_fault_ctx;
	bool report_host_faults; /* a line to stderr about a fault of the host's own before it takes its course */
	enum lych_code code;
	/* Called by lych_init for each of these, before anything is changed. Must return, and neither load nor unload
	 * libraries; may be called again for the same ones when other threads load some meanwhile. May be NULL. */
	void (*on_code)(const struct lych_code_item *item, void *ctx);
	void *on_code_ctx;
};

/*
 * lych_init starts the runtime: takes two protection keys, the signals, and attaches the calling thread. Once
 * per process; a second call gives -EALREADY. opts may be NULL. On failure nothing is left changed but code that was
 * repaired, which does what it did.
 *
 * Returns 0, or
 *	-EOPNOTSUPP  the machine cannot do it; lych_why() names the layer (CPU, kernel, sandbox, a conflict)
 *	-ENOEXEC     code of the process could undo the protection, and opts->code does not allow that; lych_why() names the
 *	             first of it: file, offset, function, and the command that says more
 *	-EAGAIN      other threads load and unload code all the time
 *	-ENOSPC      fewer than three protection keys are free (or max_keys allows fewer)
 *	-ENOMEM
 *	-EINVAL      an option is out of range
 *	-EALREADY    it has been started
 *
 * The environment can only demand more: LYCH_REQUIRE_PKU=1 refuses every backend but pku. Finding out what the
 * machine can do starts a few short-lived children, of which the program hears nothing.
 * Not thread-safe: call it before others use the library. Other threads may run, load and unload libraries meanwhile;
 * executable memory that no library has they must not unmap. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_init(const struct lych_init_opts *opts);

/*
 * lych_why says in one sentence why the last function failed that the calling thread called and that has a reason to
 * give: lych_init, or one whose errors say so. "" when none did. Valid until the thread's next call of such a function.
 */
LYCH_API const char *lych_why(void);

/*
 * The library also has pkey_set, pkey_alloc and pkey_free of <sys/mman.h>, for keys of the program's own; glibc's
 * pkey_set leads to them. What they add: EINVAL for a key of the runtime's, and for key 0 unless it stays open. What a
 * thread chooses holds in its callbacks and handlers, and after calls; what a handler chooses ends with it.
 * Thread-safe, async-signal-safe.
 */

/* lych_backend_name: "pku", "mprotect", "none" (LYCH_NONE: no isolation), or "" before lych_init. Static. */
LYCH_API const char *lych_backend_name(void);

/*
 * A thread attaches when it first uses a gate, a region or a domain, or touches memory of a domain that is younger than
 * it is, and detaches when it ends. (The last not where it has an alternate signal stack that it set before lych_init:
 * it must call lych_attach itself, else it ends by SIGSEGV.) lych_attach does it now, so that the first call costs no
 * more than the others. Returns 0, or what every function that attaches may return ("as lych_attach"):
 *	-ENOSYS      lych_init has not succeeded
 *	-EPERM       this task shares its thread area with another (vfork, clone with CLONE_VM and without
 *	             CLONE_SETTLS), or is a child that no fork handler has seen (_Fork, a bare system call)
 *	-ENOMEM      no area, timer or table can be had: 4096 threads are attached, or memory is short
 *	-EOPNOTSUPP  the kernel refuses this thread what signals and system calls of domains need
 * Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_attach(void);

struct lych_domain_opts {
	size_t size;
	const char *name;    /* for reports; copied, at most 31 bytes. NULL: "domain-N" */
	enum lych_kind kind;
	size_t heap_bytes;   /* 0: 1 MiB */
	size_t stack_bytes;  /* for each thread that enters; 0: 256 KiB */
	unsigned int callbacks; /* how many lych_callback there may be, at most 256; 0: 64 */
	bool lock_memory;    /* mlock */
	bool zero_on_free;   /* blocks of the heap are wiped when freed */
};

/*
 * lych_domain_new takes one protection key and stores a new domain in *out, which the caller owns and gives
 * back with lych_domain_free. opts may be NULL. On failure *out is NULL and no key is held. What is in its heap and
 * stacks stays out of core files.
 *
 * Returns 0, or
 *	-ENOSPC      no key is left, or there are 64 domains
 *	-EBUSY       a thread has not answered for some seconds: it blocks every signal by a bare system call, or is stopped.
 *	             It could have kept a right to the key; lych_why() says so
 *	-ENOMEM      heap or tables could not be mapped
 *	-EINVAL      opts->size is zero, or an option is out of range
 *	-EOPNOTSUPP  this kind cannot be had on this kernel or backend; lych_why() says why
 *	others       as lych_attach
 *
 * The first domain brings a seccomp filter for the whole process, which cannot be taken off: system calls of other
 * architectures kill it, and programs it executes gain no privileges from set-user-ID bits (no_new_privs).
 *
 * Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_domain_new(struct lych_domain **out, const struct lych_domain_opts *opts);

/*
 * lych_domain_free ends the domain: its memory is unmapped, its key retagged, taken from every thread, and
 * freed. Calls inside it are ended with -ECANCELED and waited for.
 *
 * Returns 0, or
 *	-EBUSY   the calling thread itself is inside the domain (in a callback), or another thread is about to free or
 *	         reset it: nothing is changed. Or a call inside does not end, and the calling thread is inside a call
 *	         that somebody else wants to end, so that each might wait for the other: the domain is poisoned then
 *	-EINVAL  not a domain that lives
 *	others           as lych_attach
 *
 * A call whose callback is in host code ends when that returns. domain may be NULL. Afterwards the pointer is invalid.
 * Only calls are waited for: that no other thread is in another function about this domain (lych_alloc & co., lych_load,
 * lych_symbol, the first call of a LYCH_SYM, lych_library_usage) is for the program to see to, as it is with free(3).
 * Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_domain_free(struct lych_domain *domain);

/*
 * lych_domain_reset makes a domain as it was after lych_domain_new: heap empty and zero, stacks gone, callbacks kept,
 * no longer poisoned; lych_fault still tells what happened before. Pointers into it are invalid. Calls inside are ended
 * with -ECANCELED and waited for. Errors as lych_domain_free; and -ENOMEM: it is poisoned (also: a thread cannot be
 * made). A library domain is as it was after lych_open or the last lych_load, its own threads of then included: what
 * they waited for they wait for again, with a time that begins anew. -EOPNOTSUPP, and nothing is changed: one of these
 * did not stop when their state was to be kept, or uses tiles (AMX). Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_domain_reset(struct lych_domain *domain);

/*
 * lych_domain_cancel ends every call inside the domain with -ECANCELED, without poisoning it, and waits for those of
 * other threads; one the calling thread itself is inside ends when its callback returns. Calls that begin later are not
 * meant. A library domain is poisoned when a call was cut in the middle, as its own C library may hold locks then that
 * nobody would give back: reset it. Threads of its own are not calls, and go on until then. 0, -EINVAL, or -EBUSY: all
 * are told to end, but one does not, and the calling thread is inside a call that is to end, too, so that each might
 * wait for the other. -EPERM, -ENOMEM as lych_attach. Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_domain_cancel(struct lych_domain *domain);

/*
 * lych_vault_allow registers a function the vault may be entered at; a call of any other gives -EACCES, and so does
 * every call before the first. The table is the runtime's. Calls into vaults look it up, so they cost more than
 * others. 0, -EINVAL (not a vault), -ENOMEM (511 are registered), others as lych_attach. Twice is once. Thread-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_vault_allow(struct lych_domain *vault, void (*fn)(void));

/* The domain's protection key (pku) or -1. For tests and reports. */
LYCH_API int lych_domain_key(const struct lych_domain *domain);
LYCH_API const char *lych_domain_name(const struct lych_domain *domain);

/*
 * The heap of a domain. Blocks are 16-byte aligned and zeroed; of 0 bytes, too, a block is made. What the host relies
 * on, sizes and free lists, is not in the domain's memory: nothing a domain writes there can mislead these functions.
 * NULL with errno ENOMEM when the heap is full (or count * bytes is more than a size_t holds), EINVAL for an alignment
 * that is no power of two and for lych_realloc of what is not a live block; others as lych_attach. When
 * lych_realloc fails the block is as it was; with block NULL it is lych_alloc; what it adds is zeroed when it moves
 * the block. lych_free of NULL does nothing; of a pointer that is not a live block of this domain: -EINVAL, nothing
 * is changed. Thread-safe. Not async-signal-safe.
 */
LYCH_API void *lych_alloc(struct lych_domain *domain, size_t bytes);
LYCH_API void *lych_alloc_aligned(struct lych_domain *domain, size_t align, size_t bytes);
LYCH_API void *lych_calloc(struct lych_domain *domain, size_t count, size_t bytes);
LYCH_API void *lych_realloc(struct lych_domain *domain, void *block, size_t bytes);
LYCH_API char *lych_strdup(struct lych_domain *domain, const char *text);
LYCH_API int lych_free(struct lych_domain *domain, void *block);

/*
 * The same for code that runs inside a domain: its own heap, reached by a system call that the mediator answers.
 * NULL when the heap is full (errno is left alone, as a pure domain cannot write it). Outside of a domain: NULL with
 * errno EPERM, and lych_inside_free does nothing.
 */
LYCH_API void *lych_inside_alloc(size_t bytes);
LYCH_API void lych_inside_free(void *block);

/*
 * Everything that comes back from a domain is hostile: a pointer may point anywhere, and what it points to may
 * change while it is read.
 *
 * lych_verify_range: 0 when [at, at + bytes) lies wholly in the domain's heap or in the calling thread's stack of it,
 * else -EFAULT. bytes 0 is checked like 1. Of a domain of lych_open all of its memory counts; but code inside may unmap
 * at any moment what is neither heap nor that stack, so do not read or write it there: copy it out, or to it.
 * lych_copy_in: allocates in the domain and copies to it. NULL as lych_alloc.
 * lych_copy_out: copies from the domain after that check; -EFAULT without touching dst, unless a hole in the memory of
 * a domain of lych_open is met on the way: what lay before it may be there. Each byte is read once.
 * lych_copy_to: copies to memory of the domain that is there, such as a buffer that it hands to a callback, after the
 * same check, and as far as it may be written there; -EFAULT as lych_copy_out. Memory that is neither heap nor the
 * calling thread's stack may be gone while the host writes it itself.
 * lych_strndup_out: copies a string, of at most max bytes with its NUL, to a malloc'ed one in *out, which the caller
 * frees. -EFAULT (not in the domain, or it runs out of it), -E2BIG (no NUL within max bytes), -ENOMEM; then *out is
 * NULL. Each byte is read once, and where the string ends is decided by the copy.
 * From a vault nothing is copied out: -EACCES; into one it may be. All of them: -EINVAL (domain is NULL), others as
 * lych_attach. Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_verify_range(struct lych_domain *domain, const void *at, size_t bytes);
LYCH_API void *lych_copy_in(struct lych_domain *domain, const void *src, size_t bytes);
LYCH_API LYCH_MUST_CHECK int lych_copy_out(struct lych_domain *domain, void *dst, const void *src, size_t bytes);
LYCH_API LYCH_MUST_CHECK int lych_copy_to(struct lych_domain *domain, void *dst, const void *src, size_t bytes);
LYCH_API LYCH_MUST_CHECK int lych_strndup_out(struct lych_domain *domain, char **out, const char *src, size_t max);

/*
 * lych_verify compares every range of memory the runtime has tagged with what the kernel says
 * (/proc/self/smaps). For each difference fn is called with one line of text; fn may be NULL. Returns the number
 * of differences, or -ENOENT (no /proc), -ENOMEM. Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_verify(void (*fn)(const char *line, void *ctx), void *ctx);

/* LYCH_OPTS(struct lych_domain_opts, .kind = LYCH_KIND_PURE): a pointer to options with size filled in. */
#ifndef __cplusplus
#define LYCH_OPTS(type, ...) (&(type){.size = sizeof(type), __VA_ARGS__})
#endif

LYCH_END_DECLS

#endif /* LYCHGATE_DOMAIN_H */
