// SPDX-License-Identifier: Apache-2.0
#include "program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

extern char **environ;

using Clock = std::chrono::steady_clock;

Program::~Program()
{
	end(SIGTERM, 10);
	if (out_ >= 0) {
		close(out_);
	}
}

bool Program::start(const std::vector<std::string> &words, const char *without)
{
	std::vector<char *> argv, env;
	posix_spawn_file_actions_t actions;
	int pipes[2];

	for (const std::string &word : words) {
		argv.push_back(const_cast<char *>(word.c_str()));
	}
	argv.push_back(nullptr);
	for (char **e = environ; *e != nullptr; e++) {
		if (without == nullptr || strncmp(*e, without, strlen(without)) != 0 || (*e)[strlen(without)] != '=') {
			env.push_back(*e);
		}
	}
	env.push_back(nullptr);
	if (pipe2(pipes, O_CLOEXEC) != 0) {
		return false;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 2);
	int rc = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), env.data());
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	out_ = pipes[0];
	pid_ = rc == 0 ? pid_ : 0;
	return rc == 0;
}

void Program::read_on(int milliseconds)
{
	pollfd p = {out_, POLLIN, 0};
	char buffer[4096];

	if (out_ >= 0 && poll(&p, 1, milliseconds) > 0) {
		ssize_t n = read(out_, buffer, sizeof(buffer));
		if (n > 0) {
			said_.append(buffer, static_cast<size_t>(n));
		} else {
			close(out_);
			out_ = -1;
		}
	} else if (out_ < 0) {
		usleep(static_cast<useconds_t>(milliseconds) * 1000);
	}
}

bool Program::wait_for(const std::string &text, int seconds)
{
	for (auto end = Clock::now() + std::chrono::seconds(seconds); Clock::now() < end && said_.find(text) == std::string::npos;) {
		if (out_ < 0) {
			return false;
		}
		read_on(100);
	}
	return said_.find(text) != std::string::npos;
}

bool Program::runs()
{
	if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) {
		pid_ = 0;
	}
	return pid_ > 0;
}

int Program::end(int signal, int seconds)
{
	if (pid_ > 0 && signal != 0) {
		kill(pid_, signal);
	}
	for (auto until = Clock::now() + std::chrono::seconds(seconds); runs() && Clock::now() < until;) {
		read_on(50); // what nobody reads may stop it
	}
	if (runs()) {
		kill(pid_, SIGKILL);
		waitpid(pid_, &status_, 0);
		pid_ = 0;
		status_ = -1;
	}
	while (out_ >= 0) {
		size_t before = said_.size();
		read_on(0);
		if (said_.size() == before) {
			break;
		}
	}
	return status_;
}

int start_server(Program &server, std::vector<std::string> options, const char *without)
{
	options.insert(options.begin(), {MEDIA_SERVER, "--port", "0"});
	if (!server.start(options, without) || !server.wait_for("\n", 120)) {
		return 0;
	}
	size_t at = server.said().find("http://127.0.0.1:");
	return at != std::string::npos ? atoi(server.said().c_str() + at + 17) : 0;
}
