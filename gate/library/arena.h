/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a library domain, and what its code does to it: mmap and its kin, carried out inside one reserved
 * range (library.h). Whatever happens there, each page has the domain's key: what is not mapped is reserved,
 * PROT_NONE with the key, and new memory has no rights until it has it. Nothing outside the range is ever changed,
 * and nothing in it dereferenced.
 *
 * Four parts, from low to high: the heap of lych_alloc and stacks of threads of the host, where code inside cannot
 * map, unmap or change anything; room for the break; anonymous memory; and, in the last GiB, what files are mapped
 * for, code and trampolines, so that each reaches each with 32 bits. A range below 2 GiB is the last two at once.
 *
 * The calls take what code inside passed in its registers, and give what the kernel would give, -errno included;
 * -EAGAIN: the lock could not be had for a second. All are async-signal-safe, block all signals while they hold the
 * lock, and may run in lych_signal. What is decided otherwise than Linux does:
 *
 *	mmap      PROT_EXEC: -EACCES; the caller maps without and goes through arena_code. MAP_SHARED: a private
 *	          mapping, for nobody is there to share anonymous memory with, and a file is not written through
 *	          memory: -EACCES for a writable one, now or by mprotect. Files are regular ones, not of hugetlbfs:
 *	          else -ENODEV. MAP_GROWSDOWN: -EINVAL. MAP_HUGETLB, MAP_32BIT: -ENOMEM. MAP_LOCKED, MAP_POPULATE,
 *	          MAP_NONBLOCK, MAP_NORESERVE, MAP_STACK and what Linux ignores is ignored. MAP_FIXED outside: -ENOMEM
 *	munmap    outside, or partly: -EINVAL. The runtime's part is outside for all of these, but counts as mapped
 *	          where that is all they ask
 *	all       what the runtime fixed, or a part of one mapping of code: -EPERM
 *	mprotect  code: -EACCES unless nothing changes; PROT_EXEC otherwise: -EACCES. A range that is not mapped in
 *	          whole: nothing is changed
 *	mremap    old_len 0 and MREMAP_DONTUNMAP: -EINVAL. Files do not grow: -ENOMEM. What was mapped before the last
 *	          snapshot may be movable in part only: -ENOMEM
 *	madvise   MADV_DONTNEED and, without a snapshot, MADV_FREE are done (on code and what is fixed: -EINVAL).
 *	          Advice that changes nothing that code inside can see is 0. Others, fork's among them: -EINVAL
 *	mlock     -EPERM, as with RLIMIT_MEMLOCK 0. msync: 0, nothing is written
 */
#ifndef LYCH_LIBRARY_ARENA_H
#define LYCH_LIBRARY_ARENA_H

#include "space.h"

#ifdef __cplusplus
extern "C" {
#endif

struct library;

#define ARENA_REACH (1ULL << 30)
#define ARENA_LEAST (16ULL << 20)
#define ARENA_MOST (1ULL << 40)
#define ARENA_GUARD (16 * SPACE_PAGE) /* at each end, and below stacks: never used */
#define ARENA_AREAS 8192              /* code inside has at most so many mappings */
#define ARENA_MAPPINGS 16384 /* and the kernel at most so many of what are those: as if the process had its most */
#define ARENA_PLACES 4200    /* and the runtime at most so many: a heap, and a stack for each thread */
#define ARENA_CODE (256ULL << 20) /* bytes of code it has mapped at most: each mapping is a copy */

/*
 * Reserves bytes (0: as much as is good for limit: 1 GiB more than four times the limit, at least just below 2 GiB)
 * at a random place above 4 GiB, with key, which is l->domain's, and enters it in the ledger. limit: of bytes that
 * count (space.h). Fills l->start, l->end and l->arena. -EINVAL: out of range; -ENOMEM, nothing is left. Not
 * async-signal-safe.
 */
LYCH_HIDDEN int arena_new(struct library *l, uint64_t bytes, uint64_t limit, int key);
/* Unmaps it, with its snapshot. l->arena may be NULL. Before the key is given back. Not async-signal-safe. */
LYCH_HIDDEN void arena_free(struct library *l);

/* fd: a real descriptor of this process, that the caller has found for what code inside calls it, and keeps open
 * meanwhile. */
LYCH_HIDDEN long arena_mmap(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags, long fd,
			    uint64_t offset);
LYCH_HIDDEN long arena_munmap(struct library *l, uint64_t at, uint64_t bytes);
LYCH_HIDDEN long arena_mprotect(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot);
LYCH_HIDDEN long arena_pkey_mprotect(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t key);
LYCH_HIDDEN long arena_mremap(struct library *l, uint64_t at, uint64_t old_bytes, uint64_t new_bytes, uint64_t flags,
			      uint64_t new_at);
LYCH_HIDDEN long arena_madvise(struct library *l, uint64_t at, uint64_t bytes, uint64_t advice);
LYCH_HIDDEN long arena_brk(struct library *l, uint64_t at);
LYCH_HIDDEN long arena_mincore(struct library *l, uint64_t at, uint64_t bytes, uint64_t vec);
LYCH_HIDDEN long arena_msync(struct library *l, uint64_t at, uint64_t bytes, uint64_t flags);
LYCH_HIDDEN long arena_mlock(struct library *l, uint64_t at, uint64_t bytes);
LYCH_HIDDEN long arena_munlock(struct library *l, uint64_t at, uint64_t bytes);

/*
 * For the runtime. What is fixed can be changed by none of the calls above, and does not count.
 *
 * arena_place: zeroed memory, fixed: its address, or -ENOMEM, -EAGAIN, -EINVAL. flags: SPACE_STACK (a guard below),
 * SPACE_TRAMPOLINES (in reach of all code; arena_code when it becomes code), or 0. arena_unplace gives it back:
 * -EINVAL: at is not what arena_place gave.
 *
 * arena_fix: what was mapped in [at, at + bytes) by the calls above (-EINVAL: not all of it is) is fixed from now on.
 */
LYCH_HIDDEN long arena_place(struct library *l, uint64_t bytes, uint32_t prot, uint32_t flags);
LYCH_HIDDEN int arena_unplace(struct library *l, uint64_t at);
LYCH_HIDDEN int arena_fix(struct library *l, uint64_t at, uint64_t bytes);

/*
 * For gate/memory/: as range_map and range_unmap (guarded.h), but in the arena. A reset leaves it as it is.
 * arena_guarded: 0, -ENOMEM, -EAGAIN. flags: RANGE_*.
 */
LYCH_HIDDEN int arena_guarded(struct library *l, void **out, size_t bytes, unsigned int flags);
LYCH_HIDDEN void arena_unguarded(struct library *l, void *at, size_t bytes);

/*
 * Code. [at, at + bytes), mapped by the calls above, becomes one area of code with prot, and is fixed: from here on
 * code inside cannot unmap, change, move or replace it. This is only written down: the caller calls it BEFORE it has
 * the door put the finished code there (with the key and prot), else another thread of the domain could get between;
 * then arena_code_done, after which code inside may unmap it as a whole; or arena_code_drop, when the door has failed:
 * nothing is mapped there then. What arena_place gave for trampolines stays fixed. -EINVAL: not all of it is mapped;
 * -EPERM: it is fixed, or partly code already; -ENOMEM: more than ARENA_CODE, or the table is full. What other threads
 * wrote there before is theirs to answer for: the door copies.
 */
LYCH_HIDDEN int arena_code(struct library *l, uint64_t at, uint64_t bytes, uint32_t prot);
LYCH_HIDDEN void arena_code_done(struct library *l, uint64_t at);
LYCH_HIDDEN void arena_code_drop(struct library *l, uint64_t at, uint64_t bytes);

/* The first area that ends behind at: false, there is none. For what code inside asks about its memory, and for
 * reports. */
LYCH_HIDDEN bool arena_area(struct library *l, uint64_t at, struct space_area *out);
/* At most max areas of code inside that begin at or below at, the nearest first: how many. */
LYCH_HIDDEN size_t arena_below(struct library *l, uint64_t at, struct space_area out[], size_t max);
/* Bytes that count, and the limit of them. */
LYCH_HIDDEN void arena_usage(struct library *l, uint64_t *counted, uint64_t *limit);
/* Bytes that are mapped, and of these code. */
LYCH_HIDDEN void arena_mapped(struct library *l, uint64_t *mapped, uint64_t *code);

/*
 * Nobody changes the arena between the two, which are for fork handlers and lych_verify: signals are blocked, or no
 * code of the domain is on this thread. Of one, and of all domains (with monitor->lock, and before the ledger's).
 */
LYCH_HIDDEN void arena_freeze(struct library *l);
LYCH_HIDDEN void arena_thaw(struct library *l);
LYCH_HIDDEN void arenas_freeze(void);
LYCH_HIDDEN void arenas_thaw(void);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_LIBRARY_ARENA_H */
