/* SPDX-License-Identifier: Apache-2.0 */
#include "smaps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static int digit_of(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A number at *text in base 10 or 16, at least one digit; moves *text behind it. */
static bool number(const char **text, unsigned int base, uint64_t *value)
{
	const char *at = *text;
	uint64_t sum = 0;
	int digit;

	for (; (digit = digit_of(*at)) >= 0 && digit < (int)base; at++) {
		if (sum > (UINT64_MAX - (uint64_t)digit) / base) {
			return false;
		}
		sum = sum * base + (uint64_t)digit;
	}
	if (at == *text) {
		return false;
	}
	*text = at;
	*value = sum;
	return true;
}

static bool eat(const char **text, char c)
{
	if (**text != c) {
		return false;
	}
	(*text)++;
	return true;
}

/* One of two letters; *is: the first. */
static bool letter(const char **text, char yes, char no, bool *is)
{
	*is = **text == yes;
	return eat(text, yes) || eat(text, no);
}

/* "7f00-8000 rw-p 00000000 08:01 1234   /name" */
static bool parse_mapping(const char *text, struct smaps_mapping *m)
{
	uint64_t offset, major, minor, inode;
	bool r, w, x;

	if (!number(&text, 16, &m->at) || !eat(&text, '-') || !number(&text, 16, &m->end) || !eat(&text, ' ') ||
	    !letter(&text, 'r', '-', &r) || !letter(&text, 'w', '-', &w) || !letter(&text, 'x', '-', &x) ||
	    !letter(&text, 's', 'p', &m->shared) || !eat(&text, ' ') || !number(&text, 16, &offset) ||
	    !eat(&text, ' ') || !number(&text, 16, &major) || !eat(&text, ':') || !number(&text, 16, &minor) ||
	    !eat(&text, ' ') || !number(&text, 10, &inode) || (*text != ' ' && *text != '\0')) {
		return false;
	}
	m->prot = (r ? PROT_READ : 0) | (w ? PROT_WRITE : 0) | (x ? PROT_EXEC : 0);
	m->file = inode != 0;
	m->special = false;
	m->key = -1;
	return true;
}

static bool parse_key(const char *text, int *key)
{
	uint64_t value;

	while (*text == ' ') {
		text++;
	}
	if (!number(&text, 10, &value) || *text != '\0' || value > 15) {
		return false;
	}
	*key = (int)value;
	return true;
}

/* " rd wr mr mw me gd ac": two letters each. */
static bool parse_special(const char *text)
{
	static const char flags[][4] = {" gd", " ht", " io", " pf"};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		const char *at = strstr(text, flags[i]);

		if (at != NULL && (at[3] == ' ' || at[3] == '\0')) {
			return true;
		}
	}
	return false;
}

static void tell(struct smaps_parser *p)
{
	if (p->have) {
		p->mapping(&p->now, p->ctx);
		p->have = false;
	}
}

static bool take_line(struct smaps_parser *p)
{
	static const char key_field[] = "ProtectionKey:", flags_field[] = "VmFlags:";
	const char *line = p->line;

	if (digit_of(line[0]) >= 0) {
		tell(p);
		if (!parse_mapping(line, &p->now) || p->now.at >= p->now.end || p->now.at < p->upto) {
			return false;
		}
		p->upto = p->now.end;
		p->have = true;
		return true;
	}
	/* A field: begins with a capital letter, belongs to a mapping. */
	if (line[0] < 'A' || line[0] > 'Z' || strchr(line, ':') == NULL || !p->have) {
		return false;
	}
	if (strncmp(line, flags_field, sizeof(flags_field) - 1) == 0) {
		p->now.special = parse_special(line + sizeof(flags_field) - 1);
		return true;
	}
	if (strncmp(line, key_field, sizeof(key_field) - 1) == 0) {
		return p->now.key == -1 && parse_key(line + sizeof(key_field) - 1, &p->now.key);
	}
	return true;
}

void smaps_begin(struct smaps_parser *parser, void (*mapping)(const struct smaps_mapping *mapping, void *ctx),
		 void *ctx)
{
	memset(parser, 0, sizeof(*parser));
	parser->mapping = mapping;
	parser->ctx = ctx;
}

int smaps_feed(struct smaps_parser *p, const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes && !p->failed; i++) {
		if (text[i] != '\n') {
			if (text[i] == '\0') {
				p->failed = true;
			} else if (p->length < sizeof(p->line) - 1) {
				p->line[p->length++] = text[i];
			}
			continue;
		}
		p->line[p->length] = '\0';
		p->length = 0;
		p->failed = !take_line(p);
	}
	return p->failed ? -EBADMSG : 0;
}

int smaps_end(struct smaps_parser *p)
{
	if (p->failed || p->length != 0) {
		return -EBADMSG;
	}
	tell(p);
	return 0;
}

static void differ(struct smaps_check *c, enum difference_kind kind, uint64_t at, uint64_t end,
		   const struct smaps_mapping *m, const struct key_range *r)
{
	struct difference d = {
		.at = at,
		.end = end,
		.kind = kind,
		.key = m != NULL ? m->key : -1,
		.prot = m != NULL ? m->prot : 0,
		.want_key = r != NULL ? r->key : -1,
		.want_prot = r != NULL ? r->prot : 0,
	};

	if (at < end) {
		c->found(&d, c->ctx);
	}
}

static void compare(struct smaps_check *c, uint64_t at, uint64_t end, const struct smaps_mapping *m,
		    const struct key_range *r)
{
	if (c->has_keys && m->key != r->key) {
		differ(c, DIFFERENCE_KEY, at, end, m, r);
	}
	if (r->prot != RANGE_ANY && m->prot != r->prot) {
		differ(c, DIFFERENCE_PROT, at, end, m, r);
	}
	if (m->shared) {
		differ(c, DIFFERENCE_SHARED, at, end, m, r);
	} else if (r->prot != RANGE_ANY && m->file) {
		differ(c, DIFFERENCE_FILE, at, end, m, r);
	}
}

/* Memory that is in no range. */
static void outside(struct smaps_check *c, uint64_t at, uint64_t end, const struct smaps_mapping *m)
{
	if (c->has_keys && m->key > 0 && (c->our_keys >> m->key & 1) != 0) {
		differ(c, DIFFERENCE_UNKNOWN, at, end, m, NULL);
	}
}

void smaps_check_mapping(const struct smaps_mapping *m, void *check)
{
	struct smaps_check *c = check;
	uint64_t at = m->at; /* all of the mapping below is done */

	while (c->next < c->count) {
		const struct key_range *r = &c->ranges[c->next];
		uint64_t from = r->at > c->upto ? r->at : c->upto, to = r->end < m->end ? r->end : m->end;

		if (from < m->at) {
			uint64_t missing = r->end < m->at ? r->end : m->at;

			differ(c, DIFFERENCE_UNMAPPED, from, missing, NULL, r);
			c->upto = missing;
			from = missing;
		}
		if (from >= m->end) {
			break;
		}
		if (from < to) {
			outside(c, at, from, m);
			compare(c, from, to, m, r);
			c->upto = to;
			at = to;
		}
		if (r->end > m->end) {
			break;
		}
		c->next++;
	}
	outside(c, at, m->end, m);
}

void smaps_check_end(struct smaps_check *c)
{
	for (; c->next < c->count; c->next++) {
		const struct key_range *r = &c->ranges[c->next];

		differ(c, DIFFERENCE_UNMAPPED, r->at > c->upto ? r->at : c->upto, r->end, NULL, r);
	}
}

static const char *rights_text(int prot, char out[4])
{
	out[0] = (prot & PROT_READ) != 0 ? 'r' : '-';
	out[1] = (prot & PROT_WRITE) != 0 ? 'w' : '-';
	out[2] = (prot & PROT_EXEC) != 0 ? 'x' : '-';
	out[3] = '\0';
	return out;
}

const char *difference_text(const struct difference *d, const char *owner, const char *want_owner,
			    char out[DIFFERENCE_TEXT])
{
	char is[4], want[4];
	int used = snprintf(out, DIFFERENCE_TEXT, "%#llx-%#llx ", (unsigned long long)d->at,
			    (unsigned long long)d->end);
	char *rest = out + used;
	size_t room = (size_t)(DIFFERENCE_TEXT - used);

	switch (d->kind) {
	case DIFFERENCE_UNMAPPED:
		snprintf(rest, room, "of %s: not mapped", want_owner);
		break;
	case DIFFERENCE_KEY:
		snprintf(rest, room, "of %s: key %d (%s) instead of %d", want_owner, d->key, owner, d->want_key);
		break;
	case DIFFERENCE_PROT:
		snprintf(rest, room, "of %s: %s instead of %s", want_owner, rights_text(d->prot, is),
			 rights_text(d->want_prot, want));
		break;
	case DIFFERENCE_SHARED:
		snprintf(rest, room, "of %s: a shared mapping", want_owner);
		break;
	case DIFFERENCE_FILE:
		snprintf(rest, room, "of %s: a file's pages", want_owner);
		break;
	case DIFFERENCE_UNKNOWN:
		snprintf(rest, room, "not of the runtime: key %d (%s)", d->key, owner);
		break;
	}
	return out;
}
