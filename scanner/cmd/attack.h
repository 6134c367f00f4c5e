/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lychgate attack: each attack of test/attack/library/attacks.inc in a process of its own, inside a library domain and, as its control,
 * without protection. scanner/attack/main.c is what these processes run.
 */
#ifndef LYCHGATE_CMD_ATTACK_H
#define LYCHGATE_CMD_ATTACK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "buf.h"
#include "hostile.h"

#define ATTACK_JOBS_MAX 64

/* Where the program and the library lie that attack. */
struct attack_paths {
	char program[PATH_MAX], library[PATH_MAX];
};

/* One process. */
struct attack_child {
	pid_t pid;    /* 0: none */
	int fd;       /* what it says */
	long ends_ms; /* when it is killed */
	char base[48];
	struct buf said;
	int status;
	bool late, done;
};

struct attack_row {
	const struct attack *attack;
	struct attack_child inside, bare;
	bool stopped, control;
	char why[256];     /* not stopped; "" */
	char why_not[256]; /* the control does not work; "" */
};

/* 0 or -errno: none of both is there. */
int attack_find(struct attack_paths *paths);

/* Whether library domains can be made here: an exit code, and with EXIT_PLATFORM the reason in why. */
int attack_probe(const struct attack_paths *paths, char *why, size_t bytes);

/*
 * Runs all rows, jobs processes at a time, each for timeout_s at most; calls done for each in order. 0, -errno when there can be no
 * process, or what done returned.
 */
int attack_run(const struct attack_paths *paths, struct attack_row *rows, size_t n, unsigned int jobs, unsigned int timeout_s,
	       int (*done)(const struct attack_row *row, void *ctx), void *ctx);

#endif /* LYCHGATE_CMD_ATTACK_H */
