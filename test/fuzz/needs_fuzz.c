/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a program: what it needs is read within bounds, or the reason why not is given. */
#include <stdlib.h>
#include <string.h>

#include "needs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source src = source_from_memory(data, size);
	const char *why = NULL;
	struct needs needs;
	size_t bytes = 0;
	int rc = needs_read(&needs, &src, &why);

	if (why == NULL || rc > 0) {
		abort();
	}
	if (rc != 0) {
		return 0;
	}
	for (size_t i = 0; i < needs.count; i++) {
		bytes += strlen(needs.items[i].name) + 1;
	}
	if (bytes > needs.bytes || (needs.rpath != NULL && needs.runpath != NULL)) {
		abort();
	}
	needs_free(&needs);
	return 0;
}
