/* SPDX-License-Identifier: Apache-2.0 */
#include "loader_stack.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "inside/stub.h"

/* rseq would be registered in memory of the domain, where the kernel may not write when it switches. All symbols
 * are bound before code of the domain runs, so that nothing has to be resolved, and no path be opened, later. */
static const char no_rseq[] = "GLIBC_TUNABLES=glibc.pthread.rseq=0";
static const char bind_now[] = "LD_BIND_NOW=1";
static const char search_is[] = "LD_LIBRARY_PATH=";
static const char platform[] = "x86_64";

/* Grows downwards from top; what does not fit is counted and not written. */
struct writer {
	uint8_t *out;
	uint64_t top;
	uint64_t used;
};

static uint64_t put(struct writer *w, const void *from, uint64_t bytes)
{
	w->used += bytes;
	if (w->used <= LOADER_FIRST_BYTES) {
		memcpy(w->out + (LOADER_FIRST_BYTES - w->used), from, bytes);
	}
	return w->top - w->used;
}

static void align(struct writer *w)
{
	w->used = (w->used + 15) & ~(uint64_t)15;
}

int loader_stack(uint8_t *out, uint64_t top, uint64_t rip, const struct loader_first *first, uint64_t *rsp,
		 uint64_t *start)
{
	struct writer w = {.out = out, .top = top};
	struct inside_start begin = {.rip = rip};
	uint64_t name, random, platform_at, env[3];
	uint64_t nenv = 0;

	memset(out, 0, LOADER_FIRST_BYTES);
	w.used = sizeof(begin); /* filled in when rsp is known */
	align(&w);
	*start = top - w.used;
	name = put(&w, first->name, strlen(first->name) + 1);
	env[nenv++] = put(&w, no_rseq, sizeof(no_rseq));
	env[nenv++] = put(&w, bind_now, sizeof(bind_now));
	if (first->search != NULL) {
		(void)put(&w, first->search, strlen(first->search) + 1);
		env[nenv++] = put(&w, search_is, sizeof(search_is) - 1);
	}
	platform_at = put(&w, platform, sizeof(platform));
	align(&w);
	random = put(&w, first->random, sizeof(first->random));

	const Elf64_auxv_t auxv[] = {
		{AT_HWCAP, {first->hwcap}},
		{AT_PAGESZ, {4096}},
		{AT_CLKTCK, {first->clktck}},
		{AT_PHDR, {first->phdr}},
		{AT_PHENT, {sizeof(Elf64_Phdr)}},
		{AT_PHNUM, {first->phnum}},
		{AT_BASE, {first->base}},
		{AT_FLAGS, {0}},
		{AT_ENTRY, {first->entry}},
		{AT_UID, {first->uid}},
		{AT_EUID, {first->euid}},
		{AT_GID, {first->gid}},
		{AT_EGID, {first->egid}},
		{AT_SECURE, {0}},
		{AT_RANDOM, {random}},
		{AT_HWCAP2, {first->hwcap2}},
		{AT_EXECFN, {name}},
		{AT_PLATFORM, {platform_at}},
		{AT_MINSIGSTKSZ, {first->minsigstksz}},
		{AT_NULL, {0}},
	};
	/* argc, argv, NULL, the environment, NULL, auxv: rsp, where argc is, is a multiple of 16. */
	uint64_t words[1 + 2 + 3 + 1] = {1, name, 0};
	uint64_t nwords = 3;

	for (uint64_t i = 0; i < nenv; i++) {
		words[nwords++] = env[i];
	}
	words[nwords++] = 0;
	if ((w.used + sizeof(auxv) + nwords * sizeof(words[0])) % 16 != 0) {
		w.used += 8;
	}
	(void)put(&w, auxv, sizeof(auxv));
	*rsp = put(&w, words, nwords * sizeof(words[0]));
	if (w.used > LOADER_FIRST_BYTES) {
		return -E2BIG;
	}
	begin.rsp = *rsp;
	memcpy(out + LOADER_FIRST_BYTES - (top - *start), &begin, sizeof(begin));
	return 0;
}

int loader_search(const char *search, const char **why)
{
	size_t part = 0;

	for (size_t i = 0;; i++) {
		char c = search[i];

		if (i > LOADER_SEARCH_MAX) {
			*why = "it is too long";
			return -E2BIG;
		}
		if (c == '$' || c == ';') {
			*why = "the loader gives $ and ; a meaning";
			return -EINVAL;
		}
		if (c == ':' || c == '\0') {
			if (part == 0) {
				*why = "a name is empty";
				return -EINVAL;
			}
			part = 0;
		} else {
			part++;
		}
		if (c == '\0') {
			return 0;
		}
	}
}
