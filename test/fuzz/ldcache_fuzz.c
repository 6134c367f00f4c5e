/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as ld.so.cache: each key that is there is found or not for a reason, and nothing is read beyond. */
#include <stdlib.h>
#include <string.h>

#include "ldcache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"libc.so.6", "liblych.so.1", "", "lib0000000000009999999999999.so"};
	uint8_t *copy = malloc(size + 1);
	struct ldcache cache;

	if (copy == NULL) {
		return 0;
	}
	if (size > 0) {
		memcpy(copy, data, size);
	}
	ldcache_take(&cache, copy, size);
	for (unsigned level = 0; level <= 4; level++) {
		struct ldcache_cpu cpu = {level, level % 2 == 0, 6, UINT64_C(1) << 50};

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			const char *path = ldcache_find(&cache, names[i], &cpu);

			/* A path lies in the file, whose end ends it. */
			if (path != NULL && ((const uint8_t *)path < copy || (const uint8_t *)path + strlen(path) > copy + size)) {
				abort();
			}
		}
	}
	ldcache_close(&cache);
	return 0;
}
