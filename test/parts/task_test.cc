// SPDX-License-Identifier: Apache-2.0
// G8: what a new task has of its parent's thread area.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "task_fake.h"

extern "C" int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
extern char **environ;

namespace
{

int status_of(pid_t pid)
{
	int status = -1;
	EXPECT_EQ(waitpid(pid, &status, __WALL), pid) << strerror(errno);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

class Task : public testing::Test
{
protected:
	void SetUp() override
	{
		fake_log[0] = '\0';
		fake_unattachable(0);
		fake_ready(true);
		stack = static_cast<char *>(
			mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		ASSERT_NE(stack, MAP_FAILED);
	}
	void TearDown() override
	{
		fake_ready(false);
		munmap(stack, STACK);
	}
	static constexpr size_t STACK = 65536;
	char *stack;
};

// 0: gates are refused, 1: they are not
int gs_is_refused(void *)
{
	return fake_gs() == fake_refused() ? 0 : 1;
}

struct Asked {
	int magic;
	uint64_t gs;
};
int note_gs(void *arg)
{
	struct Asked *asked = static_cast<struct Asked *>(arg);
	asked->gs = fake_gs();
	return asked->magic;
}

std::string order;
bool registered;
void other_prepare()
{
	order += std::string("other-prepare(") + fake_log + ")";
}
void other_child()
{
	order += std::string("other-child(") + fake_log + ")";
}
void other_parent()
{
	order += std::string("other-parent(") + fake_log + ")";
}

} // namespace

TEST_F(Task, ForkRebuildsTheAreaBeforeOtherHandlersRun)
{
	if (!registered) {
		registered = true;
		ASSERT_EQ(pthread_atfork(other_prepare, other_parent, other_child), 0);
	}
	order.clear();
	pid_t pid = fork();
	if (pid == 0) {
		_exit(order == "other-prepare()other-child(Pc)" ? 0 : 1);
	}
	EXPECT_EQ(status_of(pid), 0);
	EXPECT_EQ(order, "other-prepare()other-parent(Pp)");
}

TEST_F(Task, SignalsAreBlockedInBetweenAndAsBeforeAfterwards)
{
	sigset_t before, after, usr1;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &before);
	pthread_sigmask(SIG_SETMASK, nullptr, &before);
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t mask;
		pthread_sigmask(SIG_SETMASK, nullptr, &mask);
		_exit(memcmp(&mask, &before, 8) == 0 && strcmp(fake_log, "Pc") == 0 ? 0 : 1);
	}
	EXPECT_EQ(status_of(pid), 0);
	pthread_sigmask(SIG_SETMASK, nullptr, &after);
	EXPECT_EQ(memcmp(&before, &after, 8), 0);
	EXPECT_STREQ(fake_log, "Pp");
	pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
}

TEST_F(Task, NothingHappensBeforeTheRuntimeRuns)
{
	fake_ready(false);
	pid_t pid = fork();
	if (pid == 0) {
		_exit(fake_log[0] == '\0' && fake_gs() == 0 ? 0 : 1);
	}
	EXPECT_EQ(status_of(pid), 0);
	EXPECT_STREQ(fake_log, "");
	EXPECT_EQ(status_of(clone(gs_is_refused, stack + STACK, SIGCHLD, nullptr)), 1);
}

TEST_F(Task, AChildOfAThreadThatCannotAttachIsRefused)
{
	fake_unattachable(-ENOMEM);
	pid_t pid = fork();
	if (pid == 0) {
		_exit(gs_is_refused(nullptr));
	}
	EXPECT_EQ(status_of(pid), 0);
	EXPECT_STREQ(fake_log, "") << "nothing was put aside, nothing locked";
	EXPECT_EQ(fake_gs(), 0u) << "the parent's is as it was";
}

TEST_F(Task, VforkSharesNoMemory)
{
	volatile int shared = 1;
	pid_t pid = vfork();
	if (pid == 0) {
		shared = 2;
		_exit(strcmp(fake_log, "Pc") == 0 ? 0 : 1);
	}
	EXPECT_EQ(status_of(pid), 0);
	EXPECT_EQ(shared, 1);
	// the control: libc's own
	struct Asked asked = {7, 1};
	EXPECT_EQ(status_of(__clone(note_gs, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &asked)), 7);
	EXPECT_EQ(asked.gs, fake_gs()) << "shares memory, and gs with it";
}

TEST_F(Task, ATaskThatSharesMemoryWithoutTlsOfItsOwnIsRefused)
{
	for (int flags : {CLONE_VM | CLONE_VFORK, CLONE_VM | CLONE_FS | CLONE_FILES}) {
		struct Asked asked = {9, 1};
		EXPECT_EQ(status_of(clone(note_gs, stack + STACK, flags | SIGCHLD, &asked)), 9);
		EXPECT_EQ(asked.gs, fake_refused());
	}
	EXPECT_EQ(fake_gs(), 0u);
}

TEST_F(Task, ATaskWithMemoryOfItsOwnThatNoForkHandlerSawIsRefused)
{
	EXPECT_EQ(status_of(clone(gs_is_refused, stack + STACK, SIGCHLD, nullptr)), 0);
	EXPECT_EQ(status_of(clone(gs_is_refused, stack + STACK - 8, SIGCHLD, nullptr)), 0) << "a stack not aligned";
}

TEST_F(Task, CloneHandsOnItsOtherArguments)
{
	pid_t parent_tid = 0;
	struct Asked asked = {3, 1};
	pid_t pid = clone(note_gs, stack + STACK, CLONE_VM | CLONE_PARENT_SETTID | SIGCHLD, &asked, &parent_tid,
			  nullptr, nullptr);
	EXPECT_EQ(parent_tid, pid);
	EXPECT_EQ(status_of(pid), 3);
	EXPECT_EQ(clone(nullptr, stack + STACK, SIGCHLD, nullptr), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(clone(gs_is_refused, nullptr, SIGCHLD, nullptr), -1);
	EXPECT_EQ(errno, EINVAL);
}

TEST_F(Task, ThreadsAreNotRefused)
{
	pthread_t thread;
	void *gs = nullptr;
	auto body = [](void *) -> void * { return reinterpret_cast<void *>(fake_gs()); };
	ASSERT_EQ(pthread_create(&thread, nullptr, body, nullptr), 0);
	pthread_join(thread, &gs);
	EXPECT_NE(reinterpret_cast<uint64_t>(gs), fake_refused());
}

TEST_F(Task, ProgramsAreStartedAsEver)
{
	pid_t pid;
	char name[] = "true";
	char *argv[] = {name, nullptr};
	ASSERT_EQ(posix_spawnp(&pid, "true", nullptr, nullptr, argv, environ), 0);
	EXPECT_EQ(status_of(pid), 0);
	EXPECT_EQ(system("exit 3"), 3 << 8);
	FILE *f = popen("echo heard", "r");
	char line[16] = "";
	ASSERT_NE(f, nullptr);
	EXPECT_NE(fgets(line, sizeof(line), f), nullptr);
	EXPECT_EQ(pclose(f), 0);
	EXPECT_STREQ(line, "heard\n");
	EXPECT_STREQ(fake_log, "") << "none of them forks";
	pid = vfork();
	if (pid == 0) {
		execlp("true", "true", nullptr);
		_exit(127);
	}
	EXPECT_EQ(status_of(pid), 0);
}
