/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled with -mtls-dialect=gnu2. */
#include "tls.h"

static __thread long numbers[TLS_NUMBERS] = {0, 1, 2, 3, 4, 5, 6, 7};
static __thread long count = TLS_FIRST - 1;
static __thread double kept;

long tls_count(void);
double tls_keep(double a, double b);
long *tls_numbers(void);

long tls_count(void)
{
	return ++count;
}

/* The call of a descriptor does not stand in the way of what is in registers, says the compiler. */
double tls_keep(double a, double b)
{
	kept = a;
	return kept + b;
}

long *tls_numbers(void)
{
	return numbers;
}
