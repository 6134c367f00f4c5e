/* SPDX-License-Identifier: Apache-2.0 */
/* What attack_fuzz is told and tells, at prey.own: memory that it writes over, too, so what it tells is a hint. */
#ifndef LYCH_TEST_ATTACK_FUZZ_H
#define LYCH_TEST_ATTACK_FUZZ_H

#include <stdint.h>

#define FUZZ_THREADS 4
#define FUZZ_ROOM (8 * 4096L)

struct fuzz {
	uint64_t seed;
	long threads, calls; /* calls: of each thread */
	long waits;          /* may calls wait for long? */
	long made, answered; /* answered: with no error */
	long copied[8];      /* number, arguments and result of a call that says it has copied what is not the domain's; 0: none */
	long last[FUZZ_THREADS]; /* number of the call that each thread has made last; -1: it has made all */
};

#endif /* LYCH_TEST_ATTACK_FUZZ_H */
