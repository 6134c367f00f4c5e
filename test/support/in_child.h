/* SPDX-License-Identifier: Apache-2.0 */
/* A case in a process of its own: what starts once, or cannot be undone. */
#ifndef LYCH_TEST_IN_CHILD_H
#define LYCH_TEST_IN_CHILD_H

#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

// An EXPECT that fails in the child fails the test, and so does a child that dies.
inline void in_child(const std::function<void()> &fn)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		fn();
		fflush(nullptr);
		_exit(testing::Test::HasFailure() ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}

#endif /* LYCH_TEST_IN_CHILD_H */
