/* SPDX-License-Identifier: Apache-2.0 */
/* A server whose parser has a bug. What a hostile request does without a domain, and with one. */
#include <lychgate/lychgate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 8

struct table {
	char text[SLOTS][16];
};

static char is_admin[16]; /* the server's own: nothing a request says may change it */

/* "SLOT TEXT": stores TEXT. The bug: whatever SLOT is. Returns the length of the text, or -1. */
static int parse(struct table *table, const char *request)
{
	char *end;
	long slot = strtol(request, &end, 10);

	if (*end != ' ' || strlen(end + 1) >= sizeof(table->text[0])) {
		return -1;
	}
	memcpy(table->text[slot], end + 1, strlen(end + 1) + 1);
	return (int)strlen(end + 1);
}

LYCH_BIND(parser, parse, int, (struct table *, const char *));

/* The request that makes an administrator of whoever sends it, when the table lies there. */
static const char *hostile(const struct table *table)
{
	static char request[64];
	long slot = (long)((uintptr_t)is_admin - (uintptr_t)table) / (long)sizeof(table->text[0]);

	(void)snprintf(request, sizeof(request), "%ld yes", slot);
	return request;
}

static void answer(const char *how, const char *request, int rc, int length)
{
	printf("%s  \"%s\": ", how, request);
	if (rc != 0) {
		printf("refused (%s)", lych_strerror(rc));
	} else {
		printf("stored %d bytes", length);
	}
	printf("; is_admin is \"%s\"\n", is_admin);
}

static int serve_in_domain(struct lych_domain *parser, const char *request)
{
	struct table *table = lych_alloc_aligned(parser, 16, sizeof(*table));
	char *copy = lych_strdup(parser, request);
	int length = 0, rc = -ENOMEM;

	if (table != NULL && copy != NULL) {
		rc = LYCH_CALL(parser, &length, parse, table, copy);
	}
	answer("in the domain:     ", request, rc, length);
	if (rc == -EFAULT) {
		if (lych_fault_print(lych_fault(parser), 1) != 0) {
			return -EIO;
		}
		return lych_domain_reset(parser); /* its memory is new; whoever wrote there wrote for nothing */
	}
	(void)lych_free(parser, copy);
	(void)lych_free(parser, table);
	return rc;
}

int main(int argc, char **argv)
{
	static struct table plain __attribute__((aligned(16)));
	struct lych_domain *parser;
	struct table *where;
	bool slow = argc > 1 && strcmp(argv[1], "mprotect") == 0;
	int rc;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	answer("without a domain:  ", "2 hello", 0, parse(&plain, "2 hello"));
	answer("without a domain:  ", hostile(&plain), 0, parse(&plain, hostile(&plain)));
	memset(is_admin, 0, sizeof(is_admin));

	rc = lych_init(LYCH_OPTS(struct lych_init_opts, .backend = slow ? LYCH_MPROTECT : LYCH_BACKEND_AUTO));
	if (rc == 0) {
		rc = lych_domain_new(&parser, LYCH_OPTS(struct lych_domain_opts, .name = "parser", .kind = LYCH_KIND_PURE));
	}
	if (rc != 0) {
		(void)fprintf(stderr, "%s: %s\n", lych_strerror(rc), lych_why());
		return 2;
	}
	if (serve_in_domain(parser, "2 hello") != 0) {
		return 1;
	}
	/* the attacker knows where the next table will lie: freed memory is used again */
	where = lych_alloc_aligned(parser, 16, sizeof(*where));
	(void)lych_free(parser, where);
	if (serve_in_domain(parser, hostile(where)) != 0 || serve_in_domain(parser, "3 still here") != 0) {
		return 1;
	}
	puts(is_admin[0] == '\0' ? "the server's memory is as it was" : "the server's memory was changed");
	return is_admin[0] != '\0' || lych_domain_free(parser) != 0;
}
