/* SPDX-License-Identifier: Apache-2.0 */
/* Fixtures and expectations for tests that need protection keys. */
#ifndef LYCH_TEST_NEEDS_PKU_H
#define LYCH_TEST_NEEDS_PKU_H

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <new>
#include <sstream>
#include <string>

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

// Tests of this fixture are skipped where there are no protection keys, and say why. LYCH_REQUIRE_PKU=1,
// which the PKU machine sets, makes that a failure.
class NeedsPku : public ::testing::Test {
protected:
	void SetUp() override
	{
		int key = pkey_alloc(0, 0);

		if (key >= 0) {
			pkey_free(key);
			return;
		}
		std::string why = std::string("no protection keys here: pkey_alloc: ") + strerror(errno);
		const char *required = getenv("LYCH_REQUIRE_PKU");
		if (required != nullptr && strcmp(required, "1") == 0) {
			FAIL() << why << " (and LYCH_REQUIRE_PKU=1)";
		}
		GTEST_SKIP() << why;
	}
};

// Since Linux 6.12 a signal's frame is written with full rights; before, a domain has to be able to write where it
// goes.
inline bool KernelWritesFramesWhole()
{
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	return sscanf(name.release, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 12));
}

// How a piece of code ended that was run in a child process.
struct Fault {
	int signal; // 0: it ended without a signal
	int code;
	int key; // of a SEGV_PKUERR, else -1
	void *address;
};

namespace lych_test
{

inline Fault *fault_page;

inline void record_fault(int signal, siginfo_t *info, void *)
{
	fault_page->signal = signal;
	fault_page->code = info->si_code;
	fault_page->address = info->si_addr;
	fault_page->key = signal == SIGSEGV && info->si_code == SEGV_PKUERR ? (int)info->si_pkey : -1;
	_exit(1);
}

} // namespace lych_test

// Runs code in a child and tells how it faulted. In a child, because whoever leaves a signal handler with
// longjmp keeps the handler's PKRU.
template <typename Code> Fault FaultOf(Code code)
{
	void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	Fault fault = {};

	if (page == MAP_FAILED) {
		ADD_FAILURE() << "mmap: " << strerror(errno);
		return fault;
	}
	lych_test::fault_page = new (page) Fault{0, 0, -1, nullptr};
	pid_t child = fork();
	if (child == 0) {
		struct sigaction action = {};
		action.sa_sigaction = lych_test::record_fault;
		action.sa_flags = SA_SIGINFO;
		for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) {
			sigaction(signal, &action, nullptr);
		}
		code();
		_exit(0);
	}
	int status = 0;
	waitpid(child, &status, 0);
	fault = *lych_test::fault_page;
	if (WIFSIGNALED(status)) {
		fault.signal = WTERMSIG(status);
	}
	munmap(page, 4096);
	return fault;
}

inline ::testing::AssertionResult IsPkuFault(const Fault &fault, int key)
{
	if (fault.signal == SIGSEGV && fault.code == SEGV_PKUERR && fault.key == key) {
		return ::testing::AssertionSuccess();
	}
	std::ostringstream text;
	text << "not a protection key fault of key " << key << ": ";
	if (fault.signal == 0) {
		text << "no fault at all";
	} else {
		text << strsignal(fault.signal) << ", si_code " << fault.code << ", key " << fault.key << ", address "
		     << fault.address;
	}
	return ::testing::AssertionFailure() << text.str();
}

// EXPECT_PKU_FAULT(key, { code }): the code ends in SIGSEGV, with SEGV_PKUERR, and of that key.
#define EXPECT_PKU_FAULT(key, ...) EXPECT_TRUE(IsPkuFault(FaultOf([&] __VA_ARGS__), key))

#endif
