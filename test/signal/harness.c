/* SPDX-License-Identifier: Apache-2.0 */
/* The neighbours of the runtime's signals, made small (harness.h). */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../code/code.h"
#include "../library/mediator.h"
#include "../memory/backend_mprotect.h"
#include "../memory/memory.h"
#include "handlers.h"
#include "keys.h"
#include "sigframe.h"
#include "thread.h"

#define STACK_BYTES (64 * 1024)

static struct monitor monitor;
static struct area fork_copy;
static struct thunk thunks[LYCH_THUNKS];
static int domains;
static _Atomic unsigned int poisoned;

void harness_start(void)
{
	struct thread *self;

	if (ROOT.ready) {
		return;
	}
	pthread_mutex_init(&monitor.lock, NULL);
	monitor.ids = 2;
	ROOT.backend = LYCH_MPROTECT;
	ROOT.scrub = SCRUB_SSE;
	ROOT.monitor = &monitor;
	ROOT.fork_copy = &fork_copy;
	ROOT.thunks = thunks;
	ROOT.frame_bytes = (uint32_t)getauxval(AT_MINSIGSTKSZ);
	ROOT.frames_whole = 1; /* no keys: any memory will do */
	ROOT.kick = SIGNAL_KICK;
	ROOT.kick_cookie = 0x7e57c00c1e;
	if (threads_start() != 0 || signals_start() != 0) {
		abort();
	}
	ROOT.ready = 1;
	pthread_atfork(threads_fork_prepare, threads_fork_parent, threads_fork_child);
	if (thread_self(&self) != 0) {
		abort();
	}
}

/* ---- domains ---------------------------------------------------------------------------------- */

struct lych_domain *harness_domain(enum lych_kind kind)
{
	struct lych_domain *d = &monitor.domains[domains];

	if (domains == KEYS - 1) {
		abort();
	}
	d->key = (uint32_t)++domains;
	d->slot = MON_SLOTS + d->key * SLOT_SIZE;
	d->kind = kind;
	d->not_view = ~0u;
	snprintf(d->name, sizeof(d->name), "domain-%d", domains);
	fault_clear(d);
	harness_reset(d);
	return d;
}

void harness_reset(struct lych_domain *domain)
{
	atomic_store(&domain->state, DOMAIN_READY);
	atomic_store(&domain->id, atomic_fetch_add(&monitor.ids, 2));
}

static struct slot *slot_of(struct thread *t, const struct lych_domain *d)
{
	return &t->slots[d->key];
}

int lych_gate_slow(struct lych_domain *domain, struct record *record)
{
	struct thread *t;
	struct slot *slot;

	(void)record;

	if (thread_self(&t) != 0) {
		return -ENOMEM;
	}
	if (domain == NULL && t->top < t->limit) {
		return 0; /* it was not attached */
	}
	if (t->top >= t->limit) {
		return signals_reclaim(t, (uint64_t)__builtin_frame_address(0)) != 0 ? 0 : -EXFULL;
	}
	if (atomic_load(&domain->id) == 0) {
		return -EOWNERDEAD;
	}
	slot = slot_of(t, domain);
	if (slot->low == 0) {
		char *at = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED) {
			return -ENOMEM;
		}
		mprotect(at, LYCH_PAGE, PROT_NONE);
		slot->low = (uint64_t)at + LYCH_PAGE;
		slot->top = (uint64_t)at + STACK_BYTES;
	}
	slot->sp = slot->top - 256;
	slot->id = atomic_load(&domain->id);
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

bool strangers_asked(int sig, struct kernel_ucontext *uc)
{
	(void)sig;
	(void)uc;
	return false;
}

uint32_t strangers_rights(const struct kernel_ucontext *uc)
{
	(void)uc;
	return 0;
}

void strangers_set_rights(struct kernel_ucontext *uc, uint32_t pkru)
{
	(void)uc;
	(void)pkru;
}

bool strangers_kicked(const siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	return false;
}

void strangers_lost(uint32_t counts[KEYS])
{
	memset(counts, 0, KEYS * sizeof(counts[0]));
}

void strangers_lose(uint32_t bits)
{
	(void)bits;
}

uint32_t strangers_lost_since(const uint32_t counts[KEYS])
{
	(void)counts;
	return 0;
}

void memory_fork_prepare(void)
{
}

void memory_fork_parent(void)
{
}

void memory_fork_child(struct thread *self)
{
	(void)self;
}

int lych_gate_enter_soft(struct record *call)
{
	(void)call;
	return 0;
}

void lych_gate_leave_soft(struct record *record)
{
	(void)record;
}

int lych_callback_refused(struct record *call)
{
	(void)call;
	return -ECANCELED;
}

int harness_call(struct lych_domain *domain, long (*fn)(long), long arg, long *result, uint64_t deadline_ns)
{
	extern long gate(struct lych_hidden, long) __asm__("lych_gate_soft");
	const struct lych_binding binding = {
		.fn = (void (*)(void))fn, .skip = 2, .ngpr = 1, .align = 4, .name = "harness function"};
	int status = 0;

	*result = gate((struct lych_hidden)LYCH_I_HIDDEN(domain, &binding, &status, deadline_ns), arg);
	return status;
}

char *harness_guard(struct lych_domain *domain)
{
	return (char *)slot_of(&lych_tls->thread, domain)->low - LYCH_PAGE;
}

int harness_attached(void)
{
	return lych_tls != NULL;
}

unsigned int harness_level(void)
{
	return lych_tls->thread.level;
}

unsigned int harness_depth(void)
{
	return (unsigned int)(lych_tls->thread.top - lych_tls->thread.records);
}

uint64_t harness_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void end_calls(struct lych_domain *domain, int except, int status)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct area *a = atomic_load(&monitor.threads[i]);
		bool inside = false;

		if (a == NULL || a->thread.tid == except) {
			continue;
		}
		for (struct record *r = &a->thread.records[1]; r <= a->thread.top; r++) {
			if (r->kind == KIND_CALL && r->domain == domain) {
				inside = true;
				if (status != 0) {
					atomic_store(&r->cancel, status);
				}
			}
		}
		if (inside) {
			thread_kick(&a->thread);
		}
	}
}

void harness_cancel(struct lych_domain *domain, int tid)
{
	end_calls(domain, tid, -ECANCELED);
}

void harness_time_out(struct lych_domain *domain, int tid)
{
	end_calls(domain, tid, -ETIMEDOUT);
}

void harness_kick(int tid)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct area *a = atomic_load(&monitor.threads[i]);

		if (a != NULL && a->thread.tid == tid) {
			thread_kick(&a->thread);
		}
	}
}

unsigned int harness_poisoned(void)
{
	return atomic_load(&poisoned);
}

bool call_goes_on(const struct record *call)
{
	return atomic_load(&call->domain->id) == call->call_id;
}

void domains_fork_child(void)
{
}

const char *lych_call_name(long nr)
{
	return nr == 0 ? "read" : NULL;
}

void domain_poison(struct lych_domain *domain)
{
	atomic_fetch_add(&poisoned, 1);
	atomic_store(&domain->state, DOMAIN_POISONED);
	atomic_store(&domain->id, 0);
	threads_barrier();
	end_calls(domain, (int)gettid(), 0);
}

/* ---- memory ------------------------------------------------------------------------------------- */

void *monitor_alloc(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void monitor_free(void *at, size_t bytes)
{
	munmap(at, bytes);
}

static uint8_t area_mapped[THREADS_MAX];

int ledger_add(void *at, size_t bytes, int key, int prot)
{
	(void)key;
	area_mapped[((uint64_t)at - ROOT.arena) / AREA_SIZE] = 1;
	return mprotect(at, bytes, prot);
}

int ledger_key_of(const void *at)
{
	uint64_t off = (uint64_t)at - ROOT.arena;

	if (off < ROOT.arena_bytes) {
		return area_mapped[off / AREA_SIZE] ? 0 : -1;
	}
	/* Who touches a page at a number like this one means another domain's. */
	return ((uint64_t)at >> 28) == 0x7 ? 9 : -1;
}

void keys_owner_name(int key, char *out, size_t size)
{
	snprintf(out, size, "%s", key == 9 ? "other" : key == 0 ? "host" : "");
}

uint32_t keys_not_foreign(void)
{
	return 0;
}

uint32_t keys_ours_seen(void)
{
	return 0;
}

const _Atomic uint32_t *keys_ours_bits(void)
{
	static const _Atomic uint32_t none;

	return &none;
}

uint64_t monotonic_ns(void)
{
	struct timespec ts = {0};

	sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint32_t keys_host_view(uint32_t initial)
{
	return initial;
}

void ledger_freeze(void)
{
}

void ledger_thaw(void)
{
}

void deadlines_follow(struct thread *t, bool in_domain)
{
	(void)t, (void)in_domain;
}

void cancels_follow(struct thread *t)
{
	(void)t;
}

void memory_stacks_of_thread_free(struct thread *t)
{
	for (int key = 1; key < KEYS; key++) {
		struct slot *slot = &t->slots[key];

		if (slot->low != 0) {
			munmap((void *)(slot->low - LYCH_PAGE), STACK_BYTES);
			memset(slot, 0, sizeof(*slot));
		}
	}
}

bool backend_mprotect_retry(uint64_t at, uint64_t error)
{
	(void)at;
	(void)error;
	return false; /* nothing is closed here but for good */
}

int backend_mprotect_enter(struct lych_domain *domain)
{
	(void)domain;
	return 0;
}

void backend_mprotect_leave(void)
{
}

struct resume_block *memory_resume_block(struct lych_domain *d, struct thread *t)
{
	struct slot *slot = slot_of(t, d);

	return slot->top != 0 ? (struct resume_block *)(slot->top - 128) : NULL;
}

uint32_t vault_open(const struct lych_domain *d)
{
	(void)d;
	return 0;
}

void vault_close(const struct lych_domain *d, uint32_t before)
{
	(void)d, (void)before;
}

bool memory_is_stack_guard(struct lych_domain *d, uint64_t at)
{
	uint64_t low = slot_of(&lych_tls->thread, d)->low;

	return at < low && at >= low - LYCH_PAGE;
}

bool memory_contains(struct lych_domain *d, struct thread *t, uint64_t at, uint64_t bytes)
{
	struct slot *slot = slot_of(t, d);

	return at >= slot->low && at <= slot->top && slot->top - at >= bytes;
}

/* ---- system calls --------------------------------------------------------------------------------- */

int dispatch_arm(struct area *area)
{
	return (int)sys5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &area->gate.selector);
}

void dispatch_disarm(void)
{
	sys5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
}

enum mediated_end mediator_call(struct lych_domain *d, struct thread *t, const struct mediated *call, long *result)
{
	(void)d, (void)t;
	switch (call->nr) {
	case SYS_getppid:
		*result = 4242;
		return MEDIATED_RESULT;
	case SYS_exit_group:
		return MEDIATED_EXIT;
	case SYS_tgkill:
		return MEDIATED_ABORT;
	default:
		*result = -EPERM;
		return MEDIATED_RESULT;
	}
}

/* ---- for C++ ---------------------------------------------------------------------------------------- */

size_t frame_copy_bytes(size_t frame_bytes)
{
	return sigframe_copy_bytes(frame_bytes);
}

int frame_copy(void *to, size_t to_bytes, const void *from, uint64_t low, uint64_t high)
{
	return sigframe_copy(to, to_bytes, from, low, high);
}

uint32_t frame_pkru(const void *frame, uint32_t off)
{
	return sigframe_pkru(frame, off);
}

void frame_set_pkru(void *frame, uint32_t off, uint32_t pkru)
{
	sigframe_set_pkru(frame, off, pkru);
}

void frame_reset_image(void *frame)
{
	sigframe_reset_image(frame);
}

size_t frame_fixed_bytes(void)
{
	return sizeof(struct sigframe);
}

size_t frame_fpstate_off(void)
{
	return offsetof(struct sigframe, uc.mc.fpstate);
}

uint64_t handler_mask(uint64_t flags, uint64_t mask, int sig, uint64_t interrupted, uint64_t *wanted)
{
	struct host_action action = {.flags = flags, .mask = mask};

	return handlers_mask(&action, sig, interrupted, wanted);
}

/* No code is repaired here. */
bool lych_code_site_of(uint64_t pc, uint64_t *site)
{
	(void)pc, (void)site;
	return false;
}

bool lych_code_unwind_of(uint64_t pc, struct lych_code_unwind *out)
{
	(void)pc, (void)out;
	return false;
}

struct bounds {
	uint64_t low, high;
};

static bool within_bounds(void *ctx, uint64_t at, uint64_t bytes)
{
	struct bounds *b = ctx;

	return at >= b->low && at <= b->high && b->high - at >= bytes;
}

void backtrace_of(struct lych_fault *fault, uint64_t low, uint64_t high)
{
	struct bounds b = {low, high};

	fault_backtrace(fault, within_bounds, &b);
}
