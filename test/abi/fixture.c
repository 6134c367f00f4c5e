// SPDX-License-Identifier: Apache-2.0
#include <asm/prctl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../gate/core/asm.h"
#include "../../gate/core/binding.h"
#include "../../gate/core/keys.h"
#include "../../gate/core/thread.h"
#include "fixture.h"

#define STACK_BYTES (256 * 1024)

static struct monitor monitor;
static struct area *area;
static struct lych_callback_entry callbacks[2][8];

/* ---- what the gate and binding.c want of the runtime ---- */

int lych_gate_slow(struct lych_domain *domain, struct record *record)
{
	(void)domain;
	(void)record;
	abort(); /* everything is in place: the gate has no reason to ask */
}

int lych_gate_too_deep(uint64_t rsp)
{
	(void)rsp;
	return -EXFULL; /* nobody left anything */
}

int lych_gate_failed(struct lych_domain *domain, int status)
{
	(void)domain;
	(void)status;
	abort();
}

void lych_gate_leave_soft(struct record *record)
{
	(void)record;
	abort();
}

int lych_gate_enter_soft(struct record *call)
{
	(void)call;
	abort();
}

int lych_callback_refused(struct record *call)
{
	(void)call;
	abort();
}

void lych_signal(struct area *a, struct sigframe *frame, uint32_t selector, int sig)
{
	(void)a;
	(void)frame;
	(void)selector;
	(void)sig;
	abort();
}

void lych_signal_done(struct area *a, uint64_t rsp)
{
	(void)a;
	(void)rsp;
	abort();
}

void lych_signal_unattached(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	abort();
}

void *monitor_alloc(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void monitor_free(void *at, size_t bytes)
{
	munmap(at, bytes);
}

int thread_self(struct thread **out)
{
	*out = &area->thread;
	return 0;
}

struct thread *thread_attached(void)
{
	return &area->thread;
}

uint64_t lych_deadline_in(uint64_t timeout_ms, uint64_t *before)
{
	*before = 0;
	return timeout_ms * 1000000; /* no clock: only what the call carries counts here */
}

void lych_deadline_over(uint64_t before)
{
	(void)before;
}

uint64_t fixture_deadline(void)
{
	return area->thread.top->deadline_ns;
}

/* ---- the thread and its domains ---- */

static void make_domain(unsigned int index)
{
	struct lych_domain *d = &monitor.domains[index];
	struct slot *slot = &area->thread.slots[index + 1];

	slot->low = (uint64_t)(uintptr_t)monitor_alloc(STACK_BYTES);
	slot->top = slot->low + STACK_BYTES;
	slot->sp = slot->top - 4096;
	slot->id = 2 * (index + 1);
	d->id = slot->id;
	d->slot = MON_SLOTS + (index + 1) * SLOT_SIZE;
	d->key = index + 1;
	d->not_view = 3u << 2 * (index + 1);
	d->state = DOMAIN_READY;
	d->callbacks = callbacks[index];
	d->ncallbacks = sizeof(callbacks[0]) / sizeof(callbacks[0][0]);
}

__attribute__((constructor)) static void start(void)
{
	ROOT.backend = LYCH_MPROTECT;
	ROOT.scrub = __builtin_cpu_supports("avx512f") ? SCRUB_AVX512
		     : __builtin_cpu_supports("avx")   ? SCRUB_AVX
						       : SCRUB_SSE;
	ROOT.monitor = &monitor;
	ROOT.ready = 1;
	pthread_mutex_init(&monitor.lock, NULL);
	area = aligned_alloc(AREA_SIZE, AREA_SIZE);
	if (!area || bindings_start() != 0) {
		abort();
	}
	__builtin_memset(area, 0, AREA_SIZE);
	area->gate.self_soft = (uint64_t)(uintptr_t)area;
	area->gate.magic = GATE_MAGIC_VALUE;
	area->gate.not_host = 0x3fffffff;
	area->gate.soft_pkru = 0x3fffffff;
	area->thread.area = area;
	area->thread.host_fs = (uint64_t)(uintptr_t)__builtin_thread_pointer();
	area->thread.records[0].kind = KIND_BOTTOM;
	area->thread.top = &area->thread.records[0];
	area->thread.limit = &area->thread.records[DEPTH_MAX - 2];
	make_domain(0);
	make_domain(1);
	lych_tls = area;
	syscall(SYS_arch_prctl, ARCH_SET_GS, area);
}

struct lych_domain *abi_domain(void)
{
	return &monitor.domains[0];
}

struct lych_domain *fixture_other_domain(void)
{
	return &monitor.domains[1];
}

void fixture_exhaust(bool on)
{
	area->thread.limit = on ? area->thread.top : &area->thread.records[DEPTH_MAX - 2];
}

void fixture_domain_gone(struct lych_domain *domain)
{
	pthread_mutex_lock(&monitor.lock);
	bindings_domain_gone(domain);
	pthread_mutex_unlock(&monitor.lock);
}

unsigned int fixture_depth(void)
{
	return (unsigned int)(area->thread.top - area->thread.records);
}

bool fixture_on_stack(struct lych_domain *domain, const void *at)
{
	const struct slot *slot = &area->thread.slots[domain->key];

	return (uint64_t)(uintptr_t)at >= slot->low && (uint64_t)(uintptr_t)at < slot->top;
}

void (*abi_callback(const struct lych_binding *binding))(void)
{
	void (*callback)(void);

	return lych_callback_new(&callback, abi_domain(), binding, NULL) == 0 ? callback : NULL;
}

void abi_callback_end(void (*callback)(void))
{
	if (lych_callback_free(abi_domain(), callback) != 0) {
		abort();
	}
}
