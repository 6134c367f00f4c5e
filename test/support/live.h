/* SPDX-License-Identifier: Apache-2.0 */
/* The whole runtime in a test: with keys where there are any, else on the mprotect backend. */
#ifndef LYCH_TEST_LIVE_H
#define LYCH_TEST_LIVE_H

#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>

// The first of a process decides about the options.
inline int live_start(lych_init_opts opts = {})
{
	static int rc = [&opts] {
		opts.size = sizeof(opts);
		opts.backend = LYCH_PKU;
		int started = lych_init(&opts);
		if (started == -EOPNOTSUPP && getenv("LYCH_REQUIRE_PKU") == nullptr) {
			opts.backend = LYCH_MPROTECT;
			started = lych_init(&opts);
		}
		return started;
	}();
	return rc;
}

inline bool live_keys()
{
	return strcmp(lych_backend_name(), "pku") == 0;
}

inline lych_domain *live_domain(const char *name, lych_kind kind = LYCH_KIND_CONTAIN)
{
	lych_domain_opts opts = {};
	lych_domain *domain = nullptr;

	opts.size = sizeof(opts);
	opts.name = name;
	opts.kind = kind;
	EXPECT_EQ(lych_domain_new(&domain, &opts), 0) << lych_why();
	return domain;
}

// nullptr where there can be none: without keys, and before 6.12.
inline lych_domain *live_vault()
{
	lych_domain_opts opts = {};
	lych_domain *vault = nullptr;

	opts.size = sizeof(opts);
	opts.name = "vault";
	opts.kind = LYCH_KIND_VAULT;
	int rc = lych_domain_new(&vault, &opts);
	EXPECT_TRUE(rc == 0 || rc == -EOPNOTSUPP) << lych_why();
	return vault;
}

#endif /* LYCH_TEST_LIVE_H */
