/* SPDX-License-Identifier: Apache-2.0 */
// Bad pointers of the host's, given to the library: the fault is the host's own. Without a handler the process ends as it
// would without us; a handler may leave by siglongjmp, and then no lock is held and everything works.
#include <lychgate/lychgate.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <gtest/gtest.h>

#include "inside.h"
#include "live.h"

namespace
{

struct Large {
	long words[8];
};

long Twice(long n)
{
	return 2 * n;
}

Large Make(long n)
{
	Large l = {};

	l.words[7] = n;
	return l;
}

LYCH_BIND(domain, Twice, long, (long));
LYCH_BIND(domain, Make, Large, (long));

lych_domain *domain;
void *block;
volatile uintptr_t sixteen = 16;
sigjmp_buf out_of_handler;

template <class T> T *Bad()
{
	return reinterpret_cast<T *>(sixteen);
}

void Leave(int, siginfo_t *info, void *)
{
	siglongjmp(out_of_handler, info->si_addr == Bad<void>() ? 1 : 2);
}

struct Way {
	const char *name;
	void (*go)();
};

void CopyOut()
{
	EXPECT_EQ(lych_copy_out(domain, Bad<void>(), block, 64), -1);
}
void CopyIn()
{
	EXPECT_EQ(lych_copy_in(domain, Bad<void>(), 64), nullptr);
}
void Strdup()
{
	EXPECT_EQ(lych_strdup(domain, Bad<char>()), nullptr);
}
void StrndupOut()
{
	EXPECT_EQ(lych_strndup_out(domain, Bad<char *>(), static_cast<char *>(block), 8), -1);
}
void NewDomain()
{
	EXPECT_EQ(lych_domain_new(Bad<lych_domain *>(), nullptr), -1);
}
void NameOfADomain()
{
	lych_domain_opts opts = {};
	lych_domain *d;

	opts.size = sizeof(opts);
	opts.name = Bad<char>();
	EXPECT_EQ(lych_domain_new(&d, &opts), -1);
}
void NameOfARegion()
{
	lych_region_opts opts = {};
	lych_region *r;

	opts.size = sizeof(opts);
	opts.name = Bad<char>();
	EXPECT_EQ(lych_region_new(&r, 4096, &opts), -1);
}
void Result()
{
	EXPECT_EQ(LYCH_CALL(domain, Bad<long>(), Twice, 1), -1);
}
void ResultInMemory()
{
	EXPECT_EQ(LYCH_CALL(domain, Bad<Large>(), Make, 1), -1);
}

const Way ways[] = {
	{"CopyOut", CopyOut}, {"CopyIn", CopyIn}, {"Strdup", Strdup}, {"StrndupOut", StrndupOut}, {"NewDomain", NewDomain},
	{"NameOfADomain", NameOfADomain}, {"NameOfARegion", NameOfARegion}, {"Result", Result},
	{"ResultInMemory", ResultInMemory},
};

// What is not 0 says what does not work any more.
int Works()
{
	lych_domain *another;
	lych_region *region;
	Large large = {};
	long n = 0;

	if (LYCH_CALL(domain, &n, Twice, 21) != 0 || n != 42) {
		return 10;
	}
	if (LYCH_CALL(domain, &large, Make, 7) != 0 || large.words[7] != 7) {
		return 11;
	}
	if (lych_free(domain, lych_alloc(domain, 16)) != 0) {
		return 12;
	}
	if (lych_domain_reset(domain) != 0) {
		return 13;
	}
	if (lych_domain_new(&another, nullptr) != 0 || lych_domain_free(another) != 0) {
		return 14;
	}
	if (lych_region_new(&region, 4096, nullptr) != 0 || lych_region_free(region) != 0) {
		return 15;
	}
	return lych_verify(nullptr, nullptr) == 0 ? 0 : 16;
}

class HostPointer : public testing::TestWithParam<Way>
{
protected:
	static void SetUpTestSuite()
	{
		const rlimit no_core = {};
		ASSERT_EQ(live_start(), 0) << lych_why();
		ASSERT_EQ(lych_domain_new(&domain, nullptr), 0);
		block = lych_alloc(domain, 64);
		ASSERT_NE(block, nullptr);
		setrlimit(RLIMIT_CORE, &no_core);
	}

	// In a child: what fn says, or how it ended.
	template <class F> static int InAChild(F fn)
	{
		int status = 0;
		pid_t child = fork();

		if (child == 0) {
			alarm(20); // a lock that is held for ever
			_exit(fn());
		}
		EXPECT_EQ(waitpid(child, &status, 0), child);
		return status;
	}
};

TEST_P(HostPointer, ThatIsBadEndsTheProcessAsEver)
{
	int status = InAChild([] {
		GetParam().go();
		return 1;
	});

	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << std::hex << status;
}

TEST_P(HostPointer, ThatIsBadLeavesNothingHeldWhenAHandlerLeaves)
{
	int status = InAChild([] {
		struct sigaction action = {};

		action.sa_sigaction = Leave;
		action.sa_flags = SA_SIGINFO;
		sigaction(SIGSEGV, &action, nullptr);
		int how = sigsetjmp(out_of_handler, 1);
		if (how == 0) {
			GetParam().go();
			return 1;
		}
		return how == 1 ? Works() : 2;
	});

	EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
	EXPECT_EQ(WEXITSTATUS(status), 0);
}

INSTANTIATE_TEST_SUITE_P(All, HostPointer, testing::ValuesIn(ways), [](const auto &way) { return way.param.name; });

} // namespace
