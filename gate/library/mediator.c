/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/thread.h"
#include "../memory/memory.h"
#include "mediator.h"
#include "waiting.h"

#define CHUNK 1024 /* bytes written at a time; the rest the caller writes with its next call */
#define IOV_READ 16
#define RANDOM_MAX 256 /* getrandom is not interrupted below that */
#define SLICE_NS 10000000LL
#define REFUSALS 64

/* What was refused. what: REFUSAL_USED, REFUSAL_FOREIGN, the number; 0: free. */
#define REFUSAL_USED (1ULL << 63)
#define REFUSAL_FOREIGN (1ULL << 62)

struct domain_policy {
	_Atomic uint64_t open[POLICY_WORDS];
	struct {
		_Atomic uint64_t what, count, rip;
	} refusals[REFUSALS];
};
#define POLICY_BYTES LYCH_PAGE
_Static_assert(sizeof(struct domain_policy) <= POLICY_BYTES, "one page");

int mediator_domain_new(struct lych_domain *d)
{
	d->policy = monitor_alloc(POLICY_BYTES);
	return d->policy != NULL ? 0 : -ENOMEM;
}

void mediator_domain_free(struct lych_domain *d)
{
	if (d->policy != NULL) {
		monitor_free(d->policy, POLICY_BYTES);
		d->policy = NULL;
	}
}

/* Many threads may be here at once, none may wait: a slot is claimed by the number it is for. */
void mediator_refused(struct lych_domain *d, const struct mediated *call)
{
	struct domain_policy *p = d->policy;
	bool foreign = policy_foreign(call);
	uint64_t what = REFUSAL_USED | (foreign ? REFUSAL_FOREIGN : 0) | (uint32_t)call->nr;

	atomic_fetch_add(&d->refused, 1);
	atomic_store(&d->last_refused, (uint32_t)call->nr | (foreign ? REFUSED_FOREIGN : 0));
	for (size_t i = 0; p != NULL && i < REFUSALS; i++) {
		uint64_t is = 0;
		if (atomic_compare_exchange_strong(&p->refusals[i].what, &is, what) || is == what) {
			atomic_fetch_add(&p->refusals[i].count, 1);
			atomic_store(&p->refusals[i].rip, call->rip);
			return;
		}
	}
}

void mediator_no_memory(struct lych_domain *d, uint64_t bytes)
{
	atomic_store(&d->no_memory_bytes, bytes);
	atomic_fetch_add(&d->no_memory, 1);
}

int lych_domain_allow(struct lych_domain *domain, long nr)
{
	struct thread *self;

	if (domain == NULL || domain->library != NULL || !policy_openable(nr)) {
		return -EINVAL;
	}
	int rc = NONE != NULL ? 0 : thread_self(&self);
	if (rc == 0 && NONE == NULL) {
		atomic_fetch_or(&domain->policy->open[nr / 64], 1ULL << (nr % 64));
	}
	return rc;
}

size_t lych_refused(struct lych_domain *domain, struct lych_refusal *out, size_t max)
{
	struct thread *self;
	size_t n = 0;

	if (domain == NULL || thread_self(&self) != 0) {
		return 0;
	}
	for (size_t i = 0; i < REFUSALS; i++) {
		uint64_t what = atomic_load(&domain->policy->refusals[i].what);
		if (what == 0) {
			break;
		}
		if (n < max) {
			out[n] = (struct lych_refusal){
				.nr = (int32_t)(uint32_t)what,
				.foreign = what & REFUSAL_FOREIGN,
				.count = atomic_load(&domain->policy->refusals[i].count),
				.rip = atomic_load(&domain->policy->refusals[i].rip),
			};
		}
		n++;
	}
	return n;
}

/* ---- the domain's memory -------------------------------------------------------------------- */

/* Stores a result. Own memory is mapped for reading and writing as long as the call lasts. */
static long store(struct lych_domain *d, struct thread *t, uint64_t at, const void *from, uint64_t bytes)
{
	if (!memory_contains(d, t, at, bytes)) {
		return -EFAULT;
	}
	memcpy((void *)(uintptr_t)at, from, bytes);
	return 0;
}

/* May the domain's view do that to every page of [at, at + bytes)? bytes is not 0. */
static bool view_permits(const struct lych_domain *d, uint64_t at, uint64_t bytes, enum rights rights)
{
	uint64_t last = at + bytes - 1;

	if (last < at || last > (UINT64_MAX >> 17)) {
		return false;
	}
	for (uint64_t page = at & ~(uint64_t)(LYCH_PAGE - 1); page <= last; page += LYCH_PAGE) {
		int key = ledger_key_of((const void *)(uintptr_t)page);
		if (view_rights(~d->not_view, key < 0 ? 0 : key) < rights) {
			return false;
		}
	}
	return true;
}

/*
 * The domain's rights and the monitor's own, so that the kernel checks pointers as the domain's and the stack stays
 * in reach. Of what the domain may not touch that leaves the monitor's memory: view_permits keeps that out.
 */
static uint32_t view_enter(const struct lych_domain *d)
{
	if (ROOT.backend != LYCH_PKU) {
		return 0;
	}
	uint32_t view = ~d->not_view & ~(VIEW_BITS(ROOT.monitor_key) | VIEW_BITS(ROOT.gate_key));
	return lych_pkru_update_pku(UINT32_MAX, view);
}

static void view_leave(uint32_t before)
{
	if (ROOT.backend == LYCH_PKU) {
		(void)lych_pkru_update_pku(UINT32_MAX, before);
	}
}

/*
 * Copies what the domain may read to monitor memory. Memory of somebody else may be mapped, tagged or unmapped by
 * other threads meanwhile. process_vm_writev reads its local side with our rights, an unmapped page is EFAULT, and the
 * ledger is asked on both sides of it.
 */
static long load(struct lych_domain *d, struct thread *t, void *to, uint64_t at, uint64_t bytes)
{
	if (memory_contains(d, t, at, bytes)) {
		memcpy(to, (const void *)(uintptr_t)at, bytes);
		return 0;
	}
	if (!view_permits(d, at, bytes, RIGHTS_READ)) {
		return -EFAULT;
	}
	struct iovec from = {(void *)(uintptr_t)at, bytes}, into = {to, bytes};
	long pid = sys0(SYS_getpid);
	uint32_t before = view_enter(d);
	long n = lych_syscall(SYS_process_vm_writev, pid, (long)&from, 1, (long)&into, 1, 0);
	view_leave(before);
	return n == (long)bytes && view_permits(d, at, bytes, RIGHTS_READ) ? 0 : -EFAULT;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Is there a reason to stop waiting? */
static bool interrupted(const struct lych_domain *d, const struct thread *t, const struct mediated *call)
{
	const struct record *top = t->top;
	uint64_t pending = 0, kick = 1ULL << (ROOT.kick - 1); /* wakes whatever the context has blocked */

	sys2(SYS_rt_sigpending, &pending, sizeof(pending));
	if (pending & (~call->mask | kick)) {
		return true;
	}
	return top->cancel != 0 || atomic_load(&d->id) != top->call_id ||
	       (top->deadline_ns != 0 && now_ns(CLOCK_MONOTONIC) >= (int64_t)top->deadline_ns);
}

/* A time the domain gave, in ns; at most some centuries. */
static long load_time(struct lych_domain *d, struct thread *t, uint64_t at, int64_t *ns)
{
	struct timespec ts;
	long rc = load(d, t, &ts, at, sizeof(ts));

	if (rc != 0) {
		return rc;
	}
	return time_ns(&ts, ns);
}

/* ---- the calls ------------------------------------------------------------------------------ */

struct wait {
	struct lych_domain *d;
	struct thread *t;
	const struct mediated *call;
};

static bool wait_over(const void *ctx)
{
	const struct wait *w = ctx;

	return interrupted(w->d, w->t, w->call);
}

/* Writes what lies in monitor memory to standard error. */
static long write_out(struct lych_domain *d, struct thread *t, const struct mediated *call, const void *from,
		      size_t bytes)
{
	struct wait w = {d, t, call};

	return write_stderr(from, bytes, SLICE_NS, wait_over, &w);
}

static long do_write(struct lych_domain *d, struct thread *t, const struct mediated *call, uint64_t at, uint64_t bytes)
{
	char copy[CHUNK];

	if (bytes == 0) {
		return 0;
	}
	if (bytes > CHUNK) {
		bytes = CHUNK;
	}
	long rc = load(d, t, copy, at, bytes);
	return rc != 0 ? rc : write_out(d, t, call, copy, bytes);
}

/* The vector is copied first: what is checked is what is used. At most IOV_READ pieces are looked at. */
static long do_writev(struct lych_domain *d, struct thread *t, const struct mediated *call)
{
	struct iovec iov[IOV_READ];
	int count = (int)(uint32_t)call->arg[2];
	char copy[CHUNK];
	size_t used = 0;

	if (count < 0 || count > IOV_MAX) {
		return -EINVAL;
	}
	if (count == 0) {
		return 0;
	}
	count = count > IOV_READ ? IOV_READ : count;
	long rc = load(d, t, iov, call->arg[1], sizeof(iov[0]) * (size_t)count);
	if (rc != 0) {
		return rc;
	}
	for (int i = 0; i < count && used < CHUNK; i++) {
		size_t bytes = iov[i].iov_len < CHUNK - used ? iov[i].iov_len : CHUNK - used;
		if (bytes == 0) {
			continue;
		}
		rc = load(d, t, copy + used, (uintptr_t)iov[i].iov_base, bytes);
		if (rc != 0) {
			break; /* what came before is written */
		}
		used += bytes;
	}
	if (used == 0) {
		return rc;
	}
	return write_out(d, t, call, copy, used);
}

static long do_clock(struct lych_domain *d, struct thread *t, const struct mediated *call)
{
	struct timespec ts = {0};
	long rc;

	switch (call->nr) {
	case SYS_time:
		sys2(SYS_clock_gettime, CLOCK_REALTIME, &ts);
		rc = call->arg[0] != 0 ? store(d, t, call->arg[0], &ts.tv_sec, sizeof(ts.tv_sec)) : 0;
		return rc != 0 ? rc : ts.tv_sec;
	case SYS_gettimeofday: {
		int32_t zone[2] = {0, 0};
		sys2(SYS_clock_gettime, CLOCK_REALTIME, &ts);
		struct timeval tv = {ts.tv_sec, ts.tv_nsec / 1000};
		rc = call->arg[0] != 0 ? store(d, t, call->arg[0], &tv, sizeof(tv)) : 0;
		return rc == 0 && call->arg[1] != 0 ? store(d, t, call->arg[1], zone, sizeof(zone)) : rc;
	}
	default:
		rc = sys2(call->nr, (uint32_t)call->arg[0], &ts);
		if (rc != 0 || (call->nr == SYS_clock_getres && call->arg[1] == 0)) {
			return rc;
		}
		return store(d, t, call->arg[1], &ts, sizeof(ts));
	}
}

static long do_random(struct lych_domain *d, struct thread *t, const struct mediated *call)
{
	char bytes[RANDOM_MAX];
	uint64_t n = call->arg[1] < RANDOM_MAX ? call->arg[1] : RANDOM_MAX;

	if (n == 0) {
		return 0;
	}
	/* GRND_NONBLOCK: nothing can interrupt the wait for a machine that has just started */
	long got = sys3(SYS_getrandom, bytes, n, (uint32_t)call->arg[2] | 1);
	if (got <= 0) {
		return got;
	}
	long rc = store(d, t, call->arg[0], bytes, (uint64_t)got);
	return rc != 0 ? rc : got;
}

/*
 * Waits in slices. Between two of them nobody is there to be woken: who wakes has changed the word before, as users of
 * futexes do, and then the next slice ends at once with EAGAIN.
 */
static long do_futex(struct lych_domain *d, struct thread *t, const struct mediated *call)
{
	uint64_t at = call->arg[0];
	int op = (int)(uint32_t)call->arg[1];
	int cmd = op & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
	bool own = memory_contains(d, t, at, 4);
	int64_t end = INT64_MAX;

	if (!own && !view_permits(d, at, 4, RIGHTS_WRITE)) {
		return -EFAULT;
	}
	if (cmd == FUTEX_WAKE || cmd == FUTEX_WAKE_BITSET) {
		uint32_t bits = cmd == FUTEX_WAKE ? FUTEX_BITSET_MATCH_ANY : (uint32_t)call->arg[5];
		return lych_syscall(SYS_futex, (long)at, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG,
				    (int)(uint32_t)call->arg[2], 0, 0, bits);
	}

	uint32_t bits = cmd == FUTEX_WAIT ? FUTEX_BITSET_MATCH_ANY : (uint32_t)call->arg[5];
	int clock = op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
	if (call->arg[3] != 0) {
		long rc = load_time(d, t, call->arg[3], &end);
		if (rc != 0) {
			return rc;
		}
		end = cmd == FUTEX_WAIT ? after(now_ns(clock), end) : end; /* a bitset's time is absolute */
	}
	op = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | (op & FUTEX_CLOCK_REALTIME);
	for (;;) {
		struct timespec until = to_timespec(slice_end(now_ns(clock), end, SLICE_NS));
		uint32_t before = own ? 0 : view_enter(d);
		long rc = lych_syscall(SYS_futex, (long)at, op, (uint32_t)call->arg[2], (long)&until, 0, bits);
		if (!own) {
			view_leave(before);
			if (!view_permits(d, at, 4, RIGHTS_WRITE)) {
				return -EFAULT;
			}
		}
		if (rc != -ETIMEDOUT || now_ns(clock) >= end) {
			return rc;
		}
		if (interrupted(d, t, call)) {
			return -EINTR;
		}
	}
}

static long do_sleep(struct lych_domain *d, struct thread *t, const struct mediated *call)
{
	bool plain = call->nr == SYS_nanosleep;
	int clock = plain ? CLOCK_MONOTONIC : (int)(uint32_t)call->arg[0];
	uint64_t rest_at = call->arg[plain ? 1 : 3];
	int64_t ns, now = now_ns(clock);
	long rc = load_time(d, t, call->arg[plain ? 0 : 2], &ns);

	if (rc != 0) {
		return rc;
	}
	int64_t end = after(now, ns);
	while ((now = now_ns(clock)) < end) {
		if (interrupted(d, t, call)) {
			struct timespec rest = to_timespec(end - now);
			rc = rest_at != 0 ? store(d, t, rest_at, &rest, sizeof(rest)) : 0;
			return rc != 0 ? rc : -EINTR;
		}
		struct timespec until = to_timespec(slice_end(now, end, SLICE_NS));
		sys4(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &until, NULL);
	}
	return 0;
}

/* Calls that fill one struct: into monitor memory first. */
static long do_tell(struct lych_domain *d, struct thread *t, const struct mediated *call)
{
	union {
		struct rusage usage;
		struct sysinfo system;
		struct utsname names;
		struct tms times;
		uint32_t cpu[2];
	} u;
	size_t bytes;
	uint64_t at = call->arg[0];
	long rc;

	memset(&u, 0, sizeof(u));
	switch (call->nr) {
	case SYS_getrusage:
		at = call->arg[1];
		bytes = sizeof(u.usage);
		rc = sys2(call->nr, (uint32_t)call->arg[0], &u);
		break;
	case SYS_getcpu:
		rc = sys3(call->nr, &u.cpu[0], &u.cpu[1], NULL);
		if (rc == 0 && call->arg[1] != 0) {
			rc = store(d, t, call->arg[1], &u.cpu[1], sizeof(u.cpu[1]));
		}
		return rc == 0 && at != 0 ? store(d, t, at, &u.cpu[0], sizeof(u.cpu[0])) : rc;
	case SYS_sysinfo:
		bytes = sizeof(u.system);
		rc = sys1(call->nr, &u);
		break;
	case SYS_uname:
		bytes = sizeof(u.names);
		rc = sys1(call->nr, &u);
		break;
	default: /* SYS_times: a number of ticks, and the struct only if wanted */
		bytes = sizeof(u.times);
		rc = sys1(call->nr, &u);
		if (at == 0) {
			return rc;
		}
		break;
	}
	if (rc < 0) {
		return rc;
	}
	long stored = store(d, t, at, &u, bytes);
	return stored != 0 ? stored : rc;
}

static long do_inside(struct lych_domain *d, const struct mediated *call)
{
	if (call->arg[0] == INSIDE_FREE) {
		return heap_free(d, (void *)(uintptr_t)call->arg[1]);
	}
	void *block = heap_alloc(d, 16, call->arg[1]);
	if (block == NULL) {
		mediator_no_memory(d, call->arg[1]);
		return -ENOMEM;
	}
	return (long)(uintptr_t)block;
}

enum mediated_end mediator_call(struct lych_domain *d, struct thread *t, const struct mediated *call, long *result)
{
	struct policy_self self = {.pid = (int)sys0(SYS_getpid), .tid = t->tid};
	uint64_t open[POLICY_WORDS] = {0}, none = 0;

	for (size_t i = 0; d->policy != NULL && i < POLICY_WORDS; i++) {
		open[i] = atomic_load(&d->policy->open[i]);
	}
	struct policy_decision decision = policy_decide(call, &self, open);
	switch (decision.action) {
	case POLICY_REFUSE:
		mediator_refused(d, call);
		*result = -decision.err;
		break;
	case POLICY_ZERO:
		*result = 0;
		break;
	case POLICY_ASK:
		*result = sys0(call->nr);
		break;
	case POLICY_BREAK:
		*result = sys1(SYS_brk, 0); /* not moved, which is how brk says no */
		break;
	case POLICY_WRITE:
		*result = do_write(d, t, call, call->arg[1], call->arg[2]);
		break;
	case POLICY_WRITEV:
		*result = do_writev(d, t, call);
		break;
	case POLICY_CLOCK:
		*result = do_clock(d, t, call);
		break;
	case POLICY_RANDOM:
		*result = do_random(d, t, call);
		break;
	case POLICY_FUTEX:
		*result = do_futex(d, t, call);
		break;
	case POLICY_MASK:
		*result = call->arg[2] != 0 ? store(d, t, call->arg[2], &none, sizeof(none)) : 0;
		break;
	case POLICY_SLEEP:
		*result = do_sleep(d, t, call);
		break;
	case POLICY_TELL:
		*result = do_tell(d, t, call);
		break;
	case POLICY_INSIDE:
		*result = do_inside(d, call);
		return MEDIATED_ALLOC;
	case POLICY_EXIT:
		*result = (int)(uint32_t)call->arg[0];
		return MEDIATED_EXIT;
	case POLICY_ABORT:
		*result = decision.err;
		return MEDIATED_ABORT;
	}
	return MEDIATED_RESULT;
}

int dispatch_arm(struct area *area)
{
	long rc = sys5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &area->gate.selector);

	return rc == 0 ? 0 : -EOPNOTSUPP;
}

void dispatch_disarm(void)
{
	sys5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
}
