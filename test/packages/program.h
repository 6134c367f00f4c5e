/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program for one library of a Debian package: it calls the function that holds the stray, lets the runtime repair
 * the code of the process, and calls it again. Each program is one file NAME.c with the struct program below.
 *
 *	NAME LIBRARY [--traced [--unrepaired]]
 *
 * Exit codes: 0 the answers are right, and the same before and after; 1 they are not; 2 the library is not what the
 * program knows; 3 the runtime refused. LYCH_SEED repeats a run.
 */
#ifndef LYCH_TEST_PACKAGES_PROGRAM_H
#define LYCH_TEST_PACKAGES_PROGRAM_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct program {
	/* Called twice, before and after the repair. The same random() and known answers each time. */
	void (*calls)(void *library);
	const char *first; /* a library that must be there before it; NULL: none */
	void *(*open)(const char *path); /* gives what calls gets; NULL: dlopen */
};

extern const struct program program;

/* A function or object of the library; the program ends with 2 when it has none of that name. */
void *symbol(void *library, const char *name);

/* An answer of the library; those after the repair must be those from before. */
void answer(const void *bytes, size_t len);
/* An answer that is published: it is compared, too. */
void known_answer(const char *what, const void *bytes, size_t len, const char *expected_hex);
void known_number(const char *what, uint64_t number, uint64_t expected);

/* The program's own random numbers: the same sequence in both rounds. */
uint64_t random_number(void);
void random_bytes(void *bytes, size_t len);

/* What cannot be: said on stderr, exit code 2. */
void unexpected(const char *what) __attribute__((noreturn));

#ifdef __cplusplus
}

// A function of that name and type.
template <typename F> F *function(void *library, const char *name)
{
	return reinterpret_cast<F *>(symbol(library, name));
}
#endif

#endif /* LYCH_TEST_PACKAGES_PROGRAM_H */
