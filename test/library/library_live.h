// SPDX-License-Identifier: Apache-2.0
// Fixture for tests of library domains, which need keys and Linux 6.12: where there are none they are skipped; on an older
// kernel they ask for the refusal.
#ifndef LYCH_TEST_LIBRARY_LIVE_H
#define LYCH_TEST_LIBRARY_LIVE_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <lychgate/library.h>

#include "needs_pku.h"

class LibraryDomain : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure()) {
			return;
		}
		static const int started = lych_init(nullptr);
		ASSERT_EQ(started, 0) << lych_why();
		if (!KernelWritesFramesWhole()) {
			lych_domain *none = nullptr;
			EXPECT_EQ(lych_open(&none, "libz.so.1", nullptr), -EOPNOTSUPP);
			EXPECT_EQ(none, nullptr);
			EXPECT_NE(std::string(lych_why()).find("6.12"), std::string::npos) << lych_why();
			GTEST_SKIP() << "refused on this kernel, as it should be: " << lych_why();
		}
	}

	void TearDown() override
	{
		for (lych_domain *d : open_) {
			EXPECT_EQ(lych_domain_free(d), 0) << lych_why();
		}
	}

	lych_domain *Open(const char *library, const lych_library_opts *opts = nullptr)
	{
		lych_domain *d = nullptr;

		EXPECT_EQ(lych_open(&d, library, opts), 0) << lych_why();
		if (d != nullptr) {
			open_.push_back(d);
		}
		return d;
	}

	lych_domain *OpenInside(const lych_library_opts *opts = nullptr)
	{
		return Open(LYCH_INSIDE, opts);
	}

	int Close(lych_domain *d)
	{
		open_.erase(std::find(open_.begin(), open_.end(), d));
		return lych_domain_free(d);
	}

	/* The functions on the way to where the last call ended, a line for each. */
	static std::string Way(lych_domain *d)
	{
		const struct lych_fault *f = lych_fault(d);
		std::string way;

		for (int i = 0; i < f->nframes; i++) {
			char text[512];
			way += (lych_fault_where(f, i, text, sizeof(text)) == 0 ? text : "-") + std::string("\n");
		}
		return way;
	}

	static void PrintLine(const char *line, void *)
	{
		fprintf(stderr, "%s\n", line);
	}

private:
	std::vector<lych_domain *> open_;
};

#endif // LYCH_TEST_LIBRARY_LIVE_H
