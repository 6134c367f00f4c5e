/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/sysmacros.h>

#include "maps.h"

static int digit_of(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return 16;
}

/* A number of at least one digit, which then must be followed by the character after. */
static bool number(uint64_t *out, char **pos, unsigned base, uint64_t max, char after)
{
	char *p = *pos;
	uint64_t value = 0;

	while ((unsigned)digit_of(*p) < base) {
		unsigned digit = (unsigned)digit_of(*p);

		if (value > (max - digit) / base) {
			return false;
		}
		value = value * base + digit;
		p++;
	}
	if (p == *pos || (*p != after && !(after == ' ' && *p == '\0'))) {
		return false;
	}
	*out = value;
	*pos = *p == '\0' ? p : p + 1;
	return true;
}

static bool permission(bool *out, char **pos, char yes, char no)
{
	char c = **pos;

	if (c != yes && c != no) {
		return false;
	}
	*out = c == yes;
	(*pos)++;
	return true;
}

/*
 * The kernel writes a newline in a name as \012 and leaves backslashes alone, so a name that really
 * holds these four characters cannot be told from one with a newline. Whoever opens the path
 * compares device and inode.
 */
static void undo_escapes(char *path)
{
	char *to = path;

	for (const char *from = path; *from != '\0'; to++) {
		if (strncmp(from, "\\012", 4) == 0) {
			*to = '\n';
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

bool mapping_parse(struct mapping *out, char *line)
{
	static const char deleted[] = " (deleted)";
	const size_t deleted_len = sizeof(deleted) - 1;
	uint64_t major, minor;
	char *p = line;
	size_t len;

	memset(out, 0, sizeof(*out));
	if (!number(&out->start, &p, 16, UINT64_MAX, '-') ||
	    !number(&out->end, &p, 16, UINT64_MAX, ' ') || out->start >= out->end ||
	    !permission(&out->readable, &p, 'r', '-') ||
	    !permission(&out->writable, &p, 'w', '-') ||
	    !permission(&out->executable, &p, 'x', '-') ||
	    !permission(&out->shared, &p, 's', 'p') || *p++ != ' ' ||
	    !number(&out->off, &p, 16, UINT64_MAX, ' ') ||
	    !number(&major, &p, 16, UINT32_MAX, ':') || !number(&minor, &p, 16, UINT32_MAX, ' ') ||
	    !number(&out->inode, &p, 10, UINT64_MAX, ' ')) {
		return false;
	}
	out->dev = makedev((unsigned)major, (unsigned)minor);
	while (*p == ' ') {
		p++;
	}
	len = strlen(p);
	if (len > deleted_len && strcmp(p + len - deleted_len, deleted) == 0) {
		out->deleted = true;
		p[len - deleted_len] = '\0';
	}
	undo_escapes(p);
	out->path = p;
	return true;
}
