/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of the host's views when a key changes its owner (G8): every attached thread follows, and says so; whoever
 * changes it waits until all have.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "asm.h"
#include "keys.h"
#include "thread.h"

#define FOLLOW_PAUSES 20000 /* of 50 us, and the kernel's slack */
#define KICK_EVERY 1024

uint32_t thread_view_less(uint32_t view)
{
	return view | ROOT.monitor->deny_bits;
}

uint32_t thread_view(uint32_t view)
{
	return (view & ~ROOT.monitor->allow_bits) | ROOT.monitor->deny_bits;
}

uint64_t thread_follow(struct thread *t)
{
	uint64_t epoch = atomic_load(&ROOT.monitor->view_epoch); /* before the bits that belong to it */
	struct gate_page *g = &t->area->gate;

	g->not_host = ~thread_view(~g->not_host);
	g->not_caller = ~thread_view(~g->not_caller);
	for (struct record *r = &t->records[1]; r <= t->top; r++) {
		if (r->kind == KIND_CALL) {
			r->not_caller = ~thread_view(~r->not_caller);
		}
	}
	return epoch;
}

void thread_followed(struct thread *t, uint64_t epoch)
{
	atomic_store(&t->view_epoch, epoch);
}

/*
 * The calling thread at once, the others by the kick; a thread that is gone has no rights. false: one has not answered
 * while this one has slept so often that it cannot be for want of a processor. It blocks the kick, which only a bare system
 * call can do, or it is stopped.
 */
static bool all_follow(void)
{
	struct monitor *m = ROOT.monitor;
	struct thread *self = thread_attached();
	const struct timespec pause = {.tv_nsec = 50000};
	uint64_t epoch = atomic_fetch_add(&m->view_epoch, 1) + 1;
	pid_t pid = (pid_t)sys0(SYS_getpid);
	unsigned int slept = 0;
	bool all = true;

	if (self != NULL) {
		uint64_t every = ~0ULL, mask;
		sys4(SYS_rt_sigprocmask, SIG_SETMASK, &every, &mask, sizeof(mask));
		uint64_t followed = thread_follow(self);
		thread_pkru_update(m->allow_bits, m->deny_bits);
		thread_followed(self, followed);
		sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	}
	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct area *a;
		for (unsigned int tries = 0; (a = atomic_load(&m->threads[i])) != NULL; tries++) {
			if (&a->thread == self || a->thread.state != THREAD_LIVE ||
			    a->thread.view_epoch >= epoch ||
			    sys3(SYS_tgkill, pid, a->thread.tid, 0) == -ESRCH) {
				break;
			}
			if (tries % KICK_EVERY == 0) {
				thread_kick(&a->thread);
			}
			if (tries % KICK_EVERY == KICK_EVERY - 1 && strangers_ended(a->thread.tid)) {
				break;
			}
			if (slept++ >= FOLLOW_PAUSES) {
				all = false;
				break;
			}
			sys2(SYS_nanosleep, &pause, NULL);
		}
	}
	return all;
}

bool threads_shoot_down(int key)
{
	struct monitor *m = ROOT.monitor;
	bool all;

	atomic_fetch_and(&m->allow_bits, ~VIEW_BITS(key));
	atomic_fetch_or(&m->deny_bits, VIEW_AD(key));
	all = all_follow();
	/* After those who could hand the right down. */
	if (all && ROOT.backend == LYCH_PKU) {
		all = strangers_deny(key);
	}
	atomic_fetch_and(&m->deny_bits, ~VIEW_BITS(key));
	atomic_fetch_add(&m->shot_down[key], 1);
	return all;
}

void threads_shot_down(uint32_t counts[KEYS])
{
	for (size_t key = 0; key < KEYS; key++) {
		counts[key] = atomic_load(&ROOT.monitor->shot_down[key]);
	}
}

uint32_t threads_shot_down_since(const uint32_t counts[KEYS])
{
	uint32_t bits = 0;

	for (int key = 0; key < KEYS; key++) {
		bits |= atomic_load(&ROOT.monitor->shot_down[key]) != counts[key] ? VIEW_AD(key) : 0;
	}
	return bits;
}

bool threads_allow(int key)
{
	atomic_fetch_or(&ROOT.monitor->allow_bits, VIEW_BITS(key));
	return all_follow();
}

bool threads_inside(const struct lych_domain *domain, bool self_only)
{
	struct thread *self = thread_attached();

	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct area *a = atomic_load(&ROOT.monitor->threads[i]);
		if (a == NULL || (self_only && &a->thread != self) ||
		    (&a->thread != self &&
		     sys3(SYS_tgkill, sys0(SYS_getpid), a->thread.tid, 0) == -ESRCH)) {
			continue;
		}
		const struct record *top = thread_top(&a->thread);
		for (const struct record *r = &a->thread.records[1]; r <= top; r++) {
			if (record_is_of(r, domain)) {
				return true;
			}
		}
	}
	return false;
}
