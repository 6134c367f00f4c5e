/* SPDX-License-Identifier: Apache-2.0 */
/* Started once for the whole program: LYCH_NONE changes nothing that other tests could mind. */
#ifndef TEST_NONE_H
#define TEST_NONE_H

#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <stdlib.h>
#include <string.h>

// demanded: leave LYCH_REQUIRE_PKU as it is.
inline int StartNone(bool demanded = false)
{
	lych_init_opts opts = {};

	if (!demanded) {
		unsetenv("LYCH_REQUIRE_PKU");
	}

	opts.size = sizeof(opts);
	opts.backend = LYCH_NONE;
	return lych_init(&opts);
}

class NoneStarted : public testing::Test {
protected:
	static void SetUpTestSuite()
	{
		if (strcmp(lych_backend_name(), "none") != 0) {
			ASSERT_EQ(StartNone(), 0) << lych_why();
		}
	}
	static lych_domain *Open(const char *library, const lych_library_opts *opts = nullptr)
	{
		lych_domain *d = nullptr;

		EXPECT_EQ(lych_open(&d, library, opts), 0) << lych_why();
		return d;
	}
	static lych_domain *New()
	{
		lych_domain *d = nullptr;

		EXPECT_EQ(lych_domain_new(&d, nullptr), 0) << lych_why();
		return d;
	}
};

#endif /* TEST_NONE_H */
