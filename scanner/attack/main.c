/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `lychgate attack` runs, once for each attack and once more without protection: the process that is attacked, which may come to
 * any end. On standard output: lines that begin with "- " say what is not as it should be, and "= stopped" is the last one when all is.
 * Exit status: 0 stopped, 1 not, 2 wrong usage, 3 there can be no library domain here; of "bare" see attack_had_effect.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

enum { STOPPED = 0, NOT_STOPPED = 1, WRONG_USAGE = 2, NOT_HERE = 3 };

/* By one write, and no buffer that an attack could leave full. */
static void say(const char *text, void *prefix)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s%s\n", (const char *)prefix, text);

	n = n < (int)sizeof(line) ? n : (int)sizeof(line) - 1;
	if (write(STDOUT_FILENO, line, (size_t)n) != n) {
		_exit(WRONG_USAGE);
	}
}

static char complaint[] = "- ", verdict[] = "= ";

static const struct attack *find(const char *name)
{
	for (const struct attack *a = attacks; a->name != NULL; a++) {
		if (strcmp(a->name, name) == 0) {
			return a;
		}
	}
	return NULL;
}

static int probe(const char *library)
{
	struct lych_init_opts init = {.size = sizeof(init), .backend = LYCH_PKU};
	struct lych_domain *domain = NULL;

	if (lych_init(&init) != 0 || lych_open(&domain, library, NULL) != 0) {
		say(lych_why(), complaint);
		return NOT_HERE;
	}
	return lych_domain_free(domain) == 0 ? STOPPED : NOT_STOPPED;
}

int main(int argc, char **argv)
{
	struct world world = {.tell = say, .ctx = complaint};
	const struct attack *a = argc == 5 ? find(argv[2]) : NULL;
	bool here = false;

	if (argc == 3 && strcmp(argv[1], "probe") == 0) {
		return probe(argv[2]);
	}
	if (a == NULL || strlen(argv[4]) >= sizeof(world.base)) {
		return WRONG_USAGE;
	}
	strcpy(world.base, argv[4]);
	if (strcmp(argv[1], "bare") == 0) {
		/* Nothing of what it has left behind is run. */
		_exit(attack_bare(a, &world, argv[3]));
	}
	if (strcmp(argv[1], "inside") != 0) {
		return WRONG_USAGE;
	}
	if (attack_inside(a, &world, argv[3], &here)) {
		say("stopped", verdict);
		return STOPPED;
	}
	return here ? NOT_STOPPED : NOT_HERE;
}
