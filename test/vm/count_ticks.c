/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what rdtsc counts for a known loop, three times: the same each time where instructions are counted. Each is the least
 * of twenty rounds, as an interrupt that falls into one is counted, too.
 */
#include <stdint.h>
#include <stdio.h>
#include <x86intrin.h>

static uint64_t least(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 20; i++) {
		uint64_t begin = __rdtsc(), ticks;

		for (volatile int round = 0; round < 1000; round++) {
		}
		ticks = __rdtsc() - begin;
		best = ticks < best ? ticks : best;
	}
	return best;
}

int main(void)
{
	unsigned long long first = least(), second = least(), third = least();

	printf("%llu %llu %llu\n", first, second, third);
	return 0;
}
