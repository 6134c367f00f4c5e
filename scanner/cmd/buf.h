/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer, and text that is safe to print. */
#ifndef LYCHGATE_CMD_BUF_H
#define LYCHGATE_CMD_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lychgate/base.h>

struct buf {
	char *data; /* NULL while empty; not terminated */
	size_t len;
	size_t cap;
	bool failed; /* memory ran out: something is missing; stays set until buf_free */
};

void buf_free(struct buf *buf);
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_str(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *fmt, ...) LYCH_PRINTF(2, 3);

/*
 * Adds a name that somebody else chose so that it cannot steer a terminal or look like another:
 * control characters (C0, C1, DEL), line and paragraph separators, direction overrides and bytes
 * that are not UTF-8 as \xNN, a backslash doubled.
 */
void buf_name(struct buf *buf, const char *name);

/* "0f 01 ef" */
void buf_bytes(struct buf *buf, const uint8_t *bytes, size_t n);
/* "0f01ef" */
void buf_hex(struct buf *buf, const uint8_t *bytes, size_t n);

/*
 * Length of the well-formed UTF-8 sequence that text begins with, and its code point in *out; 0
 * when it begins with none (overlong forms and surrogates are not well-formed) or is empty.
 */
size_t utf8_next(const char *text, uint32_t *out);

#endif /* LYCHGATE_CMD_BUF_H */
