// SPDX-License-Identifier: Apache-2.0
/* The stand-in's domain, which nothing looks at, and its one callback. */
#include "abi.h"

struct lych_domain *abi_domain(void)
{
	static uint64_t domain;

	return (struct lych_domain *)&domain;
}

extern const struct lych_binding *stand_in_binding;
void stand_in_callback(void);

void (*abi_callback(const struct lych_binding *binding))(void)
{
	stand_in_binding = binding;
	return stand_in_callback;
}

void abi_callback_end(void (*callback)(void))
{
	(void)callback;
	stand_in_binding = NULL;
}
