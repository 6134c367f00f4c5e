/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS descriptors. The first access of a thread to a library's variables goes a long way, through
 * malloc; from glibc 2.41 on (as Debian has it) vector registers are kept on this way, by XSAVE and
 * XRSTOR, as compilers expect.
 */
#include "program.h"
#include "tls.h"

#include <dlfcn.h>
#include <pthread.h>

static struct {
	tls_trial_fn *trial;
	tls_count_fn *count;
	tls_keep_fn *keep;
	tls_numbers_fn *numbers;
} tls;

static void *open_tls(void)
{
	void *library = open_library("libuserspace_tls.so");

	*(void **)&tls.trial = symbol_of(library, "tls_trial");
	*(void **)&tls.count = symbol_of(library, "tls_count");
	*(void **)&tls.keep = symbol_of(library, "tls_keep");
	*(void **)&tls.numbers = symbol_of(library, "tls_numbers");
	return library;
}

static void access_all(uint64_t seed)
{
	struct trial trial;
	long *number, *numbers;

	for (int round = 0; round < 2; round++) {
		trial_fill(&trial, seed + (uint64_t)round);
		number = tls.trial(&trial);
		CHECK(*number == TLS_FIRST + round);
		++*number;
		trial_compare(&trial, trial_kept_by_access(), "access ", round);
	}
	CHECK(tls.count() == TLS_FIRST);
	CHECK(tls.count() == TLS_FIRST + 1);
	CHECK(tls.keep(1.5, 2.25) == 3.75);
	numbers = tls.numbers();
	for (int i = 0; i < TLS_NUMBERS; i++) {
		CHECK(numbers[i] == (i < 8 ? i : 0));
		numbers[i] = -1;
	}
}

void check_tls(void)
{
	for (uint64_t round = 1; round <= 40; round++) {
		void *library = open_tls();

		access_all(100 * round);
		CHECK(dlclose(library) == 0);
	}
}

static pthread_barrier_t barrier;

static void *accesses(void *arg)
{
	pthread_barrier_wait(&barrier);
	access_all((uint64_t)(uintptr_t)arg);
	return NULL;
}

void check_tls_threads(void)
{
	pthread_t threads[8];

	open_tls();
	access_all(1);
	for (int round = 0; round < 8; round++) {
		unsigned int count = round < 4 ? 8 : 1;

		CHECK(pthread_barrier_init(&barrier, NULL, count) == 0);
		for (unsigned int i = 0; i < count; i++) {
			CHECK(pthread_create(&threads[i], NULL, accesses,
					     (void *)(uintptr_t)(10 * i + 2)) == 0);
		}
		for (unsigned int i = 0; i < count; i++) {
			CHECK(pthread_join(threads[i], NULL) == 0);
		}
		CHECK(pthread_barrier_destroy(&barrier) == 0);
	}
}
