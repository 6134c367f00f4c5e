/* SPDX-License-Identifier: Apache-2.0 */
/* What generated cases stand on. */
#ifndef ABI_CASES_H
#define ABI_CASES_H

#include <stdarg.h>
#include <string.h>

#include "abi.h"

enum en { EN_NONE, EN_SOME = 0x7fffffff, EN_NEGATIVE = -1 };
typedef float v4sf __attribute__((vector_size(16)));
typedef long long v2di __attribute__((vector_size(16)));
typedef char v16qi __attribute__((vector_size(16)));
#ifdef __AVX__
typedef float v8sf __attribute__((vector_size(32)));
typedef long long v4di __attribute__((vector_size(32)));
#endif
#ifdef __AVX512F__
typedef float v16sf __attribute__((vector_size(64)));
typedef long long v8di __attribute__((vector_size(64)));
#endif

#define USED __attribute__((used))
#define GOT(i, a) memcpy(abi_got[i], &a, sizeof(a))
#define RETURN(type) \
	type r; \
	memcpy(&r, abi_result_sent, sizeof(r)); \
	return r;
#define SENT(declare, a, i) \
	declare; \
	memcpy(&a, abi_sent[i], sizeof(a))
#define KEEP(r) memcpy(abi_result_got, &r, sizeof(r))

/* What the binding names: notes all registers, then goes to the function. */
#define STUB(stub, function) \
	__asm__(".text\n" #stub ": call abi_probe\n.long " #function " - .\n");

#endif /* ABI_CASES_H */
