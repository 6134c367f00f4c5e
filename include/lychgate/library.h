/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Library domains: dlopen, but isolated.
 *
 * A library domain is a process inside the process: an unmodified shared library from the system, with a dynamic
 * loader, C library, heap, thread-local storage and threads of its own, in memory with a key of its own. Nothing else
 * of the process can be read or written from there (key 0 is denied), each system call is answered by the runtime as a
 * policy says, and a crash ends the call that made it. Linux 6.12 and the pku backend; LYCH_NONE runs the same program
 * without any isolation.
 *
 *	struct lych_domain *z;
 *	LYCH_SYM(z, compress, int, (Bytef *, uLongf *, const Bytef *, uLong));
 *
 *	rc = lych_open(&z, "libz.so.1", NULL);
 *	rc = LYCH_CALL(z, &result, compress, dst, dst_len, src, src_len);
 *
 * Everything of <lychgate/domain.h> and <lychgate/gate.h> works on it: lych_alloc, lych_copy_out, lych_callback,
 * lych_fault, lych_domain_reset, lych_domain_free (which closes it). Pointers need no translation.
 */
#ifndef LYCHGATE_LIBRARY_H
#define LYCHGATE_LIBRARY_H

#include <lychgate/bind_symbol.h>
#include <lychgate/domain.h>
#include <lychgate/gate.h>

LYCH_BEGIN_DECLS

struct lych_library_opts {
	size_t size;
	const char *name;       /* for reports; copied, at most 31 bytes. NULL: the library's */
	/* Most memory that code inside may have beside what its files take: mappings, heap, stacks of its threads. As much
	 * again is what lych_alloc gives out. 0: 64 MiB; at most 16 GiB. */
	size_t heap_bytes;
	size_t stack_bytes;     /* for each thread of the host that enters; 0: 1 MiB */
	unsigned int callbacks; /* how many lych_callback there may be, at most 256; 0: 64 */
	unsigned int threads;   /* that code inside may have running at once; 0: 16. UINT_MAX: none */
	unsigned int fds;       /* files that code inside may have open; 0: 64. At most 1024 */
	bool vault;             /* the host may not read it either: see below */
	bool lock_memory;
	bool zero_on_free;
	/* What its system calls may do: a preset, or the text of lychgate-policy(5). NULL: "pure". */
	const char *policy;
	/* Directories, separated by colons, in which libraries are looked for before the system's. NULL: none. Not by
	 * code inside: by its loader, on behalf of lych_open and lych_load. */
	const char *search;
	/* The dynamic loader. NULL: the one of this system, /lib64/ld-linux-x86-64.so.2. */
	const char *loader;
	/*
	 * What opening it needs, for who wants to know. Each gets tell_ctx, and must return; with LYCH_NONE none is called.
	 * on_file: code of this file is mapped, so many bytes; on_code: of that, each sequence that could undo the
	 * protection, and what was done (as lych_init_opts.on_code; path and offset are the file's). Both on the thread
	 * that maps it, also after lych_open. on_opened: lych_open is about to return status, and did begin; if that is
	 * a failure, the domain is there until this returns, to ask lych_fault, lych_fault_print, lych_refused and
	 * lych_library_usage about it.
	 */
	void (*on_file)(const char *path, uint64_t bytes, void *tell_ctx);
	void (*on_code)(const struct lych_code_item *item, void *tell_ctx);
	void (*on_opened)(struct lych_domain *domain, int status, void *tell_ctx);
	void *tell_ctx;
	/* How long what runs inside for lych_open may take: its loader, constructors; and for each lych_load and
	 * lych_symbol. 0: a minute. UINT_MAX: as long as it likes. */
	unsigned int open_timeout_ms;
};

/*
 * A library that is a vault, too (opts.vault): its memory is closed for the host as well, from before its first
 * instruction on. It is for secrets that only the library is to work with: keys, in a library of cryptography. What
 * goes in goes by lych_copy_in, lych_alloc & co., as arguments, or through a region; what comes out, by the result in
 * registers, or by a region that is granted to it (lych_region_grant). As with LYCH_KIND_VAULT:
 *	lych_copy_out, lych_strndup_out, results in memory  -EACCES
 *	a call of a function                                -EACCES until lych_vault_allow, with what lych_symbol
 *	                                                    says. A reset keeps the table
 *	lych_callback                                       -EOPNOTSUPP where arguments lie on the stack
 *	lych_fault                                          kind, addresses and the way there, no registers
 *	lych_share                                          -EACCES: the host could not use what it has shared
 * Unlike such a one it has no right to the host's memory, and its arena is in no core file. The runtime reads and
 * writes it for system calls of the library, by the kernel's hand and as long as each call takes; what the policy lets
 * a library write to files or standard error is out. When lych_load fails after lych_open, lych_why does not say what
 * the library's own loader says. The state that a reset goes back to is kept in a file in memory which the host's code
 * could read by its descriptor: load everything before secrets go in, as lych_load keeps that state anew. The host is
 * trusted not to ask the kernel for it.
 */

/*
 * lych_open makes a library domain, starts its own dynamic loader and C library, and loads library into it, as
 * dlopen(3) with RTLD_NOW | RTLD_GLOBAL would: constructors run inside, with the policy in force but for reading the
 * files of libraries. The caller owns *out, and closes it with lych_domain_free: destructors run inside, for a second
 * at most. Takes one protection key. All code is scanned before it can run, and repaired where it holds sequences that
 * could write PKRU (as lych_init does), or refused. opts may be NULL. On failure *out is NULL and nothing is held.
 *
 * Returns 0, or, with a reason for lych_why,
 *	-ENOENT      the library, one it needs, or a symbol that one needs, is not there
 *	-ENOEXEC     code of it, or of what it needs, could undo the protection and cannot be repaired; or it is not a
 *	             library
 *	-EOPNOTSUPP  not on this kernel or backend
 *	-EFAULT      a constructor faulted, or a thread that it began (lych_why says how)
 *	-ETIMEDOUT   open_timeout_ms is over
 *	-EINVAL      an option is out of range, or the policy has an error (lych_why: its line)
 *	-ENOSPC -EBUSY -ENOMEM  as lych_domain_new
 *	others       as lych_attach
 * Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_open(struct lych_domain **out, const char *library,
				       const struct lych_library_opts *opts);

/*
 * A path is looked for in the directories that may be read while libraries are loaded: the system's (those that
 * ld.so.cache names included, as it was when the domain was opened), those of search, and the one of the path that
 * lych_open was called with.
 *
 * lych_load loads one more library into a domain of lych_open; loaded twice is loaded once. The state that
 * lych_domain_reset goes back to is the one after the last lych_open or lych_load. Errors as lych_open, and
 * -EOWNERDEAD: the domain has faulted before; -EBUSY: another call is inside, so that the state cannot be kept, or one
 * of its own threads is in a callback: the library is loaded, and lych_load of it may be tried again. After -EFAULT
 * and -ETIMEDOUT the domain is poisoned, and it may be after -ENOMEM. Calls that other threads begin while the state is
 * kept wait for that, and a wait of the domain's own threads begins anew. Not to be left by siglongjmp. Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_load(struct lych_domain *domain, const char *library);

/*
 * lych_symbol stores the address of a symbol, function or data, of the domain's libraries in *out; version may be NULL:
 * the default one. What an IFUNC chose is what is found. The address is what the domain says and may be anything: it is
 * in the domain's memory (else -EFAULT), no more is known. -ENOENT: there is none (*out is NULL); -EINVAL: not a domain
 * of lych_open; errors of LYCH_CALL. Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_symbol(struct lych_domain *domain, void **out, const char *name, const char *version);

/*
 * lych_share lets code in domain use whole pages of the host's, at their address, until lych_unshare(domain, pages) or
 * until the domain is freed; a reset keeps them. Each page has one protection key, and one that is shared has the
 * domain's:
 *	LYCH_SHARE_WRITE  both read and write it. What the host reads there the library may change at any moment: copy what
 *	                  is checked.
 *	LYCH_SHARE_READ   nobody writes it, THE HOST NEITHER: a key cannot tell who reads a page from who writes it, and
 *	                  so the page itself is read-only. A write of the host's faults (SIGSEGV, SEGV_ACCERR); a system
 *	                  call of the host that would write there has EFAULT.
 * Other domains have no right to it, those of LYCH_KIND_CONTAIN and LYCH_KIND_PURE neither. A thread of the host that
 * is not attached has EFAULT when it gives such memory to a system call (lych_attach). System calls of the library have
 * EFAULT for it, and change no mapping of it: it is not in its memory (it copies, or the host gives it a copy). For the
 * same reason lych_verify_range, lych_copy_out & co. say -EFAULT. After fork each process has its own.
 *
 * A file's pages that the host has not written yet change when the file does.
 *
 * The pages must be the host's own to give: whole pages from mmap, or from aligned_alloc of a multiple of pages. What
 * else lies in them, such as malloc's own data between blocks, the library can read or change. To unmap or move them
 * first end the share; otherwise the domain's key stays on what was moved until a share of the domain ends.
 *
 * Returns 0, or, with a reason for lych_why, and no page is changed,
 *	-EINVAL      not a domain of lych_open, not whole pages, or how is neither; or not private anonymous or file memory
 *	             without a key: shared mappings, code, loaded libraries, stacks and thread-local storage of threads
 *	             (of those that are attached; of others it cannot be told), the runtime's, any domain's or region's
 *	-EFAULT      not all of it is mapped with the rights that are to be given
 *	-EBUSY       some of it is shared with this domain already
 *	-EACCES      domain is a vault: what has its key the host cannot use. lych_region_grant is the way
 *	-EOPNOTSUPP  /proc/self/smaps cannot be read
 *	-ENOMEM      (some of it may be shared then, if the kernel has no memory even to undo it: lych_unshare again)
 *	others       as lych_attach
 *
 * lych_unshare ends the share that begins at pages: the pages have their rights of before and no key, unless the host
 * has unmapped them or changed their rights meanwhile; a call inside that uses them then faults. 0, -EINVAL: none of
 * this domain begins there; -EOPNOTSUPP, -ENOMEM, others as lych_attach: it goes on. With LYCH_NONE both look at their
 * arguments only. Each takes as long as reading /proc/self/smaps. Thread-safe. Not async-signal-safe.
 */
enum lych_share_how { LYCH_SHARE_READ = 1, LYCH_SHARE_WRITE = 2 };
LYCH_API LYCH_MUST_CHECK int lych_share(struct lych_domain *domain, void *pages, size_t bytes, int how);
LYCH_API LYCH_MUST_CHECK int lych_unshare(struct lych_domain *domain, void *pages);

/* What code inside a domain of lych_open has, and has done since it was made. */
#define LYCH_USAGE_CALLS 512
struct lych_usage {
	uint64_t limit_bytes, used_bytes; /* heap_bytes; what of it is used */
	uint64_t mapped_bytes;            /* everything, files and code too */
	uint64_t code_bytes;
	uint32_t threads, threads_made;   /* of its own: now; ever */
	uint32_t calls[LYCH_USAGE_CALLS]; /* system calls made, by number, those of x86-64 */
};

/*
 * lych_library_usage fills *out. 0, or -EINVAL: not a domain of lych_open, or of one with LYCH_NONE, which is not told
 * from the rest of the process; others as lych_attach. Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_library_usage(struct lych_domain *domain, struct lych_usage *out);

/*
 * What LYCH_SYM makes of a function: how it is called, and by which name it is found. Static; must live as long as the
 * domains it has been used with, so a library that has some is not unloaded before these are closed.
 */
struct lych_symbol_ref {
	struct lych_binding binding; /* fn is NULL; name is the symbol's */
	const char *version;         /* NULL: the default one */
};

/*
 * The binding of ref in domain, which calls the function that lych_symbol finds: looked up by the first call, for each
 * domain, and the same from then on, whatever is loaded or reset. It belongs to the domain, in memory that no domain
 * writes, and ends with it. NULL, with *status as lych_symbol (-ENOMEM, too), when there is none; that is not
 * remembered. Not while another thread frees the domain. Thread-safe. Not async-signal-safe.
 */
LYCH_API const struct lych_binding *lych_symbol_binding(struct lych_domain *domain, const struct lych_symbol_ref *ref,
							int *status);

/* What LYCH_SYM_FIND does. */
static inline int lych_symbol_find(struct lych_domain *domain, const struct lych_symbol_ref *ref)
{
	int status = 0;

	return lych_symbol_binding(domain, ref, &status) != NULL ? 0 : status;
}

LYCH_END_DECLS

/*
 * LYCH_SYM(domain, fn, ret, (types...)); at file scope: LYCH_BIND for a function of a library domain, which is found
 * there by its name when it is called. fn is declared, by the library's own header, and the types must be those of the
 * declaration; the program is not linked with it. LYCH_CALL and LYCH_CALL_TIMEOUT work on it as on any other, in C and
 * C++, and give also
 *	-ENOENT   the domain's libraries have no such function
 *	-EINVAL   not a domain of lych_open
 * Where fn is a macro the name is what it stands for; a name that the declaration gives by asm ("name") is not seen.
 * Looking it up is a call of its own, which the time of LYCH_CALL_TIMEOUT does not limit. LYCH_SYM_FIND(domain, fn)
 * does it beforehand, as long as nothing hostile was inside: 0, or as the call. Not for one that is NULL.
 *
 * LYCH_SYM_VERSION: the symbol of that version, "GLIBC_2.14".
 * LYCH_SYM_VARIADIC: one use of a variadic function, as LYCH_BIND_VARIADIC.
 * LYCH_SYM_POINTER: for LYCH_POINTER, as LYCH_BIND_POINTER; looked up by that.
 */
#define LYCH_SYM(domain, fn, ret, types) LYCH_I_SYM_(LYCH_I_CAT3(domain, _, fn), fn, NULL, ret, types)
#define LYCH_SYM_FIND(domain, fn) lych_symbol_find(domain, &LYCH_I_CAT(lych_ref_, LYCH_I_CAT3(domain, _, fn)))
#define LYCH_SYM_VERSION(domain, fn, version, ret, types) \
	LYCH_I_SYM_(LYCH_I_CAT3(domain, _, fn), fn, version, ret, types)
#define LYCH_I_SYM_(id, fn, version, ret, types) LYCH_I_SYM(id, fn, version, ret, types)
#define LYCH_SYM_VARIADIC(domain, name, fn, ret, fixed, use) \
	LYCH_I_SYM_VARIADIC_(LYCH_I_CAT3(domain, _, name), fn, ret, fixed, use, LYCH_I_JOIN(fixed, use))
#define LYCH_I_SYM_VARIADIC_(id, fn, ret, fixed, use, all) LYCH_I_SYM_VARIADIC(id, fn, ret, fixed, use, all)
#define LYCH_SYM_POINTER(domain, fn, ret, types, ...) \
	LYCH_I_SYM_POINTER_(LYCH_I_CAT4(domain, _, fn, _pointer), fn, ret, types, __VA_ARGS__)
#define LYCH_I_SYM_POINTER_(id, fn, ret, types, ...) LYCH_I_SYM_POINTER(id, fn, ret, types, __VA_ARGS__)

#endif /* LYCHGATE_LIBRARY_H */
