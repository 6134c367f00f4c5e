/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that is started with different C libraries (userspace_test.cc). It makes one check
 * and ends; each check is a function that returns, or says what is wrong. Nothing of what a check
 * is about has happened before it begins.
 */
#ifndef LYCH_TEST_PROGRAM_H
#define LYCH_TEST_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#else
#include "registers.h"

/* ---- trial.c: calls with all registers set ---- */

/* What is compared. */
enum trial_kept {
	TRIAL_ARGUMENTS, /* what hands over arguments, and what a callee saves */
	TRIAL_CALL,      /* everything but r10, and vectors in their full number and width */
	TRIAL_GENERAL,   /* r10, too, but neither vectors nor masks nor modes */
	TRIAL_ALL,
};

uint32_t trial_level(void);
void trial_fill(struct trial *trial, uint64_t seed);
/* Fails unless out equals in. With TRIAL_GENERAL and TRIAL_ALL there is a result in rax. */
void trial_compare(const struct trial *trial, enum trial_kept kept, const char *name, int number);
/* Of a call through the procedure linkage table, and of an access by a TLS descriptor. */
enum trial_kept trial_kept_by_call(void);
enum trial_kept trial_kept_by_access(void);
void trial_call(struct trial *trial, const void *entry);
extern const uint8_t fresh_entries[], chosen_entries[]; /* of 8 bytes each */

/* Leaves other values in all registers that a signal handler may change. */
void trial_clobber(void);
#endif

/* ---- program.c ---- */

struct program {
	bool now;           /* LD_BIND_NOW */
	bool audited;       /* LD_AUDIT: each call through the linkage table goes by la_pltenter */
	bool repaired;      /* lych_init was called */
	const char *folder; /* of the libraries that are opened later, ends in '/' */
	char *const *again; /* argv that starts this program once more, without the check's name, */
	int again_name;     /* which stands here in it */
};
extern struct program program;

__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format, ...);
/* What cannot be checked on this machine. */
__attribute__((format(printf, 1, 2), noreturn)) void skip(const char *format, ...);
#define CHECK(condition) \
	((condition) ? (void)0 : fail("%s:%d: not so: %s", __FILE__, __LINE__, #condition))

/* glibc's minor version: 36 for 2.36. */
int libc_minor(void);

/* In folder; fails when it cannot be opened. */
void *open_library(const char *name);
void *symbol_of(void *library, const char *name);

/* ---- slot.c: this program's procedure linkage table ---- */

/* Where the address for a call of name stands; fails when there is none. */
uintptr_t *slot_of(const char *name);
/* Nobody has called it: the slot leads back to this program. */
bool slot_unbound(const uintptr_t *slot);
/* Makes it so. Never while the program runs with LD_BIND_NOW. */
void slot_unbind(uintptr_t *slot);
void slots_remember(void); /* before anything is bound */

/* ---- the checks ---- */

void check_nothing(void);
void check_registers(void);
void check_chosen(void);
void check_values(void);
void check_late(void);
void check_threads(void);
void check_storm(void);
void check_during(void);
void prepare_during(void);
void check_step(void);
void check_step_tls(void);
void check_tls(void);
void check_tls_threads(void);
void check_exceptions(void);
void check_constructors(void);
void check_cancel(void);
void check_processes(void);
void check_pkeys(void);
void check_profil(void);
void prepare_profil(void);
void check_domain(void);
void check_audit(void);
void check_inside(void);
void prepare_inside(void);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_PROGRAM_H */
