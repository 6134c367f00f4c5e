/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <lychgate/lychgate.h>

#include "seed.h"

#define ANSWERS_MAX 65536u

static uint64_t state;
static bool second, wrong;
static size_t nanswers, nfirst;
static uint64_t answers[ANSWERS_MAX]; /* of the first round, as hashes */

void unexpected(const char *what)
{
	fprintf(stderr, "unexpected: %s\n", what);
	exit(2);
}

void *symbol(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (found == NULL) {
		unexpected(dlerror());
	}
	return found;
}

/* splitmix64 */
uint64_t random_number(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void random_bytes(void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		((uint8_t *)bytes)[i] = (uint8_t)random_number();
	}
}

static uint64_t hash(const uint8_t *bytes, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ len;

	for (size_t i = 0; i < len; i++) {
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
		h ^= h >> 29;
	}
	return h;
}

void answer(const void *bytes, size_t len)
{
	uint64_t h = hash(bytes, len);

	if (nanswers == ANSWERS_MAX) {
		unexpected("too many answers");
	}
	if (!second) {
		answers[nanswers++] = h;
		return;
	}
	if (nanswers >= nfirst || answers[nanswers] != h) {
		fprintf(stderr, "answer %zu is another one after the repair\n", nanswers);
		wrong = true;
	}
	nanswers++;
}

void known_answer(const char *what, const void *bytes, size_t len, const char *expected_hex)
{
	char hex[2 * 256 + 1] = "";

	if (len > 256) {
		unexpected("a known answer is too long");
	}
	for (size_t i = 0; i < len; i++) {
		sprintf(hex + 2 * i, "%02x", ((const uint8_t *)bytes)[i]);
	}
	if (strcmp(hex, expected_hex) != 0) {
		fprintf(stderr, "%s the repair: %s is %s, not %s\n", second ? "after" : "before", what, hex, expected_hex);
		wrong = true;
	}
	answer(bytes, len);
}

void known_number(const char *what, uint64_t number, uint64_t expected)
{
	if (number != expected) {
		fprintf(stderr, "%s the repair: %s is %llu, not %llu\n", second ? "after" : "before", what,
			(unsigned long long)number, (unsigned long long)expected);
		wrong = true;
	}
	answer(&number, sizeof(number));
}

/* Whoever traces us looks at the code here. */
static void stop(bool traced)
{
	if (traced) {
		__asm__ volatile("int3" ::: "memory");
	}
}

static void round_of(void *library, uint64_t seed)
{
	state = seed;
	nanswers = 0;
	program.calls(library);
}

int main(int argc, char **argv)
{
	struct lych_init_opts opts = *LYCH_OPTS(struct lych_init_opts, .backend = LYCH_MPROTECT,
						.code = LYCH_CODE_REPAIR);
	bool traced = argc > 2 && strcmp(argv[2], "--traced") == 0;
	const uint64_t seed = lych_seed();
	void *library;
	int rc;

	if (argc < 2) {
		unexpected("no library given");
	}
	if (program.first != NULL && dlopen(program.first, RTLD_NOW | RTLD_GLOBAL) == NULL) {
		unexpected(dlerror());
	}
	library = program.open != NULL ? program.open(argv[1]) : dlopen(argv[1], RTLD_NOW);
	if (library == NULL) {
		unexpected(dlerror());
	}
	stop(traced);
	round_of(library, seed);
	stop(traced);
	nfirst = nanswers;
	if (argc > 3 && strcmp(argv[3], "--unrepaired") == 0) {
		opts.code = LYCH_CODE_AUTO; /* without protection keys: nothing */
	}
	rc = lych_init(&opts);
	if (rc != 0) {
		fprintf(stderr, "lych_init: %d: %s\n", rc, lych_why());
		return 3;
	}
	stop(traced);
	second = true;
	round_of(library, seed);
	if (nanswers != nfirst || nfirst == 0) {
		fprintf(stderr, "%zu answers before the repair, %zu after it\n", nfirst, nanswers);
		wrong = true;
	}
	printf("%zu answers, LYCH_SEED=%llu\n", nanswers, (unsigned long long)seed);
	fflush(stdout);
	stop(traced);
	/* Destructors of libraries with threads are not what this is about. */
	_Exit(wrong ? 1 : 0);
}
