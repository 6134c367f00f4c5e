/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Areas of threads: attaching, ending, what reaches other threads.
 *
 * G8: a thread is attached when its TLS and its gs base name the same area. A new thread inherits
 * gs but not TLS; a child of fork finds the pages wiped; a task that shares both (vfork, CLONE_VM)
 * gets the refused page (task.c).
 */
#include <asm/prctl.h>
#include <errno.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../library/arena.h"
#include "../library/library.h"
#include "../library/mediator.h"
#include "../memory/memory.h"
#include "keys.h"
#include "signal.h"
#include "thread.h"

#define RSEQ_SIGNATURE 0x53053053
#define RSEQ_UNREGISTER 1

const union lych_root_page lych_refused_page __attribute__((aligned(LYCH_PAGE)));

static pthread_key_t end_key;

struct thread *thread_attached(void)
{
	return lych_tls != NULL ? &lych_tls->thread : NULL;
}

void thread_pkru_update(uint32_t clear, uint32_t set)
{
	if (ROOT.backend == LYCH_PKU) {
		lych_pkru_update_pku(clear, set);
	} else {
		lych_pkru_update_soft(clear, set);
	}
}

static uint64_t gs_base(void)
{
	uint64_t base;

	__asm__ volatile("rdgsbase %0" : "=r"(base));
	return base;
}

/* ---- rseq ------------------------------------------------------------------------------------ */

/*
 * Another thread could plant rseq_cs over the gate's code, and the kernel writes the area with the
 * rights of whatever it interrupts: a domain that may not write key 0 would be killed. glibc
 * registers 32 bytes, or what the kernel wants rounded up; __rseq_size is what is in use, not what
 * was registered.
 */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static uint32_t rseq_unregister(void)
{
	char *at;

	if (&__rseq_offset == NULL || &__rseq_size == NULL || __rseq_size == 0) {
		return 0;
	}
	at = (char *)__builtin_thread_pointer() + __rseq_offset;
	for (uint32_t bytes = 32; bytes <= 256; bytes += 4) {
		if (sys4(SYS_rseq, at, bytes, RSEQ_UNREGISTER, RSEQ_SIGNATURE) == 0) {
			return bytes;
		}
	}
	return 0;
}

static void rseq_register(uint32_t bytes)
{
	if (bytes != 0) {
		sys4(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, bytes, 0,
		     RSEQ_SIGNATURE);
	}
}

/* ---- areas ----------------------------------------------------------------------------------- */

static struct area *area_at(size_t index)
{
	return (struct area *)(ROOT.arena + index * AREA_SIZE);
}

static size_t area_index(const struct area *a)
{
	return ((uintptr_t)a - ROOT.arena) / AREA_SIZE;
}

/* Memory of an area that was never used: tagged before anything is written to it. */
static int area_map(struct area *a)
{
	char *base = (char *)a;
	int prot = PROT_READ | PROT_WRITE;

	if (ledger_key_of(base) >= 0) {
		return 0;
	}
	if (ledger_add(base, LYCH_PAGE, (int)ROOT.gate_key, prot) != 0) {
		return -ENOMEM;
	}
	if (ledger_add(base + LYCH_PAGE, 3 * LYCH_PAGE, (int)ROOT.monitor_key, prot) != 0 ||
	    ledger_add(base + AREA_STACK_LOW, AREA_STACK_TOP - AREA_STACK_LOW,
		       (int)ROOT.monitor_key, prot) != 0 ||
	    ledger_add(base + AREA_SIGNALS, AREA_SIZE - AREA_SIGNALS, (int)ROOT.monitor_key,
		       prot) != 0 ||
	    madvise(base, (size_t)4 * LYCH_PAGE, MADV_WIPEONFORK) != 0) {
		return -ENOMEM;
	}
	/* Where the kernel can (6.10): nobody unmaps, retags or moves them, the host's bugs neither. */
	sys3(SYS_mseal, base, (size_t)4 * LYCH_PAGE, 0);
	return 0;
}

/* Whoever poisons a domain takes no lock, and may be looking at the thread that was here. */
static void area_clear(struct area *a)
{
	typedef uint64_t __attribute__((may_alias)) word;

	for (word *w = (word *)a; w < (word *)(a + 1); w++) {
		__atomic_store_n(w, 0, __ATOMIC_RELAXED);
	}
	a->thread.area = a;
	a->thread.sig_stack = (uint64_t)(uintptr_t)a + AREA_STACK_TOP;
	a->thread.area_end = (uint64_t)(uintptr_t)a + AREA_SIZE;
	a->thread.records[0].kind = KIND_BOTTOM;
	__atomic_store_n(&a->thread.top, &a->thread.records[0], __ATOMIC_RELEASE);
	/* Even: calls and callbacks alternate, so that it is a call that is refused, and not a callback that traps. */
	a->thread.limit = &a->thread.records[2 * LYCH_DEPTH];
	for (size_t key = 0; key < KEYS; key++) {
		a->thread.slots[key].id = SLOT_NOBODY;
	}
}

/* An area nobody has, or whose thread is gone without having told. With monitor->lock. */
static struct area *area_claim(void)
{
	struct monitor *m = ROOT.monitor;
	pid_t pid = getpid();

	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct area *a = atomic_load(&m->threads[i]);
		if (a != NULL && sys3(SYS_tgkill, pid, a->thread.tid, 0) == -ESRCH) {
			memory_stacks_of_thread_free(&a->thread);
			atomic_store(&m->threads[i], NULL);
			a = NULL;
		}
		if (a == NULL) {
			return area_at(i);
		}
	}
	return NULL;
}

/* The kick, with a value that proves it is ours; made once, so that no deadline goes unnoticed for
 * want of one. */
static int timer_make(struct thread *t)
{
	struct sigevent event;
	int id = 0;

	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_signo = (int)ROOT.kick;
	event.sigev_value.sival_ptr = (void *)(uintptr_t)ROOT.kick_cookie;
	event._sigev_un._tid = t->tid;
	if (sys3(SYS_timer_create, CLOCK_MONOTONIC, &event, &id) != 0) {
		return -ENOMEM;
	}
	__atomic_store_n(&t->timer, (timer_t)(intptr_t)id, __ATOMIC_RELEASE);
	t->timer_made = 1;
	return 0;
}

static void timer_end(struct thread *t)
{
	if (t->timer_made) {
		sys1(SYS_timer_delete, t->timer);
		t->timer_made = 0;
	}
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* For strangers.c: who is on the way. No place left: that one is waited for, at the most. */
static void attaching(struct monitor *m, int from, int to)
{
	for (size_t i = 0; i < ATTACHING_MAX; i++) {
		int expected = from;
		if (atomic_compare_exchange_strong(&m->attaching[i], &expected, to)) {
			return;
		}
	}
}

/* With all signals blocked; *mask is what the thread blocks itself, and then what it is to block. *rights: what it has; when
 * it could not be attached, what is left of that. */
static int attach_blocked(struct area **out, uint64_t *mask, uint32_t *rights)
{
	uint32_t shot_down[KEYS], view = *rights;
	struct monitor *m;
	struct area *a;
	uint64_t gs = gs_base();
	int err;

	if (ROOT.backend == LYCH_PKU) {
		/* A thread older than the keys, or the child of one, has no rights to them. */
		lych_grant_first_pku();
	}
	m = ROOT.monitor;
	threads_shot_down(shot_down); /* nobody waits for who is attaching */
	attaching(m, 0, (int)sys0(SYS_gettid));
	pthread_mutex_lock(&m->lock);
	a = area_claim();
	err = a == NULL ? -ENOMEM : area_map(a);
	if (err == 0) {
		area_clear(a);
		a->gate.magic = GATE_MAGIC_VALUE;
		a->thread.tid = (int)sys0(SYS_gettid);
		a->thread.host_fs = (uint64_t)(uintptr_t)__builtin_thread_pointer();
		a->thread.view_epoch = m->view_epoch;
		if (ROOT.backend == LYCH_PKU) {
			a->gate.self = (uint64_t)(uintptr_t)a;
		} else {
			a->gate.self_soft = (uint64_t)(uintptr_t)a;
			view = VIEW_DENY_ALL & ~VIEW_BITS(0);
		}
		view = keys_host_view(view);
		a->gate.not_host = ~view;
		a->gate.not_caller = ~view;
		a->gate.soft_pkru = view;
		a->thread.state = THREAD_LIVE;
		err = (int)sys2(SYS_arch_prctl, ARCH_SET_GS, a);
	}
	if (err == 0) {
		lych_tls = a;
		a->thread.rseq_bytes = rseq_unregister();
		err = timer_make(&a->thread);
		if (err == 0) {
			err = signals_attach(a, mask);
		}
		if (err == 0) {
			err = dispatch_arm(a);
			if (err != 0) {
				signals_detach(a, mask);
			}
		}
		if (err == 0) {
			atomic_store(&m->threads[area_index(a)], a);
		} else {
			timer_end(&a->thread);
			rseq_register(a->thread.rseq_bytes);
			lych_tls = NULL;
			area_clear(a);
		}
	}
	attaching(m, (int)sys0(SYS_gettid), 0);
	pthread_mutex_unlock(&m->lock);
	if (err == 0) {
		thread_pkru_update(~0U, view);
		pthread_setspecific(end_key, a);
		*out = a;
	} else {
		sys2(SYS_arch_prctl, ARCH_SET_GS, gs);
		if (ROOT.backend == LYCH_PKU) {
			strangers_lose(threads_shot_down_since(shot_down));
			*rights |= threads_shot_down_since(shot_down);
			strangers_restore(*rights);
		}
	}
	return err;
}

static int may_attach(void)
{
	if (ROOT.monitor == NULL) {
		return -ENOSYS; /* without a look at gs, for which not every machine has an instruction */
	}
	return gs_base() == (uint64_t)(uintptr_t)&lych_refused_page ? -EPERM : 0;
}

static int attach(struct area **out)
{
	uint64_t all = ~0ULL, mask;
	int err = may_attach();
	uint32_t rights;

	if (err != 0) {
		return err;
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	rights = ROOT.backend == LYCH_PKU ? lych_pkru_read_pku() : 0;
	err = attach_blocked(out, &mask, &rights);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	return err;
}

bool thread_attach_at_fault(struct kernel_ucontext *uc)
{
	uint64_t all = ~0ULL, mask = uc->mask, before;
	uint32_t rights;
	struct area *a;
	int err;

	/* On an alternate stack of its own another one cannot be set. */
	if (lych_tls != NULL || ROOT.backend != LYCH_PKU || may_attach() != 0 || (uc->stack.ss_flags & SS_DISABLE) == 0) {
		return false;
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(before));
	rights = strangers_rights(uc);
	err = attach_blocked(&a, &mask, &rights);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	if (err != 0) {
		strangers_set_rights(uc, rights);
		return false;
	}
	/* What rt_sigreturn will set is what attaching has set. */
	uc->mask = mask;
	signals_own_stack(&a->thread, &uc->stack);
	strangers_set_rights(uc, ~a->gate.not_host);
	return true;
}

struct thread *thread_here(void)
{
	struct area *a = lych_tls;

	if (a == NULL || gs_base() != (uint64_t)(uintptr_t)a || (a->gate.self == 0 && a->gate.self_soft == 0)) {
		return NULL;
	}
	return &a->thread;
}

int thread_self(struct thread **out)
{
	struct area *a = lych_tls;
	int err = 0;

	if (a == NULL || gs_base() != (uint64_t)(uintptr_t)a) {
		a = NULL;
		err = attach(&a);
	} else if (a->gate.self == 0 && a->gate.self_soft == 0) {
		/* Wiped, and no fork handler has run: the child of _Fork or of a bare system call.
		 */
		a = NULL;
		err = -EPERM;
	}
	*out = a != NULL ? &a->thread : NULL;
	return err;
}

/* The destructor of end_key: glibc calls it when the thread ends. What others do after it attaches
 * again. */
static void detach(void *arg)
{
	struct area *a = arg;
	struct monitor *m = ROOT.monitor;
	uint64_t all = ~0ULL, mask;

	if (lych_tls != a || a->thread.top != &a->thread.records[0]) {
		return;
	}
	library_thread_ends(&a->thread);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	a->thread.state = THREAD_ENDING;
	dispatch_disarm();
	signals_detach(a, &mask);
	timer_end(&a->thread);
	pthread_mutex_lock(&m->lock);
	/* With the lock, so that no key changes its owner meanwhile: nobody could take a right that outlives the area.
	 * Those to the runtime's two keys, which never get another owner, do no harm. */
	thread_pkru_update(0, keys_not_foreign() & VIEW_DENY_ALL);
	memory_stacks_of_thread_free(&a->thread);
	rseq_register(a->thread.rseq_bytes);
	lych_tls = NULL;
	sys2(SYS_arch_prctl, ARCH_SET_GS, 0);
	atomic_store(&m->threads[area_index(a)], NULL);
	area_clear(a);
	pthread_mutex_unlock(&m->lock);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
}

int threads_start(void)
{
	size_t bytes = (size_t)THREADS_MAX * AREA_SIZE;
	char *at = mmap(NULL, bytes + AREA_SIZE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *aligned;

	if (at == MAP_FAILED) {
		return -ENOMEM;
	}
	aligned = (char *)(((uintptr_t)at + AREA_SIZE - 1) & ~(uintptr_t)(AREA_SIZE - 1));
	if (aligned > at) {
		munmap(at, (size_t)(aligned - at));
	}
	if (aligned - at < AREA_SIZE) {
		munmap(aligned + bytes, AREA_SIZE - (size_t)(aligned - at));
	}
	madvise(aligned, bytes, MADV_DONTDUMP);
	if (pthread_key_create(&end_key, detach) != 0) {
		munmap(aligned, bytes);
		return -ENOMEM;
	}
	sys3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	ROOT.arena = (uint64_t)(uintptr_t)aligned;
	ROOT.arena_bytes = bytes;
	if (ROOT.frames_whole) {
		ROOT.stacks = ROOT.arena;
		ROOT.stacks_bytes = bytes;
		return 0;
	}
	bytes = (size_t)THREADS_MAX * STACK_OLD_BYTES;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED) {
		threads_stop();
		return -ENOMEM;
	}
	madvise(at, bytes, MADV_DONTDUMP);
	ROOT.stacks = (uint64_t)(uintptr_t)at;
	ROOT.stacks_bytes = bytes;
	return 0;
}

void threads_stop(void)
{
	if (ROOT.arena != 0) {
		pthread_key_delete(end_key);
		munmap((void *)(uintptr_t)ROOT.arena, ROOT.arena_bytes);
		if (ROOT.stacks != ROOT.arena && ROOT.stacks != 0) {
			munmap((void *)(uintptr_t)ROOT.stacks, ROOT.stacks_bytes);
		}
		ROOT.arena = ROOT.arena_bytes = 0;
		ROOT.stacks = ROOT.stacks_bytes = 0;
	}
}

/* ---- other threads --------------------------------------------------------------------------- */

int threads_each(int (*fn)(struct thread *t, void *ctx), void *ctx)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct area *a = atomic_load(&ROOT.monitor->threads[i]);
		int err = a != NULL ? fn(&a->thread, ctx) : 0;
		if (err != 0) {
			return err;
		}
	}
	return 0;
}

void thread_kick(struct thread *t)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = (int)ROOT.kick;
	info.si_code = SI_QUEUE;
	info.si_pid = (pid_t)sys0(SYS_getpid);
	info.si_value.sival_ptr = (void *)(uintptr_t)ROOT.kick_cookie;
	if (sys4(SYS_rt_tgsigqueueinfo, info.si_pid, t->tid, ROOT.kick, &info) == -EAGAIN) {
		/* As many signals wait as the user may have (RLIMIT_SIGPENDING). That of the thread's timer has its
		 * place already, and deadlines are looked at again after each kick. */
		thread_timer(t, 1);
	}
}

void threads_barrier(void)
{
	if (sys3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
		sys3(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	}
}

void thread_timer(struct thread *t, uint64_t deadline_ns)
{
	struct itimerspec when = {0};

	when.it_value.tv_sec = (time_t)(deadline_ns / 1000000000);
	when.it_value.tv_nsec = (long)(deadline_ns % 1000000000);
	if (t->timer_made) {
		sys4(SYS_timer_settime, __atomic_load_n(&t->timer, __ATOMIC_ACQUIRE), TIMER_ABSTIME, &when, NULL);
	}
}

int thread_has_timer(struct thread *t)
{
	int err = 0;

	if (!t->timer_made) {
		err = timer_make(t);
		thread_timer(t, 1); /* the kick looks for deadlines there are */
	}
	return err;
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* In monitor memory that a child inherits: the wiped pages of the thread that forks. */
static struct area *fork_copy(void)
{
	return ROOT.fork_copy;
}

void threads_fork_prepare(void)
{
	uint64_t kick = SIGNAL_BIT(SIGNAL_KICK);
	struct thread *self;

	if (ROOT.monitor == NULL || thread_self(&self) != 0) {
		return;
	}
	/* All signals are blocked. Who has the lock may wait for this thread to answer a kick, which takes no lock. */
	sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &kick, NULL, sizeof(kick));
	monitor_lock();
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &kick, NULL, sizeof(kick));
	memory_fork_prepare();
	arenas_freeze();
	ledger_freeze();
	memcpy(fork_copy(), self->area, sizeof(struct area));
}

void threads_fork_parent(void)
{
	if (ROOT.monitor != NULL && thread_attached() != NULL) {
		ledger_thaw();
		arenas_thaw();
		memory_fork_parent();
		monitor_unlock();
	}
}

/*
 * Timers are not inherited, and the child may have none (RLIMIT_SIGPENDING). Without it a call could be past its deadline,
 * or in a poisoned domain, and nobody would end it: so each goes the slow way, where one is asked for again, and those
 * the child is inside of end where their callbacks return. Both with -ENOMEM, as where a thread cannot attach.
 */
static void fork_without_timer(struct thread *t)
{
	for (size_t key = 0; key < KEYS; key++) {
		t->slots[key].id = SLOT_NOBODY;
	}
	for (struct record *r = &t->records[1]; r <= t->top; r++) {
		int32_t none = 0;

		if (r->kind == KIND_CALL) {
			atomic_compare_exchange_strong(&r->cancel, &none, -ENOMEM);
		}
	}
}

void threads_fork_child(void)
{
	struct area *a = lych_tls;
	struct monitor *m = ROOT.monitor;
	pthread_mutexattr_t attr;

	if (m == NULL || a == NULL) {
		return;
	}
	memcpy(a, fork_copy(), sizeof(*a));
	ledger_thaw();
	arenas_thaw();
	memory_fork_child(&a->thread);
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		if (m->domains[i].library != NULL) {
			contexts_fork_child(m->domains[i].library, &a->thread);
		}
	}
	a->thread.tid = (int)sys0(SYS_gettid);
	a->thread.cancel_asked = 0; /* the parent's calls are meant */
	a->thread.timer_made = 0;
	if (timer_make(&a->thread) != 0) {
		fork_without_timer(&a->thread);
	}
	a->thread.rseq_bytes = rseq_unregister() | a->thread.rseq_bytes;
	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct area *other = atomic_load(&m->threads[i]);
		if (other != NULL && other != a) {
			atomic_store(&m->threads[i], NULL);
		}
	}
	domains_fork_child();
	for (size_t i = 0; i < ATTACHING_MAX; i++) {
		atomic_store(&m->attaching[i], 0); /* the parent's threads */
	}
	pthread_mutexattr_init(&attr);
	pthread_mutex_init(&m->lock, &attr);
	signals_fork_child(a);
	if (dispatch_arm(a) != 0) {
		/* Protection is never lost silently: without dispatch no domain may run here. The kernel did it for the
		 * parent, with the same arguments, and needs no memory for it. */
		__builtin_trap();
	}
}
