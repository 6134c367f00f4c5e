/* SPDX-License-Identifier: Apache-2.0 */
#include "life_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../gate/core/asm.h"
#include "../../gate/core/binding.h"
#include "../../gate/core/handlers.h"
#include "../../gate/core/keys.h"
#include "../../gate/core/sigframe.h"
#include "../../gate/core/thread.h"
#include "../../gate/core/why.h"
#include "../../gate/library/mediator.h"
#include "../../gate/memory/backend_mprotect.h"
#include "../../gate/memory/memory.h"
#include "../../gate/memory/ranges.h"

#define HWCAP2_GS_BASE 2 /* HWCAP2_FSGSBASE */
#define TURNS 20
#define STACK_WORDS 32
#define BLOCK_BYTES 96
#define FRAME_BYTES 4096 /* what a call takes of its stack */
#define TASKS 64
#define SLOW_LOOKS 50 /* of a millisecond: more than enough for whoever does not wait */

union lych_root_page lych_root_page __attribute__((aligned(LYCH_PAGE)));
__thread struct area *lych_tls;

static _Atomic int spoiled, kicks;

/* ---- the kernel -------------------------------------------------------------------------------- */

/* A thread as the kernel knows it, by the number of its timer. */
static struct task {
	_Atomic int tid; /* 0: free */
	_Atomic bool kicked;
	_Atomic uint64_t timer_ns;
	_Atomic bool slow, between; /* life_slow */
} tasks[TASKS];

static __thread uint64_t blocked; /* signals of the calling thread */

static long timer_create_(const struct sigevent *event, int *id)
{
	for (int i = 0; i < TASKS; i++) {
		int nobody = 0;

		if (atomic_compare_exchange_strong(&tasks[i].tid, &nobody, event->_sigev_un._tid)) {
			atomic_store(&tasks[i].kicked, false);
			atomic_store(&tasks[i].timer_ns, 0);
			atomic_store(&tasks[i].slow, false);
			atomic_store(&tasks[i].between, false);
			*id = i;
			return 0;
		}
	}
	return -EAGAIN;
}

/* Every seventh finds no room for one more signal. */
static long kick(int tid)
{
	if (atomic_fetch_add(&kicks, 1) % 7 == 6) {
		return -EAGAIN;
	}
	for (int i = 0; i < TASKS; i++) {
		if (atomic_load(&tasks[i].tid) == tid) {
			atomic_store(&tasks[i].kicked, true);
			return 0;
		}
	}
	return -ESRCH;
}

long lych_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	const struct itimerspec *when = (const struct itimerspec *)c;
	void *at;
	long rc;

	switch (nr) {
	case SYS_rt_sigprocmask:
		if (c != 0) {
			*(uint64_t *)c = blocked;
		}
		if (b != 0) {
			blocked = *(const uint64_t *)b;
		}
		return 0;
	case SYS_rt_tgsigqueueinfo:
		return kick((int)b);
	case SYS_timer_create:
		return timer_create_((const struct sigevent *)b, (int *)c);
	case SYS_timer_settime:
		atomic_store(&tasks[a].timer_ns,
			     (uint64_t)when->it_value.tv_sec * 1000000000u + (uint64_t)when->it_value.tv_nsec);
		return 0;
	case SYS_timer_delete:
		atomic_store(&tasks[a].tid, 0);
		return 0;
	case SYS_rseq:
		return -EINVAL;
	case SYS_prctl: /* Syscall User Dispatch */
	case SYS_mseal:
		return 0;
	case SYS_nanosleep:
		life_rest();
		break;
	case SYS_mmap: /* ThreadSanitizer has to know of fresh memory */
		at = mmap((void *)a, (size_t)b, (int)c, (int)d, (int)e, f);
		return at == MAP_FAILED ? -errno : (long)at;
	case SYS_munmap:
		return munmap((void *)a, (size_t)b) == 0 ? 0 : -errno;
	}
	rc = syscall(nr, a, b, c, d, e, f);
	return rc == -1 ? -errno : rc;
}

/* ---- signals ----------------------------------------------------------------------------------- */

void life_nap(void)
{
	struct timespec millisecond = {.tv_nsec = 1000000};

	nanosleep(&millisecond, NULL);
}

/* Not sched_yield: where others compute, Linux 6.18 lets who yields wait for very long. */
static void let_others(void)
{
	struct timespec moment = {.tv_nsec = 20000};

	nanosleep(&moment, NULL);
}

static bool is_kicked(struct thread *t)
{
	struct task *task = &tasks[(intptr_t)t->timer];
	uint64_t due = atomic_load(&task->timer_ns);
	bool kicked = atomic_exchange(&task->kicked, false);

	if (due != 0 && due <= monotonic_ns()) {
		atomic_compare_exchange_strong(&task->timer_ns, &due, 0);
		kicked = true;
	}
	return kicked;
}

/* As signal_follow does it, but that the frame is the page itself. */
static void follow(struct thread *t, bool in_domain)
{
	uint64_t epoch = thread_follow(t);
	struct task *task = &tasks[(intptr_t)t->timer];

	if (atomic_load(&task->slow)) {
		atomic_store(&task->between, true);
		for (int i = 0; i < SLOW_LOOKS && atomic_load(&task->slow); i++) {
			life_nap();
		}
	}
	if (!in_domain) {
		lych_pkru_update_soft(ROOT.monitor->allow_bits, ROOT.monitor->deny_bits);
	}
	thread_followed(t, epoch);
	deadlines_follow(t, in_domain);
}

void life_rest(void)
{
	struct thread *t = thread_attached();

	if (t != NULL && blocked == 0 && is_kicked(t)) {
		follow(t, false);
	}
	let_others();
}

/* What pthread_mutex_lock is for the sources under test: a signal would interrupt the wait. */
int life_mutex_lock(pthread_mutex_t *mutex)
{
	while (pthread_mutex_trylock(mutex) != 0) {
		life_rest();
	}
	return 0;
}

/* As signal.c does it: the status the call on top has to end with, 0: it goes on. */
static int must_end(struct area *area, struct record *call)
{
	int canceled = atomic_load(&call->cancel);

	if (atomic_load(&call->domain->id) != call->call_id) {
		return -ECANCELED;
	}
	if (canceled == -ETIMEDOUT ||
	    (canceled == 0 && call->deadline_ns != 0 && monotonic_ns() >= call->deadline_ns)) {
		fault_note(area, NULL, LYCH_FAULT_DEADLINE);
		domain_poison(call->domain);
		return -ETIMEDOUT;
	}
	if (canceled != 0) {
		fault_note(area, NULL, LYCH_FAULT_CANCELED);
	}
	return canceled;
}

int signals_attach(struct area *area, uint64_t *mask)
{
	(void)area, (void)mask;
	return 0;
}

/* No thread attaches by a fault here. */
void signals_own_stack(const struct thread *t, stack_t *out)
{
	(void)t, (void)out;
	abort();
}

uint32_t strangers_rights(const struct kernel_ucontext *uc)
{
	(void)uc;
	abort();
}

void strangers_set_rights(struct kernel_ucontext *uc, uint32_t pkru)
{
	(void)uc, (void)pkru;
	abort();
}

void signals_detach(struct area *area, uint64_t *mask)
{
	(void)area, (void)mask;
}

void signals_fork_child(struct area *area)
{
	(void)area;
}

unsigned int signals_forget_left(uint64_t rsp)
{
	(void)rsp;
	return 0;
}

bool strangers_deny(int key)
{
	(void)key;
	return true;
}

bool strangers_ended(int tid)
{
	(void)tid;
	return false;
}

void strangers_restore(uint32_t view)
{
	(void)view;
}

void strangers_lose(uint32_t bits)
{
	(void)bits;
}

/* ---- inside a domain --------------------------------------------------------------------------- */

struct work {
	struct lych_domain *domain;
	struct thread *thread;
	struct record *call;
	volatile uint64_t *stack;
	volatile uint64_t *block; /* of the heap; NULL: none was left */
	uint64_t mark;
};

static bool is_whole(const struct work *w)
{
	for (size_t i = 0; i < STACK_WORDS; i++) {
		if (w->stack[i] != w->mark + i) {
			return false;
		}
	}
	for (size_t i = 0; w->block != NULL && i < BLOCK_BYTES / 8; i++) {
		if (w->block[i] != w->mark - i) {
			return false;
		}
	}
	return true;
}

static void begin(struct work *w)
{
	const struct slot *slot = &w->thread->slots[w->domain->key];

	w->mark = (uint64_t)(uintptr_t)w->call ^ w->call->call_id << 32;
	w->stack = (uint64_t *)(uintptr_t)slot->sp - STACK_WORDS;
	w->block = heap_alloc(w->domain, 16, BLOCK_BYTES);
	for (size_t i = 0; i < STACK_WORDS; i++) {
		w->stack[i] = w->mark + i;
	}
	for (size_t i = 0; w->block != NULL && i < BLOCK_BYTES / 8; i++) {
		w->block[i] = w->mark - i;
	}
}

static void end(const struct work *w)
{
	if (!is_whole(w) || (w->block != NULL && heap_free(w->domain, (void *)(uintptr_t)w->block) != 0)) {
		atomic_fetch_add(&spoiled, 1);
	}
}

static int fault(const struct work *w)
{
	struct sigframe frame;

	memset(&frame, 0, sizeof(frame));
	frame.info.si_signo = SIGSEGV;
	frame.info.si_code = SEGV_ACCERR;
	frame.info.si_addr = (void *)(uintptr_t)w->block;
	frame.uc.mc.rsp = (uint64_t)(uintptr_t)w->stack;
	fault_note(lych_tls, &frame, LYCH_FAULT_NONE);
	domain_poison(w->domain);
	return -EFAULT;
}

/* On the host's stack, with the domain's below it. */
static int call_back(struct work *w, void (*callback)(void *ctx), void *ctx)
{
	struct record *call = w->call, *r = call + 1;
	struct slot *slot = &w->thread->slots[w->domain->key];
	uint64_t sp = slot->sp;
	int rc;

	__atomic_store_n(&r->domain, w->domain, __ATOMIC_RELAXED);
	__atomic_store_n(&r->kind, KIND_CALLBACK, __ATOMIC_RELAXED);
	__atomic_store_n(&w->thread->top, r, __ATOMIC_RELEASE);
	slot->sp = sp - FRAME_BYTES;
	lych_gate_leave_soft(call);
	callback(ctx);
	/* May it go back? What the gate asks, in its order. */
	if (atomic_load(&call->cancel) != 0 || atomic_load(&w->domain->id) != call->call_id) {
		rc = lych_callback_refused(call);
	} else {
		rc = lych_gate_enter_soft(call);
	}
	if (slot->id == (call->call_id & ~1ull)) { /* else it is another stack by now */
		slot->sp = sp;
	}
	__atomic_store_n(&w->thread->top, call, __ATOMIC_RELEASE);
	return rc;
}

static int inside(struct work *w, enum life_way way, void (*callback)(void *ctx), void *ctx)
{
	int rc = 0;

	begin(w);
	for (int turn = 0; rc == 0 && (turn < TURNS || way == LIFE_STAY); turn++) {
		if (!is_whole(w)) {
			atomic_fetch_add(&spoiled, 1);
		}
		let_others();
		if (is_kicked(w->thread)) {
			follow(w->thread, true);
			rc = must_end(lych_tls, w->call);
		}
		if (rc == 0 && turn == TURNS / 2 && way == LIFE_CALL_BACK) {
			rc = call_back(w, callback, ctx);
		}
	}
	if (rc == 0 && way == LIFE_FAULT) {
		rc = fault(w);
	}
	if (rc == 0) {
		end(w);
	}
	return rc;
}

/* As the gate does it, for a domain whose calls all go the slow way. */
int life_call(struct lych_domain *domain, enum life_way way, uint64_t timeout_ms, void (*callback)(void *ctx),
	      void *ctx)
{
	struct lych_binding binding = {.name = "work"};
	struct work w = {.domain = domain};
	struct record *r;
	uint64_t deadline = timeout_ms != 0 ? lych_deadline_in(timeout_ms, NULL) : 0;
	int rc;

	if (thread_attached() == NULL) {
		rc = lych_gate_slow(NULL, NULL);
		if (rc != 0) {
			return rc;
		}
	}
	w.thread = thread_attached();
	r = w.call = w.thread->top + 1;
	__atomic_store_n(&r->kind, KIND_NONE, __ATOMIC_RELAXED);
	__atomic_store_n(&w.thread->top, r, __ATOMIC_RELEASE);
	atomic_store(&r->cancel, 0);
	r->flags = 0;
	r->binding = &binding;
	r->deadline_ns = deadline;
	__atomic_store_n(&r->domain, domain, __ATOMIC_RELAXED);
	__atomic_store_n(&r->kind, KIND_CALL, __ATOMIC_RELEASE);
	r->call_id = atomic_load(&domain->id);
	rc = lych_gate_slow(domain, r);
	if (rc != 0) {
		__atomic_store_n(&w.thread->top, r - 1, __ATOMIC_RELEASE);
		return rc;
	}
	rc = inside(&w, way, callback, ctx);
	lych_gate_leave_soft(r);
	if (rc != 0) {
		return lych_gate_failed(domain, rc);
	}
	__atomic_store_n(&w.thread->top, r - 1, __ATOMIC_RELEASE);
	return 0;
}

/* ---- what else there is ------------------------------------------------------------------------ */

uint32_t lych_pkru_update_soft(uint32_t clear, uint32_t set)
{
	struct gate_page *page = &lych_tls->gate;
	uint32_t before = page->soft_pkru;

	page->soft_pkru = (before & ~clear) | set;
	return before;
}

uint32_t lych_pkru_update_pku(uint32_t clear, uint32_t set)
{
	return lych_pkru_update_soft(clear, set);
}

uint32_t lych_pkru_read_pku(void)
{
	return lych_tls->gate.soft_pkru;
}

void lych_grant_first_pku(void)
{
}

void why_set(const char *format, ...)
{
	(void)format;
}

int floor_start(void)
{
	return 0;
}

void bindings_domain_gone(struct lych_domain *d)
{
	(void)d;
}

static void (*_Atomic while_reporting)(void);

void life_while_reporting(void (*fn)(void))
{
	atomic_store(&while_reporting, fn);
}

void fault_backtrace(struct lych_fault *fault, bool (*contains)(void *ctx, uint64_t at, uint64_t bytes), void *ctx)
{
	void (*fn)(void) = atomic_load(&while_reporting);

	if (fn != NULL) {
		fn();
	}
	fault->nframes = contains(ctx, fault->rsp, 8) ? 1 : 0;
	fault->frames[0] = fault->rip;
}

void lych_restorer(void)
{
}

void lych_signal_entry_pku(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info, (void)context;
}

void lych_signal_entry_soft(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info, (void)context;
}

/* ---- what tests see ---------------------------------------------------------------------------- */

int life_start(void (*on_fault)(const struct lych_fault *fault, void *ctx), void *ctx)
{
	int rc;

	if ((getauxval(AT_HWCAP2) & HWCAP2_GS_BASE) == 0) {
		return -ENODEV;
	}
	memset(&lych_root_page, 0, sizeof(lych_root_page));
	atomic_store(&spoiled, 0);
	ROOT.backend = LYCH_MPROTECT;
	ROOT.frames_whole = 1;
	ROOT.kick = SIGNAL_KICK;
	ROOT.on_fault = on_fault;
	ROOT.on_fault_ctx = ctx;
	ROOT.monitor = monitor_alloc(sizeof(struct monitor));
	if (ROOT.monitor == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&ROOT.monitor->lock, NULL);
	rc = keys_start(0);
	if (rc == 0) {
		rc = threads_start();
	}
	if (rc == 0) {
		ROOT.monitor->handlers = monitor_alloc(sizeof(struct handler_table));
		rc = ROOT.monitor->handlers != NULL ? 0 : -ENOMEM;
	}
	ROOT.ready = 1;
	return rc;
}

void life_stop(void)
{
	if (ROOT.monitor != NULL) {
		threads_stop();
		keys_stop();
		pthread_mutex_destroy(&ROOT.monitor->lock);
		monitor_free(ROOT.monitor, sizeof(struct monitor));
		ROOT.monitor = NULL;
	}
}

int life_spoiled(void)
{
	return atomic_load(&spoiled);
}

int life_kicks(void)
{
	return atomic_load(&kicks);
}

void life_action_put(int sig, uint64_t n)
{
	struct host_action action = {.handler = (void (*)(int))(uintptr_t)n, .flags = n, .mask = n};

	handlers_put(ROOT.monitor->handlers, sig, &action);
}

bool life_action_get(int sig, uint64_t *n)
{
	struct host_action action;

	handlers_get(ROOT.monitor->handlers, sig, &action);
	*n = action.flags;
	return (uint64_t)(uintptr_t)action.handler == *n && action.mask == *n;
}

void life_slow(bool slow)
{
	atomic_store(&tasks[(intptr_t)thread_attached()->timer].slow, slow);
}

bool life_hurry(void)
{
	bool between = false;

	for (int i = 0; i < TASKS; i++) {
		between = atomic_exchange(&tasks[i].between, false) || between;
		atomic_store(&tasks[i].slow, false);
	}
	return between;
}

bool life_may_touch(int key)
{
	return (thread_attached()->area->gate.soft_pkru & VIEW_BITS(key)) == 0;
}

int life_key(const struct lych_domain *domain)
{
	return (int)domain->key;
}

int life_domains(void)
{
	int domains = 0;

	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		domains += atomic_load(&ROOT.monitor->domains[i].state) != DOMAIN_FREE;
	}
	return domains;
}

int life_keys(void)
{
	return __builtin_popcount(keys_ours() & ~(1u << ROOT.monitor_key | 1u << ROOT.gate_key));
}

int life_ranges(void)
{
	const struct key_range *range;
	size_t count;
	int ranges = 0;

	ledger_freeze();
	range = ledger_ranges(&count);
	for (size_t i = 0; i < count; i++) {
		ranges += range[i].key != (int)ROOT.monitor_key && range[i].key != (int)ROOT.gate_key;
	}
	ledger_thaw();
	return ranges;
}

int life_threads(void)
{
	int threads = 0;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		threads += atomic_load(&ROOT.monitor->threads[i]) != NULL;
	}
	return threads;
}
