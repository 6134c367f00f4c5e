/* SPDX-License-Identifier: Apache-2.0 */
/* What happened when a call into a domain did not end as it should. */
#ifndef LYCHGATE_FAULT_H
#define LYCHGATE_FAULT_H

#include <lychgate/domain.h>

LYCH_BEGIN_DECLS

enum lych_fault_kind {
	LYCH_FAULT_NONE = 0,
	LYCH_FAULT_KEY,       /* touched memory of another owner: SEGV_PKUERR, or PROT_NONE on mprotect */
	LYCH_FAULT_SEGV,      /* any other SIGSEGV */
	LYCH_FAULT_BUS,
	LYCH_FAULT_ILL,
	LYCH_FAULT_FPE,
	LYCH_FAULT_TRAP,      /* SIGTRAP: int3, single step */
	LYCH_FAULT_STACK,     /* ran into the guard page below its stack */
	LYCH_FAULT_ABORT,     /* abort(), a failed stack protector, std::terminate (an exception nobody caught), or a
				 signal it sent to itself. In a LYCH_KIND_PURE domain the first three are
				 LYCH_FAULT_KEY of key 0, "host": libc writes its own memory first */
	LYCH_FAULT_EXIT,      /* exit() or _exit() */
	LYCH_FAULT_GATE,      /* a gate refused: forged view, wrong kind of return, bad stack pointer */
	LYCH_FAULT_DEADLINE,  /* registers and frames are those of when it was noticed; in a callback: none */
	LYCH_FAULT_CANCELED,  /* likewise */
};

enum lych_access { LYCH_ACCESS_UNKNOWN = 0, LYCH_ACCESS_READ, LYCH_ACCESS_WRITE, LYCH_ACCESS_EXEC };

#define LYCH_FAULT_FRAMES 32

struct lych_fault {
	enum lych_fault_kind kind;
	enum lych_access access;
	int signal;             /* SIGSEGV..., 0 for a deadline or a cancel */
	int code;               /* si_code */
	int key;                /* key of the memory touched, -1 unknown */
	char owner[32];         /* who has that key: a name of a domain, "monitor", "gate", "region NAME", "host", "" */
	char domain[32];        /* the domain whose call ended */
	char function[64];      /* function called at the gate, as bound */
	uint64_t address;       /* memory touched (si_addr) */
	char mapping[128];      /* the line of /proc/self/maps it lies in, without the addresses; "" none */
	int tid;
	uint64_t rip, rsp, rflags; /* of a vault only rip; the others, and gpr, are 0 */
	uint64_t gpr[16];       /* rax rbx rcx rdx rsi rdi rbp rsp r8..r15 */
	int nframes;
	uint64_t frames[LYCH_FAULT_FRAMES]; /* return addresses, innermost first, out of domain memory: hostile */
	uint64_t refused;       /* system calls refused to the domain since it was made; lych_refused lists them */
	long last_refused;      /* number of the last one; 0 when there was none */
	bool last_foreign;      /* that one was made as another architecture's: int 0x80, or with the x32 bit */
	uint64_t no_memory;     /* requests for more memory than heap_bytes allows, or there is, since it was made or reset */
	uint64_t no_memory_bytes; /* what the last of them wanted */
	uint64_t count;         /* faults of this domain so far */
};

/*
 * lych_fault tells what happened last in domain. The result belongs to the domain and is overwritten by its next
 * fault; kind LYCH_FAULT_NONE when there was none, and for NULL. Never NULL. Not async-signal-safe.
 */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* struct and function have one name, as struct stat and stat() */
#endif
LYCH_API const struct lych_fault *lych_fault(struct lych_domain *domain);
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/*
 * lych_fault_print writes it for people, several lines, to fd: code by file and offset in it (addr2line -e takes both),
 * and by name where the function is exported; of a library domain, as long as it is not freed, where the file on disk
 * has a name for it, too. Names are the domain's word, made printable. 0 or -EIO. Thread-safe. Not async-signal-safe.
 */
LYCH_API int lych_fault_print(const struct lych_fault *fault, int fd);

/*
 * lych_fault_where writes the same of frames[frame] to out, cut to bytes: "abort+0xd3 in libc.so.6 (0x26fd9)", or
 * without a name "libc.so.6+0x26fd9". 0, or -ENOENT and "": no such frame, or in no file. Thread-safe. Not
 * async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_fault_where(const struct lych_fault *fault, int frame, char *out, size_t bytes);

/* "protection key", "stack overflow"... Static, never NULL. */
LYCH_API const char *lych_fault_kind_name(enum lych_fault_kind kind);

LYCH_END_DECLS

#endif /* LYCHGATE_FAULT_H */
