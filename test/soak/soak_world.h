/* SPDX-License-Identifier: Apache-2.0 */
// Of soak.cc: domains that are made and freed while threads use them, and what is counted.
#ifndef LYCH_TEST_SOAK_WORLD_H
#define LYCH_TEST_SOAK_WORLD_H

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include <lychgate/lychgate.h>

#include "soak_guests.h"

namespace
{

struct Settings {
	unsigned threads = 8, domains = 16;
	uint64_t calls = 0, row = 0, seed = 0;
	uint64_t patience = 180; // seconds in which nothing moves, until that is taken for a hang
	unsigned faults = 20; // of a thousand steps
	bool machine = false;
} settings;

// One domain from its making to its end. Whoever uses it holds a pin.
struct Life {
	lych_domain *domain;
	lych_kind kind;
	soak_callback callback;
	long (*pointer)(long, long, long, long, long, long, long, long);
	std::atomic<int> pins{0};
	// Pointers into a domain end with a reset: who has some holds it for reading. Nobody waits for it inside of a
	// call.
	pthread_rwlock_t memory = PTHREAD_RWLOCK_INITIALIZER;
	int spinning = 0; // of those, inside until they are ended
	std::atomic<bool> closing{false};
	// Somebody makes it fault, cancels or resets it: begun so often, under way now, left faulted.
	std::atomic<unsigned> begun{0};
	std::atomic<int> active{0};
	std::atomic<bool> dirty{false};
};

struct Place {
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	Life *life = nullptr;
};

enum Counter { CALLS, OK, FAULTED, CANCELED, TIMED_OUT, DEAD, FULL, CALLBACKS, NEW, FREED, RESET, NO_KEY, BUSY, REGIONS,
	       HANDLED, HANDLER_CALLS, STINTS, COUNTERS };
const char *const counter_names[COUNTERS] = {
	"calls", "ok", "faulted", "canceled", "timed out", "refused", "nested too deep", "callbacks",
	"domains made", "freed", "reset", "no key", "busy", "region scopes", "signals handled",
	"calls by handlers", "threads"};
std::atomic<uint64_t> counters[COUNTERS];
std::atomic<uint64_t> reported; // by on_fault
std::atomic<uint64_t> errors;

std::vector<Place> places;
lych_domain *of_handlers; // lives for good
lych_region *regions[2], *closed_region;
char *past_the_end; // SIGBUS
std::atomic<bool> stop;
std::atomic<uint64_t> budget;

void Say(const char *form, ...) __attribute__((format(printf, 1, 2)));
void Say(const char *form, ...)
{
	char text[400];
	va_list list;

	if (errors.fetch_add(1) >= 20) {
		return;
	}
	va_start(list, form);
	vsnprintf(text, sizeof(text), form, list);
	va_end(list);
	ADD_FAILURE() << "tid " << syscall(SYS_gettid) << ": " << text;
	fflush(stdout);
}

struct Random {
	uint64_t state;

	uint64_t Next()
	{
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		return state * 0x2545f4914f6cdd1dull >> 11;
	}
	uint64_t Below(uint64_t n)
	{
		return Next() % n;
	}
	bool Once(uint64_t in)
	{
		return Below(in) == 0;
	}
};

struct Worker {
	unsigned lane = 0;
	Random random{1};
	Life *life = nullptr; // the innermost that is pinned
	int depth = 0;        // of callbacks
	// host code that a handler may interrupt with a call: nothing of the library holds a lock
	volatile sig_atomic_t calm = 0;
	volatile sig_atomic_t in_handler = 0;
	const char *volatile doing = "";
};
thread_local Worker *worker;

void Count(Counter which)
{
	counters[which].fetch_add(1, std::memory_order_relaxed);
}

// What was known of a life when a call began.
struct Before {
	explicit Before(Life *life)
		: of(life), begun(life->begun), quiet(life->active == 0 && !life->dirty && !life->closing)
	{
	}
	// Nobody meddled with it all the time: the call must have succeeded.
	bool Quiet() const
	{
		return quiet && of->begun == begun && of->active == 0;
	}
	Life *of;
	unsigned begun;
	bool quiet;
};

// Counts what a call ended with. true: it succeeded, and what it gave can be judged.
bool Ended(const Before &before, int rc, const char *what)
{
	Count(CALLS);
	switch (rc) {
	case 0:
		Count(OK);
		return true;
	case -EFAULT:
		Count(FAULTED);
		break;
	case -ECANCELED:
		Count(CANCELED);
		break;
	case -ETIMEDOUT:
		Count(TIMED_OUT);
		break;
	case -EOWNERDEAD:
		Count(DEAD);
		break;
	case -EXFULL:
		Count(FULL);
		break;
	default:
		Say("%s: status %d (%s)", what, rc, lych_strerror(rc));
		return false;
	}
	if (before.Quiet()) {
		Say("%s: status %d (%s) of a domain nobody meddled with", what, rc, lych_strerror(rc));
	}
	return false;
}

void Expect(bool right, const char *what)
{
	if (!right) {
		Say("%s: wrong result", what);
	}
}

Life *Pin(unsigned index)
{
	Place &place = places[index];
	Life *life;

	pthread_mutex_lock(&place.lock);
	life = place.life;
	if (life != nullptr && !life->closing) {
		life->pins++;
	} else {
		life = nullptr;
	}
	pthread_mutex_unlock(&place.lock);
	return life;
}

void Unpin(Life *life)
{
	life->pins--;
}

void Nap()
{
	const struct timespec pause = {0, 200000};
	nanosleep(&pause, nullptr);
}

// The domain of a place goes, with whoever spins in it. Only from outside of all calls and without a pin.
bool Close(unsigned index)
{
	Place &place = places[index];
	Life *life;
	int rc;

	pthread_mutex_lock(&place.lock);
	life = place.life;
	if (life == nullptr || life->closing) {
		pthread_mutex_unlock(&place.lock);
		return false;
	}
	life->closing = true;
	pthread_mutex_unlock(&place.lock);
	worker->doing = "waiting for pins";
	while (life->pins != __atomic_load_n(&life->spinning, __ATOMIC_SEQ_CST)) {
		Nap();
	}
	worker->doing = "lych_domain_free";
	rc = lych_domain_free(life->domain);
	if (rc != 0) {
		Say("lych_domain_free: %d", rc);
	}
	Count(FREED);
	worker->doing = "waiting for spinners";
	while (life->pins != 0) {
		Nap();
	}
	pthread_mutex_lock(&place.lock);
	place.life = nullptr;
	pthread_mutex_unlock(&place.lock);
	delete life;
	return true;
}

lych_kind AnyKind(Random &random)
{
	if (strcmp(lych_backend_name(), "pku") != 0 || !random.Once(4)) {
		return LYCH_KIND_CONTAIN;
	}
	return random.Once(3) ? LYCH_KIND_VAULT : LYCH_KIND_PURE;
}

// A place that has none gets one; when there is no key some other place loses its own.
void Open(unsigned index, Random &random)
{
	lych_domain_opts opts = {};
	lych_domain *domain = nullptr;
	int rc;

	opts.size = sizeof(opts);
	opts.kind = AnyKind(random);
	opts.heap_bytes = 64 << 10;
	opts.stack_bytes = 64 << 10;
	opts.zero_on_free = random.Once(2);
	worker->doing = "lych_domain_new";
	rc = lych_domain_new(&domain, &opts);
	if (rc == -EOPNOTSUPP && opts.kind != LYCH_KIND_CONTAIN) {
		opts.kind = LYCH_KIND_CONTAIN; // what this kernel has
		rc = lych_domain_new(&domain, &opts);
	}
	if (rc == -ENOSPC) {
		Count(NO_KEY);
		Close((unsigned)random.Below(places.size()));
		return;
	}
	if (rc != 0) {
		Say("lych_domain_new: %d %s", rc, lych_why());
		return;
	}
	Count(NEW);
	Life *life = new Life;
	lych_domain *d = life->domain = domain;
	life->kind = opts.kind;
	rc = opts.kind == LYCH_KIND_VAULT
		     ? lych_vault_allow(domain, (void (*)(void))f8)
		     : lych_callback(&life->callback, domain, soak_called, life);
	if (rc == 0) {
		rc = LYCH_POINTER(&life->pointer, d, f8);
	}
	if (rc != 0) {
		Say("a callback or a pointer: %d", rc);
	}
	pthread_mutex_lock(&places[index].lock);
	bool taken = places[index].life != nullptr;
	if (!taken) {
		places[index].life = life;
	}
	pthread_mutex_unlock(&places[index].lock);
	if (taken) {
		rc = lych_domain_free(domain);
		if (rc != 0) {
			Say("lych_domain_free of an own one: %d", rc);
		}
		Count(FREED);
		delete life;
	}
}

} // namespace

#endif // LYCH_TEST_SOAK_WORLD_H
