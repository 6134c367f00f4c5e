/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host that is attacked: what it has that must stay as it is, with the runtime and without. In C, for it is in the tests and in
 * what `lychgate attack` runs. A world lives in a process of its own, which may end in any way.
 */
#ifndef LYCH_TEST_ATTACK_WORLD_H
#define LYCH_TEST_ATTACK_WORLD_H

#include <lychgate/lychgate.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "hostile.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WORLD_CALL_MS 30000

/* What is not as it should be; text ends with the call. */
typedef void (*world_tell)(const char *text, void *ctx);

struct world {
	struct lych_domain *domain, *victim; /* NULL without the runtime */
	struct prey *target; /* in memory of the attacker's */
	uint64_t *secret, *other;
	uint64_t *heap, stack; /* copies of the secret, where worlds lie on the stack */
	uint32_t *words;
	char base[48];       /* a folder; given, or "": one is made. Nobody removes it */
	world_tell tell;
	void *ctx;
	bool none; /* world_start takes LYCH_NONE, which protects nothing: the control of attack_inside */
	/* its own */
	int tid, fd, dir, other_tid, stop;
	uint64_t inode;
	pthread_t thread;
	bool has_thread;
};

/* Signals that have reached the host. */
extern int world_signals;

/*
 * With the runtime: library is opened in a domain of that policy. False: it was told why. world_end also then. A world is all zeros
 * before, but for base, tell, ctx and none.
 */
bool world_start(struct world *w, enum attack_policy policy, const char *library);
/* The attacker's memory, anew after a reset. */
bool world_arm(struct world *w);
/* Without the runtime. keyed: the secret has a key, which is denied. Of the process: there is no end to it. */
bool world_bare(struct world *w, bool keyed);
/* The attack inside, what its call gives, and a look whether all that must hold does. */
int world_attack(struct world *w, const char *symbol, long *result, unsigned int timeout_ms);
void world_check(struct world *w);
/* After a fault: the domain works again, and so does the host. */
void world_anew(struct world *w);
void world_end(struct world *w);

/*
 * Runs an attack of the list as it should end: true when it was stopped and all is as it was; otherwise it was told what is not.
 * *here is false when there was no domain to run it in.
 */
bool attack_inside(const struct attack *a, struct world *w, const char *library, bool *here);
/* The same code in this process, without protection: what the process is to exit with. */
int attack_bare(const struct attack *a, struct world *w, const char *library);
#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_ATTACK_WORLD_H */
