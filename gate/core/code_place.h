/* SPDX-License-Identifier: Apache-2.0 */
/* Where in the program's files an address of code lies, for people. */
#ifndef LYCH_CODE_PLACE_H
#define LYCH_CODE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "hidden.h"

struct code_place {
	const char *file;   /* without its folders; of the program itself its name */
	uint64_t offset;    /* from where the file is loaded: what addr2line -e FILE takes */
	const char *symbol; /* of the exported function that it lies in; NULL: none of them */
	uint64_t into;      /* bytes into that function */
	bool loader;        /* it is the dynamic loader, ld.so */
};

/*
 * Fills out, whose strings are the loader's and live as long as the file is loaded. false: no loaded file's. Takes no
 * lock, and so works, too, where a call that was ended has left one of the loader's behind. Async-signal-safe.
 */
LYCH_HIDDEN bool code_place_of(struct code_place *out, uint64_t address);

#endif /* LYCH_CODE_PLACE_H */
