/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of a library domain's own, and the clone by which all its threads come to be (context.c): each is a thread of the host
 * that begins inside, and stays there until it ends.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/signal.h"
#include "../core/thread.h"
#include "context_parts.h"

/* Of a caught thread's stack, the gate's own frame is below it. */
#define BELOW 512
/* Above those of the kernel, below the SPAWNER's: what a mutex notes of its owner is 30 bits. */
#define OWN_TIDS 0x20000000U
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS)
#define KNOWN_FLAGS (THREAD_FLAGS | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | \
		     CLONE_DETACHED)

/* For a new thread, on the stack of the one that makes it until it has answered. */
struct birth {
	struct library *library;
	const struct inside_start *start; /* NULL: it is one that was there before */
	struct inside_context *again;     /* which; else NULL */
	uint64_t fs, clear_tid, parent_tid, child_tid;
	uint64_t mask; /* of signals, for the thread */
	_Atomic uint32_t answered;
	long tid; /* or -errno */
};

static void answer_birth(struct birth *b, long tid)
{
	b->tid = tid;
	atomic_store(&b->answered, 1);
	sys3(SYS_futex, &b->answered, FUTEX_WAKE_PRIVATE, 1);
}

/*
 * With monitor->lock. Callbacks come from anywhere on the thread's own stack, which is all of the arena as far as we know. One that
 * goes on may have no room below: the gate's frame is on the runtime's stack then.
 */
static int own_slot(struct library *l, struct thread *self, const struct birth *b, struct inside_context *x)
{
	struct slot *slot = context_slot(l, self);
	int rc = context_slot_take(l, self, b->fs);

	if (rc == 0) {
		x->spare_sp = slot->sp;
		slot->low = l->start;
		slot->top = l->end;
		if (b->start != NULL) {
			slot->sp = (b->start->rsp - BELOW) & ~15ULL;
		}
	}
	return rc;
}

/* Those of the kernel could be another thread's by the time a reset has brought this one back. */
static int own_tid(struct contexts *c)
{
	uint32_t used = atomic_load(&c->used);

	for (;;) {
		int tid = (int)(OWN_TIDS | (atomic_fetch_add(&c->next_tid, 1) & (OWN_TIDS / 2 - 1)));
		bool taken = false;

		for (size_t i = FIRST; i < used && !taken; i++) {
			const struct inside_context *x = &c->at[i];

			taken = (atomic_load(&x->use) == CONTEXT_OWN && x->tid == tid) ||
				(x->snapshot != NULL && x->snapshot->tid == tid);
		}
		if (!taken) {
			return tid;
		}
	}
}

static int own_prepare(struct library *l, struct thread *self, const struct birth *b, struct inside_context **out)
{
	struct inside_context *x = b->again != NULL ? b->again : context_claim(l, CONTEXT_OWN);
	int tid, rc = -ENOMEM;

	if (x == NULL) {
		return -EAGAIN;
	}
	tid = b->again != NULL ? x->tid : own_tid(l->contexts);
	monitor_lock();
	x->id = atomic_load(&l->domain->id);
	if (x->id != 0) {
		rc = own_slot(l, self, b, x);
	}
	monitor_unlock();
	if ((rc == 0 && b->parent_tid != 0 && inside_write(l, b->parent_tid, &tid, sizeof(tid)) != 0) ||
	    (rc == 0 && b->child_tid != 0 && inside_write(l, b->child_tid, &tid, sizeof(tid)) != 0)) {
		rc = -EFAULT;
	}
	if (rc != 0) {
		context_release(x);
		return rc;
	}
	x->tid = tid;
	x->fs = b->fs;
	x->clear_tid = b->clear_tid;
	if (b->start != NULL) {
		x->start = *b->start;
	}
	x->beginning = true;
	atomic_store(&x->thread, self);
	*out = x;
	return 0;
}

static void *own_thread(void *arg)
{
	struct birth *b = arg;
	struct library *l = b->library;
	struct contexts *c = l->contexts;
	struct inside_context *x = NULL;
	struct thread *self;
	uint64_t mask;
	int rc = thread_self(&self);

	if (rc == 0) {
		rc = own_prepare(l, self, b, &x);
	} else if (b->again != NULL) {
		context_release(b->again);
	}
	mask = b->mask;
	answer_birth(b, rc != 0 ? rc : x->tid);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	if (rc == 0) {
		uint64_t clear_tid;

		do {
			rc = inside_call(l, "thread", l->begin, (const uint64_t[3]){0}, 0, NULL);
		} while ((rc == 0 && own_stopped(l, x)) || (rc == -ECANCELED && own_not_begun(l, x)));
		/* As the kernel does it, for who joins. Nothing is read there any more when the domain has ended. */
		clear_tid = x->clear_tid;
		context_release(x);
		/* Counted no more before somebody who joins it can know: then there is room for another. */
		atomic_fetch_sub(&c->own, 1);
		if (rc == 0 && clear_tid != 0) {
			const int none = 0;

			if (inside_write(l, clear_tid, &none, sizeof(none)) == 0) {
				sys3(SYS_futex, clear_tid, FUTEX_WAKE_PRIVATE, 1);
			}
		}
	} else {
		atomic_fetch_sub(&c->own, 1);
	}
	atomic_fetch_sub(&c->alive, 1); /* from here on the library may be gone */
	return NULL;
}

/* Of which own and alive count already. */
static long own_begin(struct birth *b)
{
	struct contexts *c = b->library->contexts;
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, own_thread, b);
	pthread_attr_destroy(&attr);
	if (rc != 0) {
		if (b->again != NULL) {
			context_release(b->again);
		}
		atomic_fetch_sub(&c->own, 1);
		atomic_fetch_sub(&c->alive, 1);
		return -EAGAIN;
	}
	while (atomic_load(&b->answered) == 0) {
		sys4(SYS_futex, &b->answered, FUTEX_WAIT_PRIVATE, 0, NULL);
	}
	return b->tid;
}

/* A handler of the host that leaves by siglongjmp would take the birth away under the new thread. */
static long own_start(struct birth *b)
{
	uint64_t most = ~SIGNALS_SIX & ~SIGNAL_BIT(SIGNAL_KICK);
	long tid;

	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &most, &b->mask, sizeof(b->mask));
	tid = own_begin(b);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &b->mask, NULL, sizeof(b->mask));
	return tid;
}

static long own_new(struct birth *b)
{
	struct library *l = b->library;
	struct contexts *c = l->contexts;
	long tid;

	if (atomic_fetch_add(&c->own, 1) >= l->threads) {
		atomic_fetch_sub(&c->own, 1);
		return -EAGAIN;
	}
	atomic_fetch_add(&c->alive, 1);
	tid = own_start(b);
	if (tid > 0) {
		atomic_fetch_add(&l->threads_made, 1);
	}
	return tid;
}

int own_again(struct library *l, struct inside_context *x)
{
	struct birth b = {.library = l, .again = x, .fs = x->again->fs, .clear_tid = x->again->clear_tid};
	long tid = own_start(&b);

	return tid < 0 ? (int)tid : 0;
}

long context_clone(struct library *l, struct thread *t, const struct mediated *call, const struct kernel_sigcontext *mc)
{
	struct contexts *c = l->contexts;
	uint64_t flags = call->arg[0], stack = call->arg[1], fs = call->arg[4];
	struct birth b = {.library = l, .fs = fs};
	/* As the kernel has it: what the caller has, but for these. */
	struct inside_start start = {.rip = mc->rip, .rsp = stack, .rax = 0, .rbx = mc->rbx, .rcx = mc->rip, .rdx = mc->rdx,
				     .rsi = mc->rsi, .rdi = mc->rdi, .rbp = mc->rbp, .r8 = mc->r8, .r9 = mc->r9, .r10 = mc->r10,
				     .r11 = mc->rflags, .r12 = mc->r12, .r13 = mc->r13, .r14 = mc->r14, .r15 = mc->r15};

	if ((flags & THREAD_FLAGS) != THREAD_FLAGS || (flags & ~(uint64_t)KNOWN_FLAGS) != 0) {
		mediator_refused(l->domain, call);
		return -EPERM; /* a process, or something that is neither */
	}
	if (!library_holds(l, stack - BELOW - LYCH_PAGE, BELOW + LYCH_PAGE) || !library_holds(l, fs, 64)) {
		return -EINVAL;
	}
	b.start = &start;
	b.parent_tid = flags & CLONE_PARENT_SETTID ? call->arg[2] : 0;
	b.child_tid = flags & CLONE_CHILD_SETTID ? call->arg[3] : 0;
	b.clear_tid = flags & CLONE_CHILD_CLEARTID && library_holds(l, call->arg[3], sizeof(int)) ? call->arg[3] : 0;
	if (atomic_load(&c->maker) != t) {
		return own_new(&b);
	}
	if (c->caught.is) {
		return -EAGAIN;
	}
	/* The SPAWNER itself is made by MAIN; all others are of the thread that makes them. */
	int tid = context_slot(l, t)->fs == c->at[MAIN].fs ? SPAWNER_TID : (int)atomic_load(&t->tid);
	if (b.parent_tid != 0 && inside_write(l, b.parent_tid, &tid, sizeof(tid)) != 0) {
		return -EFAULT;
	}
	c->caught = (struct caught){.is = true, .fs = fs, .clear_tid = b.clear_tid, .start = start};
	return tid;
}
