// SPDX-License-Identifier: Apache-2.0
// What tests of the world inside a library domain have in common.
#ifndef LYCH_TEST_LIBRARY_WORLD_LIVE_H
#define LYCH_TEST_LIBRARY_WORLD_LIVE_H

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include <lychgate/lychgate.h>

#include "library_live.h"
#include "worldly.h"

LYCH_SYM(in, world_add, int, (int, int));
LYCH_SYM(in, world_load, int, (const char *, const char *, int));
LYCH_SYM(in, world_last_error, const char *, (void));
LYCH_SYM(in, world_convert, long,
	 (const char *, const char *, const char *, size_t, char *, size_t));

class World : public LibraryDomain
{
      protected:
	lych_domain *OpenWorld(const char *policy = nullptr)
	{
		lych_library_opts opts = {};

		opts.size = sizeof(opts);
		opts.policy = policy;
		return Open(LYCH_WORLDLY, &opts);
	}

	static void Works(lych_domain *in)
	{
		int n = 0;

		ASSERT_EQ(LYCH_CALL(in, &n, world_add, 40, 2), 0);
		EXPECT_EQ(n, 42);
	}

	// Converts text, "" where it could not: then said says why.
	static std::string Convert(lych_domain *in, const char *to, const char *text, long *said)
	{
		char *out = static_cast<char *>(lych_alloc(in, 64)), copy[64];

		EXPECT_EQ(LYCH_CALL(in, said, world_convert, lych_strdup(in, to),
				    lych_strdup(in, "UTF-8"), lych_strdup(in, text), strlen(text),
				    out, 64),
			  0);
		if (*said < 0 || *said > 64 || lych_copy_out(in, copy, out, sizeof(copy)) != 0) {
			return "";
		}
		return std::string(copy, static_cast<size_t>(*said));
	}

	static std::string RightsAt(long at)
	{
		std::ifstream maps("/proc/self/maps");
		unsigned long from, to;

		for (std::string line; std::getline(maps, line);) {
			if (sscanf(line.c_str(), "%lx-%lx", &from, &to) == 2 &&
			    static_cast<unsigned long>(at) >= from &&
			    static_cast<unsigned long>(at) < to) {
				return line.substr(line.find(' ') + 1, 4);
			}
		}
		return "";
	}

	static int Load(lych_domain *in, const char *fn)
	{
		int n = 0;

		EXPECT_EQ(LYCH_CALL(in, &n, world_load, lych_strdup(in, LYCH_PART),
				    lych_strdup(in, fn), 14),
			  0);
		return n;
	}

	static std::string LastError(lych_domain *in)
	{
		const char *at = nullptr;
		char *text = nullptr;

		EXPECT_EQ(LYCH_CALL(in, &at, world_last_error), 0);
		EXPECT_EQ(lych_strndup_out(in, &text, at, 256), 0);
		std::string error = text != nullptr ? text : "";
		free(text);
		return error;
	}
};

#endif // LYCH_TEST_LIBRARY_WORLD_LIVE_H
