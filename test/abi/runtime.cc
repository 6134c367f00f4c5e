// SPDX-License-Identifier: Apache-2.0
// The domain of the whole runtime: protection keys where there are some, else mprotect.
#include <cstdio>
#include <cstdlib>

#include <lychgate/lychgate.h>

#include "abi.h"

extern "C" struct lych_domain *abi_domain()
{
	static struct lych_domain *domain;

	if (!domain) {
		lych_init_opts init = {};
		lych_domain_opts opts = {};

		init.size = sizeof(init);
		opts.size = sizeof(opts);
		if (lych_init(&init) != 0) {
			init.backend = LYCH_MPROTECT;
			if (lych_init(&init) != 0) {
				fprintf(stderr, "lych_init: %s\n", lych_why());
				abort();
			}
		}
		if (lych_domain_new(&domain, &opts) != 0) {
			fprintf(stderr, "lych_domain_new: %s\n", lych_why());
			abort();
		}
		printf("backend %s\n", lych_backend_name());
	}
	return domain;
}

extern "C" void (*abi_callback(const struct lych_binding *binding))()
{
	void (*callback)() = nullptr;

	return lych_callback_new(&callback, abi_domain(), binding, nullptr) == 0 ? callback : nullptr;
}

extern "C" void abi_callback_end(void (*callback)())
{
	if (lych_callback_free(abi_domain(), callback) != 0) {
		abort();
	}
}
