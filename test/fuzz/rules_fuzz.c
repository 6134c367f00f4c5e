/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of policies, and what makes a path normal. What parses can be printed, and what is printed parses to the
 * same decisions; no policy allows what none may; a normal path stays as it is and holds no "..".
 */
#include <stdlib.h>
#include <string.h>

#include "../../gate/library/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const long never[] = {101 /* ptrace */, 310 /* process_vm_readv */, 425 /* io_uring_setup */, 59 /* execve */,
			     15 /* rt_sigreturn */, 329 /* pkey_mprotect */, 317 /* seccomp */};

static void require(bool is)
{
	if (!is) {
		abort();
	}
}

static void try_path(const char *base, const char *path)
{
	char once[RULES_PATH_BYTES], twice[RULES_PATH_BYTES];

	if (rules_normal(once, base, path) != 0) {
		return;
	}
	require(once[0] == '/' && strlen(once) < sizeof(once));
	require(strstr(once, "//") == NULL && strstr(once, "/../") == NULL && strstr(once, "/./") == NULL);
	require(once[1] == '\0' || once[strlen(once) - 1] != '/');
	require(rules_normal(twice, "/", once) == 0 && strcmp(once, twice) == 0);
}

static void try_rules(const char *text)
{
	static struct rules r, again;
	static char printed[65536];
	char why[64];
	int err;

	if (rules_parse(&r, text, why, sizeof(why)) != 0) {
		require(strncmp(why, "line ", 5) == 0);
		return;
	}
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		require(rules_decide(&r, never[i], &err) == RULES_REFUSE);
	}
	for (uint32_t i = 0; i < r.npaths; i++) {
		const char *path = r.text + r.paths[i].at;
		require(strlen(path) == r.paths[i].bytes && !rules_never_path(path, r.paths[i].write));
	}
	size_t bytes = rules_print(&r, printed, sizeof(printed));
	require(bytes < sizeof(printed) && strlen(printed) == bytes);
	if (r.npaths + 7 > RULES_PATHS) {
		return; /* those of net-client may be too many by name */
	}
	require(rules_parse(&again, printed, why, sizeof(why)) == 0);
	require(memcmp(r.allowed, again.allowed, sizeof(r.allowed)) == 0);
	require(again.npaths >= r.npaths);
	for (uint32_t i = 0; i < r.npaths; i++) {
		require(strcmp(r.text + r.paths[i].at, again.text + again.paths[i].at) == 0);
		require(r.paths[i].write == again.paths[i].write);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL) {
		return 0;
	}
	memcpy(text, data, size);
	text[size] = '\0';
	try_rules(text);
	try_path("/", text);
	try_path("/base/of it", text);
	free(text);
	return 0;
}
