/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch. What is not answered anywhere below is refused: EPERM, or ENOSYS for a number that is no call, and told
 * by lych_refused.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "calls_parts.h"

#define RUNS 4ULL /* the right that only the door gives */

/* What the policy says: true when that is the answer. */
static bool refused(const struct answer *a, long *result)
{
	int err = EPERM;

	if (!policy_foreign(a->call)) {
		switch (rules_decide(a->l->rules, a->call->nr, &err)) {
		case RULES_ANSWER:
			return false;
		case RULES_LEARN:
			rules_learn_call(a->l->rules, a->call->nr);
			return false;
		case RULES_GONE:
			*result = -ENOSYS;
			return true;
		case RULES_REFUSE:
			break;
		}
	}
	mediator_refused(a->l->domain, a->call);
	*result = -err;
	return true;
}

/* Of memory: what a file is mapped from stays open until it is. */
static long do_mmap(const struct answer *a)
{
	const uint64_t *arg = a->call->arg;
	struct file *f = NULL;
	long real = -1;

	if (!(arg[3] & MAP_ANONYMOUS)) {
		f = file_hold(a->l, arg[4]);
		if (f == NULL) {
			return -EBADF;
		}
		real = file_real(f);
	}
	long rc = f != NULL && real < 0 ? real
		  : arg[2] & RUNS	? library_code(a->l, arg[0], arg[1], arg[2], (uint32_t)arg[3], real, arg[5])
					: arena_mmap(a->l, arg[0], arg[1], arg[2], (uint32_t)arg[3], real, arg[5]);
	if (f != NULL) {
		file_drop(a->l, f);
	}
	return rc;
}

/* For who asks why it has ended: it is seldom prepared for that. */
static void note_no_memory(const struct answer *a, long result)
{
	const uint64_t *arg = a->call->arg;

	if (a->call->nr == SYS_brk && (uint64_t)result < arg[0]) {
		mediator_no_memory(a->l->domain, arg[0] - (uint64_t)result);
	} else if ((a->call->nr == SYS_mmap || a->call->nr == SYS_mprotect) && result == -ENOMEM) {
		mediator_no_memory(a->l->domain, arg[1]);
	} else if (a->call->nr == SYS_mremap && result == -ENOMEM) {
		mediator_no_memory(a->l->domain, arg[2]);
	}
}

static bool memory_call(const struct answer *a, long *result)
{
	const uint64_t *arg = a->call->arg;
	struct library *l = a->l;

	switch (a->call->nr) {
	case SYS_brk:
		*result = arena_brk(l, arg[0]);
		return true;
	case SYS_mmap:
		*result = do_mmap(a);
		return true;
	case SYS_munmap:
		*result = arena_munmap(l, arg[0], arg[1]);
		return true;
	case SYS_mprotect:
		*result = arg[2] & RUNS ? library_code(l, arg[0], arg[1], arg[2], LIBRARY_CODE_PROTECT, -1, 0)
					: arena_mprotect(l, arg[0], arg[1], arg[2]);
		return true;
	case SYS_mremap:
		*result = arena_mremap(l, arg[0], arg[1], arg[2], arg[3], arg[4]);
		return true;
	case SYS_madvise:
		*result = arena_madvise(l, arg[0], arg[1], (uint32_t)arg[2]);
		return true;
	case SYS_mincore:
		*result = arena_mincore(l, arg[0], arg[1], arg[2]);
		return true;
	case SYS_msync:
		*result = arena_msync(l, arg[0], arg[1], (uint32_t)arg[2]);
		return true;
	case SYS_mlock:
		*result = arena_mlock(l, arg[0], arg[1]);
		return true;
	case SYS_munlock:
		*result = arena_munlock(l, arg[0], arg[1]);
		return true;
	default:
		return false;
	}
}

/* Signals reach nobody: a deadly one to itself, or to one of its threads, ends the call. */
static bool kill_call(const struct answer *a, enum mediated_end *end, long *result)
{
	const uint64_t *arg = a->call->arg;
	int pid = (int)sys0(SYS_getpid), sig;
	bool itself;

	switch (a->call->nr) {
	case SYS_kill:
		itself = low_int(arg[0]) == pid;
		sig = low_int(arg[1]);
		break;
	case SYS_tkill:
		itself = low_int(arg[0]) == context_tid(a->l, a->t);
		sig = low_int(arg[1]);
		break;
	case SYS_tgkill: /* whichever thread it is: nothing is sent */
		itself = low_int(arg[0]) == pid;
		sig = low_int(arg[2]);
		break;
	default:
		return false;
	}
	*end = MEDIATED_RESULT;
	if (itself && (sig == 0 || policy_deadly(sig))) {
		*end = sig == 0 ? MEDIATED_RESULT : MEDIATED_ABORT;
		*result = sig;
		return true;
	}
	*result = itself && (sig < 0 || sig > 64) ? -EINVAL : -EPERM;
	mediator_refused(a->l->domain, a->call);
	return true;
}

bool calls_quick(struct library *l, struct thread *t, const struct mediated *call, long *result)
{
	const struct answer a = {l, t, call};

	return refused(&a, result) || clocks_call(&a, result) || futex_quick(&a, result) || self_call(&a, result);
}

enum mediated_end calls_answer(struct library *l, struct thread *t, const struct mediated *call, long *result)
{
	const struct answer a = {l, t, call};
	enum mediated_end end;

	if (calls_quick(l, t, call, result)) {
		return MEDIATED_RESULT;
	}
	if (memory_call(&a, result)) {
		note_no_memory(&a, *result);
		return MEDIATED_RESULT;
	}
	if (futex_call(&a, result) ||
	    sleep_call(&a, result) || files_call(l, t, call, result)) {
		return MEDIATED_RESULT;
	}
	if (kill_call(&a, &end, result)) {
		return end;
	}
	if (call->nr == SYS_exit || call->nr == SYS_exit_group) {
		*result = low_int(call->arg[0]);
		return MEDIATED_EXIT;
	}
	if (call->nr == SYS_getrandom) {
		*result = (uint32_t)call->arg[2] & ~7U				 ? -EINVAL
			  : outside(&a, call->arg[0], call->arg[1]) ? -EFAULT
				  : arena_call(&a, SYS_getrandom, (long)call->arg[0], (long)call->arg[1],
					       (uint32_t)call->arg[2] | 1, 0, 0, 0);
		return MEDIATED_RESULT;
	}
	mediator_refused(l->domain, call);
	*result = -EPERM;
	return MEDIATED_RESULT;
}
