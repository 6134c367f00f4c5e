// SPDX-License-Identifier: Apache-2.0
// Runs what hostile.so has in a library domain, and without protection. Each in a child of its own that starts the runtime itself: a
// child that dies or hangs fails the test.
#ifndef LYCH_TEST_LIBRARY_ATTACK_H
#define LYCH_TEST_LIBRARY_ATTACK_H

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "hostile.h"
#include "inside.h"
#include "library_bounds.h"
#include "needs_pku.h"
#include "world.h"

LYCH_SYM(domain, hostile_do, long, (attack_fn, prey *));
LYCH_SYM(domain, hostile_syscall, long, (long, long, long, long, long, long, long));
LYCH_SYM(domain, hostile_read, uint64_t, (const volatile uint64_t *));
LYCH_SYM(domain, hostile_write, void, (volatile uint64_t *));

constexpr unsigned kCallMs = WORLD_CALL_MS;
constexpr int kHangs = 100000; // in ms at least

template <typename Code> int ChildStatus(Code code, int patience_ms = kHangs)
{
	fflush(nullptr);
	pid_t child = fork();
	if (child == 0) {
		setpgid(0, 0); // what it sends to everybody stays there
		code();
		fflush(nullptr);
		_exit(::testing::Test::HasFailure() ? 1 : 0);
	}
	int status = -1;
	pid_t ended = 0;
	for (int i = 0; i < patience_ms && (ended = waitpid(child, &status, __WALL | WNOHANG)) == 0; i++) {
		usleep(1000);
	}
	if (ended == 0) {
		ADD_FAILURE() << "it hangs";
		kill(-child, SIGKILL);
		kill(child, SIGKILL);
		ended = waitpid(child, &status, __WALL);
	}
	EXPECT_EQ(ended, child);
	return status;
}

inline std::string Ending(int status)
{
	return WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit status " + std::to_string(WEXITSTATUS(status));
}

#define IN_A_CHILD(...)                                              \
	do {                                                         \
		int status_ = ChildStatus([&] __VA_ARGS__);          \
		EXPECT_EQ(status_, 0) << Ending(status_);            \
	} while (0)

// world.h, where what is told fails the test.
class World : public world
{
public:
	World() : world{}
	{
		tell = [](const char *text, void *) { ADD_FAILURE() << text; };
	}
	World(const World &) = delete;
	~World()
	{
		world_end(this);
	}
	// With the runtime, in the child.
	bool Start(attack_policy policy = POLICY_PURE, const char *library = LYCH_HOSTILE)
	{
		return world_start(this, policy, library);
	}
	bool Arm()
	{
		return world_arm(this);
	}
	// Without it. keyed: the secret has a key that is denied.
	bool Bare(bool keyed)
	{
		return world_bare(this, keyed);
	}
	int Attack(const char *symbol, long *result, unsigned timeout_ms = kCallMs)
	{
		return world_attack(this, symbol, result, timeout_ms);
	}
	void Check()
	{
		world_check(this);
	}
	void Anew()
	{
		world_anew(this);
	}
};

// A function of hostile.so, in the program itself.
inline void *WithoutProtection(const char *symbol)
{
	void *hostile = dlopen(LYCH_HOSTILE, RTLD_NOW | RTLD_LOCAL);

	EXPECT_NE(hostile, nullptr) << dlerror();
	return hostile != nullptr ? dlsym(hostile, symbol) : nullptr;
}

// Library domains are there; on a kernel before 6.12 they are refused, which is what is asked for.
class LibraryAttack : public NeedsPku
{
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure() || KernelWritesFramesWhole()) {
			return;
		}
		IN_A_CHILD({
			lych_domain *none = nullptr;
			ASSERT_EQ(lych_init(nullptr), 0) << lych_why();
			EXPECT_EQ(lych_open(&none, LYCH_HOSTILE, nullptr), -EOPNOTSUPP);
			EXPECT_EQ(none, nullptr);
		});
		GTEST_SKIP() << "library domains are refused before Linux 6.12";
	}
};

#endif
