/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are bound when they are first made: the callee finds in the registers what the caller
 * put there. */
#include "program.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static uintptr_t *fresh_slots[FRESH];

static void find_slots(uintptr_t **slots, const char *name)
{
	char full[32];

	for (int i = 0; i < FRESH; i++) {
		snprintf(full, sizeof(full), "%s%d", name, i);
		slots[i] = slot_of(full);
	}
}

static void call_each(const uint8_t *entries, const char *name, uint64_t base)
{
	uintptr_t *slots[FRESH];

	find_slots(slots, name);
	for (int i = 0; i < FRESH; i++) {
		struct trial trial;

		CHECK(slot_unbound(slots[i]) == !program.now);
		/* Twice: unbound, and bound. */
		for (int round = 0; round < 2; round++) {
			trial_fill(&trial, (uint64_t)(2 * i + round + 1));
			trial_call(&trial, entries + 8 * i);
			CHECK(trial.which == base + (uint64_t)i);
			trial_compare(&trial, trial_kept_by_call(), name, i);
		}
		if (!program.audited) {
			CHECK(!slot_unbound(slots[i]));
		}
	}
}

void check_registers(void)
{
	call_each(fresh_entries, "fresh_", 0);
}

void check_chosen(void)
{
	call_each(chosen_entries, "chosen_", 1000);
}

/* A library that comes when everything has begun: its calls, its functions that are chosen, what it
 * brings along. */
void check_late(void)
{
	for (int round = 0; round < 20; round++) {
		void *library = open_library("libuserspace_late.so");
		int (*number)(int), (*calls)(int), (*others)(int), *of_itself;
		double (*sum)(double, double);

		*(void **)&number = symbol_of(library, "late_number");
		*(void **)&calls = symbol_of(library, "late_calls_number");
		*(void **)&others = symbol_of(library, "late_calls_others");
		*(void **)&sum = symbol_of(library, "late_sum");
		of_itself = symbol_of(library, "late_constructed");
		CHECK(*of_itself == 77);
		CHECK(calls(4) == 1004);
		CHECK(number(5) == 1005);
		CHECK(others(6) == 385 + 7 + 6);
		CHECK(sum(1.5, 2.25) == 3.75);
		CHECK(dlclose(library) == 0);
	}
	CHECK(dlsym(RTLD_DEFAULT, "late_number") == NULL);
	CHECK(dlsym(RTLD_DEFAULT, "fresh_3") != NULL);
}

/* ---- threads ---- */

#define THREADS 8
#define ROUNDS 20

static pthread_barrier_t barrier;

static void *binds_all(void *arg)
{
	uint64_t self = (uint64_t)(uintptr_t)arg;

	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		if (self == 0 && !program.now) {
			for (int i = 0; i < FRESH; i++) {
				slot_unbind(fresh_slots[i]);
			}
		}
		pthread_barrier_wait(&barrier);
		for (int i = 0; i < FRESH; i++) {
			struct trial trial;

			trial_fill(&trial, self * 1000 + (uint64_t)i);
			trial_call(&trial, fresh_entries + 8 * i);
			CHECK(trial.which == (uint64_t)i);
			trial_compare(&trial, trial_kept_by_call(), "fresh_", i);
		}
	}
	return NULL;
}

void check_threads(void)
{
	pthread_t threads[THREADS];

	find_slots(fresh_slots, "fresh_");
	CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
	for (uintptr_t i = 0; i < THREADS; i++) {
		CHECK(pthread_create(&threads[i], NULL, binds_all, (void *)i) == 0);
	}
	for (int i = 0; i < THREADS; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
	}
}

/* ---- signals all the time ---- */

#define SIGNALS 300
#define CALLS 3000

static atomic_int signals_seen, nested_wrong;

/* It uses every register, and calls what is not bound either. */
static void on_signal(int number)
{
	struct trial trial;
	int which = FRESH - 1 - atomic_load(&signals_seen) % 8;

	(void)number;
	trial_fill(&trial, 99);
	trial_call(&trial, fresh_entries + 8 * which);
	if (trial.which != (uint64_t)which) {
		atomic_store(&nested_wrong, 1);
	}
	trial_clobber();
	atomic_fetch_add(&signals_seen, 1);
}

void check_storm(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
	int calls = 0;

	find_slots(fresh_slots, "fresh_");
	CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (; calls < CALLS || atomic_load(&signals_seen) < SIGNALS; calls++) {
		struct trial trial;
		int i = calls % FRESH;

		if (!program.now) {
			slot_unbind(fresh_slots[i]);
		}
		trial_fill(&trial, (uint64_t)calls);
		trial_call(&trial, fresh_entries + 8 * i);
		CHECK(trial.which == (uint64_t)i);
		trial_compare(&trial, trial_kept_by_call(), "fresh_", i);
	}
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	CHECK(!atomic_load(&nested_wrong));
	CHECK(raise(SIGUSR1) == 0);
	printf("%d calls, %d signals\n", calls, atomic_load(&signals_seen));
}
