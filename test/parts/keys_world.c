/* SPDX-License-Identifier: Apache-2.0 */
#include "keys_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../gate/core/asm.h"
#include "../../gate/core/binding.h"
#include "../../gate/core/fault_slot.h"
#include "../../gate/core/keys.h"
#include "../../gate/core/thread.h"
#include "../../gate/core/signal.h"
#include "../../gate/core/why.h"
#include "../../gate/library/library.h"
#include "../../gate/library/mediator.h"
#include "../../gate/memory/backend_mprotect.h"
#include "../../gate/memory/memory.h"

union lych_root_page lych_root_page __attribute__((aligned(LYCH_PAGE)));
__thread struct area *lych_tls;

static struct {
	struct area areas[WORLD_THREADS];
	int stuck[WORLD_THREADS], kicks[WORLD_THREADS], ended[WORLD_THREADS];
	int shot_down[KEYS], allowed[KEYS];
	int attach_error;
	struct lych_domain *watched;
	uint64_t id_at_barrier;
	struct lych_domain *begins; /* thread 1 has been let in at the next barrier */
	bool faults, goes_on;
	int memories, stacks, memory_error, reset_error, stack_error;
	char why[256];
} world __attribute__((aligned(LYCH_PAGE)));

/* ---- system calls, PKRU ---- */

static struct {
	long nr;
	int after, times, error;
} fail = {.nr = -1};

long lych_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc;

	if (nr == fail.nr && fail.after-- <= 0 && fail.times-- > 0) {
		return -fail.error;
	}
	rc = syscall(nr, a, b, c, d, e, f);
	return rc == -1 ? -errno : rc;
}

void world_fail(long nr, int after, int times, int error)
{
	fail.nr = nr;
	fail.after = after;
	fail.times = times;
	fail.error = error;
}

uint32_t lych_pkru_read_pku(void)
{
	uint32_t low, high;

	__asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(low), "=d"(high) : "c"(0)); /* rdpkru */
	return low;
}

uint32_t world_pkru(void)
{
	return lych_pkru_read_pku();
}

void why_set(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(world.why, sizeof(world.why), format, list);
	va_end(list);
}

const char *world_why(void)
{
	return world.why;
}

/* ---- threads ---- */

static struct thread *thread_number(int i)
{
	return &world.areas[i].thread;
}

int thread_self(struct thread **out)
{
	*out = NULL;
	if (world.attach_error != 0) {
		return world.attach_error;
	}
	*out = thread_number(0);
	return 0;
}

int world_callback_refused(int thread)
{
	return lych_callback_refused(thread_number(thread)->top);
}

void world_refuse_attach(int error)
{
	world.attach_error = error;
}

struct thread *thread_attached(void)
{
	return thread_number(0);
}

struct thread *thread_here(void)
{
	return thread_attached();
}

int threads_each(int (*fn)(struct thread *t, void *ctx), void *ctx)
{
	for (int i = 0; i < WORLD_THREADS; i++) {
		int rc = fn(thread_number(i), ctx);

		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

/* As the monitor does it: a call whose record says so, or whose domain is another than the one it entered, ends. */
void thread_kick(struct thread *t)
{
	int i = (int)((struct area *)((char *)t - LYCH_PAGE) - world.areas);
	struct record *top = t->top;

	world.kicks[i]++;
	if (world.stuck[i] > 0) {
		world.stuck[i]--;
		return;
	}
	cancels_follow(t);
	if (top->kind == KIND_CALL && (top->cancel != 0 || top->domain->id != top->call_id)) {
		world.ended[i] = top->cancel != 0 ? top->cancel : -ECANCELED;
		t->top--;
	}
}

void thread_timer(struct thread *t, uint64_t deadline_ns)
{
	(void)t;
	(void)deadline_ns;
}

int thread_has_timer(struct thread *t)
{
	(void)t;
	return 0;
}

bool threads_shoot_down(int key)
{
	world.shot_down[key]++;
	if (ROOT.backend == LYCH_PKU) {
		pkey_set(key, PKEY_DISABLE_ACCESS);
	}
	return true;
}

bool threads_allow(int key)
{
	world.allowed[key]++;
	if (ROOT.backend == LYCH_PKU) {
		pkey_set(key, 0);
	}
	return true;
}

int world_shot_down(int key)
{
	return world.shot_down[key];
}

int world_allowed(int key)
{
	return world.allowed[key];
}

unsigned int signals_forget_left(uint64_t rsp)
{
	(void)rsp;
	return 0;
}

bool threads_inside(const struct lych_domain *domain, bool self)
{
	for (int i = 0; i < (self ? 1 : WORLD_THREADS); i++) {
		for (struct record *r = &thread_number(i)->records[1]; r <= thread_number(i)->top; r++) {
			if (r->domain == domain) {
				return true;
			}
		}
	}
	return false;
}

void threads_barrier(void)
{
	struct lych_domain *begins = world.begins;
	struct thread *t = thread_number(1);

	world.id_at_barrier = world.watched != NULL ? atomic_load(&world.watched->id) : 0;
	world.begins = NULL;
	if (begins != NULL) {
		t->records[1] = (struct record){.kind = KIND_CALL, .domain = begins, .call_id = begins->next_id};
		t->top = &t->records[1];
		if (world.faults) {
			domain_poison(begins);
		}
		world.goes_on = call_goes_on(&t->records[1]);
	}
}

/* No test of these grants anything. */
int region_key(const struct lych_region *region, int *key)
{
	(void)region, (void)key;
	abort();
}

int world_pause(struct lych_domain *d, bool faults, bool *goes_on)
{
	int rc;

	world.begins = d;
	world.faults = faults;
	monitor_lock();
	rc = domain_pause(d);
	monitor_unlock();
	*goes_on = world.goes_on;
	thread_number(1)->top = &thread_number(1)->records[0];
	return rc;
}

void world_watch(struct lych_domain *domain)
{
	world.watched = domain;
}

uint64_t world_id_at_barrier(void)
{
	return world.id_at_barrier;
}

void world_push(int thread, struct lych_domain *domain, bool callback)
{
	struct record *r = ++thread_number(thread)->top;

	memset(r, 0, sizeof(*r));
	r->kind = callback ? KIND_CALLBACK : KIND_CALL;
	r->domain = domain;
	r->call_id = domain->id;
}

void world_pop(int thread)
{
	thread_number(thread)->top--;
}

int world_depth(int thread)
{
	return (int)(thread_number(thread)->top - thread_number(thread)->records);
}

int world_cancel_mark(int thread, int depth)
{
	return thread_number(thread)->records[depth].cancel;
}

void world_mark(int thread, int depth, int error)
{
	thread_number(thread)->records[depth].cancel = error;
}

void world_stuck(int thread, int kicks)
{
	world.stuck[thread] = kicks;
}

int world_kicks(int thread)
{
	return world.kicks[thread];
}

int world_ended(int thread)
{
	return world.ended[thread];
}

uint64_t world_slot_id(int thread, int key)
{
	return thread_number(thread)->slots[key].id;
}

int world_slow(struct lych_domain *domain, void (*fn)(void))
{
	struct lych_binding binding = {.fn = fn};
	struct record *top;
	int rc;

	world_push(0, domain, false);
	top = thread_number(0)->top;
	top->binding = &binding;
	top->call_id = 0;
	rc = lych_gate_slow(domain, top);
	if (rc == 0 && top->call_id != domain->id) {
		rc = 1; /* the record would not be the call's */
	}
	world_pop(0);
	return rc;
}

int world_slow_unattached(void)
{
	return lych_gate_slow(NULL, NULL);
}

/* ---- neighbours of domain.c ---- */

int memory_new(struct lych_domain *d, const struct lych_domain_opts *opts)
{
	(void)d;
	(void)opts;
	if (world.memory_error == 0) {
		world.memories++;
	}
	return world.memory_error;
}

void memory_free(struct lych_domain *d)
{
	(void)d;
	world.memories--;
}

int memory_reset(struct lych_domain *d)
{
	(void)d;
	return world.reset_error;
}

int memory_stack_new(struct lych_domain *d, struct thread *t)
{
	if (world.stack_error != 0) {
		return world.stack_error;
	}
	world.stacks++;
	t->slots[d->key].id = d->id;
	return 0;
}

void world_fail_memory(int new_error, int reset_error, int stack_error)
{
	world.memory_error = new_error;
	world.reset_error = reset_error;
	world.stack_error = stack_error;
}

int world_memories(void)
{
	return world.memories;
}

int world_stacks_made(void)
{
	return world.stacks;
}

int mediator_domain_new(struct lych_domain *d)
{
	(void)d;
	return 0;
}

void mediator_domain_free(struct lych_domain *d)
{
	(void)d;
}

int floor_start(void)
{
	return 0;
}

void bindings_domain_gone(struct lych_domain *d)
{
	(void)d;
}

void fault_no_reporter(struct lych_domain *d)
{
	(void)d;
}

void fault_clear(struct lych_domain *d)
{
	(void)d;
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

int backend_mprotect_enter(struct lych_domain *d)
{
	(void)d;
	return 0;
}

const char *backend_mprotect_refuses(enum lych_kind kind)
{
	return kind == LYCH_KIND_PURE ? "key 0 cannot be made read-only" : NULL;
}

/* ---- what tests see ---- */

int world_start(enum lych_backend backend, unsigned int max_keys)
{
	int rc;

	memset(&world, 0, sizeof(world));
	memset(&lych_root_page, 0, sizeof(lych_root_page));
	world.id_at_barrier = 1;
	for (int i = 0; i < WORLD_THREADS; i++) {
		struct thread *t = thread_number(i);

		t->area = &world.areas[i];
		t->tid = 1000 + i;
		t->records[0].kind = KIND_BOTTOM;
		t->top = &t->records[0];
		t->limit = &t->records[DEPTH_MAX - 1];
	}
	lych_tls = &world.areas[0];
	ROOT.backend = backend;
	ROOT.monitor = monitor_alloc(sizeof(struct monitor));
	if (ROOT.monitor == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&ROOT.monitor->lock, NULL);
	rc = keys_start(max_keys);
	if (rc != 0) {
		monitor_free(ROOT.monitor, sizeof(struct monitor));
		ROOT.monitor = NULL;
	}
	return rc;
}

void world_open(void)
{
	if (ROOT.backend == LYCH_PKU) {
		pkey_set((int)ROOT.monitor_key, 0);
		pkey_set((int)ROOT.gate_key, 0);
	}
}

void world_stop(void)
{
	if (ROOT.monitor != NULL) {
		keys_stop();
		monitor_free(ROOT.monitor, sizeof(struct monitor));
		ROOT.monitor = NULL;
	}
}

int world_monitor_key(void)
{
	return (int)ROOT.monitor_key;
}

int world_gate_key(void)
{
	return (int)ROOT.gate_key;
}

uint32_t world_host_view(void)
{
	return ROOT.host_view;
}

uint64_t world_id(const struct lych_domain *d)
{
	return d->id;
}

int world_key(const struct lych_domain *d)
{
	return (int)d->key;
}

uint32_t world_view(const struct lych_domain *d)
{
	return ~d->not_view;
}

uint32_t world_callbacks(const struct lych_domain *d)
{
	return d->ncallbacks;
}

void world_poison(struct lych_domain *d)
{
	domain_poison(d);
}

size_t world_ledger_count(void)
{
	size_t count;

	ledger_freeze();
	ledger_ranges(&count);
	ledger_thaw();
	return count;
}
