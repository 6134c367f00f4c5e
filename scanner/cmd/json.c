/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

static int add_chunk(const char *data, size_t len, void *out)
{
	buf_add(out, data, len);
	return 0;
}

void json_add(struct buf *out, json_t *value)
{
	/* ASCII: beyond it are characters that end a line or steer a terminal (U+0085, U+009B, U+2028). */
	const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII;

	if (value == NULL || json_dump_callback(value, add_chunk, out, flags) != 0) {
		out->failed = true;
	}
	json_decref(value);
}

json_t *json_text(const char *text, bool *exact)
{
	struct buf buf = {0};
	uint32_t code;
	bool all = true;

	for (size_t len; *text != '\0'; text += len) {
		len = utf8_next(text, &code);
		if (len == 0) {
			buf_printf(&buf, "\\x%02x", (unsigned char)*text);
			all = false;
			len = 1;
		} else {
			buf_add(&buf, text, len);
		}
	}
	if (exact != NULL) {
		*exact = all;
	}
	return json_buf(&buf);
}

json_t *json_text_bytes(const char *text)
{
	return json_bytes((const uint8_t *)text, strlen(text));
}

json_t *json_hex(uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

json_t *json_bytes(const uint8_t *bytes, size_t n)
{
	struct buf buf = {0};

	buf_hex(&buf, bytes, n);
	return json_buf(&buf);
}

json_t *json_buf(struct buf *buf)
{
	json_t *value =
		buf->failed ? NULL : json_stringn(buf->data != NULL ? buf->data : "", buf->len);

	buf_free(buf);
	return value;
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (json_is_string(value) && json_string_length(value) == 0) {
		json_decref(value);
		return;
	}
	/* What is missing for want of memory must not pass for absent. */
	if (json_object_set_new(object, key, value) != 0) {
		json_object_set_new(object, "incomplete", json_true());
	}
}
