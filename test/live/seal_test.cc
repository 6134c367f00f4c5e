/* SPDX-License-Identifier: Apache-2.0 */
// What must not change again (G8): the root page is read-only, and from kernel 6.10 on neither it nor the pages of an
// area can be unmapped, retagged or made writable, by nobody.
#include <lychgate/lychgate.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "inside.h"
#include "needs_pku.h"

namespace
{

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

// errno of a call that tries something; 0: it worked. In a child, which it may ruin.
template <typename Code> int ErrnoOf(Code code)
{
	pid_t child = fork();

	if (child == 0) {
		if (lych_init(nullptr) != 0) {
			_exit(255);
		}
		_exit(code() == 0 ? 0 : errno);
	}
	int status = 0;
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void *GatePage()
{
	struct inside now;

	inside_look(&now);
	return reinterpret_cast<void *>(now.area);
}

class Sealed : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		// nothing is sealed by that: a kernel that has the call says 0
		if (!IsSkipped() && syscall(SYS_mseal, nullptr, 0, 0) != 0) {
			GTEST_SKIP() << "this kernel has no mseal";
		}
	}
};

TEST_F(NeedsPku, TheRootPageIsNotWritable)
{
	int ended = ErrnoOf([] {
		*static_cast<volatile char *>(inside_root_page()) = 1;
		return 0;
	});
	EXPECT_EQ(ended, -SIGSEGV);
}

// The control: before lych_init the same page is written like any other.
TEST_F(NeedsPku, TheRootPageIsWritableBeforeItIsFilled)
{
	EXPECT_EQ(FaultOf([] { *static_cast<volatile char *>(inside_root_page()) = 0; }).signal, 0);
}

TEST_F(Sealed, TheRootPageStaysReadOnly)
{
	EXPECT_EQ(ErrnoOf([] { return mprotect(inside_root_page(), 4096, PROT_READ | PROT_WRITE); }), EPERM);
}

TEST_F(Sealed, TheGatePageKeepsItsKeyAndPlace)
{
	EXPECT_EQ(ErrnoOf([] { return pkey_mprotect(GatePage(), 4096, PROT_READ | PROT_WRITE, 0); }), EPERM);
	EXPECT_EQ(ErrnoOf([] { return munmap(GatePage(), 4096); }), EPERM);
	EXPECT_EQ(ErrnoOf([] {
			  void *at = mmap(GatePage(), 4096, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			  return at == MAP_FAILED ? -1 : 0;
		  }),
		  EPERM);
}

// The control: the same calls on a page that is not sealed.
TEST_F(Sealed, WhatIsNotSealedCanBeChanged)
{
	EXPECT_EQ(ErrnoOf([] {
			  void *page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			  return mprotect(page, 4096, PROT_READ | PROT_WRITE) || munmap(page, 4096);
		  }),
		  0);
}

} // namespace
