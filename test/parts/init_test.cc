// SPDX-License-Identifier: Apache-2.0
// lych_init: its options, the order of its steps, and that nothing is left when one of them fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "in_child.h"
#include "init_fake.h"

using testing::HasSubstr;
using testing::StartsWith;

namespace
{

// Each in a process of its own: the runtime starts once, and then cannot be stopped.
class Init : public testing::Test
{
protected:
	void SetUp() override
	{
		fake_log[0] = '\0';
		fake_fail("", 0);
		fake_machine = fake_good();
		unsetenv("LYCH_REQUIRE_PKU");
	}
	static struct lych_init_opts options(enum lych_backend backend = LYCH_BACKEND_AUTO)
	{
		struct lych_init_opts opts = {};
		opts.size = sizeof(opts);
		opts.backend = backend;
		return opts;
	}
};

} // namespace

TEST_F(Init, TakesItsStepsInOrderAndSealsTheRootPage)
{
	in_child([] {
		EXPECT_STREQ(lych_backend_name(), "");
		EXPECT_EQ(lych_attach(), -ENOSYS);
		EXPECT_FALSE(fake_look().sealed) << "the control";
		ASSERT_EQ(lych_init(nullptr), 0) << lych_why();
		EXPECT_STREQ(fake_log, "detect code(1,27) bindings threads signals keys attach ");
		EXPECT_STREQ(lych_why(), "");
		EXPECT_STREQ(lych_backend_name(), "pku");
		struct fake_root r = fake_look();
		EXPECT_TRUE(r.ready);
		EXPECT_TRUE(r.sealed);
		EXPECT_TRUE(r.monitor && r.fork_copy && r.lock_works);
		EXPECT_EQ(r.scrub, unsigned{SCRUB_AVX512});
		EXPECT_EQ(r.frame_bytes, 3632u);
		EXPECT_EQ(r.xsave_pkru, 2432u);
		EXPECT_EQ(r.frames_whole, 1u);
		EXPECT_EQ(r.kick, 33u);
		EXPECT_NE(r.cookie, 0u);
		EXPECT_NE(r.ids, 0u);
		EXPECT_EQ(r.ids % 2, 0u);
		EXPECT_EQ(lych_attach(), 0);
	});
}

TEST_F(Init, IsDoneOnce)
{
	in_child([] {
		ASSERT_EQ(lych_init(nullptr), 0);
		EXPECT_EQ(lych_init(nullptr), -EALREADY);
		struct lych_init_opts wrong = {};
		EXPECT_EQ(lych_init(&wrong), -EALREADY);
	});
}

TEST_F(Init, UndoesWhatWasDoneWhenAStepFails)
{
	const struct {
		const char *step;
		int err;
		const char *log;
	} rows[] = {
		{"code", -ENOEXEC, "detect code(1,27) "},
		{"monitor", -ENOMEM, "detect code(1,27) "},
		{"fork_copy", -ENOMEM, "detect code(1,27) "},
		{"bindings", -ENOMEM, "detect code(1,27) bindings "},
		{"threads", -ENOMEM, "detect code(1,27) bindings threads -bindings "},
		{"signals", -EOPNOTSUPP, "detect code(1,27) bindings threads signals -threads -bindings "},
		{"keys", -ENOSPC, "detect code(1,27) bindings threads signals keys -signals -threads -bindings "},
		{"attach", -ENOMEM, "detect code(1,27) bindings threads signals keys attach -keys -signals -threads -bindings "},
	};
	for (const auto &row : rows) {
		SCOPED_TRACE(row.step);
		in_child([&row] {
			fake_fail(row.step, row.err);
			EXPECT_EQ(lych_init(nullptr), row.err);
			EXPECT_STREQ(fake_log, row.log);
			EXPECT_EQ(fake_monitor_bytes(), 0u);
			EXPECT_TRUE(fake_look().zero);
			EXPECT_FALSE(fake_look().sealed);
			EXPECT_STREQ(lych_backend_name(), "");
			EXPECT_EQ(lych_attach(), -ENOSYS);
			if (row.err == -ENOMEM) {
				EXPECT_STRNE(lych_why(), "");
			}
			// and it can be tried again
			fake_fail("", 0);
			EXPECT_EQ(lych_init(nullptr), 0);
			EXPECT_STREQ(lych_why(), "");
		});
	}
}

TEST_F(Init, SaysWhyTheMachineCannotDoIt)
{
	in_child([] {
		fake_machine.cpu.ospke = fake_machine.cpu.pku = false;
		EXPECT_EQ(lych_init(nullptr), -EOPNOTSUPP);
		EXPECT_THAT(lych_why(), StartsWith("CPU:"));
		EXPECT_TRUE(fake_look().zero);
		fake_machine = fake_good();
		fake_machine.keys = {TRIAL_ERRNO, ENOSPC, 2};
		EXPECT_EQ(lych_init(nullptr), -ENOSPC);
		EXPECT_STREQ(fake_log, "detect detect ");
	});
}

TEST_F(Init, NeverTakesAWeakerBackendUnasked)
{
	in_child([] {
		fake_machine.cpu.ospke = false;
		EXPECT_EQ(lych_init(nullptr), -EOPNOTSUPP);
		struct lych_init_opts opts = options(LYCH_PKU);
		EXPECT_EQ(lych_init(&opts), -EOPNOTSUPP);
		opts = options(LYCH_MPROTECT);
		EXPECT_EQ(lych_init(&opts), 0) << "asked for";
		EXPECT_STREQ(lych_backend_name(), "mprotect");
		EXPECT_EQ(fake_look().frames_whole, 1u) << "every stack can be written";
	});
}

TEST_F(Init, WithoutIsolationNothingIsLookedAtNorStarted)
{
	struct lych_init_opts opts = options(LYCH_NONE);
	in_child([&] {
		fake_machine.cpu.ospke = false;
		opts.code = LYCH_CODE_REFUSE;
		EXPECT_EQ(lych_init(&opts), 0);
		EXPECT_STREQ(fake_log, "none ");
		EXPECT_STREQ(lych_backend_name(), "none");
		EXPECT_FALSE(fake_look().sealed);
		EXPECT_EQ(lych_attach(), 0);
		EXPECT_EQ(lych_init(nullptr), -EALREADY);
	});
	in_child([&] {
		setenv("LYCH_REQUIRE_PKU", "1", 1);
		EXPECT_EQ(lych_init(&opts), -EOPNOTSUPP);
		EXPECT_STREQ(fake_log, "");
		EXPECT_THAT(lych_why(), HasSubstr("LYCH_NONE"));
		EXPECT_TRUE(fake_look().zero);
	});
	in_child([&] {
		fake_fail("none", -ENOMEM);
		EXPECT_EQ(lych_init(&opts), -ENOMEM);
		EXPECT_TRUE(fake_look().zero);
		EXPECT_STREQ(lych_backend_name(), "");
	});
}

TEST_F(Init, KnowsKernelsThatDoNotWriteWholeFrames)
{
	in_child([] {
		fake_machine.frames = {TRIAL_WRONG, 11, 2};
		EXPECT_EQ(lych_init(nullptr), 0);
		EXPECT_EQ(fake_look().frames_whole, 0u);
	});
}

TEST_F(Init, TheEnvironmentCanOnlyDemandMore)
{
	struct lych_init_opts opts = options(LYCH_MPROTECT);
	for (const char *value : {"1", "yes", "true"}) {
		in_child([&] {
			setenv("LYCH_REQUIRE_PKU", value, 1);
			EXPECT_EQ(lych_init(&opts), -EOPNOTSUPP);
			EXPECT_THAT(lych_why(), HasSubstr("LYCH_REQUIRE_PKU"));
			opts = options(LYCH_PKU);
			EXPECT_EQ(lych_init(&opts), 0);
		});
	}
	for (const char *value : {"0", ""}) {
		in_child([&] {
			setenv("LYCH_REQUIRE_PKU", value, 1);
			fake_machine.cpu.ospke = false;
			EXPECT_EQ(lych_init(nullptr), -EOPNOTSUPP) << "never less";
			EXPECT_EQ(lych_init(&opts), 0);
		});
	}
}

TEST_F(Init, ChecksItsOptions)
{
	in_child([] {
		struct lych_init_opts opts = options();
		opts.size = 0;
		EXPECT_EQ(lych_init(&opts), -EINVAL);
		opts.size = sizeof(opts.size) - 1;
		EXPECT_EQ(lych_init(&opts), -EINVAL);
		for (int backend : {-1, 4, 100}) {
			opts = options(static_cast<enum lych_backend>(backend));
			EXPECT_EQ(lych_init(&opts), -EINVAL) << backend;
		}
		for (int code : {-1, 4, 100}) {
			opts = options();
			opts.code = static_cast<enum lych_code>(code);
			EXPECT_EQ(lych_init(&opts), -EINVAL) << code;
		}
		EXPECT_STREQ(fake_log, "");
	});
}

TEST_F(Init, LooksAtCodeAsAskedAndByItselfWhereThereAreKeys)
{
	const struct {
		enum lych_backend backend;
		enum lych_code code;
		const char *log;
	} rows[] = {
		{LYCH_PKU, LYCH_CODE_AUTO, "code(1,27) "},
		{LYCH_PKU, LYCH_CODE_REFUSE, "code(2,27) "},
		{LYCH_MPROTECT, LYCH_CODE_REPAIR, "code(1,27) "},
		{LYCH_MPROTECT, LYCH_CODE_REPORT, "code(3,27) "},
	};
	for (const auto &row : rows) {
		in_child([&row] {
			struct lych_init_opts opts = options(row.backend);
			opts.code = row.code;
			EXPECT_EQ(lych_init(&opts), 0);
			EXPECT_THAT(fake_log, HasSubstr(row.log));
		});
	}
	in_child([] {
		struct lych_init_opts opts = options(LYCH_MPROTECT);
		EXPECT_EQ(lych_init(&opts), 0);
		EXPECT_THAT(fake_log, testing::Not(HasSubstr("code")));
	});
}

TEST_F(Init, TakesOptionsOfOlderAndNewerHeaders)
{
	struct {
		struct lych_init_opts opts;
		char more[16];
	} newer = {options(LYCH_MPROTECT), {}};
	newer.opts.size = sizeof(newer);
	in_child([&] { EXPECT_EQ(lych_init(&newer.opts), 0); });
	newer.more[15] = 1;
	in_child([&] { EXPECT_EQ(lych_init(&newer.opts), -EINVAL) << "an option this library does not know is set"; });

	// an older header ends after max_keys
	struct lych_init_opts older = options();
	older.size = offsetof(struct lych_init_opts, on_fault);
	older.max_keys = 7;
	older.on_fault_ctx = &older;
	in_child([&] {
		EXPECT_EQ(lych_init(&older), 0);
		EXPECT_THAT(fake_log, HasSubstr("keys(7)"));
		EXPECT_EQ(fake_look().on_fault_ctx, nullptr) << "behind the end of what was given";
	});
}

TEST_F(Init, TellsEachThreadWhyItsOwnCallFailed)
{
	in_child([] {
		struct lych_init_opts small = options(), wrong = options(static_cast<enum lych_backend>(7));
		small.size = 1;
		ASSERT_EQ(lych_init(&small), -EINVAL);
		const std::string mine = lych_why();
		EXPECT_THAT(mine, HasSubstr("size is 1"));
		std::thread([&] {
			EXPECT_STREQ(lych_why(), "");
			EXPECT_EQ(lych_init(&wrong), -EINVAL);
			EXPECT_THAT(lych_why(), HasSubstr("backend is 7"));
		}).join();
		EXPECT_EQ(lych_why(), mine);
	});
}
