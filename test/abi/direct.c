// SPDX-License-Identifier: Apache-2.0
// The domain of the stand-in: ordinary memory.
#include <stdlib.h>
#include <string.h>

#include "abi.h"

struct lych_domain {
	int nothing;
};

struct lych_domain *abi_domain(void)
{
	static struct lych_domain domain;

	return &domain;
}

void *lych_alloc_aligned(struct lych_domain *domain, size_t align, size_t bytes)
{
	void *block = NULL;

	(void)domain;
	return posix_memalign(&block, align < 16 ? 16 : align, bytes) == 0 ? block : NULL;
}

int lych_free(struct lych_domain *domain, void *block)
{
	(void)domain;
	free(block);
	return 0;
}

int lych_copy_out(struct lych_domain *domain, void *dst, const void *src, size_t bytes)
{
	(void)domain;
	memcpy(dst, src, bytes);
	return 0;
}
