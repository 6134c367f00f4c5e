/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads in a library domain.
 *
 * Each thread of the host that enters needs thread-local storage of the domain's C library, which only that can make. So it
 * is asked for a thread, and its clone is not carried out but caught: where the new thread would begin, and with which fs
 * base, becomes the context of the thread of the host. The code that starts the thread runs there until it parks; calls then
 * use its fs base, on a stack of the runtime's. A thread that code inside wants for itself is a thread of the host that begins
 * there, and stays inside until it ends.
 *
 * Making a context needs one: for the first thread that enters it is the one in which the loader ran (MAIN), for
 * the others one that is made for this only (SPAWNER), by one of them at a time.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/signal.h"
#include "../core/signal_levels.h"
#include "../core/thread.h"
#include "../memory/memory.h"
#include "context_parts.h"
#include "files.h"

#define FINISH_MS 1000

int contexts_new(struct library *l)
{
	struct contexts *c = monitor_alloc(sizeof(*c));

	if (c == NULL) {
		return -ENOMEM;
	}
	atomic_store(&c->used, FIRST);
	l->contexts = c;
	return 0;
}

void contexts_free(struct library *l)
{
	if (l->contexts != NULL) {
		contexts_kept_free(l);
		monitor_free(l->contexts, sizeof(*l->contexts));
		l->contexts = NULL;
	}
}

struct inside_context *context_of(const struct library *l, const struct thread *t)
{
	struct contexts *c = l->contexts;
	uint32_t used = atomic_load(&c->used);

	for (size_t i = 0; i < used; i++) {
		if (atomic_load(&c->at[i].thread) == t && atomic_load(&c->at[i].use) != CONTEXT_FREE) {
			return &c->at[i];
		}
	}
	return NULL;
}

void context_clear(struct inside_context *x)
{
	x->call = NULL;
	x->beginning = false;
	x->ending = NULL;
	x->again = NULL;
	atomic_store(&x->stopped, false);
	atomic_store(&x->never, false);
}

struct inside_context *context_claim(struct library *l, enum context_use use)
{
	struct contexts *c = l->contexts;

	for (size_t i = FIRST; i < CONTEXTS; i++) {
		uint32_t is_free = CONTEXT_FREE, used = atomic_load(&c->used);

		/* Before it can have a thread. */
		while (used <= i && !atomic_compare_exchange_weak(&c->used, &used, (uint32_t)i + 1)) {
		}
		if (atomic_compare_exchange_strong(&c->at[i].use, &is_free, use)) {
			context_clear(&c->at[i]);
			return &c->at[i];
		}
	}
	return NULL;
}

void context_release(struct inside_context *x)
{
	atomic_store(&x->thread, NULL);
	atomic_store(&x->stopped, false); /* in a child of fork: the parent's was */
	atomic_store(&x->use, CONTEXT_FREE);
}

uint32_t contexts_own(const struct library *l)
{
	return atomic_load(&l->contexts->own);
}

bool context_is_own(const struct library *l, const struct thread *t)
{
	const struct inside_context *x = context_of(l, t);

	return x != NULL && atomic_load(&x->use) == CONTEXT_OWN;
}

int context_tid(struct library *l, const struct thread *t)
{
	const struct inside_context *x = context_of(l, t);

	return x != NULL ? x->tid : SPAWNER_TID;
}

void context_clear_tid(struct library *l, struct thread *t, uint64_t at)
{
	struct inside_context *x = context_of(l, t);

	if (x != NULL) {
		x->clear_tid = library_holds(l, at, sizeof(int)) ? at : 0;
	}
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

int inside_call(struct library *l, const char *name, uint64_t fn, const uint64_t arg[3], uint64_t deadline_ns, long *result)
{
	/* Three integer registers: skip as LYCH_I_BINDING has it. */
	const struct lych_binding binding = {.fn = (void (*)(void))(uintptr_t)fn, .skip = 7, .ngpr = 3, .align = 4, .name = name};
	int status = 0;
	struct lych_hidden hidden = LYCH_I_HIDDEN(l->domain, &binding, &status, deadline_ns);
	void (*gate)(void) = lych_gate;
	long r = ((long (*)(struct lych_hidden, uint64_t, uint64_t, uint64_t))gate)(hidden, arg[0], arg[1], arg[2]);

	if (result != NULL) {
		*result = r;
	}
	return status;
}

static int call_plain(struct library *l, const char *name, uint64_t fn, uint64_t deadline_ns, long *result)
{
	return inside_call(l, name, fn, (const uint64_t[3]){0}, deadline_ns, result);
}

int context_slot_take(struct library *l, struct thread *self, uint64_t fs)
{
	/* From when it has a stack a handler of the host may call the domain. */
	__atomic_store_n(&context_slot(l, self)->fs, fs, __ATOMIC_SEQ_CST);
	return memory_stack_new(l->domain, self);
}

static int slot_take_locked(struct library *l, struct thread *self, uint64_t fs)
{
	int rc;

	monitor_lock();
	rc = context_slot_take(l, self, fs);
	monitor_unlock();
	return rc;
}

/* ---- contexts of threads of the host ------------------------------------------------------------------------------ */

/* Runs x on self, which has a stack, until it parks or is ready. */
static int begin(struct library *l, struct thread *self, struct inside_context *x, uint64_t deadline_ns)
{
	int rc;

	x->beginning = true;
	atomic_store(&x->thread, self);
	rc = call_plain(l, "thread", l->begin, deadline_ns, NULL);
	x->beginning = false;
	x->call = NULL;
	return rc;
}

int context_main(struct library *l, const struct inside_start *start, uint64_t deadline_ns)
{
	struct inside_context *x = &l->contexts->at[MAIN];
	struct thread *self;
	int rc = thread_self(&self);

	if (rc == 0) {
		rc = slot_take_locked(l, self, l->start);
	}
	if (rc != 0) {
		return rc;
	}
	x->tid = (int)atomic_load(&self->tid);
	x->start = *start;
	x->id = atomic_load(&l->domain->id);
	atomic_store(&x->use, CONTEXT_HOST);
	rc = begin(l, self, x, deadline_ns);
	x->fs = context_slot(l, self)->fs;
	return rc != 0 || l->ready ? rc : -EFAULT;
}

/* A thread that the C library inside makes, caught. self is in a context from which it can be asked. */
static int catch(struct library *l, struct thread *self, uint64_t deadline_ns)
{
	struct contexts *c = l->contexts;
	long err = 0;
	int rc;

	c->caught.is = false;
	atomic_store(&c->maker, self);
	rc = call_plain(l, "pthread_create", l->table.spawn, deadline_ns, &err);
	atomic_store(&c->maker, NULL);
	if (rc == 0 && !c->caught.is) {
		rc = err == EAGAIN || err == ENOMEM ? -ENOMEM : -EFAULT;
	}
	return rc;
}

/* What was caught becomes x, and self's. */
static int become(struct library *l, struct thread *self, struct inside_context *x, int tid, uint64_t deadline_ns)
{
	const struct caught *caught = &l->contexts->caught;
	int rc;

	x->tid = tid;
	x->fs = caught->fs;
	x->clear_tid = caught->clear_tid;
	x->start = caught->start;
	x->id = l->domain->next_id; /* id is 0 where it is paused, or this is to end */
	context_slot(l, self)->fs = x->fs;
	rc = begin(l, self, x, deadline_ns);
	context_slot(l, self)->fs = x->fs;
	return rc;
}

/* 0: it is closed. One that is paused is waited for. */
static uint64_t open_id(struct lych_domain *d)
{
	uint64_t id = atomic_load(&d->id);

	if (id == 0) {
		monitor_lock();
		id = atomic_load(&d->id);
		monitor_unlock();
	}
	return id;
}

/* ---- one at a time ------------------------------------------------------------------------------------------------- */

static void making_end(struct contexts *c)
{
	atomic_store(&c->maker, NULL);
	atomic_store(&c->making, NULL);
	atomic_fetch_add(&c->made, 1);
	sys3(SYS_futex, &c->made, FUTEX_WAKE_PRIVATE, 1);
}

static bool making_try(struct contexts *c, struct thread *self)
{
	struct thread *nobody = NULL;

	return atomic_compare_exchange_strong(&c->making, &nobody, self);
}

/*
 * Another thread may be inside on the way there, for as long as the domain likes. 0; or how the call of record ends, which is asked
 * for in between as the kick need not come while this waits.
 */
static int making_begin(struct library *l, struct thread *self, struct record *record)
{
	const struct timespec slice = {.tv_nsec = 10000000};
	struct contexts *c = l->contexts;

	for (;;) {
		uint32_t made = atomic_load(&c->made);
		int rc = atomic_load(&record->cancel);

		if (rc != 0 || open_id(l->domain) == 0) {
			return rc != 0 ? rc : -ECANCELED;
		}
		if (record->deadline_ns != 0 && monotonic_ns() >= record->deadline_ns) {
			return -ETIMEDOUT;
		}
		if (making_try(c, self)) {
			return 0;
		}
		sys4(SYS_futex, &c->made, FUTEX_WAIT_PRIVATE, made, &slice);
	}
}

int context_spawner(struct library *l, uint64_t deadline_ns)
{
	struct contexts *c = l->contexts;
	struct inside_context *main = &c->at[MAIN], *x = &c->at[SPAWNER];
	struct thread *self;
	int rc = thread_self(&self);

	if (rc != 0) {
		return rc;
	}
	if (!making_try(c, self)) {
		return -EBUSY; /* nobody else has seen the domain */
	}
	rc = catch(l, self, deadline_ns);
	if (rc == 0) {
		atomic_store(&main->thread, NULL);
		atomic_store(&x->use, CONTEXT_HOST);
		rc = become(l, self, x, SPAWNER_TID, deadline_ns);
		atomic_store(&x->thread, NULL);
		atomic_store(&main->thread, self);
		context_slot(l, self)->fs = main->fs;
	}
	making_end(c);
	return rc;
}

static int make(struct library *l, struct thread *self, uint64_t deadline_ns)
{
	struct contexts *c = l->contexts;
	struct inside_context *x = context_of(l, self);
	int rc;

	/* One of before a reset went with it; MAIN is as it was after the start. */
	if (x == &c->at[MAIN]) {
		return slot_take_locked(l, self, x->fs);
	}
	if (x != NULL) {
		context_release(x);
	}
	rc = slot_take_locked(l, self, c->at[SPAWNER].fs);
	if (rc != 0) {
		return rc;
	}
	x = context_claim(l, CONTEXT_HOST);
	rc = x == NULL ? -ENOMEM : catch(l, self, deadline_ns);
	if (rc == 0) {
		rc = become(l, self, x, (int)atomic_load(&self->tid), deadline_ns);
	}
	if (rc != 0) {
		if (x != NULL) {
			context_release(x);
		}
		/* The next call begins anew. */
		context_slot(l, self)->id = SLOT_NOBODY;
		context_slot(l, self)->fs = 0;
	}
	return rc;
}

int library_enter(struct lych_domain *d, struct thread *self, struct record *record)
{
	/* The domain may be another one by now; what is there when it has an id stays as long as this call is on record. */
	uint64_t id = open_id(d);
	struct library *l = id != 0 ? d->library : NULL;
	/* A handler of the host that interrupts this must neither want a context, too, nor leave it. */
	uint64_t most = ~SIGNALS_SIX & ~SIGNAL_BIT(SIGNAL_KICK), mask = 0, host_mask = self->host_mask;
	struct record *limit = self->limit;
	int rc;

	if (l == NULL || !l->ready || self->slots[d->key].id == (id & ~1ULL)) {
		return 0; /* the rest of the slow way says what */
	}
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &most, &mask, sizeof(mask));
	self->host_mask |= SIGNALS_SIX;
	rc = making_begin(l, self, record);
	if (rc == 0) {
		/* Room for a call, and for no callback out of it, which could be left by longjmp: a trap. */
		self->limit = self->top < limit ? (struct record *)((char *)self->top + 1) : limit;
		rc = make(l, self, record->deadline_ns);
		self->limit = limit;
		making_end(l->contexts);
	}
	self->host_mask = host_mask;
	signals_raise_pending(self);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	return rc;
}

void library_thread_ends(struct thread *self)
{
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		struct lych_domain *d = &ROOT.monitor->domains[i];
		struct inside_context *x;
		uint64_t before;

		monitor_lock();
		x = atomic_load(&d->state) == DOMAIN_READY && d->library != NULL && !d->leaving && !d->ending
			    ? context_of(d->library, self)
			    : NULL;
		if (x == NULL || x == &d->library->contexts->at[MAIN] ||
		    context_slot(d->library, self)->id != (atomic_load(&d->id) & ~1ULL)) {
			monitor_unlock();
			continue;
		}
		/* The library does not go meanwhile. */
		atomic_fetch_add(&d->library->contexts->alive, 1);
		monitor_unlock();
		x->ending = self->top + 1; /* a call out of a callback below it is another one */
		(void)call_plain(d->library, "pthread_exit", d->library->table.finish, lych_deadline_in(FINISH_MS, &before), NULL);
		lych_deadline_over(before);
		atomic_fetch_sub(&d->library->contexts->alive, 1);
	}
}

/* With monitor->lock, self's area is about to be somebody else's. */
void contexts_forget(struct library *l, const struct thread *self)
{
	struct inside_context *x = context_of(l, self);

	if (atomic_load(&l->contexts->making) == self) {
		making_end(l->contexts);
	}
	if (x == &l->contexts->at[MAIN]) {
		atomic_store(&x->thread, NULL);
	} else if (x != NULL) {
		context_release(x);
	}
}

void contexts_fork_child(struct library *l, const struct thread *self)
{
	struct contexts *c = l->contexts;
	uint32_t own = 0, ending = 0;

	for (size_t i = 0; c != NULL && i < CONTEXTS; i++) {
		struct inside_context *x = &c->at[i];
		bool mine = atomic_load(&x->thread) == self;

		if (i < FIRST) {
			atomic_store(&x->thread, mine ? (struct thread *)self : NULL);
		} else if (!mine) {
			context_release(x);
		} else {
			own += atomic_load(&x->use) == CONTEXT_OWN;
			ending += x->ending != NULL;
		}
	}
	if (c == NULL) {
		return; /* it was just being made */
	}
	l->held = 0;
	files_fork_child(l, threads_inside(l->domain, true));
	atomic_store(&c->own, own);
	atomic_store(&c->alive, own + ending);
	atomic_store(&c->resting, 0);
	if (atomic_load(&c->making) != self) {
		making_end(c);
	}
}

/* ---- what system calls ask of them --------------------------------------------------------------------------------- */

/* Registers are those of a copy (sigframe.h). */
static struct sigframe *frame_of(struct kernel_sigcontext *mc)
{
	return (struct sigframe *)(void *)((char *)mc - offsetof(struct sigframe, uc.mc));
}

bool context_begin(struct library *l, struct thread *t, struct kernel_sigcontext *mc)
{
	struct inside_context *x = context_of(l, t);
	const struct inside_start *s;

	if (x == NULL || !x->beginning || t->top->kind != KIND_CALL) {
		return false;
	}
	x->beginning = false;
	x->call = t->top;
	if (x->again != NULL) {
		const struct kept *k = x->again;

		x->again = NULL;
		context_slot(l, t)->sp = k->sp;
		return kept_restore(frame_of(mc), k);
	}
	s = &x->start;
	mc->rip = s->rip;
	mc->rsp = s->rsp;
	mc->rax = s->rax;
	mc->rbx = s->rbx;
	mc->rcx = s->rcx;
	mc->rdx = s->rdx;
	mc->rsi = s->rsi;
	mc->rdi = s->rdi;
	mc->rbp = s->rbp;
	mc->r8 = s->r8;
	mc->r9 = s->r9;
	mc->r10 = s->r10;
	mc->r11 = s->r11;
	mc->r12 = s->r12;
	mc->r13 = s->r13;
	mc->r14 = s->r14;
	mc->r15 = s->r15;
	if (atomic_load(&x->use) == CONTEXT_OWN) {
		context_slot(l, t)->sp = s->rsp & ~15ULL; /* the gate's own frame is not needed any more */
	}
	return true;
}

bool context_parks(struct library *l, struct thread *t)
{
	const struct inside_context *x = context_of(l, t);

	return x != NULL && atomic_load(&x->use) == CONTEXT_HOST && x->call == t->top;
}

enum mediated_end context_exit(struct library *l, struct thread *t)
{
	const struct inside_context *x = context_of(l, t);
	bool own = x != NULL && atomic_load(&x->use) == CONTEXT_OWN && x->call == t->top;

	return own || (x != NULL && x->ending == t->top) ? MEDIATED_RETURN : MEDIATED_EXIT;
}

struct library *library_hold(struct lych_domain *d)
{
	if (d->library != NULL) {
		d->library->held++;
	}
	return d->library;
}

void library_let_go(struct library *l)
{
	/* In a child of fork nobody holds it. */
	l->held -= l->held > 0;
}

void contexts_wait(struct library *l)
{
	while (atomic_load(&l->contexts->alive) != 0 || l->held != 0) {
		struct timespec pause = {.tv_nsec = 1000000};

		monitor_unlock();
		sys2(SYS_nanosleep, &pause, NULL);
		monitor_lock();
	}
}
