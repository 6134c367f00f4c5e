/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled for AVX and for AVX-512: vectors of their widths are passed in registers only then. */
#include "callback_result.h"

#if defined(__AVX512F__)
typedef long vector __attribute__((vector_size(64)));
#define NAME result_callback_zmm
#else
typedef long vector __attribute__((vector_size(32)));
#define NAME result_callback_ymm
#endif

vector result_wide(void) __asm__("result_fill");
LYCH_CALLBACK(result_wide, vector, (void));

int NAME(void (**out)(void), struct lych_domain *d)
{
	vector (*pointer)(void) = NULL;
	int rc = lych_callback(&pointer, d, result_wide, NULL);

	*out = (void (*)(void))pointer;
	return rc;
}
