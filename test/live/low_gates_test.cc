// SPDX-License-Identifier: Apache-2.0
// A program that is not position-independent (this one is linked so): its gates lie where 32-bit code reaches them.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>

#include <lychgate/lychgate.h>

#include "inside.h"

namespace
{

int Init(enum lych_backend backend)
{
	lych_init_opts opts = {};

	opts.size = sizeof(opts);
	opts.backend = backend;
	return lych_init(&opts);
}

TEST(LowGates, AreBelowFourGigabytesHere)
{
	ASSERT_LT(inside_gate_text_end(), (uint64_t)1 << 32);
}

TEST(LowGates, AreNoGatesForKeys)
{
	EXPECT_EQ(Init(LYCH_PKU), -EOPNOTSUPP);
	EXPECT_STREQ(lych_why(),
		     "process: the program is not position-independent, so its gates lie below 4 GiB, where 32-bit "
		     "code can jump into them: link it with -pie, or with the shared library");
}

TEST(LowGates, DoWhereNothingIsPromised)
{
	unsetenv("LYCH_REQUIRE_PKU"); // it demands keys of whoever asks for less
	EXPECT_EQ(Init(LYCH_MPROTECT), 0) << lych_why();
}

} // namespace
