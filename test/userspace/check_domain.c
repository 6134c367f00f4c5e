/* SPDX-License-Identifier: Apache-2.0 */
/* Code in a domain binds its calls by the same instructions, with the rights of the domain. */
#include "program.h"
#include "values.h"

#include <lychgate/lychgate.h>

static struct lych_domain *domain;

static int binds(int which)
{
	static struct trial trial;

	trial_fill(&trial, (uint64_t)which);
	trial_call(&trial, fresh_entries + 8 * which);
	if (trial.which != (uint64_t)which) {
		return -1;
	}
	trial_compare(&trial, trial_kept_by_call(), "fresh_", which);
	return (int)value_doubles_0(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
}

LYCH_BIND(domain, binds, int, (int));

void check_domain(void)
{
	int got = 0;

	CHECK(lych_domain_new(&domain, NULL) == 0);
	for (int i = 0; i < FRESH; i++) {
		CHECK(LYCH_CALL(domain, &got, binds, i) == 0);
		CHECK(got == 385);
	}
	CHECK(lych_domain_free(domain) == 0);
}
