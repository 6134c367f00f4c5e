/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that bind calls, and such that make their first access to thread-local storage, while the runtime starts. */
#include "program.h"
#include "tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define BINDERS 2
#define EACH (FRESH / BINDERS)
#define ENOUGH 60

static atomic_long done[BINDERS + 1];
static atomic_bool stop;
static pthread_t threads[BINDERS + 1];
static tls_trial_fn *access_tls;

static void *binds(void *arg)
{
	uintptr_t self = (uintptr_t)arg;
	char name[32];

	for (int i = 0; !atomic_load(&stop); i = (i + 1) % EACH) {
		int number = (int)self * EACH + i;
		struct trial trial;

		snprintf(name, sizeof(name), "fresh_%d", number);
		if (!program.now) {
			slot_unbind(slot_of(name));
		}
		trial_fill(&trial, (uint64_t)number);
		trial_call(&trial, fresh_entries + 8 * number);
		CHECK(trial.which == (uint64_t)number);
		trial_compare(&trial, trial_kept_by_call(), "fresh_", number);
		atomic_fetch_add(&done[self], 1);
	}
	return NULL;
}

static void *accesses_once(void *arg)
{
	struct trial trial;
	long *number;

	trial_fill(&trial, (uint64_t)(uintptr_t)arg);
	number = access_tls(&trial);
	CHECK(*number == TLS_FIRST);
	trial_compare(&trial, trial_kept_by_access(), "access", 0);
	return NULL;
}

static void *starts_threads(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		long number = atomic_load(&done[BINDERS]);
		pthread_t thread;

		CHECK(pthread_create(&thread, NULL, accesses_once, (void *)(uintptr_t)(number + 1)) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
		atomic_store(&done[BINDERS], number + 1);
	}
	return NULL;
}

/* Each of them gets on. */
static void wait_for_all(void)
{
	for (int i = 0; i <= BINDERS; i++) {
		for (long from = atomic_load(&done[i]); atomic_load(&done[i]) < from + ENOUGH;) {
			sched_yield();
		}
	}
}

void prepare_during(void)
{
	*(void **)&access_tls = symbol_of(open_library("libuserspace_tls.so"), "tls_trial");
	for (uintptr_t i = 0; i <= BINDERS; i++) {
		CHECK(pthread_create(&threads[i], NULL, i < BINDERS ? binds : starts_threads, (void *)i) == 0);
	}
	wait_for_all();
}

void check_during(void)
{
	wait_for_all();
	atomic_store(&stop, true);
	for (int i = 0; i <= BINDERS; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
	}
}
