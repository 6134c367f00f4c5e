/* SPDX-License-Identifier: Apache-2.0 */
// What the host does wrong gets the status that the headers name, and the next thing it does right works.
// With keys where there are some, else with the mprotect backend; each in a child, as lych_init is once for a process.
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <lychgate/policy.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

namespace
{

lych_backend Backend()
{
	int key = pkey_alloc(0, 0);

	pkey_free(key);
	return key >= 0 || getenv("LYCH_REQUIRE_PKU") != nullptr ? LYCH_PKU : LYCH_MPROTECT;
}

int Init()
{
	lych_init_opts opts = {};

	opts.size = sizeof(opts);
	opts.backend = Backend();
	return lych_init(&opts);
}

lych_domain *New()
{
	lych_domain *d = nullptr;

	EXPECT_EQ(lych_domain_new(&d, nullptr), 0) << lych_why();
	return d;
}

// Expectations in the child count: their failures are printed there, and here it is one.
template <typename Code> int Child(Code code)
{
	int status = -1;

	fflush(nullptr);
	pid_t pid = fork();
	if (pid == 0) {
		code();
		fflush(nullptr);
		_exit(::testing::Test::HasFailure() ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	return status;
}

int Add(int a, int b)
{
	return a + b;
}

int Handed(int (*back)(int), int depth)
{
	return back(depth);
}

// As Handed, with more of the stack than LYCH_DEPTH of it have room for.
int HandedWithAFrame(int (*back)(int), int depth)
{
	volatile char frame[65536];

	frame[0] = frame[65535] = static_cast<char>(depth);
	int got = back(depth);
	return got + (frame[65535] - static_cast<char>(depth));
}

LYCH_BIND(domain, Add, int, (int, int));
LYCH_BIND(domain, Handed, int, (int (*)(int), int));
LYCH_BIND(domain, HandedWithAFrame, int, (int (*)(int), int));
LYCH_BIND_POINTER(domain, Add, int, (int, int), -1);

void ExpectWorks(lych_domain *domain)
{
	int sum = 0;

	EXPECT_EQ(LYCH_CALL(domain, &sum, Add, 40, 2), 0);
	EXPECT_EQ(sum, 42);
}

lych_domain *nested;
int (*deeper)(int);
int calls, last, before_last;

int Deeper(int depth)
{
	int rc, got = 0;
	lych_domain *domain = nested;

	rc = LYCH_CALL(domain, &got, Handed, deeper, depth + 1);
	if (rc == -EXFULL) {
		calls = depth;
	}
	last = last != 0 ? last : rc;
	return rc == 0 ? got : rc;
}

int DeeperWithAFrame(int depth)
{
	int rc, got = 0;
	lych_domain *domain = nested;

	rc = LYCH_CALL(domain, &got, HandedWithAFrame, deeper, depth + 1);
	if (last == 0) {
		last = rc;
		calls = depth;
	} else if (before_last == 0) {
		before_last = rc;
	}
	return got;
}

LYCH_CALLBACK(Deeper, int, (int));
LYCH_CALLBACK(DeeperWithAFrame, int, (int));

TEST(Misuse, BeforeLychInitEverythingSaysSo)
{
	EXPECT_EQ(Child([] {
			  auto *domain = reinterpret_cast<lych_domain *>(64);
			  lych_domain *made = domain;
			  lych_region *region;
			  void (*pointer)() = nullptr;
			  int sum = 7;
			  alignas(lych_domain *) static char none[4096];

			  domain = reinterpret_cast<lych_domain *>(none);
			  EXPECT_EQ(LYCH_CALL(domain, &sum, Add, 1, 2), -ENOSYS);
			  EXPECT_EQ(sum, 7);
			  EXPECT_EQ(lych_domain_new(&made, nullptr), -ENOSYS);
			  EXPECT_EQ(made, nullptr);
			  EXPECT_EQ(lych_region_new(&region, 1, nullptr), -ENOSYS);
			  EXPECT_EQ(lych_attach(), -ENOSYS);
			  EXPECT_EQ(lych_verify(nullptr, nullptr), -ENOSYS);
			  EXPECT_EQ(lych_domain_reset(domain), -ENOSYS);
			  EXPECT_EQ(lych_domain_free(domain), -ENOSYS);
			  EXPECT_EQ(lych_alloc(domain, 1), nullptr);
			  EXPECT_EQ(errno, ENOSYS);
			  EXPECT_EQ(lych_pointer_new(&pointer, domain, &lych_binding_domain_Add, nullptr, 0), -ENOSYS);
			  EXPECT_EQ(lych_callback_free(domain, reinterpret_cast<void (*)()>(Add)), -EINVAL);
			  EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_NONE);
			  EXPECT_EQ(lych_domain_key(domain), -1);
			  EXPECT_EQ(lych_refused(domain, nullptr, 0), 0u);
			  EXPECT_STREQ(lych_backend_name(), "");
			  EXPECT_EQ(Init(), 0) << lych_why();
			  ExpectWorks(New());
		  }),
		  0);
}

TEST(Misuse, LychInitTwiceOrWithWrongOptionsIsRefused)
{
	EXPECT_EQ(Child([] {
			  lych_init_opts opts = {};
			  opts.backend = Backend();
			  EXPECT_EQ(lych_init(&opts), -EINVAL) << "no size";
			  EXPECT_STRNE(lych_why(), "");
			  opts.size = sizeof(opts.size) - 1;
			  EXPECT_EQ(lych_init(&opts), -EINVAL);
			  opts.size = sizeof(opts);
			  opts.backend = static_cast<lych_backend>(17);
			  EXPECT_EQ(lych_init(&opts), -EINVAL);
			  EXPECT_EQ(Init(), 0) << lych_why();
			  EXPECT_EQ(Init(), -EALREADY);
			  EXPECT_EQ(lych_init(nullptr), -EALREADY);
			  lych_domain_opts wrong = {};
			  lych_domain *d = nullptr;
			  EXPECT_EQ(lych_domain_new(&d, &wrong), -EINVAL) << "no size";
			  wrong.size = 1 << 20;
			  EXPECT_EQ(lych_domain_new(&d, &wrong), -EINVAL);
			  lych_region_opts region_opts = {};
			  lych_region *region = nullptr;
			  EXPECT_EQ(lych_region_new(&region, 1, &region_opts), -EINVAL) << "no size";
			  EXPECT_EQ(lych_region_new(&region, 0, nullptr), -EINVAL);
			  ExpectWorks(New());
		  }),
		  0);
}

TEST(Misuse, NoDomainIsInvalid)
{
	EXPECT_EQ(Child([] {
			  ASSERT_EQ(Init(), 0) << lych_why();
			  lych_domain *domain = nullptr;
			  char *text = nullptr;
			  int (*pointer)(int, int) = Add, (*back)(int) = Deeper;
			  EXPECT_EQ(LYCH_CALL(domain, nullptr, Add, 1, 2), -EINVAL);
			  EXPECT_EQ(lych_domain_reset(domain), -EINVAL);
			  EXPECT_EQ(lych_domain_cancel(domain), -EINVAL);
			  EXPECT_EQ(lych_domain_free(domain), 0);
			  EXPECT_EQ(lych_vault_allow(domain, reinterpret_cast<void (*)()>(Add)), -EINVAL);
			  EXPECT_EQ(lych_domain_allow(domain, 0), -EINVAL);
			  EXPECT_EQ(lych_alloc(domain, 1), nullptr);
			  EXPECT_EQ(errno, EINVAL);
			  EXPECT_EQ(lych_free(domain, &text), -EINVAL);
			  EXPECT_EQ(lych_verify_range(domain, &text, 1), -EINVAL);
			  EXPECT_EQ(lych_copy_out(domain, &text, &text, 1), -EINVAL);
			  EXPECT_EQ(lych_strndup_out(domain, &text, "", 1), -EINVAL);
			  EXPECT_EQ(LYCH_POINTER(&pointer, domain, Add), -EINVAL);
			  EXPECT_EQ(pointer, nullptr);
			  EXPECT_EQ(lych_callback(&back, domain, Deeper, nullptr), -EINVAL);
			  EXPECT_EQ(back, nullptr);
			  EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_NONE);
			  EXPECT_STREQ(lych_domain_name(domain), "");
			  EXPECT_EQ(lych_domain_key(domain), -1);
			  ExpectWorks(New());
		  }),
		  0);
}

TEST(Misuse, AFreedDomainIsInvalid)
{
	EXPECT_EQ(Child([] {
			  ASSERT_EQ(Init(), 0) << lych_why();
			  lych_domain *domain = New();
			  int sum = 7;
			  ExpectWorks(domain);
			  EXPECT_EQ(lych_domain_free(domain), 0);
			  EXPECT_EQ(LYCH_CALL(domain, &sum, Add, 1, 2), -EINVAL);
			  EXPECT_EQ(sum, 7);
			  EXPECT_EQ(lych_domain_free(domain), -EINVAL);
			  EXPECT_EQ(lych_domain_reset(domain), -EINVAL);
			  EXPECT_EQ(lych_domain_cancel(domain), -EINVAL);
			  EXPECT_EQ(lych_alloc(domain, 1), nullptr);
			  EXPECT_EQ(errno, EINVAL);
			  EXPECT_EQ(lych_free(domain, &sum), -EINVAL);
			  ExpectWorks(New());
		  }),
		  0);
}

TEST(Misuse, APointerOfAFreedDomainTraps)
{
	int status = Child([] {
		ASSERT_EQ(Init(), 0) << lych_why();
		lych_domain *domain = New();
		int (*pointer)(int, int) = nullptr;
		ASSERT_EQ(LYCH_POINTER(&pointer, domain, Add), 0);
		ASSERT_EQ(pointer(1, 2), 3);
		ASSERT_EQ(lych_domain_free(domain), 0);
		pointer(1, 2);
	});

	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) << "status " << status;
}

TEST(Misuse, CallsAreNestedAsDeepAsIsWrittenAndNotDeeper)
{
	EXPECT_EQ(Child([] {
			  ASSERT_EQ(Init(), 0) << lych_why();
			  nested = New();
			  ASSERT_EQ(lych_callback(&deeper, nested, Deeper, nullptr), 0);
			  EXPECT_EQ(Deeper(0), -EXFULL) << "handed through all of them";
			  EXPECT_EQ(last, -EXFULL);
			  EXPECT_EQ(calls, LYCH_DEPTH);
			  EXPECT_EQ(lych_fault(nested)->kind, LYCH_FAULT_NONE);
			  ExpectWorks(nested);
		  }),
		  0);
}

TEST(Misuse, AStackThatNestedCallsUseUpEndsTheInnermostWithAFaultAndCancelsTheOthers)
{
	EXPECT_EQ(Child([] {
			  ASSERT_EQ(Init(), 0) << lych_why();
			  nested = New();
			  ASSERT_EQ(lych_callback(&deeper, nested, DeeperWithAFrame, nullptr), 0);
			  DeeperWithAFrame(0);
			  EXPECT_EQ(last, -EFAULT);
			  EXPECT_EQ(before_last, -ECANCELED);
			  EXPECT_GE(calls, 2);
			  EXPECT_EQ(lych_fault(nested)->kind, LYCH_FAULT_STACK);
			  EXPECT_EQ(lych_domain_reset(nested), 0);
			  ExpectWorks(nested);
		  }),
		  0);
}

TEST(Misuse, OnlyALiveBlockOfTheDomainIsFreedAndOnlyOnce)
{
	EXPECT_EQ(Child([] {
			  ASSERT_EQ(Init(), 0) << lych_why();
			  lych_domain *domain = New(), *other = New();
			  auto *block = static_cast<char *>(lych_alloc(domain, 64));
			  void *foreign = lych_alloc(other, 64), *mallocs = malloc(64);
			  ASSERT_NE(block, nullptr);
			  for (void *wrong :
			       {foreign, mallocs, static_cast<void *>(block + 16), static_cast<void *>(&block),
				static_cast<void *>(block + 1), reinterpret_cast<void *>(-16)}) {
				  EXPECT_EQ(lych_free(domain, wrong), -EINVAL) << wrong;
				  EXPECT_EQ(lych_realloc(domain, wrong, 128), nullptr);
				  EXPECT_EQ(errno, EINVAL);
			  }
			  EXPECT_EQ(lych_free(domain, block), 0);
			  EXPECT_EQ(lych_free(domain, block), -EINVAL) << "again";
			  EXPECT_EQ(lych_free(domain, nullptr), 0);
			  EXPECT_EQ(lych_free(other, foreign), 0);
			  free(mallocs);
			  EXPECT_EQ(lych_alloc(domain, 64), block) << "the tables are as they were";
		  }),
		  0);
}

TEST(Misuse, AChildHasItsOwnCopyOfEverythingAndTheParentKeepsHis)
{
	EXPECT_EQ(Child([] {
			  ASSERT_EQ(Init(), 0) << lych_why();
			  lych_domain *domain = New();
			  auto *block = static_cast<int *>(lych_alloc(domain, sizeof(int)));
			  ASSERT_NE(block, nullptr);
			  *block = 1;
			  EXPECT_EQ(Child([&] {
					    EXPECT_EQ(Init(), -EALREADY);
					    ExpectWorks(domain);
					    EXPECT_EQ(*block, 1);
					    *block = 2;
					    EXPECT_EQ(lych_free(domain, block), 0);
					    EXPECT_EQ(lych_domain_free(domain), 0);
					    ExpectWorks(New());
				    }),
				    0);
			  EXPECT_EQ(Child([&] {
					    pid_t pid = _Fork(); // no fork handlers
					    if (pid == 0) {
						    _exit(LYCH_CALL(domain, nullptr, Add, 1, 2) == -EPERM ? 0 : 1);
					    }
					    int status = -1;
					    waitpid(pid, &status, 0);
					    EXPECT_EQ(status, 0);
				    }),
				    0);
			  EXPECT_EQ(*block, 1);
			  ExpectWorks(domain);
			  EXPECT_EQ(lych_free(domain, block), 0);
		  }),
		  0);
}

} // namespace
