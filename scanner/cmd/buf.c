/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

void buf_free(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}

/* Room for len more bytes and a terminator that vsnprintf insists on. */
static bool reserve(struct buf *buf, size_t len)
{
	size_t cap = buf->cap == 0 ? 256 : buf->cap;
	char *data;

	if (buf->failed || len >= SIZE_MAX / 2 - buf->len) {
		buf->failed = true;
		return false;
	}
	while (cap <= buf->len + len) {
		cap *= 2;
	}
	if (cap != buf->cap) {
		data = realloc(buf->data, cap);
		if (data == NULL) {
			buf->failed = true;
			return false;
		}
		buf->data = data;
		buf->cap = cap;
	}
	return true;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
	if (len > 0 && reserve(buf, len)) {
		memcpy(buf->data + buf->len, data, len);
		buf->len += len;
	}
}

void buf_str(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0) {
		buf->failed = true;
		return;
	}
	if (!reserve(buf, (size_t)n)) {
		return;
	}
	va_start(args, fmt);
	vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)n;
}

size_t utf8_next(const char *text, uint32_t *out)
{
	const unsigned char *s = (const unsigned char *)text;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len;
	uint32_t code;

	if (s[0] == 0) {
		return 0;
	} else if (s[0] < 0x80) {
		*out = s[0];
		return 1;
	} else if ((s[0] & 0xe0) == 0xc0) {
		len = 2;
		code = s[0] & 0x1f;
	} else if ((s[0] & 0xf0) == 0xe0) {
		len = 3;
		code = s[0] & 0x0f;
	} else if ((s[0] & 0xf8) == 0xf0) {
		len = 4;
		code = s[0] & 0x07;
	} else {
		return 0;
	}
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) { /* also the terminator */
			return 0;
		}
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
		return 0;
	}
	*out = code;
	return len;
}

static bool printable(uint32_t code)
{
	return code >= 0x20 && (code < 0x7f || code >= 0xa0) && code != 0x200e && code != 0x200f &&
	       !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069) &&
	       code != 0xfeff;
}

void buf_name(struct buf *buf, const char *name)
{
	uint32_t code;
	size_t len;

	while (*name != '\0') {
		len = utf8_next(name, &code);
		if (len == 1 && code == '\\') {
			buf_str(buf, "\\\\");
		} else if (len != 0 && printable(code)) {
			buf_add(buf, name, len);
		} else {
			len = len == 0 ? 1 : len;
			for (size_t i = 0; i < len; i++) {
				buf_printf(buf, "\\x%02x", (unsigned char)name[i]);
			}
		}
		name += len;
	}
}

void buf_bytes(struct buf *buf, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_printf(buf, i == 0 ? "%02x" : " %02x", bytes[i]);
	}
}

void buf_hex(struct buf *buf, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_printf(buf, "%02x", bytes[i]);
	}
}
