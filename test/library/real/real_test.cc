// SPDX-License-Identifier: Apache-2.0
// Libraries of Debian as they are, in library domains: each does a piece of work with answers that are known, and the same
// work called directly, by a process of its own that knows of no domain; what both noted must be the same.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "needs_pku.h"
#include "table.h"

extern "C" double cblas_ddot(int, const double *, int, const double *, int);

namespace
{

class RealLibraries : public NeedsPku, public testing::WithParamInterface<RealLibrary>
{
      protected:
	// Half of each test needs no keys.
	void SetUp() override {}
	void start()
	{
		NeedsPku::SetUp();
		if (!IsSkipped() && !HasFatalFailure()) {
			static const int started = lych_init(nullptr);
			ASSERT_EQ(started, 0) << lych_why();
		}
	}
};

class LibrariesWithThreads : public RealLibraries
{
};

} // namespace

TEST_P(RealLibraries, ComputeInsideWhatTheyComputeOutside)
{
	const RealLibrary &library = GetParam();
	if (!fetched()) {
		GTEST_SKIP() << folder() << " is not there: ./dev setup fetches it";
	}
	int status = -1;
	std::string direct = of_command({"/proc/self/exe", "--direct", library.name}, &status);
	ASSERT_EQ(status, 0) << direct;
	ASSERT_NE(direct, "");
	start();
	if (IsSkipped() || HasFatalFailure()) {
		return;
	}

	std::string search = folder() + "/lib";
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.search = search.c_str();
	opts.heap_bytes = size_t(1) << 30; // OpenBLAS maps 128 MiB for each thread, and tries for ever where it cannot
	try {
		std::unique_ptr<World> world = inside_world(library.soname, &opts);
		world->patience_ms = 60000; // one that hangs is told of
		library.work(*world);
		EXPECT_EQ(world->notes(), direct);
	} catch (const std::exception &e) {
		FAIL() << e.what();
	}
}

TEST_P(LibrariesWithThreads, FromTheStartComputeAgainAfterAFaultAndAReset)
{
	const RealLibrary &library = GetParam();
	if (!fetched()) {
		GTEST_SKIP() << folder() << " is not there: ./dev setup fetches it";
	}
	start();
	if (IsSkipped() || HasFatalFailure()) {
		return;
	}
	std::string search = folder() + "/lib", first, all;
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.search = search.c_str();
	opts.heap_bytes = size_t(1) << 30;
	try {
		std::unique_ptr<World> world = inside_world(library.soname, &opts);
		lych_usage usage = {};
		world->patience_ms = 60000;
		ASSERT_EQ(lych_library_usage(world->domain(), &usage), 0);
		const uint32_t threads = usage.threads;
		EXPECT_GE(threads, 1u) << "the machine has two processors";
		library.work(*world);
		first = all = world->notes();
		for (int i = 1; i <= 5; i++) {
			// With null vectors it faults.
			EXPECT_ANY_THROW(CALL(cblas_ddot, *world, 1000, nullptr, 1, nullptr, 1));
			ASSERT_EQ(lych_domain_reset(world->domain()), 0) << lych_why();
			ASSERT_EQ(lych_library_usage(world->domain(), &usage), 0);
			EXPECT_EQ(usage.threads, threads);
			library.work(*world);
			all += first;
			ASSERT_EQ(world->notes(), all);
		}
	} catch (const std::exception &e) {
		FAIL() << e.what();
	}
}

static RealLibrary named(const char *name)
{
	for (const RealLibrary &library : kRealLibraries) {
		if (strcmp(library.name, name) == 0) {
			return library;
		}
	}
	return {};
}

INSTANTIATE_TEST_SUITE_P(Debian, LibrariesWithThreads, testing::Values(named("openblas")),
			 [](const auto &test) { return std::string(test.param.name); });
INSTANTIATE_TEST_SUITE_P(Debian, RealLibraries, testing::ValuesIn(kRealLibraries),
			 [](const auto &test) { return std::string(test.param.name); });

static int direct(const char *name)
{
	for (const RealLibrary &library : kRealLibraries) {
		if (strcmp(library.name, name) == 0) {
			try {
				std::unique_ptr<World> world = direct_world(library.soname);
				library.work(*world);
				fputs(world->notes().c_str(), stdout);
				return 0;
			} catch (const std::exception &e) {
				printf("%s\n", e.what());
			}
		}
	}
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--direct") == 0) {
		return direct(argv[2]);
	}
	testing::InitGoogleTest(&argc, argv);
	return RUN_ALL_TESTS();
}
