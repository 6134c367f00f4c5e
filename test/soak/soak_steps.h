/* SPDX-License-Identifier: Apache-2.0 */
// Of soak.cc: what a thread does with a domain.
#ifndef LYCH_TEST_SOAK_STEPS_H
#define LYCH_TEST_SOAK_STEPS_H

#include "inside.h"
#include "soak_world.h"

namespace
{

struct Meddling {
	explicit Meddling(Life *meant) : life(meant)
	{
		life->active++;
		life->begun++;
	}
	~Meddling()
	{
		life->active--;
	}
	Meddling(const Meddling &) = delete;
	Life *life;
};

// As new. From within callbacks it may stay faulted: whoever finds that outside of all calls sees to it.
void Clean(Life *life)
{
	for (int tries = 0; !life->closing; tries++) {
		worker->doing = "lych_domain_reset";
		if (pthread_rwlock_trywrlock(&life->memory) != 0) {
			life->dirty = true;
			if (worker->depth > 0) {
				return;
			}
			Nap();
			continue;
		}
		life->dirty = false;
		int rc = lych_domain_reset(life->domain);
		pthread_rwlock_unlock(&life->memory);
		if (rc == 0) {
			Count(RESET);
			return;
		}
		life->dirty = true;
		if (rc != -EBUSY) {
			Say("lych_domain_reset: %d", rc);
			return;
		}
		Count(BUSY);
		if (worker->depth > 0) {
			return;
		}
		Nap();
	}
}

void CallAny(Life *life, Random &random)
{
	lych_domain *d = life->domain;
	Before before(life);
	long a = (long)random.Below(1000), b = (long)random.Below(1000), n = -1;
	double x = -1;

	worker->doing = "a call";
	switch (life->kind == LYCH_KIND_VAULT ? 8 : random.Below(14)) {
	case 0:
		if (Ended(before, LYCH_CALL(d, &n, f0), "f0")) {
			Expect(n == 42, "f0");
		}
		break;
	case 1:
		if (Ended(before, LYCH_CALL(d, &n, f1, a), "f1")) {
			Expect(n == a + 1, "f1");
		}
		break;
	case 2:
		if (Ended(before, LYCH_CALL(d, &n, f2, a, (int)b), "f2")) {
			Expect(n == a + 2 * b, "f2");
		}
		break;
	case 3:
		if (Ended(before, LYCH_CALL(d, &x, f3, (double)a, (int)b, 0.5), "f3")) {
			Expect(x == (double)(a * b) + 0.5, "f3");
		}
		break;
	case 4:
		if (Ended(before, LYCH_CALL(d, &n, f4, a, (short)b, (unsigned char)7, a), "f4")) {
			Expect(n == 5 * a + 2 * b + 21, "f4");
		}
		break;
	case 5:
		if (Ended(before, LYCH_CALL(d, &n, f5, (int)a, (int)b, 1, 2, 3), "f5")) {
			Expect(n == a + 2 * b + 26, "f5");
		}
		break;
	case 6:
		if (Ended(before, LYCH_CALL(d, &n, f6, a, b, a, b, a, b), "f6")) {
			Expect(n == 9 * a + 12 * b, "f6");
		}
		break;
	case 7:
		if (Ended(before, LYCH_CALL(d, &x, f7, a, 2.0, b, 0.5, a, 3.0, b), "f7")) {
			Expect(x == (double)(2 * a + 2 * b) + 3.0, "f7");
		}
		break;
	case 8:
		if (Ended(before, LYCH_CALL(d, &n, f8, a, b, a, b, a, b, a, b), "f8")) {
			Expect(n == 16 * a + 20 * b, "f8");
		}
		break;
	case 9:
		n = life->pointer(a, b, a, b, a, b, a, b);
		Count(CALLS);
		Count(n == -77 ? DEAD : OK);
		Expect(n == 16 * a + 20 * b || (n == -77 && !before.Quiet()), "a typed pointer");
		break;
	case 10: {
		soak_wide w = {};
		if (pthread_rwlock_tryrdlock(&life->memory) != 0) {
			break;
		}
		int rc = LYCH_CALL(d, &w, wide, a); // the library holds a block of the heap for it
		pthread_rwlock_unlock(&life->memory);
		/* A reset takes the block its result was to be written to. */
		if (rc == -ENOMEM && !before.Quiet()) {
			Count(CALLS);
			Count(CANCELED);
		} else if (Ended(before, rc, "wide")) {
			Expect(!before.Quiet() || (w.a == a && w.b == a + 1 && w.c == a + 2 && w.d == a + 3), "wide");
		}
		break;
	}
	case 11:
		if (Ended(before, LYCH_CALL(d, &n, alloc_inside, (size_t)a + 1), "alloc_inside")) {
			Expect(n == 1 || !before.Quiet(), "alloc_inside");
		}
		break;
	case 12:
		if (Ended(before, LYCH_CALL_TIMEOUT(d, 600000, &n, work, a), "work in time")) {
			Expect(n == a, "work in time");
		}
		break;
	default:
		if (Ended(before, LYCH_CALL(d, &n, work, 10 * a), "work")) {
			Expect(n == 10 * a, "work");
		}
		break;
	}
}

void Heap(Life *life, Random &random)
{
	unsigned char text[512], back[512];
	size_t bytes = 1 + random.Below(sizeof(text));
	long want = 0, n = -1;
	lych_domain *d = life->domain;
	Before before(life);

	if (life->kind == LYCH_KIND_VAULT || pthread_rwlock_tryrdlock(&life->memory) != 0) {
		return;
	}
	worker->doing = "heap";
	for (size_t i = 0; i < bytes; i++) {
		text[i] = (unsigned char)random.Next();
		want += text[i];
	}
	auto *block = (unsigned char *)lych_copy_in(life->domain, text, bytes);
	if (block == nullptr) {
		Expect(!before.Quiet(), "lych_copy_in");
		pthread_rwlock_unlock(&life->memory);
		return;
	}
	if (Ended(before, LYCH_CALL(d, &n, sum, block, bytes), "sum")) {
		Expect(n == want || !before.Quiet(), "sum");
	}
	if (lych_copy_out(life->domain, back, block, bytes) != 0 || memcmp(back, text, bytes) != 0) {
		Expect(!before.Quiet(), "lych_copy_out");
	}
	if (random.Once(4)) {
		void *more = lych_realloc(life->domain, block, bytes * 2);
		Expect(more != nullptr || !before.Quiet(), "lych_realloc");
		block = more != nullptr ? (unsigned char *)more : block;
	}
	if (lych_free(life->domain, block) != 0) {
		Expect(!before.Quiet(), "lych_free");
	}
	pthread_rwlock_unlock(&life->memory);
}

// With a region open, for what is done meanwhile. Each lane has words of its own.
void InRegion(Life *life, Random &random)
{
	unsigned which = (unsigned)random.Below(2);
	uint64_t secret = random.Next() | 1;
	bool open = false;

	Count(REGIONS);
	worker->doing = "a region";
	LYCH_WRITE(uint64_t, words, regions[which]) {
		words[worker->lane] = secret;
		open = true;
		CallAny(life, random);
		LYCH_READ(uint64_t, again, regions[which]) {
			Expect(again[worker->lane] == secret, "a region opened twice");
		}
		LYCH_READ(uint64_t, other, regions[1 - which]) {
			open = open && other[worker->lane] != secret;
			CallAny(life, random);
		}
		Expect(words[worker->lane] == secret, "a region after a call");
		words[worker->lane] = 0;
	}
	Expect(open, "lych_scope_open");
}

void Fault(Life *life, Random &random)
{
	Meddling meddling(life);
	Before before(life);
	lych_domain *d = life->domain;
	auto how = (soak_fault)random.Below(FAULTS);
	volatile char *where = how == BUS ? past_the_end : (volatile char *)lych_region_address(closed_region);
	long n = 11;

	if (life->kind == LYCH_KIND_VAULT) {
		return;
	}
	worker->doing = "a fault";
	life->dirty = true;
	int rc = LYCH_CALL(d, &n, stumble, (int)how, where);
	if (rc == 0) {
		Say("stumble %d returned", how);
	}
	Expect(n == 11, "the result of a call that faulted");
	Ended(before, rc, "stumble");
	Clean(life);
}

// Until its deadline, or until somebody else ends it: also who frees the domain.
void Spin(Life *life, Random &random)
{
	lych_domain *d = life->domain;
	int started = 0;

	if (life->kind != LYCH_KIND_CONTAIN) {
		return;
	}
	Meddling meddling(life);
	Before before(life);
	worker->doing = "spin";
	int rc = LYCH_CALL_TIMEOUT(d, 1 + random.Below(20), LYCH_NOTHING, spin, &started, &life->spinning);
	if (rc == 0) {
		Say("spin returned");
	}
	Ended(before, rc, "spin");
	life->dirty = true;
	if (started) {
		__atomic_fetch_sub(&life->spinning, 1, __ATOMIC_SEQ_CST);
	}
}

// A call with a callback, which makes more calls of this domain and of others.
void CallBack(Life *life, Random &random)
{
	lych_domain *d = life->domain;
	Before before(life);
	long n = -1, value = (long)random.Below(1000), depth = (long)random.Below(4);
	int rc;

	if (life->kind == LYCH_KIND_VAULT || worker->depth > 6) {
		return;
	}
	worker->doing = "a call with a callback";
	if (random.Once(16)) {
		Meddling meddling(life);
		Before now(life);
		life->dirty = true;
		rc = LYCH_CALL_TIMEOUT(d, 1 + random.Below(3), &n, call_back, life->callback, depth, value);
		if (Ended(now, rc, "call_back with a deadline")) {
			Expect(n == value + 2, "call_back with a deadline");
		}
		Clean(life);
		return;
	}
	rc = LYCH_CALL(d, &n, call_back, life->callback, depth, value);
	if (Ended(before, rc, "call_back")) {
		Expect(n == value + 2, "call_back");
	}
}

void Mask(Life *life, Random &random)
{
	sigset_t set, old, now;
	const int signals[] = {SIGALRM, SIGUSR1, SIGUSR2, SIGSEGV, SIGILL, SIGTRAP, SIGHUP, SIGRTMIN + 3};

	worker->doing = "a mask";
	sigemptyset(&set);
	for (int signal : signals) {
		if (random.Once(2)) {
			sigaddset(&set, signal);
		}
	}
	pthread_sigmask(SIG_BLOCK, &set, &old);
	CallAny(life, random);
	pthread_sigmask(SIG_SETMASK, nullptr, &now);
	for (int signal : signals) {
		Expect((sigismember(&now, signal) != 0) ==
			       (sigismember(&set, signal) != 0 || sigismember(&old, signal) != 0),
		       "the mask after a call");
	}
	pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void Cancel(Life *life)
{
	Meddling meddling(life);

	worker->doing = "lych_domain_cancel";
	int rc = lych_domain_cancel(life->domain);
	if (rc == -EBUSY && worker->depth > 0) {
		Count(BUSY);
	} else if (rc != 0) {
		Say("lych_domain_cancel: %d", rc);
	}
}

void Step(Life *life, Random &random)
{
	Life *outer = worker->life;

	worker->life = life;
	uint64_t dice = random.Below(1000);
	if (dice < settings.faults) {
		Fault(life, random);
	} else if (dice < settings.faults + 6) {
		Cancel(life);
	} else if (dice < settings.faults + 10) {
		Meddling meddling(life);
		Clean(life);
	} else if (dice < 300) {
		CallBack(life, random);
	} else if (dice < 420) {
		Heap(life, random);
	} else if (dice < 480) {
		InRegion(life, random);
	} else if (dice < 520) {
		Mask(life, random);
	} else {
		CallAny(life, random);
	}
	worker->life = outer;
}

} // namespace

#endif // LYCH_TEST_SOAK_STEPS_H
