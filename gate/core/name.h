/* SPDX-License-Identifier: Apache-2.0 */
/* Names that a program gives to domains and regions. */
#ifndef LYCH_NAME_H
#define LYCH_NAME_H

#include <string.h>

#define NAME_MAX_BYTES 32

/*
 * Copies name, cut, to out. They stand in reports, a line each. Before any lock is taken: name is the caller's, and a bad
 * pointer is a fault of his, which his handler may leave by siglongjmp.
 */
static inline void name_copy(char out[NAME_MAX_BYTES], const char *name)
{
	memset(out, 0, NAME_MAX_BYTES);
	if (name == NULL) {
		return;
	}
	strncpy(out, name, NAME_MAX_BYTES - 1);
	for (char *c = out; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			*c = '?';
		}
	}
}

#endif /* LYCH_NAME_H */
