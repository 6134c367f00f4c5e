/* SPDX-License-Identifier: Apache-2.0 */
#include <lychgate/lychgate.h>
#include <stdio.h>
#include <stdlib.h>

static int admins = 1; /* the program's: nothing that is parsed may change it */

/* A library with a bug: it writes wherever its input says. */
static int parse(int *table, const char *line)
{
	return ++table[strtol(line, NULL, 10)];
}
LYCH_BIND(library, parse, int, (int *, const char *));

int main(void)
{
	const struct lych_domain_opts *pure = LYCH_OPTS(struct lych_domain_opts, .kind = LYCH_KIND_PURE);
	struct lych_domain *library;
	int count = 0, rc = 0;

	if (lych_init(NULL) != 0 || lych_domain_new(&library, pure) != 0) {
		puts(lych_why());
		return 2;
	}
	int *table = lych_calloc(library, 8, sizeof(*table));
	char hostile[32];
	snprintf(hostile, sizeof(hostile), "%td", &admins - table);
	const char *input[] = {"3", "3", hostile};
	for (int i = 0; i < 3 && rc == 0; i++) {
		rc = LYCH_CALL(library, &count, parse, table, lych_strdup(library, input[i]));
		printf("%s: %s, %d; admins: %d\n", input[i], rc == 0 ? "counted" : lych_strerror(rc), count, admins);
	}
	return lych_fault_print(lych_fault(library), 1) != 0 || admins != 1;
}
