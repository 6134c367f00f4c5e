/* SPDX-License-Identifier: Apache-2.0 */
/* libmcrypt4: SAFER+, whose mixing layer is unrolled. `lea (%r15,%rcx),%ebp` and `add %ebp,%edi`. */
#include "program.h"

static void crypt_block(void *library, const uint8_t *key, int key_len, uint8_t block[16], bool back)
{
	void *(*open)(const char *, const char *, const char *, const char *) = symbol(library, "mcrypt_module_open");
	int (*init)(void *, const void *, int, const void *) = symbol(library, "mcrypt_generic_init");
	int (*forth)(void *, void *, int) = symbol(library, "mcrypt_generic");
	int (*backward)(void *, void *, int) = symbol(library, "mdecrypt_generic");
	int (*deinit)(void *) = symbol(library, "mcrypt_generic_deinit");
	int (*close)(void *) = symbol(library, "mcrypt_module_close");
	void *td = open("saferplus", NULL, "ecb", NULL);

	if (td == NULL || init(td, key, key_len, NULL) < 0 || (back ? backward : forth)(td, block, 16) != 0) {
		unexpected("SAFER+ cannot be used");
	}
	deinit(td);
	close(td);
}

static void calls(void *library)
{
	static const int key_bytes[] = {16, 24, 32};
	uint8_t key[32], block[16], text[16];

	/* the vector that the library tests itself with */
	for (int i = 0; i < 32; i++) {
		key[i] = (uint8_t)(i * 2 + 10);
		block[i % 16] = (uint8_t)(i % 16);
	}
	crypt_block(library, key, 32, block, false);
	known_answer("SAFER+", block, 16, "97fa76704bf6b578549f65c6f75b228b");
	for (int i = 0; i < 500; i++) {
		int len = key_bytes[i % 3];

		random_bytes(key, sizeof(key));
		random_bytes(text, sizeof(text));
		memcpy(block, text, 16);
		crypt_block(library, key, len, block, false);
		answer(block, 16);
		crypt_block(library, key, len, block, true);
		known_number("what is decrypted is what was encrypted", memcmp(block, text, 16) == 0, 1);
	}
}

const struct program program = {.calls = calls};
