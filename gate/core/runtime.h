/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data of the runtime. Three kinds of memory, and nothing of weight outside of them:
 *
 *	ROOT                 one page of the library, read-only once lych_init is done
 *	areas                one for each attached thread (gate_asm.h)
 *	monitor memory       key "monitor": struct monitor, domains, ledger, tables (monitor_alloc)
 *
 * No state that matters lies in ordinary memory, and the runtime does not call malloc while it decides
 * anything: code in a domain whose key 0 is writable may have put what it likes there.
 */
#ifndef LYCH_RUNTIME_H
#define LYCH_RUNTIME_H

#include <lychgate/lychgate.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "gate_asm.h"
#include "hidden.h"

#define KEYS 16
#define DOMAINS_MAX 64
#define THREADS_MAX 4096
#define ATTACHING_MAX 64
#define DEPTH_MAX ((3 * LYCH_PAGE - 1024) / REC_SIZE)
_Static_assert(2 * LYCH_DEPTH < DEPTH_MAX, "a record for each call and its callback, and the bottom");

struct gate_page {
	_Atomic uint8_t selector;
	uint8_t pad[7];
	uint32_t not_view;
	uint32_t not_caller;
	uint32_t not_host;
	uint32_t not_want;
	uint64_t self;
	uint64_t magic;
	uint32_t soft_pkru;
	uint32_t pad2;
	uint64_t self_soft;
};

/* The stack of one domain on one thread. No domain, and no poisoned one, has the id of a slot that is not in use. */
struct slot {
	uint64_t sp;
	uint64_t id;
	uint64_t low;
	uint64_t top;
	uint64_t fs;
};

struct record {
	uint32_t kind;
	uint32_t flags;
	struct lych_domain *domain;
	const struct lych_binding *binding;
	int *status;
	uint64_t rsp, rbx, rbp, r12, r13, r14, r15;
	uint64_t fs;
	uint32_t not_view, not_caller; /* as they were before this record */
	uint32_t mxcsr;
	uint16_t fcw, fsw;
	uint64_t slot_sp;
	uint64_t call_id;
	uint8_t fenv[32];
	uint8_t st0[16];
	uint64_t deadline_ns;
	uint32_t args_off;
	_Atomic int32_t cancel;
	struct lych_callback_entry *callback;
	uint64_t unused;
	uint8_t st1[16];
	uint8_t pad[REC_SIZE - 224];
};

struct signal_level; /* signal.h */

/* The monitor pages of a thread. */
struct thread {
	uint64_t unused[8];
	struct record *top;
	struct record *limit;
	uint64_t host_fs;
	uint64_t scratch;
	uint64_t sig_stack;
	uint64_t sig_rsp;
	uint64_t area_end;
	uint32_t vault_open; /* PKRU bits of a vault that this thread is filling (vault_open) */
	uint32_t reserved;
	struct slot slots[KEYS];
	/* from here on C only */
	struct area *area;
	_Atomic int tid;
	_Atomic uint32_t state; /* enum thread_state */
	stack_t host_altstack;  /* what the host asked sigaltstack for */
	uint64_t altstack, altstack_bytes;
	uint64_t levels; /* struct signal_state (signal.h): signals put aside; 0: none */
	uint32_t level;  /* how many of them are in use */
	uint32_t nlevels;
	_Atomic uint64_t view_epoch;   /* of the last shoot-down this thread has followed */
	_Atomic uint64_t cancel_asked; /* bit i: its calls of monitor->domains[i] are to end; others set it */
	uint64_t host_mask;    /* signals the host wants blocked though the kernel does not block them */
	timer_t timer;
	uint32_t timer_made;
	uint32_t rseq_bytes; /* length rseq was registered with before we unregistered it; 0: it was not */
	uint64_t armed_ns; /* deadline of a call that is being made: its record may not be there yet */
	uint8_t pad[1024 - 128 - KEYS * sizeof(struct slot) - 120];
	struct record records[DEPTH_MAX];
};

enum thread_state { THREAD_FREE, THREAD_LIVE, THREAD_ENDING };

struct area {
	struct gate_page gate;
	uint8_t pad[LYCH_PAGE - sizeof(struct gate_page)];
	struct thread thread;
};

/* LYCH_NONE: what a thread's gates keep of calls and callbacks that run. In ordinary memory. */
struct none_entry {
	uint64_t level;
	struct lych_domain *domain;
	struct lych_callback_entry *callback;
};
struct none_thread {
	uint64_t used; /* bytes */
	struct none_entry entries[NT_COUNT];
};
extern LYCH_HIDDEN __thread struct none_thread *lych_none_tls __attribute__((tls_model("initial-exec")));
struct none;

struct lych_callback_entry {
	void (*fn)(void);
	const struct lych_binding *binding;
	void *ctx;
	uint64_t reserved;
};

struct lych_domain {
	_Atomic uint64_t id;
	uint32_t slot;
	uint32_t not_view;
	struct lych_callback_entry *callbacks;
	uint32_t ncallbacks;
	uint32_t key;
	/* from here on C only */
	_Atomic uint32_t state; /* enum domain_state */
	uint32_t kind;          /* enum lych_kind; of a library that is a vault: LYCH_KIND_VAULT */
	uint64_t next_id;       /* id it has when it is ready: id is 0 while it is not */
	char name[32];
	struct domain_memory *memory; /* gate/memory/ */
	struct domain_policy *policy; /* gate/library/ */
	struct fault_slot *fault;     /* what happened last */
	_Atomic uint64_t refused;      /* system calls of its code, since it was made */
	_Atomic uint64_t last_refused; /* number of the last one, and REFUSED_FOREIGN */
	_Atomic uint64_t no_memory, no_memory_bytes; /* as in struct lych_fault */
	struct library *library; /* gate/library/library.h; NULL: in-image */
	struct vault_functions *functions; /* domain.c: what a vault may be entered at; NULL: no vault */
	bool ending; /* under monitor->lock: somebody resets or frees it */
	bool leaving; /* under monitor->lock: somebody frees it, and its destructors run */
};

#define REFUSED_FOREIGN (1ULL << 32) /* made as another architecture's */

enum domain_state {
	DOMAIN_FREE,
	DOMAIN_READY,
	DOMAIN_POISONED, /* faulted: no call gets in, until reset or free */
	DOMAIN_RESETTING, /* reset or free waits for the calls inside to end */
	DOMAIN_PAUSED, /* under monitor->lock, which calls that begin wait for; one inside goes on, and who wanted nobody there gives up */
};

/* What the root page holds. const for everybody but lych_init. */
struct lych_root {
	uint32_t scrub;
	uint32_t backend; /* enum lych_backend */
	uint64_t arena;
	uint64_t arena_bytes;
	uint32_t host_view; /* rights the host keeps when no region is open */
	uint32_t monitor_key;
	struct thunk *thunks;
	uint64_t stacks;
	uint64_t stacks_bytes;
	uint64_t restorer;
	struct lych_callback_entry *none_callbacks; /* gate/library/none.h; these are set with LYCH_NONE only */
	int (*none_attach)(void);
	const struct none *none;
	uint32_t gate_key;
	uint32_t ready; /* lych_init has succeeded, and not with LYCH_NONE: nothing of the process was changed then */
	struct monitor *monitor;
	uint32_t frame_bytes;   /* most a signal frame takes (AT_MINSIGSTKSZ) */
	uint32_t xsave_pkru;    /* offset of PKRU in the frame's XSAVE image */
	uint32_t frames_whole;  /* the kernel writes frames with full rights (6.12): areas hold the alternate stack */
	uint32_t kick;          /* signal used between threads of the runtime */
	uint64_t kick_cookie;   /* siginfo value that proves it is ours */
	struct area *fork_copy; /* thread.c */
	void (*on_fault)(const struct lych_fault *fault, void *ctx);
	void *on_fault_ctx;
	uint32_t report_host_faults;
	const struct host_action *handlers_seen; /* handlers.h: what a thread without rights reads */
};
union lych_root_page {
	struct lych_root root;
	uint8_t page[LYCH_PAGE];
};
extern LYCH_HIDDEN union lych_root_page lych_root_page;
#define ROOT (lych_root_page.root)
/* What public functions do instead; NULL: there is isolation. */
#define NONE (ROOT.none)

static inline bool is_pku(void)
{
	return ROOT.backend == LYCH_PKU;
}

/* Everything that changes and belongs to no thread. In monitor memory. */
struct monitor {
	pthread_mutex_t lock; /* domains, keys, ledger, threads; never held while code of a domain runs */
	struct lych_domain domains[DOMAINS_MAX];
	struct key_table *keys;      /* keys.c */
	struct ledger *ledger;       /* memory/ledger.c */
	struct handler_table *handlers; /* signal */
	struct area *_Atomic threads[THREADS_MAX];
	_Atomic int attaching[ATTACHING_MAX]; /* tids; strangers.c */
	_Atomic uint32_t shot_down[KEYS]; /* how often each key was taken from everybody; follow.c */
	_Atomic uint64_t view_epoch;
	_Atomic uint32_t allow_bits; /* PKRU bits every host view has clear: keys of domains */
	_Atomic uint32_t deny_bits;  /* PKRU bits being taken from every host view: a key about to be freed */
	_Atomic uint64_t ids; /* the next id of a domain; even, never 0 */
	struct lych_region *regions; /* memory/region.c: all of them */
	struct soft_state *soft;     /* memory/backend_mprotect.c; NULL until it is used */
	struct lych_code_memo *code; /* library/code.c; NULL until it is used */
};

static inline void monitor_lock(void)
{
	pthread_mutex_lock(&ROOT.monitor->lock);
}

static inline void monitor_unlock(void)
{
	pthread_mutex_unlock(&ROOT.monitor->lock);
}

static inline struct area *area_of_thread(struct thread *t)
{
	return t->area;
}

/* Of another thread's records, while its gate is at work: each is one load. What is on top, */
static inline struct record *thread_top(const struct thread *t)
{
	return __atomic_load_n(&t->top, __ATOMIC_SEQ_CST);
}

/* and whether a record is one of domain. */
static inline bool record_is_of(const struct record *r, const struct lych_domain *domain)
{
	return __atomic_load_n(&r->domain, __ATOMIC_SEQ_CST) == domain;
}

/* The calling thread's area, NULL when it is not attached. TLS, not gs: gs may be anybody's. */
extern LYCH_HIDDEN __thread struct area *lych_tls __attribute__((tls_model("initial-exec")));

#endif /* LYCH_RUNTIME_H */
