/* SPDX-License-Identifier: Apache-2.0 */
/* LYCH_SYM in C: the tests are C++. */
#include <lychgate/lychgate.h>
#include <stdio.h>

#include "guest.h"

int sym_c_calls(struct lych_domain *guest, char *out, size_t bytes);

LYCH_SYM(guest, sum10, long, (int, int, int, int, int, int, int, short, signed char, long));
LYCH_SYM(guest, swap, LYCH_STRUCT(struct pair, SS), (LYCH_STRUCT(struct pair, SS)));
LYCH_SYM(guest, grow, struct big, (struct big, int));
LYCH_SYM(guest, is_odd, bool, (int));
LYCH_SYM_VARIADIC(guest, total2, total, double, (int), (double, double));
LYCH_SYM(guest, nowhere, int, (int));
LYCH_SYM_POINTER(guest, half, long double, (long double), -1);

int sym_c_calls(struct lych_domain *guest, char *out, size_t bytes)
{
	struct big big = {{1, 2, 3, 4, 5, 6, 7, 8, 9}};
	struct pair pair = {0, 0};
	long double (*half_of)(long double) = NULL;
	double two = 0;
	bool odd = false;
	long sum = 0;
	int n = 0, missing, rc;

	rc = LYCH_CALL(guest, &sum, sum10, 1, 2, 3, 4, 5, 6, 7, -8, -9, 10);
	rc = rc != 0 ? rc : LYCH_CALL(guest, &pair, swap, ((struct pair){1.5, 2.5}));
	rc = rc != 0 ? rc : LYCH_CALL(guest, &big, grow, big, 10);
	rc = rc != 0 ? rc : LYCH_CALL(guest, &odd, is_odd, -3);
	rc = rc != 0 ? rc : LYCH_CALL_TIMEOUT(guest, 1000, &two, total2, 2, 0.25, 0.5);
	rc = rc != 0 ? rc : LYCH_POINTER(&half_of, guest, half);
	missing = LYCH_CALL(guest, &n, nowhere, 1);
	snprintf(out, bytes, "%ld %g %g %ld %ld %d %g %Lg %d", sum, pair.first, pair.second, big.a[0], big.a[8], odd, two,
		 half_of != NULL ? half_of(5) : 0, missing);
	if (half_of != NULL && rc == 0) {
		rc = lych_pointer_free((void (*)(void))half_of);
	}
	return rc;
}
