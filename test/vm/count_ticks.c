/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what rdtsc counts for a known loop, three times: the same each time where instructions are counted. */
#include <stdint.h>
#include <stdio.h>
#include <x86intrin.h>

int main(void)
{
	uint64_t ticks[3];

	for (int i = 0; i < 3; i++) {
		uint64_t begin = __rdtsc();

		for (volatile int round = 0; round < 1000; round++) {
		}
		ticks[i] = __rdtsc() - begin;
	}
	printf("%llu %llu %llu\n", (unsigned long long)ticks[0], (unsigned long long)ticks[1],
	       (unsigned long long)ticks[2]);
	return 0;
}
