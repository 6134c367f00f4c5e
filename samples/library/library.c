/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system's zlib, unmodified, in a library domain. The program has a bug: it believes the length that a message claims for
 * its contents, and zlib writes as much as it was told there is room for.
 */
#include <dlfcn.h>
#include <lychgate/lychgate.h>
#include <stdio.h>
#include <string.h>

/* As <zlib.h> declares it; the program is not linked with zlib. */
int uncompress(unsigned char *dst, unsigned long *dst_len, const unsigned char *src, unsigned long src_len);
LYCH_SYM(zlib, uncompress, int, (unsigned char *, unsigned long *, const unsigned char *, unsigned long));

#define ROOM 64
static struct {
	unsigned char text[ROOM];
	int admins; /* nothing that is unpacked may change it */
} page = {"", 1};

/* "hello" and 68 letters, packed; and what its header claims. */
static const unsigned char hello[] = {0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06, 0x2c, 0x02, 0x15};
static const unsigned char bomb[] = {0x78, 0xda, 0x4b, 0x4c, 0xa4, 0x1c, 0x00, 0x00, 0x79, 0x5b, 0x19, 0xc5};
struct message {
	const char *name;
	const unsigned char *packed;
	unsigned long bytes, claims;
};
static const struct message messages[] = {
	{"hello", hello, sizeof(hello), 5},
	{"bomb", bomb, sizeof(bomb), 68},
};

static void without(const struct message *m)
{
	void *handle = dlopen("libz.so.1", RTLD_NOW);
	int (*fn)(unsigned char *, unsigned long *, const unsigned char *, unsigned long);
	unsigned long len = m->claims;

	if (handle == NULL) {
		printf("%s\n", dlerror());
		return;
	}
	*(void **)&fn = dlsym(handle, "uncompress");
	fn(page.text, &len, m->packed, m->bytes);
	printf("without a domain: %s: %.5s..., admins: %d\n", m->name, page.text, page.admins);
	page.admins = 1;
}

static void within(struct lych_domain *zlib, const struct message *m)
{
	unsigned char *text = lych_alloc(zlib, ROOM);
	unsigned char *packed = lych_copy_in(zlib, m->packed, m->bytes);
	unsigned long *len = lych_copy_in(zlib, &m->claims, sizeof(m->claims)), unpacked = 0;
	int result = 0, rc = LYCH_CALL(zlib, &result, uncompress, text, len, packed, m->bytes);

	if (rc == 0) {
		rc = lych_copy_out(zlib, &unpacked, len, sizeof(unpacked));
	}
	if (rc == 0) {
		rc = unpacked <= ROOM ? lych_copy_out(zlib, page.text, text, unpacked) : -E2BIG;
	}
	printf("in a domain: %s: %s, admins: %d\n", m->name, rc == 0 ? (const char *)page.text : lych_strerror(rc), page.admins);
}

int main(void)
{
	struct lych_domain *zlib;
	int result = 0;

	for (size_t i = 0; i < 2; i++) {
		without(&messages[i]);
	}
	memset(page.text, 0, sizeof(page.text));
	if (lych_init(NULL) != 0 || lych_open(&zlib, "libz.so.1", NULL) != 0) {
		printf("%s\n", lych_why());
		return 2;
	}
	for (size_t i = 0; i < 2; i++) {
		within(zlib, &messages[i]);
	}
	/* A hostile zlib would aim at the program itself. */
	unsigned long *len = lych_copy_in(zlib, &(unsigned long){5}, sizeof(unsigned long));
	int rc = LYCH_CALL(zlib, &result, uncompress, page.text, len, lych_copy_in(zlib, hello, sizeof(hello)), sizeof(hello));
	printf("into the program: %s\n", lych_strerror(rc));
	fflush(stdout);
	if (lych_fault_print(lych_fault(zlib), 1) != 0 || lych_domain_reset(zlib) != 0) {
		return 1;
	}
	within(zlib, &messages[0]);
	return lych_domain_free(zlib) != 0 || page.admins != 1;
}
