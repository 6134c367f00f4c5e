/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for the arena, the door to executable memory and the mediator: what the loader makes runs in the
 * process of the test, with another C library than the test's, in memory of plain mmap. System calls from inside
 * are dispatched here, and carried out but for those that the two libraries would quarrel about. One process, one
 * domain: cases run in children.
 */
#ifndef LYCH_LOADER_WORLD_H
#define LYCH_LOADER_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "loader.h"

enum world_end { WORLD_RETURNED, WORLD_PRIVATE, WORLD_THREAD_EXIT, WORLD_EXIT, WORLD_FAULT };

struct world {
	struct loader_ops ops;
	struct loader_start start;
	struct stub_table table;
	uint64_t low, end;   /* the arena */
	uint64_t next;
	struct {
		uint64_t at, bytes;
	} places[8];
	unsigned nplaces;
	uint64_t main_fs;
	enum world_end how;  /* the last call has ended */
	uint64_t value;      /* its result; number of the private call; exit status; address */
	uint64_t argument;   /* of the private call */
	bool cloned;         /* a thread was made inside; it is not begun */
	struct inside_start thread;
	uint64_t thread_fs, thread_tid_at; /* what it must have, and the kernel clears when it ends */
	unsigned calls;      /* system calls since the start */
	unsigned of[512];    /* by number */
	unsigned mapped;     /* calls of ops */
	unsigned code;
	uint64_t code_of_file, code_of_none; /* bytes of code that are the file's where it says, and that are not, and not 0 */
	int fail_after;      /* ops fail after as many; -1: never */
	uint64_t scratch;    /* bytes that are not released */
};

extern struct world world;

/* Takes the address space. 0 or -errno. */
int world_begin(void);

/* Maps, and enters the loader: world.how says how that ended. Returns what loader_begin does. */
int world_start(const struct lych_library_opts *opts, const char *name);

/* A call inside with that fs base, on a stack of its own. world.how says how it ended. */
uint64_t world_call(uint64_t fs, uint64_t fn, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/* Begins the thread that was cloned: until it parks or ends. */
void world_begin_thread(void);

#endif /* LYCH_LOADER_WORLD_H */
