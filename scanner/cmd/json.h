/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from things that may hold anything. All return NULL when memory runs out, as jansson does.
 */
#ifndef LYCHGATE_CMD_JSON_H
#define LYCHGATE_CMD_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "buf.h"

/* Adds the value, compact; takes the reference. NULL marks out as failed. */
void json_add(struct buf *out, json_t *value);

/*
 * A string; bytes that are not UTF-8 as \xNN (JSON itself escapes control characters). *exact,
 * which may be NULL, says whether nothing had to be replaced.
 */
json_t *json_text(const char *text, bool *exact);

/* The bytes of text as hexadecimal digits. */
json_t *json_text_bytes(const char *text);

json_t *json_hex(uint64_t value);                   /* "0x27a71" */
json_t *json_bytes(const uint8_t *bytes, size_t n); /* "0f01ef" */
json_t *json_buf(struct buf *buf);                  /* its text; frees it */

/* Puts value, whose reference is taken, into object; leaves an empty string out. */
void json_put(json_t *object, const char *key, json_t *value);

#endif /* LYCHGATE_CMD_JSON_H */
