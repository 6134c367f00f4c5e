/* SPDX-License-Identifier: Apache-2.0 */
/* libprimesieve11, C++: EratSmall::crossOff, by primesieve_count_primes. `and $0xef,1(%rdi,%r9)` holds it. */
#include "program.h"

static void calls(void *library)
{
	uint64_t (*count)(uint64_t, uint64_t) = symbol(library, "primesieve_count_primes");
	void (*threads)(int) = symbol(library, "primesieve_set_num_threads");
	/* pi(10^n): OEIS A006880 */
	static const uint64_t pi[] = {0, 4, 25, 168, 1229, 9592, 78498, 664579, 5761455};
	uint64_t power = 1;

	threads(1);
	for (size_t n = 0; n < sizeof(pi) / sizeof(pi[0]); n++) {
		known_number("the number of primes", count(0, power), pi[n]);
		power *= 10;
	}
	for (int i = 0; i < 50; i++) {
		uint64_t start = random_number() % UINT64_C(1000000000000);
		uint64_t n = count(start, start + random_number() % 1000000);

		answer(&n, sizeof(n));
	}
}

const struct program program = {.calls = calls};
