/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New tasks (G8): what a child has of its parent's area, and what it must not have.
 *
 *	fork                         the area is rebuilt before any other fork handler of the child runs
 *	vfork                        is fork: the child shares no memory. POSIX asks for no more
 *	clone without CLONE_VM       no fork handlers: the child's gates refuse with -EPERM
 *	_Fork, syscall(SYS_fork)     not seen: the child finds its area wiped, and its gates refuse
 *	clone, CLONE_VM without CLONE_SETTLS   shares gs, fs and area with its parent: its gates refuse
 *	clone, CLONE_VM and CLONE_SETTLS       a thread: attaches when it first uses a gate
 *	posix_spawn, system, popen   call the kernel inside libc; their child executes nothing of the program's
 *
 * A bare syscall(SYS_vfork), or syscall(SYS_clone) with CLONE_VM, of the host cannot be seen, and its child must use no
 * gate. Code in a domain cannot make one (G5).
 */
#include <asm/prctl.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "asm.h"
#include "task.h"
#include "thread.h"

/* glibc's own names for what is interposed. */
extern int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

static void refuse_gates(void)
{
	sys2(SYS_arch_prctl, ARCH_SET_GS, &lych_refused_page);
}

/* ---- fork ----------------------------------------------------------------------------------- */

/*
 * All signals are blocked from the last prepare handler to the first child handler: in between the child's area is
 * empty. The mask is the thread's own business, so it may lie in its TLS.
 */
static __thread uint64_t mask_before;
static __thread enum { FORK_NONE, FORK_ATTACHED, FORK_REFUSED } forking;

static void prepare(void)
{
	uint64_t all = ~0ULL;
	struct thread *self;

	forking = FORK_NONE;
	if (ROOT.ready == 0) {
		return;
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask_before, sizeof(all));
	if (thread_self(&self) == 0) {
		threads_fork_prepare();
		forking = FORK_ATTACHED;
	} else {
		forking = FORK_REFUSED;
	}
}

static void in_parent(void)
{
	if (forking == FORK_NONE) {
		return;
	}
	if (forking == FORK_ATTACHED) {
		threads_fork_parent();
	}
	forking = FORK_NONE;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask_before, NULL, sizeof(mask_before));
}

static void in_child(void)
{
	if (forking == FORK_NONE) {
		return;
	}
	if (forking == FORK_ATTACHED) {
		threads_fork_child();
	} else {
		refuse_gates(); /* nobody has put aside what an area holds, nor waited for the monitor's lock */
	}
	forking = FORK_NONE;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask_before, NULL, sizeof(mask_before));
}

/*
 * Child handlers run in the order they were registered in, prepare handlers in reverse: whoever is first has the
 * shortest time in between, and code of others meets a rebuilt area.
 */
__attribute__((constructor(101))) static void register_handlers(void)
{
	(void)pthread_atfork(prepare, in_parent, in_child);
}

void task_start(void)
{
}

/* ---- interposed ----------------------------------------------------------------------------- */

LYCH_API pid_t vfork(void);
pid_t vfork(void)
{
	return fork();
}

/* On the child's stack: what to run once it has no area. */
struct start {
	int (*fn)(void *);
	void *arg;
};

static int run_refused(void *at)
{
	struct start start = *(struct start *)at;

	refuse_gates();
	return start.fn(start.arg);
}

LYCH_API int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	const int thread = CLONE_VM | CLONE_SETTLS;
	va_list ap;

	va_start(ap, arg);
	pid_t *parent_tid = va_arg(ap, pid_t *);
	void *tls = va_arg(ap, void *);
	pid_t *child_tid = va_arg(ap, pid_t *);
	va_end(ap);

	if (ROOT.ready != 0 && (flags & thread) != thread && fn != NULL && stack != NULL) {
		uintptr_t top = ((uintptr_t)stack & ~(uintptr_t)15) - sizeof(struct start);
		struct start *start = (struct start *)top;
		*start = (struct start){.fn = fn, .arg = arg};
		return __clone(run_refused, start, flags, start, parent_tid, tls, child_tid);
	}
	return __clone(fn, stack, flags, arg, parent_tid, tls, child_tid);
}
