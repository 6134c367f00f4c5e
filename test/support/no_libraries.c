/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that link parts of the runtime without library domains: there are none, so most of this is never called. */
#include <errno.h>
#include <stdlib.h>

#include "../../gate/library/arena.h"
#include "../../gate/library/library.h"

/* Tests that bring some of the real ones link those. */
#pragma weak arena_guarded
#pragma weak arena_unguarded
#pragma weak arenas_freeze
#pragma weak arenas_thaw
#pragma weak contexts_forget
#pragma weak contexts_go_on
#pragma weak contexts_rest
#pragma weak contexts_resting
#pragma weak contexts_fork_child
#pragma weak context_is_own
#pragma weak context_keep
#pragma weak inside_read
#pragma weak library_again
#pragma weak inside_write
#pragma weak library_answer
#pragma weak library_backtrace
#pragma weak library_drop
#pragma weak library_enter
#pragma weak library_gone
#pragma weak library_is_stack_guard
#pragma weak library_hold
#pragma weak library_leave
#pragma weak library_let_go
#pragma weak library_own_call
#pragma weak library_quick
#pragma weak library_reset
#pragma weak library_settle
#pragma weak library_take
#pragma weak library_thread_ends
#pragma weak library_where

int arena_guarded(struct library *l, void **out, size_t bytes, unsigned int flags)
{
	(void)l, (void)out, (void)bytes, (void)flags;
	abort();
}

void arena_unguarded(struct library *l, void *at, size_t bytes)
{
	(void)l, (void)at, (void)bytes;
	abort();
}

void arenas_freeze(void)
{
}

void arenas_thaw(void)
{
}

void contexts_forget(struct library *l, const struct thread *t)
{
	(void)l, (void)t;
	abort();
}

void contexts_fork_child(struct library *l, const struct thread *self)
{
	(void)l, (void)self;
	abort();
}

bool context_is_own(const struct library *l, const struct thread *t)
{
	(void)l, (void)t;
	abort();
}

bool context_keep(struct library *l, struct thread *t, const struct sigframe *frame)
{
	(void)l, (void)t, (void)frame;
	abort();
}

void contexts_go_on(struct library *l)
{
	(void)l;
}

bool contexts_resting(const struct library *l)
{
	(void)l;
	abort();
}

int contexts_rest(struct library *l, uint64_t end_ns)
{
	(void)l, (void)end_ns;
	abort();
}

long inside_read(const struct library *l, void *to, uint64_t at, uint64_t bytes)
{
	(void)l, (void)to, (void)at, (void)bytes;
	abort();
}

int library_again(struct lych_domain *d)
{
	(void)d;
	abort();
}

long inside_write(const struct library *l, uint64_t at, const void *from, uint64_t bytes)
{
	(void)l, (void)at, (void)from, (void)bytes;
	abort();
}

enum mediated_end library_answer(struct library *l, struct thread *t, const struct mediated *call,
				 struct kernel_sigcontext *mc, long *result)
{
	(void)l, (void)t, (void)call, (void)mc, (void)result;
	abort();
}

void library_backtrace(struct library *l, struct lych_fault *fault)
{
	(void)l, (void)fault;
	abort();
}

void library_drop(struct lych_domain *d)
{
	(void)d;
}

int library_enter(struct lych_domain *d, struct thread *self, struct record *record)
{
	(void)d, (void)self, (void)record;
	abort();
}

void library_gone(struct library *l)
{
	(void)l;
}

bool library_is_stack_guard(struct library *l, uint64_t at, uint64_t sp)
{
	(void)l, (void)at, (void)sp;
	abort();
}

void library_leave(struct lych_domain *d)
{
	(void)d;
	abort();
}

struct library *library_hold(struct lych_domain *d)
{
	(void)d;
	return NULL;
}

void library_let_go(struct library *l)
{
	(void)l;
	abort();
}

bool library_own_call(const struct library *l, void (*fn)(void))
{
	(void)l, (void)fn;
	abort();
}

bool library_quick(struct library *l, struct thread *t, const struct mediated *call, struct kernel_sigcontext *mc,
		   enum mediated_end *end, long *result)
{
	(void)l, (void)t, (void)call, (void)mc, (void)end, (void)result;
	abort();
}

int library_reset(struct lych_domain *d)
{
	(void)d;
	return 0;
}

void library_settle(struct lych_domain *d)
{
	(void)d;
}

int library_take(struct library *l, struct lych_domain *d)
{
	(void)l, (void)d;
	abort();
}

void library_thread_ends(struct thread *self)
{
	(void)self;
}

int library_where(const char *domain, uint64_t address, bool exact, char *out, size_t bytes)
{
	(void)domain, (void)address, (void)exact, (void)out, (void)bytes;
	return -ENOENT;
}
