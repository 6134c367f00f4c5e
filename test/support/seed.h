/* SPDX-License-Identifier: Apache-2.0 */
/* What the random part of a test is drawn from. For C and C++. */
#ifndef LYCH_TEST_SEED_H
#define LYCH_TEST_SEED_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

/*
 * LYCH_SEED where it is set; else a new one with LYCH_LONG, and without it always the same: what passed once passes again.
 * Below 2^32. Whoever takes it prints it, as LYCH_SEED=N.
 */
static inline uint64_t lych_seed(void)
{
	const char *given = getenv("LYCH_SEED");
	uint32_t fresh;

	if (given != NULL && given[0] != '\0') {
		return (uint32_t)strtoull(given, NULL, 0);
	}
	if (getenv("LYCH_LONG") == NULL || getrandom(&fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh)) {
		return 1;
	}
	return fresh;
}

#endif
