/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of library domains: those that are about calls and threads; the others are calls.c's. */
#include <asm/prctl.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/signal.h"
#include "../core/thread.h"
#include "calls.h"
#include "library.h"

#define SYSCALL_BYTES 2 /* the instruction, behind which rip is */

static struct slot *slot_of(const struct library *l, struct thread *t)
{
	return &t->slots[l->domain->key];
}

/* ---- of the stub --------------------------------------------------------------------------------------------------- */

static bool table_read(struct library *l, uint64_t at)
{
	struct stub_table table;
	const uint64_t *words = (const uint64_t *)&table;

	if (l->ready || inside_read(l, &table, at, sizeof(table)) != 0 || table.bytes != sizeof(table)) {
		return false;
	}
	for (size_t i = 1; i < sizeof(table) / sizeof(uint64_t); i++) {
		if (!library_holds(l, words[i], 1)) {
			return false;
		}
	}
	l->table = table;
	l->ready = true;
	return true;
}

static enum mediated_end of_the_stub(struct library *l, struct thread *t, const struct mediated *call,
				     struct kernel_sigcontext *mc, long *result)
{
	*result = -EPERM;
	switch (call->arg[0]) {
	case INSIDE_BEGIN:
		if (context_begin(l, t, mc)) {
			*result = (long)mc->rax;
		}
		break;
	case INSIDE_READY:
		return table_read(l, call->arg[1]) ? MEDIATED_RETURN : MEDIATED_RESULT;
	case INSIDE_PARK:
		return context_parks(l, t) ? MEDIATED_RETURN : MEDIATED_RESULT;
	default:
		*result = -ENOSYS;
		break;
	}
	return MEDIATED_RESULT;
}

/* ---- of the C library ------------------------------------------------------------------------------------------------ */

/* In the arena, and so an address that the gate can load. */
static long set_fs(struct library *l, struct thread *t, uint64_t at)
{
	if (!library_holds(l, at, 64)) {
		return -EPERM;
	}
	slot_of(l, t)->fs = at;
	return 0;
}

static long arch_prctl(struct library *l, struct thread *t, const struct mediated *call)
{
	switch (call->arg[0]) {
	case ARCH_SET_FS:
		return set_fs(l, t, call->arg[1]);
	case ARCH_GET_FS:
		return inside_write(l, call->arg[1], &slot_of(l, t)->fs, sizeof(uint64_t));
	default:
		return -EINVAL; /* as a kernel that does not know it: shadow stacks, AMX */
	}
}

bool library_quick(struct library *l, struct thread *t, const struct mediated *call, struct kernel_sigcontext *mc,
		   enum mediated_end *end, long *result)
{
	*end = MEDIATED_RESULT;
	if (policy_foreign(call)) {
		return calls_quick(l, t, call, result);
	}
	if ((uint64_t)call->nr < LYCH_USAGE_CALLS) {
		atomic_fetch_add_explicit(&l->calls[call->nr], 1, memory_order_relaxed);
	}
	switch (call->nr) {
	case LYCH_SYS_INSIDE:
		*end = of_the_stub(l, t, call, mc, result);
		return true;
	case SYS_arch_prctl:
		*result = arch_prctl(l, t, call);
		return true;
	case SYS_set_tid_address:
		context_clear_tid(l, t, call->arg[0]);
		*result = context_tid(l, t);
		return true;
	case SYS_gettid:
		*result = context_tid(l, t);
		return true;
	case SYS_exit:
		*end = context_exit(l, t);
		*result = 0;
		return true;
	case SYS_exit_group:
		*end = atomic_load(&l->leaving) == t->top ? MEDIATED_RETURN : MEDIATED_EXIT;
		*result = 0;
		return true;
	default:
		return calls_quick(l, t, call, result);
	}
}

enum mediated_end library_answer(struct library *l, struct thread *t, const struct mediated *call,
				 struct kernel_sigcontext *mc, long *result)
{
	enum mediated_end end;

	if (call->nr == SYS_clone) {
		*result = context_clone(l, t, call, mc);
		return MEDIATED_RESULT;
	}
	end = calls_answer(l, t, call, result);
	/* There are no signals inside: if it goes on after that, it was stopped (rest.c) before it had done anything. */
	if (end == MEDIATED_RESULT && *result == -EINTR) {
		mc->rip -= SYSCALL_BYTES;
		*result = call->nr;
	}
	return end;
}

bool answer_over(const struct thread *t)
{
	const struct record *top = t->top;

	return atomic_load(&top->cancel) != 0 || !call_goes_on(top) ||
	       (top->deadline_ns != 0 && monotonic_ns() >= top->deadline_ns);
}

bool answer_interrupted(struct library *l, struct thread *t)
{
	return answer_over(t) || context_rests(l, t);
}
