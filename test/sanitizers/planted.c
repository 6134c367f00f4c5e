/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planted [race | overflow | undefined]: one error of the kind that a sanitizer is there to find, so that a stage
 * that finds nothing is known to have looked. Without an argument the same is done as it should be.
 *
 *	race       a thread looks at another's record of a call, which that thread is making meanwhile, by plain loads
 *	overflow   a heap's table of blocks is one granule short of what it was told to stand for
 *	undefined  a sum that no int can hold
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../gate/core/runtime.h"
#include "../../gate/memory/blocks.h"

#define GRANULES 64
#define ROUNDS 1000

static struct record record;
static struct lych_domain domain;
static bool plain;

static void *makes_calls(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		__atomic_store_n(&record.domain, i % 2 == 0 ? &domain : NULL, __ATOMIC_RELEASE);
	}
	return unused;
}

static void *looks(void *found)
{
	for (int i = 0; i < ROUNDS; i++) {
		*(int *)found += (plain ? record.domain == &domain : record_is_of(&record, &domain)) ? 1 : 0;
	}
	return NULL;
}

static int look_at_calls(void)
{
	pthread_t threads[2];
	int found = 0;

	if (pthread_create(&threads[0], NULL, makes_calls, NULL) != 0 ||
	    pthread_create(&threads[1], NULL, looks, &found) != 0) {
		return 1;
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	return found <= ROUNDS ? 0 : 1;
}

static int use_blocks(uint32_t missing)
{
	void *table = calloc(1, blocks_table_bytes(GRANULES - missing));
	struct blocks *blocks;
	int rc;

	if (table == NULL) {
		return 1;
	}
	blocks = blocks_start(table, GRANULES);
	rc = blocks_take(blocks, GRANULES, 1, 0) == 0 && blocks_give(blocks, 0) ? 0 : 1;
	free(table);
	return rc;
}

static int add(int more)
{
	volatile int sum = INT_MAX - 1;

	sum += more;
	return sum == 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	bool race = argc == 2 && strcmp(argv[1], "race") == 0;
	bool overflow = argc == 2 && strcmp(argv[1], "overflow") == 0;

	bool undefined = argc == 2 && strcmp(argv[1], "undefined") == 0;

	if (argc > 1 && !race && !overflow && !undefined) {
		fprintf(stderr, "usage: planted [race | overflow | undefined]\n");
		return 2;
	}
	plain = race;
	return look_at_calls() | use_blocks(overflow ? 1 : 0) | add(undefined ? 2 : 1);
}
