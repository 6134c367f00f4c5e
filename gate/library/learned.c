/* SPDX-License-Identifier: Apache-2.0 */
#include <lychgate/policy.h>

#include "library.h"
#include "rules.h"

size_t lych_policy_text(struct lych_domain *domain, char *out, size_t bytes)
{
	if (domain == NULL || domain->library == NULL) {
		if (bytes > 0) {
			out[0] = '\0';
		}
		return 0;
	}
	return rules_print(domain->library->rules, out, bytes);
}
