/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose library holds a WRPKRU that nobody put there. lych_init repairs it in memory, and the library goes on
 * computing what it did. Another library, whose bytes cannot be repaired, is refused by name.
 *
 *	repair [mprotect] [LIBRARY]
 */
#include <dlfcn.h>
#include <lychgate/lychgate.h>
#include <stdio.h>
#include <string.h>

#define DIGEST 32

/* What the standard gives for "abc" (GB/T 32905-2016, A.1). */
static const char expected[] = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0";

/* Debian 12's libnettle: two strays stand in its SM3. */
struct nettle {
	void (*init)(void *ctx);
	void (*update)(void *ctx, size_t bytes, const unsigned char *data);
	void (*digest)(void *ctx, size_t bytes, unsigned char *out);
};

static int load(struct nettle *n)
{
	void *library = dlopen("libnettle.so.8", RTLD_NOW);

	if (library == NULL) {
		puts(dlerror());
		return -1;
	}
	*(void **)&n->init = dlsym(library, "nettle_sm3_init");
	*(void **)&n->update = dlsym(library, "nettle_sm3_update");
	*(void **)&n->digest = dlsym(library, "nettle_sm3_digest");
	return n->init != NULL && n->update != NULL && n->digest != NULL ? 0 : -1;
}

static int compute(const struct nettle *n, const char *when)
{
	_Alignas(64) char ctx[512]; /* more than struct sm3_ctx */
	unsigned char out[DIGEST];
	char text[2 * DIGEST + 1];

	n->init(ctx);
	n->update(ctx, 3, (const unsigned char *)"abc");
	n->digest(ctx, sizeof(out), out);
	for (int i = 0; i < DIGEST; i++) {
		snprintf(text + 2 * i, 3, "%02x", out[i]);
	}
	printf("SM3 of \"abc\" %s: %s\n", when, text);
	return strcmp(text, expected);
}

static void tell(const struct lych_code_item *item, void *ctx)
{
	const char *name = strrchr(item->path, '/');

	(void)ctx;
	printf("  %s+0x%jx: %s: %s\n", name != NULL ? name + 1 : item->path, (uintmax_t)item->offset, item->what, item->done);
}

int main(int argc, char **argv)
{
	struct lych_init_opts *opts = LYCH_OPTS(struct lych_init_opts, .code = LYCH_CODE_REPAIR, .on_code = tell);
	struct nettle nettle;

	if (argc > 1 && strcmp(argv[1], "mprotect") == 0) {
		opts->backend = LYCH_MPROTECT;
		argc--;
		argv++;
	}
	if (argc > 1 && dlopen(argv[1], RTLD_NOW) == NULL) {
		puts(dlerror());
		return 2;
	}
	if (load(&nettle) != 0 || compute(&nettle, "before") != 0) {
		return 2;
	}
	puts("lych_init finds:");
	if (lych_init(opts) != 0) {
		printf("refused: %s\n", lych_why());
		return 1;
	}
	printf("started (backend %s)\n", lych_backend_name());
	return compute(&nettle, "after");
}
