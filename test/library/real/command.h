// SPDX-License-Identifier: Apache-2.0
// A command that runs with Debian's libraries in place of the system's (libraries.sh).
#ifndef LYCH_TEST_REAL_COMMAND_H
#define LYCH_TEST_REAL_COMMAND_H

#include <gtest/gtest.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

extern char **environ;

inline std::string folder()
{
	const char *given = getenv("LYCH_LIBRARIES");
	return given != nullptr ? given : LYCH_LIBRARIES;
}

inline bool fetched() { return access((folder() + "/list").c_str(), R_OK) == 0; }

// What it prints. *status is that of waitpid, -1 where it did not begin.
inline std::string of_command(const std::vector<std::string> &words, int *status)
{
	std::string setting = "LD_LIBRARY_PATH=" + folder() + "/lib", out;
	std::vector<char *> argv, env;
	posix_spawn_file_actions_t actions;
	int pipes[2];
	pid_t pid;
	char buffer[4096];
	for (const std::string &word : words) {
		argv.push_back(const_cast<char *>(word.c_str()));
	}
	argv.push_back(nullptr);
	for (char **e = environ; *e != nullptr; e++) {
		env.push_back(*e);
	}
	env.push_back(setting.data());
	env.push_back(nullptr);
	EXPECT_EQ(pipe(pipes), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	posix_spawn_file_actions_addclose(&actions, pipes[0]);
	posix_spawn_file_actions_addclose(&actions, pipes[1]);
	*status = -1;
	int rc = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), env.data());
	close(pipes[1]);
	posix_spawn_file_actions_destroy(&actions);
	EXPECT_EQ(rc, 0) << argv[0];
	for (ssize_t n; rc == 0 && (n = read(pipes[0], buffer, sizeof(buffer))) > 0;) {
		out.append(buffer, static_cast<size_t>(n));
	}
	close(pipes[0]);
	if (rc == 0) {
		waitpid(pid, status, 0);
	}
	return out;
}

#endif // LYCH_TEST_REAL_COMMAND_H
